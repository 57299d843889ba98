"""Time steps that feed on their own predictions: filtering over missing frames, and generation.

Where a frame is missing the dynamics network reads the filter's own prediction C_t mu_{t|t-1} in place of a_t, so its
weights cannot be known before the filter runs: the one place where TFP's filter does not serve.
"""

from typing import NamedTuple

import tensorflow as tf

from kvae.dynamics import DynamicsNetwork
from kvae.lgssm import Noise
from kvae.results import Filtered, Mixed
from seqvae.randomness import fold


class Matrices(NamedTuple):
    """The K matrices that are mixed, A [K, dim_z, dim_z], B [K, dim_z, dim_u], C [K, dim_a, dim_z], and a_0 [dim_a]."""

    A: tf.Tensor
    B: tf.Tensor
    C: tf.Tensor
    a_0: tf.Tensor


def mix(alpha: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
    """sum_k alpha[..., k] matrices[k]: [..., K], [K, n, m] -> [..., n, m] (paper, section 3.2)."""
    return tf.einsum("...k,knm->...nm", alpha, matrices)


def kalman_update(mean, cov, a, observed, C, emission: float):
    """One measurement update: Cholesky solves, Joseph form, symmetrised.

    Args:
        mean [B, dim_z], cov [B, dim_z, dim_z]: p(z_t | a_{1:t-1}); a [B, dim_a]; observed [B], 1 or 0; C [B, dim_a, dim_z].

    Returns:
        mean and cov of p(z_t | a_{1:t}), log p(a_t | a_{1:t-1}) [B]: unchanged and 0 where not observed.
    """
    eye_a = tf.eye(C.shape[-2], dtype=C.dtype)
    residual = a - tf.linalg.matvec(C, mean)
    CP = C @ cov
    S_root = tf.linalg.cholesky(tf.matmul(CP, C, transpose_b=True) + emission * eye_a)
    gain_t = tf.linalg.cholesky_solve(S_root, CP) * observed[:, None, None]
    mean += tf.linalg.matvec(gain_t, residual, transpose_a=True)
    keep = tf.eye(C.shape[-1], dtype=C.dtype) - tf.matmul(gain_t, C, transpose_a=True)
    cov = keep @ tf.matmul(cov, keep, transpose_b=True) + emission * tf.matmul(gain_t, gain_t, transpose_a=True)
    white = tf.linalg.triangular_solve(S_root, residual[..., None])[..., 0]
    log_det = 2.0 * tf.reduce_sum(tf.math.log(tf.linalg.diag_part(S_root)), -1)
    log_2pi = tf.constant(1.8378770664093453, C.dtype)
    log_likelihood = -0.5 * (tf.reduce_sum(white**2, -1) + log_det + C.shape[-2] * log_2pi)
    return mean, 0.5 * (cov + tf.linalg.matrix_transpose(cov)), observed * log_likelihood


class _FilterCarry(NamedTuple):
    predicted_mean: tf.Tensor
    predicted_cov: tf.Tensor
    alpha: tf.Tensor
    u: tf.Tensor
    network: tuple[tf.Tensor, ...]
    used: "_FilterStep"


class _FilterStep(NamedTuple):
    mean: tf.Tensor
    cov: tf.Tensor
    predicted_mean: tf.Tensor
    predicted_cov: tf.Tensor
    log_likelihood: tf.Tensor
    alpha: tf.Tensor
    u: tf.Tensor


def filter_with_gaps(
    a: tf.Tensor, mask: tf.Tensor, controls: tf.Tensor, matrices: Matrices, network: DynamicsNetwork, noise: Noise
) -> tuple[Filtered, Mixed]:
    """The Kalman filter and the dynamics network, hand in hand over the sequence.

    Args:
        a: [B, T, dim_a]; mask: [B, T], 1 = observed; controls: [B, T, dim_u], used unless the network learns its own.
    """
    batch = tf.shape(a)[0]
    dim_z = matrices.A.shape[-1]
    eye = tf.eye(dim_z, dtype=a.dtype)
    a = tf.where(mask[..., None] > 0.5, a, 0.0)

    def next_alpha(code, state, given_u):
        (alpha, u), state = network.step(code, state)
        return alpha, (given_u if u is None else u), state

    def step(carry: _FilterCarry, inputs):
        a_t, observed, next_u = inputs
        mean, cov = carry.predicted_mean, carry.predicted_cov
        C = mix(carry.alpha, matrices.C)
        heard = observed[:, None] * a_t + (1.0 - observed[:, None]) * tf.linalg.matvec(C, mean)
        new_mean, new_cov, log_likelihood = kalman_update(mean, cov, a_t, observed, C, noise.emission)
        used = _FilterStep(new_mean, new_cov, mean, cov, log_likelihood, carry.alpha, carry.u)
        alpha, u, state = next_alpha(heard, carry.network, next_u)
        A, B = mix(alpha, matrices.A), mix(alpha, matrices.B)
        next_mean = tf.linalg.matvec(A, new_mean) + tf.linalg.matvec(B, u)
        next_cov = A @ tf.matmul(new_cov, A, transpose_b=True) + noise.transition * eye
        return _FilterCarry(next_mean, 0.5 * (next_cov + tf.linalg.matrix_transpose(next_cov)), alpha, u, state, used)

    a_0 = tf.broadcast_to(matrices.a_0, [batch, matrices.a_0.shape[0]])
    alpha, u, state = next_alpha(a_0, network.initial_state(batch), controls[:, 0])
    mean = tf.zeros([batch, dim_z], a.dtype)
    cov = tf.broadcast_to(noise.initial * eye, [batch, dim_z, dim_z])
    start = _FilterStep(mean, cov, mean, cov, tf.zeros([batch], a.dtype), alpha, u)
    next_controls = tf.concat([controls[:, 1:], controls[:, -1:]], 1)
    elements = (_time_major(a), _time_major(mask), _time_major(next_controls))
    steps = tf.scan(step, elements, _FilterCarry(mean, cov, alpha, u, state, start)).used
    steps = _FilterStep(*map(_time_major, steps))
    mixed = Mixed(steps.alpha, *(mix(steps.alpha, m) for m in matrices[:3]), steps.u)
    return Filtered(*steps[:5], *mixed[:4]), mixed


class _Held(NamedTuple):
    z: tf.Tensor
    a: tf.Tensor
    alpha: tf.Tensor


class _GenerateCarry(NamedTuple):
    z: tf.Tensor
    alpha: tf.Tensor
    network: tuple[tf.Tensor, ...]
    made: _Held


def draw_noise(
    controls: tf.Tensor, dim_z: int, dim_a: int, noise: Noise, scale: tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Transition noise [B, T, dim_z] and emission noise [B, T, dim_a] for `generate_states`, times `scale` (0 or 1)."""
    steps = tf.shape(controls)[:2]

    def draw(size, variance, purpose):
        shape = tf.concat([steps, [size]], 0)
        return scale * variance**0.5 * tf.random.stateless_normal(shape, fold(seed, purpose), dtype=controls.dtype)

    return draw(dim_z, noise.transition, 0), draw(dim_a, noise.emission, 1)


def generate_states(
    states: tf.Tensor,
    controls: tf.Tensor,
    step_noise: tf.Tensor,
    code_noise: tf.Tensor,
    matrices: Matrices,
    network: DynamicsNetwork,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """z_t = A_t z_{t-1} + B_t u_t + noise and a_t = C_t z_t + noise, the first t0 states held to `states` [B, t0, dim_z].

    Args:
        controls [B, T, dim_u], step_noise [B, T, dim_z] (of the step into t), code_noise [B, T, dim_a].

    Returns:
        z [B, T, dim_z], a [B, T, dim_a], alpha [B, T, K].
    """
    batch, held = tf.shape(states)[0], tf.shape(states)[1]
    total = tf.shape(controls)[1]
    given = tf.pad(states[:, :total], [[0, 0], [0, tf.maximum(total - held, 0)], [0, 0]])

    def step(carry: _GenerateCarry, inputs):
        t, noise_a, next_given, next_u, next_noise = inputs
        a = tf.linalg.matvec(mix(carry.alpha, matrices.C), carry.z) + noise_a
        (alpha, u), state = network.step(a, carry.network)
        u = next_u if u is None else u
        moved = tf.linalg.matvec(mix(alpha, matrices.A), carry.z) + tf.linalg.matvec(mix(alpha, matrices.B), u)
        z = tf.where(t + 1 < held, next_given, moved + next_noise)
        return _GenerateCarry(z, alpha, state, _Held(carry.z, a, carry.alpha))

    a_0 = tf.broadcast_to(matrices.a_0, [batch, matrices.a_0.shape[0]])
    (alpha, _), state = network.step(a_0, network.initial_state(batch))
    elements = (tf.range(total), _time_major(code_noise), *map(_next_time_major, (given, controls, step_noise)))
    start = _GenerateCarry(given[:, 0], alpha, state, _Held(given[:, 0], a_0, alpha))
    made = tf.scan(step, elements, start).made
    return _time_major(made.z), _time_major(made.a), _time_major(made.alpha)


def _time_major(value: tf.Tensor) -> tf.Tensor:
    """[B, T, ...] <-> [T, B, ...]."""
    return tf.transpose(value, [1, 0, *range(2, value.shape.rank)])


def _next_time_major(value: tf.Tensor) -> tf.Tensor:
    """Time-major, with the value of t + 1 at index t; the last is a placeholder nobody reads."""
    return _time_major(tf.concat([value[:, 1:], value[:, -1:]], 1))
