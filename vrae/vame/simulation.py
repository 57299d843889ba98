"""Simulated pose series with known motifs: limbs that swing, differently in each motif, and an
animal that switches between motifs.
"""

from typing import NamedTuple

import numpy as np


class SimulatedSession(NamedTuple):
    """A simulated session."""

    positions: np.ndarray
    """[2 keypoints, frames] float64, x and y of each keypoint, NaN if it was not seen."""
    motifs: np.ndarray
    """[frames] int, the motif of every frame."""
    clean: np.ndarray
    """[2 keypoints, frames], positions without noise and gaps."""


def simulate_poses(
    sessions: int,
    frames: int,
    *,
    n_motifs: int = 5,
    keypoints: int = 6,
    shortest: int = 30,
    longest: int = 90,
    tempo: float = 0.25,
    vigour: float = 0.3,
    noise: float = 0.05,
    missing: float = 0.0,
    longest_missing: int = 10,
    seed: int = 0,
    first: int = 0,
) -> dict[str, SimulatedSession]:
    """Simulate an animal whose keypoints swing around their places, in body coordinates.

    Each motif has an amplitude U(0.2, 1) and a phase for every coordinate, and one frequency (0.03
    to 0.12 cycles per frame, evenly spaced). A bout of a motif lasts `shortest` to `longest`
    frames, starts at a random point of the cycle, and is followed by any other motif with equal
    probability; transitions are smoothed over five frames. Each bout has its own speed and size.

    Args:
        sessions: number of sessions.
        frames: frames of a session.
        n_motifs: number of motifs.
        keypoints: number of keypoints.
        shortest: the smallest number of frames of a bout.
        longest: the largest number of frames of a bout.
        tempo: standard deviation of the logarithm of a bout's speed.
        vigour: standard deviation of the logarithm of a bout's size.
        noise: standard deviation of the noise on each coordinate.
        missing: share of frames at which a keypoint is missing.
        longest_missing: the largest number of frames of such a gap.
        seed: a session depends only on the seed and its number, the motifs only on the seed.
        first: number of the first session.

    Returns:
        The sessions `session_<number>` by name.

    Raises:
        ValueError: an argument is out of range.
    """
    for name, value, least in (
        ("sessions", sessions, 1),
        ("frames", frames, 1),
        ("n_motifs", n_motifs, 1),
        ("keypoints", keypoints, 1),
        ("shortest", shortest, 1),
        ("longest", longest, shortest),
        ("noise", noise, 0),
        ("tempo", tempo, 0),
        ("vigour", vigour, 0),
        ("longest_missing", longest_missing, 1),
    ):
        if value < least:
            raise ValueError(f"{name}: expected at least {least}, got {value!r}.")
    if not 0.0 <= missing < 1.0:
        raise ValueError(f"missing: expected at least 0 and below 1, got {missing!r}.")
    rng, size = np.random.default_rng([seed, 0]), 2 * keypoints
    places = rng.normal(0.0, 2.0, size)
    swings = rng.uniform(0.2, 1.0, (n_motifs, size)), rng.uniform(0.0, 2 * np.pi, (n_motifs, size))
    frequencies = np.linspace(0.03, 0.12, n_motifs)
    simulated = {}
    for i in range(first, first + sessions):
        rng = np.random.default_rng([seed, 1, i])
        motifs, phase, size_of = _course(
            rng, frames, n_motifs, (shortest, longest), frequencies, (tempo, vigour)
        )
        clean = places[:, None] + _swinging(motifs, phase, size_of, *swings)
        seen = clean + noise * rng.standard_normal(clean.shape)
        seen[np.repeat(_gaps(rng, keypoints, frames, missing, longest_missing), 2, axis=0)] = np.nan
        simulated[f"session_{i}"] = SimulatedSession(seen, motifs, clean)
    return simulated


def _course(
    rng,
    frames: int,
    n_motifs: int,
    lengths: tuple[int, int],
    frequencies,
    variation: tuple[float, float],
):
    """For every frame: the motif, the phase of its cycle, and the size of the motion (median 1)."""
    motifs, phase, size = np.empty(frames, int), np.empty(frames), np.empty(frames)
    first, motif = 0, int(rng.integers(n_motifs))
    while first < frames:
        last = min(frames, first + int(rng.integers(lengths[0], lengths[1] + 1)))
        speed, size[first:last] = np.exp(variation * rng.standard_normal(2))
        motifs[first:last] = motif
        phase[first:last] = (
            2 * np.pi * (rng.random() + frequencies[motif] * speed * np.arange(last - first))
        )
        first, motif = (
            last,
            int((motif + rng.integers(1, n_motifs)) % n_motifs) if n_motifs > 1 else 0,
        )
    return motifs, phase, size


def _swinging(motifs, phase, size, amplitudes, phases) -> np.ndarray:
    """The motion [coordinates, frames], with switches smoothed over five frames."""
    motion = size[:, None] * amplitudes[motifs] * np.sin(phase[:, None] + phases[motifs])
    padded = np.pad(motion, [(2, 2), (0, 0)], mode="edge")
    smooth = np.mean([padded[i : i + len(motion)] for i in range(5)], axis=0)
    switches = np.flatnonzero(np.diff(motifs))
    near = np.zeros(len(motion), bool)
    for offset in range(-1, 3):
        near[np.clip(switches + offset, 0, len(motion) - 1)] = True
    return np.where(near[:, None], smooth, motion).T


def _gaps(rng, keypoints: int, frames: int, share: float, longest: int) -> np.ndarray:
    """[keypoints, frames], True where a keypoint is missing: about `share` of the frames, in gaps
    of 1 to `longest`.
    """
    gone, mean = np.zeros((keypoints, frames), bool), (longest + 1) / 2
    for row in gone:
        for start in np.flatnonzero(rng.random(frames) < share / mean / max(1e-9, 1.0 - share)):
            row[start : start + int(rng.integers(1, longest + 1))] = True
    return gone
