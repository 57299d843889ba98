"""The command from-videos, which converts videos to a dataset: its settings and what it does."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from seqvae.commands import Settings, Tool, command_settings, group, setting
from seqvae.data import save
from seqvae.data.videos import VideoFormat, aspect_change, cut, read_video, video_files
from seqvae.files import DataError


@group("Frames")
class FrameSettings(Settings):
    """Settings of the frames: size, cropping, frame rate and colour."""

    size: str | None = setting(
        None, "height,width in pixels after cropping; multiples of 8 suit the default model"
    )
    crop: str | None = setting(None, "top,left,height,width in pixels of the files")
    frame_step: int = setting(1, "keep every n-th frame")
    colour: bool = setting(False, "frames [H, W, 3]; without, grey [H, W]")


@group("Sequences")
class SequenceSettings(Settings):
    """Settings of the sequences: their length, the test set and the output file."""

    steps: int = setting(20, "frames in a sequence")
    stride: int | None = setting(None, "frames between the starts of two sequences; default: steps")
    test_fraction: float = setting(0.1, "share of the test sequences; 0: no test file")
    seed: int = setting(0, "seed of the choice of test videos")
    out: str | None = setting(
        None, "file to write; default: the folder's name beside it, with .npz"
    )


@command_settings
class FromVideosSettings(FrameSettings, SequenceSettings):
    """Settings of the command from-videos. Sequences have the length used in the KVAE paper."""


FROM_VIDEOS = Tool(
    settings=FromVideosSettings,
    module="seqvae.data.from_videos",
    argument="video, or folder of videos",
    description="""Turns videos (mp4, GIF, ...), one or a folder of them, into .npz files.

    COMMAND my_videos --size=32,32                     # my_videos.npz and my_videos_test.npz
    COMMAND my_videos --size=64,64 --colour --crop=0,80,480,480 --frame_step=3 --steps=30
    python examples/run_kvae.py --dataset=my_videos.npz

Every video is cut into sequences of --steps frames. The test set consists of whole videos, or of
the end of a single video. A video that cannot be read is left out, with a message.""",
)


def run(source: str, s: FromVideosSettings) -> None:
    """Write the training and test sequences of a video, or of the videos in a folder.

    Args:
        source: a video file or a folder of videos.
        s: the settings.

    Raises:
        ValueError: a setting is out of range, or no training sequence is left.
        DataError: no video can be read.
    """
    size, crop = (
        None if v is None else _integers(name, v)
        for name, v in (("size", s.size), ("crop", s.crop))
    )
    if not 0 <= s.test_fraction < 1:
        raise ValueError(f"--test_fraction: expected a number in [0, 1), got {s.test_fraction}.")
    out = Path(s.out) if s.out else Path(source).parent / f"{Path(source).resolve().stem}.npz"
    test = out.with_name(f"{out.stem}_test.npz")
    if s.test_fraction == 0 and test.exists():
        raise ValueError(
            f"{test}: an earlier test file is there, which would be used as the test set of "
            "the new file. Remove it, or choose another --out."
        )
    videos = convert(source, VideoFormat(size, crop, s.frame_step, s.colour), s.steps, s.stride)
    test_counts = split([len(video) for video in videos], s.test_fraction, s.seed)
    overlapping = overlaps(s.steps, s.stride) if len(videos) == 1 and any(test_counts) else 0
    counted = list(zip(videos, test_counts, strict=True))
    parts = {out: [video[: len(video) - n - overlapping] for video, n in counted]}
    if not any(len(part) for part in parts[out]):
        raise ValueError(
            f"{source}: {len(videos[0])} sequences, all of which share frames with the test "
            "sequences. Use a larger --stride, fewer --steps, or --test_fraction=0."
        )
    if overlapping:
        print(f"{overlapping} sequences share frames with the test sequences and are left out")
    if any(test_counts):
        parts[test] = [video[len(video) - n :] for video, n in counted]
    for path, sequences in parts.items():
        images = np.concatenate(sequences)
        save(path, {"images": images})
        print(
            f"{path}  {len(images)} sequences of {s.steps} frames {images.shape[2:]}  "
            f"{path.stat().st_size / 1e6:.2f} MB"
        )


def overlaps(steps: int, stride: int | None) -> int:
    """Compute how many of the preceding sequences share frames with a sequence.

    Args:
        steps: frames in a sequence.
        stride: frames between the starts of two sequences; None: `steps`.

    Returns:
        The number of sequences.
    """
    return 0 if stride is None else -(-steps // stride) - 1


def split(counts: list[int], test_fraction: float, seed: int) -> list[int]:
    """Choose the test sequences: whole videos, or the end of a single video.

    Args:
        counts: sequences of each video.
        test_fraction: the share of all sequences to test on.
        seed: seed of the choice of videos.

    Returns:
        For each video the number of test sequences, which are its last ones.
    """
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


def convert(
    source: str | Path, form: VideoFormat, steps: int, stride: int | None
) -> list[np.ndarray]:
    """Cut videos into sequences.

    Videos that cannot be read or are too short are left out, with a message.

    Args:
        source: a video file or a folder of videos.
        form: how frames are converted.
        steps: frames in a sequence.
        stride: frames between the starts of two sequences; None: `steps`.

    Returns:
        The sequences [N, steps, ...] of each video.

    Raises:
        DataError: no video can be read.
        ValueError: frames differ in size, or no video has `steps` frames.
    """
    found, errors = [], []
    for path in video_files(source):
        try:
            sequences = cut(read_video(path, form), steps, stride)
            change = aspect_change(path, form)
        except DataError as error:
            print(f"{error} It is left out.", file=sys.stderr)
            errors.append(error)
            continue
        print(
            f"{path.name}: {len(sequences)} sequences"
            if len(sequences)
            else f"{path.name}: shorter than {steps} frames, left out"
        )
        if change:
            print(
                f"{path.name}: --size changes width / height from {change[0]:.2f} to "
                f"{change[1]:.2f}; --crop keeps it"
            )
        if found and sequences.shape[2:] != found[0].shape[2:]:
            raise ValueError(
                f"{path}: frames of {sequences.shape[2]}x{sequences.shape[3]} pixels, those before "
                f"have {found[0].shape[2]}x{found[0].shape[3]}. Give one --size for all."
            )
        found += [sequences] if len(sequences) else []
    if errors and not found:
        raise errors[0]
    if not found:
        raise ValueError(
            f"{source}: no video of at least {steps} frames. Use a smaller --steps or --frame_step."
        )
    return found


def _integers(name: str, text: str) -> Any:
    try:
        return tuple(int(value) for value in text.split(","))
    except ValueError:
        raise ValueError(
            f"--{name}: expected whole numbers with commas between them, got {text}."
        ) from None
