"""Weights of the KL over epochs. A small weight at first lets a model learn to use its code before
the KL penalises it.
"""

import math
from collections.abc import Callable

import keras


def linear(start: int, epochs: int) -> Callable[[int], float]:
    """KL weight that is 0 before epoch `start` and then rises linearly to 1 (Bowman et al. 2016).

    Args:
        start: the first epoch of the rise, counted from 0.
        epochs: epochs of the rise.

    Returns:
        A function of the epoch, counted from 0.

    Raises:
        ValueError: an argument is out of range.

    >>> [linear(1, 4)(epoch) for epoch in range(6)]
    [0.0, 0.0, 0.25, 0.5, 0.75, 1.0]
    """
    _check(start=start, epochs=epochs)
    return lambda epoch: min(1.0, max(0.0, (epoch - start) / epochs))


def sigmoid(middle: int, epochs: int) -> Callable[[int], float]:
    """KL weight that rises along a logistic curve.

    Args:
        middle: the epoch at which the weight is 1/2.
        epochs: epochs from weight 0.1 to weight 0.9.

    Returns:
        A function of the epoch, counted from 0.

    Raises:
        ValueError: an argument is out of range.
    """
    _check(middle=middle, epochs=epochs)
    rate = 2.0 * math.log(9.0) / epochs
    return lambda epoch: 1.0 / (1.0 + math.exp(-rate * (epoch - middle)))


def cyclical(period: int, rising: float = 0.5) -> Callable[[int], float]:
    """KL weight that rises linearly from 0 to 1 in the first part of each period (Fu et al. 2019).

    Args:
        period: epochs of a period.
        rising: the share of a period in which the weight rises; it is 1 in the rest.

    Returns:
        A function of the epoch, counted from 0.

    Raises:
        ValueError: an argument is out of range.

    >>> [cyclical(4)(epoch) for epoch in range(6)]
    [0.0, 0.5, 1.0, 1.0, 0.0, 0.5]
    """
    _check(period=period)
    if not 0.0 < rising <= 1.0:
        raise ValueError(f"rising: expected above 0 and at most 1, got {rising!r}.")
    return lambda epoch: min(1.0, (epoch % period) / (period * rising))


class KLAnnealing(keras.callbacks.Callback):
    """Callback that sets the weight of the KL before every epoch of `fit`.

    The model has a scalar variable `kl_weight`. Its `objective` reads the variable at every step,
    so a new value needs no retracing.

    Args:
        schedule: maps an epoch, counted from 0, to a weight of at least 0: `linear`, `sigmoid`,
            `cyclical`, or the caller's function.

    Raises:
        ValueError: `schedule` is not a function. In `fit`: the model has no such variable, or a
            weight is negative or not finite.
    """

    def __init__(self, schedule: Callable[[int], float]):
        super().__init__()
        if not callable(schedule):
            raise ValueError(
                "schedule: expected a function of the epoch, such as linear(0, 10), got "
                f"{schedule!r}."
            )
        self._schedule = schedule

    def on_train_begin(self, logs: dict | None = None):
        """Check that the model has the variable `kl_weight`.

        Args:
            logs: unused.

        Raises:
            ValueError: the model has no such variable.
        """
        if not hasattr(getattr(self.model, "kl_weight", None), "assign"):
            raise ValueError(
                "KLAnnealing: expected a model with a variable `kl_weight`, "
                f"{type(self.model).__name__} has none. Make "
                "`seqvae.objectives.KLWeight().variable` one, and multiply the KL by it in the "
                "model's `objective`."
            )

    def on_epoch_begin(self, epoch: int, logs: dict | None = None):
        """Set the weight of an epoch.

        Args:
            epoch: the epoch, counted from 0.
            logs: unused.

        Raises:
            ValueError: the weight is negative or not finite.
        """
        weight = float(self._schedule(epoch))
        if not 0.0 <= weight < math.inf:
            raise ValueError(
                f"schedule: expected a weight of at least 0, got {weight} for epoch {epoch}."
            )
        self.model.kl_weight.assign(weight)


def _check(**values) -> None:
    for name, value in values.items():
        least = 1 if name in ("epochs", "period") else 0
        if value < least:
            raise ValueError(f"{name}: expected a number of at least {least}, got {value!r}.")
