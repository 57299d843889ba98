"""Patches: several consecutive steps as one input or output of a recurrent network."""

from typing import Any

import tensorflow as tf


def patches(steps: Any, size: int) -> Any:
    """Count the patches of a number of steps.

    Args:
        steps: an integer or a tensor.
        size: steps of a patch.

    Returns:
        The number of patches; the last may be incomplete.
    """
    return (steps + size - 1) // size


def folded(x: tf.Tensor, size: int) -> tf.Tensor:
    """Join the steps of each patch, with zeros after the end of the last patch.

    Args:
        x: [B, T, C].
        size: steps of a patch.

    Returns:
        [B, patches, size * C].
    """
    if size == 1:
        return x
    batch, steps, width = tf.shape(x)[0], tf.shape(x)[1], x.shape[2] or 0
    count = patches(steps, size)
    x = tf.pad(x, [[0, 0], [0, count * size - steps], [0, 0]])
    return tf.reshape(x, [batch, count, size * width])


def unfolded(x: tf.Tensor, size: int, steps: int | tf.Tensor) -> tf.Tensor:
    """Split patches into steps.

    Args:
        x: [B, patches, size * C].
        size: steps of a patch.
        steps: number of steps.

    Returns:
        [B, steps, C].
    """
    if size == 1:
        return x
    batch, count = tf.shape(x)[0], tf.shape(x)[1]
    return tf.reshape(x, [batch, count * size, (x.shape[2] or 0) // size])[:, :steps]


def begins(mask: tf.Tensor, size: int) -> tf.Tensor:
    """Reduce a mask of steps to patches.

    Args:
        mask: [B, T], 1 up to the end of each sequence.
        size: steps of a patch.

    Returns:
        [B, patches], the mask of each patch's first step.
    """
    return mask[:, ::size]


def middles(position: tf.Tensor, size: int) -> tf.Tensor:
    """Compute the mean relative time of each patch.

    Args:
        position: [B, T].
        size: steps of a patch.

    Returns:
        [B, patches].
    """
    if size == 1:
        return position
    steps = tf.shape(position)[1]
    count = patches(steps, size)
    # an incomplete last patch is filled with the last position
    filling = tf.repeat(position[:, -1:], count * size - steps, axis=1)
    complete = tf.concat([position, filling], 1)
    return tf.reduce_mean(tf.reshape(complete, [tf.shape(position)[0], count, size]), 2)
