"""Trains the models that ship with the packages, and writes them with their cards.

    python benchmarks/train_presets.py                            # lists them and their commands
    python benchmarks/train_presets.py box                        # trains it: minutes each
    python benchmarks/train_presets.py box --run=logs/demo_kvae   # a finished run of its command

A model is written to <package>/presets/<class>/<name>, its weights in float16 (those of a
Controller in float64). Its card has the figures of the run, and one on a small sample, which a test
computes again. The run of `dodge` gives three models: ConvVAE, MDN-RNN and controller.
"""

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import yaml
from absl import app, flags
from timing import machine

import kvae
import seqvae
import vrae
import worldmodels
from kvae.evaluation import BASELINES, LEVELS, Imputer
from seqvae.data import Sequences, block_mask
from seqvae.data.batches import Batches
from seqvae.physics import WORLDS, record
from seqvae.physics.env_episodes import EpisodeJob, Hold, play_episode
from seqvae.physics.pixel_world import PixelWorld
from seqvae.saved_models import load_model
from vrae import vame
from vrae.runs import reconstructions
from vrae.trajectories import ball_trajectories
from vrae.vame.rnn_model import RNN_VAE
from vrae.vame.simulation import simulate_poses
from worldmodels.evaluation import evaluate_rnn

_ROOT = Path(__file__).resolve().parent.parent
_SAMPLE_SEED = 12345  # of data that no model was trained on

flags.DEFINE_string(
    "run", "", "folder of a finished run of the command, which is not trained again"
)
flags.DEFINE_string(
    "larger", "", "folder of a finished run of the larger model, which is not trained again"
)
flags.DEFINE_string("runs", str(_ROOT / "logs" / "presets"), "folder of the runs")


@dataclass(frozen=True)
class Preset:
    """A model that ships.

    Attributes:
        kind: its class; a `keras.Model`, or `Controller`.
        title: of its card.
        command: words after `seqvae`; the first is the command.
        load: from the folder of a run to the model, and what else its card's head has.
        figures: from the folder of a run to the figures of the card, by name.
        measure: what `check` computes, in words.
        check: a figure of a model on a small sample of unseen data.
        use: Python that uses the model.
        limits: when not to use it.
        tolerance: relative difference of `check` between machines.
        larger: words after `seqvae` that train a larger model on the run's episodes, whose figures
            are in the card. Empty: none.
    """

    kind: type
    title: str
    command: tuple[str, ...]
    load: Callable[[Path], tuple[Any, dict]]
    figures: Callable[[Path], Mapping[str, float]]
    measure: str
    check: Callable[[Any, Mapping], float]
    use: str
    limits: str
    tolerance: float = 2e-3
    larger: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """`<package>/presets/<class>`."""
        package = sys.modules[self.kind.__module__.partition(".")[0]]
        assert package.__file__
        return Path(package.__file__).parent / "presets" / self.kind.__name__


def _of_world(world: str, about: str) -> Preset:
    def check(model: kvae.KVAE, head: Mapping) -> float:
        del head
        images = record(WORLDS[world], sequences=20, steps=20, seed=_SAMPLE_SEED)["images"]
        mask = block_mask(20, 20, start=4, length=12)
        return Imputer(model, Sequences(images)).errors(mask).frames["smoothing"].rmse

    return Preset(
        kvae.KVAE,
        f"Kalman VAE of {about}, 32x32 pixels",
        ("kvae", "--preset=demo", f"--dataset={world}", "--seed=0"),
        lambda run: (load_model(run / "model.keras", kvae.KVAE), {}),
        _imputation,
        "root mean squared error of a pixel, smoothing over 12 missing frames after 4, 20 new "
        "sequences",
        check,
        f"""
        import kvae
        import numpy as np
        from seqvae.physics import WORLDS, record

        model = kvae.KVAE.from_preset("{world}")
        frames = record(WORLDS["{world}"], sequences=4, seed=1)["images"]
        mask = np.ones((4, 20))
        mask[:, 4:16] = 0
        filled = model.impute(frames, mask).smoothed""",
        f"For frames of the world `{world}` of this package only: another size, speed or number of "
        "objects is another world.",
    )


def _imputation(run: Path) -> dict[str, float]:
    found = json.loads((run / "imputation.json").read_text(encoding="utf-8"))
    figures = {"test ELBO, nats per frame": found["test_elbo"]["elbo"]}
    for name, errors in found["headline"]["frames"].items():
        figures[f"{_ERROR}{name}"] = errors["rmse"]
    figures[_INSIDE] = found["headline"]["coverage"]["codes"]["smoothing"][LEVELS.index(0.9)]
    return figures


_INSIDE = "share of the codes of missing frames in the 90 % intervals, smoothing"
_ERROR = "RMSE of a pixel on missing frames, "


def _better_baselines(figures: Mapping[str, float]) -> str:
    """A sentence that names the simple methods with a smaller error than smoothing, if any."""
    of_frames = {k.removeprefix(_ERROR): v for k, v in figures.items() if k.startswith(_ERROR)}
    mine = of_frames.pop("smoothing", np.inf)
    better = [name for name in BASELINES if of_frames.get(name, np.inf) < mine < np.inf]
    return f" On unseen gaps its smoothing is worse than: {', '.join(better)}." if better else ""


def _path_error(model: vrae.VRAE, head: Mapping) -> float:
    del head
    series = ball_trajectories(50, seed=_SAMPLE_SEED)
    off = np.square(reconstructions(model, series) - series.sequences)[series.mask > 0.5]
    return float(np.sqrt(off.mean()))


def _vrae_figures(run: Path) -> dict[str, float]:
    found = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    names = ("elbo", "active_units", "squared_error", "pca_squared_error", "mean_squared_error")
    return {name.replace("_", " "): found[name] for name in names}


def _vame_model(run: Path) -> tuple[RNN_VAE, dict]:
    model, statistics, _ = vame.load_best(str(run / "config.yaml"))
    return model, {"statistics": {k: float(getattr(statistics, k)) for k in ("mean", "std")}}


def _vame_figures(run: Path) -> dict[str, float]:
    found = json.loads((run / "model" / "evaluate" / "evaluation.json").read_text("utf-8"))
    motifs = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    return found | {f"NMI of motifs with the truth, {name}": f["nmi"] for name, f in motifs.items()}


def _window_error(model: RNN_VAE, head: Mapping) -> float:
    """Session 9 of the seed that the model was trained on: its motifs, at other times."""
    steps = model.get_config()["TEMPORAL_WINDOW"] // 2
    (session,) = simulate_poses(1, 50 * steps, seed=0, first=9).values()
    mean, std = (head["statistics"][name] for name in ("mean", "std"))
    windows = ((session.positions - mean) / std).T.reshape(50, steps, -1).astype(np.float32)
    return float(np.square(model(windows).prediction - windows).mean())


def _narrow_intervals(figures: Mapping[str, float]) -> str:
    """A sentence about intervals that hold fewer codes than they should."""
    inside = figures.get(_INSIDE, 0.9)
    if inside > 0.85:
        return ""
    return (
        f" Its 90 % intervals in gaps are too narrow: they hold {100 * inside:.0f} % of the codes."
    )


_DODGE = PixelWorld("seqvae/Dodge-v0", size=(32, 32))
_AGENT_STEPS = 200


def _new_episodes(steps: int) -> list[list[tuple]]:
    """Four new episodes of Dodge whose actions are held for some steps."""
    return [
        play_episode(EpisodeJob(_DODGE, Path(), i, _SAMPLE_SEED, steps, Hold)) for i in range(4)
    ]


def _frame_error(vae: worldmodels.ConvVAE, head: Mapping) -> float:
    del head
    frames = np.stack([row[0] for rows in _new_episodes(100) for row in rows])
    return float(np.sqrt(np.square(vae.reconstruct(frames) - frames / 255.0).mean()))


def _next_code_nats(rnn: worldmodels.MDNRNN, head: Mapping) -> float:
    del head
    vae, data = worldmodels.ConvVAE.from_preset("dodge"), []
    for rows in _new_episodes(100):
        frames, actions, rewards, ends = (np.stack(part) for part in zip(*rows, strict=True))
        q = vae.encode(frames)
        mean, logvar = q.mean().numpy(), 2 * np.log(q.stddev().numpy())
        data.append(
            {"mean": mean, "logvar": logvar, "actions": actions, "rewards": rewards, "done": ends}
        )
    return evaluate_rnn(rnn, Batches(worldmodels.padded(data), 4, seed=0, shuffle=False))["z"]


def _agent_score(controller: worldmodels.Controller, head: Mapping) -> float:
    del head
    parts = worldmodels.ConvVAE.from_preset("dodge"), worldmodels.MDNRNN.from_preset("dodge")
    with worldmodels.WorldRollouts(_DODGE, *parts, controller, max_steps=_AGENT_STEPS) as rollouts:
        return float(rollouts(controller.vector[None], 20, _SAMPLE_SEED).mean())


def _agent_figures(run: Path) -> dict[str, float]:
    scores = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    return {f"score of 100 episodes, {name}": found["mean"] for name, found in scores.items()}


def _stage_figures(stage: str) -> Callable[[Path], dict[str, float]]:
    def figures(run: Path) -> dict[str, float]:
        found = json.loads((run / stage / "evaluation.json").read_text(encoding="utf-8"))
        parts = [{k: v for k, v in found.items() if isinstance(v, float)}]
        parts += [
            {f"{part}, {k}": v for k, v in values.items()}
            for part, values in found.items()
            if isinstance(values, dict)
        ]
        return {k.replace("_", " "): v for part in parts for k, v in part.items()}

    return figures


def _dodge() -> tuple[Preset, ...]:
    command = ("worldmodel", "--preset=demo", "--seed=0")
    limits = (
        "For the environment `seqvae/Dodge-v0` in frames of 32x32 pixels, and only together: the "
        "MDN-RNN reads the codes of this ConvVAE, the controller those of both."
    )
    return (
        Preset(
            worldmodels.ConvVAE,
            "ConvVAE of Dodge, 32x32 pixels in colour",
            command,
            lambda run: (load_model(run / "vae.keras", worldmodels.ConvVAE), {}),
            _stage_figures("1_convvae"),
            "root mean squared error of a value in [0, 1], reconstruction of four new episodes of "
            "up to 100 frames",
            _frame_error,
            """
            import worldmodels
            from seqvae.physics.pixel_world import PixelWorld

            env = PixelWorld("seqvae/Dodge-v0", size=(32, 32)).make()
            frame = env.reset(seed=1)
            codes = worldmodels.ConvVAE.from_preset("dodge").encode(frame[None]).mean()
            env.close()""",
            limits,
            larger=(
                "convvae",
                "--filters=32,64,128",  # the paper's, of the first three layers
                "--kernel_sizes=4,4,4",
                "--decoder_filters=64,32",
                "--decoder_kernel_sizes=5,6,6",
                "--z_size=16",
                "--kl_tolerance=3",
                "--batch_size=64",
                "--learning_rate=1e-3",
                "--num_epochs=8",
                "--seed=0",
            ),
        ),
        Preset(
            worldmodels.MDNRNN,
            "MDN-RNN of Dodge",
            command,
            lambda run: (load_model(run / "rnn.keras", worldmodels.MDNRNN), {}),
            _stage_figures("1_mdnrnn"),
            "negative log-likelihood of the next code, nats per dimension, four new episodes of up "
            "to 100 frames",
            _next_code_nats,
            """
            import numpy as np
            import worldmodels

            rnn = worldmodels.MDNRNN.from_preset("dodge")
            z, action = np.zeros((1, rnn.z_size)), np.zeros((1, 1))
            predicted = rnn.step(z, action)""",
            limits,
            tolerance=0.02,
        ),
        Preset(
            worldmodels.Controller,
            "Controller for Dodge, evolved in the dream",
            command,
            lambda run: (worldmodels.Controller.load(run / "controller.npz"), {}),
            _agent_figures,
            f"mean score of 20 episodes of at most {_AGENT_STEPS} steps in the environment",
            _agent_score,
            """
            import worldmodels
            from seqvae.physics.pixel_world import PixelWorld

            agent = worldmodels.Agent(
                worldmodels.ConvVAE.from_preset("dodge"),
                worldmodels.MDNRNN.from_preset("dodge"),
                worldmodels.Controller.from_preset("dodge"),
            )
            env = PixelWorld("seqvae/Dodge-v0", size=(32, 32)).make()
            frame = env.reset(seed=1)
            agent.reset(seed=1)
            frame, reward, ended, cut = env.step(agent.act(frame))
            env.close()""",
            limits,
            tolerance=0.2,
        ),
    )


_SINGLE = {
    "box": _of_world("box", "a ball in a box"),
    "pong": _of_world("pong", "a ball between two paddles"),
    "pendulum": _of_world("pendulum", "a pendulum"),
    "paths": Preset(
        vrae.VRAE,
        "VRAE of paths of a ball in a box",
        ("vrae", "--preset=demo", "--seed=0"),
        lambda run: (load_model(run / "model.keras", vrae.VRAE), {}),
        _vrae_figures,
        "root mean squared error of a position, reconstruction of 50 new paths",
        _path_error,
        """
        import vrae
        from vrae.trajectories import ball_trajectories

        model = vrae.VRAE.from_preset("paths")
        paths = ball_trajectories(4, seed=1)
        codes = model.encode(paths.sequences, paths.mask).mean()""",
        "For positions x, y in pixels of a ball in the world `box`, 20 to 40 steps. As many "
        "principal components reconstruct these paths better (`pca squared error`).",
    ),
    "poses": Preset(
        RNN_VAE,
        "VAME's RNN-VAE of simulated poses",
        ("vame", "--preset=demo", "--seed=0"),
        _vame_model,
        _vame_figures,
        "squared error of a value, 1 is the variance of the training data, 50 windows of another "
        "session",
        _window_error,
        """
        from vrae.vame import RNN_VAE

        model = RNN_VAE.from_preset("poses")  # windows are normalised by `statistics`, above""",
        "For the simulated poses of this package only: six keypoints in body coordinates. Motifs "
        "of principal components of windows agree better with their truth than motifs of codes.",
    ),
}
PRESETS: dict[str, tuple[Preset, ...]] = {name: (preset,) for name, preset in _SINGLE.items()}
PRESETS["dodge"] = _dodge()
"""The models that the command of a name gives, in the order in which they need each other."""


def preset_of(kind: type, name: str) -> Preset:
    """The description of a model that ships."""
    (preset,) = (each for each in PRESETS[name] if each.kind is kind)
    return preset


def main(argv):
    """Run the command line."""
    values = flags.FLAGS
    if len(argv) < 2:
        for name, (preset, *_) in PRESETS.items():
            print(f"{name:10} seqvae {' '.join(preset.command)}")
        return
    for name in argv[1:]:
        if name not in PRESETS:
            raise app.UsageError(f"expected {', '.join(PRESETS)}, got {name!r}.")
        log_dir, command = Path(values.runs), PRESETS[name][0].command
        run = Path(values.run) if values.run else train(name, command, log_dir)
        for preset in PRESETS[name]:
            larger = Path(values.larger) if values.larger and preset.larger else None
            if preset.larger and not larger:
                command = (*preset.larger, f"--dataset={run / 'episodes'}")
                larger = train(f"{name}_larger", command, log_dir)
            write(preset, run, preset.folder / name, larger)


def train(name: str, command: tuple[str, ...], log_dir: Path) -> Path:
    """Run a command, from its newest checkpoint if there is one.

    Args:
        name: name of the run.
        command: words after `seqvae`.
        log_dir: folder of the runs.

    Returns:
        The run's folder.

    Raises:
        SystemExit: the run failed.
    """
    run = log_dir / f"{name}_{command[0]}"
    if (run / "report.html").exists():
        return run
    place = [f"--log_dir={log_dir}", f"--run_name={name}"]
    words = [command[0], "--resume"] if (run / "config.json").exists() else command
    if subprocess.run([sys.executable, "-m", "seqvae", *words, *place]).returncode:
        raise SystemExit(f"{run}: the run stopped. The same command resumes it.")
    return run


def write(preset: Preset, run: Path, folder: Path, larger: Path | None = None) -> None:
    """Write the model of a run and its card.

    Args:
        preset: the preset.
        run: the run's folder.
        folder: the folder of the preset.
        larger: the folder of the run of the larger model, if the preset has one.
    """
    model, about = preset.load(run)
    whole = preset.check(model, about)
    half = {"half": True} if isinstance(model, keras.Model) else {}
    model.save_to_preset(folder, "", **half)
    check = preset.check(preset.kind.from_preset(folder), about)
    head = {
        "license": "mit",
        "library_name": "keras",
        "tags": ["seqvae", preset.kind.__name__],
        "check": {"figure": preset.measure, "value": round(check, 5)},
        **about,
    }
    card = _card(preset, head, preset.figures(run), weights(model), whole)
    if larger:
        card = card.replace("\n## Limits\n", _larger_model(preset, larger) + "\n## Limits\n")
    (folder / "README.md").write_text(card, encoding="utf-8")
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {size / 1e6:.2f} MB; {preset.measure}: {check:.5f} (float32 {whole:.5f})")


def weights(model: Any) -> int:
    """The number of weights of a model or a controller."""
    return model.count_params() if isinstance(model, keras.Model) else model.size


def _larger_model(preset: Preset, run: Path) -> str:
    """The figures of the larger model, for the card."""
    model = load_model(run / "model.keras", preset.kind)
    found = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    rows = "\n".join(
        f"| {name.replace('_', ' ')} | {value:.4g} |"
        for name, value in found.items()
        if isinstance(value, float)
    )
    measured = (
        f"{preset.measure[0].upper()}{preset.measure[1:]}: {preset.check(model, {}):.5g}. That of "
        "the model in this folder is above."
    )
    words = f"seqvae {' '.join(preset.larger)} --dataset=EPISODES"
    lines = textwrap.wrap(words, 90, subsequent_indent="    ", break_on_hyphens=False)
    command = " \\\n".join(f"    {line}" for line in lines)
    return f"""
## A larger model, {model.count_params():,} weights

It was trained on the same episodes, with the paper's filters in its first three layers:

{command}

| figure | value |
|---|---|
{rows}

{textwrap.fill(measured, 100)}
"""


def _card(preset: Preset, head: dict, figures: Mapping[str, float], size: int, whole: float) -> str:
    measured = textwrap.fill(
        f"{preset.measure[0].upper()}{preset.measure[1:]}: {head['check']['value']:.5g} with the "
        f"weights in this folder (float16), {whole:.5g} with those of the run (float32).",
        100,
    )
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in figures.items())
    return f"""---
{yaml.safe_dump(head, sort_keys=False).rstrip()}
---
# {preset.title}, {size:,} weights

```python
{textwrap.dedent(preset.use).strip()}
```

## Training

    seqvae {" ".join(preset.command)}

The data are simulated by the command. seqvae {seqvae.__version__}, Keras {keras.__version__}; the
card was written on {machine()}.

## Figures of the run, on its unseen test data

| figure | value |
|---|---|
{rows}

{measured}

## Limits

{textwrap.fill(preset.limits + _narrow_intervals(figures) + _better_baselines(figures), 100)}

## Licence

MIT, as the package. No data of others are in it.
"""


if __name__ == "__main__":
    app.run(main)
