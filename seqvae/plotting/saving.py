"""Writing of figures and videos, atomically."""

import io
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
from matplotlib.figure import Figure

from seqvae.files import atomic_write


def save_figure(path: str | Path, figure: Figure, dpi: int = 120) -> None:
    """Write a figure.

    Args:
        path: the file; its suffix gives the format.
        figure: the figure.
        dpi: pixels per inch.
    """
    with atomic_write(path) as part:
        figure.savefig(part, dpi=dpi, bbox_inches="tight")


def png_bytes(figure: Figure, dpi: int = 100) -> bytes:
    """Convert a figure to the content of a PNG file.

    Args:
        figure: the figure.
        dpi: pixels per inch.

    Returns:
        The content.
    """
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=dpi, bbox_inches="tight")
    return data.getvalue()


def save_video(path: str | Path, frames: np.ndarray, fps: int = 8) -> None:
    """Write a video as .mp4 (H.264, which browsers play) or .gif (endless loop).

    mp4 needs even sizes: an odd size gets a black row or column.

    Args:
        path: the file.
        frames: [T, H, W] or [T, H, W, 3] uint8.
        fps: frames per second.

    Raises:
        ValueError: the path has another suffix.
    """
    path = Path(path)
    if path.suffix not in (".mp4", ".gif"):
        raise ValueError(f"path: expected a name that ends in .mp4 or .gif, got {path.name!r}.")
    if frames.ndim == 3:
        frames = np.repeat(frames[..., None], 3, axis=-1)
    with atomic_write(path) as part:
        if path.suffix == ".gif":
            imageio.mimwrite(part, list(frames), duration=1000 / fps, loop=0)
        else:
            even = np.pad(
                frames, [(0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)]
            )
            imageio.mimwrite(
                part, list(even), fps=fps, codec="libx264", quality=7, macro_block_size=1
            )
