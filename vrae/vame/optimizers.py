"""PyTorch's AMSGrad and its plateau scheduler, which VAME uses."""

import math
from typing import Any

import keras
import tensorflow as tf


class ReduceLROnPlateau:
    """VAME's scheduler, which reduces the learning rate if the loss stops falling.

    It multiplies the rate by `factor` after more than `patience` bad epochs. An epoch is bad if
    the loss has not fallen by `threshold` of the best loss so far. (It is PyTorch's scheduler;
    Keras' callback uses other thresholds and another count.)

    Args:
        optimizer: the optimiser whose learning rate is changed.
        factor: the factor, below 1.
        patience: the number of bad epochs in a row that do not change the rate.
        threshold: the smallest fall of the loss that counts, relative to the best loss.
    """

    def __init__(
        self,
        optimizer: keras.optimizers.Optimizer,
        factor: float,
        patience: int,
        threshold: float = 1e-3,
    ):
        self._optimizer, self._factor, self._patience, self._threshold = (
            optimizer,
            factor,
            patience,
            threshold,
        )
        self.best, self._bad = math.inf, 0

    @property
    def state(self) -> list[float]:
        """Best loss and number of bad epochs so far, for resuming."""
        return [self.best, self._bad]

    @state.setter
    def state(self, value: list[float]) -> None:
        self.best, self._bad = value

    def step(self, loss: float) -> None:
        """Process the loss of an epoch.

        Args:
            loss: the loss.
        """
        if loss < self.best * (1.0 - self._threshold):
            self.best, self._bad = loss, 0
        else:
            self._bad += 1
        if self._bad > self._patience:
            rate = self._optimizer.learning_rate
            self._optimizer.learning_rate = float(rate) * self._factor
            self._bad = 0


@keras.saving.register_keras_serializable(package="vame")
class Adam(keras.optimizers.Adam):
    """AMSGrad as in PyTorch: epsilon is added after the bias correction.

    Keras adds it before, which matters for small gradients.

    Args:
        learning_rate: the learning rate.
        epsilon: added to the root.
        name: the optimiser's name.
        **kwargs: as for Keras' Adam.
    """

    def __init__(
        self, learning_rate: float = 5e-4, epsilon: float = 1e-8, name: str = "adam", **kwargs: Any
    ):
        super().__init__(learning_rate, epsilon=epsilon, name=name, **({"amsgrad": True} | kwargs))

    def update_step(self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor):
        """Update a variable; called by Keras.

        Args:
            gradient: its gradient.
            variable: the variable.
            learning_rate: the learning rate.
        """
        ops, i = keras.ops, self._get_variable_index(variable)
        gradient, rate = ops.cast(gradient, variable.dtype), ops.cast(learning_rate, variable.dtype)
        step = ops.cast(self.iterations + 1, variable.dtype)
        m, v, most = self._momentums[i], self._velocities[i], self._velocity_hats[i]
        self.assign(m, self.beta_1 * m + (1.0 - self.beta_1) * gradient)
        self.assign(v, self.beta_2 * v + (1.0 - self.beta_2) * ops.square(gradient))
        self.assign(most, ops.maximum(most, v))
        scale = ops.sqrt(most) / ops.sqrt(1.0 - self.beta_2**step) + self.epsilon
        self.assign_sub(variable, rate / (1.0 - self.beta_1**step) * m / scale)
