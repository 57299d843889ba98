"""Reading of video files: frames are cropped, resized and subsampled, and cut into sequences."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
from PIL import Image

from seqvae.files import DataError

ENDINGS = (".mp4", ".gif", ".avi", ".mov", ".mkv", ".webm")


@dataclass(frozen=True)
class VideoFormat:
    """How the frames of a video are converted.

    Attributes:
        size: (height, width) in pixels after cropping; None keeps the size.
        crop: (top, left, height, width) in pixels of the file; None keeps the whole frame.
        frame_step: every frame_step-th frame is kept.
        colour: whether frames are [H, W, 3] instead of grey [H, W].

    Raises:
        ValueError: a field is out of range.
    """

    size: tuple[int, int] | None = None
    crop: tuple[int, int, int, int] | None = None
    frame_step: int = 1
    colour: bool = False

    def __post_init__(self):
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise ValueError(
                f"size: expected height,width of at least one pixel each, got {self.size}."
            )
        if self.crop is not None and (
            len(self.crop) != 4 or min(self.crop[:2]) < 0 or min(self.crop[2:]) < 1
        ):
            raise ValueError(
                f"crop: expected top,left,height,width in pixels inside the frame, got {self.crop}."
            )
        if self.frame_step < 1:
            raise ValueError(
                f"frame_step: expected an integer of at least 1, got {self.frame_step!r}."
            )


def video_files(folder: str | Path) -> list[Path]:
    """List the videos in a folder.

    Args:
        folder: a folder, or a video file.

    Returns:
        The videos by name, or the one file.

    Raises:
        FileNotFoundError: there is no video.
    """
    folder = Path(folder)
    if folder.is_file() and folder.suffix.lower() in ENDINGS:
        return [folder]
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder or video.")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    if not found:
        raise FileNotFoundError(
            f"{folder}: no video in it. Expected files that end in {', '.join(ENDINGS)}."
        )
    return found


def read_video(path: str | Path, form: VideoFormat) -> np.ndarray:
    """Read the frames of a video file.

    Args:
        path: the file.
        form: how frames are converted.

    Returns:
        [T, H, W] or [T, H, W, 3] uint8.

    Raises:
        DataError: the file is not a readable video.
        ValueError: the crop exceeds the frame.
    """
    frames = [
        _convert(frame, form, path)
        for i, frame in enumerate(_frames(Path(path)))
        if i % form.frame_step == 0
    ]
    if not frames:
        raise DataError(f"{path}: no frame in it.")
    return np.stack(frames)


def aspect_change(path: str | Path, form: VideoFormat) -> tuple[float, float] | None:
    """Compute the aspect ratios (width / height) of a video before and after resizing.

    Args:
        path: the video file.
        form: how frames are converted.

    Returns:
        The ratios before and after; None if they differ by less than 2 %.
    """
    if form.size is None:
        return None
    height, width = form.crop[2:] if form.crop else next(_frames(Path(path))).shape[:2]
    before, after = width / height, form.size[1] / form.size[0]
    return None if abs(before / after - 1) < 0.02 else (before, after)


def cut(video: np.ndarray, steps: int, stride: int | None = None) -> np.ndarray:
    """Cut a video into sequences; frames after the last full sequence are left out.

    Args:
        video: [T, ...].
        steps: frames in a sequence.
        stride: frames between the starts of two sequences; None: `steps`.

    Returns:
        [N, steps, ...].

    Raises:
        ValueError: steps or stride is less than 1.
    """
    stride = steps if stride is None else stride
    if steps < 1 or stride < 1:
        raise ValueError(f"steps={steps}, stride={stride}: expected integers of at least 1.")
    starts = range(0, len(video) - steps + 1, stride)
    return (
        np.stack([video[i : i + steps] for i in starts])
        if starts
        else np.empty((0, steps, *video.shape[1:]), video.dtype)
    )


def _frames(path: Path) -> Iterator[np.ndarray]:
    options = (
        dict(plugin="pillow", mode="RGB")
        if path.suffix.lower() == ".gif"
        else dict(plugin="FFMPEG")
    )
    try:
        yield from imageio.imiter(path, **options)
    except (
        OSError,
        ValueError,
        RuntimeError,
        IndexError,
        StopIteration,
        SyntaxError,
        EOFError,
    ) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise DataError(
            f"{path}: not a video that can be read; it may be truncated ({reason})."
        ) from error


def _convert(frame: np.ndarray, form: VideoFormat, path) -> np.ndarray:
    """Crop, resize and convert a frame [H, W, 3] uint8; `path` is for the message."""
    if form.crop is not None:
        top, left, height, width = form.crop
        if top + height > frame.shape[0] or left + width > frame.shape[1]:
            raise ValueError(
                f"{path}: crop {form.crop} leaves its frames of {frame.shape[0]}x{frame.shape[1]} "
                "pixels."
            )
        frame = frame[top : top + height, left : left + width]
    picture = Image.fromarray(frame).convert("RGB" if form.colour else "L")
    if form.size is not None:
        height, width = form.size
        picture = picture.resize(
            (width, height),
            Image.Resampling.BOX if _shrinks(frame, form.size) else Image.Resampling.BICUBIC,
        )
    return np.asarray(picture)


def _shrinks(frame: np.ndarray, size: tuple[int, int]) -> bool:
    return size[0] <= frame.shape[0] and size[1] <= frame.shape[1]
