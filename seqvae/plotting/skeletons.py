"""Plots of keypoints joined by lines: as a video of a grid of sequences, and as superimposed
poses.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image, ImageColor, ImageDraw, ImageFont

from seqvae.plotting.colours import BLUE, LINES

Edges = Sequence[tuple[int, int]]
"""Pairs of keypoint indices that a line joins."""

_FINE = 2  # antialiasing: panels are drawn larger by this factor, then pixels are averaged
_BORDER = 4
_GREY, _LINE = (205, 205, 205), (90, 90, 90)


def skeleton_movie(
    sequences: Sequence[np.ndarray],
    edges: Edges,
    *,
    inside: Sequence[np.ndarray],
    names: Sequence[str] = (),
    columns: int = 3,
    size: int = 190,
    trail: int = 12,
) -> np.ndarray:
    """Draw moving skeletons side by side.

    All panels have the same scale; y points down as in a video. Each keypoint has a trail. A
    sequence that has ended shows its last pose in grey.

    Args:
        sequences: [T_i, K, 2] each; NaN is not drawn.
        edges: pairs of keypoint indices that a line joins.
        inside: for each sequence [T_i] bool; while True, the border is coloured.
        names: of the sequences, written in their corners; empty: none.
        columns: columns of the grid.
        size: pixels of a panel's side.
        trail: frames of the trail.

    Returns:
        [T, height, width, 3] uint8, T that of the longest sequence.

    Raises:
        ValueError: there are no sequences.
    """
    if not sequences:
        raise ValueError("sequences: expected at least one, got none.")
    to_pixels = _scale(sequences, size)
    longest = max(map(len, sequences))
    rows = -(-len(sequences) // columns)
    columns = min(columns, len(sequences))
    frames = np.full((longest, rows * size, columns * size, 3), 255, np.uint8)
    for i, (sequence, shown) in enumerate(zip(sequences, inside, strict=True)):
        top, left = i // columns * size, i % columns * size
        panel = _Panel(to_pixels(sequence), edges, size, trail, names[i] if i < len(names) else "")
        for t in range(longest):
            ended = t >= len(sequence)
            drawn = panel.draw(min(t, len(sequence) - 1), not ended and bool(shown[t]), ended)
            frames[t, top : top + size, left : left + size] = drawn
    return frames


def _scale(sequences: Sequence[np.ndarray], size: int):
    """A function from positions to pixels of a panel: one scale for all, centred."""
    points = np.concatenate([sequence.reshape(-1, 2) for sequence in sequences])
    points = points[~np.isnan(points).any(axis=1)]
    if not len(points):
        points = np.zeros((1, 2))
    low, high = np.percentile(points, [0.5, 99.5], axis=0)
    reach = max(*(high - low), 1e-9) * 1.15
    scale = (size - 2 * _BORDER) / reach
    return lambda sequence: (sequence - (low + high) / 2) * scale + size / 2


class _Panel:
    """The drawing of one sequence, in pixels [T, K, 2]."""

    def __init__(self, points: np.ndarray, edges: Edges, size: int, trail: int, name: str):
        self._points, self._edges, self._size = points * _FINE, edges, size
        self._trail, self._name = trail, name
        self._font = ImageFont.load_default(12 * _FINE)

    def draw(self, t: int, inside: bool, ended: bool) -> np.ndarray:
        """The panel at step t, [size, size, 3] uint8."""
        full = self._size * _FINE
        image = Image.new("RGB", (full, full), "white")
        pen = ImageDraw.Draw(image)
        for k in range(self._points.shape[1]):
            self._draw_trail(pen, t, k)
        for a, b in self._edges:
            ends = self._points[t, [a, b]]
            if not np.isnan(ends).any():
                pen.line([*ends.ravel()], fill=_LINE if not ended else _GREY, width=2 * _FINE)
        for k, point in enumerate(self._points[t]):
            if not np.isnan(point).any():
                colour = ImageColor.getrgb(_colour(k)) if not ended else _GREY
                _dot(pen, point, 3.5 * _FINE, colour)
        colour = ImageColor.getrgb(BLUE) if inside else _GREY
        pen.rectangle([0, 0, full - 1, full - 1], outline=colour, width=_BORDER * _FINE)
        pen.text((8 * _FINE, 6 * _FINE), self._name, fill=_LINE, font=self._font)
        return np.asarray(image.resize((self._size, self._size), Image.Resampling.BOX))

    def _draw_trail(self, pen: ImageDraw.ImageDraw, t: int, k: int) -> None:
        first = max(0, t - self._trail)
        for i in range(first, t):
            ends = self._points[i : i + 2, k]
            if not np.isnan(ends).any():
                share = (i - first + 1) / (self._trail + 1)
                pen.line([*ends.ravel()], fill=_faded(_colour(k), 0.65 * share), width=_FINE)


def _dot(pen: ImageDraw.ImageDraw, point: np.ndarray, radius: float, colour) -> None:
    x, y = point
    pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)


def _colour(k: int) -> str:
    return LINES[k % len(LINES)]


def _faded(colour: str, share: float) -> tuple[int, int, int]:
    """A colour on white with the given opacity."""
    r, g, b = (round(255 + share * (part - 255)) for part in ImageColor.getrgb(colour)[:3])
    return r, g, b


def skeleton_paths(
    poses: dict[str, np.ndarray],
    edges: Edges,
    keypoints: Sequence[str] = (),
    *,
    title: str = "",
    columns: int = 4,
) -> Figure:
    """Draw sequences of poses, each superimposed in one panel: the first pose light, the last dark.

    All panels have the same scale; y points down.

    Args:
        poses: [T, K, 2] by name.
        edges: pairs of keypoint indices that a line joins.
        keypoints: names of the keypoints for a legend; empty: no legend.
        title: the figure's title.
        columns: columns of the grid.

    Returns:
        The figure.
    """
    columns = min(columns, len(poses))
    rows = -(-len(poses) // columns)
    figure = Figure(figsize=(2.5 * columns + 1.2, 2.5 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axis, (name, sequence) in zip(axes, poses.items(), strict=False):
        _draw_poses(axis, sequence, edges)
        axis.set_title(name, fontsize=9)
    for axis in axes[len(poses) :]:
        axis.set_visible(False)
    axes[0].invert_yaxis()
    if keypoints:
        handles = [
            Line2D([], [], color=_colour(k), marker="o", ls="", ms=4) for k in range(len(keypoints))
        ]
        figure.legend(handles, keypoints, loc="outside right upper", fontsize=7, frameon=False)
    figure.suptitle(title, fontsize=10)
    return figure


def _draw_poses(axis: Axes, sequence: np.ndarray, edges: Edges) -> None:
    for t, points in enumerate(sequence):
        share = 0.15 + 0.85 * (t + 1) / len(sequence)
        lines = LineCollection(
            [points[[a, b]] for a, b in edges], colors="0.3", linewidths=1.2, alpha=share**2
        )
        axis.add_collection(lines)
    for k in range(sequence.shape[1]):
        shares = (np.arange(len(sequence)) + 1) / len(sequence)
        colours = [_faded(_colour(k), share) for share in shares]
        axis.scatter(*sequence[:, k].T, s=18, c=np.array(colours) / 255, lw=0)
    axis.set_aspect("equal", "box")
    axis.set_xticks([])
    axis.set_yticks([])
