"""Seeds: an integer where a user calls, a pair of int32 where TensorFlow draws. Nobody else touches
them."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from seqvae import replicas

Seed = int | Sequence[int] | tf.Tensor
"""What a caller may give as a seed: an integer, or a pair of them."""


def stateless_seed(seed: Seed | None, generator: keras.random.SeedGenerator) -> tf.Tensor:
    """[2] int32: `seed` itself (an integer or a pair), or the generator's next where it is None."""
    pair = tf.convert_to_tensor(generator.next() if seed is None else seed)
    if pair.shape.rank == 0:
        pair = tf.stack([pair, tf.zeros_like(pair)])
    return tf.cast(pair, tf.int32)


def fold(seed: tf.Tensor, number: int | tf.Tensor) -> tf.Tensor:
    """A new, independent seed for each `number` (the purpose of a draw, or the step of a run)."""
    return tf.random.fold_in(seed, number)  # pyright: ignore[reportArgumentType, reportReturnType]


def normal(
    shape: tf.Tensor | Sequence[int | tf.Tensor],
    seed: tf.Tensor | Sequence[int],
    dtype: tf.DType | str = tf.float32,
) -> tf.Tensor:
    """Standard normal numbers [rows, ...]; on a replica the rows it has of those for the whole
    batch."""
    return _rows(tf.random.stateless_normal, shape, seed, dtype)


def uniform(
    shape: tf.Tensor | Sequence[int | tf.Tensor],
    seed: tf.Tensor | Sequence[int],
    dtype: tf.DType | str = tf.float32,
) -> tf.Tensor:
    """Numbers from 0 to 1 [rows, ...]; on a replica the rows it has of those for the whole
    batch."""
    return _rows(tf.random.stateless_uniform, shape, seed, dtype)


def _rows(draw: Callable, shape, seed, dtype) -> tf.Tensor:
    rows = replicas.local_rows()
    if rows is None:
        return draw(shape, seed, dtype=dtype)
    shape = tf.convert_to_tensor(shape, tf.int32)
    whole = draw(tf.concat([rows.total[None], shape[1:]], 0), seed, dtype=dtype)
    return whole[rows.first : rows.first + shape[0]]
