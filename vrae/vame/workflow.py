"""From poses to motifs, by VAME's settings: sessions, RNN-VAE, codes, motifs, report."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seqvae.commands import Run
from seqvae.files import write_json
from seqvae.report import write_run_page
from seqvae.training import RunLog
from vrae import vame
from vrae.vame import report
from vrae.vame.cards.clips import videos_of
from vrae.vame.cards.description import describe
from vrae.vame.cards.groups import read_groups
from vrae.vame.cards.report import check_map
from vrae.vame.command_config import VAMESettings
from vrae.vame.config import Config
from vrae.vame.motif_scores import agreement, baselines, of_windows
from vrae.vame.motifs import segment
from vrae.vame.result_files import Results, labelled
from vrae.vame.session_files import LISTS, listed, read
from vrae.vame.sessions import Session

_CONFIG_KEYS = tuple(
    (
        {f.name for f in dataclasses.fields(Config)}
        & {f.name for f in dataclasses.fields(VAMESettings)}
    )
    - {*LISTS, "skeleton"}
)
"""The keys of VAME's config.yaml that are settings of the command."""


def run(run: Run) -> None:
    """Run the command `vame`.

    Args:
        run: the run.
    """
    s: VAMESettings = run.settings
    found = read(s)
    if found.have_gaps:
        s = run.change(missing_values=True)
    sessions = {name: session.values for name, session in found.sessions.items()}
    truth = found.truth
    groups = read_groups(s.session_groups, list(sessions)) if s.session_groups else None
    videos = videos_of(s.videos, found.sessions) if s.videos else {}
    if s.videos and not videos:
        raise ValueError(
            f"--videos: expected videos with names of sessions, {', '.join(found.sessions)}, in "
            f"{s.videos!r}, got none."
        )
    check_map(s.latent_map)
    if not 0.0 <= s.min_observed <= 1.0:
        raise ValueError(f"--min_observed: expected a share of 0 to 1, got {s.min_observed!r}.")
    project = run.folder / "config.yaml"
    if run.placement.chief:
        run.claim()
        run.write_config()
        _make_project(project, found.sessions, s)
        name, session = next(iter(found.sessions.items()))
        report.preprocessing_steps(run.folder / "preprocessing.png", session, name)
    run.placement.wait()
    trained = vame.rnn_vae.train_model(
        str(project), on_epoch=lambda line: _print_epoch(line, s), placement=run.placement
    )
    if not run.placement.chief:
        return
    errors = vame.evaluate(str(project))
    print(
        f"{trained.epochs} epochs, the best model of epoch {trained.best_epoch}: squared error "
        f"{errors['mse']:.4f} of the variance{_of_future(errors)}"
    )
    results = Results(run.folder / "results", _paced())
    codes, observed = results.embedded(str(project), sessions, s.min_observed)
    labels = results.segmented(codes, observed, s)
    truth = truth and {name: of_windows(true, s.time_window) for name, true in truth.items()}
    report.pictures(
        run.folder, codes, labels, truth, name="behaviour" if s.n_communities else "motif"
    )
    lines = RunLog(run.folder / "model", trained.epochs).read()
    report.training_curves(run.folder, lines)
    of_motifs = describe(
        run.folder,
        found.sessions,
        codes,
        results,
        groups,
        s.movies,
        lines,
        videos,
        s.latent_map,
    )
    agreed = _agreement(run.folder, labels, sessions, observed, truth, s) if truth else None
    if agreed:
        _print_agreement(agreed)
    names = (
        "movies/, preprocessing.png, motifs.png, latent_space.png, motif_usage.png, "
        "training_curves.png, model/evaluate/future_reconstruction.png"
    )
    print(f"look at {run.folder}/: {names}")
    title = f"Motifs of {Path(s.dataset).name}: {s.run_name}"
    print(
        write_run_page(
            run, title, lambda: [report.result(run.folder, errors, agreed), *of_motifs()]
        )
    )


def _make_project(project: Path, sessions: Mapping[str, Session], s: VAMESettings) -> None:
    poses = [session.pose for session in sessions.values() if session.pose]
    keys: dict[str, Any] = {key: getattr(s, key) for key in _CONFIG_KEYS}
    keys |= {key: listed(getattr(s, key)) for key in LISTS}
    config = Config(
        project_name=s.run_name,
        project_path=str(project.parent),
        project_random_state=s.seed,
        prediction_decoder=int(s.prediction_steps > 0),
        segmentation_algorithms=(s.segmentation,),
        skeleton=poses[0].skeleton if poses else (),
        **keys,
    )
    vame.write_config(project, config)
    frames = vame.create_training(project, sessions)
    values = [session.values for session in sessions.values()]
    missing = sum(int(np.isnan(v).sum()) for v in values) / sum(v.size for v in values)
    about = f", {missing:.1%} of the values missing" if missing else ""
    print(
        f"{len(sessions)} sessions of {len(values[0])} features, {frames[0]} training and "
        f"{frames[1]} test frames{about} -> {project.parent}"
    )


def _of_future(errors: dict) -> str:
    if "future_mse" not in errors:
        return ""
    return (
        f", of the frames after it {errors['future_mse']:.4f} "
        f"(last frame held: {errors['hold_mse']:.4f})"
    )


def _print_epoch(line: dict, s: VAMESettings) -> None:
    if (line["epoch"] + 1) % s.display_step == 0:
        print(
            f"epoch {line['epoch'] + 1}/{s.max_epochs}  {line['seconds']:.1f} s  "
            f"loss {line['train_loss']:.1f}  test squared error {line['test_mse']:.1f}",
            flush=True,
        )


def _paced(seconds: float = 5.0) -> Callable[[str], None]:
    """A function that prints lines; a line that starts with the same word as the last one is left
    out within `seconds` of it.
    """
    last, word = 0.0, ""

    def tell(line: str) -> None:
        nonlocal last, word
        first = line.split()[0]
        if first != word or time.monotonic() - last >= seconds:
            last, word = time.monotonic(), first
            print(line, flush=True)

    return tell


def _agreement(
    folder: Path, labels: dict, sessions: dict, observed: dict, truth: Mapping, s: VAMESettings
) -> dict[str, dict]:
    """The run's motifs and those of baselines against the truth, by title; also written to
    evaluation.json."""
    _, statistics, config = vame.load_best(str(folder / "config.yaml"))
    print("segmenting the baselines, which need no training", flush=True)
    windows, components = baselines(
        sessions, statistics, config.time_window, config.zdims, seed=s.seed
    )
    n_motifs = s.n_communities or s.n_clusters
    rows = {
        "vame": ("VAME", labels),
        "windows_kmeans": (
            "k-means on the windows",
            segment(windows, n_motifs, seed=s.seed, observed=observed)[1],
        ),
        "pca_kmeans": (
            "k-means on their principal components",
            segment(components, n_motifs, seed=s.seed, observed=observed)[1],
        ),
        "pca": (
            "principal components, segmented as VAME's codes",
            labelled(components, observed, s, _paced()),
        ),
    }
    expected = list(truth.values())
    figures = {
        name: agreement([found[session] for session in truth], expected)
        for name, (_, found) in rows.items()
    }
    write_json(folder / "evaluation.json", figures)
    return {title: figures[name] for name, (title, _) in rows.items()}


def _print_agreement(agreed: dict[str, dict]) -> None:
    bouts = agreed["VAME"]["true_bouts"]
    print(f"motifs against the truth (NMI 1 is perfect; {bouts} true bouts):")
    for title, f in agreed.items():
        print(
            f"  {title:48s} NMI {f['nmi']:.3f}   purity {f['purity']:.3f}   bouts {f['bouts']:5d}, "
            f"F1 {f['bout_f1']:.3f}   transitions off by {f['transition_error']:.3f}"
        )
