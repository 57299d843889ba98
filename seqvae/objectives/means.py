"""Means over what was observed."""

import tensorflow as tf


def weighted_mean(value: tf.Tensor, weight: tf.Tensor | None = None) -> tf.Tensor:
    """The mean of `value`, its entries counting as `weight`, of the same shape, says: 0 for padding
    and what is missing. 0 where nothing counts."""
    if weight is None:
        return tf.reduce_mean(value)
    return tf.math.divide_no_nan(tf.reduce_sum(weight * value), tf.reduce_sum(weight))
