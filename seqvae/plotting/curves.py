"""Curves: metrics over epochs, and results beside published ones."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seqvae.plotting.colours import BLACK, LINES


def metric_curves(
    lines: list[dict], panels: dict[str, tuple[str, ...]], *, title: str, x_label: str = "epoch"
) -> Figure:
    """Plot the lines of a metrics.jsonl over the epoch.

    Args:
        lines: the lines, each with the key `epoch`.
        panels: for each panel its title and the names of its curves.
        title: the figure's title.
        x_label: what a line of the file is: an epoch, or a generation.

    Returns:
        The figure.
    """
    figure = Figure(figsize=(3.6 * len(panels), 3.3))
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (panel, names) in zip(axes, panels.items(), strict=True):
        for i, name in enumerate(names):
            there = [line for line in lines if name in line]
            axis.plot(
                [line["epoch"] + 1 for line in there],
                [line[name] for line in there],
                color=LINES[i],
                ls=("-", "--", ":")[i % 3],
                marker=".",
                label=name,
            )
        _cut_the_start(axis)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_ylabel(panel, fontsize=9)
        axis.set_xlabel(x_label)
        axis.grid(alpha=0.25)
        axis.legend(fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    return figure


def _cut_the_start(axis) -> None:
    """Ignore the first tenth of the epochs in the limits of y: they are off by orders of
    magnitude.
    """
    curves = [np.asarray(line.get_ydata(), float) for line in axis.lines]
    later = np.concatenate([y[len(y) // 10 :] for y in curves])
    later = later[np.isfinite(later)]
    if later.size:
        margin = 0.08 * (np.ptp(later) or 1.0)
        axis.set_ylim(later.min() - margin, later.max() + margin)


def published_curves(panels: dict[str, dict], *, y_label: str, title: str) -> Figure:
    """Plot our curves beside published ones.

    Our curves are coloured with filled markers, published ones grey with open markers, baselines
    dotted.

    Args:
        panels: for each x label a dict {"ours": {name: (x, y)}, "published": {name: (x, y)},
            "baseline": {name: (x, y)}}. If y of ours is [runs, len(x)], the line is the mean over
            the runs and the band reaches from the minimum to the maximum.
        y_label: the label of the y axis.
        title: the figure's title.

    Returns:
        The figure.
    """
    figure = Figure(figsize=(5.6 * len(panels), 4.8), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, (x_label, curves) in zip(axes, panels.items(), strict=True):
        for i, (name, (x, y)) in enumerate(curves["ours"].items()):
            runs = np.atleast_2d(y)
            axis.plot(
                x, runs.mean(axis=0), color=LINES[i], marker="os^D"[i % 4], ms=5, lw=2, label=name
            )
            if len(runs) > 1:
                axis.fill_between(
                    x, runs.min(axis=0), runs.max(axis=0), color=LINES[i], alpha=0.2, lw=0
                )
        for i, (name, (x, y)) in enumerate(curves["published"].items()):
            axis.plot(
                x,
                y,
                color="0.5",
                ls=("-", "--")[i % 2],
                marker="os"[i % 2],
                mfc="white",
                ms=5,
                lw=1.2,
                label=name,
            )
        for i, (name, (x, y)) in enumerate(curves["baseline"].items()):
            axis.plot(x, y, color=BLACK, ls=(":", "-.")[i % 2], lw=1.5, label=name)
        axis.set_xlabel(x_label)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.25)
    axes[0].set_ylabel(y_label)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=11)
    return figure
