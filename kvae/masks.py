"""Masks of the Kalman VAE: floats, 1 = observed, 0 = missing, with the first axes of their values.

A mask of frames or codes is [B, T]; one of single pixels or numbers has the shape of the values.
"""

import tensorflow as tf

from seqvae.data.masks import is_observed


def like(mask: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Add axes of size 1 to a mask until its rank is that of the values.

    Args:
        mask: [B, T] or as values.
        values: [B, T, ...].

    Returns:
        [B, T, 1, ...], or the mask itself.
    """
    for _ in range(values.shape.rank - mask.shape.rank):
        mask = tf.expand_dims(mask, -1)
    return mask


def zero_missing(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Replace missing values, which may be NaN, by 0: no NaN reaches a gradient.

    Args:
        values: [B, T, ...] floats.
        mask: [B, T] or as values.

    Returns:
        The values, 0 where the mask is 0.
    """
    return tf.where(is_observed(like(mask, values)), values, tf.zeros([], values.dtype))


def of_numbers(mask: tf.Tensor) -> tf.Tensor:
    """Add the axis of numbers to a mask of codes, unless it has one.

    Args:
        mask: [B, T] or [B, T, dim_a].

    Returns:
        [B, T, 1 or dim_a].
    """
    return mask if mask.shape.rank == 3 else tf.expand_dims(mask, -1)


def of_frames(mask: tf.Tensor) -> tf.Tensor:
    """Reduce a mask of pixels or numbers to a mask of frames.

    Args:
        mask: [B, T, ...].

    Returns:
        [B, T], 1 where any pixel or number is observed.
    """
    axes = list(range(2, mask.shape.rank))
    return tf.reduce_max(mask, axes) if axes else mask
