"""Evaluation of a trained VAME model on test data."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from seqvae import plotting
from seqvae.files import write_json
from vrae.vame.config import ConfigSource
from vrae.vame.data import Windows, training_data
from vrae.vame.epochs import compiled
from vrae.vame.training import load_best


def evaluate(config: ConfigSource, *, snapshot: int | None = None) -> dict[str, float]:
    """Evaluate the best model on the test data: reconstruction of windows and prediction.

    `evaluation.json` and `future_reconstruction.png` are written to
    `<project_path>/model/evaluate`, as in VAME; for a snapshot, with its epoch in the names.

    Args:
        config: path of the config.yaml, or its keys and values.
        snapshot: the epoch of a snapshot to evaluate, see `snapshots`; None: the best model.

    Returns:
        Mean squared errors of observed values over the test windows (see `Windows.stride`), where 1
        is the variance of the training data: mse (the window), and with a future decoder future_mse
        and hold_mse (the error if the window's last frame is repeated).

    Raises:
        FileNotFoundError: there is no trained model, or no data.
        ValueError: they cannot be used.
    """
    model, found, settings = load_best(config, snapshot=snapshot)
    steps = settings.time_window
    future = settings.prediction_steps if settings.prediction_decoder else 0
    windows = Windows(training_data(settings)[1], 2 * steps, found.normalise)
    forward, truth, decoded = compiled(model, _forward), [], []
    for batch in windows.every(windows.stride(steps), settings.batch_size):
        truth.append(batch.transpose(0, 2, 1)[:, : steps + future])
        outputs = forward(tf.constant(np.nan_to_num(truth[-1][:, :steps])))
        decoded.append(
            np.concatenate([outputs.prediction, *([outputs.future] if future else [])], axis=1)
        )
    truth, decoded = np.concatenate(truth), np.concatenate(decoded)
    figures = {"mse": float(np.nanmean((truth - decoded)[:, :steps] ** 2))}
    if future:
        still = truth[:, steps:] - truth[:, steps - 1 : steps]
        figures["future_mse"] = float(np.nanmean((truth - decoded)[:, steps:] ** 2))
        figures["hold_mse"] = float(np.nanmean(still**2))
    folder = Path(settings.project_path) / "model" / "evaluate"
    ending = "" if snapshot is None else f"_epoch_{snapshot}"
    write_json(folder / f"evaluation{ending}.json", figures)
    title = "Windows of the test data, normalised; grey: what follows, predicted"
    shown = slice(None, None, max(1, len(truth) // 5))
    figure = plotting.windows(
        truth[shown], decoded[shown], steps, title=title, names=settings.feature_names
    )
    plotting.save_figure(folder / f"future_reconstruction{ending}.png", figure)
    return figures


def _forward(model):
    return lambda windows: model(windows)
