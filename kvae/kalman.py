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
    (mean, U, D), total = state, tf.zeros_like(seen)
    for i in range(C.shape[0]):
        row = C[i] * seen  # zeros where a is missing: they change nothing
        residual = a[i] - tf.reduce_sum(row * mean, 0)
        U, D, gain, spread = _observe_number(U, D, row, variance)
        mean += gain * residual
        total += residual**2 / spread + tf.math.log(spread) + tf.constant(1.8378770664093453, a.dtype)  # log 2 pi
    return State(mean, U, D), -0.5 * seen * total


def _observe_number(U: tf.Tensor, D: tf.Tensor, row: tf.Tensor, variance):
    """One number row' z + N(0, variance), row [dim_z, ...]: U and D after it, the gain [dim_z, ...], its variance [...]."""
    f = tf.reduce_sum(U * row[:, None], 0)
    v = D * f
    after = variance + tf.cumsum(f * v, 0)
    before = tf.concat([tf.zeros_like(after[:1]) + variance, after[:-1]], 0)
    columns = U * v[None]
    gathered = tf.cumsum(columns, 1, exclusive=True)
    gain = tf.reduce_sum(columns, 1) / after[-1]
    return U - gathered * (f / before)[None], D * before / after, gain, after[-1]


def move(state: State, A: tf.Tensor, push: tf.Tensor, variance) -> State:
    """z -> A z + push + N(0, variance I): A [dim_z, dim_z, batch], push [dim_z, batch]."""
    mean, U, D = state
    eye = _eye(A.shape[0], U.dtype) * tf.ones_like(U)
    factors = add(product(A, U), D, eye, tf.zeros_like(D) + variance)
    return State(product_vector(A, mean) + push, *factors)


def add(X: tf.Tensor, D: tf.Tensor, Y: tf.Tensor, E: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """U and D of X diag(D) X' + Y diag(E) Y', by Thornton's weighted Gram-Schmidt: X, Y [n, n, batch], D, E [n, batch]."""
    rows, weights = tf.concat([X, Y], 1), tf.concat([D, E], 0)
    eye = _eye(X.shape[0], X.dtype) * tf.ones_like(X)
    columns, spreads = [eye[:, 0]], []
    for j in range(X.shape[0] - 1, 0, -1):
        last, rest = rows[j], rows[:j]
        weighted = last * weights
        spread = tf.reduce_sum(weighted * last, 0)
        above = tf.reduce_sum(rest * weighted[None], 1) / spread
        rows = rest - above[:, None] * last[None]
        columns.insert(1, tf.concat([above, eye[j:, j]], 0))
        spreads.insert(0, spread)
    first = tf.reduce_sum(rows[0] ** 2 * weights, 0)
    return tf.stack(columns, 1), tf.stack([first, *spreads])


def look_back(state: State, A: tf.Tensor, variance) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """p(z_t | z_{t+1}) where z_t is in `state` and z_{t+1} = A z_t + push + N(0, variance I).

    z_{t+1} is an observation of z_t whose numbers have independent noise, so it is taken in as `observe` does, one number
    after another. Nothing is inverted: the predicted covariance can be too ill-conditioned for that in float32.

    Returns:
        gain G [dim_z, dim_z, ...] on z_{t+1} less its prediction, and the covariance's U [dim_z, dim_z, ...] and
        D [dim_z, ...].
    """
    U, D, G = state.U, state.D, None
    for row in tf.unstack(A):
        U, D, gain, _ = _observe_number(U, D, row, variance)
        corrected = [] if G is None else [G - gain[:, None] * tf.reduce_sum(row[:, None] * G, 0)[None]]
        G = tf.concat([*corrected, gain[:, None]], 1)
    return G, U, D


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
