"""One step of a Kalman filter that stays positive definite in float32.

The covariance is kept as P = U diag(D) U', U unit upper triangular, and updated in that form: an observation by Bierman
(Factorization Methods for Discrete Sequential Estimation, 1977, chapter V), the numbers of a_t one after another, which is
exact since their noise is independent; a move by Thornton's weighted Gram-Schmidt (1976). Nothing is ever subtracted from D,
nothing is inverted, and noises of 1e-6 beside states of 1e3 do no harm.

Arrays are [..., batch], the batch last: the matrices are small, so it is over the batch that a processor works in parallel.
Every operation is elementwise or a short sum, which XLA fuses into a few loops (benchmarks/README.md).
"""

from typing import NamedTuple

import tensorflow as tf


class State(NamedTuple):
    """N(mean, U diag(D) U'): mean [dim_z, batch], U [dim_z, dim_z, batch], D [dim_z, batch]."""

    mean: tf.Tensor
    U: tf.Tensor
    D: tf.Tensor

    @property
    def cov(self) -> tf.Tensor:
        """[dim_z, dim_z, ...], symmetric to the last bit."""
        return symmetric(product(self.U * self.D[None], transposed(self.U)))


def first_state(dim_z: int, batch: tf.Tensor, variance, dtype) -> State:
    """N(0, variance I)."""
    ones = tf.ones([dim_z, batch], dtype)
    return State(0.0 * ones, _eye(dim_z, dtype) * ones[None], variance * ones)


def observe(state: State, a: tf.Tensor, seen: tf.Tensor, C: tf.Tensor, variance) -> tuple[State, tf.Tensor]:
    """Takes in a = C z + N(0, variance I).

    Args:
        a: [dim_a, batch]; seen: [batch], 1 = observed, 0 = missing; C: [dim_a, dim_z, batch].

    Returns:
        The state, unchanged where nothing was seen, and log p(a | what was seen before) [batch], 0 there.
    """
    total = tf.zeros_like(seen)
    for i in range(C.shape[0]):
        row = C[i] * seen  # one that sees nothing changes nothing
        state, residual, spread = _observe_number(state, a[i], row, variance)
        total += residual**2 / spread + tf.math.log(spread) + tf.constant(1.8378770664093453, a.dtype)  # log 2 pi
    return state, -0.5 * seen * total


def _observe_number(state: State, a: tf.Tensor, row: tf.Tensor, variance):
    """One number a [batch] = row' z + noise, row [dim_z, batch]: the state, the residual, and its variance."""
    mean, U, D = state
    residual = a - tf.reduce_sum(row * mean, 0)
    f = tf.reduce_sum(U * row[:, None], 0)
    v = D * f
    after = variance + tf.cumsum(f * v, 0)
    before = tf.concat([tf.zeros_like(a)[None] + variance, after[:-1]], 0)
    columns = U * v[None]
    gathered = tf.cumsum(columns, 1, exclusive=True)
    gain = tf.reduce_sum(columns, 1) / after[-1]
    return State(mean + gain * residual, U - gathered * (f / before)[None], D * before / after), residual, after[-1]


def move(state: State, A: tf.Tensor, push: tf.Tensor, variance) -> State:
    """z -> A z + push + N(0, variance I): A [dim_z, dim_z, batch], push [dim_z, batch]."""
    mean, U, D = state
    size = A.shape[0]
    eye = _eye(size, U.dtype) * tf.ones_like(U)
    rows = tf.concat([product(A, U), eye], 1)  # [dim_z, 2 dim_z, batch], weighted by D and the noise
    weights = tf.concat([D, tf.zeros_like(D) + variance], 0)
    columns, spreads = [], []
    for j in reversed(range(size)):
        last = rows[j] * weights
        spread = tf.reduce_sum(last * rows[j], 0)
        above = tf.reduce_sum(rows[:j] * last[None], 1) / spread
        rows = rows[:j] - above[:, None] * rows[j][None]
        columns.append(tf.concat([above, eye[j:, j]], 0))
        spreads.append(spread)
    return State(product_vector(A, mean) + push, tf.stack(columns[::-1], 1), tf.stack(spreads[::-1]))


def look_back(state: State, A: tf.Tensor, predicted: State, variance) -> tuple[tf.Tensor, tf.Tensor]:
    """p(z_t | z_{t+1}) where z_t is in `state` and `move` by A made `predicted` of it: gain on z_{t+1} and covariance.

    G = P A' P_next^-1 by substitution with the factors of P_next; the covariance is (I - G A) P (I - G A)' + variance G G', a
    sum of squares.

    Returns:
        [dim_z, dim_z, ...] both.
    """
    size = A.shape[0]
    moved = product(A, state.U)
    rest = product(moved * state.D[None], transposed(state.U))  # P_next G' = A P
    for j in reversed(range(1, size)):  # U x = rest
        rest = tf.concat([rest[:j] - predicted.U[:j, j][:, None] * rest[j][None], rest[j:]], 0)
    rest /= predicted.D[:, None]
    for j in range(size - 1):  # U' x = rest
        rest = tf.concat([rest[: j + 1], rest[j + 1 :] - predicted.U[j, j + 1 :][:, None] * rest[j][None]], 0)
    gain = transposed(rest)
    left = state.U - product(gain, moved)
    cov = product(left * state.D[None], transposed(left)) + variance * product(gain, rest)
    return gain, symmetric(cov)


def product(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Matrices [n, k, ...] and [k, m, ...] -> [n, m, ...]."""
    return tf.reduce_sum(left[:, :, None] * right[None], 1)


def product_vector(matrix: tf.Tensor, vector: tf.Tensor) -> tf.Tensor:
    """[n, k, ...] and [k, ...] -> [n, ...]."""
    return tf.reduce_sum(matrix * vector[None], 1)


def transposed(matrix: tf.Tensor) -> tf.Tensor:
    """[n, m, ...] -> [m, n, ...]."""
    return tf.transpose(matrix, [1, 0, *range(2, matrix.shape.rank)])


def symmetric(matrix: tf.Tensor) -> tf.Tensor:
    """[n, n, ...], less what rounding made unequal."""
    return 0.5 * (matrix + transposed(matrix))


def batch_last(value: tf.Tensor) -> tf.Tensor:
    """[batch, T, ...] -> [T, ..., batch]."""
    return tf.transpose(value, [1, *range(2, value.shape.rank), 0])


def _eye(size: int, dtype) -> tf.Tensor:
    """[size, size, 1]"""
    return tf.eye(size, dtype=dtype)[..., None]
