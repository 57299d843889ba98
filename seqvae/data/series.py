"""Series of any length as padded arrays: from lists and `.npz` files (tables:
`seqvae.data.tables`), cut into windows, split into training and test data.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqvae.data.masks import is_observed
from seqvae.files import NPZ_ERRORS, reason


class Series(NamedTuple):
    """Series as padded arrays."""

    sequences: np.ndarray
    """[N, T, features] float32, NaN where a number is missing, 0 in the padding; or tokens [N,
    T].
    """
    mask: np.ndarray
    """[N, T], 1 for the steps of a series, 0 in the padding after its end."""
    labels: np.ndarray | None = None
    """[N], numbers or names of classes; None: no labels."""
    ids: np.ndarray | None = None
    """[N], names of the series; None: no names."""
    names: tuple[str, ...] | None = None
    """Names of the features; None: no names."""
    times: np.ndarray | None = None
    """[N, T], the time of each step; None: steps of equal length."""

    def batch(self) -> dict[str, np.ndarray]:
        """The arrays under the keys of a batch.

        Returns:
            `sequences`, `mask` and, if there are any, `times`.
        """
        batch = {"sequences": self.sequences, "mask": self.mask}
        return batch if self.times is None else batch | {"times": self.times}

    def take(self, indices: slice | Sequence[int] | np.ndarray) -> "Series":
        """Select series.

        Args:
            indices: a slice, or an array of integers.

        Returns:
            The selected series.
        """
        chosen = {
            name: value[indices]
            for name, value in self._asdict().items()
            if name != "names" and value is not None
        }
        return self._replace(**chosen)

    def split(self, test_fraction: float, seed: int) -> tuple["Series", "Series"]:
        """Split the series at random into training and test data, at least one series each.

        Series with the same id, such as the windows of one series, stay together.

        Args:
            test_fraction: the share of test series.
            seed: seed of the choice.

        Returns:
            Training and test series.

        Raises:
            ValueError: there is only one series.
        """
        keys = np.arange(len(self.sequences)) if self.ids is None else self.ids
        groups, group = np.unique(keys, return_inverse=True)
        count = len(groups)
        if count < 2:
            raise ValueError(
                "sequences: a single series cannot be split into training and test data. Cut it "
                "into windows and split by time (--window, --split=time)."
            )
        order = np.random.default_rng([seed, count]).permutation(count)
        test = min(max(1, round(test_fraction * count)), count - 1)
        in_test = np.isin(group, order[:test])
        return self.take(np.flatnonzero(~in_test)), self.take(np.flatnonzero(in_test))

    def is_step(self) -> np.ndarray:
        """[N, T] bool, True for the steps of a series, False in the padding."""
        return is_observed(self.mask)

    def lengths(self) -> np.ndarray:
        """[N] int, the steps of each series."""
        return self.is_step().sum(axis=1)

    def observed(self) -> np.ndarray:
        """[N, T, features] bool, True for numbers that are neither missing nor padding."""
        return np.isfinite(self.sequences) & self.is_step()[..., None]

    def missing(self) -> np.ndarray:
        """[N, T, features] bool, True for numbers that are missing before the end of a series."""
        return ~np.isfinite(self.sequences) & self.is_step()[..., None]

    def feature_names(self) -> tuple[str, ...]:
        """`names`, or "feature 0", "feature 1", ... if there are none."""
        return self.names or tuple(f"feature {i}" for i in range(self.sequences.shape[-1]))


def pad(
    sequences: Sequence[np.ndarray] | np.ndarray,
    labels: np.ndarray | None = None,
    *,
    ids: np.ndarray | None = None,
    names: tuple[str, ...] | None = None,
    times: Sequence[np.ndarray] | None = None,
) -> Series:
    """Join series of different lengths in one array with a mask.

    Args:
        sequences: [T_i, features] each, or [T_i] for one feature; NaN is a missing number.
        labels: [N], or None.
        ids: [N], or None.
        names: names of the features, or None.
        times: [T_i] each, or None.

    Returns:
        The series.

    Raises:
        ValueError: no series, an empty one, different numbers of features, infinity, or a series
            without an observed number.
    """
    if not len(sequences):
        raise ValueError("sequences: expected at least one, got none.")
    arrays = [np.asarray(s, np.float32) for s in sequences]
    if all(array.ndim == 1 for array in arrays):
        arrays = [array[:, None] for array in arrays]
    features = arrays[0].shape[-1] if arrays[0].ndim == 2 else 0
    for i, array in enumerate(arrays):
        if array.ndim != 2 or array.shape[1] != features or not array.size:
            raise ValueError(
                f"sequences: number {i} has the shape {array.shape}, expected [steps, "
                f"{features or 'features'}]."
            )
        if np.isinf(array).any():
            raise ValueError(
                f"sequences: number {i} holds infinity. Expected finite numbers, or NaN where one "
                "is missing."
            )
        if np.isnan(array).all():
            raise ValueError(
                f"sequences: number {i} holds no observed number. Leave the sequence out."
            )
    steps = max(map(len, arrays))
    values = np.zeros((len(arrays), steps, features), np.float32)
    mask = np.zeros((len(arrays), steps), np.float32)
    for i, array in enumerate(arrays):
        values[i, : len(array)], mask[i, : len(array)] = array, 1.0
    return Series(values, mask, labels, ids, names, padded_times(times, steps))


def as_series(
    sequences: Sequence[np.ndarray] | np.ndarray, mask: np.ndarray | None = None
) -> Series:
    """Convert arrays to `Series`. Steps with mask 0 before the end of a series are missing.

    Args:
        sequences: [N, T, features], or [N, T] for one feature; or a list of arrays [T_i, features].
        mask: [N, T], 1 = observed; None: all steps.

    Returns:
        The series.

    Raises:
        ValueError: as for `pad`, or a mask of another shape.
    """
    if mask is None:
        return pad(sequences)
    values, mask = np.asarray(sequences, np.float32), np.asarray(mask)
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or mask.shape != values.shape[:2]:
        raise ValueError(
            f"mask: expected the shape {values.shape[:2]} of [N, T, features], got {mask.shape}."
        )
    observed = is_observed(mask)
    values = np.where(observed[..., None], values, np.nan)
    return pad([row[:end] for row, end in zip(values, _ends(observed), strict=True)])


def _ends(observed: np.ndarray) -> list[int]:
    """The number of steps up to the last observed one of each series; observed: [N, T] bool."""
    return [int(np.flatnonzero(row).max(initial=-1)) + 1 for row in observed]


def padded_times(times: Sequence[np.ndarray] | None, steps: int) -> np.ndarray | None:
    """Join the times of series of different lengths.

    Args:
        times: the times [T_i] of each series, or None.
        steps: length T of the result.

    Returns:
        [N, T] float64 with each last time repeated in the padding; None if `times` is None.
    """
    if times is None:
        return None
    return np.stack([np.pad(t, (0, steps - len(t)), mode="edge") for t in times]).astype(np.float64)


def windows(series: np.ndarray, steps: int, stride: int | None = None) -> Series:
    """Cut one long series into windows.

    Args:
        series: [T, features].
        steps: steps of a window.
        stride: steps between the starts of two windows; None: `steps`. Steps after the last full
            window are left out.

    Returns:
        The windows.

    Raises:
        ValueError: the series is shorter than a window, or steps or stride is less than 1.
    """
    stride = steps if stride is None else stride
    if not 1 <= steps <= len(series) or stride < 1:
        raise ValueError(
            f"steps: expected 1 to the series' {len(series)} steps, and a stride of at least 1, "
            f"got {steps}, {stride}."
        )
    return pad([series[i : i + steps] for i in range(0, len(series) - steps + 1, stride)])


def in_windows(series: Series, steps: int, stride: int = 0) -> tuple[Series, list[str]]:
    """Cut every series into windows, which keep the label, the id and the times of their series.

    Windows without an observed number, and steps after the last full window, are left out.

    Args:
        series: the series.
        steps: steps of a window.
        stride: steps between the starts of two windows; 0: `steps`.

    Returns:
        The windows, and the ids of the series that are left out because they are shorter than a
        window.

    Raises:
        ValueError: no series is long enough, or no window has an observed number.
    """
    stride = stride or steps
    if steps < 1 or stride < 1:
        raise ValueError(
            f"--window, --stride: expected at least 1 step each, got {steps}, {stride}."
        )
    ids = np.arange(len(series.mask)).astype(str) if series.ids is None else series.ids
    lengths = series.lengths()
    short = [str(ids[i]) for i in np.flatnonzero(lengths < steps)]
    pieces = [(i, t) for i, n in enumerate(lengths) for t in range(0, int(n) - steps + 1, stride)]
    if pieces:
        known = [np.isfinite(series.sequences[i, t : t + steps]).any() for i, t in pieces]
        pieces = [piece for piece, some in zip(pieces, known, strict=True) if some]
        if not pieces:
            raise ValueError("--window: no window has an observed number. Use a longer window.")
    if not pieces:
        raise ValueError(
            f"--window: no series has {steps} steps, the longest has {lengths.max()}. Use a "
            "shorter window."
        )
    which = np.array([i for i, _ in pieces])
    cut = pad(
        [series.sequences[i, t : t + steps] for i, t in pieces],
        None if series.labels is None else series.labels[which],
        ids=ids[which],
        names=series.names,
        times=None if series.times is None else [series.times[i, t : t + steps] for i, t in pieces],
    )
    return cut, short


def last_windows(series: Series, test_fraction: float) -> tuple[Series, Series]:
    """Split windows by time: the last windows of every series are the test data.

    Args:
        series: windows in the order of time; those of one series have the same id.
        test_fraction: the share of test windows.

    Returns:
        Training and test windows.

    Raises:
        ValueError: no series has two windows.
    """
    ids = np.zeros(len(series.mask)) if series.ids is None else series.ids
    in_test = np.zeros(len(ids), bool)
    for key in np.unique(ids):
        rows = np.flatnonzero(ids == key)
        count = min(max(1, round(test_fraction * len(rows))), len(rows) - 1)
        in_test[rows[len(rows) - count :]] = True
    if not in_test.any():
        raise ValueError(
            "--window: expected a series of at least 2 windows, so that the last is the test, got "
            "none. Use a shorter window."
        )
    return series.take(np.flatnonzero(~in_test)), series.take(np.flatnonzero(in_test))


def split_by_time(series: Series, test_fraction: float) -> tuple[Series, Series]:
    """Split every series: its beginning is training data, its end test data.

    A beginning or an end without an observed number is left out.

    Args:
        series: the series.
        test_fraction: the share of test steps.

    Returns:
        Training and test series.

    Raises:
        ValueError: a series has one step, or no beginning or no end has an observed number.
    """
    lengths = series.lengths()
    if lengths.min() < 2:
        raise ValueError(
            "--split=time: expected series of at least 2 steps, the shortest has "
            f"{lengths.min()}. Use --split=series."
        )
    ends = lengths - np.clip(np.round(test_fraction * lengths).astype(int), 1, lengths - 1)
    return (
        _stretches(series, np.zeros_like(ends), ends, "training"),
        _stretches(series, ends, lengths, "test"),
    )


def _stretches(series: Series, starts: np.ndarray, ends: np.ndarray, part: str) -> Series:
    """Steps `starts` to `ends - 1` of every series; those without an observed number are left
    out. `part` is for the message.
    """
    spans = list(enumerate(zip(starts, ends, strict=True)))
    spans = [(i, a, b) for i, (a, b) in spans if np.isfinite(series.sequences[i, a:b]).any()]
    if not spans:
        raise ValueError(
            f"--split=time: no series has an observed number in its {part} steps. Change "
            "--test_fraction, or use --split=series."
        )
    kept = series.take(np.array([i for i, *_ in spans]))
    return pad(
        [series.sequences[i, a:b] for i, a, b in spans],
        kept.labels,
        ids=kept.ids,
        names=series.names,
        times=None if series.times is None else [series.times[i, a:b] for i, a, b in spans],
    )


def read_npz(path: str | Path) -> Series:
    """Read series from an `.npz`.

    It contains `sequences` [N, T, features], and optionally `mask` [N, T], `labels` [N], `ids` [N],
    `names` [features] and `times` [N, T]. Steps with mask 0 before the end of a series are missing.

    Args:
        path: the file.

    Returns:
        The series.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is damaged, lacks `sequences`, or its arrays do not fit.
    """
    path = Path(path)
    known = ("sequences", "mask", "labels", "ids", "names", "times")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in known if name in file.files}
        sequences = np.asarray(arrays["sequences"], np.float32)
    except KeyError:
        raise ValueError(f"{path}: no array `sequences` [N, T, features] in it.") from None
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file.") from None
    except NPZ_ERRORS as error:
        raise ValueError(
            f"{path}: not a readable .npz file, it may be truncated ({reason(error)})."
        ) from error
    mask = arrays.get("mask", np.ones(sequences.shape[:2]))
    if sequences.ndim != 3 or mask.shape != sequences.shape[:2]:
        raise ValueError(
            f"{path}: sequences {sequences.shape} and mask {mask.shape}, expected [N, T, features] "
            "and [N, T]."
        )
    shapes = {
        "labels": sequences.shape[:1],
        "ids": sequences.shape[:1],
        "names": sequences.shape[2:],
        "times": sequences.shape[:2],
    }
    for name, shape in shapes.items():
        if name in arrays and arrays[name].shape != shape:
            raise ValueError(f"{path}: {name} {arrays[name].shape}, expected {shape}.")
    observed = is_observed(mask)
    lengths = _ends(observed)
    sequences = np.where(observed[..., None], sequences, np.nan)
    times = arrays.get("times")
    try:
        return pad(
            [s[:n] for s, n in zip(sequences, lengths, strict=True)],
            arrays.get("labels"),
            ids=arrays["ids"].astype(str) if "ids" in arrays else None,
            names=tuple(arrays["names"].astype(str).tolist()) if "names" in arrays else None,
            times=None if times is None else [t[:n] for t, n in zip(times, lengths, strict=True)],
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
