"""The report of a run on series: errors beside baselines, pictures, and the user's tables with
filled gaps and forecasts.
"""

from pathlib import Path

import numpy as np

from kvae.clock import Clock, Months
from kvae.model import KVAE
from kvae.series_evaluation import (
    LEVEL,
    Filled,
    errors_at,
    filled,
    with_gaps,
)
from seqvae import plotting
from seqvae.data.series import Series
from seqvae.data.tables import write_table
from seqvae.files import write_json
from seqvae.report import Section, Table, newest

_SHOWN = 3
_ENDS = ("", "_low", "_high")  # of a feature's columns: its number and the interval's ends
_FEATURES = 6  # of which errors are shown
_CALIBRATED = (0.8, 0.97)
"""Shares of hidden numbers in the intervals of `LEVEL` that is reported as calibrated."""
_FEW = 100  # below this number of hidden numbers the share is not judged


class SeriesReport:
    """Pictures, figures and tables of a model of series.

    The test series are evaluated on hidden gaps, once with the steps after the gap and once without
    them, as a forecast.

    Args:
        model: the model.
        whole: the series of the file, which are filled and continued.
        test: the test series.
        folder: the folder to write to.
        clock: times of the steps; None: steps have no times.
        head: the names of the columns of ids and times in the written tables.
        t_init_mask: the smallest number of steps before a gap.
        t_steps_mask: steps of a gap.
        n_steps_gen: steps of the forecast.
        seed: seed of the gaps and the draws.

    Raises:
        ValueError: an argument is out of range, or no test series is long enough.
    """

    def __init__(
        self,
        model: KVAE,
        whole: Series,
        test: Series,
        folder: str | Path,
        *,
        clock: Clock | Months | None,
        t_init_mask: int,
        t_steps_mask: int,
        n_steps_gen: int,
        seed: int,
        head: tuple[str, str] = ("id", "time"),
    ):
        for name, value in (
            ("t_init_mask", t_init_mask),
            ("t_steps_mask", t_steps_mask),
            ("n_steps_gen", n_steps_gen),
        ):
            if value < 1:
                raise ValueError(f"{name}: expected at least 1 step, got {value}.")
        self._model, self._whole, self._folder = model, whole, Path(folder)
        self._names, self._length = whole.feature_names(), t_steps_mask
        self._head = [head[0], "step", *([head[1]] if clock else [])]
        self._head += [f"{name}{end}" for name in self._names for end in _ENDS]
        _check_names(self._head)
        self._judged = ~constant_features(whole)
        self._clock, self._seed = clock, seed
        self._horizon = n_steps_gen
        self._test, self._gaps, self._sources = with_gaps(
            known_values(test), t_steps_mask, t_init_mask, seed
        )
        if not len(self._test):
            raise ValueError(
                f"--t_steps_mask: no test series has {t_steps_mask} steps to hide after "
                f"{t_init_mask}; the longest has {test.mask.sum(axis=1).max():.0f} steps. Use a "
                "smaller --t_steps_mask or --t_init_mask."
            )

    def pictures(self, epoch: int) -> None:
        """Plot the first test series with a gap: the hidden numbers and the model's imputation.

        Args:
            epoch: the epoch, counted from 0; it becomes part of the file's name.
        """
        values, hidden = self._test[:_SHOWN], self._gaps[:_SHOWN]
        given = np.where(hidden[..., None], np.nan, values)
        found, _ = filled(self._model, given, seed=self._seed)
        figure = plotting.filled_series(
            given,
            np.where(hidden[..., None], values, np.nan),
            found,
            names=self._names,
            title=f"Test series: hidden numbers, smoothed mean and its {LEVEL:.0%} interval",
        )
        plotting.save_figure(self._folder / f"imputation_{epoch + 1:05d}.png", figure)

    def training_curves(self, lines: list[dict]) -> None:
        """Draw the training curves.

        Args:
            lines: the lines of the log.
        """
        panels = {"evidence lower bound": ("train_elbo", "test_elbo")}
        figure = plotting.metric_curves(lines, panels, title="Training, in nats per observed step")
        plotting.save_figure(self._folder / "training_curves.png", figure)

    def final(self, test_elbo: dict) -> dict:
        """Write `imputation.json` (the errors), `imputed.csv` and `forecast.csv`.

        Args:
            test_elbo: the ELBO of the test series and its terms.

        Returns:
            `test_elbo`, `gap` and `forecast` (`SeriesErrors` as plain numbers; None if no known
            number was hidden).
        """
        figures: dict = {"test_elbo": test_elbo}
        write_json(self._folder / "imputation.json", figures)  # saved first: the rest takes longer
        for name in ("gap", "forecast"):
            errors = errors_at(
                self._model,
                self._test,
                self._gaps,
                sources=self._sources,
                forecast=name == "forecast",
                features=self._judged,
                seed=self._seed,
            )
            figures[name] = errors and errors.as_dict() | {"names": list(self._names)}
            write_json(self._folder / "imputation.json", figures)
        self._write_imputed()
        self._write_forecast()
        return figures

    def _write_imputed(self) -> None:
        """A row for each step of the file's series: missing numbers are filled, with their
        intervals.
        """
        rows = []
        for i in range(len(self._whole.mask)):
            values = self._values(i)
            found, _ = filled(self._model, values[None], seed=self._seed)
            for t, row in enumerate(values):
                rows.append([*self._key(i, t), *_cells(row, found, t)])
        write_table(self._folder / "imputed.csv", self._head, rows)

    def _write_forecast(self) -> None:
        """A row for each step after the end of each series: mean and interval of each feature; and
        a picture of the first series.
        """
        rows, ends = [], (0.5 - LEVEL / 2, 0.5 + LEVEL / 2)
        for i in range(len(self._whole.mask)):
            values = self._values(i)
            future = self._model.forecast(
                values[None], self._horizon, num_samples=200, quantiles=ends, seed=self._seed
            )
            mean = future.frames_mean.numpy()[0]
            low, high = future.frames_quantiles.numpy()[:, 0]
            for k in range(self._horizon):
                numbers = (
                    x for f in range(mean.shape[1]) for x in (mean[k, f], low[k, f], high[k, f])
                )
                rows.append([*self._key(i, len(values) + k), *(f"{x:.7g}" for x in numbers)])
            if i == 0:
                self._forecast_picture(values, mean, low, high)
        write_table(self._folder / "forecast.csv", self._head, rows)

    def _forecast_picture(self, values, mean, low, high) -> None:
        before = values[-4 * self._horizon :]
        nothing, unknown = np.full_like(before, np.nan), np.full_like(mean, np.nan)
        found = Filled(*(np.concatenate([nothing, x])[None] for x in (mean, low, high)))
        figure = plotting.filled_series(
            np.concatenate([before, unknown])[None],
            np.concatenate([nothing, unknown])[None],
            found,
            names=self._names,
            title=f"Forecast of the first series: mean and {LEVEL:.0%} interval",
        )
        plotting.save_figure(self._folder / "forecast.png", figure)

    def _values(self, i: int) -> np.ndarray:
        """[T_i, F], NaN where a number is missing."""
        steps = int(self._whole.mask[i].sum())
        return self._whole.sequences[i, :steps]

    def _key(self, i: int, step: int) -> list:
        ids = self._whole.ids
        key = [str(i) if ids is None else str(ids[i]), step]
        return key if self._clock is None else [*key, self._clock.time(i, step)]

    def summary(self, figures: dict) -> list[str]:
        """Describe the result.

        Args:
            figures: what `final` returned.

        Returns:
            The last lines that a run prints.
        """
        lines = [f"test ELBO {figures['test_elbo']['elbo']:.3f} nats per observed step"]
        for name, title in self._titles().items():
            if figures[name] is None:
                lines.append(f"{title}: no known number is hidden there")
            else:
                lines += [f"{title}:", *_table(figures[name], self._names)]
        lines.append(
            f"your table, filled and continued: {self._folder / 'imputed.csv'}, "
            f"{self._folder / 'forecast.csv'}"
        )
        lines.append(
            f"look at {self._folder}/: " + ", ".join(path.name for _, path in self._pictures())
        )
        return lines

    def _titles(self) -> dict[str, str]:
        return {
            "gap": f"gaps of {self._length} steps in test series",
            "forecast": f"the same {self._length} steps, forecast from the steps before them",
        }

    def _pictures(self) -> list[tuple[str, Path]]:
        return newest(
            self._folder,
            ("Gaps in test series", "imputation_*.png"),
            ("What follows the first series", "forecast.png"),
        )

    def sections(self, figures: dict) -> list[Section]:
        """Make the sections of `report.html` from the files of the run.

        Args:
            figures: of `final`.

        Returns:
            The sections.
        """
        sections = []
        for name, title in self._titles().items():
            head = f"{title[0].upper()}{title[1:]}"
            if figures[name] is None:
                sections.append(Section(head, paragraphs=["No known number is hidden there."]))
            else:
                sections.append(_errors_section(head, figures[name], self._names))
        bound = f"Test ELBO {figures['test_elbo']['elbo']:.3f} nats per observed step."
        tables = (
            "imputed.csv has every step of your series, missing numbers filled; forecast.csv has "
            f"{self._horizon} steps after each. Beside each filled or forecast number are the "
            f"ends of its {LEVEL:.0%} interval."
        )
        return [
            *sections,
            Section("Series, filled and continued", paragraphs=[tables], movies=self._pictures()),
            Section(
                "Training",
                paragraphs=[bound],
                movies=newest(self._folder, ("Curves", "training_curves.png")),
            ),
        ]


def _check_names(head: list[str]) -> None:
    """Check that the written tables have no two columns of one name."""
    twice = sorted({name for name in head if head.count(name) > 1})
    if twice:
        raise ValueError(
            f"columns {', '.join(twice)}: these would be twice in imputed.csv, which has columns "
            "for ids, steps and times, and for each feature NAME, NAME_low and NAME_high. Rename "
            "them."
        )


def constant_features(series: Series) -> np.ndarray:
    """Find the features with one value.

    Args:
        series: the series.

    Returns:
        [F] bool.
    """
    values = known_values(series)
    return np.fmax.reduce(values, axis=(0, 1)) == np.fmin.reduce(values, axis=(0, 1))


def known_values(series: Series) -> np.ndarray:
    """Mark missing numbers and padding by NaN.

    Args:
        series: the series.

    Returns:
        [N, T, F].
    """
    return np.where(series.observed(), series.sequences, np.nan)


def _cells(row: np.ndarray, found: Filled, t: int) -> list[str]:
    cells = []
    for k, value in enumerate(row):
        if np.isfinite(value):
            cells += [str(np.float32(value)), "", ""]
        else:
            cells += [f"{each[0, t, k]:.7g}" for each in found]
    return cells


def _table(errors: dict, names: tuple[str, ...]) -> list[str]:
    """The methods and baselines, and what is worse than a baseline."""
    shown = names[:_FEATURES]
    lines = [f"  {'':22}RMSE / deviation  log-likelihood  RMSE of {', '.join(shown)}"]
    for name, e in (errors["methods"] | errors["baselines"]).items():
        each = "  ".join("none" if x is None else f"{x:.4g}" for x in e["each"][: len(shown)])
        lines.append(f"  {name:22}{_number(e['rmse'])}{_number(e['log_likelihood'])}{each}")
    return lines + [f"  {sentence}" for sentence in (_inside(errors), *_sentences(errors))]


def _errors_section(title: str, errors: dict, names: tuple[str, ...]) -> Section:
    """`_table` as a section."""
    shown = names[:_FEATURES]
    header = ["method", "RMSE / deviation", "log-likelihood", *(f"RMSE of {n}" for n in shown)]
    rows = [
        [name, e["rmse"], e["log_likelihood"], *e["each"][: len(shown)]]
        for name, e in (errors["methods"] | errors["baselines"]).items()
    ]
    inside = _inside(errors)
    return Section(
        title,
        judgements=[f"{s[0].upper()}{s[1:]}." for s in _sentences(errors)],
        paragraphs=[
            f"Of the model: {', '.join(errors['methods'])}. The others are baselines. "
            f"{inside[0].upper()}{inside[1:]}."
        ],
        table=Table(header, rows),
    )


def _inside(errors: dict) -> str:
    return (
        f"{errors['inside']:.0%} of the {errors['count']} hidden numbers are in the model's "
        f"{LEVEL:.0%} intervals"
    )


def _sentences(errors: dict) -> list[str]:
    """What is wrong with the intervals, and where the model is worse than a baseline."""
    found = []
    low, high = _CALIBRATED
    if errors["count"] >= _FEW and not low <= errors["inside"] <= high:
        kind = "too narrow" if errors["inside"] < low else "too wide"
        found.append(f"the intervals are {kind.upper()}: do not rely on them")
    return found + (errors["worse"] or ["in RMSE the model is better than every baseline"])


def _number(x: float | None) -> str:
    return f"{'none' if x is None else f'{x:.3f}':<18}"
