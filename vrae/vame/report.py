"""Pictures and tables of a run of `examples/run_vame.py`."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

from seqvae import plotting
from seqvae.report import Section, Table, newest
from vrae.vame.motifs import match_labels, transitions, usage
from vrae.vame.sessions import Session


def pictures(
    folder: Path,
    codes: Mapping[str, np.ndarray],
    labels: Mapping[str, np.ndarray],
    truth: Mapping[str, np.ndarray] | None,
    *,
    name: str = "motif",
) -> None:
    """Draw the space of codes, and labels over time, their usage and transitions.

    Numbers and colours of labels are those of the files. The true labels get the colours of the
    labels that match them best.

    Args:
        folder: the folder to write to.
        codes: [n, zdims] by session.
        labels: the label of every window by session; -1: none, a gap.
        truth: the true labels, or None.
        name: what a label is.
    """
    rows = {f"{name}s": labels}
    if truth is not None:
        matched = match_labels(
            *(np.concatenate([part[session] for session in codes]) for part in (truth, labels))
        )
        ends = np.cumsum([len(part) for part in codes.values()])[:-1]
        rows["truth"] = dict(zip(codes, np.split(matched, ends), strict=True))
    joined, seen = np.concatenate(list(codes.values())), np.concatenate(list(labels.values())) >= 0
    shown = np.flatnonzero(seen)[:: max(1, seen.sum() // 4000)]
    plane = PCA(2, random_state=0).fit_transform(
        np.pad(joined, [(0, 0), (0, max(0, 2 - joined.shape[1]))])[seen]
    )
    plane = plane[:: max(1, seen.sum() // 4000)]
    colours = {kind: np.concatenate(list(parts.values()))[shown] for kind, parts in rows.items()}
    plotting.save_figure(
        folder / "latent_space.png",
        plotting.scatter(plane, colours, title="Codes of windows, first two principal components"),
    )
    session = next(iter(codes))
    bands = {kind: parts[session][:1500] for kind, parts in rows.items()}
    plotting.save_figure(
        folder / "motifs.png", plotting.ethogram(bands, title=f"{session}: {name} of each window")
    )
    n_labels = 1 + max(int(part.max()) for part in labels.values())
    figure = plotting.usage_and_transitions(
        usage(np.concatenate(list(labels.values())), n_labels),
        transitions(labels.values(), n_labels),
        name=name,
    )
    plotting.save_figure(folder / "motif_usage.png", figure)


def preprocessing_steps(path: str | Path, session: Session, name: str) -> None:
    """Draw the positions of a session after each step of preprocessing.

    Args:
        path: the file.
        session: the session.
        name: its name.
    """
    if session.steps and session.pose:
        title = f"{name}: positions after each step of preprocessing"
        figure = plotting.steps(session.steps, session.pose.keypoints, title=title)
        plotting.save_figure(path, figure)


def training_curves(folder: Path, lines: list[dict]) -> None:
    """Draw the training curves.

    Args:
        folder: the folder to write to.
        lines: the lines of the log.
    """
    panels = {
        "squared error of a batch": ("train_mse", "test_mse"),
        "squared error after the window": ("train_future",),
        "KL, mean over dimensions": ("train_kl",),
    }
    plotting.save_figure(
        folder / "training_curves.png", plotting.metric_curves(lines, panels, title="Training")
    )


def result(folder: Path, errors: Mapping[str, float], agreed: Mapping[str, dict] | None) -> Section:
    """The first section of `report.html`: how good the model and its motifs are.

    Args:
        folder: the run's folder.
        errors: of `evaluate`.
        agreed: by title, the agreement of motifs with the true ones, VAME's first; None where the
            truth is not known.

    Returns:
        The section.
    """
    said = [
        f"The squared error of the test windows is {errors['mse']:.1%} of the variance of the "
        "training data."
    ]
    judgements = []
    if errors["mse"] >= 1.0:
        judgements.append("The model is WORSE than the mean: train longer.")
    if "future_mse" in errors:
        said.append(
            f"Of the frames after the window it is {errors['future_mse']:.1%}; if the last frame "
            f"is held, {errors['hold_mse']:.1%}."
        )
        if not errors["future_mse"] < errors["hold_mse"]:
            judgements.append("The prediction of what follows is WORSE than the last frame held.")
    if not agreed:
        said.append("The true motifs are not known: how good the found ones are is not judged.")
    return Section(
        "Result",
        judgements=judgements + (_verdicts(agreed) if agreed else []),
        paragraphs=said,
        table=_agreement(agreed) if agreed else None,
        movies=newest(
            folder,
            ("Motifs over time", "motifs.png"),
            ("Test windows and what follows", "model/evaluate/future_reconstruction.png"),
            ("Positions after each step of preprocessing", "preprocessing.png"),
        ),
    )


def _verdicts(agreed: Mapping[str, dict]) -> list[str]:
    mine, *others = agreed.items()
    found = [f"{title} ({f['nmi']:.3f})" for title, f in others if f["nmi"] > mine[1]["nmi"]]
    if not found:
        return ["VAME's motifs agree better with the truth than those of every baseline."]
    return [
        f"VAME's motifs agree LESS with the truth (NMI {mine[1]['nmi']:.3f}) than those of "
        f"{', '.join(found)}."
    ]


def _agreement(agreed: Mapping[str, dict]) -> Table:
    names = {
        "nmi": "NMI with the truth",
        "purity": "purity",
        "bouts": "bouts",
        "transition_error": "error of a transition probability",
    }
    rows = [[title, *(f[name] for name in names)] for title, f in agreed.items()]
    return Table(["method", *names.values()], rows)
