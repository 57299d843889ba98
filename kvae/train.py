"""Training of a Kalman VAE from its settings: data, model, stages and report."""

from pathlib import Path

import numpy as np

from kvae import original, series_train
from kvae.auto import AUTO, chosen
from kvae.collapse import GRACE_STEPS, CollapseError, Examiner, Health
from kvae.config import KVAESettings
from kvae.data import InMemory, Missing, Streamed, training_and_test
from kvae.evaluation import evaluate_elbo
from kvae.model import KVAE
from kvae.report import Report
from kvae.stages import Schedule, describe_stages, stages
from seqvae.commands import Affects, Run
from seqvae.commands.training import train_and_report
from seqvae.data import Sequences
from seqvae.saved_models import load_model
from seqvae.training import exponential_decay

_ATTEMPTS = 3  # trainings, if the earlier ones collapse


def run(run: Run) -> None:
    """Run the command `kvae`.

    Args:
        run: the run, with its settings, folder and placement.

    Raises:
        CollapseError: the training collapsed, and `on_collapse` or the number of attempts ends it.
        ValueError: a setting does not fit the data.
    """
    s: KVAESettings = run.settings
    if s.csv or s.npz:
        return series_train.run(run)
    _check_frames(s)
    missing = Missing(s.train_miss_prob, s.t_init_train_miss, s.seed)
    train, test = run.placement.chief_first(
        lambda: training_and_test(s.dataset, s.data_dir, missing)
    )
    if train.dim_u is not None:
        run.change(dim_u=train.dim_u)
    _choose(run, train)
    for attempt in range(_ATTEMPTS):
        try:
            return _train(run, train, test)
        except CollapseError as error:
            s = run.settings
            single = run.placement.workers == 1  # other workers would not start over
            if s.on_collapse == "stop" or attempt + 1 == _ATTEMPTS or not single:
                raise
            run.change(init_lr=0.5 * s.init_lr)
            print(f"{error}\nBEGINNING AGAIN at half the learning rate, {0.5 * s.init_lr:g}")
            run.restart()
    return None


def _check_frames(s: KVAESettings) -> None:
    """Check that settings of series are given only with series."""
    names = ("id", "label", "time", "drop", "window", "stride", "dt", "series_encoder")
    given = [f"--{name}" for name in names if getattr(s, name) != getattr(KVAESettings, name)]
    if given or s.preset == "series":
        raise ValueError(
            f"{', '.join(given) or '--preset=series'}: expected --csv or --npz beside it, got none."
        )


def _choose(run: Run, train: InMemory | Streamed) -> None:
    """Replace settings that are "auto" by values chosen from the data, and print the reasons."""
    s: KVAESettings = run.settings
    wanted = {name: getattr(s, name) for name in ("dim_a", "dim_z", "out_distr")}
    if AUTO not in wanted.values():
        return
    values, reasons = chosen(wanted, train.some(), s.seed)
    run.change(**values)
    if run.placement.chief:
        print("\n".join(reasons))


def _train(run: Run, train: InMemory | Streamed, test: Sequences) -> None:
    s: KVAESettings = run.settings
    some = train.some()
    mean_frame = some.mean_frame()
    with run.placement.scope():
        model = _model(s, train.image_shape)
        if s.first_bias == "mean" and not s.reload_model:
            model.adapt(mean_frame[None, None])
    if s.reload_model:
        s = run.adopt(model.get_config())
    report = Report(
        model,
        test,
        run.folder,
        seed=s.seed,
        training=some,
        world=s.dataset,
        t_init_mask=s.t_init_mask,
        t_steps_mask=s.t_steps_mask,
        n_steps_gen=s.n_steps_gen,
    )
    order = dict(batch_size=s.batch_size, seed=s.seed, shuffle=s.shuffle)
    batches = train.batches(**order)
    schedule, longer = _schedule(s, len(batches))
    planned = stages(
        model,
        schedule,
        learning_rate=s.init_lr,
        codes=lambda: train.codes(model, run.folder / "codes", run.placement, **order),
    )
    examine = Examiner(model, test, mean_frame)

    def evaluate() -> dict:
        health = examine()._asdict()
        known = {name: value for name, value in health.items() if np.isfinite(value)}
        try:
            return evaluate_elbo(model, test, seed=s.seed) | known
        except FloatingPointError as error:
            raise FloatingPointError(
                f"the test sequences: {error} Use a smaller --init_lr than {s.init_lr:g}, or a "
                "smaller --max_grad_norm."
            ) from error

    def check(line: dict) -> None:
        health = Health(*(line.get(f"test_{name}", np.nan) for name in Health._fields))
        _check_health(s, health, line["epoch"] + 1, len(batches))

    def finish(epoch: int) -> dict:
        report.pictures(epoch, gif=True)
        return report.final()

    about = (
        f"{len(train)} training and {len(test)} test sequences of {train.steps} frames "
        f"{train.image_shape}, {model.count_params()} weights"
    )
    train_and_report(
        run,
        model,
        batches,
        planned,
        report,
        signature=series_train.signature(s, model, train.fingerprint),
        about="\n".join([*describe_stages(planned, len(batches), len(train)), about]),
        title=f"Kalman VAE of {Path(s.dataset).stem}: {s.run_name}",
        display=_epoch_line,
        pictures=report.pictures,
        picture_step=s.generate_step,
        step_factor=longer,
        finish=finish,
        check=check,
        learning_rate=exponential_decay(s.init_lr, s.decay_rate, s.decay_steps * longer),
        clip_norm=s.max_grad_norm,
        warmup_steps=s.warmup_steps,
        evaluate=evaluate,
    )


def _schedule(s: KVAESettings, steps_of_epoch: int) -> tuple[Schedule, int]:
    """Epochs of each stage, and the factor by which they are longer than in the settings."""
    asked = Schedule(
        s.num_epochs, s.only_vae_epochs, s.kf_update_steps, s.dynamics_epochs, s.refine_epochs
    )
    if not s.num_steps:
        return asked, 1
    factor = s.num_steps / (asked.epochs * steps_of_epoch)
    return asked.times(factor), max(1, round(factor))


def _check_health(s: KVAESettings, health: Health, epochs: int, steps_of_epoch: int) -> None:
    """Print the signs of a collapse.

    Raises:
        CollapseError: there is a collapse, and `on_collapse` does not ignore it.
    """
    signs, steps = "; ".join(health.signs()), epochs * steps_of_epoch
    collapsed = health.collapsed(steps)
    if signs and (collapsed or steps >= GRACE_STEPS):
        print(f"epoch {epochs}: signs of COLLAPSE: {signs}", flush=True)
    if collapsed and s.on_collapse != "ignore":
        raise CollapseError(
            f"collapse in epoch {epochs}: {signs}. Use a smaller --init_lr than {s.init_lr:g}, "
            "another --seed, --activation=elu, or --on_collapse=ignore to continue."
        )


def _model(s: KVAESettings, image_shape: tuple[int, ...]) -> KVAE:
    """New model, or the one that --reload_model names."""
    source = s.reload_model
    if source.endswith(".keras"):
        model = load_model(source, KVAE)
        if model.image_shape != image_shape:
            raise ValueError(
                f"--reload_model: {source} is not a Kalman VAE for frames {image_shape}."
            )
        return model
    if not source:
        return KVAE(
            image_shape,
            **s.of(Affects.MODEL),
            dtype="mixed_bfloat16" if s.mixed_precision else "float32",
        )
    beside = Path(source).parent / "config.json"
    if not beside.exists():
        raise ValueError(
            f"--reload_model: no {beside}, the configuration of the run that {source} comes from."
        )
    model = original.build(beside, image_shape)
    original.load(model, source)
    return model


def _epoch_line(line: dict, epochs: int) -> str:
    terms = "  ".join(
        f"{name} {line['test_' + name]:.2f}" for name in ("log_px", "log_qa", "lgssm")
    )
    return (
        f"epoch {line['epoch'] + 1}/{epochs}  {line['stage']}  {line['seconds']:.1f} s  "
        f"loss {line['train_loss']:.2f}  test ELBO {line['test_elbo']:.2f}  ({terms})  "
        f"dead units {line.get('test_dead_units', 0.0):.0%}"
    )
