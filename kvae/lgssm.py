"""The linear Gaussian state-space model over a whole sequence: filter, smoother, log-likelihood, and the bounds.

Pure functions of tensors, batch-major [B, T, ...] outside, [..., T, B] inside. The index t of `Mixed` is the paper's: A_t
carries z_{t-1} to z_t. `tfd.LinearGaussianStateSpaceModel` computes the same, and the tests hold us to it; from 32 sequences
on it takes 2 to 7 times as long in a plain graph, 9 to 41 times as long as this by XLA (benchmarks/README.md).
"""

from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from kvae import kalman
from kvae.kalman import State, batch_last
from kvae.results import Filtered, LgssmBound, Mixed, Smoothed

tfd = tfp.distributions


class Noise(NamedTuple):
    """Variances: Q = transition * I, R = emission * I, z_1 ~ N(0, initial * I)."""

    transition: float
    emission: float
    initial: float


class Track(NamedTuple):
    """What the filter leaves: p(z_t | a_{1:t}) and p(z_t | a_{1:t-1}), [..., T, B], and log p(a_t | a_{1:t-1}) [T, B]."""

    updated: State
    predicted: State
    log_likelihood: tf.Tensor


class Backward(NamedTuple):
    """p(z_t | z_{t+1}, a_{1:t}): gain [B, T, dim_z, dim_z] on z_{t+1}, 0 at T; cov [B, T, dim_z, dim_z]."""

    gain: tf.Tensor
    cov: tf.Tensor


def filter_states(a: tf.Tensor, mask: tf.Tensor | None, mixed: Mixed, noise: Noise) -> Track:
    """The Kalman filter for codes a [B, T, dim_a], mask [B, T] or None (paper, section 2.1)."""

    def step(carry: tuple[State, Track], inputs):
        predicted, _ = carry
        updated, next_predicted, log_likelihood = _advance(predicted, inputs, noise)
        return next_predicted, Track(updated, predicted, log_likelihood)

    elements = _elements(a, mask, mixed)
    first = _first_state(a, mixed, noise)
    _, track = tf.scan(step, elements, (first, Track(first, first, tf.zeros_like(first.D[0]))))
    return time_inside(track)


def log_likelihood(a: tf.Tensor, mask: tf.Tensor | None, mixed: Mixed, noise: Noise) -> tf.Tensor:
    """[B]: log p(a_{1:T} | u_{1:T}) of the observed codes. The filter, keeping nothing on the way."""

    def step(carry: tuple[State, tf.Tensor], inputs):
        predicted, total = carry
        _, next_predicted, log_likelihood = _advance(predicted, inputs, noise)
        return next_predicted, total + log_likelihood

    first = _first_state(a, mixed, noise)
    return tf.foldl(step, _elements(a, mask, mixed), (first, tf.zeros_like(first.D[0])))[1]


def compiled_log_likelihood(a: tf.Tensor, mixed: Mixed, noise: Noise) -> tf.Tensor:
    """`log_likelihood` by XLA, for any graph around it: value and gradients come from one compiled function.

    (A loop's value in one XLA function and its gradient in another cannot be had: the loop's stacks do not cross the border.)
    """

    @tf.function(autograph=False, jit_compile=True)
    def value_and_gradients(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = log_likelihood(
                tensors[0], None, mixed._replace(**dict(zip("ABCu", tensors[1:], strict=True))), noise
            )
        return value, tape.gradient(value, tensors, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    @tf.custom_gradient
    def value(*tensors):
        value, gradients = value_and_gradients(*tensors)
        # The sequences of a batch are independent: each gradient is scaled by what comes back for its own.
        return value, lambda up: [tf.reshape(up, [-1] + [1] * (g.shape.rank - 1)) * g for g in gradients]

    return value(a, mixed.A, mixed.B, mixed.C, mixed.u)


def filtered_states(track: Track, mixed: Mixed) -> Filtered:
    """The track as users see it."""
    moments = [_batch_major(moment) for state in (track.updated, track.predicted) for moment in (state.mean, state.cov)]
    return Filtered(*moments, _batch_major(track.log_likelihood), *mixed[:4])


def smooth_states(track: Track, mixed: Mixed, noise: Noise) -> tuple[Smoothed, Backward]:
    """The Rauch-Tung-Striebel smoother on what the filter left (paper, section 2.1).

    P_{t|T} = Cov(z_t | z_{t+1}, a_{1:t}) + G_t P_{t+1|T} G_t' is kept as U diag(D) U' too. Both terms are positive: nothing
    is subtracted, and G_t, which can be large, does not enlarge what rounding left in a full matrix.
    """
    A_next = _next(_matrices_last(mixed.A))
    next_mean = _next(track.predicted.mean)
    gain, U, D = kalman.look_back(track.updated, A_next, noise.transition)
    follows = tf.range(tf.shape(D)[-2])[:, None] < tf.shape(D)[-2] - 1  # nothing follows T
    gain, U, D = (
        tf.where(follows, gain, 0.0),
        tf.where(follows, U, track.updated.U),
        tf.where(follows, D, track.updated.D),
    )

    def step(later: State, inputs):
        filtered_mean, next_mean, gain, U, D = inputs
        mean = filtered_mean + kalman.product_vector(gain, later.mean - next_mean)
        return State(mean, *kalman.add(kalman.product(gain, later.U), later.D, U, D))

    elements = tuple(map(_time_first, (track.updated.mean, next_mean, gain, U, D)))
    last = State(*(value[..., -1, :] for value in track.updated))
    states = State(*map(_time_last, tf.scan(step, elements, last, reverse=True)))
    smoothed = Smoothed(_batch_major(states.mean), _batch_major(states.cov), *mixed[:4])
    return smoothed, Backward(_batch_major(gain), _batch_major(State(states.mean, U, D).cov))


def marginal_bound(
    a: tf.Tensor, mask: tf.Tensor, mixed: Mixed, noise: Noise, track: Track, smoothed: Smoothed, backward: Backward
) -> LgssmBound:
    """The bound at the exact joint posterior: every expectation in closed form, the total is log p(a | u).

    Uses Cov(z_{t-1}, z_t | a_{1:T}) = G_{t-1} P_{t|T}.
    """
    z, P, A = smoothed.mean, smoothed.cov, mixed.A[:, 1:]
    A_cross = A @ backward.gain[:, :-1] @ P[:, 1:]
    spread = P[:, 1:] - A_cross - tf.linalg.matrix_transpose(A_cross) + A @ P[:, :-1] @ tf.linalg.matrix_transpose(A)
    transition = _transition(z, mixed, noise) - 0.5 * tf.reduce_sum(tf.linalg.trace(spread), -1) / noise.transition
    C_spread = mixed.C @ P @ tf.linalg.matrix_transpose(mixed.C)
    emission = (
        _emission(a, z, mask, mixed, noise) - 0.5 * tf.reduce_sum(mask * tf.linalg.trace(C_spread), -1) / noise.emission
    )
    initial = _initial(z, noise) - 0.5 * tf.linalg.trace(P[:, 0]) / noise.initial
    entropy = tf.reduce_sum(_entropy(backward.cov), -1)  # of the chain z_T, then each z_t given z_{t+1}
    parts = _per_frame(mask, transition, emission, initial, entropy)
    return LgssmBound(tf.reduce_sum(track.log_likelihood) / tf.reduce_sum(mask), *parts)


def sampled_bound(
    a: tf.Tensor, mask: tf.Tensor, mixed: Mixed, noise: Noise, smoothed: Smoothed, z: tf.Tensor
) -> LgssmBound:
    """The original's bound at given states z [B, T, dim_z], drawn from the smoothed marginals."""
    entropy = -tf.reduce_sum(smoothed_marginals(smoothed).log_prob(z), -1)
    parts = _per_frame(
        mask, _transition(z, mixed, noise), _emission(a, z, mask, mixed, noise), _initial(z, noise), entropy
    )
    return LgssmBound(tf.add_n(parts), *parts)


def smoothed_marginals(smoothed: Smoothed) -> tfd.Distribution:
    """q(z_t) for each t, as if independent: batch [B, T], event [dim_z]."""
    return tfd.MultivariateNormalTriL(smoothed.mean, tf.linalg.cholesky(smoothed.cov))


def time_inside(track: Track) -> Track:
    """A scan's [T, ..., B] -> [..., T, B]."""
    states = [State(*map(_time_last, state)) for state in (track.updated, track.predicted)]
    return Track(*states, track.log_likelihood)


def _first_state(a: tf.Tensor, mixed: Mixed, noise: Noise) -> State:
    return kalman.first_state(mixed.A.shape[-1], tf.shape(a)[0], noise.initial, a.dtype)


def _elements(a: tf.Tensor, mask: tf.Tensor | None, mixed: Mixed) -> tuple[tf.Tensor, ...]:
    """What step t reads, [T, ..., B]: a_t, whether it was seen, C_t, and A and B u of the move to t + 1."""
    seen = tf.ones_like(a[..., 0]) if mask is None else mask
    a = a if mask is None else tf.where(mask[..., None] > 0.5, a, 0.0)
    A, push = (_shifted(value) for value in (mixed.A, tf.linalg.matvec(mixed.B, mixed.u)))
    return tuple(map(batch_last, (a, seen, mixed.C, A, push)))


def _advance(predicted: State, inputs, noise: Noise) -> tuple[State, State, tf.Tensor]:
    a, seen, C, A_next, push_next = inputs
    updated, log_likelihood = kalman.observe(predicted, a, seen, C, noise.emission)
    return updated, kalman.move(updated, A_next, push_next, noise.transition), log_likelihood


def _shifted(value: tf.Tensor) -> tf.Tensor:
    """[B, T, ...] with the value of t + 1 at t; the last is a placeholder nobody reads."""
    return tf.concat([value[:, 1:], value[:, -1:]], 1)


def _next(value: tf.Tensor) -> tf.Tensor:
    """As `_shifted`, for [..., T, B]."""
    return tf.concat([value[..., 1:, :], value[..., -1:, :]], -2)


def _matrices_last(value: tf.Tensor) -> tf.Tensor:
    """[B, T, n, m] -> [n, m, T, B]."""
    return tf.transpose(value, [2, 3, 1, 0])


def _time_first(value: tf.Tensor) -> tf.Tensor:
    """[..., T, B] -> [T, ..., B]."""
    rank = value.shape.rank
    return tf.transpose(value, [rank - 2, *range(rank - 2), rank - 1])


def _time_last(value: tf.Tensor) -> tf.Tensor:
    """[T, ..., B] -> [..., T, B]."""
    rank = value.shape.rank
    return tf.transpose(value, [*range(1, rank - 1), 0, rank - 1])


def _batch_major(value: tf.Tensor) -> tf.Tensor:
    """[..., T, B] -> [B, T, ...]."""
    rank = value.shape.rank
    return tf.transpose(value, [rank - 1, rank - 2, *range(rank - 2)])


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


def _log_normal(residual: tf.Tensor, variance) -> tf.Tensor:
    """log N(residual; 0, variance * I) over the last axis."""
    scale = tf.fill([residual.shape[-1]], tf.convert_to_tensor(variance, residual.dtype) ** 0.5)
    return tfd.MultivariateNormalDiag(scale_diag=scale).log_prob(residual)


def _entropy(cov: tf.Tensor) -> tf.Tensor:
    return tfd.MultivariateNormalTriL(scale_tril=tf.linalg.cholesky(cov)).entropy()


def _per_frame(mask: tf.Tensor, *terms: tf.Tensor) -> list[tf.Tensor]:
    observed = tf.reduce_sum(mask)
    return [tf.reduce_sum(term) / observed for term in terms]
