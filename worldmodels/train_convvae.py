"""Training of a ConvVAE from its settings: data, model, report."""

from pathlib import Path

from seqvae.commands import Affects, Run
from seqvae.data.streams import ShardBatches
from seqvae.report import write_run_page
from seqvae.saved_models import load_model
from seqvae.training import Checkpoints, Stage, Trainer
from worldmodels.config import ConvVAESettings
from worldmodels.conv_vae import ConvVAE
from worldmodels.data import episodes_of
from worldmodels.evaluation import evaluate_vae
from worldmodels.report import VAEReport

_LAYERS = ("filters", "kernel_sizes", "decoder_filters", "decoder_kernel_sizes")


def run(run: Run) -> None:
    """Run the command `convvae`.

    Args:
        run: the run.
    """
    s: ConvVAESettings = run.settings
    train, test = run.placement.chief_first(
        lambda: episodes_of(vars(s), {"frames": "[T, H, W, C] uint8"})
    )
    with run.placement.scope():
        model = _model(s, train.shapes["frames"])
    report = VAEReport(model, test, run.folder, s.seed)

    def after_epoch(epoch, log):
        if run.due(epoch, s.display_step):
            print(_epoch_line(log.read()[-1], trainer.epochs), flush=True)
        if epoch == 0 or run.due(epoch, s.picture_step):
            report.pictures(epoch)

    run.claim()
    trainer = Trainer(
        model,
        ShardBatches(train, s.batch_size, {"frames": "frames"}, seed=s.seed, shuffle=s.shuffle),
        [Stage("all", s.num_epochs, tuple(model.trainable_variables))],
        checkpoints=Checkpoints(run.folder / "checkpoints", _signature(s, model, train)),
        log_folder=run.folder,
        learning_rate=lambda epoch: s.learning_rate,
        optimizer=model.optimizer_of_architecture,
        seed=s.seed,
        evaluate=lambda: evaluate_vae(model, test, s.seed),
        after_epoch=after_epoch,
        placement=run.placement,
    )
    log = run.train(
        trainer,
        f"{len(train)} training and {len(test)} test episodes, {train.entries} and {test.entries} "
        "frames "
        f"{train.shapes['frames']}, {model.count_params()} weights",
    )
    if log is None:
        return
    model.save(run.folder / "model.keras")
    model.save_json(run.folder / "vae.json")
    report.pictures(trainer.epochs - 1)
    report.training_curves(log.read())
    figures = report.final()
    print("\n".join(report.summary(figures)))
    title = f"ConvVAE of {Path(s.dataset).name}: {s.run_name}"
    print(write_run_page(run, title, lambda: report.sections(figures)))


def _signature(s: ConvVAESettings, model: ConvVAE, train) -> dict:
    """The values that a checkpoint must agree with."""
    arguments = {name: model.get_config()[name] for name in s.names(Affects.MODEL)}
    return arguments | s.of(Affects.TRAINING) | {"data": train.fingerprint()}


def _model(s: ConvVAESettings, image_shape) -> ConvVAE:
    """A new model, with the weights of --reload_model if it is given."""
    source = s.reload_model
    if source.endswith(".keras"):
        model = load_model(source, ConvVAE)
        if model.image_shape != tuple(image_shape):
            raise ValueError(
                f"--reload_model: {source} is not a ConvVAE for frames {tuple(image_shape)}."
            )
        return model
    options = s.of(Affects.MODEL)
    for name in _LAYERS:
        text = options.pop(name)
        options |= {name: tuple(int(size) for size in text.split(","))} if text else {}
    dtype = "mixed_bfloat16" if s.mixed_precision else "float32"
    model = ConvVAE(**options, image_shape=image_shape, dtype=dtype)
    if source:
        model.load_json(source)
    return model


def _epoch_line(line: dict, epochs: int) -> str:
    return (
        f"epoch {line['epoch'] + 1}/{epochs}  {line['seconds']:.1f} s  loss "
        f"{line['train_loss']:.3f}  "
        f"test {line['test_total']:.3f} (reconstruction {line['test_reconstruction']:.3f}, KL "
        f"{line['test_kl']:.3f})"
    )
