"""Training of a Kalman VAE of series from its settings: a table or an `.npz`, model, report."""

import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kvae.arguments import IDENTITY
from kvae.auto import AUTO
from kvae.clock import Clock, Months, in_months
from kvae.config import PRESETS, KVAESettings
from kvae.model import KVAE
from kvae.series import on_grid
from kvae.series_report import SeriesReport, constant_features, known_values
from seqvae.commands import Affects, Run
from seqvae.commands.table_settings import check_files, read_file, windows_of
from seqvae.commands.training import train_and_report
from seqvae.data.batches import Batches, StepBatches
from seqvae.data.series import Series, last_windows, pad
from seqvae.data.tables import Table
from seqvae.saved_models import load_model
from seqvae.training import Stage, exponential_decay
from seqvae.training.evaluate import weighted_means

_WINDOWS_LEAST, _WINDOW_SIZES = 8, (20, 100)
_SERIES_LEAST = 5
"""Fewer series are cut into windows, so that training and test see each of them."""
_SPARSE = 50
"""Steps of a grid per row of the table above which the grid's step is probably too small."""
_DENSE_CODE = 2
_FRAMES_ONLY = (
    "dataset",
    "out_distr",
    "conv",
    "filter_size",
    "num_filters",
    "learn_u",
    "dim_u",
    "first_bias",
    "on_collapse",
    "only_vae_epochs",
    "kf_update_steps",
    "dynamics_epochs",
    "refine_epochs",
    "train_miss_prob",
    "t_init_train_miss",
    "mixed_precision",
    "shuffle",
)
"""Settings that do not apply to series."""
_DENSE_ONLY = (
    "activation",
    "kernel_initializer",
    "vae_num_units",
    "num_layers",
    "noise_pixel_var",
    "use_vae",
    "ll_keep_prob",
    "scale_reconstruction",
    "sample_z",
)
"""Settings of the auto-encoder, which do not apply to the identity."""


class Data(NamedTuple):
    """What a run on series reads."""

    whole: Series
    """The series of the file, on an even grid."""
    train: Series
    """Whole series, or windows of them."""
    test: Series
    """Test series or windows."""
    clock: Clock | Months | None
    """The times of the steps of `whole`; None: no times."""
    head: tuple[str, str]
    """The names of the columns of ids and times."""
    notes: list[str]
    """A sentence for each change to the data."""


def run(run: Run) -> None:
    """Run the command `kvae` on series.

    Args:
        run: the run, with its settings, folder and placement.
    """
    s: KVAESettings = run.settings
    _check(s)
    data = read(s)
    features = data.whole.sequences.shape[-1]
    s = run.change(**_sizes(s, features))
    train, test = known_values(data.train), known_values(data.test)
    with run.placement.scope():
        model = _model(s, train)
    if s.reload_model:
        identity = model.get_config()["encoder"] == IDENTITY
        s = run.change(series_encoder="identity" if identity else "dense")
        unused = (*_FRAMES_ONLY, *_DENSE_ONLY) if identity else _FRAMES_ONLY
        s = run.adopt(model.get_config(), unused)
    report = SeriesReport(
        model,
        data.whole,
        data.test,
        run.folder,
        clock=data.clock,
        head=data.head,
        t_init_mask=s.t_init_mask,
        t_steps_mask=s.t_steps_mask,
        n_steps_gen=s.n_steps_gen,
        seed=s.seed,
    )
    batches = _batches(s, train)
    checksum = zlib.crc32(train.tobytes(), zlib.crc32(test.tobytes()))
    about = (
        f"{len(train)} training and {len(test)} test series of up to {train.shape[1]} steps of "
        f"{features} numbers ({', '.join(data.whole.feature_names()[:6])}), "
        f"{model.count_params()} weights, {s.num_epochs * len(batches)} steps"
    )

    def finish(epoch: int) -> dict:
        report.pictures(epoch)
        return report.final(_bound(model, test, s.seed))

    train_and_report(
        run,
        model,
        batches,
        [Stage("all", s.num_epochs, tuple(model.trainable_variables))],
        report,
        signature=signature(s, model, f"{checksum:08x}"),
        about="\n".join([*data.notes, about]),
        title=f"Kalman VAE of {Path(s.csv or s.npz).name}: {s.run_name}",
        display=_epoch_line,
        pictures=report.pictures,
        picture_step=s.generate_step,
        first_pictures=False,
        finish=finish,
        learning_rate=exponential_decay(s.init_lr, s.decay_rate, s.decay_steps),
        clip_norm=s.max_grad_norm,
        warmup_steps=s.warmup_steps,
        evaluate=lambda: _bound(model, test, s.seed),
    )


def signature(s: KVAESettings, model: KVAE, data: str) -> dict:
    """State what a checkpoint must agree with.

    It contains the model's own arguments rather than the settings, because --reload_model may bring
    others.

    Args:
        s: the settings.
        model: the model.
        data: an identifier of the data.

    Returns:
        JSON values by name.
    """
    arguments = {name: model.get_config()[name] for name in s.names(Affects.MODEL)}
    return arguments | s.of(Affects.TRAINING) | {"data": data}


def _check(s: KVAESettings) -> None:
    """Check that the settings apply to series."""
    check_files(s)
    if s.preset != "series":
        raise ValueError(
            f"--preset: expected series with --csv and --npz, got {s.preset!r}. It is the default "
            "there; give other flags beside it."
        )
    names = _FRAMES_ONLY if s.series_encoder == "dense" else (*_FRAMES_ONLY, *_DENSE_ONLY)
    usual = {name: PRESETS["series"].get(name, getattr(KVAESettings, name)) for name in names}
    given = [f"--{name}" for name, value in usual.items() if getattr(s, name) != value]
    if given:
        raise ValueError(
            f"{', '.join(given)}: not for series of numbers"
            + ("." if given[0][2:] in _FRAMES_ONLY else " without --series_encoder=dense.")
        )


def read(s: KVAESettings) -> Data:
    """Read the series that the flags name, on an even grid, and split them.

    The test set consists of whole series drawn at random or, for few series, of the last windows of
    each.

    Args:
        s: the settings.

    Returns:
        The series and their training and test parts.

    Raises:
        ValueError: uneven times fit no grid, or there are too few steps.
    """
    table = read_file(s)
    series, clock, about = _on_even_steps(s, table)
    notes = [*table.notes, *about, *_notes_on_constants(series)]
    if not 0 < s.test_fraction < 1:
        raise ValueError(f"--test_fraction: expected a share in (0, 1), got {s.test_fraction:g}.")
    few = len(series.mask) < _SERIES_LEAST
    window = s.window
    if few and not window:
        window, about = _window(series, s.test_fraction)
        notes.append(about)
    if few and 0 < s.stride < window:
        raise ValueError(
            f"--stride: expected at least the window's {window} steps for fewer than "
            f"{_SERIES_LEAST} series, got {s.stride}: overlapping windows would be in training and "
            "test."
        )
    cut, about = windows_of(_Windows(window, s.stride), series)
    lost = int(series.mask.sum() - cut.mask.sum()) if window and not s.stride else 0
    if lost > 0:
        notes.append(f"{lost} steps at the ends of series fill no window and are left out.")
    parts = last_windows(cut, s.test_fraction) if few else cut.split(s.test_fraction, s.seed)
    head = table.id_name or "id", table.time_name or "time"
    return Data(series, *parts, clock, head, notes + about)


def _window(series: Series, test_fraction: float) -> tuple[int, str]:
    """The steps of the windows of few series, and a sentence."""
    steps, (least, most) = int(series.mask.sum(axis=1).max()), _WINDOW_SIZES
    if steps < 2 * least:
        raise ValueError(
            f"{len(series.mask)} series of up to {steps} steps: expected at least {2 * least} "
            f"steps, or {_SERIES_LEAST} series (a column --id)."
        )
    window = int(np.clip(steps // _WINDOWS_LEAST, least, most))
    return window, (
        f"{len(series.mask)} series of up to {steps} steps: cut into windows of {window} "
        f"(--window) for training; the last {test_fraction:.0%} of them are the test."
    )


class _Windows(NamedTuple):
    """The settings that `windows_of` reads."""

    window: int
    stride: int


def _notes_on_constants(series: Series) -> list[str]:
    constant = constant_features(series)
    names = [name for name, flat in zip(series.feature_names(), constant, strict=True) if flat]
    if not names:
        return []
    return [f"constant: {', '.join(names)}. Not judged; leave them out with --drop."]


def _on_even_steps(
    s: KVAESettings, table: Table
) -> tuple[Series, Clock | Months | None, list[str]]:
    """The series on an even grid, the times of its steps, and sentences."""
    series = table.series
    if table.times is None:
        if s.dt:
            raise ValueError(
                f"--dt: expected a column of times (--time) beside it, got --dt={s.dt:g} alone."
            )
        return series, None, []
    lengths = series.mask.sum(axis=1).astype(int)
    times = [row[:n] for row, n in zip(table.times, lengths, strict=True)]
    gaps = np.concatenate([np.diff(row) for row in times])
    dt = s.dt or (float(gaps.min()) if len(gaps) else 1.0)
    clock = Clock(table.times[:, 0], dt, table.dated)
    months = in_months(times) if table.dated and not s.dt else None
    if series.times is None and not s.dt:  # even in seconds, perhaps only by chance: years, July
        return (series, months[1], [_about_months(months[1].dt)]) if months else (series, clock, [])
    if months:
        times, clock = months
        dt = clock.dt
    values, grids = known_values(series), []
    for i, of_series in enumerate(times):
        try:
            _check_length(of_series, dt)
            grids.append(on_grid(of_series, values[i, : len(of_series)], dt))
        except ValueError as error:
            if s.dt or isinstance(error, _SparseError):
                given = f"--dt={dt:g}" if s.dt else "--time"
                raise ValueError(f"{given}, series {i}: {error}") from error
            raise ValueError(
                f"--time: the steps are uneven, from {gaps.min():g} to {gaps.max():g}, and fit no "
                f"grid of {dt:g}. Give the step of an even grid (--dt; of dates in seconds), or "
                "use --time=none and --drop where the times do not matter."
            ) from error
    even = pad(grids, series.labels, ids=series.ids, names=series.names)
    if months:
        return even, clock, [_about_months(clock.dt)]
    moved = max(_moved(row, dt) for row in times)
    about = [] if s.dt else [f"the times fit a grid of {dt:g}{' s' * table.dated} (--dt)."]
    if moved > 1e-6 * dt:
        about.append(f"times were moved to the grid by up to {moved:g}{' s' * table.dated}.")
    return even, clock, about


def _about_months(dt: float) -> str:
    return f"the dates are of calendar months: a step is {dt:g} month{'s' * (dt > 1)}."


def _moved(times: np.ndarray, dt: float) -> float:
    """The largest distance of the times from a grid that begins at the first one."""
    places = (times - times[0]) / dt
    return float(np.abs(places - np.rint(places)).max()) * dt


def _check_length(times: np.ndarray, dt: float) -> None:
    """Check that a grid is not nearly empty."""
    steps = (times[-1] - times[0]) / dt
    if steps > _SPARSE * len(times):
        raise _SparseError(
            f"a grid of {dt:g} has {steps:.0f} steps for {len(times)} rows. Cut the series at its "
            "long gaps (a column --id that distinguishes the pieces), or use a larger --dt."
        )


class _SparseError(ValueError):
    """A grid that is nearly empty."""


def _sizes(s: KVAESettings, features: int) -> dict[str, int]:
    """dim_a and dim_z, chosen if they are "auto"."""
    identity = s.series_encoder == "identity"
    dim_a = s.dim_a
    if dim_a == AUTO:
        dim_a = features if identity else min(features, _DENSE_CODE)
    dim_z = max(4, 2 * int(dim_a)) if s.dim_z == AUTO else s.dim_z
    return {"dim_a": int(dim_a), "dim_z": int(dim_z)}


def _model(s: KVAESettings, train: np.ndarray) -> KVAE:
    if s.reload_model:
        model = load_model(s.reload_model, KVAE)
        if model.image_shape != train.shape[2:]:
            raise ValueError(
                f"--reload_model: {s.reload_model} is not a Kalman VAE for series of "
                f"{train.shape[2]} numbers."
            )
        return model
    options = s.of(Affects.MODEL)
    if s.series_encoder == "identity":
        options = {name: v for name, v in options.items() if name not in _DENSE_ONLY}
    encoder = "identity" if s.series_encoder == "identity" else None
    return KVAE.for_series(train, encoder=encoder, **options)


def _batches(s: KVAESettings, train: np.ndarray) -> Batches:
    """Epochs over the series, or with --num_steps blocks of steps: with few series, a pass has too
    few steps to be worth an evaluation and a checkpoint.
    """
    if s.num_steps:
        block = -(-s.num_steps // s.num_epochs)
        return StepBatches(_arrays(train), s.batch_size, block, seed=s.seed)
    return Batches(_arrays(train), s.batch_size, seed=s.seed, shuffle=s.shuffle)


def _arrays(values: np.ndarray) -> dict[str, np.ndarray]:
    """A batch of series that may contain NaN."""
    seen = np.isfinite(values)
    frames = np.where(seen, values, 0.0).astype(np.float32)
    return {"frames": frames} if seen.all() else {"frames": frames, "mask": seen.astype(np.float32)}


def _bound(model: KVAE, test: np.ndarray, seed: int, at_once: int = 256) -> dict:
    """The ELBO of series and its terms, in nats per observed step."""

    def parts():
        for i in range(0, len(test), at_once):
            values = test[i : i + at_once]
            elbo = model.elbo(values, kind="marginal", seed=[seed, i])._asdict()
            elbo["elbo"] = elbo.pop("total")
            yield elbo, float(np.isfinite(values).any(axis=-1).sum())

    return weighted_means(parts())


def _epoch_line(line: dict, epochs: int) -> str:
    return (
        f"epoch {line['epoch'] + 1}/{epochs}  {line['seconds']:.1f} s  loss "
        f"{line['train_loss']:.3f}  test ELBO {line['test_elbo']:.3f}"
    )
