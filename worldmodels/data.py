"""The episodes of a training: recorded ones, or episodes of pushed balls, which are made if
missing.
"""

from dataclasses import replace
from pathlib import Path

from rich.progress import track

from seqvae.data import Shards, open_shards
from seqvae.physics import BALL_WORLDS, write_episode

BALLS = "balls"
PUSHED_BALLS = replace(
    BALL_WORLDS["box_push"], name=BALLS, colour=True, balls=2, radius=5.0
).scaled(2)
"""Two coloured balls in a box, 64x64 pixels, pushed at every frame by a random force, the
action.
"""


def episodes_of(config: dict, needed: dict[str, str]) -> tuple[Shards, Shards]:
    """Open the training and test episodes of a command.

    Args:
        config: settings by name: `dataset`, `test_fraction`, `seed`; for pushed balls also
            `data_dir`, `episodes` and `steps`.
        needed: arrays that the episodes must have, each with a description.

    Returns:
        Training and test episodes.
    """
    folder = Path(config["dataset"])
    if config["dataset"] == BALLS:
        folder = Path(config["data_dir"]) / f"{BALLS}-{config['steps']}"
        _make_balls(folder, config["episodes"], config["steps"])
    episodes = open_shards(folder, needed)
    if config["dataset"] == BALLS:
        episodes = episodes.take(range(config["episodes"]))
    return episodes.split(config["test_fraction"], config["seed"])


def _make_balls(folder: Path, episodes: int, steps: int) -> None:
    paths = [folder / f"episode-{i:05d}.npz" for i in range(episodes)]
    missing = [(i, path) for i, path in enumerate(paths) if not path.exists()]
    for i, path in track(missing, f"{folder}: making {len(missing)} episodes", disable=not missing):
        write_episode(PUSHED_BALLS, path, i, steps=steps)
