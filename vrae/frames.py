"""Series from long pandas frames: a row for each step and a column for each feature.

A column, or a level of the index, holds the name of the series of a row.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from seqvae.data.tables import IDS, LABELS, TIMES, are_even
from vrae.data import Series, pad


class LongFrame(NamedTuple):
    """Series of a long frame."""

    series: Series
    """The series, in the order of their first row."""
    rows: list[np.ndarray]
    """Row numbers of the frame for each series, in the order of time."""
    columns: list[Any]
    """Columns of the features."""


def from_frame(frame: pd.DataFrame, features: Sequence[str] | None = None) -> LongFrame:
    """Read the series of a long frame.

    Args:
        frame: has an index of two levels, series and time, or a column named `sequence`,
            `sequence_id`, `series`, `series_id` or `id` and, if rows are not sorted, one named
            `time`, `timestamp`, `date` or `datetime`. The other columns are features; NaN and NA
            are missing numbers.
        features: names of the features in the order of the result; None: all, in the frame's order.

    Returns:
        The series, and their rows and columns in the frame.

    Raises:
        ValueError: no column names the series; a column is a label or not numeric; an id or a time
            is missing; or two rows of a series have the same time.
    """
    keys, times, names = _index(frame) if frame.index.nlevels > 1 else _columns(frame)
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"expected columns of different names, got {', '.join(twice)} twice.")
    if not names:
        raise ValueError(f"expected a column of numbers, got {', '.join(map(str, frame.columns))}.")
    if features is not None:
        by_name = {str(name): name for name in names}
        if set(by_name) != set(features):
            raise ValueError(
                f"expected the columns {', '.join(features)} as in fit, got {', '.join(by_name)}."
            )
        names = [by_name[name] for name in features]
    values = np.stack([_numbers(frame[name], name) for name in names], 1)
    if pd.isna(keys).any():
        raise ValueError("expected the series of every row, got a missing one.")
    codes, ids = pd.factorize(keys)
    rows = [np.flatnonzero(codes == i) for i in range(len(ids))]
    if times is not None:
        rows = [_sorted(times, each, str(key)) for each, key in zip(rows, ids, strict=True)]
    even = times is None or are_even(times, rows)
    series = pad(
        [values[each] for each in rows],
        ids=np.array([str(key) for key in ids]),
        names=tuple(map(str, names)),
        times=None if even or times is None else [times[each] for each in rows],
    )
    return LongFrame(series, rows, names)


def _index(frame: pd.DataFrame) -> tuple[Any, np.ndarray, list[Any]]:
    """Series, times and features of a frame whose index is series and time."""
    if frame.index.nlevels != 2:
        raise ValueError(
            f"expected an index of two levels, series and time, got {frame.index.nlevels}."
        )
    times = _seconds(frame.index.get_level_values(1).to_series(), "of the index")
    return frame.index.get_level_values(0), times, list(frame.columns)


def _columns(frame: pd.DataFrame) -> tuple[Any, np.ndarray | None, list[Any]]:
    """Series, times and features of a frame with columns of these names."""
    names = list(frame.columns)
    lower = [str(name).lower() for name in names]
    of_id, of_time, labels = ([n for n in usual if n in lower] for usual in (IDS, TIMES, LABELS))
    if len(of_id) != 1 or len(of_time) > 1:
        raise ValueError(
            f"expected one column of {', '.join(IDS)} that says which rows are one series, and at "
            f"most one of {', '.join(TIMES)}, got the columns {', '.join(map(str, names))}. Rename "
            "them, or set the index to series and time. Where a row is a series use X.to_numpy()."
        )
    if labels:
        raise ValueError(
            f"column {labels[0]!r}: a label is not a feature. Leave it out of X "
            "(X.drop(columns=...))."
        )
    roles = [names[lower.index(name)] for name in (*of_id, *of_time)]
    times = _seconds(frame[roles[1]], repr(roles[1])) if of_time else None
    return frame[roles[0]], times, [name for name in names if name not in roles]


def _numbers(column: pd.Series, name: Any) -> np.ndarray:
    """A column of features."""
    if not pd.api.types.is_numeric_dtype(column.dtype) or column.dtype.kind == "c":
        raise ValueError(
            f"column {name!r}: expected numbers, got {column.dtype}. Drop or encode it."
        )
    return column.to_numpy(np.float64, na_value=np.nan)


def _seconds(column: pd.Series, name: str) -> np.ndarray:
    """Times: numbers as they are, dates in seconds from the first."""
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    if pd.api.types.is_numeric_dtype(column.dtype):
        times = column.to_numpy(np.float64, na_value=np.nan)
    else:
        try:
            dates = pd.to_datetime(column, format="ISO8601")
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"time {name}: expected numbers or dates, such as 2024-05-31 12:00 ({error})."
            ) from error
        times = (dates - dates.min()).dt.total_seconds().to_numpy()
    if not np.isfinite(times).all():
        raise ValueError(f"time {name}: expected the time of every row, got a missing one.")
    return times


def _sorted(times: np.ndarray, rows: np.ndarray, key: str) -> np.ndarray:
    """The rows of a series in the order of time."""
    ordered = rows[np.argsort(times[rows], kind="stable")]
    if (np.diff(times[ordered]) == 0).any():
        raise ValueError(f"series {key!r}: expected different times, got two rows of the same.")
    return ordered
