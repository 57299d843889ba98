"""Records episodes of CarRacing-v3 as World Models needs them: one compressed .npz an episode.

    pip install ".[carracing]"
    # datasets/carracing/episode-00000.npz ...
    python datasets/record_carracing.py --episodes=200 --workers=2
    # every eighth of them, on any machine
    python datasets/record_carracing.py --episodes=10000 --shards=8 --shard=3
    python datasets/record_carracing.py --preprocessing=original --policy=original

For other environments: datasets/record.py.

The same command resumes after an interruption. Episode i depends only on the seed and i, not on
the number of workers. No screen is needed.
"""

import os
from pathlib import Path

import numpy as np
from absl import app, flags

from seqvae.data import part_of
from seqvae.physics.env_episodes import (
    CarRacingHold,
    EpisodeJob,
    missing_jobs,
    record_with_bar,
    recording_main,
)
from seqvae.physics.pixel_world import PixelWorld

flags.DEFINE_integer("episodes", 200, "number of episodes (the original recorded 10000)")
flags.DEFINE_integer(
    "steps",
    1000,
    "maximal number of frames in an episode, which ends when the car leaves the field or "
    "completes its lap",
)
flags.DEFINE_enum(
    "preprocessing",
    "plain",
    ["plain", "original"],
    "original: with the original's contrast stretch and wrap-around",
)
flags.DEFINE_enum(
    "policy",
    "hold",
    ["hold", "original"],
    "hold: random actions, each held for 1 to 10 steps; original: the original's random policy",
)
flags.DEFINE_integer("seed", 0, "seed of the tracks and actions")
flags.DEFINE_integer("workers", os.cpu_count() or 1, "processes")
flags.DEFINE_integer("shards", 1, "parts that the episodes are recorded in")
flags.DEFINE_integer("shard", None, "record only the episodes of this part (0 to shards - 1)")
flags.DEFINE_string(
    "out", str(Path(__file__).resolve().parent / "carracing"), "folder of the episodes"
)


class Original:
    """The original's random controller. Its input is N(0, 1) noise in place of the code.

    The action is tanh(code W + b), where W and b are drawn once per episode from a Cauchy
    distribution with a random scale.
    """

    def __init__(self, rng: np.random.Generator, *range: np.ndarray):
        del range  # known
        width = rng.uniform(0.0, 0.01)
        self._rng = rng
        self._matrix, self._bias = (
            rng.standard_cauchy((32, 3)) * width,
            rng.standard_cauchy(3) * width,
        )

    def __call__(self) -> np.ndarray:
        """Draw the next action.

        Returns:
            Steering, gas and brake, [3].
        """
        steer, gas, brake = np.tanh(self._rng.standard_normal(32) @ self._matrix + self._bias)
        return np.array([steer, (gas + 1.0) / 2.0, np.clip(brake, 0.0, 1.0)], np.float32)


POLICIES = {"hold": CarRacingHold, "original": Original}


def jobs_of(values: dict) -> list[EpisodeJob]:
    """List the episodes that are not recorded yet.

    Args:
        values: the flags.

    Returns:
        A job for each.
    """
    steps, name = values["steps"], values["preprocessing"]
    prepare = f"worldmodels.preprocessing:{name}" if name != "plain" else ""
    return missing_jobs(
        values["out"],
        part_of(range(values["episodes"]), values["shard"], values["shards"]),
        world=PixelWorld("CarRacing-v3", max_steps=steps + 1, prepare=prepare),
        seed=values["seed"],
        steps=steps,
        policy=POLICIES[values["policy"]],
    )


def main(argv: list[str]) -> None:
    """Run the command line."""
    recording_main("record_carracing.py", argv, _record)


def _record(values: dict) -> Path:
    try:
        import Box2D  # noqa: F401
        import gymnasium  # noqa: F401
    except ImportError as error:
        raise ImportError(f'{error}. Install the simulator: pip install ".[carracing]"') from None
    record_with_bar(jobs_of(values), values["workers"], values["out"], values["episodes"])
    return Path(values["out"])


if __name__ == "__main__":
    app.run(main)
