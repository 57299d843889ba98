"""Random changes of training sequences, against overfitting on small sets."""

import math

import tensorflow as tf

from seqvae.randomness import fold, normal, uniform
from seqvae.replicas import all_rows
from vrae.grids import Steps, interpolated, resampled

_WAVES = 3
_WEIGHTS, _CHOSEN = range(2)
"""Purposes of the random draws of `mixed`, for `fold`: the weights of the mixtures, and which
sequences are replaced."""


def mixed(steps: Steps, probability: float, seed: tf.Tensor) -> Steps:
    """Replace sequences by random mixtures of the batch's sequences.

    A mixture is a draw from the Gaussian with the mean and the covariance of the sequences::

        mean + sum_j w_j (x_j - mean),  w ~ N(0, 1 / (B - 1))

    Sequences of different lengths are mixed at equal relative times. A mixture has the length and
    the missing numbers of the sequence that it replaces.

    Args:
        steps: the sequences.
        probability: probability that a sequence is replaced.
        seed: [2] int32.

    Returns:
        The sequences.
    """
    batch, length = tf.shape(steps.values)[0], tf.shape(steps.values)[1]
    dtype = steps.values.dtype
    even = tf.repeat(tf.linspace(tf.zeros([], dtype), 1.0, length)[None], batch, axis=0)
    common = all_rows(resampled(interpolated(steps), steps.valid, even))  # of one length
    total = tf.shape(common)[0]
    mean = tf.reduce_mean(common, 0, keepdims=True)
    weights = normal([batch, total], fold(seed, _WEIGHTS), dtype)
    weights /= tf.sqrt(tf.cast(tf.maximum(total - 1, 1), dtype))
    mixture = mean + tf.einsum("bj,jtf->btf", weights, common - mean)
    count = tf.reduce_sum(steps.valid, 1, keepdims=True)
    index = tf.range(length, dtype=dtype)[None]
    position = tf.math.divide_no_nan(index, tf.maximum(count - 1.0, 1.0))  # of the own length
    mixture = resampled(mixture, tf.ones_like(steps.valid), position)
    chosen = uniform([batch, 1, 1], fold(seed, _CHOSEN), dtype) < probability
    return steps._replace(values=tf.where(chosen, mixture, steps.values) * steps.observed)


def warped(steps: Steps, deviation: float, seed: tf.Tensor) -> Steps:
    """Change the speed of sequences smoothly and randomly; both ends stay.

    The sequences are resampled at the relative times ::

        u + sum_k a_k sin(pi k u) / (pi k),  k = 1 to 3,  a_k ~ N(0, deviation^2)

    Args:
        steps: the sequences.
        deviation: standard deviation of the change.
        seed: [2] int32.

    Returns:
        The sequences.
    """
    batch, length = tf.shape(steps.values)[0], tf.shape(steps.values)[1]
    dtype = steps.values.dtype
    count = tf.reduce_sum(steps.valid, 1, keepdims=True)
    u = tf.clip_by_value(
        tf.range(length, dtype=dtype)[None] / tf.maximum(count - 1.0, 1.0), 0.0, 1.0
    )
    k = tf.range(1, _WAVES + 1, dtype=dtype)
    size = deviation * normal([batch, 1, _WAVES], seed, dtype)
    moved = u + tf.reduce_sum(
        size * tf.sin(math.pi * k * tf.expand_dims(u, -1)) / (math.pi * k), -1
    )
    return steps._replace(
        values=resampled(interpolated(steps), steps.valid, moved) * steps.observed
    )
