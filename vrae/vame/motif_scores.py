"""Agreement of motifs with known ones, and baselines without training."""

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score

from vrae.vame.data import Statistics
from vrae.vame.motifs import match_labels, transitions
from vrae.vame.segmenters import bouts


def agreement(labels: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> dict[str, float]:
    """Measure how well the labels of sessions agree with the true ones.

    Windows without a motif (-1) are left out.

    Args:
        labels: [n] for each session.
        truth: [n] for each session.

    Returns:
        `nmi`: normalised mutual information, 0 to 1. `purity`: share of windows whose motif's most
        frequent true motif is their own. `ami`: the mutual information adjusted for chance, which
        does not grow with the number of motifs. `unlabelled`: share of windows without a motif.
        `bouts`, `true_bouts`: numbers of bouts. `bout_f1`: see `bout_f1`, after `match_labels`.
        `transition_error`: distance between the transition probabilities and the true ones (total
        variation, 0 to 1), averaged over the true motifs, after `match_labels`.

    Raises:
        ValueError: the shapes differ, or no window has a motif.
    """
    if [part.shape for part in labels] != [part.shape for part in truth]:
        shapes = [part.shape for part in truth], [part.shape for part in labels]
        raise ValueError(f"labels: expected the truth's shapes {shapes[0]}, got {shapes[1]}.")
    joined, expected = np.concatenate(labels), np.concatenate(truth)
    seen = joined >= 0
    if not seen.any():
        raise ValueError(
            "labels: no window has a motif. Use a smaller min_observed, or better data."
        )
    counts = np.zeros((joined.max() + 1, expected.max() + 1))
    np.add.at(counts, (joined[seen], expected[seen]), 1.0)
    ends = np.cumsum([len(part) for part in labels])[:-1]
    matched = np.split(match_labels(joined, expected), ends)
    return {
        "nmi": float(normalized_mutual_info_score(expected[seen], joined[seen])),
        "ami": float(adjusted_mutual_info_score(expected[seen], joined[seen])),
        "purity": float(counts.max(axis=1).sum() / seen.sum()),
        "unlabelled": float(1 - seen.mean()),
        "bouts": sum(label >= 0 for part in labels for label, _ in bouts(part)),
        "true_bouts": sum(len(bouts(part)) for part in truth),
        "bout_f1": bout_f1(matched, truth),
        "transition_error": _transition_error(matched, truth),
    }


def bout_f1(labels: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> float:
    """Compute the F1 score of bouts.

    A bout is correct if it has the motif of a true bout and their intersection is more than half of
    their union; so each true bout has at most one.

    Args:
        labels: motifs [n] of each session.
        truth: true motifs [n] of each session, with the same numbers.

    Returns:
        The score, from 0 to 1.
    """
    right = found = true = 0
    for own, expected in zip(labels, truth, strict=True):
        bouts_found = [bout for bout in bouts(own) if bout[0] >= 0]
        bouts_true = bouts(expected)
        ends = np.array([windows.stop for _, windows in bouts_true])
        found, true = found + len(bouts_found), true + len(bouts_true)
        for motif, windows in bouts_found:
            first, last = np.searchsorted(ends, (windows.start, windows.stop - 1), side="right")
            right += any(
                motif == other and _overlap(windows, place) > 0.5
                for other, place in bouts_true[first : last + 1]
            )
    return 2 * right / max(1, found + true)


def _overlap(a: slice, b: slice) -> float:
    """Intersection over union of two stretches."""
    common = max(0, min(a.stop, b.stop) - max(a.start, b.start))
    return common / (a.stop - a.start + b.stop - b.start - common)


def _transition_error(matched: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> float:
    size = 1 + max(int(part.max()) for part in (*matched, *truth))
    distance = np.abs(transitions(matched, size) - transitions(truth, size)).sum(axis=1) / 2
    return float(distance[np.unique(np.concatenate(truth))].mean())


def of_windows(motifs: np.ndarray, time_window: int) -> np.ndarray:
    """Select the motif in the middle of each window.

    Args:
        motifs: [frames].
        time_window: frames of a window.

    Returns:
        [frames - time_window + 1].
    """
    middle = time_window // 2
    return motifs[middle : middle + len(motifs) - time_window + 1]


def baselines(
    sessions: Mapping[str, np.ndarray],
    statistics: Statistics,
    time_window: int,
    dims: int,
    *,
    seed: int = 42,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Make two representations that replace codes and need no training.

    Missing values are interpolated.

    Args:
        sessions: [features, frames] by name.
        statistics: the statistics for normalisation.
        time_window: frames of a window.
        dims: number of principal components.
        seed: seed of the principal components.

    Returns:
        The normalised windows, and their first `dims` principal components, [n, size] by session.
    """
    windows = {
        name: _windows(_filled(statistics.normalise(data)), time_window)
        for name, data in sessions.items()
    }
    joined = np.concatenate(list(windows.values()))
    pca = PCA(min(dims, *joined.shape), random_state=seed).fit(joined)
    return windows, {name: pca.transform(part) for name, part in windows.items()}


def _filled(data: np.ndarray) -> np.ndarray:
    """[features, frames], missing values interpolated linearly."""
    time, filled = np.arange(data.shape[1]), np.zeros_like(data)
    for row, values in zip(filled, data, strict=True):
        seen = ~np.isnan(values)
        if seen.any():
            row[:] = np.interp(time, time[seen], values[seen])
    return filled


def _windows(data: np.ndarray, steps: int) -> np.ndarray:
    """All windows, [n, features * steps]."""
    view = np.lib.stride_tricks.sliding_window_view(data, steps, axis=1)  # [F, n, T]
    return np.ascontiguousarray(view.transpose(1, 0, 2)).reshape(view.shape[1], -1)
