"""Trains the MDN-RNN of World Models on the codes that a trained ConvVAE gives for its episodes.

    python examples/run_mdnrnn.py                                  # on the newest run of run_convvae.py in logs/
    python examples/run_mdnrnn.py --vae=logs/mine_convvae          # on that run, its dataset and its test episodes
    python examples/run_mdnrnn.py --vae=mine.keras --dataset=datasets/carracing
    python examples/run_mdnrnn.py --run_name=mine --resume         # goes on where the run stopped

A run leaves logs/<run>_mdnrnn/: config.json, metrics.jsonl, checkpoints/, latents/, model.keras, rnn.json (the original's
format), a dream beside the real episode, curves, evaluation.json.
"""

from pathlib import Path

from absl import app, flags

from seqvae import runs

# Data
flags.DEFINE_string("vae", "", "a run's folder of run_convvae.py, or a model.keras; default: the newest run in log_dir")
flags.DEFINE_string("dataset", "", "folder of episodes (.npz with `frames` and `actions`); default: the ConvVAE's")
flags.DEFINE_float(
    "test_fraction", 0.1, "share of the episodes kept for the test; of a ConvVAE's run: the same episodes"
)
# The model
flags.DEFINE_integer("rnn_size", 256, "units of the LSTM")
flags.DEFINE_integer("num_mixture", 5, "Gaussians in the mixture of each number of z")
flags.DEFINE_boolean("predict_done", False, "a head for the episode's end (the dataset needs `done`)")
flags.DEFINE_boolean("predict_reward", False, "a head for the reward (the dataset needs `rewards`)")
# Training
flags.DEFINE_integer("batch_size", 100, "sequences in a batch")
flags.DEFINE_integer("seq_len", 999, "steps of a sequence, at most")
flags.DEFINE_float("learning_rate", 0.001, "first learning rate")
flags.DEFINE_float("decay_rate", 1.0, "factor on what the learning rate is above min_learning_rate, every epoch")
flags.DEFINE_float("min_learning_rate", 0.00001, "where it falls to")
flags.DEFINE_float("grad_clip", 1.0, "gradients are clipped to plus and minus this, number by number")
flags.DEFINE_integer("num_epochs", 40, "epochs")
flags.DEFINE_boolean("shuffle", True, "a new order of the sequences every epoch")
flags.DEFINE_boolean("mixed_precision", False, "LSTM in bfloat16, loss in float32: faster on processors that have it")
flags.DEFINE_boolean("jit_compile", False, "XLA for the training step")
flags.DEFINE_string("reload_model", "", "start from these weights: a model.keras, or the original's rnn.json")
# Dreams
flags.DEFINE_float("temperature", 0.5, "of the dreams that are drawn")
flags.DEFINE_integer("seen_steps", 20, "steps of a real episode that a dream begins with")
flags.DEFINE_integer("dream_steps", 60, "steps that are dreamt")
flags.DEFINE_integer("picture_step", 20, "epochs between two dreams; also after the last")
runs.define_flags(presets="demo")

_MODEL = ("rnn_size", "num_mixture", "predict_done", "predict_reward")
_TRAINING = ("batch_size", "seq_len", "learning_rate", "decay_rate", "min_learning_rate", "grad_clip", "shuffle", "seed",
             "deterministic", "test_fraction", "mixed_precision")  # fmt: skip
_OTHER = (
    *runs.PLACEMENT, "vae", "dataset", "num_epochs", "preset", "reload_model", "run_name", "log_dir", "display_step",
    "jit_compile", "temperature", "seen_steps", "dream_steps", "picture_step",
)  # fmt: skip


def main(argv: list[str]) -> None:
    runs.main(argv, (*_MODEL, *_TRAINING, *_OTHER), "mdnrnn", _presets, _run)


def _presets() -> dict:
    from worldmodels.training import MDNRNN_PRESETS

    return MDNRNN_PRESETS


def _run(folder: Path, config: dict) -> None:
    import keras

    from seqvae.training import Checkpoints, Stage, Trainer
    from worldmodels.evaluation import evaluate_rnn
    from worldmodels.report import RNNReport

    distribution = runs.prepare(config)
    vae, frames = distribution.chief_first(lambda: _vision(config))
    runs.claim(folder, distribution)
    train, test = distribution.chief_first(
        lambda: [
            _latents(vae, part, folder / "latents" / n, config)
            for n, part in zip(("train", "test"), frames, strict=True)
        ]
    )
    with distribution.scope():
        model = _model(config, vae.z_size, train.shapes["actions"][-1])
    signature = {n: config[n] for n in (*_MODEL, *_TRAINING)} | {"z_size": vae.z_size, "data": train.fingerprint()}
    report = RNNReport(
        model, vae, train, test, frames[1], folder, seen=config["seen_steps"], steps=config["dream_steps"],
        temperature=config["temperature"], seed=config["seed"],
    )  # fmt: skip

    def after_epoch(epoch, log):
        line = log.read()[-1]
        if (epoch + 1) % config["display_step"] == 0:
            print(f"epoch {epoch + 1}/{trainer.epochs}  {line['seconds']:.1f} s  loss {line['train_loss']:.3f}  "
                  f"test {line['test_z']:.3f} nats per dimension", flush=True)  # fmt: skip
        if (epoch + 1) % config["picture_step"] == 0:
            report.dream(epoch)

    test_batches = _batches(test, config, shuffle=False)
    trainer = Trainer(
        model,
        _batches(train, config, shuffle=config["shuffle"]),
        [Stage("all", config["num_epochs"], tuple(model.trainable_variables), jit_compile=config["jit_compile"])],
        checkpoints=Checkpoints(folder / "checkpoints", signature),
        log_folder=folder,
        learning_rate=lambda epoch: _rate(config, epoch),
        optimizer=lambda: keras.optimizers.Adam(epsilon=1e-8, clipvalue=config["grad_clip"], name="adam"),
        seed=config["seed"],
        evaluate=lambda: evaluate_rnn(model, test_batches, config["seed"]),
        after_epoch=after_epoch,
        distribution=distribution,
    )
    about = (
        f"{len(train)} training and {len(test)} test episodes, {train.entries} and {test.entries} steps, z of {vae.z_size}, "
        f"actions of {train.shapes['actions'][-1]}, {model.count_params()} weights"
    )
    runs.start(trainer, folder, config, about)
    log = trainer.run()
    if log is None:
        return
    model.save(folder / "model.keras")
    model.save_json(folder / "rnn.json")
    report.dream(trainer.epochs - 1)
    report.training_curves(log.read())
    print("\n".join(report.summary(report.final(test_batches))))


def _rate(config: dict, epoch: int) -> float:
    least = config["min_learning_rate"]
    return (config["learning_rate"] - least) * config["decay_rate"] ** epoch + least


def _vision(config: dict):
    """The ConvVAE, and its training and test episodes."""
    from seqvae.saved_models import load_model
    from worldmodels import ConvVAE
    from worldmodels.data import episodes_of

    source = Path(config["vae"] or _newest(config["log_dir"]))
    config["vae"] = str(source)
    saved = {}
    if source.is_dir():
        for name in ("config.json", "model.keras"):
            if not (source / name).exists():
                raise ValueError(f"--vae: no {name} in {source}; expected a finished run of run_convvae.py.")
        saved = runs.saved_config(source / "config.json")
        source = source / "model.keras"
    elif not source.exists():
        raise ValueError(f"--vae: no {source}. Train one with examples/run_convvae.py.")
    vae = load_model(source, ConvVAE)
    data = {"test_fraction": config["test_fraction"], "seed": config["seed"]} | saved
    data["dataset"] = config["dataset"] or saved.get("dataset", "")
    if not data["dataset"]:
        raise ValueError("--dataset: expected a folder of episodes, for a ConvVAE that comes without its run.")
    train, test = episodes_of(data, {"frames": "[T, H, W, C] uint8", "actions": "[T, action_size]"})
    if train.shapes["frames"] != vae.image_shape:
        raise ValueError(
            f"--dataset: frames of {train.shapes['frames']}, the ConvVAE was trained on {vae.image_shape}."
        )
    return vae, (train, test)


def _newest(log_dir: str) -> Path:
    found = sorted(Path(log_dir).glob("*_convvae/model.keras"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ValueError(f"--vae: no finished run *_convvae in {log_dir}. Train one with examples/run_convvae.py.")
    return found[-1].parent


def _latents(vae, frames, folder: Path, config: dict):
    """The episodes' codes, made where they are missing."""
    from rich.progress import Progress

    from seqvae.data import open_shards
    from worldmodels.latents import encode_episodes

    with Progress(transient=True) as bar:
        task = bar.add_task(f"codes of {len(frames)} episodes", total=len(frames))
        encode_episodes(vae, frames, folder, lambda done: bar.advance(task, done))
    needed = {"mean": "of q(z | x)", "logvar": "of q(z | x)", "actions": "[T, action_size]"}
    heads = {"done": config["predict_done"], "rewards": config["predict_reward"]}
    needed |= {name: "for the head that predicts it" for name, wanted in heads.items() if wanted}
    return open_shards(folder, needed, at_least=2)


def _batches(latents, config: dict, shuffle: bool):
    """Windows of at most seq_len steps and the one after, which is only a target."""
    from seqvae.data.streams import ShardBatches

    names = {name: name for name in ("mean", "logvar", "actions", "done", "rewards") if name in latents.shapes}
    window = min(config["seq_len"] + 1, max(latents.lengths))
    return ShardBatches(
        latents, config["batch_size"], names, window=window, overlap=1, seed=config["seed"], shuffle=shuffle, group=256
    )


def _model(config: dict, z_size: int, action_size: int):
    """A new model, with the weights of --reload_model where it is given."""
    import worldmodels
    from seqvae.saved_models import load_model

    source = config["reload_model"]
    if source.endswith(".keras"):
        model = load_model(source, worldmodels.MDNRNN)
        if (model.z_size, model.action_size) != (z_size, action_size):
            raise ValueError(f"--reload_model: {source} is not an MDN-RNN for z of {z_size}, actions of {action_size}.")
        return model
    model = worldmodels.MDNRNN(
        z_size=z_size, action_size=action_size, rnn_size=config["rnn_size"], num_mixtures=config["num_mixture"],
        predict_done=config["predict_done"], predict_reward=config["predict_reward"],
        dtype="mixed_bfloat16" if config["mixed_precision"] else "float32",
    )  # fmt: skip
    if source:
        model.load_json(source)
    return model


if __name__ == "__main__":
    app.run(main)
