"""Bouts, which are stretches of frames with one motif, and the parts of sessions that they
select.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.sparse.csgraph import minimum_spanning_tree

from vrae.vame.keypoints import Pose
from vrae.vame.segmenters import bouts
from vrae.vame.sessions import Session


class Bout(NamedTuple):
    """The frames [start, stop) of a session in which one motif lasts."""

    session: str
    """The session's name."""
    motif: int
    """The motif."""
    start: int
    """The first frame."""
    stop: int
    """The frame after the last one."""

    @property
    def frames(self) -> int:
        """The duration in frames."""
        return self.stop - self.start


def of_frames(labels: np.ndarray, frames: int, time_window: int) -> np.ndarray:
    """Convert motifs of windows to motifs of frames.

    Args:
        labels: [frames - time_window + 1], the motif of each window.
        frames: number of frames.
        time_window: frames of a window.

    Returns:
        [frames], the motif of the window with the frame in its middle; -1 at both ends.

    Raises:
        ValueError: another number of labels.
    """
    if len(labels) != frames - time_window + 1:
        raise ValueError(
            f"labels: expected one of each of the {frames - time_window + 1} windows of "
            f"{time_window} frames in {frames}, got {len(labels)}."
        )
    found = np.full(frames, -1, np.int32)
    middle = time_window // 2
    found[middle : middle + len(labels)] = labels
    return found


def all_bouts(labels: Mapping[str, np.ndarray]) -> list[Bout]:
    """Find the bouts of sessions.

    Args:
        labels: the motif of every frame by session; -1: none.

    Returns:
        The bouts in order.
    """
    return [
        Bout(session, motif, frames.start, frames.stop)
        for session, motifs in labels.items()
        for motif, frames in bouts(motifs)
        if motif >= 0
    ]


def followed(found: Sequence[Bout]) -> list[tuple[Bout, Bout]]:
    """Find the pairs of consecutive bouts.

    Args:
        found: the bouts in order.

    Returns:
        The pairs of which the second starts where the first ends.
    """
    return [
        (bout, following)
        for bout, following in pairwise(found)
        if bout.session == following.session and bout.stop == following.start
    ]


def examples(found: Sequence[Bout], motif: int, count: int, seed: int = 0) -> list[Bout]:
    """Draw bouts of a motif from the longer half: the shortest are often fragments.

    Args:
        found: the bouts.
        motif: the motif.
        count: the largest number of bouts.
        seed: seed of the draw.

    Returns:
        The bouts in order of session and time.
    """
    own = [bout for bout in found if bout.motif == motif]
    if not own:
        return []
    least = np.median([bout.frames for bout in own])
    long = [bout for bout in own if bout.frames >= least]
    drawn = np.random.default_rng([seed, motif]).permutation(len(long))[:count]
    return [long[i] for i in np.sort(drawn)]


class ShownBout(NamedTuple):
    """A bout that a movie shows, and the frames [first, last) that it shows of its session."""

    bout: Bout
    first: int
    last: int


_PANELS = 9
_LONGEST = 90  # frames of a bout that are shown
_AROUND = 8  # frames that are shown before and after it


def shown_bouts(
    sessions: Mapping[str, Session],
    found: Sequence[Bout],
    motif: int,
    *,
    longest: int = _LONGEST,
    seed: int = 0,
) -> list[ShownBout]:
    """Choose the bouts of a motif that its movies show, with some frames before and after each.

    Args:
        sessions: the sessions by name.
        found: the bouts.
        motif: the motif.
        longest: the largest number of frames of a bout that is shown; at most 90 are.
        seed: seed of the choice.

    Returns:
        The bouts and their frames.
    """
    shown = []
    for bout in examples(found, motif, _PANELS, seed):
        last = min(bout.stop, bout.start + min(longest, _LONGEST)) + _AROUND
        last = min(sessions[bout.session].values.shape[1], last)
        shown.append(ShownBout(bout, max(0, bout.start - _AROUND), last))
    return shown


def edges_of(pose: Pose) -> list[tuple[int, int]]:
    """Find the pairs of keypoints that a line joins.

    Args:
        pose: the pose.

    Returns:
        Pairs of indices: the skeleton, or the minimum spanning tree of the median distances.
    """
    if pose.skeleton:
        return [(pose.keypoints.index(a), pose.keypoints.index(b)) for a, b in pose.skeleton]
    points, count = pose.points, len(pose.keypoints)
    lengths = np.zeros((count, count))
    for i, j in np.ndindex(count, count):
        distance = np.hypot(*(points[i] - points[j]))
        distance = distance[~np.isnan(distance)]
        if i < j and len(distance):
            lengths[i, j] = max(np.median(distance), 1e-12)
    tree = minimum_spanning_tree(lengths).tocoo()
    return sorted(zip(tree.row.tolist(), tree.col.tolist(), strict=True))


def seen_from_the_onset(
    session: Session, bout: Bout, references: tuple[str, str] | None, first: int, last: int
) -> np.ndarray:
    """Compute the positions around a bout, relative to the animal at the bout's onset.

    With reference keypoints, the animal is at 0 at the onset, with the second keypoint on the
    negative y axis; later frames are in the same coordinates. Without them, or if one is missing at
    the onset, positions are in the animal's own frame of reference.

    Args:
        session: the session.
        bout: the bout.
        references: the reference keypoints, or None.
        first: the first frame.
        last: the frame after the last one.

    Returns:
        [T, K, 2].
    """
    assert session.pose is not None and session.placed is not None
    aligned = session.pose.points[..., first:last].transpose(2, 0, 1)
    if references is None:
        return aligned
    placed = session.placed.points
    i, j = (session.placed.keypoints.index(name) for name in references)
    x, y = placed[j, :, bout.start] - placed[i, :, bout.start]
    size = np.hypot(x, y)
    if not size > 0:
        return aligned
    moved = placed[..., first:last] - placed[i, :, bout.start][:, None]
    x, y = x / size, y / size
    turned = [x * moved[:, 1] - y * moved[:, 0], -x * moved[:, 0] - y * moved[:, 1]]
    return np.stack(turned, axis=1).transpose(2, 0, 1)
