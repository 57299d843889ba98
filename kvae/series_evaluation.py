"""Evaluation of a Kalman VAE of series on hidden numbers: gaps and forecasts, beside trivial
baselines.
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from kvae.model import KVAE
from seqvae import baselines

LEVEL = 0.9
"""The level of the intervals."""
_DRAWS = 200
_HIDDEN_LEAST, _REPEATS_MOST = 400, 20  # see `with_gaps`


class Filled(NamedTuple):
    """A model's imputation of series."""

    mean: np.ndarray
    """[N, T, F], the mean in units."""
    low: np.ndarray
    """[N, T, F], the lower end of the interval of `LEVEL`."""
    high: np.ndarray
    """[N, T, F], the upper end of the interval of `LEVEL`."""


def filled(
    model: KVAE, values: np.ndarray, *, seed: int = 0, at_once: int = 2_000_000
) -> tuple[Filled, np.ndarray]:
    """Impute series by the smoother, with intervals.

    Args:
        model: the model.
        values: [N, T, F], NaN where a number is missing.
        seed: seed of the draws.
        at_once: numbers that are drawn at a time.

    Returns:
        The imputation, and the filtered means [N, T, F].
    """
    rows = max(1, at_once // (_DRAWS * values[0].size))
    ends = (0.5 - LEVEL / 2, 0.5 + LEVEL / 2)
    parts = []
    for i in range(0, len(values), rows):
        found = model.impute(
            values[i : i + rows],
            num_samples=_DRAWS,
            quantiles=ends,
            seed=[seed, i],
            check_finite=False,
        )
        parts.append((found.smoothed, *found.quantiles, found.filtered))  # pyright: ignore[reportAttributeAccessIssue]
    smoothed, low, high, filtered = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Filled(smoothed, low, high), filtered


class Errors(NamedTuple):
    """Errors of a method on the hidden numbers."""

    rmse: float
    """Root mean squared error; each number is divided by the deviation of its feature in the
    training series.
    """
    log_likelihood: float
    """Nats per number under a normal distribution around the guess. Its variance is, for smoothing
    and forecast, that of the width of the model's interval; for filtering and the baselines, the
    method's own mean squared error for each feature, which is the best variance in hindsight and
    favours them.
    """
    each: list[float]
    """Root mean squared error of each feature in its unit; NaN if none of its numbers was hidden,
    or the feature is not judged.
    """


class SeriesErrors(NamedTuple):
    """Errors of the model and of the baselines on the hidden numbers."""

    methods: dict[str, Errors]
    """The model's errors by method."""
    baselines: dict[str, Errors]
    """The baselines' errors by name."""
    inside: float
    """Share of the hidden numbers inside the model's intervals of `LEVEL`."""
    worse: list[str]
    """A sentence for each method that is worse than a baseline."""
    count: int
    """Number of hidden numbers."""

    def as_dict(self) -> dict:
        """Convert to plain numbers for JSON; NaN becomes None.

        Returns:
            The errors by name.
        """
        plain = self._asdict()
        for kind in ("methods", "baselines"):
            plain[kind] = {name: _plain(errors) for name, errors in plain[kind].items()}
        return plain


def _plain(errors: Errors) -> dict:
    def number(x):
        return x if np.isfinite(x) else None

    return {
        "rmse": number(errors.rmse),
        "log_likelihood": number(errors.log_likelihood),
        "each": [number(x) for x in errors.each],
    }


def with_gaps(
    values: np.ndarray, length: int, start: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Place a gap in each series.

    The series are repeated with other gaps until 400 numbers are hidden, at most 20
    times.

    Args:
        values: [N, T, F].
        length: steps of a gap.
        start: least number of steps before a gap, and after it if the series is long enough.
        seed: seed of the places.

    Returns:
        The series [M, T, F] that are long enough, the hidden steps [M, T] bool, and which series
        each repetition is of [M].
    """
    lengths = _lengths(values)
    rows = np.flatnonzero(lengths >= length + start)
    size = len(rows) * length * values.shape[-1]
    repeats = int(np.clip(-(-_HIDDEN_LEAST // max(size, 1)), 1, _REPEATS_MOST))
    rows = np.tile(rows, repeats)
    rng = np.random.default_rng(seed)
    hidden = np.zeros((len(rows), values.shape[1]), bool)
    for row, steps in zip(hidden, lengths[rows], strict=True):
        after = start if steps >= length + 2 * start else 0
        begin = int(rng.integers(start, steps - length - after + 1))
        row[begin : begin + length] = True
    return values[rows], hidden, rows


def _lengths(values: np.ndarray) -> np.ndarray:
    """Steps up to the last with an observed number."""
    seen = np.any(np.isfinite(values), axis=-1)
    return values.shape[1] - np.argmax(seen[:, ::-1], axis=1)


def errors_at(
    model: KVAE,
    values: np.ndarray,
    hidden: np.ndarray,
    sources: np.ndarray | None = None,
    *,
    features: np.ndarray | None = None,
    forecast: bool = False,
    seed: int = 0,
) -> SeriesErrors | None:
    """Compute the errors on the known numbers in hidden steps.

    Args:
        model: the model.
        values: [N, T, F], NaN where a number is missing.
        hidden: [N, T] bool.
        sources: [N], which rows are repetitions of the same series; None: none are.
        features: [F] bool, the features that are judged; None: all. A constant one is predicted
            without an error by every method, and would raise all log-likelihoods.
        forecast: whether the steps after the hidden ones are hidden too; linear interpolation is
            then not a baseline.
        seed: seed of the draws.

    Returns:
        The errors; None if no known number is hidden, or none is left for the model.
    """
    unseen = np.maximum.accumulate(hidden, axis=1) if forecast else hidden
    given = np.where(unseen[..., None], np.nan, values)
    usable = np.isfinite(given).any(axis=(1, 2))
    sources = np.arange(len(values)) if sources is None else sources
    values, given, hidden, sources = (x[usable] for x in (values, given, hidden, sources))
    scored = np.isfinite(values) & hidden[..., None]
    scored &= True if features is None else features
    if not scored.any():
        return None
    smoothed, filtered = filled(model, given, seed=seed)
    scale = np.asarray(model.frame_vae.scale)
    width = (smoothed.high - smoothed.low) / (2 * norm.ppf(0.5 + LEVEL / 2))

    def errors(guess, deviation=None) -> Errors:
        return _errors(guess, values, scored, scale, deviation)

    if forecast:
        methods = {"forecast": errors(smoothed.mean, width)}
    else:
        methods = {"smoothing": errors(smoothed.mean, width), "filtering": errors(filtered)}
    trivial = {name: errors(guess) for name, guess in _trivial(model, given, forecast).items()}
    with np.errstate(invalid="ignore"):
        inside = (smoothed.low <= values) & (values <= smoothed.high)
    worse = _worse(methods, trivial)
    return SeriesErrors(
        methods, trivial, float(inside[scored].mean()), worse, _distinct(scored, sources)
    )


def _distinct(scored: np.ndarray, sources: np.ndarray) -> int:
    """How many numbers were hidden, each counted once, however often its series was repeated."""
    return sum(int(scored[sources == row].any(axis=0).sum()) for row in np.unique(sources))


def _errors(guess, values, scored, scale, deviation) -> Errors:
    square = np.where(scored, np.square(np.asarray(guess, np.float64) - values), 0.0)
    counts = scored.sum(axis=(0, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        each = square.sum(axis=(0, 1)) / counts
    total = (square / scale**2).sum() / counts.sum()
    variance = np.broadcast_to(each, values.shape) if deviation is None else np.square(deviation)
    variance = np.maximum(variance[scored], 1e-12 * np.broadcast_to(scale**2, values.shape)[scored])
    log_p = -0.5 * (np.log(2 * np.pi * variance) + square[scored] / variance).mean()
    return Errors(float(np.sqrt(total)), float(log_p), np.sqrt(each).tolist())


def _trivial(model: KVAE, given: np.ndarray, forecast: bool) -> dict[str, np.ndarray]:
    """The guesses of the baselines per feature; the training mean if a series has no number of a
    feature.
    """
    mean = np.broadcast_to(np.asarray(model.frame_vae.shift), given.shape)
    fills = {"last value": baselines.last_observed}
    if not forecast:
        fills["linear interpolation"] = baselines.interpolated
    found = {"mean": mean}
    for name, fill in fills.items():
        guess = mean.copy()
        for k in range(given.shape[-1]):
            seen = np.isfinite(given[..., k])
            some = seen.any(axis=1)
            if some.any():
                guess[some, :, k] = fill(np.nan_to_num(given[some, :, k]), seen[some])
        found[name] = guess
    return found


def _worse(methods: dict[str, Errors], trivial: dict[str, Errors]) -> list[str]:
    found = []
    for method, mine in methods.items():
        # linear interpolation uses later numbers, as only the smoother does
        fair = [n for n in trivial if n != "linear interpolation" or method == "smoothing"]
        worse = [f"{n} ({trivial[n].rmse:.3f})" for n in fair if not mine.rmse <= trivial[n].rmse]
        if worse:
            found.append(f"{method} is WORSE in RMSE ({mine.rmse:.3f}) than {', '.join(worse)}")
    return found
