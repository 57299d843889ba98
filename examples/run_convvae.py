"""Trains the ConvVAE of World Models on frames of episodes.

    python examples/run_convvae.py                                     # bouncing balls that are pushed, made where missing
    python examples/run_convvae.py --dataset=datasets/carracing        # a folder of episodes, see datasets/README.md
    python examples/run_convvae.py --preset=course                     # the course text's form of the model
    python examples/run_convvae.py --run_name=mine --resume            # goes on where the run stopped

A run leaves logs/<run>_convvae/: config.json, metrics.jsonl, checkpoints/, model.keras, vae.json (the original's format),
reconstructions, samples, a latent traversal, curves, evaluation.json. Then: examples/run_mdnrnn.py.
"""

from pathlib import Path
from typing import Any

from absl import app, flags

from seqvae import runs

_ROOT = Path(__file__).resolve().parent.parent

# Data
flags.DEFINE_string("dataset", "balls", "balls (made where missing), or a folder of episodes (.npz with `frames`)")
flags.DEFINE_string("data_dir", str(_ROOT / "datasets"), "folder of the datasets")
flags.DEFINE_integer("episodes", 1000, "episodes of balls that are made; the balls' first so many are used")
flags.DEFINE_integer("steps", 100, "frames of an episode of balls")
flags.DEFINE_float("test_fraction", 0.1, "share of the episodes kept for the test")
# The model
flags.DEFINE_enum(
    "architecture", "worldmodels", ["worldmodels", "course"], "the TensorFlow form, or the course's Keras form"
)
flags.DEFINE_integer("z_size", 32, "size of the code z")
flags.DEFINE_float("kl_tolerance", 0.5, "floor of a frame's KL, nats per dimension of z (worldmodels)")
flags.DEFINE_string("filters", "", "of each encoder layer; default: the architecture's")
flags.DEFINE_string("kernel_sizes", "4,4,4,4", "of each encoder layer")
flags.DEFINE_string("decoder_filters", "", "of each decoder layer but the last; default: the architecture's")
flags.DEFINE_string("decoder_kernel_sizes", "5,5,6,6", "of each decoder layer; they decide the size of the frames")
flags.DEFINE_boolean("mixed_precision", False, "convolutions in bfloat16: faster on processors that have it")
# Training
flags.DEFINE_integer("batch_size", 100, "frames in a batch")
flags.DEFINE_float("learning_rate", 1e-4, "of Adam, or of the course's RMSprop")
flags.DEFINE_integer("num_epochs", 10, "epochs")
flags.DEFINE_boolean("shuffle", True, "a new order of the frames every epoch")
flags.DEFINE_string("reload_model", "", "start from these weights: a model.keras, or the original's vae.json")
flags.DEFINE_integer("picture_step", 5, "epochs between two sets of pictures; also after the first and the last")
runs.define_flags(presets="course, demo")

_LAYERS = ("filters", "kernel_sizes", "decoder_filters", "decoder_kernel_sizes")
_MODEL = ("architecture", "z_size", "kl_tolerance")
_TRAINING = ("batch_size", "learning_rate", "shuffle", "seed", "deterministic", "mixed_precision", "test_fraction")
_OTHER = (
    *runs.PLACEMENT, "dataset", "data_dir", "episodes", "steps", "num_epochs", "preset", "reload_model", "run_name",
    "log_dir", "display_step", "picture_step",
)  # fmt: skip


def main(argv: list[str]) -> None:
    runs.main(argv, (*_MODEL, *_LAYERS, *_TRAINING, *_OTHER), "convvae", _presets, _run)


def _presets() -> dict:
    from worldmodels.training import CONVVAE_PRESETS

    return CONVVAE_PRESETS


def _run(folder: Path, config: dict) -> None:
    from seqvae.data.streams import ShardBatches
    from seqvae.training import Checkpoints, Stage, Trainer
    from worldmodels.data import episodes_of
    from worldmodels.evaluation import evaluate_vae
    from worldmodels.report import VAEReport

    distribution = runs.prepare(config)
    train, test = distribution.chief_first(lambda: episodes_of(config, {"frames": "[T, H, W, C] uint8"}))
    with distribution.scope():
        model = _model(config, train.shapes["frames"])
    signature = {n: model.get_config()[n] for n in (*_MODEL, *_LAYERS)} | {n: config[n] for n in _TRAINING}
    signature["data"] = train.fingerprint()
    report = VAEReport(model, test, folder, config["seed"])

    def after_epoch(epoch, log):
        line = log.read()[-1]
        if (epoch + 1) % config["display_step"] == 0:
            print(f"epoch {epoch + 1}/{trainer.epochs}  {line['seconds']:.1f} s  loss {line['train_loss']:.3f}  "
                  f"test {line['test_total']:.3f} (reconstruction {line['test_reconstruction']:.3f}, "
                  f"KL {line['test_kl']:.3f})", flush=True)  # fmt: skip
        if epoch == 0 or (epoch + 1) % config["picture_step"] == 0:
            report.pictures(epoch)

    options = dict(seed=config["seed"], shuffle=config["shuffle"])
    runs.claim(folder, distribution)
    trainer = Trainer(
        model,
        ShardBatches(train, config["batch_size"], {"frames": "frames"}, **options),
        [Stage("all", config["num_epochs"], tuple(model.trainable_variables))],
        checkpoints=Checkpoints(folder / "checkpoints", signature),
        log_folder=folder,
        learning_rate=lambda epoch: config["learning_rate"],
        optimizer=model.optimizer_of_architecture,
        seed=config["seed"],
        evaluate=lambda: evaluate_vae(model, test, config["seed"]),
        after_epoch=after_epoch,
        distribution=distribution,
    )
    about = (
        f"{len(train)} training and {len(test)} test episodes, {train.entries} and {test.entries} frames "
        f"{train.shapes['frames']}, {model.count_params()} weights"
    )
    runs.start(trainer, folder, config, about)
    log = trainer.run()
    if log is None:
        return
    model.save(folder / "model.keras")
    model.save_json(folder / "vae.json")
    report.pictures(trainer.epochs - 1)
    report.training_curves(log.read())
    print("\n".join(report.summary(report.final())))


def _model(config: dict, image_shape):
    """A new model, with the weights of --reload_model where it is given."""
    import worldmodels
    from seqvae.saved_models import load_model

    source = config["reload_model"]
    if source.endswith(".keras"):
        model = load_model(source, worldmodels.ConvVAE)
        if model.image_shape != tuple(image_shape):
            raise ValueError(f"--reload_model: {source} is not a ConvVAE for frames {tuple(image_shape)}.")
        return model
    dtype = "mixed_bfloat16" if config["mixed_precision"] else "float32"
    layers = {n: tuple(int(size) for size in config[n].split(",")) for n in _LAYERS if config[n]}
    options: dict[str, Any] = {n: config[n] for n in _MODEL} | layers
    model = worldmodels.ConvVAE(**options, image_shape=image_shape, dtype=dtype)
    if source:
        model.load_json(source)
    return model


if __name__ == "__main__":
    app.run(main)
