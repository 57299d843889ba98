"""Plots of series, of labels over time, and of points in the plane."""

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
    """Plot several versions of the same sequences on top of each other.

    The first version is solid, the others are dashed. Two features are drawn as paths in the plane,
    otherwise each feature has a row of panels.

    Args:
        rows: by name, for the legend: [n, T, features]; NaN is a gap.
        title: the figure's title.
        names: of the features, with their units.
        panels: titles of the n sequences; empty: none.
        features: the maximal number of features drawn.

    Returns:
        The figure.
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
    output: np.ndarray,
    steps: int,
    *,
    title: str,
    features: int = 6,
    names: Sequence[str] = (),
) -> Figure:
    """Plot windows and the steps that follow them, beside a model's reconstruction and prediction.

    Args:
        truth: [n, T, features]; at most five windows are drawn.
        output: [n, T, features], the model's output.
        steps: length of the window; the steps after it have a grey background.
        title: the figure's title.
        features: the maximal number of features drawn.
        names: names of the features; empty: numbers.

    Returns:
        The figure.
    """
    count, features = min(5, len(truth)), min(features, truth.shape[2])
    figure = Figure(figsize=(2.4 * count, 1.1 * features + 0.7), layout="constrained")
    axes = figure.subplots(features, count, squeeze=False, sharex=True, sharey="row")
    for k, i in np.ndindex(features, count):
        axis = cast(Axes, axes[k, i])
        axis.plot(truth[i, :, k], color=LINES[0], lw=1.3, label="truth")
        axis.plot(output[i, :, k], color=LINES[1], ls="--", lw=1.3, label="model")
        if steps < truth.shape[1]:
            axis.axvspan(steps - 0.5, truth.shape[1] - 1, color="0.9", lw=0)
        axis.tick_params(labelsize=7)
    for k in range(features):
        axes[k, 0].set_ylabel(names[k] if k < len(names) else f"feature {k}", fontsize=8)
    axes[0, 0].legend(fontsize=7, frameon=False)
    figure.supxlabel("frame of the window", fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def filled_series(
    given: np.ndarray,
    hidden: np.ndarray,
    found: tuple[np.ndarray, np.ndarray, np.ndarray],
    *,
    names: Sequence[str],
    title: str,
    features: int = 4,
) -> Figure:
    """Plot series with gaps and a model's imputation: a column per series, a row per feature.

    Args:
        given: [n, T, F], NaN where a number is missing.
        hidden: [n, T, F], known numbers that the model did not get; NaN elsewhere.
        found: mean, lower and upper end of an interval, [n, T, F] each.
        names: names of the features.
        title: the figure's title.
        features: the maximal number of features drawn.

    Returns:
        The figure.
    """
    count, features = len(given), min(features, given.shape[2])
    figure = Figure(figsize=(4.2 * count + 1.4, 1.7 * features + 1.0), layout="constrained")
    axes = figure.subplots(features, count, squeeze=False, sharex=True, sharey="row")
    mean, low, high = found
    steps = np.arange(given.shape[1])
    for k, i in np.ndindex(features, count):
        axis = cast(Axes, axes[k, i])
        axis.fill_between(
            steps, low[i, :, k], high[i, :, k], color=LINES[1], alpha=0.3, lw=0, label="interval"
        )
        axis.plot(steps, mean[i, :, k], color=LINES[1], lw=1.2, label="mean")
        axis.plot(steps, given[i, :, k], ".", color=LINES[0], ms=3, label="observed")
        if np.isfinite(hidden).any():
            axis.plot(steps, hidden[i, :, k], "x", color=LINES[3], ms=4, label="hidden")
        axis.tick_params(labelsize=7)
        axis.set_ylabel(str(names[k]) if i == 0 else "", fontsize=8)
        axis.set_xlabel("step" if k == features - 1 else "", fontsize=8)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def scatter(
    points: np.ndarray, labels: dict[str, np.ndarray], *, title: str, cmap: str = "tab20"
) -> Figure:
    """Plot points in the plane, one panel per labelling.

    Args:
        points: [n, 2].
        labels: by the panel's title: [n] numbers, or names of classes, which get a legend.
        title: the figure's title.
        cmap: Matplotlib's colour map for numbers; "tab20" suits numbers without an order.

    Returns:
        The figure.
    """
    figure = Figure(figsize=(4.4 * len(labels), 4.2), layout="constrained")
    axes = figure.subplots(1, len(labels), squeeze=False, sharex=True, sharey=True)[0]
    for axis, (name, values) in zip(axes, labels.items(), strict=True):
        if np.asarray(values).dtype.kind in "US":
            _classes(axis, points, values)
        else:
            shown = axis.scatter(points[:, 0], points[:, 1], c=values, cmap=cmap, s=4, lw=0)
            figure.colorbar(shown, ax=axis, label=name)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("first component", fontsize=8)
    axes[0].set_ylabel("second component", fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def _classes(axis: Axes, points: np.ndarray, values: np.ndarray, most: int = 20) -> None:
    """Draw each class in its own colour; classes after the first `most` share a colour."""
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
    """Plot labels over time as coloured bands, one row per name.

    Args:
        rows: [T] integers by name; -1 is a gap.
        title: the figure's title.

    Returns:
        The figure.
    """
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
    """Plot how often each label occurs, and the probabilities of the next label.

    Args:
        usage: [n], counts.
        transitions: [n, n], rows are the current label, columns the next one.
        name: what a label is.

    Returns:
        The figure.
    """
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
    """Plot positions after each of several processing steps: x and y of at most four keypoints.

    The label of each step shows which share of all its values is missing.

    Args:
        rows: [K, 2, T] by the step's name; NaN is a gap.
        names: [K], names of the keypoints.
        title: the figure's title.
        frames: the maximal number of frames drawn.

    Returns:
        The figure.
    """
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
    """Plot a dendrogram.

    Args:
        linkage: [n - 1, 4], SciPy's linkage of n leaves.
        names: [n], names of the leaves.
        title: the figure's title.
        x_label: what the height of a merge is.

    Returns:
        The figure.
    """
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
    """Plot shares as stacked horizontal bars.

    Args:
        rows: [n] shares by the bar's name.
        names: [n], names of the parts.
        title: the figure's title.

    Returns:
        The figure.
    """
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
