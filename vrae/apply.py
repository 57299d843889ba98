"""Application of a trained run to new series: codes, imputed numbers with intervals, scores."""

from pathlib import Path
from typing import Any

import numpy as np

from seqvae.data.tables import write_table
from vrae.config import VRAEApplySettings
from vrae.data import Series
from vrae.runs import (
    Trained,
    ids_of,
    load_run,
    log_likelihoods,
    parts_of,
    reconstructions,
    write_codes,
)
from vrae.train import read_series

_INTERVAL = 0.05, 0.95


def run(folder: str, s: VRAEApplySettings) -> None:
    """Run the command `vrae-apply`.

    Args:
        folder: the run's folder.
        s: the settings.

    Raises:
        ValueError: no file is given, or its series do not fit the run.
    """
    trained = load_run(folder)
    if not (s.csv or s.npz or s.ts):
        raise ValueError("--csv, --npz, --ts: expected one of them, got none.")
    series, notes = read_series(_Settings(s, trained))
    series = in_order(series, trained)
    _check_missing(series, trained)
    print("\n".join(notes), end="\n" if notes else "")
    path = Path(s.out) / {"encode": "codes", "impute": "imputed", "score": "scores"}[s.task]
    path = path.with_suffix(".csv")
    if s.task == "encode":
        write_codes(path, trained.model, {"new": series})
    elif s.task == "impute":
        _write_imputed(path, trained, series, s)
    else:
        _write_scores(path, trained, series, s)
    print(f"{len(series.mask)} series -> {path}")


class _Settings:
    """The settings of vrae-apply, with those of the run where the user gave none. If the run's
    features have names, only these columns are read.
    """

    def __init__(self, s: VRAEApplySettings, trained: Trained):
        self._given, self._run = s, trained
        self.features = trained.names if trained.named else None

    def __getattr__(self, name: str) -> Any:
        given = getattr(self._given, name)
        if name == "window":
            return given or self._run.window
        if name in ("id", "label", "time") and self._given.csv:
            return given or self._run.columns[name]
        return given


def in_order(series: Series, trained: Trained) -> Series:
    """Arrange the features in the run's order.

    Args:
        series: the series.
        trained: the run.

    Returns:
        The series with the run's features.

    Raises:
        ValueError: a feature is missing, or their number differs.
    """
    if series.names is None or not trained.named:
        if series.sequences.shape[2] != len(trained.names):
            raise ValueError(
                f"expected {len(trained.names)} features ({', '.join(trained.names)}), got "
                f"{series.sequences.shape[2]}."
            )
        return series
    lower = [name.lower() for name in series.names]
    lacking = [name for name in trained.names if name.lower() not in lower]
    if lacking:
        raise ValueError(
            f"expected the columns {', '.join(trained.names)} that the run was trained on, "
            f"{', '.join(lacking)} are missing among {', '.join(series.names)}."
        )
    order = [lower.index(name.lower()) for name in trained.names]
    return series._replace(sequences=series.sequences[..., order], names=trained.names)


def _check_missing(series: Series, trained: Trained) -> None:
    holes = series.missing().any(axis=(1, 2))
    if holes.any() and not trained.model.missing:
        raise ValueError(
            f"numbers are missing in {int(holes.sum())} series (the first is "
            f"{ids_of(series)[int(holes.argmax())]}), and the run's model takes none. Train one "
            "with --missing --hidden=0.1."
        )


def _write_imputed(path: Path, trained: Trained, series: Series, s: VRAEApplySettings) -> None:
    """Write a row for each missing number: id, step, feature, mean, and the interval of 90 %."""
    rows, names, first = [], ids_of(series), 0
    for part, batch in parts_of(trained.model, series):
        found = trained.model.impute(
            **batch, num_samples=s.num_samples, quantiles=_INTERVAL, seed=s.seed
        )
        mean, (low, high) = found.mean.numpy(), np.asarray(found.quantiles)
        for i, t, k in np.argwhere(part.missing()):
            numbers = (x[i, t, k] for x in (mean, low, high))
            rows.append([names[first + i], t, trained.names[k], *(f"{x:.6g}" for x in numbers)])
        first += len(part.mask)
    write_table(path, ["id", "step", "feature", "mean", "q05", "q95"], rows)


def _write_scores(path: Path, trained: Trained, series: Series, s: VRAEApplySettings) -> None:
    """A row for each series: id, label, log-likelihood for each observed number, squared error."""
    each = log_likelihoods(trained.model, series, num_samples=s.num_samples, seed=s.seed)
    observed = series.observed()
    counts = observed.sum(axis=(1, 2))
    reconstructed = reconstructions(trained.model, series)
    errors = (
        np.where(observed, np.square(reconstructed - series.sequences), 0.0).sum(axis=(1, 2))
        / counts
    )
    labels = [""] * len(counts) if series.labels is None else series.labels.tolist()
    rows = [
        [key, label, f"{log_px:.6g}", f"{error:.6g}"]
        for key, label, log_px, error in zip(ids_of(series), labels, each, errors, strict=True)
    ]
    write_table(path, ["id", "label", "log_likelihood_per_number", "squared_error"], rows)
