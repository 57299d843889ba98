"""`VRAE` as a user and as Keras sees it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from seqvae.objectives import KLAnnealing, linear
from tests.tolerances import FLOAT32, SAME_FLOAT32, STANDARD_ERRORS
from vrae import VRAE
from vrae.evaluation import latent_usage

pytestmark = pytest.mark.eager

tfd = tfp.distributions
SMALL = dict(feature_size=3, z_size=2, rnn_size=5)
VARIANTS = [
    dict(),
    dict(rnn="gru", num_layers=2, attention=True, decoder="latent", likelihood="bernoulli"),
    dict(
        bidirectional=False,
        likelihood="categorical",
        segment_steps=2,
        condition_size=2,
        num_layers=2,
    ),
    dict(
        rnn="gru",
        bidirectional=False,
        attention=True,
        segment_steps=3,
        noise_var=0.1,
        teacher_forcing=0.5,
        free_bits=0.2,
    ),
]


def batch(model, count=4, steps=5, seed=0, masked=True):
    rng, config = np.random.default_rng(seed), model.get_config()
    x = rng.standard_normal((count, steps, 3)).astype(np.float32)
    if config["likelihood"] == "bernoulli":
        x = (x > 0).astype(np.float32)
    if config["likelihood"] == "categorical":
        x = rng.integers(0, 3, (count, steps))
    made = {"sequences": x}
    if masked:
        made["mask"] = (np.arange(steps) < rng.integers(1, steps + 1, (count, 1))).astype(
            np.float32
        )
    if config["condition_size"]:
        made["condition"] = rng.standard_normal((count, config["condition_size"])).astype(
            np.float32
        )
    return made


@pytest.mark.parametrize(
    "options",
    [VARIANTS[2], *(pytest.param(VARIANTS[i], marks=pytest.mark.slow) for i in (0, 1, 3))],
    ids=(2, 0, 1, 3),
)
@pytest.mark.graph
def test_every_variant_trains_saves_and_does_the_verbs(options, tmp_path):
    keras.utils.set_random_seed(0)
    model = VRAE(**SMALL | options)
    data = batch(model, 12)
    model.compile(optimizer=keras.optimizers.Adam(0.01))
    history = model.fit(
        data, epochs=3, batch_size=5, verbose=0, callbacks=[KLAnnealing(linear(0, 2))]
    ).history
    assert np.isfinite(history["loss"]).all() and set(history) == {
        "loss",
        "elbo",
        "log_px",
        "kl",
        "kl_paid",
    }
    assert model.kl_weight == 1.0
    model.save(tmp_path / "vrae.keras")
    again = keras.models.load_model(tmp_path / "vrae.keras")
    np.testing.assert_array_equal(again.reconstruct(**data), model.reconstruct(**data))
    assert again.get_config() == model.get_config()
    shape = (4,) if options.get("likelihood") == "categorical" else (4, 3)
    conditions = {name: data[name][:2] for name in ("condition",) if name in data}
    assert model.generate(2, 4, seed=1, **conditions).shape == (2, *shape)
    np.testing.assert_array_equal(
        model.generate(2, 4, seed=1, **conditions), model.generate(2, 4, seed=1, **conditions)
    )
    path = model.interpolate(data["sequences"][0], data["sequences"][1], 2, 4, **conditions)
    one = {name: value[:1] for name, value in conditions.items()}
    start = model.decode(model.encode(data["sequences"][:1], **one).mean(), 4, **one)
    np.testing.assert_allclose(path[0], start[0], **SAME_FLOAT32)


@pytest.mark.parametrize("options", VARIANTS, ids=range(len(VARIANTS)))
def test_a_padded_sequence_gives_exactly_what_it_gives_alone(options):
    keras.utils.set_random_seed(1)
    model = VRAE(**SMALL | options)
    data = batch(model, masked=False)
    mask = (np.arange(5) < np.array([[5], [3], [1], [4]])).astype(np.float32)
    padded = (
        data["sequences"].astype(np.float32)
        if data["sequences"].dtype.kind == "f"
        else data["sequences"].copy()
    )
    padded[mask == 0] = 2  # whatever lies there
    whole = model.encode(**data | {"sequences": padded, "mask": mask})
    total = 0.0
    noise = np.random.default_rng(3).standard_normal((4, 2)).astype(np.float32)
    for i, steps in enumerate((5, 3, 1, 4)):
        alone = {name: value[i : i + 1] for name, value in data.items()}
        alone["sequences"] = alone["sequences"][:, :steps]
        q = model.encode(**alone)
        np.testing.assert_allclose(whole.mean()[i], q.mean()[0], **SAME_FLOAT32)
        np.testing.assert_allclose(whole.stddev()[i], q.stddev()[0], **SAME_FLOAT32)
        total += model.loss_terms(alone, noise=noise[i : i + 1], training=False).log_px / 4
    terms = model.loss_terms(
        data | {"sequences": padded, "mask": mask}, noise=noise, training=False
    )
    np.testing.assert_allclose(terms.log_px, total, **FLOAT32)


@pytest.mark.parametrize(
    "options",
    [VARIANTS[0], pytest.param(VARIANTS[2], marks=pytest.mark.slow)],
    ids=("floats", "tokens"),
)
def test_a_ragged_tensor_is_padding_and_its_mask(options):
    model = VRAE(**SMALL | options)
    data = batch(model)
    conditions = {name: data[name] for name in ("condition",) if name in data}
    lengths = data["mask"].sum(axis=1).astype(int)
    steps = np.concatenate([x[:n] for x, n in zip(data["sequences"], lengths, strict=True)])
    ragged = tf.RaggedTensor.from_row_lengths(steps, lengths)
    np.testing.assert_array_equal(
        model.encode(ragged, **conditions).mean(), model.encode(**data).mean()
    )
    np.testing.assert_allclose(
        model.loss_terms({"sequences": ragged} | conditions, seed=1),
        model.loss_terms(data, seed=1),
        **SAME_FLOAT32,
    )
    model.compile(optimizer="adam")
    pieces = tf.data.Dataset.from_tensor_slices({"sequences": ragged} | conditions).ragged_batch(2)
    assert np.isfinite(model.fit(pieces, verbose=0, shuffle=False).history["loss"]).all()
    with pytest.raises(ValueError, match="mask: expected None, a ragged tensor"):
        model.encode(ragged, data["mask"], **conditions)


def keras_outputs(model, z, x):
    """The decoder, taught the true values, by Keras' own RNN over the same cells: [B, T,
    output_size]."""
    decoder = model.decoder
    before = tf.concat([tf.zeros_like(x[:, :1]), x[:, :-1]], 1)
    inputs = tf.concat([tf.repeat(z[:, None], x.shape[1], axis=1), before], -1)
    layer = keras.layers.RNN(
        decoder.cells if len(decoder.cells) > 1 else decoder.cells[0], return_sequences=True
    )
    states = tf.split(decoder.to_states(z), decoder._sizes, axis=-1)
    nested = (
        states
        if len(decoder.cells) == 1
        else [states[: len(states) // 2], states[len(states) // 2 :]]
    )
    return decoder.to_output(layer(inputs, initial_state=nested))


@pytest.mark.parametrize("rnn, layers", [("lstm", 1), ("gru", 1), ("lstm", 2)])
def test_log_px_is_that_of_keras_rnn_taught_the_true_values(rnn, layers):
    keras.utils.set_random_seed(2)
    model = VRAE(**SMALL, rnn=rnn, num_layers=layers, noise_var=0.3)
    data = batch(model)
    noise = np.random.default_rng(0).standard_normal((4, 2)).astype(np.float32)
    q = model.encode(**data)
    z = q.mean() + q.stddev() * noise
    clean = data["sequences"] * data["mask"][..., None]
    outputs = keras_outputs(model, z, tf.constant(clean))
    error = ((data["sequences"] - outputs.numpy()) ** 2).sum(-1)
    expected = (data["mask"] * (-0.5 * error / 0.3 - 1.5 * np.log(2 * np.pi * 0.3))).sum(1).mean()
    terms = model.loss_terms(data, noise=noise, training=False)
    np.testing.assert_allclose(terms.log_px, expected, **FLOAT32)
    standard = tfd.MultivariateNormalDiag(tf.zeros(2), tf.ones(2))
    np.testing.assert_allclose(terms.kl, np.mean(q.kl_divergence(standard)), **FLOAT32)
    np.testing.assert_allclose(terms.elbo, terms.log_px - terms.kl, **FLOAT32)


def test_left_to_itself_it_hears_what_it_said():
    keras.utils.set_random_seed(3)
    model = VRAE(**SMALL)
    z = tf.random.stateless_normal([2, 2], [1, 2])
    said = model.decode(z, 6)
    np.testing.assert_allclose(keras_outputs(model, z, said), said, **SAME_FLOAT32)
    np.testing.assert_allclose(model.decode(z, 9)[:, :6], said, **SAME_FLOAT32)
    np.testing.assert_allclose(model.decode(z[:1], 6), said[:1], **SAME_FLOAT32)


def test_cross_entropy_of_tokens_and_what_it_writes_are_the_most_probable():
    keras.utils.set_random_seed(4)
    model = VRAE(**SMALL, likelihood="categorical")
    data = batch(model)
    noise = np.zeros((4, 2), np.float32)
    inputs = tf.one_hot(data["sequences"] * data["mask"].astype(int), 3)
    logits = keras_outputs(model, model.encode(**data).mean(), inputs)
    expected = tf.nn.sparse_softmax_cross_entropy_with_logits(data["sequences"], logits)
    terms = model.loss_terms(data, noise=noise, training=False)
    np.testing.assert_allclose(terms.log_px, -np.sum(data["mask"] * expected, 1).mean(), **FLOAT32)
    written = model.decode(noise, 5)
    np.testing.assert_array_equal(
        np.argmax(keras_outputs(model, tf.constant(noise), tf.one_hot(written, 3)), -1), written
    )


@pytest.mark.slow
def test_teacher_forcing_draws_between_true_and_own_values():
    keras.utils.set_random_seed(5)
    model = VRAE(**SMALL, teacher_forcing=0.5)
    data, noise = batch(model, masked=False), np.zeros((4, 2), np.float32)

    def terms(seed, training=True):
        found = model.loss_terms(data, noise=noise, seed=seed, training=training)
        return float(found.log_px)

    assert terms(1) == terms(1) != terms(2)
    own = (
        -0.5
        * ((data["sequences"] - model.decode(model.encode(**data).mean(), 5)) ** 2)
        .numpy()
        .sum((1, 2))
        .mean()
    )
    model.teacher_forcing.assign(0.0)
    np.testing.assert_allclose(terms(1), own - 7.5 * np.log(2 * np.pi), **FLOAT32)
    model.teacher_forcing.assign(1.0)
    np.testing.assert_allclose(terms(1), terms(3, training=False), **FLOAT32)


def test_free_bits_cost_nothing_and_have_no_gradient():
    keras.utils.set_random_seed(6)
    model = VRAE(**SMALL, free_bits=50.0)
    data = batch(model)
    with tf.GradientTape() as tape:
        terms = model.loss_terms(data, seed=0)
    weights = [v.value for v in model.encoder.trainable_variables]
    assert terms.kl_paid == 100.0 and terms.kl < 50.0
    gradients = tape.gradient(
        terms.kl_paid, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    assert max(np.abs(g).max() for g in gradients) == 0
    model.kl_weight.assign(0.25)
    np.testing.assert_allclose(model.objective(terms), -(terms.log_px - 25.0), **FLOAT32)


def test_a_segments_steps_start_from_its_own_code():
    keras.utils.set_random_seed(7)
    model = VRAE(**SMALL, segment_steps=2, decoder="latent")
    z = tf.random.stateless_normal([3, 2], [1, 2])
    decoder, states, codes = model.decoder, tf.split(model.decoder.to_conductor(z), 2, axis=-1), []
    for _ in range(3):
        states = decoder.conductor(z, states)[1]
        codes.append(states[0])
    written = []
    for code in codes:
        inputs = tf.concat([z, code], -1)
        layer = keras.layers.RNN(decoder.cells[0], return_sequences=True)
        first = tf.split(decoder.to_states(inputs), decoder._sizes, axis=-1)
        written.append(
            decoder.to_output(layer(tf.repeat(inputs[:, None], 2, axis=1), initial_state=first))
        )
    np.testing.assert_allclose(model.decode(z, 5), tf.concat(written, 1)[:, :5], **SAME_FLOAT32)


def test_the_condition_is_heard_by_encoder_and_decoder():
    model = VRAE(**SMALL, condition_size=2)
    data = batch(model)
    other = data | {"condition": -data["condition"]}
    assert np.abs(model.encode(**data).mean() - model.encode(**other).mean()).min() > 0
    z = np.zeros((4, 2), np.float32)
    assert (
        np.abs(model.decode(z, 3, data["condition"]) - model.decode(z, 3, other["condition"])).max()
        > 0
    )


def test_the_use_of_the_code_is_that_of_known_posteriors():
    class Known:
        """q(z | x) = N((x, 0), diag(0.5, 1)): with x ~ N(0, 3/4) the first dimension's marginal is
        N(0, 1)."""

        def encode(self, x, mask, condition, times=None):
            mean = tf.stack([x, tf.zeros_like(x)], -1)
            return tfd.MultivariateNormalDiag(mean, tf.constant([0.5, 1.0]) * tf.ones_like(mean))

    x = np.random.default_rng(0).normal(0, 0.75**0.5, 3000).astype(np.float32)
    found = latent_usage(Known(), x)
    information = np.log(2.0)  # 1/2 log(1 / 0.25)
    assert found["active_units"] == 1
    np.testing.assert_allclose(
        found["kl"], 0.5 * (0.25 + x.var() + x.mean() ** 2 - 1) + information, rtol=1e-3
    )
    assert abs(found["mutual_information"] - information) < STANDARD_ERRORS * 0.75 / 3000**0.5


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda m: VRAE(0), "feature_size: expected an integer of at least 1"),
        (lambda m: VRAE(3, rnn="rnn"), "rnn: expected one of lstm, gru"),
        (lambda m: VRAE(3, decoder="conv"), "decoder: expected one of autoregressive, latent"),
        (lambda m: VRAE(3, likelihood="poisson"), "likelihood: expected one of gaussian"),
        (lambda m: VRAE(3, teacher_forcing=2), "teacher_forcing: expected 0 to 1"),
        (lambda m: VRAE(3, free_bits=-1), "free_bits: expected at least 0"),
        (lambda m: VRAE(3, segment_steps=0), "segment_steps: expected None or at least 1"),
        (
            lambda m: m.encode(np.zeros((2, 4))),
            r"sequences: expected \[B, T, 3\], got the shape \(2, 4\)",
        ),
        (lambda m: m.encode(np.full((2, 4, 3), np.nan)), "sequences: NaN .* missing=True"),
        (
            lambda m: m.encode(np.zeros((2, 4, 3)), np.ones((2, 3))),
            r"mask: expected the shape \(2, 4\), got \(2, 3\)",
        ),
        (lambda m: m.encode(np.zeros((1, 3, 3)), [[0, 0, 0]]), "mask: expected an observed step"),
        (
            lambda m: m.encode(np.zeros((1, 3, 3)), np.ones((1, 3, 3))),
            "For masks of single numbers make the model with missing=True",
        ),
        (
            lambda m: m.encode([np.zeros((2, 3)), np.zeros((2, 2))]),
            "expected arrays .T_i, features. with the same features",
        ),
        (lambda m: m.encode([np.zeros((0, 3)), np.zeros((2, 3))]), "number 0 has no steps"),
        (
            lambda m: m.encode([np.zeros((2, 3))], np.ones((1, 2))),
            "mask: expected None, the arrays of a list",
        ),
        (
            lambda m: m.encode(np.zeros((1, 3, 3)), times=np.zeros((1, 3))),
            "times: expected None, the model has positions=0",
        ),
        (lambda m: m.decode(np.zeros((1, 2)), 3, temperature=0.5), "temperature: expected None"),
        (lambda m: m.forecast(np.zeros((1, 3, 3)), 2), "forecast: expected a model with missing"),
        (
            lambda m: m.impute(np.zeros((1, 3, 3)), quantiles=[0.5]),
            "quantiles: expected num_samples with them",
        ),
        (
            lambda m: m.impute(np.zeros((1, 3, 3)), quantiles=[1.5], num_samples=2),
            "quantiles: expected numbers from 0 to 1",
        ),
        (
            lambda m: VRAE(**SMALL, likelihood="categorical").impute([[0, 1]]),
            "impute: expected a likelihood of numbers",
        ),
        (
            lambda m: VRAE(**SMALL, condition_size=2).encode(np.zeros((1, 3, 3)), None, [2]),
            "condition: expected labels that are integers from 0 to 1, got 2 to 2",
        ),
        (
            lambda m: m.encode(np.zeros((1, 3, 3)), None, np.zeros((1, 2))),
            r"condition: expected \[B, 0\]",
        ),
        (
            lambda m: VRAE(**SMALL, condition_size=2).encode(np.zeros((1, 3, 3))),
            "condition: expected vectors .* got none",
        ),
        (
            lambda m: VRAE(**SMALL, likelihood="bernoulli").encode(np.full((1, 3, 3), 2.0)),
            "values from 2 to 2",
        ),
        (
            lambda m: VRAE(**SMALL, likelihood="categorical").encode([[0, 3]]),
            "tokens from 0 to 3, expected 0 to 2",
        ),
        (lambda m: m.decode(np.zeros((2, 3)), 4), r"z: expected codes \[B, 2\]"),
        (lambda m: m.decode(np.zeros((2, 2)), 0), "num_steps: expected an integer of at least 1"),
        (lambda m: m.generate(0, 4), "n: expected an integer of at least 1"),
        (
            lambda m: m.interpolate(np.zeros((3, 3)), np.zeros((3, 3)), 1, 4),
            "n: expected an integer of at least 2",
        ),
    ],
)
def test_what_is_refused(model, call, message):
    with pytest.raises(ValueError, match=message):
        call(model)


@pytest.fixture(scope="module")
def model():
    return VRAE(**SMALL)
