"""One step of a Kalman filter that stays positive definite in float32.

The covariance is kept as P = U diag(D) U', U unit upper triangular, and updated in that form: an
observation by Bierman (Factorization Methods for Discrete Sequential Estimation, 1977, chapter V),
the numbers of a_t one after another, which is exact since their noise is independent; a move by
Thornton's weighted Gram-Schmidt (1976). Nothing is ever subtracted from D, nothing is inverted, and
noises of 1e-6 beside states of 1e3 do no harm.

Arrays are [..., batch], the batch last: the matrices are small, so it is over the batch that a
processor works in parallel. Every operation is elementwise or a short sum, which XLA fuses into a
few loops (benchmarks/README.md).
"""

from collections.abc import Callable
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


LEAST_VARIANCE = 1e-18
"""Added to every variance, so that one of 0 divides nothing by 0. The inverse of its square is a
normal float32, and beside a variance of 1e-6 it is lost."""


class Factors(NamedTuple):
    """A covariance U diag(D) U': U [n, n, batch] or None for the identity; D [n, batch], or a
    scalar."""

    U: tf.Tensor | None
    D: tf.Tensor

    @property
    def deviations(self) -> tf.Tensor:
        """U diag(D)^(1/2), or D^(1/2) where U is None."""
        return tf.sqrt(self.D) if self.U is None else self.U * tf.sqrt(self.D)[None]

    def each(self, change: Callable[[tf.Tensor], tf.Tensor]) -> "Factors":
        """U, where it is not None, and D after `change`."""
        return Factors(None if self.U is None else change(self.U), change(self.D))


def first_state(mean: tf.Tensor, factors: Factors) -> State:
    """N(mean, factors), mean [dim_z, batch]."""
    ones = tf.ones_like(mean)
    return State(mean, _whole(factors.U, ones), factors.D * ones)


def factored(cov: tf.Tensor) -> Factors:
    """U and D of a covariance [n, n, ...], which may be singular (Bierman 1977, section III.4)."""
    columns, spreads, size = [], [], size_of(cov)
    for j in reversed(range(size)):
        spread = cov[j, j]
        above = tf.math.divide_no_nan(cov[:j, j], spread[None])
        cov = cov[:j, :j] - above[:, None] * above[None] * spread
        columns.insert(
            0,
            tf.stack(
                [
                    *tf.unstack(above),
                    tf.ones_like(spread),
                    *[tf.zeros_like(spread)] * (size - 1 - j),
                ]
            ),
        )
        spreads.insert(0, spread)
    return Factors(tf.stack(columns, 1), tf.stack(spreads))


def update(
    state: State, a: tf.Tensor, C: tf.Tensor, variance: tf.Tensor | float
) -> tuple[State, tf.Tensor, tf.Tensor]:
    """Takes in a = C z + N(0, diag variance). A row of zeros in C leaves the state as it is: so a
    missing number is taken in.

    Args:
        a: [dim_a, batch]; C: [dim_a, dim_z, batch]; variance: a positive scalar, or [dim_a, batch].

    Returns:
        The state, and of each number the residual and its variance [dim_a, batch], given the
        numbers before it.
    """
    (mean, U, D), residuals, spreads = state, [], []
    for i, row in enumerate(tf.unstack(C)):
        residual = a[i] - tf.reduce_sum(row * mean, 0)
        U, D, gain, spread = _update_by_number(U, D, row, _number(variance, i))
        mean += gain * residual
        residuals.append(residual)
        spreads.append(spread)
    return State(mean, U, D), tf.stack(residuals), tf.stack(spreads)


def log_density(residual: tf.Tensor, spread: tf.Tensor, seen: tf.Tensor | float = 1.0) -> tf.Tensor:
    """log N(residual; 0, diag spread) over the first axis; seen: 0 for a number that is left
    out."""
    return -0.5 * tf.reduce_sum(
        seen * (residual**2 / spread + tf.math.log(spread) + 1.8378770664093453), 0
    )  # log 2 pi


def _number(variance, i: int):
    return variance[i] if tf.convert_to_tensor(variance).shape.rank else variance


def _update_by_number(U: tf.Tensor, D: tf.Tensor, row: tf.Tensor, variance):
    """One number row' z + N(0, variance), row [dim_z, ...]: U and D after it, the gain [dim_z,
    ...], its variance [...]."""
    f = tf.reduce_sum(U * row[:, None], 0)
    v = D * f
    seen = tf.cumsum(f * v, 0)
    after = variance + seen
    before = variance + tf.pad(seen[:-1], [[1, 0]] + [[0, 0]] * (seen.shape.rank - 1))
    columns = U * v[None]
    gathered = tf.cumsum(columns, 1, exclusive=True)
    gain = tf.reduce_sum(columns, 1) / after[-1]
    return U - gathered * (f / before)[None], D * before / after, gain, after[-1]


def predict(state: State, A: tf.Tensor, control_input: tf.Tensor, noise: Factors) -> State:
    """z -> A z + control_input + N(0, noise): A [dim_z, dim_z, batch], control_input [dim_z,
    batch], both parts of noise with the batch."""
    mean, U, D = state
    assert noise.U is not None
    return State(product_vector(A, mean) + control_input, *add(product(A, U), D, noise.U, noise.D))


def add(X: tf.Tensor, D: tf.Tensor, Y: tf.Tensor, E: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """U and D of X diag(D) X' + Y diag(E) Y', by Thornton's weighted Gram-Schmidt: X, Y [n, n,
    batch], D, E [n, batch]."""
    size = size_of(X)
    rows, weights = tf.concat([X, Y], 1), tf.concat([D, E], 0)
    columns, spreads = [tf.zeros_like(D)], []
    for j in range(size - 1, 0, -1):
        last, rest = rows[j], rows[:j]
        weighted = last * weights
        spread = tf.reduce_sum(weighted * last, 0)
        above = tf.reduce_sum(rest * weighted[None], 1) / spread
        rows = rest - above[:, None] * last[None]
        columns.insert(1, tf.pad(above, [[0, size - j], [0, 0]]))
        spreads.insert(0, spread)
    first = tf.reduce_sum(rows[0] ** 2 * weights, 0)
    return tf.stack(columns, 1) + _eye(size, X.dtype), tf.stack([first, *spreads])


def smoothing_gain(
    state: State, A: tf.Tensor, noise: Factors
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """p(z_t | z_{t+1}) where z_t is in `state` and z_{t+1} = A z_t + control_input + N(0, noise).

    z_{t+1} is an observation of z_t whose numbers, after U^-1 of the noise, are independent: they
    are taken in as `update` does, one after another. Nothing is inverted: in float32 the predicted
    covariance can be too ill-conditioned for that.

    Returns:
        gain G [dim_z, dim_z, ...] on z_{t+1} less its prediction, and the covariance's U [dim_z,
        dim_z, ...] and D [dim_z, ...].
    """
    U, D, G = state.U, state.D, None
    if noise.U is not None:
        A = _solve(noise.U, A)
    for i, row in enumerate(tf.unstack(A)):
        U, D, gain, _ = _update_by_number(U, D, row, _number(noise.D, i))
        corrected = (
            [] if G is None else [G - gain[:, None] * tf.reduce_sum(row[:, None] * G, 0)[None]]
        )
        G = tf.concat([*corrected, gain[:, None]], 1)
    assert G is not None
    return (G if noise.U is None else _solve_right(G, noise.U)), U, D


def _solve(U: tf.Tensor, X: tf.Tensor) -> tf.Tensor:
    """U^-1 X for a unit upper triangular U [n, n, ...]."""
    rows = tf.unstack(X + tf.zeros_like(U[:, :1]))
    for i in reversed(range(len(rows) - 1)):
        rows[i] -= sum(U[i, j] * rows[j] for j in range(i + 1, len(rows)))
    return tf.stack(rows)


def _solve_right(X: tf.Tensor, U: tf.Tensor) -> tf.Tensor:
    """X U^-1 for a unit upper triangular U [n, n, ...]."""
    columns = tf.unstack(X, axis=1)
    for j in range(1, len(columns)):
        columns[j] -= sum(U[i, j] * columns[i] for i in range(j))
    return tf.stack(columns, 1)


def inverse_unit(U: tf.Tensor) -> tf.Tensor:
    """U^-1 for a unit upper triangular U [n, n, ...]."""
    eye = tf.reshape(tf.eye(size_of(U), dtype=U.dtype), [size_of(U)] * 2 + [1] * (U.shape.rank - 2))
    return _solve(U, eye + tf.zeros_like(U))


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


def size_of(value: tf.Tensor, axis: int = 0) -> int:
    """The size of an axis that is the same in every call."""
    size = value.shape[axis]
    assert size is not None
    return size


def batch_last(value: tf.Tensor) -> tf.Tensor:
    """[batch, T, ...] -> [T, ..., batch]."""
    return tf.transpose(value, [1, *range(2, value.shape.rank), 0])


def with_batch(factors: Factors, like: tf.Tensor) -> Factors:
    """U and D with the batch of `like` [n, batch], as `move` takes them."""
    return Factors(_whole(factors.U, like), factors.D + tf.zeros_like(like))


def _whole(U: tf.Tensor | None, like: tf.Tensor) -> tf.Tensor:
    """U, or the identity for None, with the batch of `like` [n, batch]."""
    return (_eye(size_of(like), like.dtype) if U is None else U) * tf.ones_like(like)[None]


def _eye(size: int, dtype) -> tf.Tensor:
    """[size, size, 1]"""
    return tf.eye(size, dtype=dtype)[..., None]  # pyright: ignore[reportArgumentType]
