"""Uneven time steps, against a fine even grid."""

import numpy as np
import pytest

from kvae.lgssm import MixedLGSSM, discretise

OSCILLATOR = np.array([[0.0, 1.0], [-4.0, -0.3]])
PUSHES = np.diag([0.0, 0.5])


def test_matrices_are_the_limit_of_small_steps():
    A, Q = discretise(OSCILLATOR, PUSHES, [0.7])
    step, fine_A, fine_Q = 0.7 / 20000, np.eye(2), np.zeros((2, 2))
    F = np.eye(2) + step * OSCILLATOR
    for _ in range(20000):
        fine_A, fine_Q = F @ fine_A, F @ fine_Q @ F.T + step * PUSHES
    np.testing.assert_allclose(A[0], fine_A, atol=2e-4)
    np.testing.assert_allclose(Q[0], fine_Q, atol=2e-4)


def test_two_steps_are_one_of_their_sum_and_no_time_changes_nothing():
    (A1, A2, A3, A0), (Q1, Q2, Q3, Q0) = discretise(OSCILLATOR, PUSHES, [0.2, 0.5, 0.7, 0.0])
    np.testing.assert_allclose(A2 @ A1, A3, rtol=1e-10)
    np.testing.assert_allclose(A2 @ Q1 @ A2.T + Q2, Q3, rtol=1e-10)
    np.testing.assert_allclose(A0, np.eye(2))
    np.testing.assert_allclose(Q0, 0.0, atol=1e-15)


@pytest.mark.parametrize(
    "drift, diffusion, dt, truth",
    [
        # a fast velocity over a long gap; the stationary variance; an integrated OU process
        ([[-0.01, 1.0], [0.0, -10.0]], [0.0, 1.0], 3.0, [[0.0277, 0.0050], [0.0050, 0.0500]]),
        ([[-5.0]], [2.0], 1e4, [[0.2]]),
        ([[0.0, 1.0], [0.0, -1.0]], [0.0, 1.0], 60.0, [[58.5, 0.5], [0.5, 0.5]]),
    ],
)
def test_long_steps_of_fast_processes(drift, diffusion, dt, truth):
    _, Q = discretise(drift, np.diag(diffusion), [dt])
    np.testing.assert_allclose(Q[0], truth, rtol=0.01)
    _, half = discretise(drift, np.diag(diffusion), [dt / 2])
    A = discretise(drift, np.diag(diffusion), [dt / 2])[0][0]
    np.testing.assert_allclose(Q[0], A @ half[0] @ A.T + half[0], rtol=1e-8, atol=1e-12)


@pytest.mark.slow
def test_uneven_times_equal_an_even_grid_with_missing_steps():
    """Times are multiples of 0.1: the grid has a step at each, most of them missing."""
    rng = np.random.default_rng(0)
    at = np.sort(rng.choice(60, 12, replace=False))
    x = rng.normal(size=(12, 1))
    dt = np.diff(at, prepend=at[0]) * 0.1
    C = np.array([[1.0, 0.0]])
    common = dict(noise_emission=0.05, init_cov=2.0 * np.eye(2))

    A, Q = discretise(OSCILLATOR, PUSHES, dt)
    uneven = MixedLGSSM(A, np.repeat(C[None], 12, 0), noise_transition=Q, **common)

    steps = at[-1] - at[0] + 1
    A, Q = discretise(OSCILLATOR, PUSHES, np.full(steps, 0.1))
    grid, missing = np.zeros((steps, 1)), np.ones(steps, bool)
    grid[at - at[0]], missing[at - at[0]] = x, False
    C = np.repeat(C[None], steps, 0)
    even = MixedLGSSM(A, C, noise_transition=Q[:1], mask=missing, **common)

    np.testing.assert_allclose(uneven.log_prob(x), even.log_prob(grid), rtol=1e-8)
    mean, cov = uneven.posterior_marginals(x)
    on_grid = even.posterior_marginals(grid)
    np.testing.assert_allclose(mean, on_grid[0].numpy()[at - at[0]], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(cov, on_grid[1].numpy()[at - at[0]], rtol=1e-6, atol=1e-9)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match=r"diffusion: expected the shape \[2, 2\], got \(3, 3\)"):
        discretise(OSCILLATOR, np.eye(3), [1.0])
    with pytest.raises(ValueError, match=r"drift: expected the shape \[1, 1\], got \(\)"):
        discretise(-0.5, [[1.0]], [1.0])
    with pytest.raises(ValueError, match="drift: expected finite numbers"):
        discretise([[np.nan]], [[1.0]], [1.0])
    for wrong in ([[1.0, 0.5], [0.0, 1.0]], [[-1.0, 0.0], [0.0, 1.0]]):
        with pytest.raises(ValueError, match="diffusion: expected a symmetric, positive semi-def"):
            discretise(OSCILLATOR, wrong, [1.0])
    with pytest.raises(ValueError, match="dt: expected finite times of at least 0"):
        discretise(OSCILLATOR, PUSHES, [1.0, -0.1])
