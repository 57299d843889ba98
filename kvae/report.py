"""The report of a run: videos, pictures and tables, made from test sequences."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kvae import published
from kvae.evaluation import (
    LEVELS,
    METHODS,
    FrameErrors,
    Imputer,
    evaluate_elbo,
    imputation_curves,
    original_baseline,
    worse_than_baselines,
)
from kvae.model import KVAE
from seqvae import plotting
from seqvae.data import Sequences, block_mask
from seqvae.data.masks import is_observed
from seqvae.files import write_json
from seqvae.physics import BALL_WORLDS
from seqvae.plotting.colours import BLUE_RGB, GREEN_RGB, MISSING_RGB, ORANGE_RGB
from seqvae.report import Section, Table, newest

_SHOWN, _IN_VIDEO = 6, 4  # sequences
_TILE = 96  # least height of a frame in a video, pixels
_DRAWS = 16  # samples of a_t for each frame, for the log-likelihoods
_ORIGINAL_LEAST = 9  # the original's baseline compares frames 9, 12, 15 with earlier ones


class Report:
    """Pictures and errors of a model on test sequences, written into a folder.

    Imputation is shown and judged on the sequences that have an observed frame among the first
    `t_init_mask`.

    Args:
        model: the model.
        test: the test sequences.
        folder: folder of the report.
        t_init_mask: number of observed frames before the block of missing frames that is shown.
        t_steps_mask: number of missing frames in the block; it is cut to the sequence's length.
        n_steps_gen: number of frames of the generated videos.
        seed: seed of every draw.
        training: training sequences for the baselines.
        world: name of the data set. Published curves are drawn beside those of "box"; the errors
            on a world of balls are wrong pixels, the published measure.

    Raises:
        ValueError: no test sequence is observed among its first `t_init_mask` frames, or one of the
            numbers of frames is too small.
    """

    def __init__(
        self,
        model: KVAE,
        test: Sequences,
        folder: str | Path,
        *,
        t_init_mask: int,
        t_steps_mask: int,
        n_steps_gen: int,
        seed: int,
        training: Sequences | None = None,
        world: str = "",
    ):
        for name, value, least in (
            ("t_init_mask", t_init_mask, 1),
            ("t_steps_mask", t_steps_mask, 0),
            ("n_steps_gen", n_steps_gen, 1),
        ):
            if value < least:
                raise ValueError(f"{name}: expected at least {least} frames, got {value}.")
        self._model, self._test, self._folder = model, test, Path(folder)
        self._t_init = min(t_init_mask, test.steps)
        self._length = min(t_steps_mask, test.steps - self._t_init)
        self._begun = _begun(test, self._t_init)
        self._n_steps_gen, self._seed, self._training = n_steps_gen, seed, training
        self._balls, self._beside_published = world in BALL_WORLDS, world == "box"

    def pictures(self, epoch: int, *, gif: bool = False) -> None:
        """Write videos and plots of the first test sequences; their names contain the epoch.

        Args:
            epoch: counts from 0; the names count from 1.
            gif: whether the imputation is also written as `imputation.gif`, for pages that play
                no mp4.
        """
        shown = self._begun.take(slice(0, _SHOWN))
        mask = self._block(shown) * shown.observed
        of_pixels = mask
        if shown.pixel_mask is not None:
            of_pixels = shown.pixel_mask & is_observed(mask).reshape(
                *mask.shape, *[1] * len(shown.image_shape)
            )
        imputed = self._model.impute(shown.frames, of_pixels, shown.controls, check_finite=False)
        first = None if shown.controls is None else shown.controls[:, : self._t_init]
        start = self._model.smooth(
            imputed.a_encoded[:, : self._t_init],
            mask[:, : self._t_init],
            first,
            check_finite=False,
        ).mean
        generated = self._model.generate(
            shown.steps, states=start, controls=shown.controls, check_finite=False
        )
        imputed, generated = _as_arrays(imputed), _as_arrays(generated)
        known = np.nan_to_num(shown.frames) if shown.frames.dtype.kind == "f" else shown.frames
        encoded = self._model.encode(known, shown.pixel_mask).mean().numpy()
        self._imputation(f"{epoch + 1:05d}", shown, mask, encoded, imputed, generated, gif)
        paths = plotting.trajectories(
            encoded,
            imputed.a_smoothed,
            generated.a,
            missing=mask < 0.5,
            title="Codes a. Encoder: of all frames; smoother: of the observed frames",
        )
        plotting.save_figure(self._folder / f"trajectories_{epoch + 1:05d}.png", paths)
        self._generation(f"{epoch + 1:05d}", start)

    def _block(self, sequences: Sequences) -> np.ndarray:
        """Mask of the imputed block; all ones if the sequences end before it."""
        if not self._length:
            return np.ones((len(sequences), sequences.steps), np.float32)
        return block_mask(len(sequences), sequences.steps, start=self._t_init, length=self._length)

    def _imputation(
        self, tag: str, shown: Sequences, mask, encoded, imputed, generated, gif: bool
    ) -> None:
        truth = plotting.as_pixels(shown.frames) if shown.frames.ndim == 5 else shown.frames
        if shown.pixel_mask is not None:
            hidden = ~shown.pixel_mask
            truth = np.where(
                hidden.all(axis=-1, keepdims=True) if truth.ndim == 5 else hidden, 0, truth
            )
        missing = mask < 0.5
        seen = truth.copy()
        seen[missing] = 0
        rows = {
            "true": truth,
            "observed": seen,
            "reconstructed": imputed.reconstructed,
            "filtered": imputed.filtered,
            "smoothed": imputed.smoothed,
            "generated": generated.frames,
        }
        figure = plotting.film_strips(
            {name: sequences[0] for name, sequences in rows.items()},
            missing=missing[0],
            title="The first test sequence",
        )
        plotting.save_figure(self._folder / f"frames_{tag}.png", figure)
        video = self._columns(rows, missing, encoded, imputed, generated)
        for name in [f"imputation_{tag}.mp4", *(["imputation.gif"] if gif else [])]:
            plotting.save_video(self._folder / name, video, fps=6)
        alpha = plotting.alpha_over_time(
            imputed.alpha[:3], missing=missing[:3], title="Weights of the K dynamics"
        )
        plotting.save_figure(self._folder / f"alpha_{tag}.png", alpha)

    def _columns(
        self, rows: dict[str, np.ndarray], missing, encoded, imputed, generated
    ) -> np.ndarray:
        """The video of the imputation: frames, and the codes beside them."""
        first = slice(0, _IN_VIDEO)
        columns = {name: rows[name] for name in ("observed", "smoothed", "generated")}
        legend = [
            (MISSING_RGB, "missing: the model gets no frame"),
            (BLUE_RGB, "truth"),
            (ORANGE_RGB, "smoothed"),
            (GREEN_RGB, f"generated after frame {self._t_init}"),
        ]
        if rows["true"].ndim == 4:
            columns["overlay"] = plotting.overlay(rows["true"], imputed.smoothed)
            legend.append(((255, 255, 255), "overlay: truth and smoothed agree"))
        else:
            columns["true"] = rows["true"]
        zoom = max(1, _TILE // self._test.frames.shape[2])
        codes = {
            "encoded": encoded[first],
            "smoothed": imputed.a_smoothed[first],
            "generated": generated.a[first],
        }
        size = zoom * self._test.frames.shape[2]
        name = "codes a1, a2" if self._model.dim_a > 1 else "code a over time"
        return plotting.labelled_columns(
            {name: sequences[first] for name, sequences in columns.items()},
            legend=legend,
            missing=missing[first],
            zoom=zoom,
            planes={name: plotting.code_planes(codes, size)},
        )

    def _generation(self, tag: str, start) -> None:
        rows = {
            name: self._model.generate(
                self._n_steps_gen,
                states=start,
                stochastic=noisy,
                seed=self._seed,
                check_finite=False,
            ).frames.numpy()
            for name, noisy in (("deterministic", False), ("stochastic", True))
        }
        zoom = max(1, _TILE // self._test.frames.shape[2])
        video = plotting.labelled_rows(rows, zoom=zoom)
        plotting.save_video(self._folder / f"generation_{tag}.mp4", video, fps=6)

    def training_curves(self, lines: list[dict]) -> None:
        """Draw the training curves into training_curves.png.

        Args:
            lines: lines of the run's log, one for each epoch.
        """
        panels = {
            "evidence lower bound": ("train_elbo", "test_elbo"),
            "log p(x|a)": ("train_log_px", "test_log_px"),
            "log q(a|x), LGSSM": ("test_log_qa", "test_lgssm"),
        }
        figure = plotting.metric_curves(lines, panels, title="Training, in nats per observed frame")
        plotting.save_figure(self._folder / "training_curves.png", figure)

    def final(self) -> dict:
        """Compute the errors on the whole test set and write `imputation.json` and its plots.

        Returns:
            `test_elbo`: the bound and its terms. If the block that is shown hides a known frame,
            also `headline`, the errors there with the sentences `worse` on what a baseline does
            better, and `curves`, the errors over the length of the gap.
        """
        figures: dict = {"test_elbo": evaluate_elbo(self._model, self._test, seed=self._seed)}
        path = self._folder / "imputation.json"
        write_json(path, figures)  # saved first: the rest takes longer
        imputer = Imputer(self._model, self._begun, training=self._training, t_init=self._t_init)
        mask = self._block(self._begun)
        if imputer.can_judge(mask):
            errors = imputer.errors(mask, nearest=True, draws=_DRAWS, seed=self._seed)
            figures["headline"] = errors.as_dict() | {"worse": worse_than_baselines(errors)}
            if self._balls and self._begun.steps > _ORIGINAL_LEAST:
                original = original_baseline(self._begun.frames[0])
                figures["headline"]["original_baseline"] = original
            write_json(path, figures)
            plotting.save_figure(
                self._folder / "calibration.png", _calibration_figure(figures["headline"])
            )
            figures["curves"] = imputation_curves(
                imputer, self._begun, t_init=self._t_init, seed=self._seed
            )
            write_json(path, figures)
            plotting.save_figure(
                self._folder / "imputation_curves.png", self._curves_figure(figures["curves"])
            )
        return figures

    def _curves_figure(self, curves: dict):
        """Errors over the gaps: wrong pixels for balls, beside the published ones, or else RMSE."""
        measure = "wrong_pixels" if self._balls else "rmse"
        baselines = ("mean frame",) if self._balls else ("mean frame", "linear interpolation")
        panels = {}
        for kind, label, theirs in (
            ("block", "missing frames in a row", published.BLOCK),
            ("random", "probability that a frame is dropped", published.RANDOM),
        ):
            points = curves[kind]
            panels[label] = {
                "ours": {name: (points["x"], points[name][measure]) for name in METHODS},
                "published": {
                    name: (list(y), list(y.values()))
                    for name, y in theirs.items()
                    if self._beside_published
                },
                "baseline": {name: (points["x"], points[name][measure]) for name in baselines},
            }
        title = f"Imputation of missing frames, {len(self._begun)} test sequences"
        title += " (published: Fraccaro et al. 2017, Figure 3)" if self._beside_published else ""
        of = "wrong pixels" if self._balls else "root mean squared error of a pixel"
        return plotting.published_curves(panels, y_label=f"{of} on the missing frames", title=title)

    def summary(self, figures: dict) -> list[str]:
        """The last lines that a run prints.

        Args:
            figures: the result of `final`.

        Returns:
            The lines.
        """
        lines = [
            f"test ELBO {figures['test_elbo']['elbo']:.2f} nats per frame ({len(self._test)} "
            "unseen test sequences)"
        ]
        if "headline" in figures:
            lines += self._errors(figures["headline"])
        names = (
            "imputation.gif",
            "imputation_curves.png",
            "generation_*.mp4",
            "frames_*.png",
            "training_curves.png",
        )
        found = newest(self._folder, *((name, name) for name in names))
        lines.append(f"look at {self._folder}/: " + ", ".join(path.name for _, path in found))
        return lines

    def _errors(self, headline: dict) -> list[str]:
        """Table of methods and baselines, and the sentences on baselines that do better."""
        wrong = "wrong pixels  " if self._balls else ""
        lines = [
            f"{self._length} missing frames after {self._t_init} seen, errors of a frame:",
            f"{'':28}{wrong}RMSE    log-likelihood  error of each dimension of a / its range",
        ]
        for name, errors in headline["frames"].items():
            e = FrameErrors(**errors)
            of = f"{e.wrong_pixels:.4f}        " if self._balls else ""
            codes = _codes_text(headline["codes"].get(name, ()))
            lines.append(
                f"  {name:26}{of}{e.rmse:.4f}  {e.log_likelihood:<14.2f}  {codes}".rstrip()
            )
        if "original_baseline" in headline:
            name = "the original's baseline"
            lines.append(f"  {name:26}{headline['original_baseline']:.4f}")
        verdicts = self._verdicts(headline)
        return [*lines, *verdicts.diverged, verdicts.intervals, *verdicts.against_baselines]

    def _verdicts(self, headline: dict) -> "_Verdicts":
        diverged = [
            f"{name} DIVERGED in {count} of {len(self._begun)} sequences; their frames are "
            "judged as the mean frame"
            for name, count in headline["diverged"].items()
            if count
        ]
        return _Verdicts(
            diverged,
            f"share in the model's 90 % intervals: {_inside(headline['coverage'])}",
            headline["worse"] or ["the model is better than every baseline"],
        )

    def sections(self, figures: dict) -> list[Section]:
        """Make the sections of `report.html` from the files of the run.

        Args:
            figures: of `final`.

        Returns:
            The sections.
        """
        return [
            self._result(figures),
            Section(
                "Missing frames",
                paragraphs=[
                    f"{self._length} frames are hidden after the first {self._t_init}. Smoothed: "
                    "from all frames that are observed. Generated: from the first "
                    f"{self._t_init} alone. All frames are unseen test frames."
                ],
                movies=newest(
                    self._folder,
                    ("Test sequences, a row each", "imputation_*.mp4"),
                    ("The first sequence, frame by frame", "frames_*.png"),
                    ("Errors over the length and the number of gaps", "imputation_curves.png"),
                    ("How often the model's intervals contain the code", "calibration.png"),
                ),
            ),
            Section(
                "Generated videos",
                paragraphs=[
                    f"{self._n_steps_gen} frames from the states of the first {self._t_init} "
                    "frames of test sequences, without and with the model's noise."
                ],
                movies=newest(self._folder, ("One sequence in each column", "generation_*.mp4")),
            ),
            Section(
                "Codes and dynamics",
                movies=newest(
                    self._folder,
                    ("Codes a of test sequences", "trajectories_*.png"),
                    ("Which dynamics are mixed, over time", "alpha_*.png"),
                ),
            ),
            Section("Training", movies=newest(self._folder, ("Curves", "training_curves.png"))),
        ]

    def _result(self, figures: dict) -> Section:
        bound = (
            f"Test ELBO {figures['test_elbo']['elbo']:.2f} nats per frame, "
            f"{len(self._test)} unseen test sequences."
        )
        if "headline" not in figures:
            return Section(
                "Result", paragraphs=[bound, "No known frame could be hidden and judged."]
            )
        headline = figures["headline"]
        verdicts = self._verdicts(headline)
        wrong = ["wrong pixels"] if self._balls else []
        header = ["method", *wrong, "RMSE", "log-likelihood of a frame", "error of a / its range"]
        rows = []
        for name, errors in headline["frames"].items():
            e = FrameErrors(**errors)
            of = [e.wrong_pixels] if self._balls else []
            codes = _codes_text(headline["codes"].get(name, ())) or None
            rows.append([name, *of, e.rmse, e.log_likelihood, codes])
        return Section(
            "Result",
            judgements=[*verdicts.diverged, *verdicts.against_baselines],
            paragraphs=[
                bound,
                f"Errors on {self._length} missing frames after {self._t_init} seen. Smoothing, "
                "filtering and generation are the model's, the others are baselines. "
                f"{verdicts.intervals[0].upper()}{verdicts.intervals[1:]}.",
            ],
            table=Table(header, rows),
        )


class _Verdicts(NamedTuple):
    """Sentences about the errors.

    Attributes:
        diverged: methods whose states grew without limit.
        intervals: how many codes and pixels are in the intervals.
        against_baselines: the baselines that are better than the model.
    """

    diverged: list[str]
    intervals: str
    against_baselines: list[str]


def _inside(coverage: dict) -> str:
    """Text with the shares of codes and pixels in the intervals of level 0.9, by method."""
    at = coverage["levels"].index(0.9)
    kinds = []
    for kind in ("codes", "pixels"):
        shares = [
            f"{share[at]:.2f} ({name})"
            for name, share in coverage.get(kind, {}).items()
            if share[at] is not None
        ]
        if shares:
            kinds.append(f"of the {kind} {', '.join(shares)}")
    return "; ".join(kinds)


def _codes_text(errors) -> str:
    return "  ".join("constant" if x is None else f"{x:.3f}" for x in errors)


def _calibration_figure(headline: dict):
    """Coverage of the codes' intervals, over their level and over the gap."""
    coverage, over_gap = headline["coverage"], headline["coverage_over_gap"]
    longest = max(map(len, over_gap.values()), default=0)
    panels = {
        "level of the interval": {
            "ours": {
                name if kind == "codes" else f"{name}, {kind}": (LEVELS, _floats(y))
                for kind in ("codes", "pixels")
                for name, y in coverage.get(kind, {}).items()
            },
            "published": {},
            "baseline": {"calibrated": (LEVELS, LEVELS)},
        },
        "frames since an observed one, level 0.9": {
            "ours": {name: (range(1, len(y) + 1), _floats(y)) for name, y in over_gap.items() if y},
            "published": {},
            "baseline": {"calibrated": ((1, max(2, longest)), (0.9, 0.9))},
        },
    }
    return plotting.published_curves(
        panels,
        y_label="share inside",
        title="Intervals for the codes (and normal pixels) of missing frames",
    )


def _floats(values: list) -> list[float]:
    return [np.nan if value is None else value for value in values]


def _begun(test: Sequences, t_init: int) -> Sequences:
    """Sequences with an observed frame among the first `t_init`; generation starts from these."""
    begun = np.flatnonzero(test.observed[:, :t_init].any(axis=1))
    if len(begun) == len(test):
        return test
    if not len(begun):
        raise ValueError(
            f"t_init_mask: no test sequence is observed in its first {t_init} frames. Use a larger "
            "t_init_mask."
        )
    return test.take(begun)


def _as_arrays(result: Any) -> Any:
    """NamedTuple of tensors as the same NamedTuple of NumPy arrays."""
    return type(result)(*(field.numpy() for field in result))
