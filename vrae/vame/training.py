"""`train_model`: VAME's training from a config.yaml, which can be killed and resumed."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from seqvae.data import save
from seqvae.files import write_json
from seqvae.replicas import Placement
from seqvae.training import Checkpoints, EpochLoop, RunLog
from seqvae.training.progress import RunBar
from vrae.vame import original
from vrae.vame.config import AFTER_TRAINING, OF_THE_DATA, Config, ConfigSource, read_config
from vrae.vame.data import (
    Statistics,
    Windows,
    save_array,
    statistics,
    training_data,
    vames_statistics,
)
from vrae.vame.epochs import test, train
from vrae.vame.optimizers import Adam, ReduceLROnPlateau
from vrae.vame.rnn_model import RNN_VAE

# VAME's names of the files of losses: the key of the log's line that each holds.
_LOSS_FILES = {
    "train_losses": "train_loss",
    "test_losses": "test_loss",
    "kmeans_losses": "train_cluster",
    "kl_losses": "train_kl",
    "weight_values": "kl_weight",
    "mse_train_losses": "train_mse",
    "mse_test_losses": "test_mse",
    "fut_losses": "train_future",
}

_OBJECTIVE = (
    "beta",
    "kmeans_loss",
    "kmeans_lambda",
    "mse_reconstruction_reduction",
    "mse_prediction_reduction",
    "noise",
    "missing_values",
)
_FULL_WEIGHT = 0.99  # epochs before the KL's weight reaches it are not eligible as the best model


class Trained(NamedTuple):
    """The result of a training."""

    epochs: int
    """Number of epochs that were run."""
    best_epoch: int
    """The epoch of the best model, counted from 1."""
    best_mse: float
    """Squared error of the best model on the test windows."""
    folder: Path
    """`<project_path>/model`."""


def train_model(
    config: ConfigSource,
    save_logs: bool = False,
    *,
    on_epoch: Callable[[dict], None] = lambda line: None,
    placement: Placement | None = None,
) -> Trained:
    """Train the model on `<project_path>/data/train/train_seq.npy` and test it on `test_seq.npy`.

    A training that was stopped at any moment resumes after its last epoch; one with another
    configuration or other data is refused. Files in `<project_path>/model`, under VAME's names:
    `best_model/<model>_<project>.npz` (weights as `original.load_state_dict` reads them) and
    `.json` (statistics and config), `best_model/snapshots/`, `model_losses/*.npy`; also
    `metrics.jsonl` and `checkpoints/`.

    Differences: VAME runs one epoch less than max_epochs, lowers the learning rate by the last
    batch's loss, saves no model in short trainings, tests on new random windows each epoch, keeps
    the statistics of earlier data, omits the last epoch from the files, and trains from the
    beginning if there is no pretrained model of the given name.

    Args:
        config: path of the config.yaml, or its keys and values, see `Config`.
        save_logs: whether the progress bar is left out, for output to a file.
        on_epoch: called with the log's line after every epoch.
        placement: the replicas that share each step. With several workers, only the chief tests,
            writes, and calls `on_epoch`.

    Returns:
        The result of the training.

    Raises:
        ValueError: a key or the data cannot be used; the message says which and why.
        FileNotFoundError: there is no training data, or no model `pretrained_model`.
        FloatingPointError: the loss is not finite.
        WorkerLost: another worker no longer responds.
    """
    settings = read_config(config)
    pieces, test_pieces = training_data(settings)
    training = _Training(
        settings, pieces, test_pieces, placement or Placement(), save_logs, on_epoch
    )
    training.resume()
    training.run()
    return training.result()


def build_model(settings: Config) -> RNN_VAE:
    """Make the model of a config.

    Args:
        settings: the config.

    Returns:
        The model.
    """
    return RNN_VAE(
        2 * settings.time_window,
        settings.zdims,
        settings.num_features,
        bool(settings.prediction_decoder),
        settings.prediction_steps,
        settings.hidden_size_layer_1,
        settings.hidden_size_layer_2,
        settings.hidden_size_rec,
        settings.hidden_size_pred,
        settings.dropout_encoder,
        settings.dropout_rec,
        settings.dropout_pred,
        settings.softplus,
        batch_mixing=settings.batch_mixing,
        dtype="mixed_bfloat16" if settings.mixed_precision else None,
        **{name: getattr(settings, name) for name in _OBJECTIVE},
    )


class _Training(EpochLoop):
    """VAME's training. It ends early if the model has not improved for `model_convergence` epochs.

    Besides the epoch, `position` contains the best model's error and epoch, the epochs since then,
    and the state of the scheduler.
    """

    def __init__(
        self,
        settings: Config,
        pieces,
        test_pieces,
        placement: Placement,
        quiet: bool,
        on_epoch: Callable[[dict], None],
    ):
        if settings.batch_mixing and placement.replicas > 1:
            raise ValueError(
                "batch_mixing: mixes samples of the whole batch; expected false with more than one "
                "replica."
            )
        pretrained = pretrained_file(settings) if settings.pretrained_weights else None
        if pretrained:  # as in VAME, the KL has its full weight from the first epoch
            settings = replace(settings, kl_start=0, annealtime=1)
        self._settings, self._on_epoch = settings, on_epoch
        self._folder = Path(settings.project_path) / "model"
        self._statistics = statistics(pieces, len(settings.extra_features))
        steps = 2 * settings.time_window
        self._train, self._test = (
            Windows(part, steps, self._statistics.normalise) for part in (pieces, test_pieces)
        )
        for name, windows in (("train_seq.npy", self._train), ("test_seq.npy", self._test)):
            if not len(windows):
                raise ValueError(
                    f"{name}: no piece of {steps} frames, twice time_window, in it. Use a smaller "
                    "time_window."
                )
        self._batches = settings.steps_per_epoch or max(
            1, sum(p.shape[1] for p in pieces) // settings.batch_size
        )
        keras.utils.set_random_seed(settings.project_random_state)
        with placement.scope():
            model, optimizer = build_model(settings), Adam(settings.learning_rate)
            optimizer.build(model.trainable_variables)
        if pretrained:
            original.load_state_dict(model, pretrained)
        factor, patience = (
            (settings.scheduler_gamma, settings.scheduler_step_size)
            if settings.scheduler
            else (1.0, 1)
        )
        self._scheduler = ReduceLROnPlateau(optimizer, factor, patience)
        self._stride = self._test.stride(settings.time_window)
        data = [round(value, 9) for value in np.hstack(self._statistics).tolist()]
        data += [len(self._train), len(self._test)]
        if self._stride < settings.time_window:
            data.append(self._stride)  # errors of other test windows cannot be compared
        super().__init__(
            model,
            checkpoints=Checkpoints(
                self._folder / "checkpoints", _signature(settings) | {"data": data}
            ),
            log_folder=self._folder,
            epochs=settings.max_epochs,
            placement=placement,
            quiet=quiet,
        )
        self.optimizer = optimizer
        self.position |= {
            "best": math.inf,
            "best_epoch": 0,
            "since_best": 0,
            "plateau": self._scheduler.state,
        }

    def result(self) -> Trained:
        """The result so far."""
        found = self.position
        return Trained(found["epoch"], found["best_epoch"], found["best"], self._folder)

    def resumed(self) -> None:
        """Restore the scheduler."""
        self._scheduler.state = self.position["plateau"]

    def finished(self) -> bool:
        """Whether all epochs are done, or the model no longer improves."""
        return super().finished() or self.position["since_best"] > self._settings.model_convergence

    def run_epoch(self, bar: RunBar) -> dict:
        """Train and test for an epoch."""
        began, epoch = time.perf_counter(), self.position["epoch"] + 1
        cure = f"The last epoch is in {self._folder / 'checkpoints'}: start all workers again."
        with self.placement.answering(cure):
            line = self._epoch(epoch)
        self._compare(line)
        self.position |= {"epoch": epoch, "plateau": self._scheduler.state}
        bar.show(epoch - 1, 1, {name: line[name] for name in ("train_loss", "test_mse")})
        return line | {"seconds": round(time.perf_counter() - began, 3)}

    def _epoch(self, epoch: int) -> dict:
        """Train and test for an epoch; the log's line."""
        s = self._settings
        seed, part = (
            (s.project_random_state, epoch),
            (self.placement.worker, self.placement.workers),
        )
        options: dict[str, Any] = dict(
            seq_len=s.time_window,
            mse_red=s.mse_reconstruction_reduction,
            kloss=min(s.kmeans_loss, s.zdims),
        )
        weight, loss, cluster, kl, mse, future, _ = train(
            self._train.drawn(s.batch_size, self._batches, seed, part),
            epoch,
            self.model,
            self.optimizer,
            s.anneal_function,
            s.beta,
            s.kl_start,
            s.annealtime,
            future_decoder=bool(s.prediction_decoder),
            future_steps=s.prediction_steps,
            scheduler=self._scheduler,
            mse_pred=s.mse_prediction_reduction,
            klmbda=s.kmeans_lambda,
            bsize=s.batch_size,
            noise=s.noise,
            seed=s.project_random_state,
            placement=self.placement,
            **options,
        )
        tested = (0.0, 0.0, 0.0)
        if self.placement.chief:
            tested = test(
                self._test.every(self._stride, s.batch_size),
                self.model,
                s.beta,
                weight,
                klmbda=s.kmeans_lambda,
                future_decoder=bool(s.prediction_decoder),
                bsize=s.batch_size,
                **options,
            )
        # the figures decide when the training ends: all workers use the chief's
        test_mse, test_loss, test_cluster = self.placement.of_chief(
            [float(value) for value in tested]
        )
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"epoch {epoch}: the loss is not finite. Use a smaller learning_rate."
            )
        return {
            "epoch": epoch - 1,
            "learning_rate": float(self.optimizer.learning_rate.numpy()),
            "kl_weight": weight,
            "train_loss": loss,
            "train_mse": mse,
            "train_future": future,
            "train_kl": kl,
            "train_cluster": cluster,
            "test_loss": test_loss,
            "test_mse": test_mse,
            "test_cluster": test_cluster,
        }

    def _compare(self, line: dict) -> None:
        """Record the model's error and epoch if it is the best so far."""
        epoch, full = line["epoch"] + 1, line["kl_weight"] > _FULL_WEIGHT
        found = self.position
        # A short training never reaches the full weight: then the last model is the best.
        if (full and line["test_mse"] <= found["best"]) or (
            epoch == self._settings.max_epochs and not found["best_epoch"]
        ):
            found |= {"best": line["test_mse"], "best_epoch": epoch, "since_best": 0}
        else:
            found["since_best"] += int(full)

    def before_checkpoint(self, log: RunLog) -> None:
        """Write the best model, a snapshot, and VAME's files of losses."""
        s, epoch = self._settings, self.position["epoch"]
        name, best = f"{s.model_name}_{s.project_name}", self._folder / "best_model"
        if self.position["best_epoch"] == epoch:
            self._save_model(best / name)
        if epoch % s.model_snapshot == 0:
            self._save_model(best / "snapshots" / f"{name}_epoch_{epoch}")
        lines = log.read()
        for file, key in _LOSS_FILES.items():
            save_array(
                self._folder / "model_losses" / f"{file}_{s.model_name}.npy",
                np.array([x[key] for x in lines], float),
            )

    def after_checkpoint(self, log: RunLog) -> None:
        """Call `on_epoch`."""
        self._on_epoch(log.read()[-1])

    def _save_model(self, path: Path) -> None:
        save_state(path.with_name(path.name + ".npz"), self.model)
        about = {"statistics": self._statistics._asdict(), "config": asdict(self._settings)}
        write_json(path.with_name(path.name + ".json"), about)


def model_file(settings: Config, snapshot: int | None = None) -> Path:
    """Find the file of a project's best model, or of a snapshot.

    It is ours, or VAME's if only that exists.

    Args:
        settings: the config.
        snapshot: the epoch of a snapshot; None: the best model.

    Returns:
        The path, which may not exist.
    """
    name, folder = f"{settings.model_name}_{settings.project_name}", _best_folder(settings)
    if snapshot is not None:
        folder, name = folder / "snapshots", f"{name}_epoch_{snapshot}"
    ours, vames = (folder / f"{name}{ending}" for ending in _ENDINGS)
    return vames if vames.exists() and not ours.exists() else ours


def snapshots(config: ConfigSource) -> list[int]:
    """List the epochs of a project's snapshots.

    Args:
        config: path of the config.yaml, or its keys and values.

    Returns:
        The epochs, in order.
    """
    settings = read_config(config)
    beginning = f"{settings.model_name}_{settings.project_name}_epoch_"
    found = {
        path.stem.removeprefix(beginning)
        for ending in _ENDINGS
        for path in (_best_folder(settings) / "snapshots").glob(f"*{ending}")
    }
    return sorted(int(epoch) for epoch in found if epoch.isdecimal())


def pretrained_file(settings: Config) -> Path:
    """Find the file of `pretrained_model`: a model or snapshot of the project, or a path.

    Args:
        settings: the config.

    Returns:
        The path.

    Raises:
        FileNotFoundError: there is no such file.
    """
    name, best = settings.pretrained_model or "None", _best_folder(settings)
    places = [
        folder / f"{stem}{ending}"
        for folder in (best, best / "snapshots")
        for stem in (f"{name}_{settings.project_name}", name)
        for ending in _ENDINGS
    ]
    for path in (*places, Path(name), Path(settings.project_path) / name):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"pretrained_model: expected a model in {best}, a snapshot, or the path of a file, got "
        f"{settings.pretrained_model!r}. Correct it, or set pretrained_weights: false."
    )


_ENDINGS = (".npz", ".pkl")  # ours, VAME's


def _best_folder(settings: Config) -> Path:
    return Path(settings.project_path) / "model" / "best_model"


def load_best(
    config: ConfigSource, *, snapshot: int | None = None
) -> tuple[RNN_VAE, Statistics, Config]:
    """Load the best model of a training, its statistics and its config.

    A project that VAME trained is supported too: weights from its `.pkl`, statistics from its data,
    and the arithmetic of its decoders (`batch_mixing`).

    Args:
        config: path of the config.yaml, or its keys and values.
        snapshot: the epoch of a snapshot to load; None: the best model.

    Returns:
        The model, the statistics of the training data, and the config.

    Raises:
        FileNotFoundError: there is no trained model.
        ValueError: its files are damaged.
    """
    settings = read_config(config)
    path = model_file(settings, snapshot)
    if not path.exists():
        if snapshot is not None:
            raise FileNotFoundError(
                f"snapshot: expected one of {', '.join(map(str, snapshots(config))) or 'none'}, "
                f"got {snapshot!r}: no file {path}."
            )
        raise FileNotFoundError(
            f"{path}: no trained model there. Train one with vrae.vame.rnn_vae.train_model."
        )
    if path.suffix == ".pkl":
        found, settings = vames_statistics(settings), replace(settings, batch_mixing=True)
    else:
        found, settings = _about(path.with_suffix(".json"), settings)
    model = build_model(settings)
    original.load_state_dict(model, path)
    return model, found, settings


def _about(path: Path, settings: Config) -> tuple[Statistics, Config]:
    """The statistics and the config of a trained model; keys that do not affect the model, such as
    the number of motifs, are the project's.
    """
    kept = {name: getattr(settings, name) for name in AFTER_TRAINING}
    # a project may have been moved after its training
    kept["project_path"] = settings.project_path
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        mean, std, *extras = Statistics(**about["statistics"])
        return Statistics(mean, std, *map(tuple, extras)), Config(**about["config"] | kept)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: damaged ({error}). Train the model again.") from error


def save_state(path: Path, model: RNN_VAE) -> None:
    """Write the weights under VAME's names, atomically.

    Args:
        path: the file.
        model: the model.
    """
    save(path, original.to_state_dict(model))


def _signature(settings: Config) -> dict:
    """The values that a checkpoint must agree with: all but paths and the length of the
    training.
    """
    free = {"project_path", "max_epochs", "model_snapshot", "model_convergence", "feature_names"}
    free |= {*OF_THE_DATA, *AFTER_TRAINING}
    if not settings.pretrained_weights:
        free |= {"pretrained_weights", "pretrained_model"}
    return {name: value for name, value in asdict(settings).items() if name not in free}
