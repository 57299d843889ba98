"""Paths of bouncing balls as series, the example data of `examples/run_vrae.py`."""

import numpy as np

from seqvae.physics import BALL_WORLDS, simulate
from vrae.data import Series, pad


def ball_trajectories(
    count: int, *, shortest: int = 20, longest: int = 40, seed: int = 0
) -> Series:
    """Simulate positions x, y of a ball in the world `box`.

    A sequence depends only on the seed and its index.

    Args:
        count: number of sequences.
        shortest: the smallest number of steps.
        longest: the largest number of steps.
        seed: seed of all sequences.

    Returns:
        The sequences; the label is the initial direction in radians.

    Raises:
        ValueError: an argument is out of range.
    """
    if count < 1 or not 1 <= shortest <= longest:
        raise ValueError(
            f"count={count}, shortest={shortest}, longest={longest}: expected count >= 1 and 1 <= "
            "shortest <= longest."
        )
    paths, labels = [], []
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        steps = int(rng.integers(shortest, longest + 1))
        balls = simulate(BALL_WORLDS["box"], steps, rng).balls[:, 0]
        paths.append(balls[:, :2])
        labels.append(np.arctan2(balls[0, 3], balls[0, 2]))
    return pad(paths, np.array(labels))
