"""The linear Gaussian state-space model with known, time-varying matrices: TFP's filter and smoother, and the bounds.

Pure functions of tensors; batch-major [B, T, ...]. The paper's A_t carries z_{t-1} to z_t, TFP's transition_matrix(t)
carries z_t to z_{t+1}, and TFP's masks say True for missing: both are turned round here and nowhere else.
"""

from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from kvae.results import Filtered, LgssmBound, Mixed, Smoothed

tfd = tfp.distributions


class Noise(NamedTuple):
    """Variances: Q = transition * I, R = emission * I, z_1 ~ N(0, initial * I)."""

    transition: float
    emission: float
    initial: float


def filter_states(a: tf.Tensor, mask: tf.Tensor | None, mixed: Mixed, noise: Noise) -> Filtered:
    """The Kalman filter for codes a [B, T, dim_a], mask [B, T] or None (paper, section 2.1)."""
    missing = None if mask is None else mask < 0.5
    log_likelihood, mean, cov, next_mean, next_cov, _, _ = _model(mixed, noise).forward_filter(a, mask=missing)
    first_mean = tf.zeros_like(mean[:, :1])
    first_cov = _eye_like(cov[:, :1], noise.initial)
    return Filtered(
        mean,
        cov,
        tf.concat([first_mean, next_mean[:, :-1]], 1),
        tf.concat([first_cov, next_cov[:, :-1]], 1),
        log_likelihood,
        *mixed[:4],
    )


def log_likelihood(a: tf.Tensor, mask: tf.Tensor | None, mixed: Mixed, noise: Noise) -> tf.Tensor:
    """[B]: log p(a_{1:T} | u_{1:T}) of the observed codes."""
    missing = None if mask is None else mask < 0.5
    return _model(mixed, noise).log_prob(a, mask=missing)


def smooth_states(filtered: Filtered, mixed: Mixed, noise: Noise) -> Smoothed:
    """The Rauch-Tung-Striebel smoother on what the filter left (paper, section 2.1)."""
    # The prediction past the end multiplies a difference of zero: any positive definite covariance will do.
    next_mean = tf.concat([filtered.predicted_mean[:, 1:], filtered.mean[:, -1:]], 1)
    next_cov = tf.concat([filtered.predicted_cov[:, 1:], filtered.cov[:, -1:]], 1)
    mean, cov = _model(mixed, noise).backward_smoothing_pass(filtered.mean, filtered.cov, next_mean, next_cov)
    return Smoothed(mean, _symmetric(cov), *mixed[:4])


def marginal_bound(
    a: tf.Tensor, mask: tf.Tensor, mixed: Mixed, noise: Noise, filtered: Filtered, smoothed: Smoothed
) -> LgssmBound:
    """The bound at the exact joint posterior: every expectation in closed form, the total is log p(a | u).

    Uses Cov(z_{t-1}, z_t | a_{1:T}) = G_{t-1} P_{t|T}, G_{t-1} = P_{t-1|t-1} A_t' P_{t|t-1}^-1.
    """
    z, P = smoothed.mean, smoothed.cov
    A = mixed.A[:, 1:]
    gain_t = tf.linalg.cholesky_solve(
        tf.linalg.cholesky(filtered.predicted_cov[:, 1:]), A @ filtered.cov[:, :-1]
    )  # G_{t-1}'
    cross = tf.matmul(gain_t, P[:, 1:], transpose_a=True)
    A_cross = A @ cross
    spread = P[:, 1:] - A_cross - tf.linalg.matrix_transpose(A_cross) + A @ P[:, :-1] @ tf.linalg.matrix_transpose(A)
    transition = _transition(z, mixed, noise) - 0.5 * tf.reduce_sum(tf.linalg.trace(spread), -1) / noise.transition
    C_spread = mixed.C @ P @ tf.linalg.matrix_transpose(mixed.C)
    emission = (
        _emission(a, z, mask, mixed, noise) - 0.5 * tf.reduce_sum(mask * tf.linalg.trace(C_spread), -1) / noise.emission
    )
    initial = _initial(z, noise) - 0.5 * tf.linalg.trace(P[:, 0]) / noise.initial
    # The chain z_T, then z_{t-1} given z_t, whose covariance is P_{t-1|t-1} - G P_{t|t-1} G', here in Joseph's form.
    keep = tf.eye(A.shape[-1], dtype=A.dtype) - tf.matmul(gain_t, A, transpose_a=True)
    backward = keep @ tf.matmul(filtered.cov[:, :-1], keep, transpose_b=True)
    backward += noise.transition * tf.matmul(gain_t, gain_t, transpose_a=True)
    entropy = _entropy(P[:, -1]) + tf.reduce_sum(_entropy(_symmetric(backward)), -1)
    return _per_frame(mask, transition, emission, initial, entropy)


def sampled_bound(
    a: tf.Tensor, mask: tf.Tensor, mixed: Mixed, noise: Noise, smoothed: Smoothed, z: tf.Tensor
) -> LgssmBound:
    """The original's bound at given states z [B, T, dim_z], drawn from the smoothed marginals."""
    entropy = -tf.reduce_sum(smoothed_marginals(smoothed).log_prob(z), -1)
    return _per_frame(
        mask, _transition(z, mixed, noise), _emission(a, z, mask, mixed, noise), _initial(z, noise), entropy
    )


def smoothed_marginals(smoothed: Smoothed) -> tfd.Distribution:
    """q(z_t) for each t, as if independent: batch [B, T], event [dim_z]."""
    return tfd.MultivariateNormalTriL(smoothed.mean, tf.linalg.cholesky(smoothed.cov))


def _model(mixed: Mixed, noise: Noise) -> tfd.LinearGaussianStateSpaceModel:
    A_next = tf.concat([mixed.A[:, 1:], mixed.A[:, -1:]], 1)
    push = tf.linalg.matvec(mixed.B, mixed.u)
    push_next = tf.concat([push[:, 1:], push[:, -1:]], 1)
    dim_a, dim_z = mixed.C.shape[-2:]
    dtype = mixed.A.dtype

    def scale(variance, size):
        return tf.fill([size], tf.constant(variance, dtype) ** 0.5)

    return tfd.LinearGaussianStateSpaceModel(
        num_timesteps=tf.shape(mixed.A)[1],
        transition_matrix=lambda t: tf.linalg.LinearOperatorFullMatrix(tf.gather(A_next, t, axis=1)),
        transition_noise=lambda t: tfd.MultivariateNormalDiag(
            tf.gather(push_next, t, axis=1), scale(noise.transition, dim_z)
        ),
        observation_matrix=lambda t: tf.linalg.LinearOperatorFullMatrix(tf.gather(mixed.C, t, axis=1)),
        observation_noise=tfd.MultivariateNormalDiag(scale_diag=scale(noise.emission, dim_a)),
        initial_state_prior=tfd.MultivariateNormalDiag(scale_diag=scale(noise.initial, dim_z)),
    )


def _transition(z: tf.Tensor, mixed: Mixed, noise: Noise) -> tf.Tensor:
    """[B]: sum_{t>1} log N(z_t; A_t z_{t-1} + B_t u_t, Q)."""
    step = tf.linalg.matvec(mixed.A, _before(z)) + tf.linalg.matvec(mixed.B, mixed.u)
    return tf.reduce_sum(_log_normal(z - step, noise.transition)[:, 1:], -1)


def _before(z: tf.Tensor) -> tf.Tensor:
    """z_{t-1} at index t; the first is z_1 itself, a placeholder nobody reads."""
    return tf.concat([z[:, :1], z[:, :-1]], 1)


def _emission(a: tf.Tensor, z: tf.Tensor, mask: tf.Tensor, mixed: Mixed, noise: Noise) -> tf.Tensor:
    """[B]: sum over observed t of log N(a_t; C_t z_t, R)."""
    return tf.reduce_sum(mask * _log_normal(a - tf.linalg.matvec(mixed.C, z), noise.emission), -1)


def _initial(z: tf.Tensor, noise: Noise) -> tf.Tensor:
    return _log_normal(z[:, 0], noise.initial)


def _log_normal(residual: tf.Tensor, variance: float) -> tf.Tensor:
    """log N(residual; 0, variance * I) over the last axis."""
    scale = tf.fill([residual.shape[-1]], tf.constant(variance, residual.dtype) ** 0.5)
    return tfd.MultivariateNormalDiag(scale_diag=scale).log_prob(residual)


def _entropy(cov: tf.Tensor) -> tf.Tensor:
    return tfd.MultivariateNormalTriL(scale_tril=tf.linalg.cholesky(cov)).entropy()


def _per_frame(mask: tf.Tensor, *terms: tf.Tensor) -> LgssmBound:
    observed = tf.reduce_sum(mask)
    terms = [tf.reduce_sum(term) / observed for term in terms]
    return LgssmBound(tf.add_n(terms), *terms)


def _symmetric(cov: tf.Tensor) -> tf.Tensor:
    return 0.5 * (cov + tf.linalg.matrix_transpose(cov))


def _eye_like(cov: tf.Tensor, variance: float) -> tf.Tensor:
    return tf.zeros_like(cov) + tf.constant(variance, cov.dtype) * tf.eye(cov.shape[-1], dtype=cov.dtype)
