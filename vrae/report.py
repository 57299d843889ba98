"""The report of a run of `examples/run_vrae.py`."""

from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

from seqvae import plotting
from seqvae.files import write_json
from seqvae.report import Section, Table, newest
from vrae.baselines import are_classes
from vrae.data import Series
from vrae.evaluation import about_usage, compared, coverage, latent_usage
from vrae.model import VRAE
from vrae.runs import codes_of, ids_of, reconstructions

_SHOWN = 6


class Report:
    """Pictures and figures of a VRAE on test series, in the series' units.

    Args:
        model: the model.
        train: the training series.
        test: the test series.
        folder: the folder to write to.
        seed: seed of the random draws.
    """

    def __init__(self, model: VRAE, train: Series, test: Series, folder: str | Path, seed: int):
        self._model, self._train, self._test = model, train, test
        self._folder, self._seed = Path(folder), seed
        self._steps = test.sequences.shape[1]

    def pictures(self, epoch: int) -> None:
        """Draw reconstructions, samples, an interpolation and the space of codes.

        Args:
            epoch: index of the epoch; the files' names hold `epoch + 1`.
        """
        shown = self._test.take(slice(0, _SHOWN))
        reconstructed = reconstructions(self._model, shown)
        valid = shown.is_step()[..., None]
        rows = {
            "truth": np.where(valid, shown.sequences, np.nan),
            "reconstruction": np.where(valid, reconstructed, np.nan),
        }
        self._save(
            f"reconstruction_{epoch + 1:05d}",
            rows,
            "Test series, and their reconstruction from z",
            tuple(f"series {name}" for name in ids_of(shown)),
        )
        samples = self._model.generate(_SHOWN, self._steps, seed=self._seed).numpy()
        self._save(
            f"samples_{epoch + 1:05d}",
            {"sample": samples},
            "Series generated from z drawn from N(0, 1)",
        )
        self._interpolation(epoch)
        self._codes(epoch)

    def _interpolation(self, epoch: int) -> None:
        codes = codes_of(self._model, self._test.take(slice(0, 2)))
        share = np.linspace(0.0, 1.0, _SHOWN, dtype=np.float32)[:, None]
        between = self._model.decode((1 - share) * codes[0] + share * codes[-1], self._steps)
        self._save(
            f"interpolation_{epoch + 1:05d}",
            {"decoded": between.numpy()},
            "From the code of a test series to that of another",
        )

    def _codes(self, epoch: int) -> None:
        codes = codes_of(self._model, self._test)
        plane = (
            PCA(2, random_state=0).fit_transform(codes)
            if codes.shape[1] > 2 and len(codes) > 1
            else np.pad(codes, [(0, 0), (0, 2)])[:, :2]
        )
        labels = {"length": self._test.mask.sum(axis=1)}
        if self._test.labels is not None:
            classes = are_classes(self._train.labels)
            shown = _texts(self._test.labels) if classes else self._test.labels
            labels = {"label": shown} | labels
        figure = plotting.scatter(
            plane, labels, title="Codes of test series, two principal components", cmap="viridis"
        )
        plotting.save_figure(self._folder / f"latent_space_{epoch + 1:05d}.png", figure)

    def _save(self, name: str, rows: dict, title: str, panels: tuple[str, ...] = ()) -> None:
        figure = plotting.overlaid(
            rows, title=title, names=self._test.feature_names(), panels=panels
        )
        plotting.save_figure(self._folder / f"{name}.png", figure)

    def training_curves(self, lines: list[dict]) -> None:
        """Draw the training curves.

        Args:
            lines: the lines of the log.
        """
        panels = {
            "evidence lower bound": ("train_elbo", "test_elbo"),
            "log p(x|z)": ("train_log_px", "test_log_px"),
            "KL": ("train_kl", "test_kl"),
        }
        figure = plotting.metric_curves(lines, panels, title="Training, in nats a sequence")
        plotting.save_figure(self._folder / "training_curves.png", figure)

    def final(self, bound: dict[str, float]) -> dict:
        """Compute the final figures and write `evaluation.json`.

        Args:
            bound: the bound on the test series and its terms.

        Returns:
            The bound, the use of the code, errors and accuracies beside those of simple methods
            and, for a model of missing numbers, the coverage of imputed numbers.
        """
        times = self._test.times if self._model.get_config()["positions"] else None
        usage = latent_usage(
            self._model, self._test.sequences, self._test.mask, times=times, seed=self._seed
        )
        figures = bound | usage | compared(self._model, self._train, self._test)
        if self._model.missing:
            figures |= {"imputed": coverage(self._model, self._test, seed=self._seed)}
        write_json(self._folder / "evaluation.json", figures)
        return figures

    def summary(self, figures: dict) -> list[str]:
        """Describe the result.

        Args:
            figures: what `final` returned.

        Returns:
            The last lines that a run prints.
        """
        lines = [
            f"test ELBO {figures['elbo']:.2f} nats a sequence (log p(x|z) {figures['log_px']:.2f}, "
            f"KL {figures['kl']:.2f})",
            *about_usage(
                figures,
                self._model.z_size,
                autoregressive=self._model.get_config()["decoder"] == "autoregressive",
            ),
            f"squared error {figures['squared_error']:.4g} (principal components of the same size "
            f"{figures['pca_squared_error']:.4g}, the mean {figures['mean_squared_error']:.4g})",
        ]
        accuracy = figures.get("nearest_neighbour_accuracy")
        if accuracy:
            lines.append(
                f"1-NN accuracy {accuracy['z']:.3f} on z (principal components "
                f"{accuracy['pca']:.3f}, values {accuracy['values']:.3f})"
            )
        lines.append(_verdict(figures))
        pictures = sorted(path.name for path in self._folder.glob("*.png"))[-5:]
        return [*lines, f"look at {self._folder}/: " + ", ".join(pictures)]

    def sections(self, figures: dict) -> list[Section]:
        """Make the sections of `report.html` from the files of the run.

        Args:
            figures: of `final`.

        Returns:
            The sections.
        """
        *said, verdict, _ = self.summary(figures)
        rows = [
            ["VRAE", figures["squared_error"], "z"],
            [f"{self._model.z_size} principal components", figures["pca_squared_error"], "pca"],
            ["the mean", figures["mean_squared_error"], ""],
        ]
        accuracy = figures.get("nearest_neighbour_accuracy") or {}
        header = ["method", "squared error"]
        if accuracy:
            header.append("1-NN accuracy")
            rows.append(["the values themselves", None, "values"])
        rows = [[*row[:2], *([accuracy.get(row[2])] if accuracy else [])] for row in rows]
        sections = [
            Section(
                "Result",
                judgements=[f"{verdict[0].upper()}{verdict[1:]}."],
                paragraphs=[f"{len(self._test.sequences)} unseen test series.", *said],
                table=Table(header, rows),
            ),
            Section(
                "Series",
                movies=newest(
                    self._folder,
                    ("Test series and their reconstructions from z", "reconstruction_*"),
                    ("New series", "samples_*"),
                    ("From one test series to another", "interpolation_*"),
                ),
            ),
            Section("Codes", movies=newest(self._folder, ("Test series", "latent_space_*"))),
            Section("Training", movies=newest(self._folder, ("Curves", "training_curves.png"))),
        ]
        if "imputed" in figures:
            sections.insert(1, _imputed(figures["imputed"]))
        return sections


def _verdict(figures: dict) -> str:
    mine = figures["squared_error"]
    trivial = {
        "principal components": figures["pca_squared_error"],
        "the mean": figures["mean_squared_error"],
    }
    worse = [f"{name} ({theirs:.4g})" for name, theirs in trivial.items() if not mine < theirs]
    if worse:
        return f"the VRAE is WORSE in squared error ({mine:.4g}) than {', '.join(worse)}"
    return "the VRAE is better in squared error than the mean and principal components"


def _imputed(figures: dict) -> Section:
    """The coverage of imputed numbers."""
    inside = [[f"{float(level):.0%}", share] for level, share in figures["coverage"].items()]
    return Section(
        "Imputed numbers",
        paragraphs=[
            "Known numbers are hidden. The table has the share of them in the model's intervals; "
            "mean absolute errors: "
            + ", ".join(
                f"{k.replace('_', ' ')} {v:.3g}" for k, v in figures["absolute_error"].items()
            )
            + "."
        ],
        table=Table(["level of the interval", "share inside"], inside),
    )


def _texts(labels: np.ndarray) -> np.ndarray:
    """Labels as names of classes: 3.0 as "3"."""
    if labels.dtype.kind in "US":
        return labels
    return np.array([f"{label:g}" for label in labels])
