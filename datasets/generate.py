"""Makes the bouncing-ball datasets.

    python datasets/generate.py box                       # 5000 + 1000 sequences into datasets/
    python datasets/generate.py pong --sequences=200 --test_sequences=50 --workers=2 --out=/tmp/pong
    python datasets/generate.py box --shards=8 --shard=3  # one eighth of a large set, on any machine
    python datasets/generate.py polygon --preview         # adds a GIF and a contact sheet

Worlds: box, box_gravity, polygon, pong, box_push. Sequence i depends on the seed and on i alone.
"""

import os
from dataclasses import replace
from pathlib import Path

from absl import app, flags

from seqvae.data import load
from seqvae.physics import WORLDS, World, write_dataset

_HERE = Path(__file__).resolve().parent

flags.DEFINE_integer("sequences", 5000, "training sequences")
flags.DEFINE_integer("test_sequences", 1000, "test sequences; 0 writes no test file")
flags.DEFINE_integer("steps", 20, "frames in a sequence")
flags.DEFINE_integer("scale", 1, "resolution: 1 draws 32x32 pixels, 2 draws 64x64; every length grows with it")
flags.DEFINE_float("dt", None, "time units from frame to frame")
flags.DEFINE_float("radius", None, "radius of a ball in pixels, before scaling")
flags.DEFINE_list("speed_limits", None, "low,high of the first speed, pixels per time unit, before scaling")
flags.DEFINE_list("angle_limits", None, "low,high of the first direction in degrees")
flags.DEFINE_list("gravity", None, "x,y of the acceleration, y up, before scaling")
flags.DEFINE_float("start_spread", None, "standard deviation of the first position in pixels, before scaling")
flags.DEFINE_integer("balls", None, "number of balls")
flags.DEFINE_float("push", None, "standard deviation of the recorded random force, pixels per frame, before scaling")
flags.DEFINE_boolean("colour", None, "draw each ball in its own colour, frames [H, W, 3]")
flags.DEFINE_integer("seed", 1234, "seed of every random draw")
flags.DEFINE_integer("workers", os.cpu_count() or 1, "processes; the files do not depend on it")
flags.DEFINE_string("out", str(_HERE), "folder for the files")
flags.DEFINE_integer("shards", 1, "cut each set into this many files")
flags.DEFINE_integer("shard", None, "make only this shard (0 to shards - 1)")
flags.DEFINE_boolean("preview", False, "also write WORLD.gif and WORLD.png, the first sequences to look at")

_FIELDS = ("dt", "radius", "speed_limits", "angle_limits", "gravity", "start_spread", "balls", "push", "colour")


def world_from_flags(name: str, values: dict) -> World:
    """The world called `name`, with every field given in `values` (None: keep) changed."""
    if name not in WORLDS:
        raise app.UsageError(f"unknown world {name!r}; choose one of {', '.join(WORLDS)}")
    given = {field: values[field] for field in _FIELDS if values[field] is not None}
    for field in ("speed_limits", "angle_limits", "gravity"):
        if field in given:
            given[field] = _pair(field, given[field])
    return replace(WORLDS[name], **given).scaled(values["scale"])


def preview(path: Path) -> list[Path]:
    """Writes a GIF and a contact sheet of the first sequences beside a dataset file."""
    from seqvae.plotting import contact_sheet, save_figure, save_video, tile_videos

    images = load(path).images
    movie, sheet = path.with_suffix(".gif"), path.with_suffix(".png")
    save_video(movie, tile_videos(images[:12]))
    save_figure(sheet, contact_sheet(images[:8, :10], title=f"{path.stem}: eight sequences, their first ten frames"))
    return [movie, sheet]


def _pair(name: str, values: list[str]) -> tuple[float, float]:
    try:
        low, high = map(float, values)
    except ValueError:
        raise app.UsageError(f"--{name}: expected two numbers with a comma between them, got {values}") from None
    return low, high


def main(argv: list[str]) -> None:
    values = flags.FLAGS.flag_values_dict()
    if len(argv) != 2:
        raise app.UsageError(f"give one world: {', '.join(WORLDS)}")
    try:
        world = world_from_flags(argv[1], values)
        options = ("sequences", "test_sequences", "steps", "seed", "workers", "shards", "shard")
        paths = write_dataset(world, values["out"], **{name: values[name] for name in options})
        paths += preview(paths[0]) if values["preview"] else []
    except (ValueError, OSError) as error:
        raise SystemExit(f"generate.py: {error}") from None
    for path in paths:
        print(f"{path}  {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    app.run(main)
