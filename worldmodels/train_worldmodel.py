"""Training of an agent: recording, ConvVAE, MDN-RNN, controller, and its score in the environment.

Every stage is resumed; a finished stage is not repeated.
"""

import dataclasses
import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.progress import track

from seqvae.commands import Command, Run
from seqvae.commands.command import parse
from seqvae.commands.settings import without_replaced
from seqvae.data import Shards, open_shards
from seqvae.physics.env_episodes import (
    EpisodeJob,
    episode_score,
    for_each,
    missing_jobs,
    policy_of,
    record_with_bar,
)
from seqvae.physics.pixel_world import PixelWorld
from seqvae.report import write_run_page
from seqvae.saved_models import load_model
from worldmodels import train_convvae, train_mdnrnn
from worldmodels.config import CONVVAE, MDNRNN, WORLDMODEL_PRESETS, WorldModelSettings
from worldmodels.controller import Controller
from worldmodels.conv_vae import ConvVAE
from worldmodels.dream_rollouts import DreamRollouts
from worldmodels.evolution import Evolution
from worldmodels.latents import encode
from worldmodels.mdn_rnn import MDNRNN as MDNRNNModel
from worldmodels.recording import record_agent
from worldmodels.report import AgentReport
from worldmodels.world_rollouts import Job, WorldRollouts

_MOST_STARTS = 1000  # first frames that are encoded as starts of dreams
_TEST_STREAM = 9  # stream of the evaluation's seeds, which differ from those of training


def run(run: Run) -> None:
    """Run the command `worldmodel`.

    Args:
        run: the run, with its settings, folder and placement.
    """
    s: WorldModelSettings = run.settings
    # a mistake is named before anything is written
    _check(s)
    world = world_of(s)
    world.make().close()
    run.claim()
    run.write_config()
    pipeline = _Pipeline(run, world)
    for i in range(1, 1 + s.iterations):
        pipeline.iterate(i)
    pipeline.evaluate()


def model_flags(s: WorldModelSettings, command: Command) -> dict[str, Any]:
    """Read the flags of a model beside those of the preset, which they replace.

    Args:
        s: the settings of the run.
        command: the command of the model, CONVVAE or MDNRNN.

    Returns:
        The settings of the command that were given.

    Raises:
        ValueError: not flags of the command.
        absl.flags.Error: an unknown flag, or a value of another type.
    """
    name = "vae_flags" if command is CONVVAE else "rnn_flags"
    words = shlex.split(WORLDMODEL_PRESETS[s.preset].get(name, "")) + shlex.split(getattr(s, name))
    given, rest = parse([f"--{name}", *words], command.settings)
    if rest or given is None:
        raise ValueError(
            f"--{name}: expected flags of `seqvae {command.name}`, got {getattr(s, name)!r}."
        )
    return given


class _Pipeline:
    """The stages of a run."""

    def __init__(self, run: Run, world: PixelWorld):
        self._run, self._s, self._world = run, run.settings, world
        self._folder: Path = run.folder
        self._workers = self._s.workers or os.cpu_count() or 1
        self._vae_path = _model_file(self._s.vae)
        self._rnn_path = _model_file(self._s.rnn)
        self._controller = Controller.load(self._s.controller) if self._s.controller else None
        self._z_controller: Controller | None = None  # with --z_only, for comparison

    def iterate(self, i: int) -> None:
        """Run iteration i, counted from 1: record episodes, train ConvVAE, MDN-RNN, controller."""
        s = self._s
        self._record(i)
        if not s.vae:
            self._vae_path = self._model(i, CONVVAE, train_convvae.run)
        if not s.rnn:
            self._rnn_path = self._model(i, MDNRNN, train_mdnrnn.run)
        vae, rnn = self._models()
        if not s.controller:
            self._controller = self._evolve(i, vae, rnn, s.inputs, "controller")
        if s.z_only and s.inputs != "z" and i == s.iterations:
            self._z_controller = self._evolve(i, vae, rnn, "z", "controller_z")

    def evaluate(self) -> None:
        """Compute the scores, and write the parts of the agent, the video and the report."""
        s, (vae, rnn) = self._s, self._models()
        assert self._controller is not None
        for path, name in ((self._vae_path, "vae.keras"), (self._rnn_path, "rnn.keras")):
            shutil.copyfile(path, self._folder / name)
        self._controller.save(self._folder / "controller.npz")
        report = AgentReport(self._folder, s)
        scores = {"random policy": self._random_scores()}
        if self._z_controller is not None:
            scores["z only"] = self._world_scores(vae, None, self._z_controller)
        scores["agent"] = self._world_scores(vae, rnn, self._controller)
        dreams = self._dreams(vae, rnn, self._controller)
        vector = self._controller.vector[None]
        scores["agent in its dream"] = dreams(vector, s.test_episodes, self._seed(_TEST_STREAM))[0]
        report.final(scores)
        with self._rollouts(vae, rnn, self._controller, rows=1) as rollouts:
            seed = self._seed(_TEST_STREAM)
            _, rows = next(rollouts.episodes(vector, [Job(0, 0)], seed))
        report.video(vae, rnn, self._controller, np.stack([row[0] for row in rows]))
        report.curves()
        print("\n".join(report.summary(scores)))
        title = f"An agent in {s.env}: {s.run_name}"
        print(write_run_page(self._run, title, lambda: report.sections(scores)))

    # --- stages ---

    def _record(self, i: int) -> None:
        s = self._s
        numbers = range((i - 1) * s.episodes, i * s.episodes)
        if s.dataset and i == 1:
            return
        if i == 1:
            jobs = missing_jobs(
                self._episodes,
                numbers,
                world=self._world,
                seed=s.seed,
                steps=s.max_steps,
                policy=policy_of(self._world, s.policy),
            )
            record_with_bar(jobs, self._workers, str(self._episodes), len(numbers))
            return
        vae, rnn = self._models()
        assert self._controller is not None
        bar = iter(track(numbers, f"{self._episodes}: by the agent"))
        record_agent(
            self._world,
            vae,
            rnn,
            self._controller,
            self._episodes,
            numbers,
            seed=s.seed,
            noise=s.noise,
            max_steps=s.max_steps - 1,
            workers=self._workers,
            progress=lambda: next(bar, None),
        )

    def _model(self, i: int, command: Command, body: Callable[[Run], None]) -> Path:
        """Train a model if it is not trained yet; return its file."""
        folder = self._folder / f"{i}_{command.name}"
        if not (folder / "model.keras").exists():
            settings = self._stage_settings(i, command)
            stage = Run(
                folder,
                settings,
                resume=(folder / "config.json").exists(),
                command_line_of=lambda s: command.command_line(s, f"seqvae {command.name}"),
            )
            stage.placement = self._run.placement
            # the first weights must not depend on whether earlier stages ran in this process
            keras.utils.set_random_seed(self._s.seed)
            body(stage)
        return folder / "model.keras"

    def _stage_settings(self, i: int, command: Command) -> Any:
        given = model_flags(self._s, command)
        preset = command.presets.get(given.get("preset", ""), {})
        config = without_replaced(preset, given, command.settings) | given
        s = self._s
        config |= dict(dataset=str(self._episodes), seed=s.seed, deterministic=s.deterministic)
        config |= dict(run_name=f"{i}", log_dir=str(self._folder), gpu=s.gpu)
        if command is MDNRNN:
            config["vae"] = str(self._vae_path)
        before = self._folder / f"{i - 1}_{command.name}" / "model.keras"
        if i > 1 and before.exists():
            config["reload_model"] = str(before)
        return command.settings(**config)

    def _evolve(self, i: int, vae: ConvVAE, rnn: MDNRNNModel, inputs: str, name: str) -> Controller:
        s, folder = self._s, self._folder / f"{i}_{name}"
        controller = Controller(
            z_size=vae.z_size,
            rnn_size=rnn.rnn_size,
            action_size=rnn.action_size,
            inputs=inputs,
            squash="carracing" if self._world.carracing else "tanh",
        )
        if (folder / "controller.npz").exists():
            return Controller.load(folder / "controller.npz")
        if i > 1 and self._controller is not None and inputs == s.inputs:
            controller.vector = self._controller.vector
        memory = None if inputs == "z" else rnn
        dreams = self._dreams(vae, rnn, controller)
        with self._rollouts(vae, memory, controller) as real:
            evolution = Evolution(
                controller,
                real if s.train_in == "world" else dreams,
                folder,
                population=s.population,
                num_rollouts=s.rollouts,
                sigma=s.sigma,
                seed=s.seed,
                check=real if s.check_in == "world" else dreams,
                check_every=s.check_every,
                check_rollouts=s.check_rollouts,
                signature=self._signature(inputs),
            )
            evolution.resume()
            print(f"{name}: {controller.size} weights on {inputs} -> {folder}")
            evolution.run(s.generations, after=self._print_line)
        controller.save(folder / "controller.npz")
        return controller

    def _print_line(self, line: dict) -> None:
        if not self._run.due(line["epoch"], self._s.display_step):
            return
        check = ""
        if "check_best" in line:
            check = f"  in the {self._s.check_in}: best {line['check_best']:.1f}"
            check += f", mean of the search {line['check_mean']:.1f}"
        print(
            f"generation {line['epoch'] + 1}/{self._s.generations}  {line['seconds']:.1f} s  "
            f"in the {self._s.train_in}: mean {line['mean']:.1f}, best {line['best']:.1f}{check}",
            flush=True,
        )

    def _signature(self, inputs: str) -> dict:
        s, world = self._s, dataclasses.asdict(self._world)
        files = [str(self._vae_path), str(self._rnn_path)]
        sizes = [Path(path).stat().st_size for path in files]
        return dict(
            inputs=inputs,
            train_in=s.train_in,
            check_in=s.check_in,
            temperature=s.temperature,
            world=world | {"max_steps": s.max_steps},
            files=[Path(path).name for path in files],
            sizes=sizes,
        )

    # --- scores ---

    def _random_scores(self) -> np.ndarray:
        s = self._s
        jobs = [
            EpisodeJob(
                world=self._world,
                path=Path(),
                index=i,
                seed=self._seed(_TEST_STREAM),
                steps=s.max_steps + 1,
                policy=policy_of(self._world, s.policy),
            )
            for i in range(s.test_episodes)
        ]
        return np.array(list(for_each(episode_score, jobs, self._workers)))

    def _world_scores(self, vae: ConvVAE, rnn: MDNRNNModel | None, controller: Controller):
        with self._rollouts(vae, rnn, controller) as rollouts:
            vector = controller.vector[None]
            return rollouts(vector, self._s.test_episodes, self._seed(_TEST_STREAM))[0]

    def _rollouts(self, vae, rnn, controller, rows: int = 64) -> WorldRollouts:
        return WorldRollouts(
            self._world,
            vae,
            rnn,
            controller,
            max_steps=self._s.max_steps,
            workers=self._workers,
            rows=rows,
        )

    def _dreams(self, vae: ConvVAE, rnn: MDNRNNModel, controller: Controller) -> DreamRollouts:
        return DreamRollouts(
            rnn,
            first_codes(vae, open_shards(self._episodes, {"frames": "[T, H, W, C] uint8"})),
            controller,
            temperature=self._s.temperature,
            max_steps=self._s.max_steps,
        )

    def _seed(self, stream: int) -> int:
        return int(np.random.SeedSequence([self._s.seed, stream]).generate_state(1)[0] >> 1)

    def _models(self) -> tuple[ConvVAE, MDNRNNModel]:
        vae: Any = load_model(self._vae_path, ConvVAE)
        rnn: Any = load_model(self._rnn_path, MDNRNNModel)
        return vae, rnn

    @property
    def _episodes(self) -> Path:
        """The folder of the episodes. A given one is not written into."""
        return Path(self._s.dataset) if self._s.dataset else self._folder / "episodes"


def first_codes(vae: ConvVAE, episodes: Shards) -> tuple[np.ndarray, np.ndarray]:
    """Encode the first frames of up to 1,000 episodes.

    Args:
        vae: the ConvVAE.
        episodes: the episodes.

    Returns:
        Mean and log-variance of q(z | x), [N, z_size] each.
    """
    count = min(len(episodes), _MOST_STARTS)
    frames = np.stack([episodes.read(i, ("frames",))["frames"][0] for i in range(count)])
    return encode(vae, frames)


def _check(s: WorldModelSettings) -> None:
    for name, needed in (("rnn", ("vae",)), ("controller", ("vae", "rnn"))):
        missing = [each for each in needed if getattr(s, name) and not getattr(s, each)]
        if missing:
            raise ValueError(
                f"--{name}: needs --{' and --'.join(missing)}, the models it was trained with."
            )
    if s.iterations > 1 and (s.dataset or s.vae or s.rnn or s.controller):
        raise ValueError(
            "--iterations: expected 1 where dataset, vae, rnn or controller are given, got "
            f"{s.iterations}. Leave them out, so that they can be trained again."
        )
    for name in ("vae", "rnn", "controller"):
        path = _model_file(getattr(s, name))
        if getattr(s, name) and not path.exists():
            raise FileNotFoundError(f"--{name}: {path}: no such file.")
    for command in (CONVVAE, MDNRNN):
        model_flags(s, command)
    for name in ("max_steps", "episodes", "iterations", "generations", "test_episodes"):
        if getattr(s, name) < 1:
            raise ValueError(
                f"--{name}: expected an integer of at least 1, got {getattr(s, name)}."
            )


def world_of(s: WorldModelSettings) -> PixelWorld:
    """Describe the environment of a run.

    Args:
        s: the run's settings.

    Returns:
        The environment's description.

    Raises:
        ValueError: --size is malformed.
    """
    parts = s.size.split(",")
    if len(parts) != 2 or not all(part.isdigit() and int(part) for part in parts):
        raise ValueError(f"--size: expected height,width such as 64,64, got {s.size!r}.")
    return PixelWorld(s.env, size=(int(parts[0]), int(parts[1])), render=s.render)


def _model_file(given: str) -> Path:
    path = Path(given)
    return path / "model.keras" if given and path.is_dir() else path
