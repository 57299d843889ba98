"""Masks: 1 = observed, 0 = missing."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf


def block_mask(sequences: int, steps: int, *, start: int, length: int) -> np.ndarray:
    """Make a mask with one block of missing frames, as in the KVAE paper's planning experiment.

    Args:
        sequences: number of sequences.
        steps: frames in a sequence.
        start: the first missing frame, counted from 0.
        length: number of missing frames.

    Returns:
        [sequences, steps] float32.

    Raises:
        ValueError: the block exceeds the sequence.
    """
    if not 0 <= start < steps or length < 0 or start + length > steps:
        raise ValueError(
            f"start={start}, length={length}: the missing block must lie within the {steps} frames "
            "of a sequence. Use a smaller start or length, or longer sequences."
        )
    mask = np.ones((sequences, steps), np.float32)
    mask[:, start : start + length] = 0.0
    return mask


def random_mask(
    sequences: int, steps: int, *, start: int, drop_prob: float, seed: int | Sequence[int]
) -> np.ndarray:
    """Make a mask in which each frame after the first `start` is missing with a given probability.

    Args:
        sequences: number of sequences.
        steps: frames in a sequence.
        start: number of observed frames at the start of each sequence.
        drop_prob: probability that a later frame is missing.
        seed: seed of the draw.

    Returns:
        [sequences, steps] float32.

    Raises:
        ValueError: `drop_prob` or `start` is out of range.
    """
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


@overload
def is_observed(mask: np.ndarray) -> np.ndarray: ...
@overload
def is_observed(mask: "tf.Tensor") -> "tf.Tensor": ...
def is_observed(mask: "np.ndarray | tf.Tensor") -> "np.ndarray | tf.Tensor":
    """Convert a mask to bool.

    Args:
        mask: 1 = observed, 0 = missing; of NumPy or TensorFlow, of any shape.

    Returns:
        True where observed, of the same shape.
    """
    return mask > 0.5
