"""Bouts of motifs cut from the videos that were tracked."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import numpy as np
from PIL import Image, ImageOps

from seqvae import plotting
from vrae.vame.cards.bouts import Bout, ShownBout, shown_bouts
from vrae.vame.config import Config
from vrae.vame.sessions import Session

VIDEO_ENDINGS = (".mp4", ".avi", ".mov", ".mkv")
_WIDTH, _BORDER, _COLUMNS = 240, 4, 3  # pixels, panels
_BLUE, _GREY = (0, 114, 178), (205, 205, 205)


def videos_of(folder: str | Path, sessions: Mapping[str, Session]) -> dict[str, Path]:
    """Find the video of each session.

    The name of a session is that of its video, or begins with it, as DeepLabCut names its files:
    mouse1DLC_resnet50 is a session of mouse1.mp4, mouse10 is not. The longest such name is used.

    Args:
        folder: the folder of the videos.
        sessions: the sessions by name.

    Returns:
        The videos by session. Sessions without a video are left out.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"--videos: expected a folder of videos, got {str(folder)!r}.")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEO_ENDINGS)
    found = {}
    for name in sessions:
        own = [path for path in paths if _is_of(path.stem, name)]
        if own:
            found[name] = max(own, key=lambda path: len(path.stem))
    return found


def _is_of(stem: str, session: str) -> bool:
    """Whether a session's name is a video's, or begins with it and does not continue its number."""
    rest = session.removeprefix(stem)
    continues_number = stem[-1:].isdigit() and rest[:1].isdigit()
    return session.startswith(stem) and not continues_number


def write_motif_clips(
    folder: Path,
    videos: Mapping[str, Path],
    sessions: Mapping[str, Session],
    found: Sequence[Bout],
    settings: Config,
    progress: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Write `motif_<number>_video.mp4` of every motif that has a bout in a session with a video.

    If every session has a video, the bouts are those of `write_motif_movies`. The border of a panel
    is blue during its bout. After its last frame, a panel shows that frame.

    Args:
        folder: the folder to write to.
        videos: the video of each session that has one.
        sessions: the sessions by name.
        found: the bouts.
        settings: the config.
        progress: called with a line about what is being cut.

    Returns:
        The paths of the files.

    Raises:
        ValueError: a video has another number of frames than its session, or cannot be read.
    """
    for name, path in videos.items():
        _check_frames(path, name, sessions[name].values.shape[1])
    filmed, written = [bout for bout in found if bout.session in videos], []
    for motif in sorted({bout.motif for bout in filmed}):
        progress(f"clips of motif {motif}")
        longest, seed = settings.length_of_motif_video, settings.project_random_state
        shown = shown_bouts(sessions, filmed, motif, longest=longest, seed=seed)
        panels = [_panel(videos[one.bout.session], one) for one in shown]
        written.append(folder / f"motif_{motif}_video.mp4")
        pose = sessions[shown[0].bout.session].pose
        fps = round(min(30.0, pose.fps if pose and pose.fps else 30.0))
        plotting.save_video(written[-1], _grid(panels), fps=max(1, fps))
    return written


def _reader(path: Path) -> Any:
    return imageio.get_reader(path, "ffmpeg")


def _check_frames(path: Path, name: str, expected: int) -> None:
    try:
        with _reader(path) as reader:
            frames = reader.count_frames()
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"{path}: not a readable video ({str(error)[:200]}).") from error
    if frames != expected:
        raise ValueError(
            f"{path}: {frames} frames, and the session {name} has {expected}. Give the video that "
            "was tracked, or leave --videos out."
        )


def _panel(path: Path, shown: ShownBout) -> np.ndarray:
    """The frames of a bout, with a border: [T, height, width, 3] uint8."""
    frames = []
    with _reader(path) as reader:
        for at in range(shown.first, shown.last):
            picture = Image.fromarray(reader.get_data(at))
            height = max(1, round(picture.height * _WIDTH / picture.width))
            small = picture.resize((_WIDTH, height), Image.Resampling.BOX)
            inside = shown.bout.start <= at < shown.bout.stop
            frames.append(ImageOps.expand(small, _BORDER, _BLUE if inside else _GREY))
    return np.stack([np.asarray(frame) for frame in frames])


def _grid(panels: Sequence[np.ndarray]) -> np.ndarray:
    """Panels [T_i, height_i, width, 3] side by side, [T, height, width, 3]; white below small
    ones."""
    longest, high = (max(panel.shape[axis] for panel in panels) for axis in (0, 1))
    blank = np.full((longest, high, panels[0].shape[2], 3), 255, np.uint8)
    tiles = []
    for panel in panels:
        tile = blank.copy()
        lasting = np.minimum(np.arange(longest), len(panel) - 1)
        tile[:, : panel.shape[1]] = panel[lasting]
        tiles.append(tile)
    columns = min(_COLUMNS, len(tiles))
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[i : i + columns], axis=2) for i in range(0, len(tiles), columns)]
    return np.concatenate(rows, axis=1)
