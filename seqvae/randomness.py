"""Seeds: callers pass an integer, TensorFlow needs a pair of int32; only this module converts."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from seqvae import replicas

Seed = int | Sequence[int] | tf.Tensor
"""A seed as a caller may pass it: an integer, or a pair of integers."""


def stateless_seed(seed: Seed | None, generator: keras.random.SeedGenerator) -> tf.Tensor:
    """Convert a seed to the form that stateless TensorFlow operations take.

    Args:
        seed: an integer or a pair; None draws the generator's next seed.
        generator: used when `seed` is None.

    Returns:
        [2] int32.
    """
    pair = tf.convert_to_tensor(generator.next() if seed is None else seed)
    if pair.shape.rank == 0:
        pair = tf.stack([pair, tf.zeros_like(pair)])
    return tf.cast(pair, tf.int32)


def fold(seed: tf.Tensor, number: int | tf.Tensor) -> tf.Tensor:
    """Derive a new, independent seed.

    Args:
        seed: [2] int32.
        number: a number for the purpose of a draw, or of a step; each gives another seed.

    Returns:
        [2], the derived seed.
    """
    return tf.random.fold_in(seed, number)  # pyright: ignore[reportArgumentType, reportReturnType]


def normal(
    shape: tf.Tensor | Sequence[int | tf.Tensor],
    seed: tf.Tensor | Sequence[int],
    dtype: tf.DType | str = tf.float32,
) -> tf.Tensor:
    """Draw standard normal numbers.

    On a replica the numbers are drawn for the whole batch and the replica's rows are returned, so
    that the result does not depend on the number of replicas.

    Args:
        shape: [rows, ...].
        seed: [2] int32.
        dtype: a floating type.

    Returns:
        [rows, ...].
    """
    return _draw_local_rows(tf.random.stateless_normal, shape, seed, dtype)


def uniform(
    shape: tf.Tensor | Sequence[int | tf.Tensor],
    seed: tf.Tensor | Sequence[int],
    dtype: tf.DType | str = tf.float32,
) -> tf.Tensor:
    """Draw numbers uniformly from [0, 1); replicas are treated as in `normal`.

    Args:
        shape: [rows, ...].
        seed: [2] int32.
        dtype: a floating type.

    Returns:
        [rows, ...].
    """
    return _draw_local_rows(tf.random.stateless_uniform, shape, seed, dtype)


def _draw_local_rows(draw: Callable, shape, seed, dtype) -> tf.Tensor:
    """Draw for the whole batch and return the rows of this replica."""
    rows = replicas.local_rows()
    if rows is None:
        return draw(shape, seed, dtype=dtype)
    shape = tf.convert_to_tensor(shape, tf.int32)
    whole = draw(tf.concat([rows.total[None], shape[1:]], 0), seed, dtype=dtype)
    return whole[rows.first : rows.first + shape[0]]
