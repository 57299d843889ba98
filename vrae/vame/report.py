"""What a run of `examples/run_vame.py` leaves to look at."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from seqvae import plotting
from seqvae.plotting.colours import LINES
from vrae.vame.motifs import match_labels, transitions, usage


def reconstructions(truth: np.ndarray, written: np.ndarray, steps: int, features: int = 6) -> Figure:
    """Windows and what follows them [n, T, F], and what the model wrote; the first `features`, of at most five windows.

    steps: of the window; the future's begin is marked.
    """
    count, features = min(5, len(truth)), min(features, truth.shape[2])
    figure = Figure(figsize=(2.4 * count, 1.1 * features + 0.7), layout="constrained")
    axes = figure.subplots(features, count, squeeze=False, sharex=True, sharey="row")
    for k, i in np.ndindex(features, count):
        axis = axes[k, i]
        axis.plot(truth[i, :, k], color=LINES[0], lw=1.3, label="truth")
        axis.plot(written[i, :, k], color=LINES[1], ls="--", lw=1.3, label="model")
        if steps < truth.shape[1]:
            axis.axvspan(steps - 0.5, truth.shape[1] - 1, color="0.9", lw=0)
        axis.tick_params(labelsize=7)
    for k in range(features):
        axes[k, 0].set_ylabel(f"feature {k}", fontsize=8)
    axes[0, 0].legend(fontsize=7, frameon=False)
    figure.supxlabel("frame of the window", fontsize=8)
    figure.suptitle("Windows of the test data, normalised; grey: what follows, predicted", fontsize=10)
    return figure


def pictures(
    folder: Path, codes: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray],
    truth: Mapping[str, np.ndarray] | None,
) -> None:  # fmt: skip
    """The space of codes, and behaviours over time, their usage and transitions; labels: of every window by session."""
    name, n_labels = next(iter(codes)), 1 + max(int(part.max()) for part in labels.values())
    joined = np.concatenate(list(codes.values()))
    every = slice(None, None, max(1, len(joined) // 4000))
    plane = PCA(2).fit_transform(np.pad(joined, [(0, 0), (0, max(0, 2 - joined.shape[1]))]))[every]
    colours = {"motifs": np.concatenate(list(labels.values()))[every]}
    if truth is not None:
        colours["truth"] = np.concatenate(list(truth.values()))[every]
    plotting.save_figure(folder / "latent_space.png", plotting.scatter(
        plane, colours, title="Codes of windows, first two principal components"))  # fmt: skip
    shown = slice(0, 1500)
    rows = {"motifs": labels[name][shown]}
    if truth is not None:
        rows = {"motifs": match_labels(labels[name], truth[name])[shown], "truth": truth[name][shown]}
    plotting.save_figure(folder / "motifs.png", plotting.ethogram(rows, title=f"{name}: motif of each window"))
    figure = plotting.usage_and_transitions(
        usage(np.concatenate(list(labels.values())), n_labels), transitions(labels.values(), n_labels)
    )
    plotting.save_figure(folder / "motif_usage.png", figure)


def training_curves(folder: Path, lines: list[dict]) -> None:
    """The log's lines as curves."""
    panels = {
        "squared error of a window": ("train_mse", "test_mse"),
        "of what follows it": ("train_future",),
        "KL, mean over dimensions": ("train_kl",),
    }
    plotting.save_figure(folder / "training_curves.png", plotting.metric_curves(lines, panels, title="Training"))
