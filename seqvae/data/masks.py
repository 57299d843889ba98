"""Masks of whole frames: 1 = observed, 0 = missing."""

from collections.abc import Sequence

import numpy as np


def block_mask(sequences: int, steps: int, *, start: int, length: int) -> np.ndarray:
    """[sequences, steps] float32 that misses the frames start to start + length - 1 (the paper's
    "planning" masks)."""
    if not 0 <= start < steps or length < 0 or start + length > steps:
        raise ValueError(
            f"start={start}, length={length}: the missing block must lie within the {steps} frames "
            "of a sequence. "
            "Use a smaller start or length, or longer sequences."
        )
    mask = np.ones((sequences, steps), np.float32)
    mask[:, start : start + length] = 0.0
    return mask


def random_mask(
    sequences: int, steps: int, *, start: int, drop_prob: float, seed: int | Sequence[int]
) -> np.ndarray:
    """[sequences, steps] float32: the first `start` frames are observed, each later one is missing
    with `drop_prob`."""
    if not 0.0 <= drop_prob <= 1.0:
        raise ValueError(f"drop_prob: expected a probability in [0, 1], got {drop_prob!r}.")
    if not 1 <= start <= steps:
        raise ValueError(
            f"start: expected 1 to {steps} observed frames at the beginning of each sequence, got "
            f"{start!r}."
        )
    mask = (np.random.default_rng(seed).random((sequences, steps)) >= drop_prob).astype(np.float32)
    mask[:, :start] = 1.0
    return mask
