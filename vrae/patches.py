"""Patches: some consecutive steps as one input or output of a recurrent network."""

from typing import Any

import tensorflow as tf


def patches(steps: Any, size: int) -> Any:
    """The number of patches that hold so many steps, an integer or a tensor."""
    return (steps + size - 1) // size


def folded(x: tf.Tensor, size: int) -> tf.Tensor:
    """[B, T, C] as [B, patches, size * C]; 0 after the end of the last patch."""
    if size == 1:
        return x
    batch, steps, width = tf.shape(x)[0], tf.shape(x)[1], x.shape[2] or 0
    count = patches(steps, size)
    x = tf.pad(x, [[0, 0], [0, count * size - steps], [0, 0]])
    return tf.reshape(x, [batch, count, size * width])


def unfolded(x: tf.Tensor, size: int, steps: int | tf.Tensor) -> tf.Tensor:
    """[B, patches, size * C] as [B, steps, C]."""
    if size == 1:
        return x
    batch, count = tf.shape(x)[0], tf.shape(x)[1]
    return tf.reshape(x, [batch, count * size, (x.shape[2] or 0) // size])[:, :steps]


def begins(mask: tf.Tensor, size: int) -> tf.Tensor:
    """[B, patches]: whether a mask [B, T] of steps up to the end has the first step of the
    patch."""
    return mask[:, ::size]


def middles(position: tf.Tensor, size: int) -> tf.Tensor:
    """[B, patches]: the mean relative time of each patch's steps [B, T]."""
    if size == 1:
        return position
    steps = tf.shape(position)[1]
    count = patches(steps, size)
    held = tf.repeat(position[:, -1:], count * size - steps, axis=1)
    whole = tf.concat([position, held], 1)
    return tf.reduce_mean(tf.reshape(whole, [tf.shape(position)[0], count, size]), 2)
