"""Numbers over time, labels over time, and points in a plane."""

from collections.abc import Sequence
from typing import cast

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import dendrogram

from seqvae.plotting.colours import LINES


def overlaid(
    rows: dict[str, np.ndarray],
    *,
    title: str,
    names: tuple[str, ...],
    panels: tuple[str, ...] = (),
    features: int = 6,
) -> Figure:
    """Versions of the same sequences over each other, the first solid, the others dashed.

    Paths in the plane where there are two features, otherwise a row of panels for each feature.

    Args:
        rows: by name, for the legend: [n, T, features]; NaN is a gap.
        names: of the features, with their units. panels: titles of the n sequences.
        features: the most that are drawn.
    """
    count, size = next(iter(rows.values())).shape[::2]
    plane, size = size == 2, min(size, features)
    height = 1 if plane else size
    figure = Figure(
        figsize=(2.0 * count + 0.6, (2.0 if plane else 1.2) * height + 1.0), layout="constrained"
    )
    axes = figure.subplots(height, count, squeeze=False, sharex=True, sharey="row")
    for (k, i), axis in np.ndenumerate(axes):
        for colour, (name, sequences) in zip(LINES, rows.items(), strict=False):
            style = {
                "color": colour,
                "label": name,
                "lw": 1.2,
                "ls": "-" if colour == LINES[0] else "--",
            }
            drawn = sequences[i].T if plane else (sequences[i, :, k],)
            axis.plot(*drawn, **style)
        axis.tick_params(labelsize=7)
        if k == 0 and panels:
            axis.set_title(panels[i], fontsize=8)
    for k in range(height):
        axes[k, 0].set_ylabel(names[1] if plane else names[k], fontsize=8)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=len(rows), fontsize=8)
    figure.supxlabel(names[0] if plane else "step", fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def windows(
    truth: np.ndarray,
    written: np.ndarray,
    steps: int,
    *,
    title: str,
    features: int = 6,
    names: Sequence[str] = (),
) -> Figure:
    """Windows and what follows them [n, T, F], and what a model wrote; the first `features`, of at
    most five windows.

    steps: of the window; what follows is grey. names: of the features.
    """
    count, features = min(5, len(truth)), min(features, truth.shape[2])
    figure = Figure(figsize=(2.4 * count, 1.1 * features + 0.7), layout="constrained")
    axes = figure.subplots(features, count, squeeze=False, sharex=True, sharey="row")
    for k, i in np.ndindex(features, count):
        axis = cast(Axes, axes[k, i])
        axis.plot(truth[i, :, k], color=LINES[0], lw=1.3, label="truth")
        axis.plot(written[i, :, k], color=LINES[1], ls="--", lw=1.3, label="model")
        if steps < truth.shape[1]:
            axis.axvspan(steps - 0.5, truth.shape[1] - 1, color="0.9", lw=0)
        axis.tick_params(labelsize=7)
    for k in range(features):
        axes[k, 0].set_ylabel(names[k] if k < len(names) else f"feature {k}", fontsize=8)
    axes[0, 0].legend(fontsize=7, frameon=False)
    figure.supxlabel("frame of the window", fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def scatter(
    points: np.ndarray, labels: dict[str, np.ndarray], *, title: str, cmap: str = "tab20"
) -> Figure:
    """Points [n, 2], a panel for each way of labelling them: by numbers, or by names of classes,
    which get a legend; cmap: matplotlib's, "tab20" for numbers without an order."""
    figure = Figure(figsize=(4.4 * len(labels), 4.2), layout="constrained")
    axes = figure.subplots(1, len(labels), squeeze=False, sharex=True, sharey=True)[0]
    for axis, (name, values) in zip(axes, labels.items(), strict=True):
        if np.asarray(values).dtype.kind in "US":
            _classes(axis, points, values)
        else:
            axis.scatter(points[:, 0], points[:, 1], c=values, cmap=cmap, s=4, lw=0)
        axis.set_title(name, fontsize=10)
    figure.suptitle(title, fontsize=10)
    return figure


def _classes(axis: Axes, points: np.ndarray, values: np.ndarray, most: int = 20) -> None:
    """Points of each class in a colour of its own; classes after the first `most` share one."""
    names = np.unique(values)
    for i, name in enumerate(names[:most]):
        chosen = values == name
        axis.scatter(
            *points[chosen].T, color=colormaps["tab20"](i % 20), s=6, lw=0, label=str(name)
        )
    others = np.isin(values, names[most:])
    if others.any():
        axis.scatter(*points[others].T, color="0.7", s=6, lw=0, label="others")
    axis.legend(fontsize=6, frameon=False, markerscale=2)


def ethogram(rows: dict[str, np.ndarray], *, title: str) -> Figure:
    """Labels [T] over time as coloured bands, a row for each name. -1 is a gap."""
    figure = Figure(figsize=(10, 0.7 * len(rows) + 0.9), layout="constrained")
    axes = figure.subplots(len(rows), 1, squeeze=False, sharex=True)[:, 0]
    greatest = max(int(values.max()) for values in rows.values())
    for axis, (name, values) in zip(axes, rows.items(), strict=True):
        axis.imshow(
            np.ma.masked_less(values[None], 0),
            aspect="auto",
            cmap="tab20",
            interpolation="nearest",
            vmin=0,
            vmax=max(1, greatest),
        )
        axis.set_yticks([0], [name])
    axes[-1].set_xlabel("window")
    figure.suptitle(title, fontsize=10)
    return figure


def usage_and_transitions(
    usage: np.ndarray, transitions: np.ndarray, *, name: str = "motif"
) -> Figure:
    """How often each label occurs [n], and where it goes [n, n]. name: what a label is."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.bar(np.arange(len(usage)), usage, color=LINES[0])
    left.set_xlabel(name)
    left.set_ylabel("windows")
    image = right.imshow(transitions, cmap="viridis", vmin=0)
    right.set_xlabel(f"next {name}")
    right.set_ylabel(name)
    for axis in (left.xaxis, right.xaxis, right.yaxis):
        axis.get_major_locator().set_params(integer=True)
    figure.colorbar(image, ax=right, label="probability")
    return figure


def steps(
    rows: dict[str, np.ndarray], names: Sequence[str], *, title: str, frames: int = 600
) -> Figure:
    """Positions [K, 2, T] after each of some named steps, x and y of at most four keypoints. NaN is
    a gap; behind each step is how much of all its values is missing."""
    shown = np.linspace(0, len(names) - 1, min(4, len(names))).round().astype(int)
    figure = Figure(figsize=(11, 1.5 * len(rows) + 0.6), layout="constrained")
    axes = figure.subplots(len(rows), 2, squeeze=False, sharex=True)
    for band, (name, points) in zip(axes, rows.items(), strict=True):
        for axis, letter, values in zip(band, "xy", points[shown].swapaxes(0, 1), strict=True):
            for colour, keypoint, series in zip(LINES, shown, values, strict=False):
                axis.plot(series[:frames], color=colour, lw=0.9, label=names[keypoint])
            axis.set_title(letter if points is next(iter(rows.values())) else "", fontsize=9)
            axis.tick_params(labelsize=7)
        band[0].set_ylabel(f"{name}\n{np.isnan(points).mean():.1%} missing", fontsize=8)
    axes[0, 1].legend(fontsize=7, frameon=False, loc="upper right")
    figure.supxlabel("frame", fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def tree(linkage: np.ndarray, names: Sequence[str], *, title: str, x_label: str) -> Figure:
    """A tree of merges, SciPy's linkage [n - 1, 4] of n named leaves; x is the height of a
    merge."""
    figure = Figure(figsize=(6, 0.3 * len(names) + 1.2), layout="constrained")
    axis = figure.subplots()
    dendrogram(
        linkage,
        labels=list(names),
        orientation="right",
        ax=axis,
        color_threshold=0,
        above_threshold_color=LINES[0],
    )
    axis.set_xlabel(x_label)
    figure.suptitle(title, fontsize=10)
    return figure


def stacked_shares(rows: dict[str, np.ndarray], names: Sequence[str], *, title: str) -> Figure:
    """Shares [n] of each named row as bars that are cut into n named parts."""
    figure = Figure(figsize=(8, 0.35 * len(rows) + 1.4), layout="constrained")
    axis = figure.subplots()
    colours = colormaps["tab20"](np.arange(len(names)) % 20)
    left = np.zeros(len(rows))
    for i, name in enumerate(names):
        widths = np.array([shares[i] for shares in rows.values()])
        axis.barh(list(rows), widths, left=left, color=colours[i], label=name, height=0.8)
        left += widths
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.set_xlabel("share of the labelled frames")
    figure.legend(loc="outside right upper", fontsize=7, frameon=False, ncols=-(-len(names) // 12))
    figure.suptitle(title, fontsize=10)
    return figure
