"""The LGSSM's part of the evidence lower bound (paper, section 3.1), in two forms: marginal and
sampled.

Arrays are batch-major. Noise variances are scalars or one per number, the same at all steps. Masks
are [B, T], or [B, T, dim_a] for single numbers.
"""

import tensorflow as tf

from kvae import masks
from kvae.lgssm import kalman
from kvae.lgssm.inference import (
    Backward,
    Covariances,
    FilterPass,
    System,
    batch_major,
    codes_mean,
)
from kvae.lgssm.kalman import State
from kvae.lgssm.products import matmul, matvec, sandwich
from kvae.results import LgssmBound

_LOG_2_PI = 1.8378770664093453


def marginal_bound(
    a: tf.Tensor,
    mask: tf.Tensor,
    system: System,
    filter_pass: FilterPass,
    smoothed: State,
    backward: Backward,
    per_sequence: bool = False,
) -> LgssmBound:
    """Compute the bound at the exact joint posterior. Its total is log p(a | u).

    All expectations are in closed form. With e ~ p(z_{t-1} | z_t, a)::

        z_t - A_t z_{t-1} = (I - A_t G_{t-1}) z_t - A_t e + constants

    so the covariance of the left side is a sum of two positive terms.

    Args:
        a: [B, T, dim_a].
        mask: [B, T] or [B, T, dim_a], 1 = observed.
        system: the model.
        filter_pass: the filter's results.
        smoothed: p(z_t | a_{1:T}), [..., T, B].
        backward: p(z_t | z_{t+1}, a_{1:t}).
        per_sequence: whether terms are returned per sequence.

    Returns:
        The bound and its terms in nats per observed frame: scalars, or [B].
    """
    z, P = batch_major(smoothed.mean), batch_major(smoothed.cov)
    transition = _transition(z, system)
    if z.shape[1] != 1:  # TensorFlow's graph optimiser crashes on axes of known size 0
        A, gain = system.A[:, 1 : tf.shape(z)[1]], batch_major(backward.gain)[:, :-1]
        conditional_cov = batch_major(State(smoothed.mean, backward.U, backward.D).cov)[:, :-1]
        left = tf.eye(kalman.size_of(A, -1), dtype=z.dtype) - matmul(A, gain)
        expected_outer = sandwich(left, P[:, 1:]) + sandwich(A, conditional_cov)
        spread = _scaled_trace(expected_outer, system.covariances.transition)
        transition -= 0.5 * tf.reduce_sum(spread, -1)
    spread = _scaled(sandwich(system.C, P), system.covariances.emission)
    spread = tf.reduce_sum(masks.of_numbers(mask) * spread, [1, 2])
    emission = _emission(a, z, mask, system) - 0.5 * spread
    initial = _initial(z, system.covariances) - 0.5 * _scaled_trace(
        P[:, 0], system.covariances.initial
    )
    # entropy of the chain: z_T, then each z_t given z_{t+1}
    entropy = 0.5 * tf.reduce_sum(tf.math.log(backward.D) + 1.0 + _LOG_2_PI, [0, 1])
    total = tf.reduce_sum(filter_pass.log_likelihood, 0)
    return _per_frame(mask, per_sequence, total, transition, emission, initial, entropy)


def sampled_bound(
    a: tf.Tensor,
    mask: tf.Tensor,
    system: System,
    smoothed: State,
    z: tf.Tensor,
    per_sequence: bool = False,
) -> LgssmBound:
    """Compute the original program's bound, at states drawn from the smoothed marginals.

    With z [S, B, T, dim_z], it is the importance-weighted bound of each sequence (Burda, Grosse and
    Salakhutdinov 2016, arXiv:1509.00519, eq. 8)::

        log 1/S sum_s p(a, z_s) / q(z_s)

    and the other terms are means over the draws.

    Args:
        a: [B, T, dim_a].
        mask: [B, T] or [B, T, dim_a], 1 = observed.
        system: the model.
        smoothed: p(z_t | a_{1:T}), [..., T, B].
        z: [B, T, dim_z] or [S, B, T, dim_z].
        per_sequence: whether terms are returned per sequence.

    Returns:
        The bound and its terms in nats per observed frame: scalars, or [B].
    """
    entropy = -tf.reduce_sum(log_marginals(smoothed, z), -1)
    terms = (
        _transition(z, system),
        _emission(a, z, mask, system),
        _initial(z, system.covariances),
        entropy,
    )
    total = tf.add_n(terms)
    if z.shape.rank == 4:
        total = log_mean_exp(total)
        terms = [tf.reduce_mean(term, 0) for term in terms]
    return _per_frame(mask, per_sequence, total, *terms)


def draw_marginals(smoothed: State, noise: tf.Tensor) -> tf.Tensor:
    """Draw states from the smoothed marginals, independently at each step.

    Args:
        smoothed: p(z_t | a_{1:T}), [..., T, B].
        noise: [..., B, T, dim_z], standard normal.

    Returns:
        z [..., B, T, dim_z].
    """
    deviations = batch_major(smoothed.U * tf.sqrt(smoothed.D)[None])
    return batch_major(smoothed.mean) + matvec(deviations, noise)


def log_marginals(smoothed: State, z: tf.Tensor) -> tf.Tensor:
    """Compute the log-density of states under the smoothed marginals.

    Args:
        smoothed: p(z_t | a_{1:T}), [..., T, B].
        z: [..., B, T, dim_z].

    Returns:
        [..., B, T], log p(z_t | a_{1:T}).
    """
    inverse = batch_major(kalman.inverse_unit(smoothed.U))
    D = batch_major(smoothed.D)
    error = matvec(inverse, z - batch_major(smoothed.mean))
    return -0.5 * tf.reduce_sum(error**2 / D + tf.math.log(D) + _LOG_2_PI, -1)


def log_mean_exp(values: tf.Tensor) -> tf.Tensor:
    """Compute the log of the mean of exp over the first axis.

    Args:
        values: [S, ...].

    Returns:
        [...].
    """
    return tf.reduce_logsumexp(values, 0) - tf.math.log(tf.cast(tf.shape(values)[0], values.dtype))


def _transition(z: tf.Tensor, system: System) -> tf.Tensor:
    """[..., B]: sum_{t>1} log N(z_t; A_t z_{t-1} + control_input_t, Q)."""
    steps = tf.shape(z)[-2]
    moved = matvec(system.A[:, 1:steps], z[..., :-1, :])  # pyright: ignore[reportArgumentType]
    if system.control_input is not None:
        moved += system.control_input[:, 1:steps]
    return tf.reduce_sum(_log_normal(z[..., 1:, :] - moved, system.covariances.transition), -1)  # pyright: ignore[reportArgumentType]


def _emission(a: tf.Tensor, z: tf.Tensor, mask: tf.Tensor, system: System) -> tf.Tensor:
    """[..., B]: sum over observed t of log N(a_t; C_t z_t, R)."""
    each = _log_normals(a - codes_mean(z, system), system.covariances.emission)
    return tf.reduce_sum(masks.of_numbers(mask) * each, [-2, -1])


def _initial(z: tf.Tensor, covariances: Covariances) -> tf.Tensor:
    """[..., B]: log N(z_1; 0, initial)."""
    return _log_normal(z[..., 0, :], covariances.initial)  # pyright: ignore[reportArgumentType]


def _log_normal(residual: tf.Tensor, variance) -> tf.Tensor:
    """log N(residual; 0, diag variance) over the last axis; variance a scalar or [n]."""
    return tf.reduce_sum(_log_normals(residual, variance), -1)


def _log_normals(residual: tf.Tensor, variance) -> tf.Tensor:
    """log N(residual; 0, variance) of each number."""
    variance = tf.convert_to_tensor(variance, residual.dtype)
    return -0.5 * (residual**2 / variance + tf.math.log(variance) + _LOG_2_PI)


def _scaled_trace(cov: tf.Tensor, variance) -> tf.Tensor:
    """tr(diag(variance)^-1 cov)."""
    return tf.reduce_sum(_scaled(cov, variance), -1)


def _scaled(cov: tf.Tensor, variance) -> tf.Tensor:
    """The variances of cov divided by the noise variances [..., n]."""
    return tf.linalg.diag_part(cov) / tf.convert_to_tensor(variance, cov.dtype)


def _per_frame(mask: tf.Tensor, per_sequence: bool, *terms: tf.Tensor) -> LgssmBound:
    """Terms [B] in nats per observed frame: per sequence (0 if none is observed), or of the batch.
    A frame with at least one observed number counts as one.
    """
    mask = masks.of_frames(mask)
    if per_sequence:
        return LgssmBound(*(tf.math.divide_no_nan(term, tf.reduce_sum(mask, -1)) for term in terms))
    return LgssmBound(*(tf.reduce_sum(term) / tf.reduce_sum(mask) for term in terms))
