"""Control of when Keras' LSTM and GRU use cuDNN.

On a GPU, Keras' cuDNN kernels make a training step many times faster. XLA cannot compile the cuDNN
operation, and a graph that contains it does not run on a CPU. There Keras' own loop computes the
same values.
"""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

_without_cudnn = contextvars.ContextVar("without_cudnn", default=False)


@contextlib.contextmanager
def without_cudnn() -> Iterator[None]:
    """Context manager: functions traced in it do not use cuDNN, so they also run on a CPU."""
    token = _without_cudnn.set(True)
    try:
        yield
    finally:
        _without_cudnn.reset(token)


def cudnn_allowed() -> bool:
    """Whether code that runs or is traced now may use cuDNN."""
    return not _without_cudnn.get() and not in_xla()


def in_xla() -> bool:
    """Whether the function being traced is compiled by XLA (`tf.function(jit_compile=True)`).

    A function that was traced before is not traced again when an XLA function calls it.
    """
    # TensorFlow has no public function for this; Keras imports this module too.
    from tensorflow.python.ops import control_flow_util

    if tf.executing_eagerly():
        return False
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def run_layer(layer: keras.layers.Layer, *args: Any, **options: Any) -> Any:
    """Call a recurrent layer, with cuDNN only where it is allowed.

    Args:
        layer: an LSTM, a GRU, or a `Bidirectional` of one of them.
        *args: passed to the layer.
        **options: passed to the layer.

    Returns:
        What the layer returns.
    """
    if cudnn_allowed():
        return layer(*args, **options)
    parts = [layer, *(getattr(layer, f"{side}_layer", None) for side in ("forward", "backward"))]
    with contextlib.ExitStack() as stack:
        for part in parts:
            if hasattr(part, "use_cudnn"):
                stack.callback(setattr, part, "use_cudnn", part.use_cudnn)
                part.use_cudnn = False
        return layer(*args, **options)
