"""Frames at uneven times: each is placed on a step of the model; the steps between are missing.

A step of the model is one transition. A frame that comes n steps after the one before it takes n
transitions, of which the first n - 1 end at a missing frame. This is exact.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from kvae import masks


class OnSteps(NamedTuple):
    """Codes on even steps."""

    a: tf.Tensor
    """[B, L, dim_a], 0 at steps without a frame."""
    mask: tf.Tensor
    """[B, L] or [B, L, dim_a], 0 at steps without a frame."""
    controls: tf.Tensor
    """[B, L, dim_u]; the control of a frame is repeated at all steps since the frame before it."""
    at: tf.Tensor
    """[B, T] int32, the step of each frame."""


def on_steps(a: tf.Tensor, mask: tf.Tensor | None, controls: tf.Tensor, dt: tf.Tensor) -> OnSteps:
    """Place the codes of frames at uneven times on even steps.

    Args:
        a: [B, T, dim_a].
        mask: [B, T] or [B, T, dim_a], 1 = observed; None: all observed.
        controls: [B, T, dim_u].
        dt: [B, T] int32, at least 1, steps since the frame before; the first one is not used.

    Returns:
        The codes on L steps, the length of the longest sequence.
    """
    at = tf.cumsum(tf.concat([tf.zeros_like(dt[:, :1]), dt[:, 1:]], 1), 1)
    steps = tf.range(tf.reduce_max(at) + 1)
    rows = tf.broadcast_to(tf.range(tf.shape(at)[0])[:, None], tf.shape(at))
    places = tf.stack([rows, at], -1)

    def placed(value: tf.Tensor) -> tf.Tensor:
        shape = tf.concat([tf.shape(at)[:1], tf.shape(steps), tf.shape(value)[2:]], 0)
        found = tf.scatter_nd(places, value, shape)
        return tf.ensure_shape(found, [value.shape[0], None, *value.shape[2:]])

    mask = tf.ones_like(a[..., 0]) if mask is None else mask  # pyright: ignore[reportArgumentType]
    a = masks.zero_missing(a, mask)
    # for each step the index of its frame or the next one; after the last frame, the last one
    every = tf.broadcast_to(steps, [tf.shape(at)[0], tf.shape(steps)[0]])
    next_frame = tf.searchsorted(at, every)
    next_frame = tf.minimum(next_frame, tf.shape(at)[1] - 1)
    at_steps = tf.gather(controls, next_frame, axis=1, batch_dims=1)
    return OnSteps(placed(a), placed(mask), at_steps, at)


def at_frames(result: Any, at: tf.Tensor | None, axis: int = 1) -> Any:
    """Take the values at the frames from values at all steps.

    Args:
        result: a nest of tensors, [B, L, ...] with axis 1, [S, B, L, ...] with axis 2.
        at: [B, T], the step of each frame; None: every step is a frame.
        axis: the axis of the steps.

    Returns:
        The nest, with T in place of L.
    """
    if at is None:
        return result

    def taken(value: tf.Tensor) -> tf.Tensor:
        draws = tf.shape(value)[: axis - 1]  # none, or [S]
        places = tf.broadcast_to(at, tf.concat([draws, tf.shape(at)], 0))
        return tf.gather(value, places, axis=axis, batch_dims=axis)

    return tf.nest.map_structure(taken, result)
