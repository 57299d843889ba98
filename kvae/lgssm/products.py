"""Products of the state-space model's small matrices, batch first, in the precision of their type.

Not by `tf.linalg.matmul`: a GPU computes that of float32 in TF32, which reads 11 bits of each
number, unless `tf.config.experimental.enable_tensor_float_32_execution(False)` was called. Products
of covariances need all 24.
"""

import tensorflow as tf


def matmul(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """[..., n, k], [..., k, m] -> [..., n, m]."""
    return tf.reduce_sum(left[..., None] * right[..., None, :, :], -2)  # pyright: ignore[reportArgumentType]


def matvec(matrix: tf.Tensor, vector: tf.Tensor) -> tf.Tensor:
    """[..., n, k], [..., k] -> [..., n]."""
    return tf.reduce_sum(matrix * vector[..., None, :], -1)  # pyright: ignore[reportArgumentType]


def sandwich(left: tf.Tensor, cov: tf.Tensor) -> tf.Tensor:
    """left cov left'."""
    return matmul(matmul(left, cov), tf.linalg.matrix_transpose(left))
