"""How well a Kalman VAE of series fills gaps in real tables, beside trivial baselines.

    python benchmarks/kvae_series.py                                  # three tables, five seeds
    python benchmarks/kvae_series.py --tables=elnino --K=3 --seeds=0,1

The tables come with statsmodels: monthly sea temperatures (El Nino, 15 series of 48 months, gaps of
8), monthly carbon dioxide on Mauna Loa (8 of 60 months, gaps of 6; it has gaps of its own), yearly
sunspots (6 of 50 years, gaps of 4). A gap is hidden in each series. `KVAE.for_series` is trained on
the rest, for 300 epochs of one batch at the rate .02. Each line of JSON: root mean squared errors
at the hidden numbers, and the share of these in the model's 90 % intervals.
"""

import json
import time
from pathlib import Path

import keras
import numpy as np
import statsmodels.api as sm
from absl import app, flags
from timing import machine

from kvae import KVAE
from kvae.series import padded
from seqvae.baselines import interpolated, last_observed

flags.DEFINE_list("tables", ["elnino", "co2", "sunspots"], "tables")
flags.DEFINE_list("seeds", ["0", "1", "2", "3", "4"], "seeds")
flags.DEFINE_integer("K", 1, "number of matrices that are mixed")
flags.DEFINE_integer("epochs", 300, "epochs")
flags.DEFINE_string("out", "", "file of JSON lines that results are added to")

SHAPES = {"elnino": (15, 48, 8), "co2": (8, 60, 6), "sunspots": (6, 50, 4)}
"""Number of series, their steps, and the steps of a gap."""


def table(name: str) -> np.ndarray:
    """Read a table of statsmodels as series.

    Args:
        name: elnino, co2 or sunspots.

    Returns:
        [N, T, 1] float64, NaN where a number is missing.
    """
    if name == "elnino":
        values = sm.datasets.elnino.load_pandas().data.iloc[:, 1:].to_numpy(np.float64).ravel()
    elif name == "co2":
        values = sm.datasets.co2.load_pandas().data["co2"].resample("MS").mean().to_numpy()
    else:
        values = sm.datasets.sunspots.load_pandas().data["SUNACTIVITY"].to_numpy(np.float64)
    count, steps, _ = SHAPES[name]
    return padded([values[i * steps : (i + 1) * steps, None] for i in range(count)])


def hidden_in(series: np.ndarray, gap: int) -> np.ndarray:
    """Choose one gap in each series, not at its ends.

    Args:
        series: [N, T, 1].
        gap: steps of a gap.

    Returns:
        [N, T, 1] bool, True for the known numbers in the gaps.
    """
    rng = np.random.default_rng(0)
    found = np.zeros(series.shape, bool)
    for row in found:
        start = rng.integers(gap, series.shape[1] - 14)
        row[start : start + gap] = True
    return found & ~np.isnan(series)


def run(name: str, seed: int, K: int, epochs: int) -> dict:
    """Train a model on a table with gaps and measure it.

    Args:
        name: name of the table.
        seed: seed of the training.
        K: number of matrices.
        epochs: number of epochs.

    Returns:
        The figures.
    """
    series = table(name)
    hidden = hidden_in(series, SHAPES[name][2])
    given = np.where(hidden, np.nan, series)
    keras.utils.set_random_seed(seed)
    began = time.perf_counter()
    model = KVAE.for_series(given, K=K)
    model.compile(keras.optimizers.Adam(0.02))
    model.fit(given, epochs=epochs, batch_size=len(given), verbose=0)
    seconds = time.perf_counter() - began
    filled = model.impute(given)
    seen, known = ~np.isnan(given[..., 0]), np.nan_to_num(given[..., 0])
    guesses = {
        "smoothed": filled.smoothed,
        "filtered": filled.filtered,
        "linear": interpolated(known, seen)[..., None],
        "last": last_observed(known, seen)[..., None],
        "mean": np.full_like(series, np.nanmean(given)),
    }
    errors = {
        label: round(float(np.sqrt(np.mean((np.asarray(guess)[hidden] - series[hidden]) ** 2))), 3)
        for label, guess in guesses.items()
    }
    deviation = np.sqrt(filled.a_smoothed_cov.numpy()[..., 0]) * model.frame_vae.scale.numpy()
    inside = np.abs(filled.smoothed.numpy() - series) < 1.645 * deviation
    about = {"table": name, "K": K, "seed": seed}
    covered = {"in_90": round(float(inside[hidden].mean()), 3), "seconds": round(seconds)}
    return about | errors | covered | {"machine": machine()}


def main(argv):
    """Run the command line."""
    del argv
    options = flags.FLAGS
    for name in options.tables:
        for seed in map(int, options.seeds):
            line = json.dumps(run(name, seed, options.K, options.epochs))
            keras.backend.clear_session()
            print(line, flush=True)
            if options.out:
                with Path(options.out).open("a", encoding="utf-8") as file:
                    file.write(line + "\n")


if __name__ == "__main__":
    app.run(main)
