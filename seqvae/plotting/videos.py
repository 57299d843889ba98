"""Videos of grids and of named rows of sequences."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from seqvae.plotting.colours import BLUE_RGB, ORANGE_RGB
from seqvae.plotting.frames import as_pixels

_BORDER = 3
_GREY = 70
_LABEL_WIDTH = 150


def tile_videos(images: np.ndarray, columns: int = 4, zoom: int = 4) -> np.ndarray:
    """Arrange sequences in a grid.

    Args:
        images: [N, T, H, W(, C)].
        columns: columns of the grid.
        zoom: factor by which pixels are enlarged.

    Returns:
        [T, height, width, 3] uint8.
    """
    tiles = [_framed(sequence, zoom, None) for sequence in as_pixels(images)]
    blank = np.zeros_like(tiles[0])
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    rows[-1] += [blank] * (columns - len(rows[-1]) if len(rows) > 1 else 0)
    return np.concatenate([np.concatenate(row, axis=2) for row in rows], axis=1)


def labelled_rows(
    rows: dict[str, np.ndarray], missing: np.ndarray | None = None, zoom: int = 4
) -> np.ndarray:
    """Arrange sequences in named rows, with the names at the left.

    Args:
        rows: [n, T, H, W(, C)] by name.
        missing: [n, T], True for missing frames, whose border is orange; None: grey borders.
        zoom: factor by which pixels are enlarged.

    Returns:
        [T, height, width, 3] uint8.
    """
    bands = []
    for name, sequences in rows.items():
        marks = [None] * len(sequences) if missing is None else missing
        tiles = [
            _framed(as_pixels(s), zoom, mark) for s, mark in zip(sequences, marks, strict=True)
        ]
        band = np.concatenate(tiles, axis=2)
        label = np.broadcast_to(
            _label(name, band.shape[1]), (len(band), band.shape[1], _LABEL_WIDTH, 3)
        )
        bands.append(np.concatenate([label, band], axis=2))
    return np.concatenate(bands, axis=1)


def overlay(truth: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """Overlay two grey videos: white if both are on, blue for truth only, orange for guess only.

    Args:
        truth: [..., H, W] in [0, 1].
        guess: [..., H, W] in [0, 1].

    Returns:
        [..., H, W, 3] uint8.
    """
    truth, guess = (as_pixels(v)[..., :1] / 255.0 for v in (truth, guess))
    both = np.minimum(truth, guess)
    mixed = 255 * both + (truth - both) * np.array(BLUE_RGB) + (guess - both) * np.array(ORANGE_RGB)
    return np.clip(mixed, 0, 255).astype(np.uint8)


def _framed(sequence: np.ndarray, zoom: int, missing: np.ndarray | None) -> np.ndarray:
    """[T, H, W, 3], enlarged, with a grey border that is orange for missing frames."""
    big = sequence.repeat(zoom, axis=1).repeat(zoom, axis=2)
    framed = np.full(
        (len(big), big.shape[1] + 2 * _BORDER, big.shape[2] + 2 * _BORDER, 3), _GREY, np.uint8
    )
    if missing is not None:
        framed[np.asarray(missing, bool)] = ORANGE_RGB
    framed[:, _BORDER:-_BORDER, _BORDER:-_BORDER] = big
    return framed


def _label(text: str, height: int, width: int = _LABEL_WIDTH) -> np.ndarray:
    """[height, width, 3] uint8: white text on black."""
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor="black")
    canvas = FigureCanvasAgg(figure)
    figure.text(0.94, 0.5, text, color="white", fontsize=10, ha="right", va="center")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
