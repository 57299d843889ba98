"""The original's LSTM cell in Keras' layer: order of the gates, initial weights, forget bias."""

import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

FORGET_BIAS = 1.0  # the original adds it at run time; in Keras it is part of the bias


def forget_bias(units: int) -> np.ndarray:
    """Make what is added to the original's bias to get that of the Keras layer (gates i, f, j, o).

    Args:
        units: units of the LSTM.

    Returns:
        [4 units].
    """
    return np.repeat(np.array([0.0, FORGET_BIAS, 0.0, 0.0], np.float32), units)


def swap_gates(columns: np.ndarray) -> np.ndarray:
    """Reorder gates from i, j, f, o (the original's) to i, f, j, o (Keras'), or back.

    Args:
        columns: [..., 4 units].

    Returns:
        [..., 4 units].
    """
    i, second, third, o = np.split(columns, 4, axis=-1)
    return np.concatenate([i, third, second, o], axis=-1)


def glorot_of(fan_in_and_out: int) -> keras.initializers.Initializer:
    """Make the glorot_uniform initialiser of a matrix.

    Args:
        fan_in_and_out: number of its rows and columns together.

    Returns:
        The initialiser.
    """
    limit = math.sqrt(6.0 / fan_in_and_out)
    return keras.initializers.RandomUniform(-limit, limit)


@keras.saving.register_keras_serializable(package="worldmodels")
class ForgetBias(keras.initializers.Initializer):
    """The original's uniform bias, plus 1 for the forget gate.

    Args:
        fan_in_and_out: as for `glorot_of`.
    """

    def __init__(self, fan_in_and_out: int):
        self.fan_in_and_out = fan_in_and_out

    def __call__(self, shape: Sequence[int], dtype: tf.DType | str | None = None):
        """Draw the bias.

        Args:
            shape: [4 units].
            dtype: of the result; None: float32.

        Returns:
            The bias, with the gates i, f, j, o.
        """
        units = shape[0] // 4
        forget = tf.concat(
            [tf.zeros([units]), tf.fill([units], FORGET_BIAS), tf.zeros([2 * units])], 0
        )
        return glorot_of(self.fan_in_and_out)(shape, dtype) + tf.cast(forget, dtype or tf.float32)

    def get_config(self):
        """Return the arguments.

        Returns:
            The arguments by name.
        """
        return {"fan_in_and_out": self.fan_in_and_out}
