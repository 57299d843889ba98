"""How well a model writes motion, how well motifs agree with known ones, and baselines that need no training."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.metrics import normalized_mutual_info_score

from seqvae.files import write_json
from seqvae.plotting import save_figure
from vrae.vame.data import Statistics, Windows, training_data
from vrae.vame.report import reconstructions
from vrae.vame.training import load_best


def evaluate(config: str | Path) -> dict[str, float]:
    """How well the best model writes the windows of the test data, and what follows them.

    Leaves `evaluation.json` and `future_reconstruction.png` in `<project_path>/model/evaluate`, where VAME has its pictures.

    Returns:
        Mean squared errors of a value, where 1 is the variance of the training data, over the test windows that follow each
        other, without missing values: mse (the window), and with a future decoder future_mse and hold_mse (what follows the
        window if its last frame stood still).

    Raises:
        FileNotFoundError, ValueError: no trained model, no data, or they cannot be used.
    """
    model, found, settings = load_best(config)
    steps, future = settings.time_window, settings.prediction_steps if settings.prediction_decoder else 0
    windows = Windows([found.normalise(piece) for piece in training_data(settings)[1]], 2 * steps)
    truth, written = [], []
    for batch in windows.every(steps, settings.batch_size):
        truth.append(batch.transpose(0, 2, 1)[:, : steps + future])
        outputs = model(np.nan_to_num(truth[-1][:, :steps]))
        written.append(np.concatenate([outputs.prediction, *([outputs.future] if future else [])], axis=1))
    truth, written = np.concatenate(truth), np.concatenate(written)
    figures = {"mse": float(np.nanmean((truth - written)[:, :steps] ** 2))}
    if future:
        still = truth[:, steps:] - truth[:, steps - 1 : steps]
        figures["future_mse"] = float(np.nanmean((truth - written)[:, steps:] ** 2))
        figures["hold_mse"] = float(np.nanmean(still**2))
    folder = Path(settings.project_path) / "model" / "evaluate"
    write_json(folder / "evaluation.json", figures)
    save_figure(folder / "future_reconstruction.png", reconstructions(truth[::8], written[::8], steps))
    return figures


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
    and their first `dims` principal components. For sessions [features, frames]; missing values are read as the mean."""
    windows = {name: _windows(statistics.normalise(data), time_window) for name, data in sessions.items()}
    joined = np.concatenate(list(windows.values()))
    pca = PCA(min(dims, *joined.shape), random_state=seed).fit(joined)
    return windows, {name: pca.transform(part) for name, part in windows.items()}


def _windows(data: np.ndarray, steps: int) -> np.ndarray:
    """[n, features * steps]"""
    view = np.lib.stride_tricks.sliding_window_view(np.nan_to_num(data), steps, axis=1)  # [F, n, T]
    return np.ascontiguousarray(view.transpose(1, 0, 2)).reshape(view.shape[1], -1)
