"""Weights of the KL over epochs: it joins the objective slowly, so that the code is used before it
is paid for."""

import math
from collections.abc import Callable

import keras


def linear(start: int, epochs: int) -> Callable[[int], float]:
    """0 before epoch `start` (counted from 0), then rising evenly to 1 in `epochs` epochs (Bowman
    et al. 2016).

    >>> [linear(1, 4)(epoch) for epoch in range(6)]
    [0.0, 0.0, 0.25, 0.5, 0.75, 1.0]
    """
    _check(start=start, epochs=epochs)
    return lambda epoch: min(1.0, max(0.0, (epoch - start) / epochs))


def sigmoid(middle: int, epochs: int) -> Callable[[int], float]:
    """A logistic curve through 1/2 at epoch `middle`; from 0.1 to 0.9 in `epochs` epochs."""
    _check(middle=middle, epochs=epochs)
    rate = 2.0 * math.log(9.0) / epochs
    return lambda epoch: 1.0 / (1.0 + math.exp(-rate * (epoch - middle)))


def cyclical(period: int, rising: float = 0.5) -> Callable[[int], float]:
    """From 0 to 1 again and again: rising evenly in the first `rising` share of each `period` (Fu
    et al. 2019).

    >>> [cyclical(4)(epoch) for epoch in range(6)]
    [0.0, 0.5, 1.0, 1.0, 0.0, 0.5]
    """
    _check(period=period)
    if not 0.0 < rising <= 1.0:
        raise ValueError(f"rising: expected above 0 and at most 1, got {rising!r}.")
    return lambda epoch: min(1.0, (epoch % period) / (period * rising))


class KLAnnealing(keras.callbacks.Callback):
    """Sets the weight of the KL before every epoch of `fit`.

    The model has a scalar variable `kl_weight`. Its `objective` reads it at every step, so a new
    value needs no retracing.

    Args:
        schedule: from the number of an epoch, counted from 0, to the weight, at least 0: `linear`,
            `sigmoid`, `cyclical`, or a function of yours.

    Raises:
        ValueError: `schedule` is no function; in `fit`: the model has no such variable, or a weight
            is below 0 or not finite.
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
        if not hasattr(getattr(self.model, "kl_weight", None), "assign"):
            raise ValueError(
                "KLAnnealing: expected a model with a variable `kl_weight`, "
                f"{type(self.model).__name__} has none. Make "
                "`seqvae.objectives.KLWeight().variable` one, and multiply the KL by it in the "
                "model's `objective`."
            )

    def on_epoch_begin(self, epoch: int, logs: dict | None = None):
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
