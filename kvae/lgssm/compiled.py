"""Calling the functions of `kvae.lgssm.inference` in eager mode and by XLA: compiled once, with
gradients.

A tape cannot reach into a loop that XLA compiled on its own ("TensorList crossing the XLA/TF
boundary"): there the gradient is a second compiled function, which computes the first again under a
tape of its own.
"""

import bisect
import dataclasses
import functools
from collections.abc import Callable
from typing import Any, overload

import tensorflow as tf

# 1 to 8, then eight sizes an octave: padding costs an eighth at most, and one compilation serves
# all sizes of a bucket.
_BUCKETS = [*range(1, 8), *(2**octave * step for octave in range(28) for step in range(8, 16))]


def call(function: Callable, *args: Any, jit_compile: bool = False):
    """`function(*args)`, args and results nests of tensors, None among the args allowed.

    In a graph the operations of a plain call become part of it. In eager mode they run as a graph.
    With `jit_compile`, XLA compiles them in either. The function is traced once for every layout of
    the arguments, whatever batch and length are.
    """
    if not (jit_compile or tf.executing_eagerly()):
        return function(*args)
    flat = tf.nest.flatten(args)
    dtype = next(x.dtype for x in flat if tf.is_tensor(x))
    flat = [x if x is None else tf.convert_to_tensor(x, dtype_hint=dtype) for x in flat]
    layout = tf.nest.pack_sequence_as(args, [None if x is None else _layout(x.shape) for x in flat])
    value, gradient = _functions(function, layout, bool(jit_compile))
    tensors = [x for x in flat if x is not None]
    return _with_gradient(value, gradient, tensors) if jit_compile else value(*tensors)


@dataclasses.dataclass(frozen=True)
class _Layout:
    """What one trace cannot leave unknown: rank, which axes have one element, and the size of a
    vector or matrix."""

    rank: int
    ones: tuple[bool, ...]
    size: int | None


def _layout(shape: tf.TensorShape) -> _Layout:
    return _Layout(
        shape.rank, tuple(size == 1 for size in shape), shape[-1] if shape.rank >= 3 else None
    )


@functools.cache
def _functions(function: Callable, layout, jit_compile: bool):
    """The function of the flat list of tensors that are there, and that of its gradients."""
    options = dict(autograph=False, reduce_retracing=True, jit_compile=jit_compile or None)

    def value(*tensors):
        given = iter(tensors)
        flat = [None if each is None else next(given) for each in tf.nest.flatten(layout)]
        return function(*tf.nest.pack_sequence_as(layout, flat))

    def gradient(tensors, upstream):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            found = tf.nest.flatten(value(*tensors))
        return tape.gradient(
            found, tensors, upstream, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )

    return tf.function(value, **options), tf.function(gradient, **options)


def _with_gradient(value: Callable, gradient: Callable, tensors: list[tf.Tensor]):
    structure = []

    @tf.custom_gradient
    def compute(*tensors):
        # In eager mode the caller's tape follows into this body, and must not follow into the
        # compiled loop.
        result = value(*map(tf.stop_gradient, tensors))
        structure.append(result)
        return tf.nest.flatten(result), lambda *upstream: gradient(tensors, upstream)

    found = compute(*tensors)
    return tf.nest.pack_sequence_as(structure[0], tf.nest.flatten(found))


def bucket(size: int | tf.Tensor):
    """The least bucket that holds `size`, an integer or a scalar tensor."""
    known = tf.get_static_value(size)
    if known is not None:
        return _BUCKETS[bisect.bisect_left(_BUCKETS, int(known))]
    return tf.gather(_BUCKETS, tf.searchsorted(_BUCKETS, tf.convert_to_tensor(size)[None])[0])


@overload
def padded(value: tf.Tensor, sizes: dict[int, int]) -> tf.Tensor: ...
@overload
def padded(value: None, sizes: dict[int, int]) -> None: ...
def padded(value: tf.Tensor | None, sizes: dict[int, int]) -> tf.Tensor | None:
    """`value` with zeros added at the end of each axis in `sizes`, up to its new size; an axis of
    size 1 stays."""
    if value is None or not value.shape.rank:
        return value
    shape = tf.shape(value)
    paddings: list[Any] = [
        [0, sizes[axis] - shape[axis]] if axis in sizes else [0, 0]
        for axis in range(value.shape.rank)
    ]
    return tf.pad(value, paddings)
