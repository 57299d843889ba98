"""The original programs' numbers: outputs, losses, gradients, optimiser steps, draws, JSON
files."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.tolerances import (
    WM_CODES,
    WM_GRADIENT,
    WM_LOSS,
    WM_PIXELS,
    WM_RNN,
    WM_WEIGHTS_MAX,
    WM_WEIGHTS_MOST,
)
from worldmodels import MDNRNN, ConvVAE, original

GOLDEN = Path(__file__).parents[1] / "golden" / "worldmodels"
NAMES = {
    "worldmodels": ("convvae_tf", "adam3", "mu", "logvar"),
    "course": ("convvae_keras", "rmsprop3", "z_mean", "z_log_var"),
}


def golden(name):
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


@pytest.fixture(scope="module", params=NAMES)
def convvae(request):
    """A model with the original's weights, its golden arrays, and the names of some of them."""
    file, *names = NAMES[request.param]
    arrays = golden(file)
    model = ConvVAE(architecture=request.param)
    weights = [arrays[f"wk/{i:02d}"] * 2.0 ** -arrays[f"we/{i:02d}"] for i in range(22)]
    original.load(model, weights)
    return model, arrays, names, weights


def test_the_conv_vae_has_the_originals_size(convvae):
    model, *_ = convvae
    assert (
        model.count_params() == {"worldmodels": 4_348_547, "course": 2_115_971}[model.architecture]
    )


def test_the_conv_vaes_outputs_and_losses(convvae):
    model, arrays, (_, mean, logvar), _ = convvae
    q = model.encode(arrays["x_u8"])
    np.testing.assert_allclose(q.mean(), arrays[mean], **WM_CODES)
    np.testing.assert_allclose(2 * np.log(q.stddev()), arrays[logvar], **WM_CODES)
    z = q.mean() + q.stddev() * arrays["eps"]
    np.testing.assert_allclose(z, arrays["z"], **WM_CODES)
    np.testing.assert_allclose(model.decode(z)[:, ::4, ::4], arrays["y"], **WM_PIXELS)
    np.testing.assert_allclose(
        model.decode(arrays["z_given"])[:, ::4, ::4], arrays["decode_z_given"], **WM_PIXELS
    )
    terms = model.loss_terms(arrays["x_u8"], arrays["eps"])
    for name, value in zip(("r_loss", "kl_loss", "loss"), terms, strict=True):
        np.testing.assert_allclose(value, arrays[name], **WM_LOSS)


def test_the_conv_vaes_gradients_and_three_steps_of_its_optimiser(convvae):
    model, arrays, (after, *_), weights = convvae
    optimizer = model.optimizer_of_architecture()
    optimizer.build(model.trainable_variables)
    frames, noise = tf.constant(arrays["x_u8"]), tf.constant(arrays["eps"])

    @tf.function(autograph=False)
    def gradients():
        with tf.GradientTape() as tape:
            loss = model.objective(model.loss_terms(frames, noise))
        return loss, tape.gradient(loss, [v.value for v in model.trainable_variables])

    try:
        losses = []
        for step in range(3):
            loss, found = gradients()
            losses.append(float(loss))
            if step == 0:
                for i, gradient in enumerate(found):
                    check_gradient(gradient.numpy().ravel(), arrays, f"{i:02d}")
            optimizer.apply(found, model.trainable_variables)
        history = {
            "worldmodels": "losses_before_steps_1_2_3_and_after",
            "course": "hist_loss_r_kl_before_steps_1_2_3_and_after",
        }
        expected = arrays[history[model.architecture]]
        total = expected[:3, 0] if model.architecture == "course" else expected[:3].max(axis=1)
        np.testing.assert_allclose(losses, total, rtol=1e-4)
        for i, weight in enumerate(model.trainable_variables):
            difference = np.abs(
                weight.numpy().ravel()[arrays[f"idx/{i:02d}"]] - arrays[f"{after}/{i:02d}"]
            )
            assert (
                difference.max() < WM_WEIGHTS_MAX
                and np.quantile(difference, 0.98) < WM_WEIGHTS_MOST
            ), weight.path
    finally:
        original.load(model, weights)


def check_gradient(gradient, arrays, i):
    _, norm, largest = arrays[f"gradstat/{i}"]
    np.testing.assert_allclose(
        gradient[arrays[f"idx/{i}"]], arrays[f"grad/{i}"], rtol=0, atol=WM_GRADIENT * largest
    )
    np.testing.assert_allclose(np.linalg.norm(gradient), norm, rtol=1e-4)


# --- MDN-RNN ---


@pytest.fixture(scope="module")
def rnn():
    arrays = golden("mdnrnn")
    model = MDNRNN()
    original.load(model, [arrays[f"w_int/{i}"] / 10_000 for i in range(4)])
    return model, arrays


def test_the_mdn_rnn_has_the_originals_size_and_gives_its_outputs_and_cost(rnn):
    model, arrays = rnn
    assert model.count_params() == 422_368
    predicted = model(arrays["x"])
    for name in ("logmix", "mean", "logstd"):
        np.testing.assert_allclose(getattr(predicted, name), arrays[name], **WM_RNN)
    np.testing.assert_allclose(predicted.state.h, arrays["h"], **WM_RNN)
    np.testing.assert_allclose(predicted.state.c, arrays["c"], **WM_RNN)


def test_the_mdn_rnn_continues_from_a_state(rnn):
    model, arrays = rnn
    state = arrays["init_h"], arrays["init_c"]
    predicted = model(arrays["x"], state)
    np.testing.assert_allclose(predicted.state.c, arrays["init_final_c"], **WM_RNN)
    np.testing.assert_allclose(predicted.state.h, arrays["init_final_h"], **WM_RNN)


def test_the_mdn_rnn_step_by_step(rnn):
    model, arrays = rnn
    state = None
    for t in range(20):
        predicted = model.step(arrays["x"][:1, t, :32], arrays["x"][:1, t, 32:], state)
        state = predicted.state
        np.testing.assert_allclose(state.h[0], arrays["step_h_row0"][t], **WM_RNN)
        np.testing.assert_allclose(state.c[0], arrays["step_c_row0"][t], **WM_RNN)
    np.testing.assert_allclose(predicted.mean[0], arrays["mean"][0, -1], **WM_RNN)


def cost(model, x, target):
    """Minus the mean log-likelihood of `target` [B, T, z], where the model has seen `x` [B, T, z +
    action]."""
    from worldmodels import mixture

    return -tf.reduce_mean(mixture.log_prob(mixture.Mixture(*model(x)[:3]), target))


def steps(model, batches, clip=1.0):
    """Costs before each batch's step, and gradients; the weights move as the original's do."""
    optimizer = keras.optimizers.Adam(1e-3, epsilon=1e-8, clipvalue=clip)
    optimizer.build(model.trainable_variables)
    costs, gradients = [], []
    for x, target in batches:
        with tf.GradientTape() as tape:
            value = cost(model, x, target)
        costs.append(float(value))
        gradients.append(tape.gradient(value, [v.value for v in model.trainable_variables]))
        optimizer.apply(gradients[-1], model.trainable_variables)
    return costs, gradients


def in_original_order(model, gradients):
    """The gradients as if they were the weights, in the original's layout."""
    kept = [v.numpy() for v in model.trainable_variables]
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        variable.assign(gradient)
    arrays = model.original_arrays()
    arrays[3] = arrays[3] + np.repeat(
        [0, 0, 1, 0], model.rnn_size
    )  # a gradient has no forget bias to take off
    for variable, value in zip(model.trainable_variables, kept, strict=True):
        variable.assign(value)
    return arrays


def test_the_mdn_rnns_gradients_and_three_steps_of_adam(rnn):
    model, arrays = rnn
    weights = model.original_arrays()
    np.testing.assert_allclose(
        cost(model, arrays["x"], arrays["target"]), arrays["cost"], **WM_LOSS
    )
    try:
        costs, gradients = steps(model, [(arrays["x"], arrays["target"])] * 3)
        np.testing.assert_allclose(
            costs, arrays["costs_before_steps_1_2_3_and_after"][:3], rtol=1e-4
        )
        after = model.original_arrays()
        for i, gradient in enumerate(in_original_order(model, gradients[0])):
            expected = arrays[f"grad/{i}"]
            thin = (slice(None, None, 8),) * 2 if gradient.size > 1024 else ()
            np.testing.assert_allclose(
                gradient[thin], expected, rtol=0, atol=WM_GRADIENT * np.abs(expected).max()
            )
            difference = np.abs(after[i][thin] - arrays[f"adam3/{i}"])
            assert (
                difference.max() < WM_WEIGHTS_MAX
                and np.quantile(difference, 0.98) < WM_WEIGHTS_MOST
            )
    finally:
        original.load(model, weights)


def test_gradients_are_clipped_by_value(rnn):
    model, arrays = rnn
    weights = model.original_arrays()
    try:
        big, normal = (arrays["x"], arrays["clip_target"]), (arrays["x"], arrays["target"])
        costs, gradients = steps(model, [big, normal, normal])
        np.testing.assert_allclose(costs, arrays["clip_costs"][:3], rtol=1e-3)
        first = in_original_order(model, gradients[0])
        assert [int((np.abs(g) > 1).sum()) for g in first] == pytest.approx(
            arrays["clip_nclipped"], abs=2
        )
        after = model.original_arrays()
        np.testing.assert_allclose(after[1], arrays["clip_output_b_after"], atol=WM_WEIGHTS_MAX)
        np.testing.assert_allclose(after[3], arrays["clip_bias_after"], atol=WM_WEIGHTS_MAX)
    finally:
        original.load(model, weights)


@pytest.mark.parametrize("i", range(7))
def test_draws_at_a_temperature(i):
    arrays, model = golden("mdnrnn_sampling"), MDNRNN()
    mixture = [arrays[name] for name in ("logmix", "mean", "logstd")]
    noise = arrays[f"u/{i}"], arrays[f"gauss/{i}"]
    z = model.sample(*mixture, float(arrays["temperature"][i]), noise=noise)
    np.testing.assert_allclose(z, arrays[f"next_z/{i}"], rtol=1e-5, atol=1e-5)


# --- JSON ---


def test_a_json_file_of_the_original_opens_and_ours_is_the_same_byte_for_byte(tmp_path):
    arrays = golden("tiny_rnn")
    model = MDNRNN(z_size=2, action_size=1, rnn_size=3, num_mixtures=2)
    model.load_json(GOLDEN / "tiny_rnn.json")
    for i, weight in enumerate(model.original_arrays()):
        np.testing.assert_allclose(weight, arrays[f"w_after_load/{i}"], atol=1e-6)
    predicted = model(arrays["x"])
    np.testing.assert_allclose(predicted.mean, arrays["mean"], **WM_RNN)
    np.testing.assert_allclose(predicted.state.h, arrays["h"], **WM_RNN)
    model.save_json(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (GOLDEN / "tiny_rnn.json").read_bytes()


def test_a_conv_vae_goes_through_json_and_the_writer_is_pythons(tmp_path):
    small = dict(
        z_size=2,
        filters=(2, 2),
        kernel_sizes=(4, 4),
        decoder_filters=(2,),
        decoder_kernel_sizes=(5, 6),
        image_shape=(14, 14, 1),
        dense_units=3,
    )
    model, other = ConvVAE(**small), ConvVAE(**small)
    model.save_json(tmp_path / "vae.json")
    text = (tmp_path / "vae.json").read_text()
    assert text == json.dumps(json.loads(text), sort_keys=True, indent=0, separators=(",", ": "))
    other.load_json(tmp_path / "vae.json")
    for a, b in zip(original.arrays(model), original.arrays(other), strict=True):
        np.testing.assert_allclose(a, b, atol=5.1e-5)  # half of 1/10000, and rounding


@pytest.mark.parametrize(
    "text, message",
    [
        ("[[1, 2], [3", "may be truncated"),
        ("{}", "expected a list of arrays"),
        ("[]", "expected a list of arrays"),
        ("[[[1, 2], [3]]]", "rows of different lengths"),
        ('[["a"], [2]]', "something else than numbers"),
        ("[[1], [2]]", "2 arrays, the model has 4"),
        ("[[1], [2], [3], [4]]", r"array 0 is \[1\], the model's is \[3, 12\]"),
        ("[[1e999], [2], [3], [4]]", "array 0 is not finite"),
        ("[[1e300], [2], [3], [4]]", "array 0 is not finite"),
    ],
)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_json_files_that_do_not_fit(tmp_path, text, message):
    model = MDNRNN(z_size=2, action_size=1, rnn_size=3, num_mixtures=2)
    before = model.original_arrays()
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        model.load_json(tmp_path / "bad.json")
    assert "bad.json" in str(error.value)
    for a, b in zip(before, model.original_arrays(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_that_are_not_finite_are_not_written(tmp_path):
    model = MDNRNN(z_size=2, action_size=1, rnn_size=3, num_mixtures=2)
    model.head.bias.assign(np.full(12, np.nan))
    with pytest.raises(ValueError, match="not finite cannot be written"):
        model.save_json(tmp_path / "bad.json")
    assert not (tmp_path / "bad.json").exists()
