"""Still pictures of frames."""

import numpy as np
from matplotlib.figure import Figure

from seqvae.plotting.colours import MISSING


def as_pixels(images: np.ndarray) -> np.ndarray:
    """Convert frames to RGB. A last axis of size 1 or 3 is taken as channels.

    Args:
        images: [..., H, W] or [..., H, W, C], uint8, bool, or floats in [0, 1].

    Returns:
        [..., H, W, 3] uint8.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8:
        images = np.round(255 * np.clip(np.nan_to_num(images.astype(np.float64)), 0, 1)).astype(
            np.uint8
        )
    if images.shape[-1] not in (1, 3):
        images = images[..., None]
    return np.broadcast_to(images, (*images.shape[:-1], 3)).copy()


def contact_sheet(images: np.ndarray, title: str) -> Figure:
    """Draw sequences, one per row, time from left to right.

    Args:
        images: [N, T, H, W(, C)].
        title: the figure's title.

    Returns:
        The figure.
    """
    rows = {f"{i}": sequence for i, sequence in enumerate(images)}
    return film_strips(rows, title=title)


def film_strips(
    rows: dict[str, np.ndarray],
    *,
    title: str,
    missing: np.ndarray | None = None,
    x_label: str = "frame",
    x_ticks: list | None = None,
) -> Figure:
    """Draw named sequences below each other, time from left to right.

    Args:
        rows: [T, H, W(, C)] by name.
        title: the figure's title.
        missing: [T], True for missing steps, which are marked; None: no marks.
        x_label: the label of the x axis.
        x_ticks: [T], names of the columns; None: the step's number.

    Returns:
        The figure.
    """
    strips = {name: as_pixels(sequence) for name, sequence in rows.items()}
    steps, height, width = next(iter(strips.values())).shape[:3]
    gap = 2
    figure = Figure(figsize=(1.4 + 0.62 * steps, 0.7 + 0.66 * len(strips) * height / width))
    axes = figure.subplots(len(strips), 1, squeeze=False)[:, 0]
    for axis, (name, strip) in zip(axes, strips.items(), strict=True):
        film = np.full((height, steps * (width + gap) - gap, 3), 150, np.uint8)
        for t, frame in enumerate(strip):
            film[:, t * (width + gap) : t * (width + gap) + width] = frame
        axis.imshow(film, interpolation="nearest", aspect="equal")
        axis.set_yticks([height / 2 - 0.5], [name], fontsize=9)
        axis.tick_params(length=0)
        axis.set_xticks([])
        for side in axis.spines.values():
            side.set_visible(False)
        if missing is not None:
            for t in np.flatnonzero(missing):
                axis.plot(
                    [t * (width + gap), t * (width + gap) + width - 1],
                    [height + 1] * 2,
                    color=MISSING,
                    lw=3,
                    clip_on=False,
                )
    axes[-1].set_xticks(
        [t * (width + gap) + width / 2 for t in range(steps)],
        x_ticks or range(1, steps + 1),
        fontsize=8,
    )
    axes[-1].set_xlabel(x_label + ("; purple: missing" if missing is not None else ""), fontsize=9)
    figure.suptitle(title, fontsize=10)
    return figure
