"""Mixtures of K Gaussians, one for each dimension of z: log-likelihood, and draws at a
temperature.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from seqvae.randomness import fold

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
_COMPONENTS, _NUMBERS = range(2)
"""Purposes of random draws, for `fold`: which component of a mixture, and the number drawn from
it."""


class Mixture(NamedTuple):
    """p(z_{t+1}), a mixture for each dimension of z; all fields are [..., z_size, num_mixtures]."""

    logmix: tf.Tensor
    """Log of the components' weights; their logsumexp is 0."""
    mean: tf.Tensor
    """Means of the components."""
    logstd: tf.Tensor
    """Log of the components' standard deviations."""


def log_prob(mixture: Mixture, z: tf.Tensor) -> tf.Tensor:
    """Compute the log-density of each number of z::

        logsumexp_k(logmix + log N(z; mean, exp(logstd)))

    Args:
        mixture: the mixtures.
        z: [..., z_size].

    Returns:
        [..., z_size], in nats.
    """
    scaled = (z[..., None] - mixture.mean) * tf.exp(-mixture.logstd)  # pyright: ignore[reportArgumentType]
    return tf.reduce_logsumexp(
        mixture.logmix - 0.5 * tf.square(scaled) - mixture.logstd - _HALF_LOG_2PI, axis=-1
    )


def noise(
    shape: tf.Tensor | Sequence[int], seed: tf.Tensor, dtype: tf.DType | str
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draw the random numbers of `draw`.

    Args:
        shape: [..., z_size].
        seed: [2] int32.
        dtype: a floating type.

    Returns:
        Uniform and standard normal numbers, [..., z_size] each.
    """
    return (
        tf.random.stateless_uniform(shape, fold(seed, _COMPONENTS), dtype=dtype),
        tf.random.stateless_normal(shape, fold(seed, _NUMBERS), dtype=dtype),
    )


def draw(
    mixture: Mixture, temperature: float | tf.Tensor, u: tf.Tensor, normal: tf.Tensor
) -> tf.Tensor:
    """Draw z as the original does (World Models, section "Dream"; its rnn.py).

    The component is the first whose cumulative weight softmax(logmix / temperature) reaches u, or
    the last one if rounding leaves none; then z = mean + exp(logstd) * sqrt(temperature) * normal.

    Args:
        mixture: the mixtures.
        temperature: above 0.
        u: [..., z_size], uniform.
        normal: [..., z_size], standard normal.

    Returns:
        z [..., z_size].
    """
    temperature = tf.cast(temperature, mixture.logmix.dtype)
    reached = tf.cumsum(tf.nn.softmax(mixture.logmix / temperature), axis=-1) >= u[..., None]  # pyright: ignore[reportArgumentType]
    last = tf.shape(mixture.logmix)[-1] - 1
    chosen = tf.where(
        tf.reduce_any(reached, -1), tf.argmax(reached, -1, output_type=tf.int32), last
    )
    mean, logstd = (
        tf.gather(value, chosen, axis=-1, batch_dims=chosen.shape.rank)
        for value in (mixture.mean, mixture.logstd)
    )
    return mean + tf.exp(logstd) * tf.sqrt(temperature) * normal
