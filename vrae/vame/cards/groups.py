"""Measures of motifs per session, and tests whether groups of sessions differ."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import false_discovery_control, permutation_test

from vrae.vame.cards.bouts import Bout, followed

MEASURES = ("share", "bouts_a_minute", "median_duration")


class Row(NamedTuple):
    """Measures of a motif in a session."""

    session: str
    """The session's name."""
    motif: int
    """The motif."""
    share: float
    """Share of the frames with a motif."""
    bouts_a_minute: float
    """Bouts per minute; per 1000 frames if frames per second are unknown."""
    median_duration: float
    """Median duration in seconds (frames); NaN if the motif does not occur."""


class Comparison(NamedTuple):
    """A comparison of groups by a measure of a motif, or by a transition."""

    measure: str
    """The measure."""
    motif: str
    """The motif, or the transition."""
    means: dict[str, float]
    """The mean of each group."""
    p: float
    """The p-value of a permutation test; NaN if it cannot be computed."""
    corrected: float
    """The p-value corrected for all motifs of the measure (Benjamini and Hochberg 1995)."""


def of_sessions(
    labels: Mapping[str, np.ndarray],
    found: Sequence[Bout],
    motifs: Sequence[int],
    fps: float | None,
) -> list[Row]:
    """Measure each motif in each session.

    Args:
        labels: the motif of every frame by session.
        found: the bouts.
        motifs: the motifs.
        fps: frames per second; None: unknown.

    Returns:
        A row for each session and motif.
    """
    rows = []
    for session, frames in labels.items():
        labelled = max(1, int((frames >= 0).sum()))
        for motif in motifs:
            durations = [b.frames for b in found if (b.session, b.motif) == (session, motif)]
            rows.append(
                Row(
                    session,
                    motif,
                    sum(durations) / labelled,
                    len(durations) / len(frames) * (60.0 * fps if fps else 1000.0),
                    float(np.median(durations)) / (fps or 1.0) if durations else float("nan"),
                )
            )
    return rows


def transitions_of_sessions(
    found: Sequence[Bout], sessions: Sequence[str], motifs: Sequence[int]
) -> dict[tuple[int, int], np.ndarray]:
    """Compute the probability of each transition in each session.

    Args:
        found: the bouts.
        sessions: the sessions' names.
        motifs: the motifs.

    Returns:
        [sessions] by (motif, next motif); NaN if the motif does not end in the session.
    """
    counts = np.zeros((len(sessions), len(motifs), len(motifs)))
    place = {motif: i for i, motif in enumerate(motifs)}
    for bout, following in followed(found):
        at = sessions.index(bout.session), place[bout.motif], place[following.motif]
        counts[at] += 1
    total = counts.sum(axis=2, keepdims=True)
    shares = np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)
    pairs = [(a, b) for a in motifs for b in motifs if a != b]
    return {(a, b): shares[:, place[a], place[b]] for a, b in pairs}


def compare_groups(
    rows: Sequence[Row],
    found: Sequence[Bout],
    groups: Mapping[str, str],
    *,
    permutations: int = 9999,
    seed: int = 0,
) -> list[Comparison]:
    """Test whether groups of sessions differ, for each measure and motif, and each transition.

    The test statistic is the variance between the groups' means, compared with that of random
    groups. A session is one observation. With few sessions all partitions are tried.

    Args:
        rows: what `of_sessions` returned.
        found: the bouts.
        groups: the group of each session.
        permutations: number of random partitions, if there are more.
        seed: seed of the partitions.

    Returns:
        The comparisons.
    """
    sessions = list(dict.fromkeys(row.session for row in rows))
    motifs = sorted({row.motif for row in rows})
    of = np.array([groups[session] for session in sessions])
    table = {(row.session, row.motif): row for row in rows}
    values = {
        measure: {
            str(motif): np.array([getattr(table[name, motif], measure) for name in sessions])
            for motif in motifs
        }
        for measure in MEASURES
    }
    moves = transitions_of_sessions(found, sessions, motifs)
    values["transition"] = {f"{a} to {b}": row for (a, b), row in moves.items()}
    comparisons = []
    for measure, by_motif in values.items():
        tested = {name: _test(row, of, permutations, seed) for name, row in by_motif.items()}
        corrected = _corrected(np.array([p for _, p in tested.values()]))
        for (name, (means, p)), q in zip(tested.items(), corrected, strict=True):
            comparisons.append(Comparison(measure, name, means, p, float(q)))
    return comparisons


def _test(values: np.ndarray, of: np.ndarray, permutations: int, seed: int):
    """The mean of each group and the p-value; NaN (a motif that does not occur in a session) is
    left out.
    """
    kept = ~np.isnan(values)
    samples = {str(name): values[kept & (of == name)] for name in np.unique(of)}
    means = {name: float(s.mean()) if len(s) else float("nan") for name, s in samples.items()}
    present = [sample for sample in samples.values() if len(sample)]
    if len(present) < 2 or sum(map(len, present)) < 3 or np.ptp(values[kept]) == 0:
        return means, float("nan")

    def between(*parts, axis=-1):
        grand = np.concatenate(parts, axis=axis).mean(axis=axis)
        return sum(part.shape[axis] * (part.mean(axis=axis) - grand) ** 2 for part in parts)

    tested = permutation_test(
        present,
        between,
        permutation_type="independent",
        alternative="greater",
        n_resamples=permutations,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return means, float(tested.pvalue)


def _corrected(p: np.ndarray) -> np.ndarray:
    found, tested = p.copy(), ~np.isnan(p)
    if tested.any():
        found[tested] = false_discovery_control(p[tested])
    return found


def read_groups(path: str | Path, sessions: Sequence[str]) -> dict[str, str]:
    """Read the group of each session from a CSV with the columns `session` and `group`.

    Args:
        path: the file.
        sessions: the sessions' names.

    Returns:
        The group of each session.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: other columns, an unknown session, a session without a group, or fewer than two
            groups.
    """
    path = Path(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file))
    except FileNotFoundError:
        raise FileNotFoundError(f"--session_groups: no file {path}.") from None
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise ValueError(f"--session_groups: {path} is not a readable CSV ({error}).") from error
    if not lines or not {"session", "group"} <= set(lines[0]):
        raise ValueError(
            f"--session_groups: expected the columns session and group in {path}, got "
            f"{', '.join(map(str, lines[0])) if lines else 'no row'}."
        )
    found = {(line["session"] or "").strip(): (line["group"] or "").strip() for line in lines}
    unknown, without = set(found) - set(sessions), [s for s in sessions if not found.get(s)]
    if unknown or without:
        raise ValueError(
            f"--session_groups: expected a group of each of {', '.join(sessions)} in {path}; "
            f"not a session: {', '.join(sorted(unknown)) or 'none'}; without a group: "
            f"{', '.join(without) or 'none'}."
        )
    if len(set(found.values())) < 2:
        raise ValueError(f"--session_groups: expected at least two groups in {path}, got one.")
    return found
