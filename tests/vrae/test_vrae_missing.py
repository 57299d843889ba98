"""Missing numbers: what is masked changes nothing, what is observed counts once, what is filled has
intervals."""

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.tolerances import FLOAT32, SAME_FLOAT32, STANDARD_ERRORS
from vrae import VRAE, likelihoods
from vrae.data import pad
from vrae.evaluation import coverage

tfd = tfp.distributions
RECIPE = dict(
    z_size=2,
    rnn="gru",
    rnn_size=4,
    decoder="latent",
    patch=2,
    positions=2,
    pooling="position",
    cosines=3,
    missing=True,
    noise_var=0.3,
)
NOISE = np.random.default_rng(9).normal(size=(3, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    made = VRAE(2, scaling={"mean": [1.0, -2.0], "deviation": [2.0, 0.5]}, **RECIPE)
    made.from_cosines.assign(tf.random.stateless_normal(made.from_cosines.shape, [1, 2]))
    return made


def some(seed, length=6):
    """Three sequences with gaps, the second shorter, and the mask of their numbers."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, length, 2)).astype(np.float32)
    mask = (rng.random(x.shape) < 0.6).astype(np.float32)
    mask[:, 0] = 1.0
    mask[1, 4:] = 0.0
    return x, mask


def terms(model, x, mask, **more):
    return model.loss_terms(
        {"sequences": x, "mask": mask, **more}, noise=NOISE[: len(x)], training=False
    )


@settings(max_examples=20, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.integers(0, 10**6), st.sampled_from([np.nan, np.inf, -1e30, 7.0]))
@pytest.mark.slow
def test_masked_and_padded_values_change_nothing(model, seed, rubbish):
    x, mask = some(seed)
    spoiled = np.where(mask > 0, x, np.float32(rubbish))
    for verb in ("encode", "reconstruct"):
        a, b = (getattr(model, verb)(values, mask) for values in (x * mask, spoiled))
        a, b = (v.mean() if verb == "encode" else v for v in (a, b))
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(terms(model, x * mask, mask), terms(model, spoiled, mask))
    nan = np.where(mask > 0, x, np.nan)
    ends = [int(np.flatnonzero(row.any(1)).max()) + 1 for row in mask]
    steps = (np.arange(6) < np.array(ends)[:, None]).astype(np.float32)
    np.testing.assert_array_equal(model.encode(nan, steps).mean(), model.encode(x, mask).mean())


def test_a_padded_sequence_with_gaps_gives_what_it_gives_alone(model):
    x, mask = some(3)
    for end in (4, 3):  # whole patches, and half of one
        mask[1, end - 1], mask[1, end:] = 1.0, 0.0
        alone = model.encode(x[1:2, :end], mask[1:2, :end])
        np.testing.assert_allclose(model.encode(x, mask).mean()[1], alone.mean()[0], **SAME_FLOAT32)
        whole, one = model.reconstruct(x, mask), model.reconstruct(x[1:2, :end], mask[1:2, :end])
        np.testing.assert_allclose(whole[1, :end], one[0], **SAME_FLOAT32)


def test_the_likelihood_counts_observed_numbers_only(model):
    x, mask = some(4)
    q = model.encode(x, mask)
    noise = -(q.mean() / q.stddev()) + 0.5 / q.stddev()  # z = 0.5 for each sequence
    found = model.loss_terms({"sequences": x, "mask": mask}, noise=noise, training=False)
    rows = []
    for i, row in enumerate(mask):
        end = int(np.flatnonzero(row.any(1)).max()) + 1
        made = model.decode(np.full((1, 2), 0.5, np.float32), end).numpy()[0]
        error = np.square((x[i, :end] - made) / np.array([2.0, 0.5]))
        each = -0.5 * error / 0.3 - 0.5 * np.log(2 * np.pi * 0.3)
        rows.append((row[:end] * each).sum())
    np.testing.assert_allclose(found.log_px, np.mean(rows), **FLOAT32)


@pytest.mark.slow
def test_the_bound_by_importance_is_that_of_the_densities(model):
    x, mask = some(5)
    q = model.encode(x, mask)
    found = model.log_likelihood(x, mask, num_samples=3, seed=1).numpy()
    base, weights = tf.constant([1, 0]), []
    for i in range(3):
        noise = tf.random.stateless_normal([3, 2], tf.random.fold_in(base, i))
        z = q.mean() + q.stddev() * noise
        prior = tfd.MultivariateNormalDiag(tf.zeros(2), tf.ones(2))
        log_px = [terms_of_one(model, x[j], mask[j], noise[j]) for j in range(3)]
        weights.append(np.array(log_px) + prior.log_prob(z) - q.log_prob(z))
    expected = scipy.special.logsumexp(weights, axis=0) - np.log(3)
    np.testing.assert_allclose(found, expected, **FLOAT32)


def terms_of_one(model, x, mask, noise):
    batch = {"sequences": x[None], "mask": mask[None]}
    return float(model.loss_terms(batch, noise=noise[None], training=False).log_px)


@pytest.mark.slow
def test_a_mask_of_steps_lets_any_encoder_skip_them():
    """Without `missing` the encoder reads the observed steps one after the other, as `fit` does."""
    keras.utils.set_random_seed(1)
    for options in (dict(), dict(rnn="gru", attention=True, num_layers=2)):
        plain = VRAE(2, z_size=2, rnn_size=3, **options)
        x, mask = np.random.default_rng(0).normal(size=(1, 5, 2)), np.array([[0, 1, 0, 1, 1.0]])
        code = plain.encode(np.where(mask[..., None] > 0, x, np.nan), mask).mean()
        np.testing.assert_allclose(code, plain.encode(x[:, [1, 3, 4]]).mean(), **SAME_FLOAT32)


def test_imputed_numbers_and_their_intervals(model):
    x, mask = some(6)
    filled = model.impute(x, mask)
    assert filled.samples is None and filled.quantiles is None
    seen = mask > 0
    np.testing.assert_array_equal(filled.mean[seen], x[seen])
    np.testing.assert_array_equal(filled.mean[~seen], model.reconstruct(x, mask)[~seen])
    found = model.impute(x, mask, num_samples=200, quantiles=[0.1, 0.5], seed=2)
    samples = found.samples.numpy()
    np.testing.assert_array_equal(samples[:, seen], np.tile(x[seen], (200, 1)))
    expected = np.quantile(samples, [0.1, 0.5], axis=0, method="nearest")
    np.testing.assert_allclose(found.quantiles, expected, **SAME_FLOAT32)
    spread = samples.std(0)[~seen]
    noise = np.broadcast_to(0.3**0.5 * np.array([2.0, 0.5]), seen.shape)[~seen]
    assert (spread > noise * (1 - STANDARD_ERRORS / 20)).all()  # noise, and the spread of z
    again = model.impute(x, mask, num_samples=2, seed=2).samples
    np.testing.assert_allclose(again, samples[:2], **SAME_FLOAT32)


def test_a_forecast_fills_the_steps_after_each_end(model):
    x, mask = some(7)
    lengths = [int(np.flatnonzero(row.any(1)).max()) + 1 for row in mask]
    found = model.forecast(x, 3, mask).mean
    for i, end in enumerate(lengths):
        longer = np.full((1, end + 3, 2), np.nan, np.float32)
        longer[0, :end] = np.where(mask[i, :end] > 0, x[i, :end], np.nan)
        expected = model.impute(longer).mean[0, end:]
        np.testing.assert_allclose(found[i], expected, **SAME_FLOAT32)


def test_times_are_relative_and_must_rise(model):
    x, mask = some(8)
    even = np.tile(np.arange(6.0), (3, 1))
    code = model.encode(x, mask).mean()
    np.testing.assert_allclose(
        model.encode(x, mask, times=1.7e9 + 60 * even).mean(), code, **SAME_FLOAT32
    )
    uneven = np.cumsum(np.random.default_rng(0).uniform(0.1, 3, (3, 6)), 1)
    assert np.abs(model.encode(x, mask, times=uneven).mean() - code).max() > 1e-3
    uneven[2, 3] = uneven[2, 2]
    batch = {"sequences": x, "mask": mask, "times": uneven}
    for call in (lambda: model.encode(x, mask, times=uneven), lambda: model.check_batch(batch)):
        with pytest.raises(ValueError, match=r"times: expected finite numbers .* in sequence 2"):
            call()
    with pytest.raises(ValueError, match=r"times: expected the shape \(3, 6\)"):
        model.encode(x, mask, times=uneven[:, :4])


def outputs_and_values(size, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(2, 3, n)).astype(np.float32) for n in (size, 2))


def test_densities_are_those_of_scipy():
    made = likelihoods.make("student_t", 2, "float32", "fixed", 0.25, 0.001)
    outputs, x = outputs_and_values(2)
    expected = scipy.stats.t(4, outputs, 0.5).logpdf(x)
    np.testing.assert_allclose(made.log_prob(tf.constant(outputs), x), expected, **SAME_FLOAT32)
    made = likelihoods.make("gaussian", 2, "float32", "feature", 0.25, 0.001)
    made.variance.log_part.assign([0.1, -30.0])
    variance = 0.001 + 0.249 * np.exp([1.0, -300.0])
    expected = scipy.stats.norm(outputs, np.sqrt(variance)).logpdf(x)
    np.testing.assert_allclose(made.log_prob(tf.constant(outputs), x), expected, **SAME_FLOAT32)
    made = likelihoods.make("gaussian", 2, "float32", "step", 0.25, 0.001)
    outputs, _ = outputs_and_values(4)
    deviation = np.sqrt(0.001 + 0.249 * np.exp(outputs[..., 2:]))
    expected = scipy.stats.norm(outputs[..., :2], deviation).logpdf(x)
    np.testing.assert_allclose(made.log_prob(tf.constant(outputs), x), expected, **FLOAT32)
    np.testing.assert_array_equal(made.mode(tf.constant(outputs)), outputs[..., :2])


def test_columns_of_different_kinds():
    kinds = {"speed": "gaussian", "gear": 3, "on": "bernoulli", "load": "student_t"}
    made = likelihoods.make(kinds, 4, "float32", "fixed", 0.25, 0.001)
    assert (made.input_size, made.output_size) == (6, 6)
    rng = np.random.default_rng(1)
    out = rng.normal(size=(2, 3, 6)).astype(np.float32)
    gear, on = rng.integers(0, 3, (2, 3)), rng.integers(0, 2, (2, 3))
    x = np.stack([rng.normal(size=(2, 3)), gear, on, rng.normal(size=(2, 3))], -1)
    logits = out[..., 1:4] - scipy.special.logsumexp(out[..., 1:4], -1, keepdims=True)
    expected = np.stack(
        [
            scipy.stats.norm(out[..., 0], 0.5).logpdf(x[..., 0]),
            np.take_along_axis(logits, gear[..., None], -1)[..., 0],
            scipy.stats.bernoulli(scipy.special.expit(out[..., 4])).logpmf(on),
            scipy.stats.t(4, out[..., 5], 0.5).logpdf(x[..., 3]),
        ],
        -1,
    )
    found = made.log_prob(tf.constant(out), tf.constant(x, tf.float32))
    np.testing.assert_allclose(found, expected, **SAME_FLOAT32)
    np.testing.assert_array_equal(
        made.inputs(tf.constant(x, tf.float32))[..., 1:4], np.eye(3)[gear]
    )
    np.testing.assert_array_equal(made.mode(tf.constant(out))[..., 1], out[..., 1:4].argmax(-1))
    drawn = made.sample(tf.constant(out), tf.constant([1, 2])).numpy()
    assert set(np.unique(drawn[..., 1])) <= {0, 1, 2} and set(np.unique(drawn[..., 2])) <= {0, 1}


@pytest.mark.slow
def test_a_model_of_columns_trains_with_gaps_and_saves(tmp_path):
    kinds = {"speed": "gaussian", "gear": 3}
    scaling = {"mean": [5.0, 0.0], "deviation": [2.0, 1.0]}
    model = VRAE(2, z_size=2, rnn_size=3, likelihood=kinds, missing=True, scaling=scaling)
    rng = np.random.default_rng(0)
    x = np.stack([rng.normal(5, 2, (4, 5)), rng.integers(0, 3, (4, 5))], -1).astype(np.float32)
    x[1, 2, 1] = x[3, 4, 0] = np.nan
    model.compile("adam")
    assert np.isfinite(model.fit(x, verbose=0).history["loss"]).all()
    model.save(tmp_path / "a.keras")
    again = keras.models.load_model(tmp_path / "a.keras")
    np.testing.assert_array_equal(again.reconstruct(x), model.reconstruct(x))
    assert set(np.unique(model.impute(x).mean[..., 1])) <= {0, 1, 2}
    x[0, 0, 1] = 3
    with pytest.raises(ValueError, match="column 'gear': expected whole numbers from 0 to 2"):
        model.fit(x, verbose=0)


class Known:
    """Imputes N(0, 1) whatever it is given."""

    missing = True

    def get_config(self):
        return {"positions": 0}

    def impute(self, sequences, mask, *, num_samples, quantiles, seed):
        shape = (num_samples, *sequences.shape)
        samples = np.random.default_rng(seed).normal(size=shape)
        from vrae.results import Imputed

        return Imputed(tf.zeros(sequences.shape), samples, np.quantile(samples, quantiles, axis=0))


def test_intervals_of_the_true_law_have_their_coverage():
    series = pad(np.random.default_rng(5).normal(size=(50, 40, 2)))
    found = coverage(Known(), series, share=0.2, num_samples=400)
    hidden = 0.2 * series.sequences.size
    for level, share in found["coverage"].items():
        assert abs(share - level) < STANDARD_ERRORS * np.sqrt(level * (1 - level) / hidden) + 0.01
    errors = found["absolute_error"]
    np.testing.assert_allclose(errors["model"], np.sqrt(2 / np.pi), atol=0.05)
    assert errors["model"] < errors["linear_interpolation"]
    assert abs(errors["model"] - errors["mean"]) < 0.05
    with pytest.raises(ValueError, match="coverage: expected a model with missing=True"):
        coverage(VRAE(1, z_size=1, rnn_size=1), series)
