"""What a run of `examples/run_vame.py` leaves to look at."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

from seqvae import plotting
from vrae.vame.config import Config
from vrae.vame.data import Statistics
from vrae.vame.motifs import match_labels, transitions, usage
from vrae.vame.rnn_model import RNN_VAE


def pictures(
    folder: Path, model: RNN_VAE, statistics: Statistics, settings: Config, sessions: Mapping[str, np.ndarray],
    codes: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray], n_motifs: int, truth: Mapping[str, np.ndarray] | None,
) -> None:  # fmt: skip
    """Reconstructions, the space of codes, motifs over time, their usage and transitions."""
    name = next(iter(sessions))
    steps = settings.time_window
    part = statistics.normalise(sessions[name][:, : 4 * steps])
    seen = np.nan_to_num(part)
    windows = np.stack([seen[:, i * steps : (i + 1) * steps].T for i in range(4)])
    made = np.concatenate(model(windows).prediction.numpy()).T
    plotting.save_figure(folder / "reconstruction.png", plotting.series(
        {f"feature {i}": {"truth": part[i], "reconstructed": made[i]} for i in range(min(6, len(part)))},
        x_label="frame", title=f"{name}: four windows, normalised, and what the model writes",
    ))  # fmt: skip
    joined = np.concatenate(list(codes.values()))
    every = slice(None, None, max(1, len(joined) // 4000))
    plane = PCA(2).fit_transform(joined)[every]
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
        usage(np.concatenate(list(labels.values())), n_motifs), transitions(labels.values(), n_motifs)
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
