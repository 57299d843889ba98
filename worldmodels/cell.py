"""The original's LSTM cell in Keras' layer: how its gates are ordered, its weights first drawn, its
forget bias kept."""

import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

FORGET_BIAS = 1.0  # the original adds it where the cell runs; Keras has it in the bias


def forget_bias(units: int) -> np.ndarray:
    """[4 units], what our bias of the gates i, f, j, o has and the original's has not."""
    return np.repeat(np.array([0.0, FORGET_BIAS, 0.0, 0.0], np.float32), units)


def swap_gates(columns: np.ndarray) -> np.ndarray:
    """Columns of the gates i, j, f, o (the original's) <-> i, f, j, o (Keras')."""
    i, second, third, o = np.split(columns, 4, axis=-1)
    return np.concatenate([i, third, second, o], axis=-1)


def glorot_of(fan_in_and_out: int) -> keras.initializers.Initializer:
    """glorot_uniform of a matrix with that many rows and columns together."""
    limit = math.sqrt(6.0 / fan_in_and_out)
    return keras.initializers.RandomUniform(-limit, limit)


@keras.saving.register_keras_serializable(package="worldmodels")
class ForgetBias(keras.initializers.Initializer):
    """The original's uniform bias, and 1 for the forget gate."""

    def __init__(self, fan_in_and_out: int):
        self.fan_in_and_out = fan_in_and_out

    def __call__(self, shape: Sequence[int], dtype: tf.DType | str | None = None):
        units = shape[0] // 4
        forget = tf.concat(
            [tf.zeros([units]), tf.fill([units], FORGET_BIAS), tf.zeros([2 * units])], 0
        )
        return glorot_of(self.fan_in_and_out)(shape, dtype) + tf.cast(forget, dtype or tf.float32)

    def get_config(self):
        return {"fan_in_and_out": self.fan_in_and_out}
