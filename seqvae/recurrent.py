"""Where Keras' LSTM and GRU compute in cuDNN.

With a GPU, Keras has them in cuDNN: a step of training is many times faster. But XLA cannot compile
cuDNN's operation, and a program that holds it runs on no CPU. There Keras' own loop computes the
same.
"""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

_portable = contextvars.ContextVar("portable", default=False)


@contextlib.contextmanager
def portable() -> Iterator[None]:
    """Within it, functions are traced without cuDNN: they run on a CPU too."""
    token = _portable.set(True)
    try:
        yield
    finally:
        _portable.reset(token)


def cudnn_allowed() -> bool:
    """Whether what is computed or traced now may be in cuDNN."""
    return not _portable.get() and not in_xla()


def in_xla() -> bool:
    """Whether a function is traced that XLA compiles, one of `tf.function(jit_compile=True)`.

    TensorFlow does not trace a function again that is called in one of XLA and was traced before.
    """
    # TensorFlow has no public name for it; Keras too imports these modules.
    from tensorflow.python.ops import control_flow_util

    if tf.executing_eagerly():
        return False
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def run_layer(layer: keras.layers.Layer, *args: Any, **options: Any) -> Any:
    """`layer(*args, **options)` of an LSTM, a GRU or a `Bidirectional` of them, in cuDNN only where
    it is allowed."""
    if cudnn_allowed():
        return layer(*args, **options)
    parts = [layer, *(getattr(layer, f"{side}_layer", None) for side in ("forward", "backward"))]
    with contextlib.ExitStack() as after:
        for part in parts:
            if hasattr(part, "use_cudnn"):
                after.callback(setattr, part, "use_cudnn", part.use_cudnn)
                part.use_cudnn = False
        return layer(*args, **options)
