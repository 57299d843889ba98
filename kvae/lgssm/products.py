"""Products of the state-space model's small matrices, batch first, in full precision.

`tf.linalg.matmul` is not used: on a GPU it multiplies float32 in TF32, which uses 11 bits of each
number, unless `tf.config.experimental.enable_tensor_float_32_execution(False)` was called. Products
of covariances need all 24 bits.
"""

import tensorflow as tf


def matmul(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Multiply matrices.

    Args:
        left: [..., n, k].
        right: [..., k, m].

    Returns:
        [..., n, m].
    """
    return tf.reduce_sum(left[..., None] * right[..., None, :, :], -2)  # pyright: ignore[reportArgumentType]


def matvec(matrix: tf.Tensor, vector: tf.Tensor) -> tf.Tensor:
    """Multiply matrices and vectors.

    Args:
        matrix: [..., n, k].
        vector: [..., k].

    Returns:
        [..., n].
    """
    return tf.reduce_sum(matrix * vector[..., None, :], -1)  # pyright: ignore[reportArgumentType]


def sandwich(left: tf.Tensor, cov: tf.Tensor) -> tf.Tensor:
    """Transform a covariance: left cov left'.

    Args:
        left: [..., n, k].
        cov: [..., k, k].

    Returns:
        [..., n, n].
    """
    return matmul(matmul(left, cov), tf.linalg.matrix_transpose(left))
