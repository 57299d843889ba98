"""Conversion of series to the form that the Kalman VAE takes: arrays [N, T, F] with equal time
steps, NaN for missing numbers.
"""

from collections.abc import Sequence

import numpy as np

_STEPS_MOST = 10_000_000


def padded(series: Sequence[np.ndarray]) -> np.ndarray:
    """Join series of different lengths in one array, NaN after their ends.

    A missing end does not change the likelihood, nor the states before it.

    Args:
        series: [T_i, F] each.

    Returns:
        [N, longest, F].

    Raises:
        ValueError: no series, or one that is not [T, F] with the F of the first.
    """
    if not len(series):
        raise ValueError("series: expected at least one, got none.")
    each = [np.ma.filled(np.ma.asarray(values, np.float64), np.nan) for values in series]
    for i, values in enumerate(each):
        if values.ndim != 2 or values.shape[1] != each[0].shape[-1]:
            raise ValueError(
                f"series: expected the shape [T, {each[0].shape[-1]}], got {list(values.shape)} "
                f"for series {i}."
            )
    found = np.full((len(each), max(map(len, each)), each[0].shape[1]), np.nan)
    for row, values in zip(found, each, strict=True):
        row[: len(values)] = values
    return found


def on_grid(times: np.ndarray, values: np.ndarray, dt: float) -> np.ndarray:
    """Place values at irregular times on a grid, NaN where nothing was measured.

    This is exact if all times are multiples of `dt` apart. Other values are moved to the nearest
    grid point, at most a tenth of `dt` away. For times without a grid use `kvae.lgssm.discretise`.

    Args:
        times: [T], increasing.
        values: [T, F].
        dt: step of the grid, in the unit of `times`.

    Returns:
        [steps, F], from the first time to the last.

    Raises:
        ValueError: the times do not increase or do not fit the grid.
    """
    if np.asarray(times).dtype.kind == "M":
        raise ValueError(
            "times: expected numbers, got dates. Pass (times - times[0]) / np.timedelta64(1, 'D') "
            "for days, and dt in days."
        )
    times, values = np.asarray(times, np.float64), np.asarray(values, np.float64)
    if times.ndim != 1 or values.ndim != 2 or len(values) != len(times):
        raise ValueError(
            f"times, values: expected the shapes [T] and [T, F], got {list(times.shape)} and "
            f"{list(values.shape)}."
        )
    if not dt > 0:
        raise ValueError(f"dt: expected a positive number, got {dt!r}.")
    if not len(times) or not np.isfinite(times).all():
        raise ValueError("times: expected at least one, and finite numbers.")
    places = (times - times[0]) / dt
    if places[-1] > _STEPS_MOST:
        raise ValueError(
            f"dt: a grid of {dt:g} has {places[-1]:.0f} steps between the first and the last time. "
            "Use a larger dt, cut the series at long gaps, or see kvae.lgssm.discretise."
        )
    at = np.rint(places).astype(int)
    if (np.diff(at) < 1).any():
        raise ValueError(
            "times: expected increasing times at least dt apart, got a smaller step after time "
            f"{times[int(np.argmax(np.diff(at) < 1))]:g}."
        )
    off = np.abs(places - at)
    if off.max() > 0.1:
        i = int(np.argmax(off))
        raise ValueError(
            f"times: {times[i]:g} is {off[i]:.2f} dt from the nearest step of the grid. Use a "
            "smaller dt."
        )
    found = np.full((at[-1] + 1, values.shape[1]), np.nan)
    found[at] = values
    return found
