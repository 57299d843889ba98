"""What a run leaves for a person to look at: videos, pictures and tables, made from test
sequences."""

from pathlib import Path
from typing import Any

import numpy as np

from kvae import published
from kvae.evaluation import ImputationErrors, Imputer, evaluate_elbo, imputation_curves
from kvae.model import KVAE
from seqvae import plotting
from seqvae.data import Sequences, block_mask
from seqvae.files import write_json

_SHOWN = 6


class Report:
    """Pictures and figures of a model on test sequences, written into `folder`.

    Args:
        t_init_mask, t_steps_mask: the block of missing frames that is shown; it is cut to the
            sequence's length.
        n_steps_gen: frames of the generated videos.
        beside_paper: the test sequences are the paper's box, so its curves belong into the picture.

    Imputation is shown and judged on the sequences with an observed frame among the first
    t_init_mask.

    Raises:
        ValueError: no sequence has one.
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
        beside_paper: bool,
    ):
        self._model, self._test, self._folder = model, test, Path(folder)
        self._t_init = min(t_init_mask, test.steps)
        self._length = min(t_steps_mask, test.steps - self._t_init)
        self._begun = _begun(test, self._t_init)
        self._n_steps_gen, self._seed, self._beside_paper = n_steps_gen, seed, beside_paper

    def pictures(self, epoch: int) -> None:
        """Videos (mp4 and GIF) and plots of the first test sequences; `epoch` goes into their
        names."""
        shown = self._begun.take(slice(0, _SHOWN))
        mask = self._block(shown)
        mask = mask if shown.mask is None else mask * shown.mask
        imputed = self._model.impute(shown.images, mask, shown.controls)
        first = None if shown.controls is None else shown.controls[:, : self._t_init]
        start = self._model.smooth(
            imputed.a_encoded[:, : self._t_init], mask[:, : self._t_init], first
        ).mean
        generated = self._model.generate(shown.steps, states=start, controls=shown.controls)
        imputed, generated = _as_arrays(imputed), _as_arrays(generated)
        known = np.nan_to_num(shown.images) if shown.images.dtype.kind == "f" else shown.images
        self._imputation(f"{epoch:05d}", shown, mask, imputed, generated)
        paths = plotting.trajectories(
            self._model.encode(known).mean().numpy(),
            imputed.a_smoothed,
            generated.a,
            missing=mask < 0.5,
            title="Codes a. Encoder: of all frames; smoother: of the observed frames",
        )
        plotting.save_figure(self._folder / f"trajectories_{epoch:05d}.png", paths)
        self._generation(f"{epoch:05d}", start)

    def _block(self, sequences: Sequences) -> np.ndarray:
        """The mask of the block that is shown; nothing is missing where the sequences end before
        it."""
        if not self._length:
            return np.ones((len(sequences), sequences.steps), np.float32)
        return block_mask(len(sequences), sequences.steps, start=self._t_init, length=self._length)

    def _imputation(self, tag: str, shown: Sequences, mask, imputed, generated) -> None:
        truth = plotting.as_pixels(shown.images) if shown.images.ndim == 5 else shown.images
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
        if truth.ndim == 4:
            rows["true (blue) and\nsmoothed (orange)"] = plotting.overlay(truth, imputed.smoothed)
        self._video(f"imputation_{tag}", plotting.labelled_rows(rows, missing, zoom=3))
        alpha = plotting.alpha_over_time(
            imputed.alpha[:3], missing=missing[:3], title="Weights of the K dynamics"
        )
        plotting.save_figure(self._folder / f"alpha_{tag}.png", alpha)

    def _generation(self, tag: str, start) -> None:
        rows = {
            name: self._model.generate(
                self._n_steps_gen, states=start, stochastic=noisy, seed=self._seed
            ).frames.numpy()
            for name, noisy in (("deterministic", False), ("stochastic", True))
        }
        self._video(f"generation_{tag}", plotting.labelled_rows(rows, zoom=3))

    def _video(self, name: str, frames: np.ndarray) -> None:
        for ending in ("mp4", "gif"):
            plotting.save_video(self._folder / f"{name}.{ending}", frames, fps=6)

    def training_curves(self, lines: list[dict]) -> None:
        """The log's lines as curves."""
        panels = {
            "evidence lower bound": ("train_elbo", "test_elbo"),
            "log p(x|a)": ("train_log_px", "test_log_px"),
            "log q(a|x), LGSSM": ("test_log_qa", "test_lgssm"),
        }
        figure = plotting.metric_curves(lines, panels, title="Training, in nats per observed frame")
        plotting.save_figure(self._folder / "training_curves.png", figure)

    def final(self) -> dict:
        """The errors over the whole test set: `imputation.json`, its picture beside the paper's
        curves; returns the figures.

        The keys: `test_elbo` (and its terms); where the block that is shown hides a known frame,
        `headline` (the errors there) and `curves`.
        """
        imputer = Imputer(self._model, self._begun, t_init=self._t_init)
        figures = {"test_elbo": evaluate_elbo(self._model, self._test, seed=self._seed)}
        mask = self._block(self._begun)
        if imputer.can_judge(mask):
            curves = imputation_curves(imputer, self._begun, t_init=self._t_init, seed=self._seed)
            figures |= {"headline": imputer.errors(mask)._asdict(), "curves": curves}
            plotting.save_figure(
                self._folder / "imputation_curves.png",
                _curves_figure(curves, len(self._begun), self._beside_paper),
            )
        write_json(self._folder / "imputation.json", figures)
        return figures

    def summary(self, figures: dict) -> list[str]:
        """The last lines a run prints."""
        lines = [
            f"test ELBO {figures['test_elbo']['elbo']:.2f} nats per frame ({len(self._test)} "
            "unseen test sequences)"
        ]
        if "headline" in figures:
            e = ImputationErrors(**figures["headline"])
            known = np.isfinite(e.original_baseline)  # it needs nine sequences
            original = f"   the original's {e.original_baseline:.4f}" if known else ""
            lines += [
                f"wrong pixels on {self._length} missing frames after {self._t_init} seen:",
                f"  smoothing {e.smoothing:.4f}   filtering {e.filtering:.4f}   generation "
                f"{e.generation:.4f}",
                f"  baselines: no ball {e.no_ball:.4f}{original}",
                f"  error of a (RMSE / range): smoothing {e.rmse_smoothing:.3f}   filtering "
                f"{e.rmse_filtering:.3f}   "
                f"generation {e.rmse_generation:.3f}",
            ]
        names = (
            "imputation_*.gif",
            "imputation_curves.png",
            "generation_*.gif",
            "frames_*.png",
            "training_curves.png",
        )
        found = [sorted(self._folder.glob(name)) for name in names]
        lines.append(
            f"look at {self._folder}/: " + ", ".join(paths[-1].name for paths in found if paths)
        )
        return lines


def _begun(test: Sequences, t_init: int) -> Sequences:
    """The sequences that are observed somewhere in the first `t_init` frames, from which generation
    starts."""
    if test.mask is None:
        return test
    begun = np.flatnonzero((test.mask[:, :t_init] > 0.5).any(axis=1))
    if not len(begun):
        raise ValueError(
            f"t_init_mask: no test sequence is observed in its first {t_init} frames. Use a larger "
            "t_init_mask."
        )
    return test.take(begun)


def _curves_figure(curves: dict, count: int, beside_paper: bool):
    panels = {}
    for kind, label, paper in (
        ("block", "missing frames in a row", published.BLOCK),
        ("random", "probability that a frame is dropped", published.RANDOM),
    ):
        x = curves[kind]["x"]
        panels[label] = {
            "ours": {
                name: (x, curves[kind][name]) for name in ("smoothing", "filtering", "generation")
            },
            "published": {
                name: (list(y), list(y.values())) for name, y in paper.items() if beside_paper
            },
            "baseline": {"no ball": (x, curves[kind]["no_ball"])},
        }
    title = f"Imputation of missing frames, {count} test sequences"
    title += " (paper: Fraccaro et al. 2017, Figure 3)" if beside_paper else ""
    return plotting.published_curves(
        panels, y_label="wrong pixels on the missing frames", title=title
    )


def _as_arrays(result: Any) -> Any:
    """A NamedTuple of tensors as one of NumPy arrays."""
    return type(result)(*(field.numpy() for field in result))
