"""How well motifs agree with known ones, and baselines that need no training."""

from collections.abc import Mapping

import numpy as np
from sklearn.decomposition import PCA
from sklearn.metrics import normalized_mutual_info_score

from vrae.vame.data import Statistics


def agreement(labels: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """nmi: normalised mutual information, 0 to 1. purity: share of windows whose motif's most frequent truth is theirs."""
    if labels.shape != truth.shape:
        raise ValueError(f"labels: expected the truth's shape {truth.shape}, got {labels.shape}.")
    counts = np.zeros((labels.max() + 1, truth.max() + 1))
    np.add.at(counts, (labels, truth), 1.0)
    return {
        "nmi": float(normalized_mutual_info_score(truth, labels)),
        "purity": float(counts.max(axis=1).sum() / len(labels)),
    }


def of_windows(motifs: np.ndarray, time_window: int) -> np.ndarray:
    """The motif in the middle of each window, for motifs [frames]: [frames - time_window + 1]."""
    middle = time_window // 2
    return motifs[middle : middle + len(motifs) - time_window + 1]


def baselines(
    sessions: Mapping[str, np.ndarray], statistics: Statistics, time_window: int, dims: int, *, seed: int = 42
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What can stand in the place of codes and needs no training, [n, size] by session: the normalised windows themselves,
    and their first `dims` principal components. For sessions [features, frames]; missing values are interpolated."""
    windows = {name: _windows(_filled(statistics.normalise(data)), time_window) for name, data in sessions.items()}
    joined = np.concatenate(list(windows.values()))
    pca = PCA(min(dims, *joined.shape), random_state=seed).fit(joined)
    return windows, {name: pca.transform(part) for name, part in windows.items()}


def _filled(data: np.ndarray) -> np.ndarray:
    """[features, frames] with missing values on the line between those before and after them."""
    time, filled = np.arange(data.shape[1]), np.zeros_like(data)
    for row, values in zip(filled, data, strict=True):
        seen = ~np.isnan(values)
        if seen.any():
            row[:] = np.interp(time, time[seen], values[seen])
    return filled


def _windows(data: np.ndarray, steps: int) -> np.ndarray:
    """[n, features * steps]"""
    view = np.lib.stride_tricks.sliding_window_view(data, steps, axis=1)  # [F, n, T]
    return np.ascontiguousarray(view.transpose(1, 0, 2)).reshape(view.shape[1], -1)
