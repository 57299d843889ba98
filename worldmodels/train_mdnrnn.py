"""Training of an MDN-RNN from its settings: a ConvVAE, its codes of the episodes, model, report."""

from pathlib import Path

import keras
from rich.progress import Progress

from seqvae.commands import Affects, Run, saved_config
from seqvae.commands.training import train_and_report
from seqvae.data import open_shards
from seqvae.data.streams import ShardBatches
from seqvae.saved_models import load_model
from seqvae.training import Stage
from worldmodels.config import MDNRNNSettings
from worldmodels.conv_vae import ConvVAE
from worldmodels.data import episodes_of
from worldmodels.evaluation import evaluate_rnn
from worldmodels.latents import encode_episodes
from worldmodels.mdn_rnn import MDNRNN
from worldmodels.report import RNNReport


def run(run: Run) -> None:
    """Run the command `mdnrnn`.

    Args:
        run: the run.
    """
    source = run.placement.chief_first(
        lambda: Path(run.settings.vae or _newest(run.settings.log_dir))
    )
    s: MDNRNNSettings = run.change(vae=str(source))
    vae, frames = run.placement.chief_first(lambda: _vision(s))
    run.claim()
    train, test = run.placement.chief_first(
        lambda: [
            _latents(vae, part, run.folder / "latents" / n, s)
            for n, part in zip(("train", "test"), frames, strict=True)
        ]
    )
    with run.placement.scope():
        model = _model(s, vae.z_size, train.shapes["actions"][-1])
    if s.reload_model:
        arguments = model.get_config()
        s = run.adopt(arguments | {"num_mixture": arguments["num_mixtures"]})
    report = RNNReport(
        model,
        vae,
        train,
        test,
        frames[1],
        run.folder,
        seen=s.seen_steps,
        steps=s.dream_steps,
        temperature=s.temperature,
        seed=s.seed,
    )

    test_batches = _batches(test, s, shuffle=False)

    def finish(epoch: int) -> dict:
        model.save_json(run.folder / "rnn.json")
        report.dream(epoch, gif=True)
        return report.final(test_batches)

    train_and_report(
        run,
        model,
        _batches(train, s, shuffle=s.shuffle),
        [Stage("all", s.num_epochs, tuple(model.trainable_variables), jit_compile=s.jit_compile)],
        report,
        signature=_signature(s, vae, train),
        about=f"{len(train)} training and {len(test)} test episodes, {train.entries} and "
        f"{test.entries} steps, z of {vae.z_size}, actions of {train.shapes['actions'][-1]}, "
        f"{model.count_params()} weights",
        title=f"MDN-RNN of {Path(s.vae).name}: {s.run_name}",
        display=_epoch_line,
        pictures=report.dream,
        picture_step=s.picture_step,
        first_pictures=False,
        finish=finish,
        learning_rate=lambda epoch: _rate(s, epoch),
        optimizer=lambda: keras.optimizers.Adam(epsilon=1e-8, clipvalue=s.grad_clip, name="adam"),
        evaluate=lambda: evaluate_rnn(model, test_batches, s.seed),
    )


def _signature(s: MDNRNNSettings, vae: ConvVAE, train) -> dict:
    """The values that a checkpoint must agree with."""
    return s.of(Affects.MODEL, Affects.TRAINING) | {
        "z_size": vae.z_size,
        "data": train.fingerprint(),
    }


def _epoch_line(line: dict, epochs: int) -> str:
    return (
        f"epoch {line['epoch'] + 1}/{epochs}  {line['seconds']:.1f} s  loss "
        f"{line['train_loss']:.3f}  test {line['test_z']:.3f} nats per dimension"
    )


def _rate(s: MDNRNNSettings, epoch: int) -> float:
    least = s.min_learning_rate
    return (s.learning_rate - least) * s.decay_rate**epoch + least


def _vision(s: MDNRNNSettings):
    """The ConvVAE, and its training and test episodes."""
    source, saved = Path(s.vae), {}
    if source.is_dir():
        for name in ("config.json", "model.keras"):
            if not (source / name).exists():
                raise ValueError(
                    f"--vae: no {name} in {source}; expected a finished run of run_convvae.py."
                )
        saved = saved_config(source / "config.json")
        source = source / "model.keras"
    elif not source.exists():
        raise ValueError(f"--vae: no {source}. Train one with examples/run_convvae.py.")
    vae = load_model(source, ConvVAE)
    data = {"test_fraction": s.test_fraction, "seed": s.seed} | saved
    data["dataset"] = s.dataset or saved.get("dataset", "")
    if not data["dataset"]:
        raise ValueError(
            "--dataset: expected a folder of episodes, for a ConvVAE that comes without its run."
        )
    train, test = episodes_of(data, {"frames": "[T, H, W, C] uint8", "actions": "[T, action_size]"})
    if train.shapes["frames"] != vae.image_shape:
        raise ValueError(
            f"--dataset: frames of {train.shapes['frames']}, the ConvVAE was trained on "
            f"{vae.image_shape}."
        )
    return vae, (train, test)


def _newest(log_dir: str) -> Path:
    found = sorted(
        Path(log_dir).glob("*_convvae/model.keras"), key=lambda path: path.stat().st_mtime
    )
    if not found:
        raise ValueError(
            f"--vae: no finished run *_convvae in {log_dir}. Train one with "
            "examples/run_convvae.py."
        )
    return found[-1].parent


def _latents(vae: ConvVAE, frames, folder: Path, s: MDNRNNSettings):
    """The episodes' codes; missing ones are made."""
    with Progress(transient=True) as bar:
        task = bar.add_task(f"codes of {len(frames)} episodes", total=len(frames))
        encode_episodes(vae, frames, folder, lambda done: bar.advance(task, done))
    needed = {"mean": "of q(z | x)", "logvar": "of q(z | x)", "actions": "[T, action_size]"}
    heads = {"done": s.predict_done, "rewards": s.predict_reward}
    needed |= {name: "for the head that predicts it" for name, wanted in heads.items() if wanted}
    return open_shards(folder, needed, at_least=2)


def _batches(latents, s: MDNRNNSettings, shuffle: bool):
    """Windows of at most seq_len steps, plus the step after, which is only a target."""
    names = {
        name: name
        for name in ("mean", "logvar", "actions", "done", "rewards")
        if name in latents.shapes
    }
    window = min(s.seq_len + 1, max(latents.lengths))
    return ShardBatches(
        latents,
        s.batch_size,
        names,
        window=window,
        overlap=1,
        seed=s.seed,
        shuffle=shuffle,
        group=256,
    )


def _model(s: MDNRNNSettings, z_size: int, action_size: int) -> MDNRNN:
    """A new model, with the weights of --reload_model if it is given."""
    source = s.reload_model
    if source.endswith(".keras"):
        model = load_model(source, MDNRNN)
        if (model.z_size, model.action_size) != (z_size, action_size):
            raise ValueError(
                f"--reload_model: {source} is not an MDN-RNN for z of {z_size}, actions of "
                f"{action_size}."
            )
        return model
    model = MDNRNN(
        z_size=z_size,
        action_size=action_size,
        rnn_size=s.rnn_size,
        num_mixtures=s.num_mixture,
        predict_done=s.predict_done,
        predict_reward=s.predict_reward,
        dtype="mixed_bfloat16" if s.mixed_precision else "float32",
    )
    if source:
        model.load_json(source)
    return model
