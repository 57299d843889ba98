"""Masks: floats, 1 = observed, 0 = missing, as models and files have them."""

from typing import TYPE_CHECKING, overload

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf


@overload
def is_observed(mask: np.ndarray) -> np.ndarray: ...
@overload
def is_observed(mask: "tf.Tensor") -> "tf.Tensor": ...
def is_observed(mask: "np.ndarray | tf.Tensor") -> "np.ndarray | tf.Tensor":
    """Convert a mask to bool.

    Args:
        mask: 1 = observed, 0 = missing; of NumPy or TensorFlow, of any shape.

    Returns:
        True where observed, of the same shape.
    """
    return mask > 0.5
