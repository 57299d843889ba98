"""What a run of `examples/run_vrae.py` leaves to look at."""

from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

from seqvae import plotting
from seqvae.files import write_json
from vrae.data import Series
from vrae.evaluation import latent_usage
from vrae.model import VRAE

_SHOWN = 6


class Report:
    """Pictures and figures of a VRAE on test series, written into `folder`; series as the model
    sees them, standardised."""

    def __init__(self, model: VRAE, test: Series, folder: str | Path, seed: int):
        self._model, self._test, self._folder, self._seed = model, test, Path(folder), seed
        self._steps = test.sequences.shape[1]

    def pictures(self, epoch: int) -> None:
        """Reconstructions, samples, an interpolation, the space of codes; `epoch` goes into their
        names."""
        shown = self._test.take(slice(0, _SHOWN))
        made = self._model.reconstruct(shown.sequences, shown.mask).numpy()
        there = shown.mask[..., None] > 0.5
        rows = {
            "true": np.where(there, shown.sequences, np.nan),
            "reconstructed": np.where(there, made, np.nan),
        }
        self._save(
            f"reconstruction_{epoch:05d}", rows, "Test sequences, and what their codes hold of them"
        )
        samples = self._model.generate(_SHOWN, self._steps, seed=self._seed).numpy()
        self._save(f"samples_{epoch:05d}", {"drawn": samples}, "Sequences from z ~ N(0, 1)")
        ends = [
            self._test.sequences[i][self._test.mask[i] > 0.5]
            for i in (0, min(1, len(self._test.sequences) - 1))
        ]
        between = self._model.interpolate(ends[0], ends[1], _SHOWN, self._steps).numpy()
        self._save(
            f"interpolation_{epoch:05d}",
            {"between": between},
            "From the code of one test sequence to another's",
        )
        self._codes(epoch)

    def _codes(self, epoch: int) -> None:
        codes = self._model.encode(self._test.sequences, self._test.mask).mean().numpy()
        plane = (
            PCA(2).fit_transform(codes)
            if codes.shape[1] > 2
            else np.pad(codes, [(0, 0), (0, 2 - codes.shape[1])])
        )
        labels = {"length": self._test.mask.sum(axis=1)}
        if self._test.labels is not None:
            labels = {"label": self._test.labels} | labels
        figure = plotting.scatter(
            plane, labels, title="Codes of test sequences, two principal components", cmap="viridis"
        )
        plotting.save_figure(self._folder / f"latent_space_{epoch:05d}.png", figure)

    def _save(self, name: str, rows: dict[str, np.ndarray], title: str) -> None:
        plotting.save_figure(self._folder / f"{name}.png", plotting.paths(rows, title=title))

    def training_curves(self, lines: list[dict]) -> None:
        """The log's lines as curves."""
        panels = {
            "evidence lower bound": ("train_elbo", "test_elbo"),
            "log p(x|z)": ("train_log_px", "test_log_px"),
            "KL": ("train_kl", "test_kl"),
        }
        figure = plotting.metric_curves(lines, panels, title="Training, in nats a sequence")
        plotting.save_figure(self._folder / "training_curves.png", figure)

    def final(self, bound: dict[str, float]) -> dict:
        """`evaluation.json`: the bound on the test series, and the use of the code; returns
        them."""
        figures = bound | latent_usage(
            self._model, self._test.sequences, self._test.mask, seed=self._seed
        )
        write_json(self._folder / "evaluation.json", figures)
        return figures

    def summary(self, figures: dict) -> list[str]:
        """The last lines a run prints."""
        return [
            f"test ELBO {figures['elbo']:.2f} nats a sequence (log p(x|z) {figures['log_px']:.2f}, "
            f"KL {figures['kl']:.2f})",
            f"{figures['active_units']:.0f} of {self._model.z_size} numbers of z in use, "
            f"{figures['mutual_information']:.2f} nats of mutual information with the sequences",
            f"look at {self._folder}/: "
            + ", ".join(sorted(path.name for path in self._folder.glob("*.png"))[-5:]),
        ]
