"""What motifs are: how often and how long, how fast the animal moves, what sets them apart, which
are alike, and which follow each other."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from vrae.vame.cards.bouts import Bout, followed
from vrae.vame.features import angular_velocity, speed
from vrae.vame.keypoints import Pose
from vrae.vame.sessions import Session

_SHOWN = 3  # features, neighbours, predecessors and successors of a motif


class Measures(NamedTuple):
    """Of a motif: share of the frames that have a motif; bouts; bouts a minute, or of 1000 frames
    where frames a second are not known; median duration in seconds, or frames.

    speed: mean speed of the body, positions a second (or a frame); turning: mean degrees a second
    (or a frame) by which it turns either way; None where they are not known.
    features: those that set it apart, and by how many standard deviations its mean is above that of
    the other frames. nearest: the motifs whose codes are nearest, and their distance in standard
    deviations within motifs. before, after: the motifs before and after it, and their share.
    """

    motif: int
    share: float
    bouts: int
    rate: float
    duration: float
    speed: float | None
    turning: float | None
    features: list[tuple[str, float]]
    nearest: list[tuple[int, float]]
    before: list[tuple[int, float]]
    after: list[tuple[int, float]]


def fps_of(sessions: Mapping[str, Session]) -> float | None:
    """The frames a second of all sessions, None where one does not know them or they differ."""
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
    """The measures of every motif that occurs, in the order of their numbers.

    Args:
        labels: the motif of every frame by session. found: their bouts.
        codes, window_labels: the codes [n, zdims] and motifs [n] of windows by session.
        references: the reference keypoints by which positions are aligned.
    """
    motifs = sorted({bout.motif for bout in found})
    joined = np.concatenate(list(labels.values()))
    names, rows = _rows(sessions, references)
    fps = fps_of(sessions)
    moves = moves_of(found, motifs)
    distances = _distances(codes, window_labels, motifs)
    labelled, made = int((joined >= 0).sum()), []
    for place, motif in enumerate(motifs):
        own = joined == motif
        durations = [bout.frames for bout in found if bout.motif == motif]
        body, turning = (
            _mean(rows[names.index(name)][own]) * (fps or 1.0) if name in names else None
            for name in (_BODY, _TURNING)
        )
        made.append(
            Measures(
                motif,
                float(own.sum() / labelled),
                len(durations),
                len(durations) / len(joined) * (60.0 * fps if fps else 1000.0),
                float(np.median(durations)) / (fps or 1.0),
                body,
                turning,
                _apart(names, rows, own, (joined >= 0) & ~own),
                _smallest(motifs, distances[place], place),
                _largest(motifs, moves[:, place]),
                _largest(motifs, moves[place]),
            )
        )
    return made


_BODY, _TURNING = "speed of the body", "turning, degrees"


def _rows(sessions: Mapping[str, Session], references) -> tuple[list[str], np.ndarray]:
    """What motifs are described by, names and [rows, all frames]: the features of the model, how
    fast each keypoint moves in the animal's frame of reference, and the animal itself."""
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
    """Distance a frame that most keypoints have in common, [frames]: the length of the median of
    their moves."""
    moves = np.gradient(pose.points, axis=-1)
    seen = ~np.isnan(moves).all(axis=(0, 1))
    found = np.full(moves.shape[-1], np.nan)
    found[seen] = np.hypot(*np.nanmedian(moves[..., seen], axis=0))
    return found


def _apart(names, rows, own, others) -> list[tuple[str, float]]:
    """The standardised differences of the means that are largest."""
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
    """How often each motif was followed by each other at once: [motifs, motifs]."""
    moves, place = np.zeros((len(motifs), len(motifs))), {m: i for i, m in enumerate(motifs)}
    for bout, following in followed(found):
        moves[place[bout.motif], place[following.motif]] += 1
    return moves


def _distances(codes, labels, motifs: list[int]) -> np.ndarray:
    """Between the mean codes of motifs, in standard deviations within motifs: [motifs, motifs]."""
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
    """The mean course of a motif: `count` poses [count, K, 2] from the onset of its bouts over
    their median duration, in the animal's frame of reference."""
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
    """Motifs merged step by step, those first that follow each other most: SciPy's linkage
    [motifs - 1, 4] for probabilities of what follows a motif [motifs, motifs]. The height of a
    merge is 1 less the mean of the probabilities between its two sides."""
    flow = (moves + moves.T) / 2
    distance = 1.0 - flow
    np.fill_diagonal(distance, 0.0)
    return linkage(squareform(distance, checks=False), method="average")


def poses_of_features(values: np.ndarray, features: Sequence[str], pose: Pose) -> np.ndarray:
    """Poses [T, K, 2] of features [T, F] by their names. What alignment makes 0 is 0; a keypoint
    that is not among the features is missing."""
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
