"""Time steps that feed on their own predictions: filtering over missing frames, and generation.

Where a frame is missing the dynamics network reads the filter's own prediction C_t mu_{t|t-1} in place of a_t, so its
weights cannot be known before the filter runs: network and filter go hand in hand.
"""

from typing import NamedTuple

import tensorflow as tf

from kvae import kalman
from kvae.dynamics import DynamicsNetwork
from kvae.kalman import State, batch_last
from kvae.lgssm import Noise, Track, time_inside
from kvae.results import Mixed
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


class _FilterCarry(NamedTuple):
    predicted: State
    alpha: tf.Tensor
    u: tf.Tensor
    network: tuple[tf.Tensor, ...]
    used: "_FilterStep"


class _FilterStep(NamedTuple):
    track: Track
    alpha: tf.Tensor
    u: tf.Tensor


def filter_with_gaps(
    a: tf.Tensor, mask: tf.Tensor, controls: tf.Tensor, matrices: Matrices, network: DynamicsNetwork, noise: Noise
) -> tuple[Track, Mixed]:
    """The Kalman filter and the dynamics network, hand in hand over the sequence.

    Args:
        a: [B, T, dim_a]; mask: [B, T], 1 = observed; controls: [B, T, dim_u], used unless the network learns its own.
    """
    batch = tf.shape(a)[0]
    a = tf.where(mask[..., None] > 0.5, a, 0.0)

    def next_alpha(code, state, given_u):
        (alpha, u), state = network.step(code, state)
        return alpha, (given_u if u is None else u), state

    def step(carry: _FilterCarry, inputs):
        a_t, seen, next_u = inputs
        predicted, C = carry.predicted, _mix_last(carry.alpha, matrices.C)
        updated, log_likelihood = kalman.observe(predicted, a_t, seen, C, noise.emission)
        heard = seen * a_t + (1.0 - seen) * kalman.product_vector(C, predicted.mean)
        alpha, u, state = next_alpha(tf.transpose(heard), carry.network, next_u)
        push = kalman.product_vector(_mix_last(alpha, matrices.B), tf.transpose(u))
        moved = kalman.move(updated, _mix_last(alpha, matrices.A), push, noise.transition)
        used = _FilterStep(Track(updated, predicted, log_likelihood), carry.alpha, carry.u)
        return _FilterCarry(moved, alpha, u, state, used)

    a_0 = tf.broadcast_to(matrices.a_0, [batch, matrices.a_0.shape[0]])
    alpha, u, state = next_alpha(a_0, network.initial_state(batch), controls[:, 0])
    first = kalman.first_state(matrices.A.shape[-1], batch, noise.initial, a.dtype)
    start = _FilterStep(Track(first, first, tf.zeros_like(mask[:, 0])), alpha, u)
    next_controls = tf.concat([controls[:, 1:], controls[:, -1:]], 1)
    elements = (batch_last(a), batch_last(mask), _time_major(next_controls))
    used = tf.scan(step, elements, _FilterCarry(first, alpha, u, state, start)).used
    alpha, u = _time_major(used.alpha), _time_major(used.u)
    return time_inside(used.track), Mixed(alpha, *(mix(alpha, m) for m in matrices[:3]), u)


def _mix_last(alpha: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
    """`mix` with the batch last: [B, K], [K, n, m] -> [n, m, B].

    Not `tf.tensordot`: its gradient does not compile inside a loop under XLA where the batch size is unknown.
    """
    return tf.einsum("knm,bk->nmb", matrices, alpha)


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
