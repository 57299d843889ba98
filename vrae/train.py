"""Training of a VRAE from its settings: series, model, report."""

import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from seqvae.commands import Affects, Run
from seqvae.commands.table_settings import check_files, read_file, windows_of
from seqvae.commands.training import train_and_report
from seqvae.data.batches import Batches, StepBatches
from seqvae.data.series import last_windows
from seqvae.data.tables import read_ts
from seqvae.objectives import cyclical, linear, sigmoid
from seqvae.training import Stage
from vrae import recipe
from vrae.archive import read_set
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

_FEW = 1000
"""Steps of training below which a run says that they are few."""
_FAR = 100.0
"""A test value this many deviations from the training mean is reported."""


def run(run: Run) -> None:
    """Run the command `vrae`.

    Args:
        run: the run.
    """
    s: VRAESettings = run.settings
    train, test, notes = read_split(s)
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

    def finish(epoch: int) -> dict:
        write_description(run.folder, s, train, scaling)
        write_codes(run.folder / "codes.csv", model, {"train": train, "test": test})
        report.pictures(epoch)
        return report.final(evaluate(model, test, seed=s.seed))

    batches = _batches(s, train)
    steps = len(batches) * s.num_epochs
    if steps < _FEW:
        notes.append(f"{steps} steps are likely too few: --num_steps={recipe.STEPS}.")
    about = (
        f"{len(train.sequences)} training and {len(test.sequences)} test series of up to "
        f"{train.sequences.shape[1]} steps, {train.sequences.shape[2]} features, "
        f"{model.count_params()} weights, {steps} steps of training"
    )
    train_and_report(
        run,
        model,
        batches,
        [Stage("all", s.num_epochs, tuple(model.trainable_variables))],
        report,
        signature=_signature(s, train, len(batches)),
        about="\n".join([*notes, about]),
        title=f"VRAE of {Path(s.csv or s.npz or 'simulated paths').name}: {s.run_name}",
        display=_epoch_line,
        pictures=report.pictures,
        picture_step=s.picture_step,
        finish=finish,
        learning_rate=rate,
        clip_norm=s.max_grad_norm,
        evaluate=lambda: evaluate(model, test, seed=s.seed),
        before_epoch=before_epoch,
    )


def read_split(s: VRAESettings) -> tuple[Series, Series, list[str]]:
    """Read training and test series. A set of the archives has its own split.

    Args:
        s: the settings.

    Returns:
        Training series, test series, and sentences about changes to them.
    """
    if not _is_set(s):
        series, notes = read_series(s)
        return *split(series, s), notes
    (train, about), (test, more) = (windows_of(s, part) for part in _sets(s))
    return train, test, [f"{s.ts}: the archive's split.", *about, *more]


def read_series(s: Any) -> tuple[Series, list[str]]:
    """Read the series of the settings, cut into windows if they ask for it.

    Args:
        s: the settings.

    Returns:
        The series, and sentences about changes to them.

    Raises:
        ValueError: the settings contradict each other, or the file cannot be read.
    """
    if sum(map(bool, (s.csv, s.npz, s.ts))) > 1:
        raise ValueError("--csv, --npz, --ts: expected one of them, got several.")
    check_files(s)
    if s.csv or s.npz:
        series, notes, *_ = read_file(s)
    else:
        series, notes = (_sets(s)[-1] if s.ts else ball_trajectories(s.sequences, seed=s.seed)), []
    series, more = windows_of(s, series)
    return series, notes + more


def _is_set(s: Any) -> bool:
    """Whether --ts is the name of a set, not a file."""
    return bool(s.ts) and not s.ts.lower().endswith(".ts")


def _sets(s: Any) -> tuple[Series, ...]:
    """The series of --ts: those of a file, or training and test series of a set."""
    try:
        return read_set(s.ts) if _is_set(s) else (read_ts(s.ts),)
    except (FileNotFoundError, ModuleNotFoundError, ValueError) as error:
        raise ValueError(f"--ts: {error}") from error


def split(series: Series, s: VRAESettings) -> tuple[Series, Series]:
    """Split series into training and test data: whole series, or the beginning and the end of each.

    Args:
        series: the series.
        s: the settings.

    Returns:
        Training and test series.

    Raises:
        ValueError: the series cannot be split in this way.
    """
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
    """Sentences on features that are constant in training, or have test values far from it."""
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
    """Settings that depend on the series, by name; a sentence for each is added to `notes`."""
    changed: dict[str, Any] = {}
    holes = any(x.missing().any() for x in (train, test))
    if holes and not s.missing:
        changed["missing"] = True
        notes.append("numbers are missing: the model is made with missing=True.")
    if train.times is not None and not s.positions:
        notes.append(
            "the model does not use the times of the steps. --positions=8 makes them an input."
        )
    if s.annealing == "auto" and not s.free_bits:
        count = len(train.mask)
        changed["free_bits"] = round(recipe.free_bits_of(count, s.z_size), 4)
        notes.append(
            f"annealing=auto: the weight of the KL rises in the first {max(1, s.num_epochs // 5)} "
            f"epochs; free_bits={changed['free_bits']:g}, log({count}) / z_size."
        )
    found = recipe.choose(train).options if s.patch < 1 or s.cosines < 0 else {}
    if s.patch < 1:
        changed["patch"] = found["patch"]
    if s.cosines < 0:
        changed["cosines"] = found.get("cosines", 0)
    if found:
        notes.append(
            ", ".join(f"{k}={changed[k]}" for k in ("patch", "cosines") if k in changed)
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
    """The arrays of the series that the model takes."""
    batch = series.batch()
    return batch if s.positions else {k: v for k, v in batch.items() if k != "times"}


def _signature(s: VRAESettings, train: Series, block: int) -> dict:
    """The values that a checkpoint must agree with."""
    data = f"{list(train.sequences.shape)} {zlib.crc32(train.sequences.tobytes()):08x}"
    own = {"data": data} | ({"steps of a block": block} if s.num_steps else {})
    return s.of(Affects.MODEL, Affects.TRAINING) | own


def _epoch_line(line: dict, epochs: int) -> str:
    return (
        f"epoch {line['epoch'] + 1}/{epochs}  {line['seconds']:.1f} s  loss "
        f"{line['train_loss']:.2f}  test ELBO {line['test_elbo']:.2f} (KL {line['test_kl']:.2f})"
    )


def _schedule(s: VRAESettings):
    """The share of its final weight that the KL has in an epoch."""
    epochs = s.annealing_epochs if s.annealing != "auto" else max(1, s.num_epochs // 5)
    return {
        "none": lambda epochs: lambda epoch: 1.0,
        "linear": lambda epochs: linear(0, epochs),
        "auto": lambda epochs: linear(0, epochs),
        "sigmoid": lambda epochs: sigmoid(epochs // 2, epochs),
        "cyclical": cyclical,
    }[s.annealing](epochs)


def _rate(s: VRAESettings):
    """The learning rate of an epoch."""
    if s.schedule == "constant":
        return lambda epoch: s.learning_rate
    return lambda epoch: s.learning_rate * recipe.rate_share(epoch + 0.5, s.num_epochs)
