"""One step of the filter, against matrix inverses in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from kvae.lgssm import kalman
from tests.tolerances import FLOAT64


def random_state(rng, size=4, batch=2):
    """A state, its mean [batch, size] and covariance [batch, size, size]."""
    U = np.triu(rng.normal(size=(batch, size, size)), 1) + np.eye(size)
    D = rng.uniform(0.1, 2.0, size=(batch, size))
    mean = rng.normal(size=(batch, size))
    state = kalman.State(*(tf.constant(np.moveaxis(value, 0, -1)) for value in (mean, U, D)))
    return state, mean, np.einsum("bij,bj,bkj->bik", U, D, U)


def last(value):
    return tf.constant(np.moveaxis(value, 0, -1))


def first(value):
    return np.moveaxis(value.numpy(), -1, 0)


def test_the_covariance_of_a_state_and_of_the_first():
    state, _, cov = random_state(np.random.default_rng(0))
    np.testing.assert_allclose(first(state.cov), cov, **FLOAT64)
    start = kalman.first_state(
        tf.zeros([3, 2], tf.float64), kalman.Factors(None, tf.constant(20.0, tf.float64))
    )
    np.testing.assert_array_equal(first(start.cov), [20 * np.eye(3)] * 2)
    np.testing.assert_array_equal(start.mean, np.zeros((3, 2)))


def test_an_observation_equals_the_gain_by_inversion_and_leaves_the_unobserved_alone():
    rng = np.random.default_rng(6)
    state, mean, cov = random_state(rng)
    C, a = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3))
    found, residuals, spreads = kalman.update(
        state, last(a), last(C * np.array([1.0, 0.0])[:, None, None]), 0.03
    )
    S = C @ cov @ C.transpose(0, 2, 1) + 0.03 * np.eye(3)
    gain = cov @ C.transpose(0, 2, 1) @ np.linalg.inv(S)
    residual = a - np.einsum("bij,bj->bi", C, mean)
    np.testing.assert_allclose(first(found.mean)[0], mean[0] + gain[0] @ residual[0], **FLOAT64)
    np.testing.assert_allclose(first(found.cov)[0], cov[0] - gain[0] @ C[0] @ cov[0], **FLOAT64)
    expected = -0.5 * (
        residual[0] @ np.linalg.solve(S[0], residual[0]) + np.linalg.slogdet(2 * np.pi * S[0])[1]
    )
    np.testing.assert_allclose(kalman.log_density(residuals, spreads)[0], expected, **FLOAT64)
    np.testing.assert_allclose(first(found.mean)[1], mean[1], **FLOAT64)
    np.testing.assert_allclose(first(found.cov)[1], cov[1], **FLOAT64)


def covariances(rng, size=4, batch=2, rank=4):
    """[batch, size, size] of the given rank."""
    root = rng.normal(size=(batch, size, rank))
    return root @ root.transpose(0, 2, 1)


@pytest.mark.parametrize("rank", [4, 2])
def test_any_covariance_is_factored(rank):
    cov = covariances(np.random.default_rng(8), rank=rank)
    factors = kalman.factored(last(cov))
    np.testing.assert_allclose(first(kalman.State(None, *factors).cov), cov, **FLOAT64)
    scale = first(factors.deviations)
    np.testing.assert_allclose(scale @ scale.transpose(0, 2, 1), cov, **FLOAT64)
    inverse = first(kalman.inverse_unit(factors.U))
    np.testing.assert_allclose(inverse @ first(factors.U), [np.eye(4)] * 2, **FLOAT64)


def test_a_variance_of_0_observes_exactly():
    rng = np.random.default_rng(9)
    state, _, _ = random_state(rng)
    C, a = last(rng.normal(size=(2, 1, 4))), last(rng.normal(size=(2, 1)))
    once, _, _ = kalman.update(state, a, C, tf.constant(kalman.LEAST_VARIANCE, tf.float64))
    np.testing.assert_allclose(kalman.product_vector(C, once.mean), a, **FLOAT64)
    np.testing.assert_allclose(
        kalman.product(kalman.product(C, once.cov), kalman.transposed(C)),
        np.zeros((1, 1, 2)),
        atol=1e-12,
    )


@pytest.mark.parametrize("rank", [0, 1, 2, 4])
def test_a_move_and_the_gain_back(rank):
    """With noise of one variance, of variances some of which are 0, of a singular and of a regular
    covariance."""
    rng = np.random.default_rng(7)
    noise = {0: 0.08 * np.eye(4), 1: np.diag([0.3, 0.0, 0.1, 0.2])}.get(
        rank, covariances(rng, rank=rank)[0]
    )
    D = tf.constant(np.diag(noise))
    factors = (
        kalman.Factors(None, D[0] if rank == 0 else D[:, None])
        if rank < 2
        else kalman.factored(tf.constant(noise)[..., None])
    )
    factors = factors._replace(D=factors.D + kalman.LEAST_VARIANCE)
    state, mean, cov = random_state(rng)
    A, control_input = rng.normal(size=(2, 4, 4)), rng.normal(size=(2, 4))
    moved = kalman.predict(state, last(A), last(control_input), kalman.with_batch(factors, state.D))
    moved_cov = A @ cov @ A.transpose(0, 2, 1) + noise
    np.testing.assert_allclose(
        first(moved.mean), np.einsum("bij,bj->bi", A, mean) + control_input, **FLOAT64
    )
    np.testing.assert_allclose(first(moved.cov), moved_cov, **FLOAT64)
    assert (moved.D.numpy() >= (0.08 if rank == 0 else 0)).all()
    np.testing.assert_array_equal(first(moved.U), np.triu(first(moved.U)))
    np.testing.assert_array_equal(np.einsum("bii->bi", first(moved.U)), np.ones((2, 4)))
    gain, U, D = kalman.smoothing_gain(state, last(A), factors)
    alone = kalman.State(moved.mean, U, D).cov
    expected = cov @ A.transpose(0, 2, 1) @ np.linalg.inv(moved_cov)
    np.testing.assert_allclose(first(gain), expected, **FLOAT64)
    np.testing.assert_allclose(first(alone), cov - expected @ A @ cov, **FLOAT64)
    before = kalman.State(*(value[..., None, :] for value in state))  # with a time axis
    over_time = kalman.smoothing_gain(
        before,
        last(A)[..., None, :],
        kalman.Factors(*(x if x is None or not x.shape.rank else x[..., None] for x in factors)),
    )
    for ours, theirs in zip(over_time, (gain, U, D), strict=True):
        np.testing.assert_allclose(ours[..., 0, :], theirs, **FLOAT64)
