"""Calls of the functions of `kvae.lgssm.inference`: each is traced or compiled once, with
gradients.

A gradient tape cannot reach into a loop that XLA compiled on its own: TensorFlow cannot pass
while-loop gradient stacks between XLA and non-XLA functions ("TensorList crossing the XLA/TF
boundary"). There, the gradient is a second compiled function, which computes the first one again
under its own tape.
"""

import bisect
import dataclasses
import functools
from collections.abc import Callable
from typing import Any, overload

import tensorflow as tf

# 1 to 8, then eight sizes per octave: padding costs at most an eighth, and all sizes of a bucket
# share one compilation.
_BUCKETS = [*range(1, 8), *(2**octave * step for octave in range(28) for step in range(8, 16))]


def call(function: Callable, *args: Any, jit_compile: bool = False):
    """Call a function of tensors, traced once for each layout of the arguments.

    In a graph, the operations of a plain call become part of that graph. In eager mode they run as
    a graph. The batch size and the length are not part of the layout.

    Args:
        function: takes and returns nests of tensors.
        *args: nests of tensors; None is allowed in them.
        jit_compile: whether XLA compiles the function, in eager mode and in graphs.

    Returns:
        `function(*args)`.
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
    """The static part of a shape in one trace: the rank, which axes have size 1, and the size of a
    vector or matrix.
    """

    rank: int
    ones: tuple[bool, ...]
    size: int | None


def _layout(shape: tf.TensorShape) -> _Layout:
    return _Layout(
        shape.rank, tuple(size == 1 for size in shape), shape[-1] if shape.rank >= 3 else None
    )


@functools.cache
def _functions(function: Callable, layout, jit_compile: bool):
    """The function of the flat list of tensors without None, and the function of its gradients."""
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
        # In eager mode the caller's tape records this body; it must not record the compiled loop.
        result = value(*map(tf.stop_gradient, tensors))
        structure.append(result)
        return tf.nest.flatten(result), lambda *upstream: gradient(tensors, upstream)

    found = compute(*tensors)
    return tf.nest.pack_sequence_as(structure[0], tf.nest.flatten(found))


def bucket(size: int | tf.Tensor):
    """Find the smallest bucket of at least `size`.

    Args:
        size: an integer or a scalar tensor.

    Returns:
        The bucket's size.
    """
    known = tf.get_static_value(size)
    if known is not None:
        return _BUCKETS[bisect.bisect_left(_BUCKETS, int(known))]
    return tf.gather(_BUCKETS, tf.searchsorted(_BUCKETS, tf.convert_to_tensor(size)[None])[0])


@overload
def padded(value: tf.Tensor, sizes: dict[int, int]) -> tf.Tensor: ...
@overload
def padded(value: None, sizes: dict[int, int]) -> None: ...
def padded(value: tf.Tensor | None, sizes: dict[int, int]) -> tf.Tensor | None:
    """Pad axes with zeros at the end.

    Args:
        value: a tensor, or None.
        sizes: the new size of each padded axis.

    Returns:
        The padded tensor; scalars and None are returned unchanged.
    """
    if value is None or not value.shape.rank:
        return value
    shape = tf.shape(value)
    paddings: list[Any] = [
        [0, sizes[axis] - shape[axis]] if axis in sizes else [0, 0]
        for axis in range(value.shape.rank)
    ]
    return tf.pad(value, paddings)
