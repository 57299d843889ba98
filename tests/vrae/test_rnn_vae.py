"""VAME's `RNN_VAE` as any Keras model: `fit` trains VAME's objective; files, exports, precision
policies."""

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf

from seqvae.objectives import KLAnnealing
from tests.tolerances import FLOAT32, MIXED, SAME_FLOAT32, VAME_FLOAT32
from vrae.vame import rnn_vae
from vrae.vame.rnn_model import RNN_VAE

pytestmark = pytest.mark.eager

RNG = np.random.default_rng(0)
WINDOWS = RNG.standard_normal((6, 10, 3)).astype(np.float32)  # windows of 5 steps, and 5 after them
NOISE = RNG.standard_normal((6, 2)).astype(np.float32)


def make(seed=0, **options):
    keras.utils.set_random_seed(seed)
    return RNN_VAE(
        **dict(
            TEMPORAL_WINDOW=10,
            ZDIMS=2,
            NUM_FEATURES=3,
            FUTURE_DECODER=True,
            FUTURE_STEPS=2,
            hidden_size_layer_1=4,
            hidden_size_rec=3,
            hidden_size_pred=3,
        )
        | options
    )


@pytest.fixture(scope="module")
def model():
    made = make()
    made.compile(keras.optimizers.SGD(1e-3))
    return made


@pytest.fixture
def no_noise(monkeypatch):
    """Codes are their means: XLA draws other numbers than a plain graph."""
    monkeypatch.setattr(
        "vrae.vame.rnn_model.normal", lambda shape, seed, dtype=tf.float32: tf.zeros(shape, dtype)
    )


def dataset(*arrays):
    return tf.data.Dataset.from_tensor_slices(arrays if len(arrays) > 1 else arrays[0]).batch(3)


# --- the objective ---


@pytest.mark.slow
def test_fit_takes_the_steps_of_vames_train(no_noise):
    by_fit, by_train = make(kl_weight=0.5), make()
    by_fit.compile(rnn_vae.Adam(0.01))
    history = by_fit.fit(WINDOWS, epochs=2, batch_size=3, shuffle=False, verbose=0).history
    batches, optimizer = (
        [WINDOWS[:3].transpose(0, 2, 1), WINDOWS[3:].transpose(0, 2, 1)],
        rnn_vae.Adam(0.01),
    )
    for epoch in range(2):
        weight, loss, cluster, kl, rec, future, _ = rnn_vae.train(
            batches,
            2,
            by_train,
            optimizer,
            "linear",
            1.0,
            0,
            4,
            5,
            True,
            2,
            None,
            "sum",
            "sum",
            30,
            0.1,
            3,
            False,
            draws=np.zeros((2, 3, 2)),
        )
        found = {name: values[epoch] for name, values in history.items()}
        expected = dict(
            loss=loss, cluster=cluster / weight, kl=kl, reconstruction=rec, future=future
        )
        assert weight == 0.5 and found == pytest.approx(expected, rel=1e-4)
    for ours, theirs in zip(by_fit.trainable_variables, by_train.trainable_variables, strict=True):
        np.testing.assert_allclose(ours, theirs, **VAME_FLOAT32)


@pytest.mark.graph
@pytest.mark.slow
def test_vames_train_compiles_its_step_once(no_noise):
    model, optimizer = make(), rnn_vae.Adam(0.01)
    named, rest = ("linear", 1.0, 0, 4, 5), (True, 2, None, "sum", "sum", 30, 0.1, 3, False)
    for epoch in range(2):
        batches = [WINDOWS[:3].transpose(0, 2, 1)]
        rnn_vae.train(batches, epoch, model, optimizer, *named, *rest)
    (step,) = model._compiled_steps.values()
    assert step.experimental_get_tracing_count() == 1


def test_evaluate_is_vames_test_and_the_future(model):
    mse, loss, cluster = rnn_vae.test(
        [WINDOWS.transpose(0, 2, 1)], model, 1.0, 1.0, 5, "sum", 30, 0.1, True, 6
    )
    logs = model.evaluate(WINDOWS, batch_size=6, verbose=0, return_dict=True)
    found = [logs["reconstruction"], logs["loss"] - logs["future"], logs["cluster"]]
    np.testing.assert_allclose(found, [mse, loss, cluster], **VAME_FLOAT32)
    error = np.sum((model(WINDOWS[:, :5]).future - WINDOWS[:, 5:7]) ** 2)
    np.testing.assert_allclose(logs["future"], error, **FLOAT32)


@pytest.mark.slow
def test_weights_of_the_terms_are_arguments_and_annealed():
    model = make(
        beta=3.0,
        kmeans_lambda=0.0,
        mse_reconstruction_reduction="mean",
        mse_prediction_reduction="mean",
    )
    terms = model.loss_terms(WINDOWS, noise=NOISE)
    assert terms.cluster == 0.0 and terms.reconstruction < 10.0
    model.kl_weight.assign(0.5)
    np.testing.assert_allclose(
        model.objective(terms), terms.reconstruction + terms.future + 1.5 * terms.kl, **FLOAT32
    )
    model.compile("sgd")
    annealing = KLAnnealing(lambda epoch: rnn_vae.kl_annealing(epoch + 1, 1, 4, "linear"))
    model.fit(WINDOWS, epochs=3, verbose=0, callbacks=[annealing])
    assert model.kl_weight == 0.5  # of VAME's epoch 3
    assert model.count_params() == sum(np.size(v) for v in model.trainable_variables)


def test_a_weight_of_0_leaves_a_window_out_and_a_weight_of_2_counts_it_twice():
    weights, chosen = np.array([1, 0, 2, 0, 1, 0], np.float32), [0, 2, 2, 4]
    for reduction in ("sum", "mean"):
        model = make(mse_reconstruction_reduction=reduction)
        found = model.loss_terms({"windows": WINDOWS, "sample_weight": weights}, noise=NOISE)
        expected = model.loss_terms(WINDOWS[chosen], noise=NOISE[chosen])
        for name in found._fields:
            np.testing.assert_allclose(
                getattr(found, name), getattr(expected, name), **FLOAT32, err_msg=name
            )
    assert model.count({"windows": WINDOWS, "sample_weight": weights}) == 4.0


@pytest.mark.slow
def test_noise_on_the_input_is_of_training_alone():
    model = make(noise=True)

    def terms(seed, training):
        return float(model.loss_terms(WINDOWS, noise=NOISE, seed=seed, training=training).kl)

    assert terms(1, True) == terms(1, True) != terms(2, True)
    assert terms(1, False) == terms(2, False)


SEEN = (np.random.default_rng(1).random((6, 10)) < 0.7).astype(np.float32)
GAPS = np.where(SEEN[..., None] > 0, WINDOWS, np.nan).astype(np.float32)


def test_missing_values_and_masked_frames_count_for_nothing():
    mask, gaps, model, tolerant = SEEN, GAPS, make(), make(missing_values=True)
    expected = model.loss_terms({"windows": WINDOWS, "mask": mask}, noise=NOISE)
    for found in (
        tolerant.loss_terms(gaps, noise=NOISE),
        model.loss_terms({"windows": gaps, "mask": mask}, noise=NOISE),
    ):
        np.testing.assert_allclose(found, expected, **SAME_FLOAT32)
    made = model(np.where(mask[..., None] > 0, WINDOWS, 0.0)[:, :5]).prediction
    np.testing.assert_allclose(tolerant.reconstruct(gaps), made, **SAME_FLOAT32)


@pytest.mark.slow
def test_fit_and_predict_leave_out_missing_values_in_every_form():
    model, tolerant = make(), make(missing_values=True)
    made = model(np.where(SEEN[..., None] > 0, WINDOWS, 0.0)[:, :5]).prediction
    for data in ((GAPS, SEEN), {"windows": GAPS, "mask": SEEN}, dataset(GAPS, SEEN.astype(bool))):
        np.testing.assert_allclose(model.predict(data, verbose=0).prediction, made, **SAME_FLOAT32)
    tolerant.compile("sgd")
    assert np.isfinite(tolerant.fit(GAPS, verbose=0).history["loss"]).all()


# --- verbs ---


def test_codes_of_windows_and_of_a_series(model, monkeypatch):
    series, outputs = RNG.standard_normal((12, 3)).astype(np.float32), model(WINDOWS[:, :5])
    q = model.encode(WINDOWS)
    np.testing.assert_allclose(q.mean(), outputs.mu, **SAME_FLOAT32)
    np.testing.assert_allclose(q.variance(), np.exp(outputs.logvar), **SAME_FLOAT32)
    np.testing.assert_allclose(model.reconstruct(WINDOWS), outputs.prediction, **SAME_FLOAT32)
    np.testing.assert_array_equal(model.embed(WINDOWS), q.mean())
    monkeypatch.setattr("vrae.vame.rnn_model._CHUNK", 3)
    codes = model.embed(series)
    assert codes.shape == (8, 2)
    windows = np.stack([series[i : i + 5] for i in range(8)])
    np.testing.assert_allclose(codes, model.embed(windows), **SAME_FLOAT32)
    mask = np.array([1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 1, 1])
    masked = np.stack([mask[i : i + 5] for i in range(8)])
    np.testing.assert_allclose(
        model.embed(series, mask), model.embed(windows, masked), **SAME_FLOAT32
    )


def changed(at, value):
    made = WINDOWS.copy()
    made[at] = value
    return made


@pytest.mark.parametrize(
    "batch, message",
    [
        (
            {"windows": changed((4, 0, 1), np.nan)},
            "windows: NaN or infinity in sequence {}. Pass a mask",
        ),
        (
            {"windows": WINDOWS, "mask": np.full((6, 10), 0.5)},
            "mask: expected only 1 .observed. and 0 .missing.",
        ),
        (
            {"windows": WINDOWS, "mask": np.ones((6, 9))},
            r"mask: expected the shape \(\w+, 10\), got \(\w+, 9\)",
        ),
        (
            {"windows": WINDOWS[..., :2]},
            r"windows: expected \[B, 5 steps or more, 3\], got the shape",
        ),
        (
            {"windows": WINDOWS.transpose(0, 2, 1)},
            r"transposed from VAME's \[B, features, steps\], got the shape",
        ),
        ({"windows": WINDOWS[:, :4]}, r"windows: expected \[B, 5 steps or more, 3\]"),
        (
            {"windows": np.concatenate([WINDOWS, WINDOWS], 1)},
            "windows: expected at most TEMPORAL_WINDOW = 10 steps, got 20. Later steps would not",
        ),
        (
            {"windows": WINDOWS, "mask": np.ones_like(WINDOWS)},
            "mask: .* Make the model with missing_values=True and set single missing",
        ),
        ({"window": WINDOWS}, "window: unknown in a batch, which may have windows, mask"),
        ({"mask": np.ones((6, 10))}, "windows: missing in a batch of mask"),
    ],
    ids=[
        "nan",
        "half",
        "mask",
        "features",
        "transposed",
        "short",
        "long",
        "numbers",
        "key",
        "none",
    ],
)
@pytest.mark.parametrize(
    "data_sets", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["arrays", "data sets"]
)
def test_fit_evaluate_and_predict_refuse_what_the_verbs_refuse(model, batch, message, data_sets):
    for verb in (model.fit, model.evaluate, model.predict):
        with pytest.raises(ValueError, match=message.format("4")):
            verb(batch, verbose=0)
        if data_sets:
            with pytest.raises(ValueError, match=message.format("1 of batch 1")):
                verb(dataset(batch), verbose=0)
    for call in (model.loss_terms, model):
        with pytest.raises(ValueError, match=message.format("4")):
            call(batch)


_SHORT = dataset(WINDOWS[:, :6])
_UNKNOWN = _SHORT.map(
    lambda x: tf.ensure_shape(
        tf.cond(x[0, 0, 0] > 99, lambda: x[:, :5], lambda: x), [None, None, 3]
    )
)


@pytest.mark.parametrize(
    "data",
    [
        WINDOWS[:, :6],
        pytest.param(_SHORT, marks=pytest.mark.slow),
        pytest.param(_UNKNOWN, marks=pytest.mark.slow),
    ],
    ids=["arrays", "data set", "data set of unknown length"],
)
def test_training_needs_what_the_future_decoder_predicts_and_prediction_does_not(model, data):
    message = (
        "windows: expected 5 steps and the 2 after them, which the future decoder predicts, "
        "got 6. Pass longer"
    )
    for verb in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=f"^{message}"):
            verb(data, verbose=0)
    with pytest.raises(ValueError, match=message):
        model.loss_terms(WINDOWS[:, :6])
    assert model.predict(WINDOWS[:, :6], verbose=0).future.shape == (6, 2, 3)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda m: make(beta=-1.0), "beta: expected at least 0, got -1.0"),
        (lambda m: make(kmeans_loss=0), "kmeans_loss: expected an integer of at least 1"),
        (lambda m: make(kmeans_lambda="a"), "kmeans_lambda: expected at least 0, got 'a'"),
        (lambda m: make(kl_weight=float("inf")), "kl_weight: expected at least 0, got inf"),
        (
            lambda m: make(mse_prediction_reduction="max"),
            "mse_prediction_reduction: expected one of sum, mean",
        ),
        (
            lambda m: make(TEMPORAL_WINDOW="10"),
            "TEMPORAL_WINDOW: expected twice the steps of a window",
        ),
        (lambda m: make(FUTURE_STEPS=None), "FUTURE_STEPS: expected 1 to 5"),
        (lambda m: make(ZDIMS=2.0), "ZDIMS: expected an integer of at least 1, got 2.0"),
        (
            lambda m: make(dropout_encoder=None),
            "dropout_encoder: expected at least 0 and below 1, got None",
        ),
        (lambda m: m.encode("windows"), "windows: expected an array of numbers, got string"),
        (lambda m: m.encode(WINDOWS, [[1.0]]), r"mask: expected the shape \(6, 10\), got \(1, 1\)"),
        (
            lambda m: m.embed(WINDOWS[0, :4]),
            "windows: expected .B, 5 steps or more, 3., got the shape .1, 4, 3.",
        ),
        (
            lambda m: m.embed(WINDOWS[0], np.ones(3)),
            r"mask: expected the shape \(1, 10\), got \(1, 3\)",
        ),
        (lambda m: m.embed(WINDOWS[0, 0]), "windows: expected"),
        (
            lambda m: m.compile("sgd", metrics=["mse"]),
            "metrics: expected none. RNN_VAE is trained on its own objective",
        ),
    ],
)
def test_arguments_of_a_wrong_kind_are_named(model, call, message):
    with pytest.raises(ValueError, match=message):
        call(model)


# --- precision, compilers, files ---


@pytest.mark.slow  # tests/test_every_model.py has it for every model
def test_float64_reaches_weights_outputs_and_losses():
    model = make(dtype="float64")
    terms = model.loss_terms(WINDOWS)
    made = [
        *terms,
        model.objective(terms),
        *model(WINDOWS),
        model.encode(WINDOWS).stddev(),
        model.embed(WINDOWS[0]),
    ]
    assert {tf.as_dtype(value.dtype) for value in made} == {tf.float64}
    assert {v.dtype for v in model.weights} == {"float64"}


@pytest.mark.slow  # tests/test_every_model.py has it for every model
def test_the_same_steps_under_mixed_policies_move_the_weights_alike(no_noise):
    moved = {}
    for policy in ("float32", "mixed_bfloat16", "mixed_float16"):
        model = make(dtype=policy)
        before = np.concatenate([v.numpy().ravel() for v in model.trainable_variables])
        assert model(WINDOWS).prediction.dtype == tf.float32  # before any verb
        model.compile(keras.optimizers.SGD(1e-3))
        model.fit(WINDOWS, batch_size=3, epochs=2, shuffle=False, verbose=0)
        moved[policy] = (
            np.concatenate([v.numpy().ravel() for v in model.trainable_variables]) - before
        )
    for policy, found in moved.items():
        np.testing.assert_allclose(found, moved["float32"], **MIXED, err_msg=policy)
    assert np.abs(moved["float32"]).max() > 0.02


@pytest.mark.slow  # tests/test_every_model.py has it for every model
def test_xla_and_eager_execution_train_alike(no_noise):
    results = []
    for how in (dict(jit_compile=False), dict(jit_compile=True), dict(run_eagerly=True)):
        model = make()
        model.compile(keras.optimizers.SGD(1e-3), **how)
        history = model.fit(WINDOWS, batch_size=3, shuffle=False, verbose=0).history
        results.append(
            [history["loss"][0], *model.get_weights(), *model.predict(WINDOWS, verbose=0)]
        )
    for other in results[1:]:
        for found, expected in zip(other, results[0], strict=True):
            np.testing.assert_allclose(found, expected, **SAME_FLOAT32)


@pytest.mark.slow  # tests/test_every_model.py has it for every model
def test_it_is_exported_saved_and_copied(model, tmp_path):
    x = WINDOWS[:, :5]
    model.export(tmp_path / "served", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    for count in (2, 6):
        served = tf.nest.flatten(loaded.serve({"windows": x[:count]}))
        for found, expected in zip(served, model(x[:count]), strict=True):
            np.testing.assert_allclose(found, expected, **SAME_FLOAT32)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "a.h5")
    other = make(seed=1)
    other.load_weights(tmp_path / "a.h5")
    for each in (keras.models.load_model(tmp_path / "model.keras"), copy.deepcopy(model), other):
        np.testing.assert_array_equal(each(x).prediction, model(x).prediction)
        assert each.get_config() | {"name": ""} == model.get_config() | {"name": ""}


@pytest.mark.slow
def test_regularisers_of_sub_layers_count():
    model = make(dtype="float32")
    model.decoder.hidden_to_output.kernel.regularizer = keras.regularizers.L2(2.0)
    model.compile("sgd")
    logs = model.evaluate(WINDOWS, verbose=0, return_dict=True)
    terms = sum(value for name, value in logs.items() if name != "loss")
    penalty = 2.0 * np.sum(model.decoder.hidden_to_output.kernel.numpy() ** 2)
    np.testing.assert_allclose(logs["loss"] - terms, penalty, **FLOAT32)


@pytest.mark.slow  # tests/test_every_model.py has it for every model
def test_verbs_in_a_users_function_with_unknown_sizes(model):
    @tf.function(input_signature=[tf.TensorSpec([None, None, 3])], autograph=False)
    def verbs(x):
        return (
            model.encode(x).mean(),
            model.reconstruct(x),
            model.objective(model.loss_terms(x, training=False)),
        )

    for count in (2, 5):
        code, made, loss = verbs(WINDOWS[:count])
        np.testing.assert_allclose(code, model.embed(WINDOWS[:count]), **SAME_FLOAT32)
        np.testing.assert_allclose(made, model.reconstruct(WINDOWS[:count]), **SAME_FLOAT32)
        np.testing.assert_allclose(
            loss, model.objective(model.loss_terms(WINDOWS[:count], training=False)), **SAME_FLOAT32
        )
