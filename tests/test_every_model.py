"""What every model does as a Keras model. A new model is a new row of `MODELS`.

What does not depend on the model (forms of data, weights, loss scales, refusals) is in
tests/test_sequence_model.py.
"""

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

import kvae
import vrae
import worldmodels
from seqvae.objectives import KLAnnealing, linear
from tests.tolerances import SAME_FLOAT32

RNG = np.random.default_rng(0)
MASK = np.array([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]], np.float32)


class Model(NamedTuple):
    """make: a tiny model, with further arguments; batch: a dict of 4 sequences; part: the name of a
    layer to freeze;
    verbs: what the verbs return for a batch."""

    make: Callable[..., keras.Model]
    batch: dict[str, np.ndarray]
    part: str
    verbs: Callable


MODELS = {
    "KVAE": Model(
        lambda **options: kvae.KVAE(
            (4, 4), num_filters=(2,), alpha_units=3, init_kf_matrices=0.5, seed=0, **options
        ),
        {"frames": (RNG.random((4, 4, 4, 4)) > 0.6).astype(np.float32), "mask": MASK},
        "frame_vae",
        lambda model, batch: (
            model.impute(batch["frames"], batch["mask"]).smoothed,
            model.generate(
                5, states=model.smooth(model.encode(batch["frames"]).mean(), batch["mask"]).mean
            ).frames,
        ),
    ),
    "ConvVAE": Model(
        lambda **options: worldmodels.ConvVAE(
            image_shape=(12, 12, 3),
            filters=(2, 3),
            kernel_sizes=(4, 4),
            decoder_filters=(3,),
            decoder_kernel_sizes=(5, 4),
            dense_units=8,
            z_size=2,
            seed=0,
            **options,
        ),
        {"frames": RNG.random((4, 12, 12, 3)).astype(np.float32)},
        "encoder",
        lambda model, batch: (
            model.reconstruct(batch["frames"]),
            model.decode(model.encode(batch["frames"]).mean()),
        ),
    ),
    "MDNRNN": Model(
        lambda **options: worldmodels.MDNRNN(
            z_size=2, action_size=1, rnn_size=4, num_mixtures=2, seed=0, **options
        ),
        {
            "z": RNG.normal(size=(4, 4, 2)).astype(np.float32),
            "actions": RNG.normal(size=(4, 4, 1)).astype(np.float32),
            "mask": MASK,
        },
        "lstm",
        lambda model, batch: (
            model.step(batch["z"][:, 0], batch["actions"][:, 0]).mean,
            model.dream(batch["z"][:, 0], actions=batch["actions"], seed=1).z,
        ),
    ),
    "VRAE": Model(
        lambda **options: vrae.VRAE(3, z_size=2, rnn_size=4, seed=0, **options),
        {"sequences": RNG.normal(size=(4, 4, 3)).astype(np.float32), "mask": MASK},
        "encoder",
        lambda model, batch: (model.reconstruct(batch["sequences"], batch["mask"]),),
    ),
    "RNN_VAE": Model(
        lambda **options: vrae.vame.rnn_model.RNN_VAE(
            8, 3, 5, True, 2, 4, 4, 4, 4, 0.0, 0.0, 0.0, False, seed=0, **options
        ),
        {"windows": RNG.normal(size=(4, 8, 5)).astype(np.float32)},
        "encoder",
        lambda model, batch: (
            model.reconstruct(batch["windows"]),
            model.encode(batch["windows"]).mean(),
        ),
    ),
}
every_model = pytest.mark.parametrize("name", MODELS)
SLOW = (
    "KVAE",
    "RNN_VAE",
)  # to trace; what depends little on the model is tried on these by `make test-all`
every_model_most_slow = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in MODELS],
)


class Batches(keras.utils.PyDataset):
    """Two batches of two sequences."""

    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def __len__(self):
        return 2

    def __getitem__(self, i):
        return {name: value[2 * i : 2 * i + 2] for name, value in self.batch.items()}


def compiled(name: str, optimizer=None, **options):
    keras.utils.set_random_seed(1)
    model = MODELS[name].make(**options)
    model.compile(optimizer or keras.optimizers.SGD(1e-3))
    return model


def fit(model, data, **options):
    options = dict(batch_size=2, shuffle=False, verbose=0) | options
    return model.fit(data, **options).history


def weights_of(model) -> list[np.ndarray]:
    return [variable.numpy() for variable in model.trainable_variables]


def flat(model) -> np.ndarray:
    return np.concatenate([weight.ravel() for weight in weights_of(model)])


def predicted(model, batch) -> list[np.ndarray]:
    return [
        np.asarray(part) for part in tf.nest.flatten(model.predict(batch, batch_size=4, verbose=0))
    ]


def called(model, batch) -> list[np.ndarray]:
    return [np.asarray(part) for part in tf.nest.flatten(model(batch))]


class Trained(NamedTuple):
    """A model, its weights before and after two epochs on arrays, and their history."""

    model: keras.Model
    initial: list[np.ndarray]
    history: dict[str, list[float]]
    weights: np.ndarray


@pytest.fixture(scope="module")
def trained():
    """The model of a name with its weights after two epochs. Its step is traced once for all
    tests."""
    found = {}

    def of(name) -> Trained:
        if name not in found:
            model = compiled(name)
            initial = model.get_weights()
            found[name] = Trained(
                model, initial, fit(model, MODELS[name].batch, epochs=2), flat(model)
            )
        return found[name]

    return of


def begin_again(trained: Trained) -> keras.Model:
    """The model as it was before its first step."""
    trained.model.set_weights(trained.initial)
    trained.model.optimizer.iterations.assign(0)
    if hasattr(trained.model, "kl_weight"):
        trained.model.kl_weight.assign(1.0)
    return trained.model


@every_model_most_slow
def test_data_sets_train_as_arrays_do(name, trained):
    model, batch = begin_again(trained(name)), MODELS[name].batch
    fit(model, tf.data.Dataset.from_tensor_slices(batch).batch(2), batch_size=None)
    more = fit(model, Batches(batch), batch_size=None)
    np.testing.assert_allclose(flat(model), trained(name).weights, **SAME_FLOAT32)
    np.testing.assert_allclose(more["loss"][0], trained(name).history["loss"][1], rtol=1e-4)


@every_model
def test_every_key_that_is_misspelt_or_missing_is_named(name, trained):
    model, batch = trained(name).model, MODELS[name].batch
    with pytest.raises(
        ValueError,
        match=f"maks: unknown in a batch, which may have .*{next(iter(model.batch_keys))}",
    ):
        fit(model, batch | {"maks": MASK})
    for key in [key for key in batch if key != "mask"]:
        for call in (model.fit, model.evaluate, model.predict):
            with pytest.raises(ValueError, match=key):
                call(
                    {other: value for other, value in batch.items() if other != key}
                    | {"mask": MASK},
                    verbose=0,
                )


@every_model_most_slow
def test_a_missing_value_is_named_where_nothing_says_that_it_is_missing(name, trained):
    model, batch = trained(name).model, MODELS[name].batch
    key = next(iter(batch))
    broken = batch | {
        key: np.where(
            np.arange(4).reshape(-1, *[1] * (batch[key].ndim - 1)) == 3, np.nan, batch[key]
        )
    }
    broken[key] = broken[key].astype(np.float32)
    data = tf.data.Dataset.from_tensor_slices(broken).batch(2)
    for call in (model.fit, model.evaluate, model.predict):
        with pytest.raises(ValueError, match=f"{key}: NaN.* (sequence|frame|window) 3"):
            call(broken, verbose=0)
    with pytest.raises(ValueError, match=f"{key}: NaN.* (sequence|frame|window) 1 of batch 1"):
        fit(model, data, batch_size=None)


@every_model
def test_sequences_of_weight_0_do_not_count(name, trained):
    model, batch = trained(name).model, MODELS[name].batch
    weights = np.array([1.0, 1.0, 0.0, 0.0], np.float32)
    few = {key: value[:2] for key, value in batch.items()}
    seed = tf.constant([1, 2])
    whole = model.loss_terms(
        {**batch, "sample_weight": tf.constant(weights)}, seed=seed, training=False
    )
    for term, expected in zip(whole, model.loss_terms(few, seed=seed, training=False), strict=True):
        np.testing.assert_allclose(term, expected, rtol=2e-4, atol=1e-5)
    assert float(model.count({**batch, "sample_weight": tf.constant(weights)})) == float(
        model.count(few)
    )
    model.evaluate(batch, sample_weight=weights, verbose=0)
    with pytest.raises(ValueError, match="sample_weight: expected finite numbers"):
        model.evaluate(batch, sample_weight=-weights, verbose=0)


@every_model_most_slow
@pytest.mark.parametrize(
    "policy", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)]
)
def test_steps_in_half_precision_move_the_weights_as_in_float32(name, policy, trained):
    model = compiled(name, dtype=policy)
    model.set_weights(trained(name).initial)
    start = flat(model)
    assert all(
        np.isfinite(part).all() for part in called(model, MODELS[name].batch)
    )  # before any verb is called
    fit(model, MODELS[name].batch, epochs=2)
    assert {v.dtype for v in model.trainable_variables} == {"float32"}
    moved, expected = flat(model) - start, trained(name).weights - start
    assert np.linalg.norm(moved - expected) < 0.1 * np.linalg.norm(expected)


@every_model_most_slow
def test_float64_is_float64_throughout(name):
    model = compiled(name, dtype="float64")
    history = fit(
        model, {key: value.astype(np.float64) for key, value in MODELS[name].batch.items()}
    )
    assert np.isfinite(history["loss"][0])
    assert {v.dtype for v in model.trainable_variables} == {"float64"}
    found = {part.dtype for part in called(model, MODELS[name].batch) if part.dtype.kind == "f"}
    assert found == {np.dtype("float64")}
    terms = model.loss_terms(MODELS[name].batch, training=False)
    assert {term.dtype for term in terms} == {tf.float64}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name != "MDNRNN" else ()) for name in MODELS],
)
def test_eagerly_and_by_xla_it_trains_too(name, trained):
    eager, by_xla = (MODELS[name].make() for _ in range(2))
    for model, options in ((eager, dict(run_eagerly=True)), (by_xla, dict(jit_compile=True))):
        model.compile(keras.optimizers.SGD(1e-3), **options)
        model.set_weights(trained(name).initial)
    fit(eager, MODELS[name].batch, epochs=2)
    np.testing.assert_allclose(flat(eager), trained(name).weights, rtol=1e-4, atol=1e-4)
    loss = fit(by_xla, MODELS[name].batch, epochs=2)["loss"]  # XLA draws other noise
    np.testing.assert_allclose(loss, trained(name).history["loss"], rtol=0.5)


@every_model_most_slow
def test_verbs_work_in_a_users_graph_of_unknown_sizes(name, trained):
    model, (_, batch, _, verbs) = trained(name).model, MODELS[name]
    spec = {key: tf.TensorSpec([None, *value.shape[1:]]) for key, value in batch.items()}
    traced = tf.function(lambda given: verbs(model, given), input_signature=[spec], autograph=False)
    for rows in (4, 2):
        given = {key: value[:rows] for key, value in batch.items()}
        for ours, expected in zip(traced(given), verbs(model, given), strict=True):
            np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


@every_model_most_slow
def test_stock_callbacks(name, trained, tmp_path):
    model, batch = begin_again(trained(name)), MODELS[name].batch
    callbacks = keras.callbacks
    used = [
        callbacks.ModelCheckpoint(tmp_path / "best.keras", save_best_only=True, monitor="val_loss"),
        callbacks.ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True),
        callbacks.EarlyStopping("val_loss", patience=5),
        callbacks.ReduceLROnPlateau("val_loss"),
        callbacks.LearningRateScheduler(lambda epoch, rate: rate),
        callbacks.CSVLogger(tmp_path / "log.csv"),
        callbacks.TerminateOnNaN(),
        callbacks.TensorBoard(tmp_path / "board"),
        callbacks.LambdaCallback(
            on_batch_end=lambda step, logs: json.dumps({k: float(v) for k, v in logs.items()})
        ),
    ]
    if hasattr(model, "kl_weight"):
        used.append(KLAnnealing(linear(0, 2)))
    history = fit(model, batch, epochs=2, callbacks=used, validation_data=(batch,))
    assert {f"val_{term}" for term in model.term_names} <= set(history)
    assert np.isfinite([value for values in history.values() for value in values]).all()
    assert {"best.keras", "1.weights.h5", "2.weights.h5", "log.csv", "board"} <= {
        p.name for p in tmp_path.iterdir()
    }
    if hasattr(model, "kl_weight"):
        assert model.kl_weight.numpy() == 0.5


@every_model_most_slow
def test_a_run_that_is_interrupted_is_restored_by_keras(name, trained, tmp_path):
    def stop(epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt

    model, batch, folder = begin_again(trained(name)), MODELS[name].batch, tmp_path / "backup"
    restore = keras.callbacks.BackupAndRestore(folder, delete_checkpoint=False)
    with pytest.raises(KeyboardInterrupt):
        fit(
            model,
            batch,
            epochs=2,
            callbacks=[restore, keras.callbacks.LambdaCallback(on_epoch_begin=stop)],
        )
    begin_again(trained(name))
    history = fit(model, batch, epochs=2, callbacks=[keras.callbacks.BackupAndRestore(folder)])
    assert len(history["loss"]) == 1
    np.testing.assert_allclose(flat(model), trained(name).weights, **SAME_FLOAT32)


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (MODELS["KVAE"].make, MODELS["KVAE"].batch["frames"]),
        (lambda: MODELS["VRAE"].make(missing=True), MODELS["VRAE"].batch["sequences"]),
    ],
    ids=["KVAE", "VRAE"],
)
@pytest.mark.slow
def test_masks_of_steps_and_of_numbers_in_turn(model, data):
    model = model()
    model.compile(keras.optimizers.SGD(0.0))
    numbers = np.broadcast_to(MASK.reshape(4, 4, *[1] * (data.ndim - 2)), data.shape)
    for verb in (model.train_on_batch, model.test_on_batch):
        found = [verb({model.input_name: data, "mask": mask}) for mask in (MASK, numbers, MASK)]
        assert np.isfinite(found).all()
    predicted = [
        tf.nest.flatten(model.predict({model.input_name: data, "mask": mask}, verbose=0))[0]
        for mask in (MASK, numbers, MASK)
    ]
    np.testing.assert_array_equal(predicted[0], predicted[2])


def test_two_inputs_of_which_one_would_be_ignored_are_refused():
    model, batch = compiled("KVAE"), MODELS["KVAE"].batch
    with pytest.raises(ValueError, match="y: expected frames again or a mask, got other val"):
        model([batch["frames"], 1.0 - batch["frames"]])
    with pytest.raises(ValueError, match="frames and codes: expected one of them in a batch"):
        model.evaluate(batch | {"codes": np.zeros((4, 4, 2))}, verbose=0)
    model, batch = compiled("MDNRNN"), MODELS["MDNRNN"].batch
    with pytest.raises(ValueError, match="z and mean: expected one of them in a batch, got both"):
        model.evaluate(batch | {"mean": batch["z"], "logvar": batch["z"]}, verbose=0)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "MDNRNN"])
def test_a_saved_model_keeps_the_weight_of_the_kl(name, tmp_path):
    model = compiled(name)
    model.kl_weight.assign(0.25)
    model.save(tmp_path / "model.keras")
    assert float(keras.models.load_model(tmp_path / "model.keras").kl_weight) == 0.25


@every_model
def test_a_legacy_h5_file_holds_all_weights(name, tmp_path):
    model = MODELS[name].make()
    model.save(tmp_path / "model.h5")
    again = keras.models.load_model(tmp_path / "model.h5", {type(model).__name__: type(model)})
    for ours, theirs in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@every_model_most_slow
def test_copies_compute_the_same(name, trained):
    model, batch = trained(name).model, MODELS[name].batch
    expected = called(model, batch)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    for other in (clone, copy.deepcopy(model)):
        for ours, theirs in zip(called(other, batch), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, **SAME_FLOAT32)


def served_inputs(model, batch):
    """What the exported model takes, of a batch: some of its keys, or the array that
    `serving_inputs` names."""
    wanted = model.serving_inputs()
    if isinstance(wanted, dict):
        given = {key: batch.get(key, MASK)[:, : spec.shape[1]] for key, spec in wanted.items()}
        return {key: tf.constant(value, wanted[key].dtype) for key, value in given.items()}
    arrays = [batch["z"], batch["actions"]] if "z" in batch else [next(iter(batch.values()))]
    return tf.constant(np.concatenate(arrays, -1), wanted.dtype)


@every_model_most_slow
def test_an_exported_model_computes_the_same(name, trained, tmp_path):
    model, batch = trained(name).model, MODELS[name].batch
    model.export(tmp_path / "served", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "served")
    given = served_inputs(model, batch)
    expected = called(model, given)
    served = tf.nest.flatten(loaded.serve(given))
    assert_the_same(served, expected)


def assert_the_same(served, expected):
    """The parts of a result, in any order."""
    assert len(served) == len(expected)
    served, expected = (
        sorted(map(np.asarray, parts), key=lambda part: (part.shape, float(part.sum())))
        for parts in (served, expected)
    )
    for ours, theirs in zip(served, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n in (*SLOW, "VRAE") else n for n in MODELS],
)
def test_a_model_exported_to_onnx_computes_the_same(name, trained, tmp_path):
    model, path = trained(name).model, tmp_path / "model.onnx"
    model.export(path, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(path)
    given = served_inputs(model, MODELS[name].batch)
    inputs = [each.name for each in session.get_inputs()]
    if isinstance(given, dict):
        feed = {
            name: next(v.numpy() for key, v in given.items() if name.endswith(key))
            for name in inputs
        }
    else:
        feed = {inputs[0]: given.numpy()}
    assert_the_same(session.run(None, feed), called(model, given))


@every_model_most_slow
def test_a_frozen_part_stays(name):
    model = compiled(name)
    part = getattr(model, MODELS[name].part)
    part.trainable = False
    model.compile(keras.optimizers.SGD(1e-3), run_eagerly=True)
    frozen, free = [w.numpy() for w in part.weights], weights_of(model)
    fit(model, MODELS[name].batch)
    for before, after in zip(frozen, part.weights, strict=True):
        np.testing.assert_array_equal(before, after)
    assert any(np.abs(a - b).max() > 0 for a, b in zip(free, weights_of(model), strict=True))


@every_model
def test_summary_names_parts_shapes_and_weights(name, trained):
    lines = []
    trained(name).model.summary(print_fn=lambda line, **_: lines.append(line), expand_nested=True)
    text = "\n".join(lines)
    assert MODELS[name].part.split("_")[-1] in text
    assert "unbuilt" not in text
    variables = trained(name).model.trainable_variables
    count = sum(variable.value.shape.num_elements() for variable in variables)
    assert f"Trainable params: {count:,}" in text


@every_model_most_slow
def test_a_subclass_adds_a_layer_and_a_metric(name):
    base = type(MODELS[name].make())

    class More(base):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            self.extra = keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(10.0))
            self.extra.build((None, 2))
            self.seen = keras.metrics.Sum("seen")

        def train_step(self, data):
            self.seen.update_state(1.0)
            return super().train_step(data)

    config = MODELS[name].make().get_config()
    model = More(**{key: value for key, value in config.items() if key != "name"})
    model.compile(keras.optimizers.SGD(1e-3), run_eagerly=True)
    before = model.extra.kernel.numpy()
    history = fit(model, MODELS[name].batch, epochs=2)
    assert history["seen"] == [2.0, 2.0]
    np.testing.assert_allclose(model.extra.kernel, before * (1 - 1e-3 * 2 * 10.0) ** 4, rtol=1e-5)


@pytest.mark.slow  # the tests of each family load their models in the same process
def test_models_saved_here_predict_the_same_in_another_process(trained, tmp_path):
    program = """
import json, sys
import keras, numpy as np, tensorflow as tf
import kvae, vrae, worldmodels
for name in json.loads(sys.argv[2]):
    model = keras.models.load_model(f"{sys.argv[1]}/{name}.keras")
    batch = dict(np.load(f"{sys.argv[1]}/{name}.npz"))
    parts = tf.nest.flatten(model.predict(batch, batch_size=4, verbose=0))
    np.savez(f"{sys.argv[1]}/{name}_there.npz", *parts)
    print(name, int(model.optimizer.iterations))
"""
    for name, model in MODELS.items():
        trained(name).model.save(tmp_path / f"{name}.keras")
        np.savez(tmp_path / f"{name}.npz", **model.batch)
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), json.dumps(list(MODELS))],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=Path(__file__).parents[1],
    )
    assert run.returncode == 0, run.stderr[-2000:]
    iterations = dict(
        line.split()
        for line in run.stdout.splitlines()
        if line.split()[:1] and line.split()[0] in MODELS
    )
    for name in MODELS:
        assert int(iterations[name]) == int(trained(name).model.optimizer.iterations)
        there = np.load(tmp_path / f"{name}_there.npz")
        here = predicted(trained(name).model, MODELS[name].batch)
        for i, part in enumerate(here):
            np.testing.assert_allclose(there[f"arr_{i}"], part, **SAME_FLOAT32)


@pytest.mark.slow
def test_six_models_in_one_process_bring_no_warning_of_retracing(caplog):
    """TensorFlow warns of the fifth."""
    batch = MODELS["MDNRNN"].batch
    with caplog.at_level("WARNING", "tensorflow"):
        for _ in range(6):
            model = MODELS["MDNRNN"].make()
            model.step(batch["z"][:, 0], batch["actions"][:, 0])
            model.predict(batch, verbose=0)
    assert "retracing" not in caplog.text
