"""Turns a folder of videos (mp4, GIF, ...) into the .npz files that the programs here read.

    python datasets/from_videos.py my_videos --size=32,32                     # my_videos.npz and my_videos_test.npz
    python datasets/from_videos.py my_videos --size=64,64 --colour --crop=0,80,480,480 --frame_step=3 --steps=30
    python examples/run_kvae.py --dataset=my_videos.npz

Every video is cut into sequences of --steps frames, one after another. Whole videos are kept for the test; of a single video
its end.
"""

from pathlib import Path
from typing import Any

import numpy as np
from absl import app, flags

from seqvae.data import save
from seqvae.data.videos import VideoFormat, cut, read_video, video_files

flags.DEFINE_list("size", None, "height,width in pixels after cropping; multiples of 8 suit the default model")
flags.DEFINE_list("crop", None, "top,left,height,width in pixels of the files")
flags.DEFINE_integer("frame_step", 1, "keep every n-th frame")
flags.DEFINE_boolean("colour", False, "frames [H, W, 3]; without, grey [H, W]")
flags.DEFINE_integer("steps", 20, "frames in a sequence")
flags.DEFINE_integer("stride", None, "frames from the beginning of a sequence to that of the next; default: steps")
flags.DEFINE_float("test_fraction", 0.1, "share of the sequences kept for the test; 0: no test file")
flags.DEFINE_integer("seed", 0, "of the choice of test videos")
flags.DEFINE_string("out", None, "file to write; default: the folder's name beside it, with .npz")


def split(counts: list[int], test_fraction: float, seed: int) -> list[int]:
    """How many of each video's sequences, counted from its end, are for the test: whole videos, if there are several."""
    wanted = test_fraction * sum(counts)
    if wanted == 0:
        return [0] * len(counts)
    if len(counts) == 1:
        return [min(max(1, round(wanted)), counts[0] - 1)]
    chosen = [0] * len(counts)
    for i in np.random.default_rng(seed).permutation(len(counts))[:-1]:  # one is left for training
        if sum(chosen) + counts[i] / 2 <= wanted:
            chosen[i] = counts[i]
    if not any(chosen):
        smallest = int(np.argmin(counts))
        chosen[smallest] = counts[smallest]
    return chosen


def convert(folder: str | Path, form: VideoFormat, steps: int, stride: int | None) -> list[np.ndarray]:
    """The sequences [N, steps, ...] of each video that is long enough, all of one frame size."""
    found = []
    for path in video_files(folder):
        sequences = cut(read_video(path, form), steps, stride)
        print(
            f"{path.name}: {len(sequences)} sequences"
            if len(sequences)
            else f"{path.name}: shorter than {steps} frames, left out"
        )
        if found and sequences.shape[2:] != found[0].shape[2:]:
            raise ValueError(
                f"{path}: frames of {sequences.shape[2]}x{sequences.shape[3]} pixels, those before have "
                f"{found[0].shape[2]}x{found[0].shape[3]}. Give one --size for all."
            )
        found += [sequences] if len(sequences) else []
    if not found:
        raise ValueError(f"{folder}: no video of at least {steps} frames. Use a smaller --steps or --frame_step.")
    return found


def main(argv: list[str]) -> None:
    if len(argv) != 2:
        raise app.UsageError("give one folder of videos")
    f, folder = flags.FLAGS, Path(argv[1])
    try:
        size, crop = (None if v is None else _integers(name, v) for name, v in (("size", f.size), ("crop", f.crop)))
        if not 0 <= f.test_fraction < 1:
            raise ValueError(f"--test_fraction: expected a number in [0, 1), got {f.test_fraction}.")
        videos = convert(folder, VideoFormat(size, crop, f.frame_step, f.colour), f.steps, f.stride)
        kept = split([len(video) for video in videos], f.test_fraction, f.seed)
        out = Path(f.out) if f.out else folder.parent / f"{folder.resolve().name}.npz"
        parts = {out: [v[: len(v) - k] for v, k in zip(videos, kept, strict=True)]}
        if any(kept):
            parts[out.with_name(f"{out.stem}_test.npz")] = [v[len(v) - k :] for v, k in zip(videos, kept, strict=True)]
        for path, sequences in parts.items():
            images = np.concatenate(sequences)
            save(path, {"images": images})
            print(
                f"{path}  {len(images)} sequences of {f.steps} frames {images.shape[2:]}  {path.stat().st_size / 1e6:.2f} MB"
            )
    except (ValueError, OSError) as error:
        raise SystemExit(f"from_videos.py: {error}") from None


def _integers(name: str, values: list[str]) -> tuple[Any, ...]:
    try:
        return tuple(int(value) for value in values)
    except ValueError:
        raise ValueError(
            f"--{name}: expected whole numbers with commas between them, got {','.join(values)}."
        ) from None


if __name__ == "__main__":
    app.run(main)
