"""One step of a Kalman filter that stays positive definite in float32.

The covariance is stored and updated as P = U diag(D) U', U unit upper triangular. The update is
Bierman's (Factorization Methods for Discrete Sequential Estimation, 1977, chapter V): it processes
the numbers of a_t one after another, which is exact because their noise is independent. The
prediction is Thornton's weighted Gram-Schmidt (1976). Nothing is subtracted from D and no matrix is
inverted, so noise variances of 1e-6 beside states of 1e3 cause no loss of precision.

Arrays are [..., batch], with the batch last: the matrices are small, so a processor parallelises
over the batch. Every operation is elementwise or a short sum, which XLA fuses into a few loops
(benchmarks/README.md).
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class State(NamedTuple):
    """A normal distribution N(mean, U diag(D) U')."""

    mean: tf.Tensor
    """[dim_z, batch]."""
    U: tf.Tensor
    """[dim_z, dim_z, batch], unit upper triangular."""
    D: tf.Tensor
    """[dim_z, batch], positive."""

    @property
    def cov(self) -> tf.Tensor:
        """[dim_z, dim_z, ...], exactly symmetric."""
        return symmetric(product(self.U * self.D, transposed(self.U)))


LEAST_VARIANCE = 1e-18
"""Added to every variance, so that a variance of 0 causes no division by 0. The inverse of its
square is a normal float32 number, and added to a variance of 1e-6 it is rounded away.
"""
_LOG_2_PI = 1.8378770664093453


class Factors(NamedTuple):
    """A covariance U diag(D) U'."""

    U: tf.Tensor | None
    """[n, n, batch], unit upper triangular; None for the identity."""
    D: tf.Tensor
    """[n, batch], or a scalar."""

    @property
    def deviations(self) -> tf.Tensor:
        """A square root of the covariance: U diag(D)^(1/2), or D^(1/2) if U is None."""
        return tf.sqrt(self.D) if self.U is None else self.U * tf.sqrt(self.D)

    def each(self, change: Callable[[tf.Tensor], tf.Tensor]) -> "Factors":
        """Apply a function to D, and to U if it is not None.

        Args:
            change: the function.

        Returns:
            The changed factors.
        """
        return Factors(None if self.U is None else change(self.U), change(self.D))


def first_state(mean: tf.Tensor, factors: Factors) -> State:
    """Make the state N(mean, factors).

    Args:
        mean: [dim_z, batch].
        factors: the covariance.

    Returns:
        The state.
    """
    ones = tf.ones_like(mean)
    return State(mean, _whole(factors.U, ones), factors.D * ones)


def factored(cov: tf.Tensor) -> Factors:
    """Factor a covariance as U diag(D) U' (Bierman 1977, section III.4).

    Args:
        cov: [n, n, ...], which may be singular.

    Returns:
        The factors.
    """
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
    """Condition a state on an observation a = C z + N(0, diag variance).

    A row of zeros in C leaves the state unchanged; this is how missing numbers are treated.

    Args:
        state: p(z_t | a_{1:t-1}).
        a: [dim_a, batch].
        C: [dim_a, dim_z, batch].
        variance: a positive scalar, or [dim_a, batch].

    Returns:
        The state, and for each number its residual and the residual's variance [dim_a, batch],
        given the numbers before it.
    """
    (mean, U, D), residuals, spreads = state, [], []
    rows = tf.unstack(C)
    for i, (row, number) in enumerate(zip(rows, tf.unstack(a, len(rows)), strict=True)):
        residual = number - tf.reduce_sum(row * mean, 0)
        U, D, gain, spread = _update_by_number(U, D, row, _number(variance, i))
        mean += gain * residual
        residuals.append(residual)
        spreads.append(spread)
    return State(mean, U, D), tf.stack(residuals), tf.stack(spreads)


def log_density(residual: tf.Tensor, spread: tf.Tensor, seen: tf.Tensor | float = 1.0) -> tf.Tensor:
    """Compute log N(residual; 0, diag spread), summed over the first axis.

    Args:
        residual: [n, ...].
        spread: [n, ...], the variances.
        seen: 0 for a number that is left out, 1 for the others.

    Returns:
        [...].
    """
    each = residual**2 / spread + tf.math.log(spread) + _LOG_2_PI
    return -0.5 * tf.reduce_sum(seen * each, 0)


def _number(variance, i: int):
    """The variance of number i; `variance` is a scalar for all, or [n, ...]."""
    return variance[i] if tf.convert_to_tensor(variance).shape.rank else variance


def _update_by_number(U: tf.Tensor, D: tf.Tensor, row: tf.Tensor, variance):
    """Condition on one number row' z + N(0, variance), row [dim_z, ...], by Bierman's update: the
    updated U and D, the gain [dim_z, ...], and the number's variance [...]. f and v are his names.
    """
    f = tf.reduce_sum(U * tf.expand_dims(row, 1), 0)
    v = D * f
    after = variance + tf.cumsum(f * v, 0)
    before = variance + tf.cumsum(f * v, 0, exclusive=True)
    columns, spread = U * v, after[-1]
    gathered = tf.cumsum(columns, 1, exclusive=True)
    gain = tf.reduce_sum(columns, 1) / spread
    return U - gathered * (f / before), D * before / after, gain, spread


def predict(state: State, A: tf.Tensor, control_input: tf.Tensor, noise: Factors) -> State:
    """Predict the next state: z -> A z + control_input + N(0, noise).

    Args:
        state: p(z_t | a_{1:t}).
        A: [dim_z, dim_z, batch].
        control_input: [dim_z, batch].
        noise: the covariance; both parts have the batch (see `with_batch`).

    Returns:
        p(z_{t+1} | a_{1:t}).
    """
    mean, U, D = state
    assert noise.U is not None
    return State(product_vector(A, mean) + control_input, *add(product(A, U), D, noise.U, noise.D))


def add(X: tf.Tensor, D: tf.Tensor, Y: tf.Tensor, E: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Factor the sum X diag(D) X' + Y diag(E) Y' by Thornton's weighted Gram-Schmidt.

    Args:
        X: [n, n, batch].
        D: [n, batch].
        Y: [n, n, batch].
        E: [n, batch].

    Returns:
        U [n, n, batch] and D [n, batch] of the sum.
    """
    size = size_of(X)
    rows, weights = tf.concat([X, Y], 1), tf.concat([D, E], 0)
    columns, spreads = [tf.zeros_like(D)], []
    for j in range(size - 1, 0, -1):
        rest, last = tf.split(rows, [j, 1])
        row = tf.squeeze(last, 0)
        weighted = row * weights
        spread = tf.reduce_sum(weighted * row, 0)
        above = tf.reduce_sum(rest * weighted, 1) / spread
        rows = rest - tf.expand_dims(above, 1) * last
        columns.insert(1, tf.pad(above, [[0, size - j], [0, 0]]))
        spreads.insert(0, spread)
    first = tf.reduce_sum(tf.squeeze(rows, 0) ** 2 * weights, 0)
    return tf.stack(columns, 1) + _eye(size, X.dtype), tf.stack([first, *spreads])


def smoothing_gain(
    state: State, A: tf.Tensor, noise: Factors
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Compute p(z_t | z_{t+1}) for one step z_{t+1} = A z_t + control_input + N(0, noise).

    z_{t+1} is an observation of z_t. Multiplied by the inverse of the noise's U, its numbers are
    independent, and they are processed one after another as in `update`. The predicted covariance
    is not inverted: in float32 it can be too ill-conditioned.

    Args:
        state: p(z_t | a_{1:t}).
        A: [dim_z, dim_z, ...].
        noise: the covariance of the step.

    Returns:
        The gain G [dim_z, dim_z, ...] on z_{t+1} minus its prediction, and the covariance's
        U [dim_z, dim_z, ...] and D [dim_z, ...].
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
    """Invert a unit upper triangular matrix.

    Args:
        U: [n, n, ...].

    Returns:
        [n, n, ...].
    """
    eye = tf.reshape(tf.eye(size_of(U), dtype=U.dtype), [size_of(U)] * 2 + [1] * (U.shape.rank - 2))
    return _solve(U, eye + tf.zeros_like(U))


def product(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Multiply matrices, batch last.

    Args:
        left: [n, k, ...].
        right: [k, m, ...].

    Returns:
        [n, m, ...].
    """
    return tf.reduce_sum(tf.expand_dims(left, 2) * right, 1)


def product_vector(matrix: tf.Tensor, vector: tf.Tensor) -> tf.Tensor:
    """Multiply a matrix and a vector, batch last.

    Args:
        matrix: [n, k, ...].
        vector: [k, ...].

    Returns:
        [n, ...].
    """
    return tf.reduce_sum(matrix * vector, 1)


def transposed(matrix: tf.Tensor) -> tf.Tensor:
    """Transpose a matrix, batch last.

    Args:
        matrix: [n, m, ...].

    Returns:
        [m, n, ...].
    """
    return tf.transpose(matrix, [1, 0, *range(2, matrix.shape.rank)])


def symmetric(matrix: tf.Tensor) -> tf.Tensor:
    """Remove rounding errors from a symmetric matrix.

    Args:
        matrix: [n, n, ...].

    Returns:
        [n, n, ...], exactly symmetric.
    """
    return 0.5 * (matrix + transposed(matrix))


def size_of(value: tf.Tensor, axis: int = 0) -> int:
    """Read the static size of an axis.

    Args:
        value: a tensor.
        axis: an axis of known size.

    Returns:
        The size.
    """
    size = value.shape[axis]
    assert size is not None
    return size


def batch_last(value: tf.Tensor) -> tf.Tensor:
    """Move the batch to the end: [batch, T, ...] -> [T, ..., batch].

    Args:
        value: [batch, T, ...].

    Returns:
        [T, ..., batch].
    """
    return tf.transpose(value, [1, *range(2, value.shape.rank), 0])


def with_batch(factors: Factors, like: tf.Tensor) -> Factors:
    """Give both factors the batch axis, as `predict` needs them.

    Args:
        factors: the factors.
        like: [n, batch], a tensor with the batch.

    Returns:
        U [n, n, batch] and D [n, batch].
    """
    return Factors(_whole(factors.U, like), factors.D + tf.zeros_like(like))


def _whole(U: tf.Tensor | None, like: tf.Tensor) -> tf.Tensor:
    """U, or the identity for None, with the batch of `like` [n, batch]."""
    return (_eye(size_of(like), like.dtype) if U is None else U) * tf.ones_like(like)[None]


def _eye(size: int, dtype) -> tf.Tensor:
    """The identity matrix, [size, size, 1]."""
    return tf.eye(size, dtype=dtype)[..., None]  # pyright: ignore[reportArgumentType]
