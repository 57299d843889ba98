"""Trains a variational recurrent auto-encoder on series.

    python examples/run_vrae.py                                   # paths of bouncing balls, of different lengths
    python examples/run_vrae.py --csv=series.csv                  # features, and `sequence`: what belongs together
    python examples/run_vrae.py --npz=series.npz --window=50      # `sequences` [N, T, features], cut into windows
    python examples/run_vrae.py --run_name=mine --resume          # goes on where the run stopped

A run leaves logs/<run>_vrae/: config.json, metrics.jsonl, checkpoints/, model.keras, reconstructions, samples, an
interpolation, the space of codes, curves, evaluation.json.
"""

from pathlib import Path

from absl import app, flags

from seqvae import runs

# Data
flags.DEFINE_string("csv", "", "a CSV: features, and where there are any the columns `sequence` and `label`")
flags.DEFINE_string("npz", "", "an .npz: `sequences` [N, T, features], `mask` [N, T], `labels` [N]")
flags.DEFINE_integer("window", 0, "cut every series into windows of so many steps; 0: whole series")
flags.DEFINE_integer("sequences", 4000, "paths of balls that are made, without --csv and --npz")
flags.DEFINE_float("test_fraction", 0.1, "share of the series kept for the test")
# The model
flags.DEFINE_integer("z_size", 20, "size of the code")
flags.DEFINE_enum("rnn", "lstm", ["lstm", "gru"], "kind of RNN")
flags.DEFINE_integer("rnn_size", 128, "units of a layer")
flags.DEFINE_integer("num_layers", 1, "layers of the encoder and the decoder")
flags.DEFINE_boolean("bidirectional", True, "the encoder reads both ways")
flags.DEFINE_boolean("attention", False, "the encoder reads all its outputs, not the last alone")
flags.DEFINE_enum("decoder", "autoregressive", ["autoregressive", "latent"], "whether the decoder hears its last value")
flags.DEFINE_integer("segment_steps", None, "a decoder of two levels, with segments of so many steps")
flags.DEFINE_float("noise_var", 0.05, "variance of a value, in standardised units")
flags.DEFINE_float(
    "teacher_forcing", 1.0, "at the end of training, the share of true values heard; it falls to it evenly"
)
flags.DEFINE_float("free_bits", 0.0, "nats of KL a dimension that cost nothing")
flags.DEFINE_enum("annealing", "linear", ["none", "linear", "sigmoid", "cyclical"], "how the weight of the KL grows")
flags.DEFINE_integer("annealing_epochs", 20, "in so many epochs")
# Training
flags.DEFINE_integer("batch_size", 64, "series in a batch")
flags.DEFINE_float("learning_rate", 0.002, "of Adam")
flags.DEFINE_float("max_grad_norm", 5.0, "the gradients' global norm is clipped to it")
flags.DEFINE_integer("num_epochs", 100, "epochs")
flags.DEFINE_integer("picture_step", 20, "epochs between two sets of pictures; also after the first and the last")
runs.define_flags(presets="demo")

_MODEL = ("z_size", "rnn", "rnn_size", "num_layers", "bidirectional", "attention", "decoder", "segment_steps", "noise_var",
          "free_bits")  # fmt: skip
_TRAINING = ("batch_size", "learning_rate", "max_grad_norm", "teacher_forcing", "annealing", "annealing_epochs", "seed",
             "deterministic", "test_fraction", "window")  # fmt: skip
_OTHER = (*runs.PLACEMENT, "csv", "npz", "sequences", "num_epochs", "picture_step", "preset", "run_name", "log_dir",
          "display_step")  # fmt: skip


def main(argv: list[str]) -> None:
    runs.main(argv, (*_MODEL, *_TRAINING, *_OTHER), "vrae", _presets, _run)


def _presets() -> dict:
    from vrae.training import PRESETS

    return PRESETS


def _run(folder: Path, config: dict) -> None:
    import zlib

    from seqvae.data.batches import Batches
    from seqvae.training import Checkpoints, Stage, Trainer
    from vrae import VRAE
    from vrae.data import standardised, standardiser
    from vrae.report import Report
    from vrae.training import arrays, evaluate

    distribution = runs.prepare(config)
    train, test = _series(config).split(config["test_fraction"], config["seed"])
    scale = standardiser(train)
    train, test = standardised(train, scale), standardised(test, scale)
    with distribution.scope():
        model = VRAE(train.sequences.shape[-1], **{name: config[name] for name in _MODEL})
    signature = {n: config[n] for n in (*_MODEL, *_TRAINING)}
    signature["data"] = f"{list(train.sequences.shape)} {zlib.crc32(train.sequences.tobytes()):08x}"
    report = Report(model, test, folder, config["seed"])
    weight = _schedule(config)

    def before_epoch(epoch):
        model.kl_weight.assign(weight(epoch))
        share = epoch / max(1, config["num_epochs"] - 1)
        model.teacher_forcing.assign(1.0 + share * (config["teacher_forcing"] - 1.0))

    def after_epoch(epoch, log):
        line = log.read()[-1]
        if (epoch + 1) % config["display_step"] == 0:
            print(f"epoch {epoch + 1}/{trainer.epochs}  {line['seconds']:.1f} s  loss {line['train_loss']:.2f}  "
                  f"test ELBO {line['test_elbo']:.2f} (KL {line['test_kl']:.2f})", flush=True)  # fmt: skip
        if epoch == 0 or (epoch + 1) % config["picture_step"] == 0:
            report.pictures(epoch)

    runs.claim(folder, distribution)
    trainer = Trainer(
        model,
        Batches(arrays(train), config["batch_size"], seed=config["seed"]),
        [Stage("all", config["num_epochs"], tuple(model.trainable_variables))],
        checkpoints=Checkpoints(folder / "checkpoints", signature),
        log_folder=folder,
        learning_rate=lambda epoch: config["learning_rate"],
        clip_norm=config["max_grad_norm"],
        seed=config["seed"],
        evaluate=lambda: evaluate(model, test, seed=config["seed"]),
        before_epoch=before_epoch,
        after_epoch=after_epoch,
        distribution=distribution,
    )
    about = (
        f"{len(train.sequences)} training and {len(test.sequences)} test series of up to {train.sequences.shape[1]} steps, "
        f"{train.sequences.shape[2]} features, {model.count_params()} weights"
    )
    runs.start(trainer, folder, config, about)
    log = trainer.run()
    if log is None:
        return
    model.save(folder / "model.keras")
    report.pictures(trainer.epochs - 1)
    report.training_curves(log.read())
    print("\n".join(report.summary(report.final(evaluate(model, test, seed=config["seed"])))))


def _schedule(config: dict):
    """The weight of the KL in an epoch."""
    from seqvae.objectives import cyclical, linear, sigmoid

    epochs = config["annealing_epochs"]
    return {
        "none": lambda epochs: lambda epoch: 1.0,
        "linear": lambda epochs: linear(0, epochs),
        "sigmoid": lambda epochs: sigmoid(epochs // 2, epochs),
        "cyclical": cyclical,
    }[config["annealing"]](epochs)


def _series(config: dict):
    """The series that the flags ask for."""
    from vrae.data import Series, pad, read_csv, read_npz, windows
    from vrae.trajectories import ball_trajectories

    if config["csv"] and config["npz"]:
        raise ValueError("--csv, --npz: expected one of them.")
    if config["csv"]:
        series = read_csv(config["csv"])
    elif config["npz"]:
        series = read_npz(config["npz"])
    else:
        series = ball_trajectories(config["sequences"], seed=config["seed"])
    if not config["window"]:
        return series
    cut = []
    for sequence, mask in zip(series.sequences, series.mask, strict=True):
        steps = int(mask.sum())
        if steps >= config["window"]:
            made: Series = windows(sequence[:steps], config["window"])
            cut += list(made.sequences)
    if not cut:
        raise ValueError(f"--window: no series has {config['window']} steps.")
    return pad(cut)


if __name__ == "__main__":
    app.run(main)
