"""Table 2 of World Models on `seqvae/Dodge-v0`: JSON lines, a row each, added to a file.

    seqvae worldmodel --preset=demo --run_name=dodge        # V and M, and the recording
    python benchmarks/worldmodels_dodge.py --run=logs/dodge_worldmodel --seeds=0

A row is the score in the dream (where there is one) and in the world, mean and standard deviation
of --episodes, of

    random      actions held 1 to 10 steps;   still: no action
    dream       a controller on z and h, evolved in the dream, at each of --temperatures
    dream z     on z alone, at the first of --temperatures in the list of --z_temperatures
    world, world z      evolved in the world, on z and h, on z alone
    untrained   evolved in the world, on z and the h of an MDN-RNN with its first random weights
    plan        the cross-entropy method on the MDN-RNN, --plan_episodes episodes

Rows that are in the file already are not made again; a row that was stopped resumes from its last
generation. All controllers have the same population, rollouts and generations; those evolved in the
world have --world_generations.
"""

import json
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import keras
import numpy as np
from absl import app, flags

from seqvae.data import open_shards
from seqvae.physics.env_episodes import EpisodeJob, Hold, Uniform, episode_score, for_each
from seqvae.physics.pixel_world import PixelWorld
from seqvae.saved_models import load_model
from worldmodels import (
    MDNRNN,
    Agent,
    Controller,
    ConvVAE,
    DreamRollouts,
    Evolution,
    Planner,
    WorldRollouts,
)
from worldmodels.train_worldmodel import first_codes

flags.DEFINE_string("run", "logs/dodge_worldmodel", "a run of seqvae worldmodel")
flags.DEFINE_string("vae", "", "a ConvVAE's model.keras; default: the run's")
flags.DEFINE_string("rnn", "", "an MDN-RNN's model.keras; default: the run's")
flags.DEFINE_string("dataset", "", "folder of episodes, for first frames; default: the run's")
flags.DEFINE_list(
    "rows",
    ["random", "still", "dream", "dream z", "world", "world z", "untrained", "plan"],
    "which",
)
flags.DEFINE_list(
    "temperatures", ["0.1", "0.5", "1.0", "1.15", "1.3"], "temperatures of the dreams"
)
flags.DEFINE_list(
    "z_temperatures", ["1.15"], "temperatures of the dreams of controllers on z alone"
)
flags.DEFINE_list("seeds", ["0"], "seeds of the evolution")
flags.DEFINE_integer("population", 32, "members of a generation")
flags.DEFINE_integer("rollouts", 8, "rollouts of a member")
flags.DEFINE_integer("generations", 60, "generations in the dream")
flags.DEFINE_integer("world_generations", 30, "generations in the world")
flags.DEFINE_integer("max_steps", 600, "steps of an episode")
flags.DEFINE_integer("episodes", 100, "episodes of a score")
flags.DEFINE_integer("plan_episodes", 10, "episodes of the planner")
flags.DEFINE_integer("workers", os.cpu_count() or 1, "processes")
flags.DEFINE_string("work", "", "folder of checkpoints; default: the run's folder, table")
flags.DEFINE_string(
    "out",
    str(Path(__file__).parent / "results" / "worldmodels_dodge.jsonl"),
    "file that the lines are added to",
)
_TEST_SEED = 20_000  # away from the seeds of training


class Still(Uniform):
    """No action."""

    def __call__(self) -> np.ndarray:
        """Zeros."""
        return np.zeros(len(self._low), np.float32)


def main(argv):
    """Run the command line."""
    del argv
    f = flags.FLAGS
    out = Path(f.out)
    done = set()
    if out.exists():
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        done = {(line["row"], line.get("temperature"), line["seed"]) for line in lines}
    table = _Table()
    for seed in map(int, f.seeds):
        for row in f.rows:
            values = {"dream": f.temperatures, "dream z": f.z_temperatures}.get(row, [None])
            for temperature in (None if t is None else float(t) for t in values):
                if (row, temperature, seed) in done:
                    continue
                began = time.monotonic()
                line = {"row": row, "temperature": temperature, "seed": seed}
                line |= table.score(row, temperature, seed)
                line |= {"seconds": round(time.monotonic() - began, 1), "max_steps": f.max_steps}
                print(json.dumps(line), flush=True)
                out.parent.mkdir(parents=True, exist_ok=True)
                with open(out, "a") as file:
                    file.write(json.dumps(line) + "\n")


class _Table:
    def __init__(self):
        f = flags.FLAGS
        folder = Path(f.run)
        self._vae = load_model(f.vae or folder / "vae.keras", ConvVAE)
        self._rnn = load_model(f.rnn or folder / "rnn.keras", MDNRNN)
        frames = open_shards(f.dataset or folder / "episodes", {"frames": ""})
        self._starts = first_codes(self._vae, frames)
        self._world = PixelWorld("seqvae/Dodge-v0", size=self._vae.image_shape[:2])
        self._work = Path(f.work or folder / "table")

    def score(self, row: str, temperature: float | None, seed: int) -> dict:
        """The figures of a row."""
        if row in ("random", "still"):
            return self._blind(Hold if row == "random" else Still)
        if row == "plan":
            return self._plan(seed)
        return self._evolved(row, temperature, seed)

    def _blind(self, policy) -> dict:
        f = flags.FLAGS
        jobs = [
            EpisodeJob(self._world, Path(), i, _TEST_SEED, f.max_steps + 1, policy)
            for i in range(f.episodes)
        ]
        return _figures(world=list(for_each(episode_score, jobs, f.workers)))

    def _evolved(self, row: str, temperature: float | None, seed: int) -> dict:
        f, rnn = flags.FLAGS, self._rnn
        if row == "untrained":
            keras.utils.set_random_seed(seed)
            rnn = MDNRNN.from_config(rnn.get_config())
        controller = Controller(
            z_size=self._vae.z_size,
            rnn_size=rnn.rnn_size,
            action_size=1,
            squash="tanh",
            inputs="z" if row.endswith(" z") else "zh",
        )
        options = dict(max_steps=f.max_steps, workers=f.workers)
        memory = None if row.endswith(" z") else rnn
        dreams = None
        if temperature is not None:
            dreams = DreamRollouts(
                rnn, self._starts, controller, temperature=temperature, max_steps=f.max_steps
            )
        generations = f.world_generations if dreams is None else f.generations
        with WorldRollouts(self._world, self._vae, memory, controller, **options) as real:
            evolution = Evolution(
                controller,
                dreams or real,
                self._work / f"{row.replace(' ', '_')}_{temperature}_{seed}",
                population=f.population,
                num_rollouts=f.rollouts,
                seed=seed,
                # the table shows what the dream alone finds: no choice by the world
                check_every=generations,
                check_rollouts=f.episodes,
            )
            evolution.resume()
            evolution.run(generations)
            vector = controller.vector[None]
            scores = {"world": real(vector, f.episodes, _TEST_SEED)[0]}
        if dreams is not None:
            scores["dream"] = dreams(vector, f.episodes, _TEST_SEED)[0]
        return _figures(**scores) | {"generations": generations}

    def _plan(self, seed: int) -> dict:
        f = flags.FLAGS
        planner = Planner(self._rnn, horizon=30, samples=64, elite=8, iterations=3)
        blank = Controller(
            z_size=self._vae.z_size, rnn_size=self._rnn.rnn_size, action_size=1, squash="tanh"
        )
        scores, env = [], self._world.make()
        agent = Agent(self._vae, self._rnn, blank, seed=seed)  # for z; its state gets our actions
        for i in range(f.plan_episodes):
            agent.reset()
            frame, total = env.reset(_TEST_SEED + i), 0.0
            state = self._rnn.initial_state(1)
            for step in range(f.max_steps):
                agent.act(frame)
                if step % 2 == 0:  # an action is held: plan every other step
                    action = planner.plan(agent.z[0], state, seed=seed).actions[0]
                state = self._rnn.step(agent.z, action[None], state).state
                frame, reward, ended, _ = env.step(action)
                total += reward
                if ended:
                    break
            scores.append(total)
        return _figures(world=scores)


def _figures(**scores) -> dict:
    found = {}
    for name, each in scores.items():
        found |= {
            name: round(float(np.mean(each)), 1),
            f"{name} std": round(float(np.std(each)), 1),
        }
        found[f"{name} episodes"] = len(each)
    return found


if __name__ == "__main__":
    app.run(main)
