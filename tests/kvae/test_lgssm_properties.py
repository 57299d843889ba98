"""In float32, whatever the matrices, the noises, the length and the mask: finite, symmetric,
positive definite - or named."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import kvae
from kvae.lgssm import closed_loop, inference
from kvae.lgssm.inference import batch_major
from tests.tolerances import (
    GRADIENT_RELATIVE,
    MEAN_IN_DEVIATIONS,
    MEAN_OF_LARGEST,
    POSITIVE_DEFINITE,
    VARIANCE_RELATIVE,
)

BATCH = 2
_SHAPES = ([2], [], [4, 4], [4, 1], [2, 4], [1])  # of a, mask, A, B, C, u at a step
_SPECS = [*(tf.TensorSpec([None, None, *shape]) for shape in _SHAPES), tf.TensorSpec([3])]


def moments(states):
    return batch_major(states.mean), batch_major(states.cov)


@tf.function(autograph=False, input_signature=_SPECS)
def everything(a, mask, A, B, C, u, variances):
    noise = inference.Covariances(*tf.unstack(variances))
    with tf.GradientTape() as tape:
        tape.watch((a, A, C))
        system = inference.System(A, tf.linalg.matvec(B, u), C, None, noise)
        log_likelihood = inference.log_likelihood(a, mask, system)
    gradients = tape.gradient(log_likelihood, (a, A, C))
    filter_pass = inference.filter_states(a, mask, system)
    smoothed, _ = inference.smooth_states(filter_pass, system)
    states = [
        moments(value)
        for value in (filter_pass.updated, filter_pass.predicted, filter_pass.following, smoothed)
    ]
    return (log_likelihood, *gradients, *(value for pair in states for value in pair)), [
        cov for _, cov in states
    ]


def system(seed, steps, radius, seen):
    """Matrices that change at every step, the spectral radius of each `radius`; codes of size 1; a
    share `seen` of them."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(BATCH, steps, 4, 4))
    A *= radius / np.abs(np.linalg.eigvals(A)).max(-1)[..., None, None]
    B, C = rng.normal(size=(BATCH, steps, 4, 1)), rng.normal(size=(BATCH, steps, 2, 4))
    a, u = rng.normal(size=(BATCH, steps, 2)), rng.normal(size=(BATCH, steps, 1))
    mask = rng.random((BATCH, steps)) < seen
    return (tf.constant(value, tf.float32) for value in (a, mask, A, B, C, u))


def check(seed, steps, radius, seen, variances):
    values, covs = everything(
        *system(seed, steps, radius, seen), tf.constant(variances, tf.float32)
    )
    for value in values:
        assert np.isfinite(value).all()
    for cov in covs:
        cov = cov.numpy().astype(np.float64)
        np.testing.assert_array_equal(cov, np.swapaxes(cov, -1, -2))
        eigenvalues = np.linalg.eigvalsh(cov)
        assert (eigenvalues[..., 0] > -POSITIVE_DEFINITE * eigenvalues[..., -1]).all()
        assert (np.einsum("...ii->...i", cov) > 0).all()


variance = st.floats(-6, 3).map(lambda exponent: 10.0**exponent)
HARD = [
    (1e-3, 1e-3, 1e3),
    (1e-4, 1e-4, 20.0),
    (1e-6, 1e-6, 1e3),
    (1e-6, 1e3, 1e3),
    (1e-6, 1e3, 1e-6),
]


def drawn_from_the_model(seed, batch, steps):
    """Systems of every kind, and codes drawn from them, so that their standard deviations are the
    scale of every error."""
    rng = np.random.default_rng(seed)
    variances = np.concatenate([np.repeat(HARD, 8, axis=0), 10 ** rng.uniform(-6, 3, (batch, 3))])[
        :batch
    ].astype(np.float32)
    A, C = rng.normal(size=(batch, steps, 4, 4)), rng.normal(size=(batch, steps, 2, 4))
    A[::2], C[::2] = A[::2, :1], C[::2, :1]  # every other system is the same at all steps
    A *= (rng.uniform(0, 1, (batch, 1)) / np.abs(np.linalg.eigvals(A)).max(-1))[..., None, None]
    mask = rng.random((batch, steps)) < rng.random((batch, 1))
    Q, R, P = np.sqrt(variances).T[..., None]
    z, a = P * rng.normal(size=(batch, 4)), np.empty((batch, steps, 2))
    for t in range(steps):
        if t:
            z = np.einsum("bij,bj->bi", A[:, t], z) + Q * rng.normal(size=(batch, 4))
        a[:, t] = np.einsum("bij,bj->bi", C[:, t], z) + R * rng.normal(size=(batch, 2))
    return [value.astype(np.float32) for value in (a, mask, A, C, *variances.T)]


@tf.function(autograph=False)
def moments_and_gradients(a, mask, A, C, *variances):
    with tf.GradientTape(persistent=True) as tape:
        tape.watch((a, A, C))
        Q, R, P = variances
        system = inference.System(
            A,
            None,
            C,
            None,
            inference.Covariances(_each(Q, 4), R[:, None, None] * tf.ones(2, R.dtype), _first(P)),
        )
        filter_pass = inference.filter_states(a, mask, system)
        smoothed, _ = inference.smooth_states(filter_pass, system)
        log_variances = tf.math.log(tf.linalg.diag_part(batch_major(smoothed.cov)))
        values = [
            tf.reduce_sum(value)
            for value in (smoothed.mean, log_variances, filter_pass.log_likelihood)
        ]
    gradients = [tape.gradient(value, (a, A, C), unconnected_gradients="zero") for value in values]
    return moments(filter_pass.updated), moments(smoothed), [g for each in gradients for g in each]


def _first(P):
    """[B] -> P I of each sequence [B, 4, 4]."""
    return P[:, None, None] * tf.eye(4, dtype=P.dtype)


def _each(Q, size):
    """[B] -> Q I of each sequence [B, 1, size, size]."""
    return Q[:, None, None, None] * tf.eye(size, dtype=Q.dtype)


@pytest.mark.parametrize("steps", [100])
@pytest.mark.slow
def test_float32_is_as_good_as_float64(steps):
    values = drawn_from_the_model(steps, 120, steps)
    ours, exact = (
        moments_and_gradients(*(tf.constant(v, t) for v in values))
        for t in (tf.float32, tf.float64)
    )
    for (mean, cov), (exact_mean, exact_cov) in zip(ours[:2], exact[:2], strict=True):
        variance = tf.linalg.diag_part(exact_cov).numpy()
        largest = np.abs(exact_mean).max((1, 2), keepdims=True)
        allowed = MEAN_IN_DEVIATIONS * np.sqrt(variance) + MEAN_OF_LARGEST * largest
        assert (np.abs(mean.numpy() - exact_mean.numpy()) <= allowed).all()
        np.testing.assert_allclose(tf.linalg.diag_part(cov), variance, rtol=VARIANCE_RELATIVE)
    for gradient, exact_gradient in zip(ours[2], exact[2], strict=True):
        over = tuple(range(1, gradient.shape.rank))
        error, largest = (
            np.abs(value).max(over)
            for value in (gradient - tf.cast(exact_gradient, "float32"), exact_gradient)
        )
        assert (error <= GRADIENT_RELATIVE * largest).all()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**31),
    steps=st.sampled_from([1, 2, 9, 60]),
    radius=st.floats(0.0, 1.3),
    seen=st.floats(0, 1),
    variances=st.tuples(variance, variance, variance),
)
@pytest.mark.slow
def test_any_system_is_filtered_and_smoothed(seed, steps, radius, seen, variances):
    check(seed, steps, radius, seen, variances)


@pytest.mark.slow
@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**31),
    radius=st.floats(0.0, 0.7),
    seen=st.floats(0, 1),
    variances=st.tuples(variance, variance, variance),
)
def test_long_stable_sequences(seed, radius, seen, variances):
    """Matrices of spectral radius .7, drawn again at every step, are stable in their product."""
    check(seed, 2000, radius, seen, variances)


@pytest.mark.slow
@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**31),
    radius=st.floats(0.9, 1.5),
    variances=st.tuples(variance, variance, variance),
)
def test_long_unstable_sequences_that_are_seen(seed, radius, variances):
    check(seed, 2000, radius, 1.0, variances)


def test_states_that_grow_beyond_float32_are_named(monkeypatch):
    """An unstable A and nothing seen for long: without the limit on A the covariance overflows, and
    the error says where."""
    monkeypatch.setattr(closed_loop, "MOST_GROWTH", np.inf)
    model = kvae.KVAE((4, 4), conv=False, vae_num_units=1, K=1, noise_transition=1e3)
    model.A.assign(3.0 * model.A)
    a, mask = np.zeros((2, 120, 2), np.float32), np.ones((2, 120), np.float32)
    mask[1, 3:] = 0
    for verb in (model.filter, model.smooth):
        with pytest.raises(
            FloatingPointError,
            match=r"(mean|cov) is not finite at time step \d+ of sequence \d.*float64",
        ):
            verb(a, mask)
