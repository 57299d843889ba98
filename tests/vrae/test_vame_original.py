"""VAME's own numbers: outputs in both arithmetics, losses, gradients, optimiser steps, tables,
weights there and back."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.tolerances import VAME, VAME_FLOAT32
from vrae.vame import original, rnn_model, rnn_vae

pytestmark = pytest.mark.eager

GOLDEN = Path(__file__).parents[1] / "golden" / "vame"
CASES = ("future", "nofuture", "future_softplus")


def golden(name):
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def weights(arrays, prefix="w"):
    return {
        name.removeprefix(f"{prefix}/"): value
        for name, value in arrays.items()
        if name.startswith(f"{prefix}/")
    }


def build(meta, mixing=True, dtype="float64"):
    return rnn_model.RNN_VAE(
        meta["TEMPORAL_WINDOW"],
        meta["ZDIMS"],
        meta["NUM_FEATURES"],
        meta["FUTURE_DECODER"],
        meta["FUTURE_STEPS"],
        meta["hidden_size_layer_1"],
        meta["hidden_size_layer_1"],
        meta["hidden_size_rec"],
        meta["hidden_size_pred"],
        0.0,
        0.0,
        0.0,
        meta["softplus"],
        batch_mixing=mixing,
        dtype=dtype,
    )


@pytest.fixture(scope="module", params=CASES)
def case(request):
    arrays = golden(f"model_{request.param}")
    meta = json.loads(str(arrays["meta"]))
    models = {mixing: build(meta, mixing) for mixing in (True, False)}
    for model in models.values():
        original.load_state_dict(model, weights(arrays))
    return request.param, meta, arrays, models


def test_outputs_as_vame_computes_them_and_as_it_should(case):
    _, meta, arrays, models = case
    for mixing, kind in ((True, "out"), (False, "unmixed")):
        outputs = models[mixing](arrays["input"].astype(np.float64))
        assert len(outputs) == (5 if meta["FUTURE_DECODER"] else 4)
        for name in ("prediction", "future"):
            if f"{kind}/{name}" in arrays:
                np.testing.assert_allclose(getattr(outputs, name), arrays[f"{kind}/{name}"], **VAME)
        for name in ("z", "mu", "logvar"):
            np.testing.assert_allclose(getattr(outputs, name), arrays[f"out/{name}"], **VAME)
    hidden = models[True].encoder(arrays["input"].astype(np.float64))
    np.testing.assert_allclose(hidden, arrays["out/hidden"], **VAME)


def test_training_draws_z_with_the_given_noise(case):
    _, _, arrays, models = case
    outputs = models[True](
        arrays["input"].astype(np.float64), training=True, noise=arrays["train/eps"]
    )
    for name in ("prediction", "future", "z"):
        if f"train/{name}" in arrays:
            np.testing.assert_allclose(getattr(outputs, name), arrays[f"train/{name}"], **VAME)


def total_loss(model, meta, arrays):
    x = arrays["input"].astype(np.float64)
    outputs = model(x)
    terms = {"reconstruction": rnn_vae.reconstruction_loss(x, outputs.prediction, "sum")}
    if meta["FUTURE_DECODER"]:
        terms["future"] = rnn_vae.future_reconstruction_loss(
            arrays["future_target"].astype(np.float64), outputs.future, "sum"
        )
    terms["kl"] = (
        meta["BETA"] * meta["kl_weight"] * rnn_vae.kullback_leibler_loss(outputs.mu, outputs.logvar)
    )
    cluster = rnn_vae.cluster_loss(
        tf.transpose(outputs.z), meta["kmeans_loss"], meta["kmeans_lambda"], meta["batch"]
    )
    terms["cluster"] = meta["kl_weight"] * cluster
    return terms | {"total": tf.add_n(list(terms.values()))}


def test_losses(case):
    _, meta, arrays, models = case
    terms = total_loss(models[True], meta, arrays)
    expected = {
        "reconstruction": "loss/reconstruction_sum",
        "future": "loss/future_sum",
        "total": "loss/total",
        "kl": "loss/kl",
        "cluster": "loss/cluster",
    }
    for name, value in terms.items():
        np.testing.assert_allclose(value, arrays[expected[name]], **VAME, err_msg=name)
    outputs = models[True](arrays["input"].astype(np.float64))
    mean = rnn_vae.reconstruction_loss(
        arrays["input"].astype(np.float64), outputs.prediction, "mean"
    )
    np.testing.assert_allclose(mean, arrays["loss/reconstruction_mean"], **VAME)


def named(model, values):
    """Values of the model's variables (gradients) under VAME's names."""
    kept = [v.numpy() for v in model.trainable_variables]
    for variable, value in zip(model.trainable_variables, values, strict=True):
        variable.assign(value)
    arrays = original.to_state_dict(model)
    for variable, value in zip(model.trainable_variables, kept, strict=True):
        variable.assign(value)
    return arrays


def test_gradients_and_three_steps_of_its_amsgrad(case):
    name, meta, arrays, _ = case
    gradients, steps = weights(golden(f"grads_{name}"), "g"), golden(f"adam_{name}")
    model = build(meta)
    original.load_state_dict(model, weights(arrays))
    optimizer = rnn_vae.Adam(learning_rate=meta["lr"])
    optimizer.build(model.trainable_variables)
    for step in range(3):
        with tf.GradientTape() as tape:
            terms = total_loss(model, meta, arrays)
        np.testing.assert_allclose(terms["total"], steps["loss_before_step"][step][-1], rtol=1e-7)
        found = tape.gradient(terms["total"], [v.value for v in model.trainable_variables])
        if step == 0:
            for key, value in named(model, found).items():
                np.testing.assert_allclose(value, gradients[key], rtol=1e-7, atol=1e-8, err_msg=key)
        optimizer.apply(found, model.trainable_variables)
        if step in (0, 2):
            for key, value in original.to_state_dict(model).items():
                np.testing.assert_allclose(
                    value, steps[f"p{step + 1}/{key}"], rtol=0, atol=2e-8, err_msg=key
                )


@pytest.mark.parametrize("batch", (1, 4, 5, 8))
def test_which_samples_move_which_outputs(batch):
    arrays = golden("mixing")
    meta = json.loads(str(golden("model_future")["meta"]))
    models = [build(meta, mixing) for mixing in (True, False)]
    for model in models:
        original.load_state_dict(model, weights(golden("model_future")) | weights(arrays))
    z = tf.constant(arrays[f"B{batch}/z"])
    for model, kind in zip(models, ("rec", "rec_one_at_a_time"), strict=True):
        decoded = model.decoder(tf.repeat(z[:, None], 6, axis=1), z)
        np.testing.assert_allclose(decoded, arrays[f"B{batch}/{kind}"], **VAME)
    future = models[0].decoder_future(tf.repeat(z[:, None], 6, axis=1), z)
    np.testing.assert_allclose(future, arrays[f"B{batch}/fut"], **VAME)


# --- functions ---


def test_annealing_and_noise_and_losses_are_its_tables():
    arrays = golden("functions")
    for row, weights_ in zip(arrays["kl/rows"], arrays["kl/table"], strict=True):
        function, start, time = ("linear", "sigmoid")[int(row[0])], int(row[1]), int(row[2])
        found = [
            rnn_vae.kl_annealing(epoch, start, time, function) for epoch in range(len(weights_))
        ]
        np.testing.assert_allclose(found, weights_, **VAME)
    ins, noise = arrays["gaussian/in"], arrays["gaussian/noise"]
    np.testing.assert_allclose(
        rnn_vae.gaussian(ins, True, 6, noise=noise), arrays["gaussian/out"], **VAME
    )
    np.testing.assert_allclose(
        rnn_vae.gaussian(ins, True, 6, 0.2, noise=noise), arrays["gaussian/out_std0.2"], **VAME
    )
    np.testing.assert_array_equal(rnn_vae.gaussian(ins, False, 6), arrays["gaussian/out_eval"])
    kl = rnn_vae.kullback_leibler_loss(arrays["klloss/mu"], arrays["klloss/logvar"])
    np.testing.assert_allclose(kl, arrays["klloss/value"], **VAME)


def test_the_cluster_loss_and_its_gradient_are_its_table():
    arrays = golden("functions")
    z = tf.constant(arrays["cluster/z"])
    for (kloss, lmbda, size, value), gradient in zip(
        arrays["cluster/rows"], arrays["cluster/grad"], strict=True
    ):
        with tf.GradientTape() as tape:
            tape.watch(z)
            loss = rnn_vae.cluster_loss(tf.transpose(z), int(kloss), lmbda, int(size))
        np.testing.assert_allclose(loss, value, rtol=1e-8)
        np.testing.assert_allclose(tape.gradient(loss, z), gradient, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("i", (0, 1))
def test_the_plateau_scheduler_is_its_table(i):
    arrays = golden("functions")
    patience, factor = arrays[f"plateau{i}/args"]
    optimizer = keras.optimizers.SGD(float(arrays[f"plateau{i}/lr_after"][0]))
    scheduler, rates = rnn_vae.ReduceLROnPlateau(optimizer, factor, int(patience)), []
    for loss in arrays[f"plateau{i}/loss"]:
        scheduler.step(loss)
        rates.append(float(optimizer.learning_rate))
    np.testing.assert_allclose(rates, arrays[f"plateau{i}/lr_after"], rtol=1e-5)


@pytest.mark.parametrize("case", ("future", "nofuture"))
def test_an_epoch_of_its_training_and_its_test(case):
    arrays = golden("test_fn")
    args = json.loads(str(arrays["args"]))
    model_arrays = golden(f"model_{case}")
    model = build(json.loads(str(model_arrays["meta"])), dtype="float32")
    original.load_state_dict(model, weights(model_arrays))
    options = args["kmeans_loss"], args["kmeans_lambda"]
    found = rnn_vae.test(
        arrays["batches"],
        model,
        args["BETA"],
        args["test_kl_weight"],
        6,
        args["mse"],
        *options,
        case == "future",
        args["bsize"],
    )
    np.testing.assert_allclose(found, arrays[f"{case}/test"], **VAME_FLOAT32)
    optimizer = rnn_vae.Adam(args["lr"])
    scheduler = rnn_vae.ReduceLROnPlateau(optimizer, 0.2, 100)
    found = rnn_vae.train(
        arrays["batches"],
        args["epoch"],
        model,
        optimizer,
        "linear",
        args["BETA"],
        args["kl_start"],
        args["annealtime"],
        6,
        case == "future",
        args["future_steps"],
        scheduler,
        args["mse"],
        args["mse"],
        *options,
        args["bsize"],
        args["noise"],
        draws=arrays[f"{case}/eps"],
    )
    np.testing.assert_allclose(found[:6], arrays[f"{case}/train"][:6], **VAME_FLOAT32)
    assert found[6] == 3 and scheduler.best == pytest.approx(
        found[1]
    )  # the epoch's mean, VAME's sees the last batch
    for name, value in original.to_state_dict(model).items():
        np.testing.assert_allclose(
            value, arrays[f"{case}/p/{name}"], rtol=0, atol=2e-5, err_msg=name
        )


# --- weights ---


def test_weights_go_there_and_back_through_a_mapping_and_an_npz(case, tmp_path):
    _, meta, arrays, _ = case
    model = build(meta)
    np.savez(tmp_path / "weights.npz", **weights(arrays))
    for source in (weights(arrays), tmp_path / "weights.npz", str(tmp_path / "weights.npz")):
        original.load_state_dict(model, source)
        back = original.to_state_dict(model)
        assert back.keys() == weights(arrays).keys()
        for name, value in back.items():
            np.testing.assert_array_equal(value, arrays[f"w/{name}"])


def test_a_file_of_torch_is_read_where_torch_is(case, tmp_path, monkeypatch):
    import sys

    _, meta, arrays, _ = case
    (tmp_path / "model.pkl").write_bytes(b"no torch file")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="needs torch"):
        original.load_state_dict(build(meta), tmp_path / "model.pkl")

    class Torch:
        """What is asked of torch, and that it is asked to run no code."""

        @staticmethod
        def load(path, map_location, weights_only):
            assert weights_only is True and map_location == "cpu"
            if path.read_bytes() != b"good":
                raise RuntimeError("bad magic number")
            return {name: tf.constant(value) for name, value in weights(arrays).items()}

    monkeypatch.setitem(sys.modules, "torch", Torch)
    with pytest.raises(ValueError, match=r"is not a PyTorch state dict \(bad magic number"):
        original.load_state_dict(build(meta), tmp_path / "model.pkl")
    (tmp_path / "model.pkl").write_bytes(b"good")
    model = build(meta)
    original.load_state_dict(model, tmp_path / "model.pkl")
    np.testing.assert_array_equal(
        original.to_state_dict(model)["decoder.hidden_to_output.bias"],
        arrays["w/decoder.hidden_to_output.bias"],
    )


def test_weights_that_do_not_fit_are_all_listed_and_nothing_is_loaded(case, tmp_path):
    _, meta, arrays, _ = case
    model = build(meta)
    before = original.to_state_dict(model)
    bad = weights(arrays)
    del bad["lmbda.hidden_to_mean.bias"]
    bad["extra"] = np.zeros(2)
    bad["decoder.hidden_to_output.bias"] = np.zeros(9)
    bad["encoder.encoder_rnn.bias_ih_l0"] = np.full_like(
        bad["encoder.encoder_rnn.bias_ih_l0"], np.nan
    )
    with pytest.raises(ValueError) as error:
        original.load_state_dict(model, bad)
    for line in (
        "missing: lmbda.hidden_to_mean.bias",
        "left over: extra",
        r"shape: decoder.hidden_to_output.bias is (9,)",
        "not finite: encoder.encoder_rnn.bias_ih_l0",
    ):
        assert line in str(error.value)
    for name, value in original.to_state_dict(model).items():
        np.testing.assert_array_equal(value, before[name])
    with pytest.raises(ValueError, match="no file"):
        original.load_state_dict(model, tmp_path / "none.npz")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(ValueError, match=r"not a readable \.npz file"):
        original.load_state_dict(model, tmp_path / "cut.npz")
