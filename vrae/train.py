"""Training a VRAE from its settings: series, model, report."""

import zlib

from seqvae.commands import Affects, Run
from seqvae.data.batches import Batches
from seqvae.objectives import cyclical, linear, sigmoid
from seqvae.training import Checkpoints, Stage, Trainer
from vrae.config import VRAESettings
from vrae.data import Series, pad, read_csv, read_npz, standardised, standardiser, windows
from vrae.evaluation import evaluate
from vrae.model import VRAE
from vrae.report import Report
from vrae.trajectories import ball_trajectories


def run(run: Run) -> None:
    """The body of the command `vrae`."""
    s: VRAESettings = run.settings
    train, test = _series(s).split(s.test_fraction, s.seed)
    scale = standardiser(train)
    train, test = standardised(train, scale), standardised(test, scale)
    with run.placement.scope():
        model = VRAE(train.sequences.shape[-1], **s.of(Affects.MODEL))
    report = Report(model, test, run.folder, s.seed)
    weight = _schedule(s)

    def before_epoch(epoch):
        model.kl_weight.assign(weight(epoch))
        share = epoch / max(1, s.num_epochs - 1)
        model.teacher_forcing.assign(1.0 + share * (s.teacher_forcing - 1.0))

    def after_epoch(epoch, log):
        if run.due(epoch, s.display_step):
            print(_epoch_line(log.read()[-1], trainer.epochs), flush=True)
        if epoch == 0 or run.due(epoch, s.picture_step):
            report.pictures(epoch)

    run.claim()
    trainer = Trainer(
        model,
        Batches(train.batch(), s.batch_size, seed=s.seed),
        [Stage("all", s.num_epochs, tuple(model.trainable_variables))],
        checkpoints=Checkpoints(run.folder / "checkpoints", _signature(s, train)),
        log_folder=run.folder,
        learning_rate=lambda epoch: s.learning_rate,
        clip_norm=s.max_grad_norm,
        seed=s.seed,
        evaluate=lambda: evaluate(model, test, seed=s.seed),
        before_epoch=before_epoch,
        after_epoch=after_epoch,
        placement=run.placement,
    )
    log = run.train(
        trainer,
        f"{len(train.sequences)} training and {len(test.sequences)} test series of up to "
        f"{train.sequences.shape[1]} steps, "
        f"{train.sequences.shape[2]} features, {model.count_params()} weights",
    )
    if log is None:
        return
    model.save(run.folder / "model.keras")
    report.pictures(trainer.epochs - 1)
    report.training_curves(log.read())
    print("\n".join(report.summary(report.final(evaluate(model, test, seed=s.seed)))))


def _signature(s: VRAESettings, train: Series) -> dict:
    """What a checkpoint must agree with."""
    data = f"{list(train.sequences.shape)} {zlib.crc32(train.sequences.tobytes()):08x}"
    return s.of(Affects.MODEL, Affects.TRAINING) | {"data": data}


def _epoch_line(line: dict, epochs: int) -> str:
    return (
        f"epoch {line['epoch'] + 1}/{epochs}  {line['seconds']:.1f} s  loss "
        f"{line['train_loss']:.2f}  "
        f"test ELBO {line['test_elbo']:.2f} (KL {line['test_kl']:.2f})"
    )


def _schedule(s: VRAESettings):
    """The weight of the KL in an epoch."""
    epochs = s.annealing_epochs
    return {
        "none": lambda epochs: lambda epoch: 1.0,
        "linear": lambda epochs: linear(0, epochs),
        "sigmoid": lambda epochs: sigmoid(epochs // 2, epochs),
        "cyclical": cyclical,
    }[s.annealing](epochs)


def _series(s: VRAESettings) -> Series:
    """The series that the flags ask for."""
    if s.csv and s.npz:
        raise ValueError("--csv, --npz: expected one of them.")
    if s.csv:
        series = read_csv(s.csv)
    elif s.npz:
        series = read_npz(s.npz)
    else:
        series = ball_trajectories(s.sequences, seed=s.seed)
    if not s.window:
        return series
    cut = []
    for sequence, mask in zip(series.sequences, series.mask, strict=True):
        steps = int(mask.sum())
        if steps >= s.window:
            made = windows(sequence[:steps], s.window)
            cut += list(made.sequences)
    if not cut:
        raise ValueError(f"--window: no series has {s.window} steps.")
    return pad(cut)
