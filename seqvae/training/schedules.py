"""Learning rates by the epoch."""

import math
from collections.abc import Callable


def cosine_decay(start: float, epochs: int) -> Callable[[int], float]:
    """The learning rate of an epoch, from `start` down to nearly 0 after `epochs`, along half a
    cosine.

    >>> round(cosine_decay(0.008, 4)(2), 6)
    0.004
    """
    if start <= 0 or epochs < 1:
        raise ValueError(
            f"cosine_decay: expected start > 0 and epochs >= 1, got start={start}, epochs={epochs}."
        )
    return lambda epoch: start * 0.5 * (1.0 + math.cos(math.pi * epoch / epochs))


def exponential_decay(start: float, rate: float, every: int) -> Callable[[int], float]:
    """The learning rate of an epoch: start * rate ** floor(epoch / every).

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
    """The factor on the learning rate in a step of a stage: rises linearly to 1 in so many `steps`.

    >>> warmup(0, 100), warmup(49, 100), warmup(500, 100)
    (0.01, 0.5, 1.0)
    """
    return min(1.0, (step + 1) / steps) if steps else 1.0
