"""Paths of bouncing balls as series: what `examples/run_vrae.py` shows without a download."""

import numpy as np

from seqvae.physics import BALL_WORLDS, simulate
from vrae.data import Series, pad


def ball_trajectories(
    count: int, *, shortest: int = 20, longest: int = 40, seed: int = 0
) -> Series:
    """Positions x, y of a ball in the world `box`, in sequences of `shortest` to `longest` steps;
    the label is the direction it starts in, radians. Sequence i depends on the seed and i alone."""
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
