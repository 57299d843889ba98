"""`VRAE` as any Keras model: data, precision, compilers, files, and encoders and decoders of a
user's."""

import copy
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.tolerances import FLOAT32, MIXED, SAME_FLOAT32
from vrae import VRAE

pytestmark = pytest.mark.eager

SMALL = dict(feature_size=3, z_size=2, rnn="gru", rnn_size=4, bidirectional=False, decoder="latent")
TOKENS = SMALL | dict(likelihood="categorical", condition_size=2)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 4, 3)).astype(np.float32)
MASK = (np.arange(4) < np.array([[4], [2], [3], [4], [1], [2]])).astype(np.float32)
BATCH = {"sequences": X, "mask": MASK}
LABELS = {
    "sequences": RNG.integers(0, 3, (6, 4)),
    "mask": MASK,
    "condition": RNG.standard_normal((6, 2)).astype("float32"),
}
NOISE = np.zeros((6, 2), np.float32)


def make(seed=0, **options):
    keras.utils.set_random_seed(seed)
    return VRAE(**SMALL | options)


@pytest.fixture(scope="module")
def model():
    made = make()
    made.compile(keras.optimizers.SGD(0.01))
    return made


@pytest.fixture(scope="module")
def tokens():
    made = make(**TOKENS)
    made.compile(keras.optimizers.SGD(0.01))
    return made


@pytest.fixture
def no_noise(monkeypatch):
    """Codes are their means: XLA draws other numbers than a plain graph."""
    monkeypatch.setattr(
        "vrae.model.normal", lambda shape, seed, dtype=tf.float32: tf.zeros(shape, dtype)
    )


def dataset(*arrays):
    return tf.data.Dataset.from_tensor_slices(arrays if len(arrays) > 1 else arrays[0]).batch(3)


# --- data ---


@pytest.mark.slow
def test_predict_uses_the_mask_and_the_condition_of_every_form_that_fit_takes(model, tokens):
    expected = model.reconstruct(X, MASK).numpy()
    for data in (BATCH, (X, MASK), dataset(X, MASK), dataset(BATCH | {"mask": MASK.astype(bool)})):
        np.testing.assert_allclose(model.predict(data, verbose=0), expected, **SAME_FLOAT32)
    np.testing.assert_allclose(model(X, mask=MASK), expected, **SAME_FLOAT32)
    assert np.abs(model.predict(X, verbose=0) - expected).max() > 0.0
    written = tokens.predict(LABELS, verbose=0)
    np.testing.assert_array_equal(written, tokens.reconstruct(**LABELS))


def test_ragged_tensors_are_evaluated_and_predicted(model):
    lengths = MASK.sum(1).astype(int)
    ragged = tf.RaggedTensor.from_row_lengths(X[MASK > 0], lengths)
    found = model.predict(ragged, batch_size=6, verbose=0)
    assert model.predict(ragged, batch_size=2, verbose=0).shape == (
        6,
        None,
        3,
    )  # batches of other lengths
    np.testing.assert_allclose(found, model.reconstruct(X, MASK), **SAME_FLOAT32)
    kl = [
        model.evaluate(data, batch_size=6, verbose=0, return_dict=True)["kl"]
        for data in (ragged, BATCH)
    ]
    np.testing.assert_allclose(*kl, **SAME_FLOAT32)


def test_an_array_of_tokens_twice_is_an_auto_encoders_target(tokens):
    plain = make(likelihood="categorical")
    plain.compile("sgd")
    x = LABELS["sequences"]
    assert np.isfinite(plain.evaluate(x, x, verbose=0)).all()
    with pytest.raises(ValueError, match=r"mask: expected only 1 .observed. .* in sequence 0"):
        plain.evaluate(x, x.copy(), verbose=0)


def test_a_weight_of_0_leaves_a_sequence_out_and_a_weight_of_2_counts_it_twice(model):
    noise = RNG.standard_normal((6, 2)).astype(np.float32)
    weighted = BATCH | {"sample_weight": np.array([1, 0, 2, 0, 1, 0], np.float32)}
    chosen = [0, 2, 2, 4]
    expected = model.loss_terms(
        {n: v[chosen] for n, v in BATCH.items()}, noise=noise[chosen], training=False
    )
    found = model.loss_terms(weighted, noise=noise, training=False)
    for name in found._fields:
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), **SAME_FLOAT32, err_msg=name
        )
    assert model.count(weighted) == 4.0 and model.count(BATCH) == 6.0
    one = model.evaluate(
        X, MASK, sample_weight=weighted["sample_weight"], batch_size=2, verbose=0, return_dict=True
    )
    np.testing.assert_allclose(one["kl"], expected.kl, **FLOAT32)


def values(change):
    """The batch with one value changed."""
    batch = {name: value.copy() for name, value in BATCH.items()}
    change(batch)
    return batch


@pytest.mark.parametrize(
    "batch, message",
    [
        (
            values(lambda b: b["sequences"].__setitem__((4, 0, 1), np.nan)),
            "NaN or infinity in a step of sequence {}",
        ),
        (
            values(lambda b: b["mask"].__setitem__((4, 0), 0.5)),
            r"mask: expected only 1 .observed. and 0 .* in sequence {}",
        ),
        (
            values(lambda b: b["mask"].__setitem__(4, 0)),
            r"mask: expected an observed step in every sequence, got none in sequence {}",
        ),
        (
            values(lambda b: b.update(mask=MASK[:, :2])),
            r"mask: expected the shape \(\w+, 4\), got \(\w+, 2\)",
        ),
        (
            values(lambda b: b.update(sequences=X[..., :2])),
            r"sequences: expected \[B, T, 3\], got the shape",
        ),
        (
            values(lambda b: b.update(masks=MASK)),
            "masks: unknown in a batch, which may have sequences, mask, times, condition",
        ),
        (values(lambda b: b.pop("sequences")), "sequences: missing in a batch of mask"),
        (
            values(lambda b: b.update(condition=MASK)),
            r"condition: expected \[B, 0\], got the shape \(\w+, 4\)",
        ),
    ],
    ids=["nan", "half", "empty", "shape", "features", "key", "missing", "condition"],
)
def test_fit_evaluate_and_predict_refuse_what_the_verbs_refuse(model, batch, message):
    for verb in (model.fit, model.evaluate, model.predict):
        with pytest.raises(ValueError, match=message.format("4")):
            verb(batch, verbose=0)
        with pytest.raises(ValueError, match=message.format("1 of batch 1")):
            verb(dataset(batch), verbose=0)
    with pytest.raises(ValueError, match=message.format("4").replace(r"\w+", r"\d")):
        model.loss_terms(batch)
    with pytest.raises(ValueError, match=message.format("4").replace(r"\w+", r"\d")):
        model(batch)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(condition=None), r"condition: expected vectors \[B, 2\] .* got none"),
        (dict(condition=np.full((6, 2), np.inf)), "condition: NaN or infinity in sequence 0"),
        (dict(condition=np.zeros((5, 2))), "condition: 5 vectors for 6 sequences"),
        (
            dict(sequences=np.full((6, 4), 3)),
            "tokens from 0 to 3, expected 0 to 2|tokens from 3 to 3",
        ),
        (dict(sequences=np.full((6, 4), 0.5)), "expected whole numbers, tokens"),
        (dict(sequences=[["a"] * 4] * 6), "sequences: expected an array of numbers, got string"),
    ],
)
def test_tokens_and_conditions_that_are_refused(tokens, change, message):
    batch = {name: value for name, value in (LABELS | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        tokens.encode(**batch)
    with pytest.raises(ValueError, match=message):
        tokens.loss_terms(batch)
    if all(isinstance(value, np.ndarray) and len(value) == 6 for value in batch.values()):
        with pytest.raises(ValueError, match=message):
            tokens.fit(batch, verbose=0)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda m: VRAE(3.5), "feature_size: expected an integer of at least 1, got 3.5"),
        (lambda m: VRAE(3, z_size="2"), "z_size: expected an integer of at least 1, got '2'"),
        (lambda m: VRAE(3, kl_weight="1"), "kl_weight: expected at least 0, got '1'"),
        (lambda m: VRAE(3, noise_var=float("nan")), "noise_var: expected at least 1e-12, got nan"),
        (lambda m: VRAE(3, rnn=None), "rnn: expected one of lstm, gru, got None"),
        (lambda m: m.decode("z", 3), "z: expected an array of numbers, got string"),
        (lambda m: m.decode([[0.0, 0.0], [0.0]], 3), "z: expected an array of numbers, got list"),
        (
            lambda m: m.encode(np.ma.masked_invalid(X)),
            "sequences: .*a masked array, whose mask would be lost",
        ),
        (lambda m: m.decode(NOISE, 2.5), "num_steps: expected an integer of at least 1, got 2.5"),
        (lambda m: m.generate(None, 2), "n: expected an integer of at least 1, got None"),
        (
            lambda m: m.interpolate("a", X[0], 2, 2),
            "first: expected an array of numbers, got string",
        ),
        (
            lambda m: m.encode(X[:0]),
            r"sequences: expected \[B, T, 3\], at least one of each, got the shape \(0, 4, 3\)",
        ),
        (lambda m: m.encode(X, "mask"), "mask: expected an array of numbers, got string"),
        (lambda m: m.predict((X, MASK, MASK), verbose=0), "x: expected sequences, or a pair"),
        (
            lambda m: m.compile("sgd", loss="mse"),
            r"loss: expected none. VRAE is trained on its own objective, -\(log_px",
        ),
    ],
)
def test_arguments_of_a_wrong_kind_are_named(model, call, message):
    with pytest.raises(ValueError, match=message):
        call(model)


# --- precision and compilers ---


@pytest.mark.slow  # tests/test_every_model.py has it for every model
def test_float64_reaches_weights_outputs_and_losses():
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy(
        "float64"
    )  # Keras keeps the policy that an earlier model was made under
    try:
        model = make(
            decoder="autoregressive",
            segment_steps=2,
            rnn="lstm",
            bidirectional=True,
            attention=True,
        )
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
    assert {v.dtype for v in model.weights} == {"float64"}
    q, terms = model.encode(X, MASK), model.loss_terms(BATCH, seed=1)
    made = [
        q.mean(),
        q.stddev(),
        *terms,
        model.objective(terms),
        model.generate(2, 3),
        model(BATCH),
    ]
    assert {value.dtype for value in made} == {tf.float64}
    assert (
        make(dtype="float64", likelihood="bernoulli").loss_terms((X > 0) * 1.0).log_px.dtype
        == tf.float64
    )
    model.compile("sgd")
    assert np.isfinite(model.fit(BATCH, verbose=0).history["loss"]).all()


@pytest.mark.slow  # tests/test_every_model.py has it for every model
@pytest.mark.parametrize("decoder", ["autoregressive", "latent"])
def test_the_same_steps_under_mixed_policies_move_the_weights_alike(decoder, no_noise):
    moved = {}
    for policy in ("float32", "mixed_bfloat16", "mixed_float16"):
        model = make(
            dtype=policy,
            decoder=decoder,
            rnn="lstm",
            segment_steps=2 if decoder == "latent" else None,
        )
        before = np.concatenate([v.numpy().ravel() for v in model.trainable_variables])
        assert model(X).dtype == tf.float32  # before any verb
        model.compile(keras.optimizers.SGD(0.01))
        model.fit(BATCH, batch_size=3, epochs=2, shuffle=False, verbose=0)
        moved[policy] = (
            np.concatenate([v.numpy().ravel() for v in model.trainable_variables]) - before
        )
    for policy, found in moved.items():
        np.testing.assert_allclose(found, moved["float32"], **MIXED, err_msg=policy)
    assert np.abs(moved["float32"]).max() > 0.02


@pytest.mark.slow  # tests/test_every_model.py has it for every model
@pytest.mark.parametrize(
    "options",
    [
        dict(decoder="autoregressive", rnn="lstm", bidirectional=True),
        dict(segment_steps=2, attention=True),
    ],
)
def test_xla_and_eager_execution_train_alike(options, no_noise):
    results = []
    for how in (dict(jit_compile=False), dict(jit_compile=True), dict(run_eagerly=True)):
        model = make(**options)
        model.compile(keras.optimizers.SGD(0.01), **how)
        history = model.fit(BATCH, batch_size=3, shuffle=False, verbose=0).history
        results.append(
            [history["loss"][0], model.evaluate(BATCH, verbose=0)[0], *model.get_weights()]
        )
        results[-1].append(model.predict(BATCH, verbose=0))
    for other in results[1:]:
        for found, expected in zip(other, results[0], strict=True):
            np.testing.assert_allclose(found, expected, **SAME_FLOAT32)


@pytest.mark.slow  # tests/test_every_model.py has it for every model
def test_verbs_in_a_users_function_with_unknown_sizes(model, tokens):
    spec = [tf.TensorSpec([None, None, 3]), tf.TensorSpec([None, None])]

    @tf.function(input_signature=spec, autograph=False)
    def verbs(x, mask):
        code = model.encode(x, mask).mean()
        return (
            code,
            model.decode(code, 3),
            model.reconstruct(x, mask),
            model.objective(model.loss_terms(x, seed=1)),
        )

    for count in (2, 5):
        code, decoded, made, loss = verbs(X[:count], MASK[:count])
        np.testing.assert_allclose(made, model.reconstruct(X[:count], MASK[:count]), **SAME_FLOAT32)
        np.testing.assert_allclose(decoded, model.decode(code, 3), **SAME_FLOAT32)
        np.testing.assert_allclose(
            loss, model.objective(model.loss_terms(X[:count], seed=1)), **SAME_FLOAT32
        )


@pytest.mark.slow  # tests/test_every_model.py has it for every model
def test_ten_models_in_a_process_warn_of_no_retracing(caplog):
    for seed in range(10):
        made = VRAE(
            3, z_size=1, rnn="gru", rnn_size=1, decoder="latent", bidirectional=False, seed=seed
        )
        made.decode(np.zeros((1, 1), np.float32), 2)
    assert "retracing" not in caplog.text


# --- files and copies ---


@pytest.mark.slow
@pytest.mark.graph
def test_an_exported_model_computes_the_same(model, tokens, tmp_path):
    model.export(tmp_path / "floats", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "floats"))
    for count in (2, 6):
        found = loaded.serve({name: value[:count] for name, value in BATCH.items()})
        np.testing.assert_allclose(
            found, model.reconstruct(X[:count], MASK[:count]), **SAME_FLOAT32
        )
    tokens.export(tmp_path / "tokens", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "tokens"))
    batch = LABELS | {"sequences": LABELS["sequences"].astype(np.int32)}
    np.testing.assert_array_equal(loaded.serve(batch), tokens.reconstruct(**LABELS))


def test_weights_and_copies(model, tmp_path):
    model.save_weights(tmp_path / "a.h5")
    other = make(seed=1)
    other.load_weights(tmp_path / "a.h5")
    copies = [
        other,
        copy.deepcopy(model),
        VRAE.from_config(model.get_config()),
        keras.models.clone_model(model),
    ]
    for each in copies[2:]:  # of the configuration alone
        each.set_weights(model.get_weights())
    for each in copies:
        np.testing.assert_array_equal(each.reconstruct(X, MASK), model.reconstruct(X, MASK))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.save(tmp_path / "model.keras")
        again = keras.models.load_model(tmp_path / "model.keras")
    assert again.optimizer.learning_rate == np.float32(0.01)


# --- encoders and decoders of a user's ---


@keras.saving.register_keras_serializable(package="tests")
class MeanEncoder(keras.layers.Layer):
    """Reads the mean of the steps that are there."""

    def __init__(self, z_size, **options):
        super().__init__(**options)
        self.z_size, self.both = (
            z_size,
            keras.layers.Dense(2 * z_size, kernel_regularizer=keras.regularizers.L2(0.5)),
        )
        self.drop = keras.layers.Dropout(0.5)

    def build(self, shape):
        self.both.build((None, shape[-1]))
        self.built = True

    def call(self, inputs, mask=None, training=False):
        there = tf.cast(mask, inputs.dtype)[..., None]
        mean = tf.reduce_sum(there * inputs, 1) / tf.reduce_sum(there, 1)
        return tf.split(self.both(self.drop(mean, training=training)), 2, axis=-1)

    def get_config(self):
        return super().get_config() | {"z_size": self.z_size}


@keras.saving.register_keras_serializable(package="tests")
class LineDecoder(keras.layers.Layer):
    """Writes lines over time."""

    def __init__(self, size, **options):
        super().__init__(**options)
        self.size, self.both = size, keras.layers.Dense(2 * size)

    def build(self, shape):
        self.both.build(shape)
        self.built = True

    def call(self, context, steps):
        start, slope = tf.split(self.both(context)[:, None], 2, axis=-1)
        return (
            start + slope * tf.range(tf.cast(steps, start.dtype), dtype=start.dtype)[None, :, None]
        )

    def get_config(self):
        return super().get_config() | {"size": self.size}


def functional_encoder():
    """By Keras' functional API; it takes the mask as its layers do."""
    inputs = keras.Input((None, 3))
    hidden = keras.layers.GRU(4)(inputs)
    return keras.Model(inputs, [keras.layers.Dense(2)(hidden), keras.layers.Dense(2)(hidden)])


def fixed_decoder(steps=4, size=3):
    return keras.Sequential([keras.layers.Dense(steps * size), keras.layers.Reshape((steps, size))])


@pytest.mark.parametrize(
    "parts",
    [
        lambda: dict(encoder=MeanEncoder(2), decoder=LineDecoder(3)),
        lambda: dict(encoder=functional_encoder(), decoder=fixed_decoder()),
    ],
)
@pytest.mark.slow
def test_any_layers_of_the_contract_are_trained_saved_and_loaded(parts, tmp_path):
    model = make(**parts())
    model.compile(keras.optimizers.SGD(0.01))
    before = [
        v.numpy() for v in model.encoder.trainable_variables + model.decoder.trainable_variables
    ]
    assert np.isfinite(model.fit(BATCH, epochs=2, batch_size=3, verbose=0).history["loss"]).all()
    after = model.encoder.trainable_variables + model.decoder.trainable_variables
    assert all(np.abs(a - b).max() > 0 for a, b in zip(before, after, strict=True))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.reconstruct(X, MASK), model.reconstruct(X, MASK))
    alone = model.encode(X[1:2, :2]).mean()  # padding does not change the result
    np.testing.assert_allclose(model.encode(X, MASK).mean()[1:2], alone, **SAME_FLOAT32)
    assert model.generate(2, 3).shape == (2, 3, 3)
    logs = model.evaluate(BATCH, verbose=0, return_dict=True)
    penalty = sum(float(loss) for loss in model.losses)
    np.testing.assert_allclose(logs["loss"], logs["kl_paid"] - logs["log_px"] + penalty, **FLOAT32)
    assert (penalty > 0) == isinstance(model.encoder, MeanEncoder)


def test_dropout_of_a_users_encoder_acts_in_training_alone():
    model = make(encoder=MeanEncoder(2))
    kl = lambda training: {float(model.loss_terms(BATCH, training=training).kl) for _ in range(4)}  # noqa: E731
    assert len(kl(True)) > 1 and len(kl(False)) == 1


class Broken(keras.layers.Layer):
    def call(self, inputs, mask=None):
        raise KeyError("no")


@pytest.mark.parametrize(
    "parts, message",
    [
        (dict(encoder=5), "encoder: expected a Keras layer or model, got int"),
        (
            dict(encoder=keras.layers.Dense(2)),
            "encoder: expected the call .* Dense has no argument `mask`",
        ),
        (
            dict(encoder=MeanEncoder(3)),
            r"mean and logvar, \[B, 2\] each, for B = 2 got \[\(2, 3\), \(2, 3\)\]",
        ),
        (dict(encoder=keras.layers.GRU(2)), r"encoder: expected .*, for B = 2 got \(2, 2\)"),
        (dict(encoder=Broken()), "encoder: .* a call with zeros raised KeyError"),
        (
            dict(decoder=5),
            "decoder: expected one of autoregressive, latent, or a Keras layer, got 5",
        ),
        (dict(decoder=LineDecoder(4)), r"decoder: .* for B = 2 and 3 steps got \(2, 3, 4\)"),
        (dict(decoder=keras.layers.Dense(3)), r"decoder: .* got \(2, 3\)"),
        (
            dict(decoder=LineDecoder(3), segment_steps=2),
            "segment_steps: expected None with a decoder that is a layer",
        ),
    ],
)
def test_parts_that_are_not_of_the_contract_are_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        make(**parts)


def test_a_decoder_of_a_fixed_number_of_steps_writes_no_more():
    model = make(decoder=fixed_decoder(3))
    model.compile("sgd")
    message = "decoder: returns 3 steps, expected 4: it has no argument `steps`"
    for call in (
        lambda: model.decode(NOISE, 4),
        lambda: model.encode(X),
        lambda: model.fit(X, verbose=0),
        lambda: model.fit(dataset(X), verbose=0),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert model.reconstruct(X[:, :2]).shape == (6, 2, 3)
