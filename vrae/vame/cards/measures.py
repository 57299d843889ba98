"""Measures of motifs: frequency and duration, speed of the animal, distinctive features, similar
motifs, and successions.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from vrae.vame.cards.bouts import Bout, followed
from vrae.vame.features import angular_velocity, speed
from vrae.vame.keypoints import Pose
from vrae.vame.sessions import Session

_SHOWN = 3  # number of features, neighbours, predecessors and successors of a motif


class Measures(NamedTuple):
    """Measures of a motif."""

    motif: int
    """Its number."""
    share: float
    """Share of the frames with a motif."""
    bouts: int
    """Number of bouts."""
    rate: float
    """Bouts per minute; per 1000 frames if frames per second are unknown."""
    duration: float
    """Median duration in seconds, or frames."""
    speed: float | None
    """Mean speed of the body per second (or frame), in the unit of positions; None: unknown."""
    turning: float | None
    """Mean absolute turning in degrees per second (or frame); None: unknown."""
    features: list[tuple[str, float]]
    """The most distinctive features, and by how many standard deviations their means exceed those
    of the other frames.
    """
    nearest: list[tuple[int, float]]
    """The motifs with the nearest codes, and their distance in standard deviations within
    motifs.
    """
    before: list[tuple[int, float]]
    """The most frequent preceding motifs, and their shares."""
    after: list[tuple[int, float]]
    """The most frequent following motifs, and their shares."""


def fps_of(sessions: Mapping[str, Session]) -> float | None:
    """Find the frames per second of all sessions.

    Args:
        sessions: the sessions by name.

    Returns:
        The number; None if it is unknown or differs.
    """
    found = {session.pose.fps if session.pose else None for session in sessions.values()}
    return found.pop() if len(found) == 1 else None


def measure(
    sessions: Mapping[str, Session],
    labels: Mapping[str, np.ndarray],
    found: Sequence[Bout],
    codes: Mapping[str, np.ndarray],
    window_labels: Mapping[str, np.ndarray],
    references: tuple[str, str] | None,
) -> list[Measures]:
    """Measure every motif that occurs, in the order of their numbers.

    Args:
        sessions: the sessions by name.
        labels: the motif of every frame by session.
        found: the bouts.
        codes: [n, zdims], the codes of windows by session.
        window_labels: [n], the motifs of windows by session.
        references: the reference keypoints of the alignment, or None.

    Returns:
        The measures.
    """
    motifs = sorted({bout.motif for bout in found})
    joined = np.concatenate(list(labels.values()))
    names, rows = _rows(sessions, references)
    fps = fps_of(sessions)
    moves = moves_of(found, motifs)
    distances = _distances(codes, window_labels, motifs)
    labelled, measures = int((joined >= 0).sum()), []
    for place, motif in enumerate(motifs):
        own = joined == motif
        durations = [bout.frames for bout in found if bout.motif == motif]
        body, turning = (
            _mean(rows[names.index(name)][own]) * (fps or 1.0) if name in names else None
            for name in (_BODY, _TURNING)
        )
        measures.append(
            Measures(
                motif,
                float(own.sum() / labelled),
                len(durations),
                len(durations) / len(joined) * (60.0 * fps if fps else 1000.0),
                float(np.median(durations)) / (fps or 1.0),
                body,
                turning,
                _distinctive(names, rows, own, (joined >= 0) & ~own),
                _smallest(motifs, distances[place], place),
                _largest(motifs, moves[:, place]),
                _largest(motifs, moves[place]),
            )
        )
    return measures


_BODY, _TURNING = "speed of the body", "turning, degrees"


def _rows(sessions: Mapping[str, Session], references) -> tuple[list[str], np.ndarray]:
    """Names and values [rows, all frames] that describe motifs: the model's features, the speed of
    each keypoint in the animal's frame of reference, and the animal's own speed and turning.
    """
    names, parts = [], []
    for session in sessions.values():
        own = {name: row for name, row in zip(_names(session), session.values, strict=True)}
        if session.pose is not None:
            for name, points in zip(session.pose.keypoints, session.pose.points, strict=True):
                own[f"movement of {name}"] = speed(points)
        if session.placed is not None and references is not None:
            own[_BODY] = body_speed(session.placed)
            keys: dict[str, str | None] = {"centered": references[0], "orientation": references[1]}
            own[_TURNING] = np.degrees(np.abs(angular_velocity(session.placed, keys)))
        names = list(own)
        parts.append(np.stack(list(own.values())))
    return names, np.concatenate(parts, axis=1)


def _names(session: Session) -> list[str]:
    return list(session.features) or [f"feature {i}" for i in range(len(session.values))]


def body_speed(pose: Pose) -> np.ndarray:
    """Compute the distance per frame that most keypoints move together.

    Args:
        pose: positions that are not aligned.

    Returns:
        [frames], the length of the median of the keypoints' moves.
    """
    moves = np.gradient(pose.points, axis=-1)
    seen = ~np.isnan(moves).all(axis=(0, 1))
    found = np.full(moves.shape[-1], np.nan)
    found[seen] = np.hypot(*np.nanmedian(moves[..., seen], axis=0))
    return found


def _distinctive(names, rows, own, others) -> list[tuple[str, float]]:
    """The largest standardised differences of means."""
    differences = []
    for name, row in zip(names, rows, strict=True):
        values = row[own | others]
        spread = np.nanstd(values) if not np.isnan(values).all() else 0.0
        if spread > 0 and not np.isnan(row[own]).all() and not np.isnan(row[others]).all():
            differences.append((name, float((_mean(row[own]) - _mean(row[others])) / spread)))
    return sorted(differences, key=lambda pair: -abs(pair[1]))[:_SHOWN]


def _mean(values: np.ndarray) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def moves_of(found: Sequence[Bout], motifs: Sequence[int]) -> np.ndarray:
    """Count how often each motif was directly followed by each other one.

    Args:
        found: the bouts.
        motifs: the motifs.

    Returns:
        [motifs, motifs].
    """
    moves, place = np.zeros((len(motifs), len(motifs))), {m: i for i, m in enumerate(motifs)}
    for bout, following in followed(found):
        moves[place[bout.motif], place[following.motif]] += 1
    return moves


def _distances(codes, labels, motifs: list[int]) -> np.ndarray:
    """Distances of the motifs' mean codes in standard deviations within motifs, [motifs,
    motifs].
    """
    joined, of = (np.concatenate([part[name] for name in codes]) for part in (codes, labels))
    means = np.stack([joined[of == motif].mean(axis=0) for motif in motifs])
    within = np.sqrt(
        sum(((joined[of == m] - mean) ** 2).sum() for m, mean in zip(motifs, means, strict=True))
        / max(1, (of >= 0).sum())
    )
    between = np.linalg.norm(means[:, None] - means, axis=-1)
    return between / max(within, 1e-12)


def _smallest(motifs, values, place) -> list[tuple[int, float]]:
    order = [i for i in np.argsort(values, kind="stable") if i != place]
    return [(motifs[i], float(values[i])) for i in order[:_SHOWN]]


def _largest(motifs, counts) -> list[tuple[int, float]]:
    total, order = counts.sum(), np.argsort(-counts, kind="stable")
    return [(motifs[i], float(counts[i] / total)) for i in order[:_SHOWN] if counts[i]]


def mean_poses(
    sessions: Mapping[str, Session], found: Sequence[Bout], motif: int, count: int = 6
) -> np.ndarray:
    """Compute the mean course of a motif, from the onset of its bouts over their median duration.

    Args:
        sessions: the sessions by name.
        found: the bouts.
        motif: the motif.
        count: number of poses.

    Returns:
        [count, K, 2], in the animal's frame of reference.
    """
    own = [bout for bout in found if bout.motif == motif]
    steps = np.unique(np.linspace(0, np.median([b.frames for b in own]) - 1, count).astype(int))
    poses = []
    for step in steps:
        shown = [
            sessions[bout.session].pose.points[..., bout.start + step]  # pyright: ignore
            for bout in own
            if bout.frames > step
        ]
        points = np.stack(shown)
        seen = ~np.isnan(points)
        total = np.where(seen, points, 0.0).sum(axis=0)
        poses.append(np.where(seen.any(axis=0), total / np.maximum(1, seen.sum(axis=0)), np.nan))
    return np.stack(poses)


def community_tree(moves: np.ndarray) -> np.ndarray:
    """Merge motifs step by step, those first that follow each other most often.

    Args:
        moves: [motifs, motifs], the probabilities of the next motif.

    Returns:
        SciPy's linkage [motifs - 1, 4]. The height of a merge is 1 minus the mean probability
        between its two sides.
    """
    flow = (moves + moves.T) / 2
    distance = 1.0 - flow
    np.fill_diagonal(distance, 0.0)
    return linkage(squareform(distance, checks=False), method="average")


def poses_of_features(values: np.ndarray, features: Sequence[str], pose: Pose) -> np.ndarray:
    """Make poses from features.

    Args:
        values: [T, F].
        features: their names.
        pose: the pose with all keypoints.

    Returns:
        [T, K, 2]. Values that alignment sets to 0 are 0; keypoints that are not features are
        missing.
    """
    found = np.full((len(values), len(pose.keypoints), 2), np.nan)
    rows = {name: values[:, i] for i, name in enumerate(features)}
    zero = {f"{name} {axis}" for name in pose.keypoints for axis in "xy"} - set(rows)
    for k, keypoint in enumerate(pose.keypoints):
        for i, axis in enumerate("xy"):
            name = f"{keypoint} {axis}"
            if name in rows:
                found[:, k, i] = rows[name]
            elif name in zero and np.nanmax(np.abs(pose.points[k, i]), initial=0.0) < 1e-6:
                found[:, k, i] = 0.0
    return found
