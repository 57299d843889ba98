"""Trivial imputations: the baselines that a model has to beat.

Series are [N, T, ...] floats; `observed` [N, T] is True where a step may be used.
"""

import numpy as np


def last_observed(series: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Fill each missing step with the last observed step before it.

    Steps before the first observed one are filled with the first observed one.

    Args:
        series: [N, T, ...] floats.
        observed: [N, T] bool, True where a step may be used.

    Returns:
        [N, T, ...], the filled series; observed steps are unchanged.

    Raises:
        ValueError: a series has no observed step.
    """
    before, after = _neighbours(observed)
    source = np.where(before < 0, after, before)
    return series[np.arange(len(series))[:, None], source]


def interpolated(series: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Fill each missing step by linear interpolation between the observed steps around it.

    Steps before the first or after the last observed one are filled with the nearest observed one.

    Args:
        series: [N, T, ...] floats.
        observed: [N, T] bool, True where a step may be used.

    Returns:
        [N, T, ...], the filled series.

    Raises:
        ValueError: a series has no observed step.
    """
    before, after = _neighbours(observed)
    steps = series.shape[1]
    first = np.where(before < 0, after, before)
    last = np.where(after == steps, before, after)
    weight = (np.arange(steps) - first) / np.maximum(last - first, 1)  # of the step after a gap
    weight = np.clip(weight, 0.0, 1.0).astype(series.dtype)
    weight = weight.reshape(*weight.shape, *[1] * (series.ndim - 2))
    rows = np.arange(len(series))[:, None]
    return (1 - weight) * series[rows, first] + weight * series[rows, last]


def nearest(
    series: np.ndarray, observed: np.ndarray, others: np.ndarray, others_observed: np.ndarray
) -> np.ndarray:
    """Find the nearest neighbour of each series among `others`.

    The distance is the mean squared difference over the steps that are observed in both series.
    Other steps may be NaN.

    Args:
        series: [N, T, ...] floats.
        observed: [N, T] bool, True where a step of `series` may be used.
        others: [M, T, ...] floats, the candidates.
        others_observed: [M, T] bool, True where a step of `others` may be used.

    Returns:
        [N], indices into `others`.

    Raises:
        ValueError: a series shares no observed step with any of the others.
    """
    mine, theirs = (
        np.where(seen[..., None], values.reshape(*values.shape[:2], -1), 0.0).astype(np.float32)
        for values, seen in ((series, observed), (others, others_observed))
    )
    seen, others_seen = observed.astype(np.float32), others_observed.astype(np.float32)
    common = seen @ others_seen.T
    # |x - y|^2 summed over the steps observed in both, as three matrix products
    difference = (
        (mine**2).sum(-1) @ others_seen.T
        + seen @ (theirs**2).sum(-1).T
        - 2 * mine.reshape(len(mine), -1) @ theirs.reshape(len(theirs), -1).T
    )
    if not (common > 0).any(axis=1).all():
        raise ValueError(
            "observed: a series shares no observed step with any of the others. Give others that "
            "are observed there."
        )
    return np.argmin(np.where(common > 0, difference / np.maximum(common, 1), np.inf), axis=1)


def _neighbours(observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the last observed step at or before each step (-1: none) and of the first at or
    after it (T: none), each [N, T].
    """
    if not observed.any(axis=1).all():
        raise ValueError(
            "observed: nothing is observed in series "
            f"{np.flatnonzero(~observed.any(axis=1))[0]}. Leave it out."
        )
    steps = np.arange(observed.shape[1])
    before = np.maximum.accumulate(np.where(observed, steps, -1), axis=1)
    after = np.minimum.accumulate(np.where(observed, steps, len(steps))[:, ::-1], axis=1)[:, ::-1]
    return before, after
