"""Plots of codes and mixture weights over time."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seqvae.plotting.colours import BLUE, GREEN, LINES, MISSING, ORANGE

_WEIGHTS = LINES[:-1]  # without the colour of missing frames


def alpha_over_time(alpha: np.ndarray, *, title: str, missing: np.ndarray | None = None) -> Figure:
    """Plot mixture weights over time, one panel per sequence.

    Args:
        alpha: [n, T, K].
        title: the figure's title.
        missing: [n, T], True for missing steps, which are shaded; None: no shading.

    Returns:
        The figure.
    """
    count, steps, size = alpha.shape
    figure = Figure(figsize=(8, 1.0 + 1.1 * count))
    axes = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
    time = np.arange(1, steps + 1)
    for i, axis in enumerate(axes):
        for k in range(size):
            axis.plot(
                time,
                alpha[i, :, k],
                color=_WEIGHTS[k % len(_WEIGHTS)],
                ls=("-", "--", ":", "-.")[k % 4],
                lw=1.8,
                label=f"k = {k + 1}",
            )
        if missing is not None:
            for t in np.flatnonzero(missing[i]):
                axis.axvspan(t + 0.5, t + 1.5, color=MISSING, alpha=0.25, lw=0)
        axis.set_ylim(-0.03, 1.03)
        axis.set_xlim(0.5, steps + 0.5)
        axis.set_ylabel(rf"$\alpha$, sequence {i + 1}", fontsize=8)
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[-1].set_xlabel("frame" + ("; purple: missing" if missing is not None else ""))
    axes[0].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=10)
    return figure


def trajectories(
    encoded: np.ndarray,
    smoothed: np.ndarray,
    generated: np.ndarray,
    *,
    missing: np.ndarray,
    title: str,
) -> Figure:
    """Plot codes of n sequences: encoded, smoothed over a gap, and generated.

    The first two dimensions are drawn in the plane; one dimension is drawn over time.

    Args:
        encoded: [n, T, dim_a].
        smoothed: [n, T, dim_a].
        generated: [n, T, dim_a].
        missing: [n, T], 1 for missing frames.
        title: the figure's title.

    Returns:
        The figure.
    """
    count, steps, size = encoded.shape
    columns = min(count, 3)
    rows = -(-count // columns)
    figure = Figure(figsize=(4.0 * columns, 3.6 * rows + 0.6))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    lines = (
        (encoded, "encoded", BLUE, "o-"),
        (smoothed, "smoothed", ORANGE, "s--"),
        (generated, "generated", GREEN, "^:"),
    )
    for i, axis in enumerate(axes[:count]):
        for codes, name, colour, style in lines:
            x, y = (
                (np.arange(1, steps + 1), codes[i, :, 0])
                if size == 1
                else (codes[i, :, 0], codes[i, :, 1])
            )
            axis.plot(x, y, style, color=colour, ms=3.5, lw=1.2, label=name, alpha=0.9)
        x, y = (
            (np.arange(1, steps + 1), encoded[i, :, 0])
            if size == 1
            else (encoded[i, :, 0], encoded[i, :, 1])
        )
        gap = missing[i] > 0.5
        axis.plot(
            x[gap],
            y[gap],
            "o",
            mfc="none",
            mec=MISSING,
            mew=1.5,
            ms=9,
            label="encoded, missing frames",
        )
        axis.set_title(f"sequence {i + 1}", fontsize=9)
        axis.set_xlabel("frame" if size == 1 else "$a_1$")
        axis.set_ylabel("$a_1$" if size == 1 else "$a_2$")
    for axis in axes[count:]:
        axis.set_visible(False)
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=4,
        fontsize=9,
        frameon=False,
    )
    return figure
