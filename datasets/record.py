"""Records episodes of a gymnasium environment of pixels as World Models needs them: one compressed
.npz an episode.

    pip install ".[dream]"
    python datasets/record.py --env=seqvae/Dodge-v0 --episodes=200      # datasets/Dodge-v0/
    python datasets/record.py --env=Pendulum-v1 --render                # no pictures of its own
    # by an agent: a folder of run_worldmodel.py, or its three parts
    python datasets/record.py --env=seqvae/Dodge-v0 --policy=agent --agent=logs/mine_worldmodel
    python datasets/record.py --env=seqvae/Dodge-v0 --policy=agent --vae=vae.keras --rnn=rnn.keras \
        --controller=controller.npz --noise=0.2

The same command resumes after an interruption. Episode i depends only on the seed and i, not on
the number of workers. No screen is needed. For the original's policy and preprocessing of CarRacing
see record_carracing.py.
"""

import os
from pathlib import Path

from absl import app, flags
from rich.progress import track

from seqvae.data import part_of
from seqvae.physics.env_episodes import (
    POLICIES,
    missing_jobs,
    policy_of,
    record_with_bar,
    recording_main,
)
from seqvae.physics.pixel_world import PixelWorld

flags.DEFINE_string("env", "seqvae/Dodge-v0", "the environment's id, as gymnasium.make takes it")
flags.DEFINE_enum(
    "policy",
    "hold",
    [*POLICIES, "agent"],
    "random: uniform actions; hold: held 1 to 10 steps; agent: ConvVAE, MDN-RNN and controller",
)
flags.DEFINE_integer("episodes", 200, "number of episodes")
flags.DEFINE_integer("steps", 1000, "maximal number of frames in an episode")
flags.DEFINE_string("size", "64,64", "height and width of a frame, pixels")
flags.DEFINE_boolean("render", False, "use the environment's rendered pictures as frames")
flags.DEFINE_integer("seed", 0, "seed of the environments and actions")
flags.DEFINE_integer("workers", os.cpu_count() or 1, "processes")
flags.DEFINE_integer("shards", 1, "parts that the episodes are recorded in")
flags.DEFINE_integer("shard", None, "record only the episodes of this part (0 to shards - 1)")
flags.DEFINE_string("out", "", "folder of the episodes; default: the environment's name, here")
flags.DEFINE_string("agent", "", "agent: the folder of a run of run_worldmodel.py")
flags.DEFINE_string("vae", "", "agent: a ConvVAE's model.keras")
flags.DEFINE_string("rnn", "", "agent: an MDN-RNN's model.keras; none for a controller of z alone")
flags.DEFINE_string("controller", "", "agent: a controller.npz")
flags.DEFINE_float("noise", 0.0, "agent: noise of the controller's weights, relative to their size")


def main(argv: list[str]) -> None:
    """Run the command line."""
    recording_main("record.py", argv, _recorded)


def _recorded(values: dict) -> Path:
    default = Path(__file__).resolve().parent / values["env"].split("/")[-1].split(":")[-1]
    out = Path(values["out"] or default)
    record = _record_agent if values["policy"] == "agent" else _record
    record(values, out)
    return out


def _record(values: dict, out: Path) -> None:
    world = _world(values)
    world.make().close()  # a mistake is named before processes start
    jobs = missing_jobs(
        out,
        _numbers(values),
        world=world,
        seed=values["seed"],
        steps=values["steps"],
        policy=policy_of(world, values["policy"]),
    )
    record_with_bar(jobs, values["workers"], str(out), values["episodes"])


def _record_agent(values: dict, out: Path) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from worldmodels.recording import record_agent
    from worldmodels.saved_agents import load_parts

    folder = values["agent"]
    names = dict(vae="vae.keras", rnn="rnn.keras", controller="controller.npz")
    paths = {
        name: values[name] or (str(Path(folder) / file) if folder else "")
        for name, file in names.items()
    }
    vae, rnn, controller = load_parts(**paths)
    numbers = _numbers(values)
    bar = iter(track(numbers, str(out)))
    record_agent(
        _world(values),
        vae,
        rnn,
        controller,
        out,
        numbers,
        seed=values["seed"],
        noise=values["noise"],
        max_steps=values["steps"] - 1,
        workers=values["workers"],
        progress=lambda: next(bar, None),
    )


def _world(values: dict) -> PixelWorld:
    parts = values["size"].split(",")
    if len(parts) != 2 or not all(part.isdigit() and int(part) for part in parts):
        raise ValueError(f"--size: expected height,width such as 64,64, got {values['size']!r}.")
    size = int(parts[0]), int(parts[1])
    return PixelWorld(values["env"], size=size, max_steps=values["steps"], render=values["render"])


def _numbers(values: dict) -> range:
    return part_of(range(values["episodes"]), values["shard"], values["shards"])


if __name__ == "__main__":
    app.run(main)
