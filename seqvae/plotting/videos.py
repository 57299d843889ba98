"""Videos of grids, and of named rows and columns of sequences."""

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from seqvae.plotting.colours import BLUE_RGB, GREEN_RGB, MISSING_RGB, ORANGE_RGB
from seqvae.plotting.frames import as_pixels

_BORDER = 3
_GREY = 70
_LABEL_WIDTH = 150
_TEXT = 12  # pixels
_LINE = 18
_FINE = 2  # a plane is drawn this much larger, and its pixels averaged: smooth lines
Colour = tuple[int, int, int]


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
        missing: [n, T], True for missing frames, whose border is purple; None: grey borders.
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


def labelled_columns(
    columns: dict[str, np.ndarray],
    *,
    legend: Sequence[tuple[Colour, str]],
    missing: np.ndarray | None = None,
    zoom: int = 4,
    planes: dict[str, np.ndarray] | None = None,
) -> np.ndarray:
    """Arrange versions of the same sequences in named columns, one row per sequence.

    Args:
        columns: [n, T, H, W(, C)] by name.
        legend: colours and what they mean, below the columns.
        missing: [n, T], True for missing frames, whose border is purple; None: grey borders.
        zoom: factor by which pixels are enlarged.
        planes: further columns, [n, T, zoom * H, width, 3] uint8 by name, which are not enlarged.

    Returns:
        [T, height, width, 3] uint8.
    """
    tiles = {name: (as_pixels(sequences), zoom) for name, sequences in columns.items()}
    tiles |= {name: (sequences, 1) for name, sequences in (planes or {}).items()}
    bands = []
    for name, (sequences, factor) in tiles.items():
        marks = [None] * len(sequences) if missing is None else missing
        rows = [_framed(s, factor, mark) for s, mark in zip(sequences, marks, strict=True)]
        band = np.concatenate(rows, axis=1)
        head = _texts([((255, 255, 255), name)], band.shape[2], marked=False)
        bands.append(np.concatenate([np.repeat(head[None], len(band), axis=0), band], axis=1))
    video = np.concatenate(bands, axis=2)
    below = _texts(legend, video.shape[2])
    return np.concatenate([video, np.repeat(below[None], len(video), axis=0)], axis=1)


def code_planes(paths: dict[str, np.ndarray], size: int) -> np.ndarray:
    """Draw codes that move: the first two dimensions in the plane, one dimension over time.

    Args:
        paths: [n, T, dim_a] by name: "encoded" (blue, drawn whole), "smoothed" (orange) and
            "generated" (green), drawn up to the present frame.
        size: pixels of a plane.

    Returns:
        [n, T, size, size, 3] uint8.
    """
    colours = {"encoded": BLUE_RGB, "smoothed": ORANGE_RGB, "generated": GREEN_RGB}
    points = {name: _in_plane(codes) for name, codes in paths.items()}
    count, steps = points["encoded"].shape[:2]
    video = np.empty((count, steps, size, size, 3), np.uint8)
    for i in range(count):
        low, high = points["encoded"][i].min(axis=0), points["encoded"][i].max(axis=0)
        reach = np.maximum(high - low, 1e-9)
        scaled = {
            name: np.clip((p[i] - low) / reach * 0.7 + 0.15, -0.1, 1.1) * size * _FINE
            for name, p in points.items()
        }
        for t in range(steps):
            video[i, t] = _plane(scaled, colours, t, size)
    return video


def _in_plane(codes: np.ndarray) -> np.ndarray:
    """[n, T, 2] with y upwards: the first two dimensions, or time and the only one."""
    codes = np.nan_to_num(codes)
    if codes.shape[-1] == 1:
        time = np.broadcast_to(np.arange(codes.shape[1])[:, None], codes.shape)
        codes = np.concatenate([time, codes], axis=-1)
    return codes[..., :2] * (1, -1)


def _plane(paths: dict[str, np.ndarray], colours: dict[str, Colour], t: int, size: int):
    image = Image.new("RGB", (size * _FINE, size * _FINE), (20, 20, 20))
    pen = ImageDraw.Draw(image)
    for name, points in paths.items():
        shown = points if name == "encoded" else points[: t + 1]
        if len(shown) > 1:
            pen.line([*shown.ravel()], fill=colours[name], width=_FINE)
    for name, points in paths.items():
        (x, y), r = points[t], 3 * _FINE
        pen.ellipse([x - r, y - r, x + r, y + r], fill=colours[name])
    return np.asarray(image.resize((size, size), Image.Resampling.BOX))


def _texts(entries: Sequence[tuple[Colour, str]], width: int, marked: bool = True) -> np.ndarray:
    """[height, width, 3] uint8: texts on black, in as many lines as they need; marked: a square of
    its colour before each."""
    font, places, x, y = ImageFont.load_default(_TEXT), [], 4, 2
    for colour, text in entries:
        needed = font.getlength(text) + (_TEXT + 14 if marked else 0)
        if x > 4 and x + needed > width:
            x, y = 4, y + _LINE
        places.append((x, y, colour, text))
        x += needed
    image = Image.new("RGB", (width, y + _LINE), "black")
    pen = ImageDraw.Draw(image)
    for x, y, colour, text in places:
        if marked:
            pen.rectangle([x, y + 2, x + _TEXT - 2, y + _TEXT], fill=colour)
        pen.text((x + (_TEXT + 2 if marked else 0), y), text, fill=(235, 235, 235), font=font)
    return np.asarray(image)


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
    """[T, H, W, 3], enlarged, with a grey border that is purple for missing frames."""
    big = sequence.repeat(zoom, axis=1).repeat(zoom, axis=2)
    framed = np.full(
        (len(big), big.shape[1] + 2 * _BORDER, big.shape[2] + 2 * _BORDER, 3), _GREY, np.uint8
    )
    if missing is not None:
        framed[np.asarray(missing, bool)] = MISSING_RGB
    framed[:, _BORDER:-_BORDER, _BORDER:-_BORDER] = big
    return framed


def _label(text: str, height: int, width: int = _LABEL_WIDTH) -> np.ndarray:
    """[height, width, 3] uint8: white text on black."""
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor="black")
    canvas = FigureCanvasAgg(figure)
    figure.text(0.94, 0.5, text, color="white", fontsize=10, ha="right", va="center")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
