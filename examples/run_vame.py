"""VAME from pose series to motifs: trains the RNN-VAE, embeds every session, segments the codes.

    python examples/run_vame.py                                  # simulated poses with known motifs
    python examples/run_vame.py --dataset=FOLDER                 # a folder of .npz with `positions` [features, frames]
    python examples/run_vame.py --dataset=FOLDER --centre=belly --ahead=nose     # of DeepLabCut's .csv files
    python examples/run_vame.py --run_name=mine --resume         # goes on where the run stopped

A run leaves logs/<run>_vame/, a project as VAME has it: config.yaml, data/, model/, results/ (codes, motifs, behaviours,
segmenter), pictures, and evaluation.json where the files hold `motifs`, the truth.
"""

from pathlib import Path

from absl import app, flags

from seqvae import runs

# Data
flags.DEFINE_string(
    "dataset",
    "simulated",
    "simulated, or a folder of sessions: .npz with `positions` [features, frames], or DeepLabCut's .csv",
)
flags.DEFINE_string("centre", None, "keypoint that is moved to 0 (.csv)")
flags.DEFINE_string("ahead", None, "keypoint that is turned straight up (.csv)")
flags.DEFINE_float("confidence", 0.9, "a keypoint of a lower likelihood is missing in that frame (.csv)")
flags.DEFINE_integer("sessions", 4, "sessions (simulated)")
flags.DEFINE_integer("frames", 9000, "frames of a session (simulated)")
flags.DEFINE_float("missing", 0.0, "share of frames at which a keypoint is missing (simulated)")
flags.DEFINE_boolean("missing_values", False, "NaN in positions is missing, not an error")
# The model, under the keys of VAME's config.yaml
flags.DEFINE_integer("time_window", 30, "frames of a window")
flags.DEFINE_integer("zdims", 30, "size of the code")
flags.DEFINE_integer("prediction_steps", 15, "frames after the window that are predicted")
flags.DEFINE_integer("hidden_size_layer_1", 256, "units of the encoder, each direction")
flags.DEFINE_integer("hidden_size_rec", 256, "units of the decoder")
flags.DEFINE_integer("hidden_size_pred", 256, "units of the decoder of the future")
flags.DEFINE_float("dropout_encoder", 0.0, "of the encoder's first layer")
# Training
flags.DEFINE_integer("batch_size", 256, "windows in a batch")
flags.DEFINE_integer("max_epochs", 500, "epochs")
flags.DEFINE_float("learning_rate", 5e-4, "first learning rate")
flags.DEFINE_float("beta", 1.0, "weight of the KL")
flags.DEFINE_integer("kl_start", 2, "epochs without the KL")
flags.DEFINE_integer("annealtime", 4, "epochs in which its weight rises to 1")
flags.DEFINE_integer("kmeans_loss", 30, "singular values in the cluster term")
flags.DEFINE_float("kmeans_lambda", 0.1, "weight of the cluster term")
flags.DEFINE_integer("steps_per_epoch", None, "batches of an epoch; default: one window a frame")
flags.DEFINE_boolean("mixed_precision", False, "bfloat16 in the recurrent layers")
flags.DEFINE_integer("model_convergence", 50, "epochs without a better model that end the training")
# Motifs
flags.DEFINE_integer("n_clusters", 15, "motifs")
flags.DEFINE_enum("segmentation", "kmeans", ["kmeans", "hmm"], "how motifs are found in the codes")
flags.DEFINE_integer("n_communities", None, "behaviours: motifs that follow each other are joined to so many")
runs.define_flags(presets="demo")

_CONFIG = (
    "missing_values", "time_window", "zdims", "prediction_steps", "hidden_size_layer_1", "hidden_size_rec",
    "hidden_size_pred", "dropout_encoder", "batch_size", "max_epochs", "learning_rate", "beta", "kl_start", "annealtime",
    "kmeans_loss", "kmeans_lambda", "steps_per_epoch", "mixed_precision", "model_convergence",
)  # fmt: skip
_OTHER = ("dataset", "centre", "ahead", "confidence", "sessions", "frames", "missing", "n_clusters", "segmentation",
          "n_communities", "seed", "deterministic", "preset", *runs.PLACEMENT, "run_name",
          "log_dir", "display_step")  # fmt: skip


def main(argv: list[str]) -> None:
    runs.main(argv, (*_CONFIG, *_OTHER), "vame", _presets, _run)


def _presets() -> dict:
    from vrae.vame.training import PRESETS

    return PRESETS


def _run(folder: Path, config: dict) -> None:
    from seqvae.files import write_json
    from seqvae.training import RunLog
    from vrae import vame
    from vrae.vame import report
    from vrae.vame.evaluation import of_windows

    distribution = runs.prepare(config)
    sessions, truth = _sessions(config)
    project = folder / "config.yaml"
    if distribution.chief:
        runs.claim(folder, distribution)
        write_json(folder / "config.json", config)
        _make_project(project, sessions, config)
    distribution.wait()
    trained = vame.rnn_vae.train_model(
        str(project), on_epoch=lambda line: _print_epoch(line, config), distribution=distribution
    )
    if not distribution.chief:
        return
    errors = vame.evaluate(str(project))
    print(f"{trained.epochs} epochs, the best model of epoch {trained.best_epoch}: squared error {errors['mse']:.4f} of the "
          f"variance{_of_future(errors)}")  # fmt: skip
    model, statistics, settings = vame.load_best(str(project))
    codes = {name: vame.embed(model, statistics, settings, data) for name, data in sessions.items()}
    segmenter, motifs, behaviours = _segmented(codes, config)
    _save(folder / "results", codes, segmenter, motifs, behaviours)
    truth = truth and {name: of_windows(true, settings.time_window) for name, true in truth.items()}
    report.pictures(folder, codes, behaviours, truth)
    report.training_curves(folder, RunLog(folder / "model", trained.epochs).read())
    if truth:
        _print_agreement(folder, behaviours, sessions, statistics, settings, truth, config)
    names = (
        "motifs.png, latent_space.png, motif_usage.png, training_curves.png, model/evaluate/future_reconstruction.png"
    )
    print(f"look at {folder}/: {names}")


def _make_project(project: Path, sessions: dict, config: dict) -> None:
    from vrae import vame

    settings = vame.Config(
        project_name=config["run_name"], project_path=str(project.parent), project_random_state=config["seed"],
        prediction_decoder=int(config["prediction_steps"] > 0), **{name: config[name] for name in _CONFIG},
    )  # fmt: skip
    vame.write_config(project, settings)
    frames = vame.create_training(project, sessions)
    print(f"{len(sessions)} sessions of {len(next(iter(sessions.values())))} features, {frames[0]} training and "
          f"{frames[1]} test frames -> {project.parent}")  # fmt: skip


def _sessions(config: dict):
    """Positions [features, frames] by session, and the true motif of every frame where the files know it."""
    from vrae.vame import read_sessions
    from vrae.vame.simulation import simulate_poses

    if config["dataset"] == "simulated":
        made = simulate_poses(config["sessions"], config["frames"], missing=config["missing"], seed=config["seed"])
        return {name: s.positions for name, s in made.items()}, {name: s.motifs for name, s in made.items()}
    paths = sorted([*Path(config["dataset"]).glob("*.npz"), *Path(config["dataset"]).glob("*.csv")])
    if not paths:
        raise ValueError(
            f"--dataset: expected `simulated`, or a folder of .npz or .csv files, got {config['dataset']!r}."
        )
    read = {path.stem: (path, None) if path.suffix == ".csv" else _read_npz(path) for path in paths}
    options = dict(centre=config["centre"], ahead=config["ahead"], confidence=config["confidence"])
    sessions = read_sessions({name: positions for name, (positions, _) in read.items()}, **options)
    truth = {name: motifs for name, (_, motifs) in read.items() if motifs is not None}
    return sessions, truth if len(truth) == len(sessions) else None


def _read_npz(path: Path):
    """positions, and motifs or None."""
    import numpy as np

    from seqvae.files import NPZ_ERRORS

    try:
        with np.load(path, allow_pickle=False) as file:
            return file["positions"], file["motifs"] if "motifs" in file.files else None
    except NPZ_ERRORS as error:
        raise ValueError(f"{path}: no readable .npz with `positions` [features, frames] ({error}).") from error


def _segmented(codes: dict, config: dict):
    """The segmenter, and of every window the motif, and the behaviour (the motif itself where none are asked for)."""
    from vrae.vame.motifs import communities, segment

    n_motifs, n_communities, seed = config["n_clusters"], config["n_communities"], config["seed"]
    segmenter, motifs = segment(codes, n_motifs, algorithm=config["segmentation"], seed=seed)
    if not n_communities:
        return segmenter, motifs, motifs
    joined = communities(motifs.values(), n_motifs, n_communities, seed=seed)
    return segmenter, motifs, {name: joined[labels] for name, labels in motifs.items()}


def _save(folder: Path, codes: dict, segmenter, motifs: dict, behaviours: dict) -> None:
    from seqvae.data import save

    segmenter.save(folder / "segmenter.npz")
    for name in codes:
        arrays = {"latent_vectors": codes[name], "motifs": motifs[name], "behaviours": behaviours[name]}
        save(folder / f"{name}.npz", arrays)


def _of_future(errors: dict) -> str:
    if "future_mse" not in errors:
        return ""
    return f", of what follows {errors['future_mse']:.4f} (the last frame held: {errors['hold_mse']:.4f})"


def _print_epoch(line: dict, config: dict) -> None:
    if (line["epoch"] + 1) % config["display_step"] == 0:
        print(f"epoch {line['epoch'] + 1}/{config['max_epochs']}  {line['seconds']:.1f} s  loss {line['train_loss']:.1f}  "
              f"test squared error {line['test_mse']:.1f}", flush=True)  # fmt: skip


def _print_agreement(folder, behaviours, sessions, statistics, settings, truth, config) -> None:
    """The run's motifs and those of baselines against the truth: printed, and in evaluation.json."""
    import numpy as np

    from seqvae.files import write_json
    from vrae.vame.evaluation import agreement, baselines
    from vrae.vame.motifs import segment

    windows, components = baselines(sessions, statistics, settings.time_window, settings.zdims, seed=config["seed"])
    options = dict(n_motifs=config["n_communities"] or config["n_clusters"], seed=config["seed"])
    rows = {
        "vame": ("VAME", behaviours),
        "windows_kmeans": ("k-means on the windows", segment(windows, **options)[1]),
        "pca_kmeans": ("k-means on their principal components", segment(components, **options)[1]),
        "pca": ("principal components, segmented as VAME's codes", _segmented(components, config)[2]),
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


if __name__ == "__main__":
    app.run(main)
