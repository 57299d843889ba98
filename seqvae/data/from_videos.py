"""Turning a folder of videos into datasets: the settings of the command and what it does."""

from pathlib import Path
from typing import Any

import numpy as np

from seqvae.commands import Settings, Tool, command_settings, group, setting
from seqvae.data import save
from seqvae.data.videos import VideoFormat, cut, read_video, video_files


@group("Frames")
class FrameSettings(Settings):
    size: str | None = setting(
        None, "height,width in pixels after cropping; multiples of 8 suit the default model"
    )
    crop: str | None = setting(None, "top,left,height,width in pixels of the files")
    frame_step: int = setting(1, "keep every n-th frame")
    colour: bool = setting(False, "frames [H, W, 3]; without, grey [H, W]")


@group("Sequences")
class SequenceSettings(Settings):
    steps: int = setting(20, "frames in a sequence")
    stride: int | None = setting(
        None, "frames from the beginning of a sequence to that of the next; default: steps"
    )
    test_fraction: float = setting(0.1, "share of the sequences kept for the test; 0: no test file")
    seed: int = setting(0, "of the choice of test videos")
    out: str | None = setting(
        None, "file to write; default: the folder's name beside it, with .npz"
    )


@command_settings
class FromVideosSettings(FrameSettings, SequenceSettings):
    """Frames of a size of their own, sequences of the paper's length."""


FROM_VIDEOS = Tool(
    settings=FromVideosSettings,
    module="seqvae.data.from_videos",
    argument="folder of videos",
    description="""Turns a folder of videos (mp4, GIF, ...) into .npz files for the commands.

    COMMAND my_videos --size=32,32                     # my_videos.npz and my_videos_test.npz
    COMMAND my_videos --size=64,64 --colour --crop=0,80,480,480 --frame_step=3 --steps=30
    python examples/run_kvae.py --dataset=my_videos.npz

Every video is cut into sequences of --steps frames, one after another. Whole videos are kept for
the test; of a single video its end.""",
)


def run(folder: str, s: FromVideosSettings) -> None:
    """Writes the training and test sequences of the videos in `folder`."""
    size, crop = (
        None if v is None else _integers(name, v)
        for name, v in (("size", s.size), ("crop", s.crop))
    )
    if not 0 <= s.test_fraction < 1:
        raise ValueError(f"--test_fraction: expected a number in [0, 1), got {s.test_fraction}.")
    videos = convert(folder, VideoFormat(size, crop, s.frame_step, s.colour), s.steps, s.stride)
    kept = split([len(video) for video in videos], s.test_fraction, s.seed)
    out = Path(s.out) if s.out else Path(folder).parent / f"{Path(folder).resolve().name}.npz"
    parts = {out: [v[: len(v) - k] for v, k in zip(videos, kept, strict=True)]}
    if any(kept):
        parts[out.with_name(f"{out.stem}_test.npz")] = [
            v[len(v) - k :] for v, k in zip(videos, kept, strict=True)
        ]
    for path, sequences in parts.items():
        images = np.concatenate(sequences)
        save(path, {"images": images})
        print(
            f"{path}  {len(images)} sequences of {s.steps} frames {images.shape[2:]}  "
            f"{path.stat().st_size / 1e6:.2f} MB"
        )


def split(counts: list[int], test_fraction: float, seed: int) -> list[int]:
    """How many of each video's sequences, counted from its end, are for the test: whole videos, if
    there are several."""
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


def convert(folder: str, form: VideoFormat, steps: int, stride: int | None) -> list[np.ndarray]:
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
                f"{path}: frames of {sequences.shape[2]}x{sequences.shape[3]} pixels, those before "
                "have "
                f"{found[0].shape[2]}x{found[0].shape[3]}. Give one --size for all."
            )
        found += [sequences] if len(sequences) else []
    if not found:
        raise ValueError(
            f"{folder}: no video of at least {steps} frames. Use a smaller --steps or --frame_step."
        )
    return found


def _integers(name: str, text: str) -> Any:
    try:
        return tuple(int(value) for value in text.split(","))
    except ValueError:
        raise ValueError(
            f"--{name}: expected whole numbers with commas between them, got {text}."
        ) from None
