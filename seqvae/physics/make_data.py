"""The command make-data, which records datasets of bouncing balls and pendulums: its settings and
what it does.
"""

import os
from dataclasses import fields, replace
from pathlib import Path

from seqvae.commands import Settings, Tool, command_settings, group, setting
from seqvae.data import load
from seqvae.physics.dataset import write_dataset
from seqvae.physics.pendulum import Pendulum
from seqvae.physics.recording import WORLDS
from seqvae.physics.worlds import World


@group("The files")
class FileSettings(Settings):
    """Settings of the files: sizes, seed, processes and shards."""

    sequences: int = setting(5000, "training sequences")
    test_sequences: int = setting(1000, "test sequences; 0 writes no test file")
    steps: int = setting(20, "frames in a sequence")
    out: str = setting("datasets", "folder for the files")
    seed: int = setting(1234, "seed of every random draw")
    workers: int = setting(os.cpu_count() or 1, "processes; the files do not depend on it")
    shards: int = setting(1, "cut each set into this many files")
    shard: int | None = setting(None, "make only this shard (0 to shards - 1)")
    preview: bool = setting(
        False, "also write WORLD.gif and WORLD.png, the first sequences to look at"
    )


@group("The world; default: the world's own value")
class WorldSettings(Settings):
    """Settings that replace a world's parameters."""

    scale: int = setting(
        1, "resolution: 1 draws 32x32 pixels, 2 draws 64x64; all lengths grow with it"
    )
    dt: float | None = setting(None, "time units between two frames")
    radius: float | None = setting(None, "radius of a ball in pixels, before scaling")
    speed_limits: str | None = setting(
        None, "low,high of the first speed, pixels per time unit, before scaling"
    )
    angle_limits: str | None = setting(None, "low,high of the first direction in degrees")
    gravity: str | None = setting(
        None, "acceleration: x,y with y up, before scaling; of a pendulum one number"
    )
    friction: float | None = setting(None, "deceleration per unit of velocity (pendulums)")
    torque: float | None = setting(None, "maximal torque of the motor (pendulums)")
    velocity_noise: float | None = setting(
        None, "standard deviation of the velocity's noise in each frame (pendulums)"
    )
    start_spread: float | None = setting(
        None, "standard deviation of the first position in pixels, before scaling"
    )
    balls: int | None = setting(None, "number of balls")
    push: float | None = setting(
        None, "standard deviation of the recorded random force, pixels per frame, before scaling"
    )
    colour: bool | None = setting(None, "draw each ball in its own colour, frames [H, W, 3]")


@command_settings
class MakeDataSettings(FileSettings, WorldSettings):
    """Settings of the command make-data. The default sizes are those of the KVAE paper."""


_FIELDS = [f.name for f in fields(WorldSettings) if f.name != "scale"]

MAKE_DATA = Tool(
    settings=MakeDataSettings,
    module="seqvae.physics.make_data",
    argument=f"world, {', '.join(WORLDS)}",
    description=f"""Makes datasets of bouncing balls and of pendulums.

    COMMAND box                       # 5000 + 1000 sequences
    COMMAND pong --sequences=200 --test_sequences=50 --workers=2 --out=/tmp/pong
    COMMAND box --shards=8 --shard=3  # one eighth of a large set, on any machine
    COMMAND polygon --preview         # adds a GIF and a contact sheet
    COMMAND pendulum --steps=100      # a rod that swings, in grey

Worlds: {", ".join(WORLDS)}. Sequence i depends on the seed and on i alone.""",
)


def run(name: str, s: MakeDataSettings) -> None:
    """Write the files of a world.

    Args:
        name: the world's name.
        s: the settings.

    Raises:
        ValueError: the world is unknown, or a setting does not apply to it.
    """
    options = {
        key: getattr(s, key)
        for key in ("sequences", "test_sequences", "steps", "seed", "workers", "shards", "shard")
    }
    paths = write_dataset(_world(name, s), s.out, **options)
    paths += _preview(paths[0]) if s.preview else []
    for path in paths:
        print(f"{path}  {path.stat().st_size / 1e6:.2f} MB")


def _world(name: str, s: MakeDataSettings) -> World | Pendulum:
    """The world called `name`, with the parameters that the settings replace."""
    if name not in WORLDS:
        raise ValueError(f"unknown world {name!r}; choose one of {', '.join(WORLDS)}.")
    world = WORLDS[name]
    given = {f: getattr(s, f) for f in _FIELDS if getattr(s, f) is not None}
    foreign = [f for f in given if f not in {field.name for field in fields(world)}]
    if foreign:
        flags = ", ".join(f"--{field}" for field in foreign)
        raise ValueError(f"{flags}: {name} has no such property. Leave it out.")
    for field, value in given.items():
        if isinstance(value, str):
            pair = isinstance(getattr(world, field), tuple)
            given[field] = _pair(field, value) if pair else _number(field, value)
    return replace(world, **given).scaled(s.scale)


def _pair(name: str, text: str) -> tuple[float, float]:
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise ValueError(
            f"--{name}: expected two numbers with a comma between them, got {text}."
        ) from None
    return low, high


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--{name}: expected a number, got {text}.") from None


def _preview(path: Path) -> list[Path]:
    """Writes a GIF and a contact sheet of the first sequences beside a dataset file."""
    from seqvae.plotting import contact_sheet, save_figure, save_video, tile_videos

    frames = load(path).frames
    movie, sheet = path.with_suffix(".gif"), path.with_suffix(".png")
    save_video(movie, tile_videos(frames[:12]))
    save_figure(
        sheet,
        contact_sheet(
            frames[:8, :10], title=f"{path.stem}: eight sequences, their first ten frames"
        ),
    )
    return [movie, sheet]
