"""Seeds: an integer where a user calls, a pair of int32 where TensorFlow draws. Nobody else touches them."""

import keras
import tensorflow as tf


def stateless_seed(seed: int | tf.Tensor | None, generator: keras.random.SeedGenerator) -> tf.Tensor:
    """[2] int32: `seed` itself (an integer or a pair), or the generator's next where it is None."""
    if seed is None:
        seed = generator.next()
    seed = tf.convert_to_tensor(seed)
    if seed.shape.rank == 0:
        seed = tf.stack([seed, tf.zeros_like(seed)])
    return tf.cast(seed, tf.int32)


def fold(seed: tf.Tensor, number: int | tf.Tensor) -> tf.Tensor:
    """A new, independent seed for each `number` (the purpose of a draw, or the step of a run)."""
    return tf.random.fold_in(seed, number)
