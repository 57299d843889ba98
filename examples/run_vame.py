"""VAME from pose series to motifs: trains the RNN-VAE, embeds every session, segments the codes.

    python examples/run_vame.py                                  # simulated poses with known motifs
    python examples/run_vame.py --dataset=FOLDER                 # a folder of .npz with `positions` [features, frames]
    python examples/run_vame.py --run_name=mine --resume         # goes on where the run stopped

A run leaves logs/<run>_vame/, a project as VAME has it: config.yaml, data/, model/, results/ (codes, motifs, segmenter),
pictures, and evaluation.json where the files hold `motifs`, the truth.
"""

from pathlib import Path

from absl import app, flags

from seqvae import runs

# Data
flags.DEFINE_string(
    "dataset", "simulated", "simulated, or a folder of sessions, .npz with `positions` [features, frames]"
)
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
flags.DEFINE_integer("model_convergence", 50, "epochs without a better model that end the training")
# Motifs
flags.DEFINE_integer("n_clusters", 15, "motifs; of simulated poses 5")
runs.define_flags(presets="demo")

_CONFIG = (
    "missing_values", "time_window", "zdims", "prediction_steps", "hidden_size_layer_1", "hidden_size_rec",
    "hidden_size_pred", "dropout_encoder", "batch_size", "max_epochs", "learning_rate", "beta", "kl_start", "annealtime",
    "kmeans_loss", "kmeans_lambda", "steps_per_epoch", "model_convergence",
)  # fmt: skip
_OTHER = ("dataset", "sessions", "frames", "missing", "n_clusters", "seed", "deterministic", "preset", "gpu", "run_name",
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
    from vrae.vame.motifs import segment

    runs.prepare(config)
    sessions, truth = _sessions(config)
    runs.claim(folder)
    write_json(folder / "config.json", config)
    project = folder / "config.yaml"
    settings = vame.Config(
        project_name=config["run_name"], project_path=str(folder), num_features=len(next(iter(sessions.values()))),
        project_random_state=config["seed"], prediction_decoder=int(config["prediction_steps"] > 0),
        **{name: config[name] for name in _CONFIG},
    )  # fmt: skip
    vame.write_config(project, settings)
    frames = vame.create_training(project, sessions)
    print(f"{len(sessions)} sessions of {settings.num_features} features, {frames[0]} training and {frames[1]} test frames "
          f"-> {folder}")  # fmt: skip
    trained = vame.rnn_vae.train_model(str(project), on_epoch=lambda line: _print_epoch(line, config))
    model, statistics, settings = vame.load_best(str(project))
    codes = {name: vame.embed(model, statistics, settings, data) for name, data in sessions.items()}
    n_motifs = config["n_clusters"]
    segmenter, labels = segment(codes, n_motifs, seed=config["seed"])
    _save(folder / "results", codes, labels, segmenter)
    truth = truth and {name: of_windows(motifs, settings.time_window) for name, motifs in truth.items()}
    report.pictures(folder, model, statistics, settings, sessions, codes, labels, n_motifs, truth)
    report.training_curves(folder, RunLog(folder / "model", trained.epochs).read())
    print(
        f"{trained.epochs} epochs, the best model of epoch {trained.best_epoch}: squared error {trained.best_mse:.1f}"
    )
    if truth:
        _print_agreement(folder, sessions, statistics, settings, labels, truth, config)
    names = "motifs.png, latent_space.png, motif_usage.png, reconstruction.png, training_curves.png"
    print(f"look at {folder}/: {names}")


def _sessions(config: dict):
    """Positions [features, frames] by session, and the true motif of every frame where the files know it."""
    import numpy as np

    from seqvae.files import NPZ_ERRORS
    from vrae.vame.simulation import simulate_poses

    if config["dataset"] == "simulated":
        made = simulate_poses(config["sessions"], config["frames"], missing=config["missing"], seed=config["seed"])
        return {name: s.positions for name, s in made.items()}, {name: s.motifs for name, s in made.items()}
    paths = sorted(Path(config["dataset"]).glob("*.npz"))
    if not paths:
        raise ValueError(f"--dataset: expected `simulated`, or a folder of .npz files, got {config['dataset']!r}.")
    sessions, truth = {}, {}
    for path in paths:
        try:
            with np.load(path, allow_pickle=False) as file:
                sessions[path.stem] = file["positions"]
                if "motifs" in file.files:
                    truth[path.stem] = file["motifs"]
        except NPZ_ERRORS as error:
            raise ValueError(f"{path}: no readable .npz with `positions` [features, frames] ({error}).") from error
    return sessions, truth if len(truth) == len(sessions) else None


def _save(folder: Path, codes: dict, labels: dict, segmenter) -> None:
    from seqvae.data import save

    for name in codes:
        save(folder / f"{name}.npz", {"latent_vectors": codes[name], "motifs": labels[name]})
    segmenter.save(folder / "segmenter.npz")


def _print_epoch(line: dict, config: dict) -> None:
    if (line["epoch"] + 1) % config["display_step"] == 0:
        print(f"epoch {line['epoch'] + 1}/{config['max_epochs']}  {line['seconds']:.1f} s  loss {line['train_loss']:.1f}  "
              f"test squared error {line['test_mse']:.1f}", flush=True)  # fmt: skip


def _print_agreement(folder, sessions, statistics, settings, labels, truth, config) -> None:
    """Motifs and baselines against the truth: printed, and in evaluation.json."""
    import numpy as np

    from seqvae.files import write_json
    from vrae.vame.evaluation import agreement, baselines

    found = {"vame": labels} | baselines(
        sessions, statistics, settings.time_window, config["n_clusters"], settings.zdims, seed=config["seed"]
    )
    expected = np.concatenate(list(truth.values()))
    figures = {name: agreement(np.concatenate(list(made.values())), expected) for name, made in found.items()}
    write_json(folder / "evaluation.json", figures)
    print("motifs against the truth (1 is perfect):")
    for name, label in (("vame", "VAME"), ("windows", "k-means on the windows"), ("pca", "k-means on their PCA")):
        print(f"  {label:24s} NMI {figures[name]['nmi']:.3f}   purity {figures[name]['purity']:.3f}")


if __name__ == "__main__":
    app.run(main)
