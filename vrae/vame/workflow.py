"""From poses to motifs, by VAME's settings: sessions, RNN-VAE, codes, motifs, report."""

import dataclasses
from pathlib import Path

import numpy as np

from seqvae.commands import Run
from seqvae.data import save
from seqvae.files import NPZ_ERRORS, write_json
from seqvae.training import RunLog
from vrae import vame
from vrae.vame import report
from vrae.vame.command_config import VAMESettings
from vrae.vame.config import Config
from vrae.vame.motif_scores import agreement, baselines, of_windows
from vrae.vame.motifs import communities, segment
from vrae.vame.simulation import simulate_poses

_CONFIG_KEYS = tuple({f.name for f in dataclasses.fields(Config)} & {f.name for f in dataclasses.fields(VAMESettings)})
"""The keys of VAME's config.yaml that are settings of the command."""


def run(run: Run) -> None:
    """The body of the command `vame`."""
    s: VAMESettings = run.settings
    sessions, truth = _sessions(s)
    project = run.folder / "config.yaml"
    if run.placement.chief:
        run.claim()
        run.write_config()
        _make_project(project, sessions, s)
    run.placement.wait()
    trained = vame.rnn_vae.train_model(
        str(project), on_epoch=lambda line: _print_epoch(line, s), placement=run.placement
    )
    if not run.placement.chief:
        return
    errors = vame.evaluate(str(project))
    print(f"{trained.epochs} epochs, the best model of epoch {trained.best_epoch}: squared error {errors['mse']:.4f} of the "
          f"variance{_of_future(errors)}")  # fmt: skip
    model, statistics, config = vame.load_best(str(project))
    codes = {name: vame.embed(model, statistics, config, data) for name, data in sessions.items()}
    segmenter, motifs, behaviours = _segmented(codes, s)
    _save(run.folder / "results", codes, segmenter, motifs, behaviours)
    truth = truth and {name: of_windows(true, config.time_window) for name, true in truth.items()}
    report.pictures(run.folder, codes, behaviours, truth)
    report.training_curves(run.folder, RunLog(run.folder / "model", trained.epochs).read())
    if truth:
        _print_agreement(run.folder, behaviours, sessions, statistics, config, truth, s)
    names = (
        "motifs.png, latent_space.png, motif_usage.png, training_curves.png, model/evaluate/future_reconstruction.png"
    )
    print(f"look at {run.folder}/: {names}")


def _make_project(project: Path, sessions: dict, s: VAMESettings) -> None:
    config = Config(
        project_name=s.run_name, project_path=str(project.parent), project_random_state=s.seed,
        prediction_decoder=int(s.prediction_steps > 0), **{key: getattr(s, key) for key in _CONFIG_KEYS},
    )  # fmt: skip
    vame.write_config(project, config)
    frames = vame.create_training(project, sessions)
    print(f"{len(sessions)} sessions of {len(next(iter(sessions.values())))} features, {frames[0]} training and "
          f"{frames[1]} test frames -> {project.parent}")  # fmt: skip


def _sessions(s: VAMESettings):
    """Positions [features, frames] by session, and the true motif of every frame where the files know it."""
    if s.dataset == "simulated":
        made = simulate_poses(s.sessions, s.frames, missing=s.missing, seed=s.seed)
        return {name: s.positions for name, s in made.items()}, {name: s.motifs for name, s in made.items()}
    paths = sorted([*Path(s.dataset).glob("*.npz"), *Path(s.dataset).glob("*.csv")])
    if not paths:
        raise ValueError(f"--dataset: expected `simulated`, or a folder of .npz or .csv files, got {s.dataset!r}.")
    read = {path.stem: (path, None) if path.suffix == ".csv" else _read_npz(path) for path in paths}
    sessions = vame.read_sessions(
        {name: positions for name, (positions, _) in read.items()},
        centered_reference_keypoint=s.centered_reference_keypoint, pose_confidence=s.pose_confidence,
        orientation_reference_keypoint=s.orientation_reference_keypoint, longest_gap=s.longest_gap,
    )  # fmt: skip
    truth = {name: motifs for name, (_, motifs) in read.items() if motifs is not None}
    return sessions, truth if len(truth) == len(sessions) else None


def _read_npz(path: Path):
    """positions, and motifs or None."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return file["positions"], file["motifs"] if "motifs" in file.files else None
    except NPZ_ERRORS as error:
        raise ValueError(f"{path}: no readable .npz with `positions` [features, frames] ({error}).") from error


def _segmented(codes: dict, s: VAMESettings):
    """The segmenter, and of every window the motif, and the behaviour (the motif itself where none are asked for)."""
    n_motifs, n_communities, seed = s.n_clusters, s.n_communities, s.seed
    segmenter, motifs = segment(codes, n_motifs, algorithm=s.segmentation, seed=seed)
    if not n_communities:
        return segmenter, motifs, motifs
    joined = communities(motifs.values(), n_motifs, n_communities, seed=seed)
    return segmenter, motifs, {name: joined[labels] for name, labels in motifs.items()}


def _save(folder: Path, codes: dict, segmenter, motifs: dict, behaviours: dict) -> None:
    segmenter.save(folder / "segmenter.npz")
    for name in codes:
        arrays = {"latent_vectors": codes[name], "motifs": motifs[name], "behaviours": behaviours[name]}
        save(folder / f"{name}.npz", arrays)


def _of_future(errors: dict) -> str:
    if "future_mse" not in errors:
        return ""
    return f", of what follows {errors['future_mse']:.4f} (the last frame held: {errors['hold_mse']:.4f})"


def _print_epoch(line: dict, s: VAMESettings) -> None:
    if (line["epoch"] + 1) % s.display_step == 0:
        print(f"epoch {line['epoch'] + 1}/{s.max_epochs}  {line['seconds']:.1f} s  loss {line['train_loss']:.1f}  "
              f"test squared error {line['test_mse']:.1f}", flush=True)  # fmt: skip


def _print_agreement(folder, behaviours, sessions, statistics, config, truth, s) -> None:
    """The run's motifs and those of baselines against the truth: printed, and in evaluation.json."""
    windows, components = baselines(sessions, statistics, config.time_window, config.zdims, seed=s.seed)
    options = dict(n_motifs=s.n_communities or s.n_clusters, seed=s.seed)
    rows = {
        "vame": ("VAME", behaviours),
        "windows_kmeans": ("k-means on the windows", segment(windows, **options)[1]),
        "pca_kmeans": ("k-means on their principal components", segment(components, **options)[1]),
        "pca": ("principal components, segmented as VAME's codes", _segmented(components, s)[2]),
    }
    expected = np.concatenate(list(truth.values()))
    figures = {
        name: agreement(np.concatenate([labels[session] for session in truth]), expected)
        for name, (_, labels) in rows.items()
    }
    write_json(folder / "evaluation.json", figures)
    print("motifs against the truth (1 is perfect):")
    for name, (title, _) in rows.items():
        print(f"  {title:50s} NMI {figures[name]['nmi']:.3f}   purity {figures[name]['purity']:.3f}")
