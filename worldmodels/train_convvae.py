"""Training of a ConvVAE from its settings: data, model, report."""

from pathlib import Path

from seqvae.commands import Affects, Run
from seqvae.commands.training import train_and_report
from seqvae.data.streams import ShardBatches
from seqvae.saved_models import load_model
from seqvae.training import Stage
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
    if s.reload_model:
        s = run.adopt(model.get_config())
    report = VAEReport(model, test, run.folder, s.seed)

    def finish(epoch: int) -> dict:
        model.save_json(run.folder / "vae.json")
        report.pictures(epoch)
        return report.final()

    train_and_report(
        run,
        model,
        ShardBatches(train, s.batch_size, {"frames": "frames"}, seed=s.seed, shuffle=s.shuffle),
        [Stage("all", s.num_epochs, tuple(model.trainable_variables))],
        report,
        signature=_signature(s, model, train),
        about=f"{len(train)} training and {len(test)} test episodes, {train.entries} and "
        f"{test.entries} frames {train.shapes['frames']}, {model.count_params()} weights",
        title=f"ConvVAE of {Path(s.dataset).name}: {s.run_name}",
        display=_epoch_line,
        pictures=report.pictures,
        picture_step=s.picture_step,
        finish=finish,
        learning_rate=lambda epoch: s.learning_rate,
        optimizer=model.optimizer_of_architecture,
        evaluate=lambda: evaluate_vae(model, test, s.seed),
    )


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
