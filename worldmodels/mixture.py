"""Mixtures of K Gaussians, one for every dimension of z: their log-likelihood, and draws at a
temperature."""

import math
from typing import NamedTuple

import tensorflow as tf

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


class Mixture(NamedTuple):
    """p(z_{t+1}) as factors, a mixture for every dimension. Each [..., z_size, num_mixtures].

    logmix: log of the components' weights, logsumexp 0; mean; logstd: log of their standard
    deviations.
    """

    logmix: tf.Tensor
    mean: tf.Tensor
    logstd: tf.Tensor


def log_prob(mixture: Mixture, z: tf.Tensor) -> tf.Tensor:
    """log p of each z [..., z_size], in nats: logsumexp_k(logmix + log N(z; mean, exp(logstd)))."""
    scaled = (z[..., None] - mixture.mean) * tf.exp(-mixture.logstd)  # pyright: ignore[reportArgumentType]
    return tf.reduce_logsumexp(
        mixture.logmix - 0.5 * tf.square(scaled) - mixture.logstd - _HALF_LOG_2PI, axis=-1
    )


def draw(
    mixture: Mixture, temperature: float | tf.Tensor, u: tf.Tensor, normal: tf.Tensor
) -> tf.Tensor:
    """z [..., z_size] from uniform `u` and standard normal numbers of the same shape, as the
    original draws it.

    A component is the first whose cumulated weight softmax(logmix / temperature) reaches u, the
    last one where rounding leaves none; z = mean + exp(logstd) * sqrt(temperature) * normal. (World
    Models, section "Dream"; its rnn.py.)
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
