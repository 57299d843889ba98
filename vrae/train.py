"""Training a VRAE from its settings: series, model, report."""

import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from seqvae.commands import Affects, Run
from seqvae.commands.table_settings import check_files, read_file, windows_of
from seqvae.data.batches import Batches, StepBatches
from seqvae.data.series import last_windows
from seqvae.objectives import cyclical, linear, sigmoid
from seqvae.report import write_run_page
from seqvae.training import Checkpoints, Stage, Trainer
from vrae import recipe
from vrae.config import VRAESettings
from vrae.data import (
    Series,
    constant_features,
    scaling_of,
    split_by_time,
    standardised,
    standardiser,
)
from vrae.evaluation import evaluate
from vrae.model import VRAE
from vrae.report import Report
from vrae.runs import write_codes, write_description
from vrae.trajectories import ball_trajectories

_FAR = 100.0
"""Deviations from the training mean at which a test value is named."""


def run(run: Run) -> None:
    """The body of the command `vrae`."""
    s: VRAESettings = run.settings
    series, notes = read_series(s)
    train, test = split(series, s)
    numbers = s.likelihood != "bernoulli"
    scaling = scaling_of(train) if numbers else None
    notes += _notes_on_values(train, test) if numbers else []
    s = run.change(**_from_the_data(s, train, test, notes))
    with run.placement.scope():
        model = VRAE(train.sequences.shape[-1], scaling=scaling, **s.of(Affects.MODEL))
    for part in (train, test):
        model.check_batch(part.batch())
    report = Report(model, train, test, run.folder, s.seed)
    weight, rate = _schedule(s), _rate(s)

    def before_epoch(epoch):
        model.kl_weight.assign(s.kl_weight * weight(epoch))
        share = epoch / max(1, s.num_epochs - 1)
        model.teacher_forcing.assign(1.0 + share * (s.teacher_forcing - 1.0))

    def after_epoch(epoch, log):
        if run.due(epoch, s.display_step):
            print(_epoch_line(log.read()[-1], trainer.epochs), flush=True)
        if epoch == 0 or run.due(epoch, s.picture_step):
            report.pictures(epoch)

    run.claim()
    batches = _batches(s, train)
    trainer = Trainer(
        model,
        batches,
        [Stage("all", s.num_epochs, tuple(model.trainable_variables))],
        checkpoints=Checkpoints(run.folder / "checkpoints", _signature(s, train, len(batches))),
        log_folder=run.folder,
        learning_rate=rate,
        clip_norm=s.max_grad_norm,
        seed=s.seed,
        evaluate=lambda: evaluate(model, test, seed=s.seed),
        before_epoch=before_epoch,
        after_epoch=after_epoch,
        placement=run.placement,
    )
    about = f"{len(train.sequences)} training and {len(test.sequences)} test series of up to "
    about += f"{train.sequences.shape[1]} steps, {train.sequences.shape[2]} features, "
    about += f"{model.count_params()} weights, {len(batches) * s.num_epochs} steps of training"
    log = run.train(trainer, "\n".join([*notes, about]))
    if log is None:
        return
    model.save(run.folder / "model.keras")
    write_description(run.folder, s, train, scaling)
    write_codes(run.folder / "codes.csv", model, {"train": train, "test": test})
    report.pictures(trainer.epochs - 1)
    report.training_curves(log.read())
    figures = report.final(evaluate(model, test, seed=s.seed))
    print("\n".join(report.summary(figures)))
    title = f"VRAE of {Path(s.csv or s.npz or 'simulated paths').name}: {s.run_name}"
    print(write_run_page(run, title, lambda: report.sections(figures)))


def read_series(s: Any) -> tuple[Series, list[str]]:
    """The series that the flags ask for, cut into windows where they ask for it, and what was done
    to them."""
    check_files(s)
    if s.csv or s.npz:
        series, notes = read_file(s)
    else:
        series, notes = ball_trajectories(s.sequences, seed=s.seed), []
    series, more = windows_of(s, series)
    return series, notes + more


def split(series: Series, s: VRAESettings) -> tuple[Series, Series]:
    """Training and test series: whole ones, or the beginning and the end of each."""
    if s.split == "series":
        return series.split(s.test_fraction, s.seed)
    if s.window and s.stride and s.stride < s.window:
        raise ValueError(
            f"--split=time: expected --stride of at least the window's {s.window} steps, got "
            f"{s.stride}: overlapping windows would be in training and test."
        )
    if not s.window:
        return split_by_time(series, s.test_fraction)
    return last_windows(series, s.test_fraction)


def _notes_on_values(train: Series, test: Series) -> list[str]:
    """Features that are constant in training, or have test values far from it."""
    names, notes = train.feature_names(), []
    constant = constant_features(train)
    if constant:
        listed = ", ".join(names[i] for i in constant)
        notes.append(f"constant in the training series: {listed}. Leave them out with --drop.")
    layer = standardiser(train)
    most = np.nanmax(
        np.abs(np.where(test.observed(), standardised(test, layer).sequences, 0.0)), axis=(0, 1)
    )
    notes += [
        f"{names[i]}: a test value is {most[i]:.0f} training deviations from the mean; the test "
        "figures are dominated by it."
        for i in np.flatnonzero(most > _FAR)
    ]
    return notes


def _from_the_data(s: VRAESettings, train: Series, test: Series, notes: list[str]) -> dict:
    """Settings that the series decide; a note for each."""
    changed: dict[str, Any] = {}
    holes = any((~x.observed() & (x.mask[..., None] > 0.5)).any() for x in (train, test))
    if holes and not s.missing:
        changed["missing"] = True
        notes.append("numbers are missing: the model is made with missing=True.")
    if train.times is not None and not s.positions:
        notes.append(
            "the model does not use the times of the steps. --positions=8 makes them an input."
        )
    found = recipe.choose(train).options if s.patch < 1 or s.cosines < 0 else {}
    if s.patch < 1:
        changed["patch"] = found["patch"]
    if s.cosines < 0:
        changed["cosines"] = found.get("cosines", 0)
    if found:
        notes.append(
            ", ".join(f"{k}={v}" for k, v in changed.items() if k != "missing")
            + ": from the lengths of the series."
        )
    return changed


def _batches(s: VRAESettings, train: Series) -> Batches:
    """Epochs, or blocks of steps."""
    batch = _batch(s, train)
    if not s.num_steps:
        return Batches(batch, s.batch_size, seed=s.seed)
    block = math.ceil(s.num_steps / s.num_epochs)
    return StepBatches(batch, s.batch_size, block, seed=s.seed)


def _batch(s: VRAESettings, series: Series) -> dict:
    """The series' arrays that the model takes."""
    batch = series.batch()
    return batch if s.positions else {k: v for k, v in batch.items() if k != "times"}


def _signature(s: VRAESettings, train: Series, block: int) -> dict:
    """What a checkpoint must agree with."""
    data = f"{list(train.sequences.shape)} {zlib.crc32(train.sequences.tobytes()):08x}"
    own = {"data": data} | ({"steps of a block": block} if s.num_steps else {})
    return s.of(Affects.MODEL, Affects.TRAINING) | own


def _epoch_line(line: dict, epochs: int) -> str:
    return (
        f"epoch {line['epoch'] + 1}/{epochs}  {line['seconds']:.1f} s  loss "
        f"{line['train_loss']:.2f}  "
        f"test ELBO {line['test_elbo']:.2f} (KL {line['test_kl']:.2f})"
    )


def _schedule(s: VRAESettings):
    """The share of its final weight that the KL has in an epoch."""
    epochs = s.annealing_epochs
    return {
        "none": lambda epochs: lambda epoch: 1.0,
        "linear": lambda epochs: linear(0, epochs),
        "sigmoid": lambda epochs: sigmoid(epochs // 2, epochs),
        "cyclical": cyclical,
    }[s.annealing](epochs)


def _rate(s: VRAESettings):
    """The learning rate of an epoch."""
    if s.schedule == "constant":
        return lambda epoch: s.learning_rate
    return lambda epoch: s.learning_rate * recipe.rate_share(epoch + 0.5, s.num_epochs)
