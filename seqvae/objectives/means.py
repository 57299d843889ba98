"""Weighted means, for masked values."""

import tensorflow as tf


def weighted_mean(value: tf.Tensor, weight: tf.Tensor | None = None) -> tf.Tensor:
    """Weighted mean of all entries; 0 if all weights are 0.

    Args:
        value: the values.
        weight: of the same shape, 0 for padding and missing values; None: a plain mean.

    Returns:
        A scalar.
    """
    if weight is None:
        return tf.reduce_mean(value)
    return tf.math.divide_no_nan(tf.reduce_sum(weight * value), tf.reduce_sum(weight))
