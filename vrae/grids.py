"""Inputs of the networks besides the values: the position of steps, what was observed and how long
ago; and the cosine transform.
"""

import math
from typing import NamedTuple

import tensorflow as tf


class Steps(NamedTuple):
    """A batch of cleaned sequences."""

    values: tf.Tensor
    """[B, T, features], 0 where a number is missing; or tokens [B, T]."""
    observed: tf.Tensor
    """Of the shape of `values`, 1 for observed numbers."""
    valid: tf.Tensor
    """[B, T], 1 up to the end of each sequence."""
    position: tf.Tensor
    """[B, T], relative time, 0 at the first step, 1 at the last step and after it."""
    interval: tf.Tensor
    """[B, 1], the mean time between two steps."""
    times: tf.Tensor
    """[B, T], the time of each step."""


def of_steps(mask: tf.Tensor) -> tf.Tensor:
    """Reduce a mask of numbers to a mask of steps.

    Args:
        mask: [B, T] or [B, T, features].

    Returns:
        [B, T], 1 where any number is observed.
    """
    return mask if mask.shape.rank == 2 else tf.reduce_max(mask, 2)


def of_numbers(mask: tf.Tensor) -> tf.Tensor:
    """Give a mask of steps an axis of features.

    Args:
        mask: [B, T] or [B, T, features].

    Returns:
        [B, T, 1 or features].
    """
    return mask if mask.shape.rank == 3 else tf.expand_dims(mask, -1)


def to_the_end(mask: tf.Tensor) -> tf.Tensor:
    """Fill the gaps of a mask up to its last observed step.

    Args:
        mask: [B, T].

    Returns:
        [B, T], 1 up to the last step with 1.
    """
    return tf.reverse(prefix_max(tf.reverse(mask, [1])), [1])


def prefix_max(x: tf.Tensor) -> tf.Tensor:
    """Compute the running maximum along T, at least 0, in log T passes and without gradient.

    Args:
        x: [B, T, ...].

    Returns:
        [B, T, ...].
    """
    x = tf.stop_gradient(x)
    steps = tf.shape(x)[1]

    def double(shift, x):  # the maximum over the last `shift` steps becomes that over twice as many
        shifted = tf.concat([tf.zeros_like(x[:, :shift]), x[:, : steps - shift]], 1)
        return 2 * shift, tf.maximum(x, shifted)

    shapes = (tf.TensorShape([]), tf.TensorShape([x.shape[0], None, *x.shape[2:]]))
    found = tf.while_loop(lambda shift, _: shift < steps, double, (1, x), shape_invariants=shapes)[
        1
    ]
    return tf.stop_gradient(tf.ensure_shape(found, x.shape))


def relative(times: tf.Tensor, valid: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute `position` and `interval` of `Steps`.

    Args:
        times: [B, T].
        valid: [B, T], 1 up to the end of each sequence.

    Returns:
        position [B, T] and interval [B, 1].
    """
    count = tf.reduce_sum(valid, 1, keepdims=True)
    last = tf.cast(tf.maximum(count - 1, 0), tf.int32)
    begin, end = times[:, :1], tf.gather(times, last, batch_dims=1)
    position = tf.math.divide_no_nan(times - begin, end - begin)
    interval = tf.math.divide_no_nan(end - begin, tf.maximum(count - 1, 1))
    return tf.clip_by_value(position, 0.0, 1.0), tf.where(
        interval > 0, interval, tf.ones_like(interval)
    )


def features_of(position: tf.Tensor, cosines: int) -> tf.Tensor:
    """Compute features of a relative time p: 2 p - 1, and cos(k pi p) for k = 1 to `cosines`.

    Args:
        position: p, [B, T].
        cosines: number of cosines.

    Returns:
        [B, T, 1 + cosines].
    """
    k = tf.range(1, cosines + 1, dtype=position.dtype)
    p = tf.expand_dims(position, -1)
    return tf.concat([2.0 * p - 1.0, tf.cos(math.pi * k * p)], -1)


def since_observed(steps: Steps) -> tf.Tensor:
    """Compute log(1 + d), where d is the time since a number was last observed before this step.

    Args:
        steps: the sequences.

    Returns:
        [B, T, features]; d is in mean intervals, and counts from the start if there is no earlier
        observation.
    """
    index = tf.range(1, tf.shape(steps.observed)[1] + 1, dtype=steps.observed.dtype)
    seen = prefix_max(steps.observed * index[None, :, None])
    before = tf.concat([tf.zeros_like(seen[:, :1]), seen[:, :-1]], 1)  # 0: never
    at = tf.cast(tf.maximum(before - 1, 0), tf.int32)
    times = tf.repeat(tf.expand_dims(steps.times, -1), tf.shape(at)[2], axis=2)
    then = tf.gather(
        tf.transpose(times, [0, 2, 1]), tf.transpose(at, [0, 2, 1]), axis=2, batch_dims=2
    )
    passed = (times - tf.transpose(then, [0, 2, 1])) / tf.expand_dims(steps.interval, -1)
    return tf.math.log1p(tf.maximum(passed, 0.0))


def interpolated(steps: Steps) -> tf.Tensor:
    """Interpolate missing numbers linearly in time.

    Before the first and after the last observed number, the nearest one is used; a feature that is
    never observed is 0.

    Args:
        steps: the sequences.

    Returns:
        [B, T, features].
    """
    complete = tf.reduce_all(steps.observed >= tf.expand_dims(steps.valid, -1))
    found = tf.cond(complete, lambda: steps.values, lambda: _interpolated(steps))
    return tf.ensure_shape(found, steps.values.shape)


def _interpolated(steps: Steps) -> tf.Tensor:
    count = tf.shape(steps.observed)[1]
    observed = tf.transpose(steps.observed, [0, 2, 1])
    values = tf.transpose(steps.values, [0, 2, 1])
    index = tf.range(1, count + 1, dtype=values.dtype)
    times = tf.repeat(steps.times[:, None], tf.shape(values)[1], axis=1)

    def nearest(observed, index):
        seen = prefix_max(tf.transpose(observed * index, [0, 2, 1]))
        return tf.transpose(seen, [0, 2, 1])

    before = nearest(observed, index)
    after = tf.reverse(nearest(tf.reverse(observed, [2]), index), [2])
    after = tf.cast(count + 1, values.dtype) - after  # count + 1: none after it
    none_before, none_after = before < 1, after > tf.cast(count, values.dtype)
    low = tf.where(none_before, after, before)
    high = tf.where(none_after, before, after)
    low, high = (
        tf.cast(tf.clip_by_value(at - 1, 0, tf.cast(count - 1, at.dtype)), tf.int32)
        for at in (low, high)
    )
    (x0, x1), (t0, t1) = (
        [tf.gather(what, at, axis=2, batch_dims=2) for at in (low, high)]
        for what in (values, times)
    )
    share = tf.clip_by_value(tf.math.divide_no_nan(times - t0, t1 - t0), 0.0, 1.0)
    return tf.transpose(x0 + share * (x1 - x0), [0, 2, 1])


def waves(valid: tf.Tensor, position: tf.Tensor, count: int) -> tf.Tensor:
    """Compute cos(k pi u) for k = 0 to count - 1.

    u is the middle of each step's share of the sequence. The result is 0 in the padding, and for k
    of at least the number of steps: a shorter sequence cannot distinguish these from lower ones.

    Args:
        valid: [B, T], 1 up to the end of each sequence.
        position: [B, T], relative times.
        count: number of cosines.

    Returns:
        [B, T, count].
    """
    steps = tf.reduce_sum(valid, 1)[:, None]
    u = (position * (steps - 1.0) + 0.5) / tf.maximum(steps, 1.0)
    k = tf.range(count, dtype=position.dtype)
    known = tf.cast(k[None, None] < tf.expand_dims(steps, -1), position.dtype)
    return tf.cos(math.pi * k * tf.expand_dims(u, -1)) * known * tf.expand_dims(valid, -1)


def cosine_coefficients(values: tf.Tensor, waves: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """Compute the coefficients c of x_t = sum_k c_k waves_tk.

    For equal steps this is the transform DCT-II.

    Args:
        values: x, [B, T, features].
        waves: [B, T, count].
        valid: [B, T], 1 up to the end of each sequence.

    Returns:
        [B, count, features].
    """
    steps = tf.maximum(tf.reduce_sum(valid, 1), 1.0)[:, None, None]
    scale = tf.concat([tf.ones([1], values.dtype), 2.0 * tf.ones([(waves.shape[2] or 1) - 1])], 0)
    sums = tf.einsum("btk,btf->bkf", waves, values * tf.expand_dims(valid, -1))
    return sums / steps * tf.cast(scale, values.dtype)[None, :, None]


def resampled(values: tf.Tensor, valid: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
    """Resample sequences with equal steps by linear interpolation.

    Args:
        values: [B, T, features].
        valid: [B, T], 1 up to the end of each sequence.
        position: [B, S], relative times in each sequence.

    Returns:
        [B, S, features].
    """
    last = tf.maximum(tf.reduce_sum(valid, 1, keepdims=True) - 1.0, 0.0)
    place = tf.clip_by_value(position, 0.0, 1.0) * last
    low = tf.floor(place)
    share = (place - low)[..., None]
    first = tf.cast(low, tf.int32)
    second = tf.cast(tf.minimum(low + 1.0, last), tf.int32)
    return (1.0 - share) * tf.gather(values, first, batch_dims=1) + share * tf.gather(
        values, second, batch_dims=1
    )
