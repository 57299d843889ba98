"""Learning rates as functions of the epoch."""

import math
from collections.abc import Callable


def cosine_decay(start: float, epochs: int) -> Callable[[int], float]:
    """Learning rate that decays from `start` to nearly 0 along half a cosine.

    Args:
        start: the learning rate of the first epoch.
        epochs: epochs of the decay.

    Returns:
        A function of the epoch, counted from 0.

    Raises:
        ValueError: an argument is out of range.

    >>> round(cosine_decay(0.008, 4)(2), 6)
    0.004
    """
    if start <= 0 or epochs < 1:
        raise ValueError(
            f"cosine_decay: expected start > 0 and epochs >= 1, got start={start}, epochs={epochs}."
        )
    return lambda epoch: start * 0.5 * (1.0 + math.cos(math.pi * epoch / epochs))


def exponential_decay(start: float, rate: float, every: int) -> Callable[[int], float]:
    """Learning rate that decays stepwise::

        start * rate ** floor(epoch / every)

    Args:
        start: the learning rate of the first epoch.
        rate: the factor of each step.
        every: epochs between two steps.

    Returns:
        A function of the epoch, counted from 0.

    Raises:
        ValueError: an argument is out of range.

    >>> exponential_decay(0.008, 0.5, 20)(45)
    0.002
    """
    if start <= 0 or rate <= 0 or every < 1:
        raise ValueError(
            f"exponential_decay: expected start > 0, rate > 0 and every >= 1, got start={start}, "
            f"rate={rate}, every={every}."
        )
    return lambda epoch: start * rate ** (epoch // every)


def warmup(step: int, steps: int) -> float:
    """Factor on the learning rate that rises linearly to 1 in the first steps of a stage.

    Args:
        step: the step of the stage, counted from 0.
        steps: steps of the rise; 0: no warm-up.

    Returns:
        The factor, in (0, 1].

    >>> warmup(0, 100), warmup(49, 100), warmup(500, 100)
    (0.01, 0.5, 1.0)
    """
    return min(1.0, (step + 1) / steps) if steps else 1.0
