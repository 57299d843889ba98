"""VAME's training data: sessions split into training and test frames, normalised, cut into
windows.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqvae.files import NPZ_ERRORS, atomic_write, reason
from seqvae.replicas import rows_of
from vrae.vame.config import Config

_TEST_WINDOWS = 64  # least number of test windows, whose mean error selects the best model
_PART = 2**18  # frames processed at once; limits memory


class Statistics(NamedTuple):
    """The statistics for normalisation.

    Positions share them, as in VAME; extra features, which are the last rows, have their own.
    """

    mean: float
    """Mean of all positions."""
    std: float
    """Standard deviation of all positions."""
    extra_mean: tuple[float, ...] = ()
    """Mean of each extra feature."""
    extra_std: tuple[float, ...] = ()
    """Standard deviation of each extra feature."""

    def normalise(self, data: np.ndarray) -> np.ndarray:
        """Compute (data - mean) / std.

        Args:
            data: [..., features, frames].

        Returns:
            float32 of the same shape.
        """
        mean, std = self._rows(data.shape[-2])
        return ((data - mean) / std).astype(np.float32)

    def restore(self, data: np.ndarray) -> np.ndarray:
        """Compute the inverse of `normalise`.

        Args:
            data: [..., features, frames].

        Returns:
            float64 of the same shape.
        """
        mean, std = self._rows(data.shape[-2])
        return np.asarray(data, np.float64) * std + mean

    def _rows(self, features: int) -> tuple[np.ndarray, np.ndarray]:
        """The mean and the deviation of each row, [features, 1] each."""
        positions = features - len(self.extra_mean)
        mean = [self.mean] * positions + list(self.extra_mean)
        std = [self.std] * positions + list(self.extra_std)
        return np.array(mean)[:, None], np.array(std)[:, None]


def split_sessions(
    sessions: Mapping[str, np.ndarray],
    test_fraction: float = 0.1,
    split_mode: str = "mode_2",
    seed: int = 42,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Split sessions into training and test pieces of consecutive frames.

    Args:
        sessions: [features, frames] by name.
        test_fraction: the share of test frames.
        split_mode: "mode_1": the first part of all sessions together is the test data. "mode_2":
            one stretch of every session, drawn as in VAME.
        seed: seed of the draw.

    Returns:
        Training and test pieces, [features, frames] each.
    """
    if split_mode == "mode_1":
        left = int(sum(data.shape[1] for data in sessions.values()) * test_fraction)
        train, test = [], []
        for data in sessions.values():
            cut = min(left, data.shape[1])
            left -= cut
            test.append(data[:, :cut])
            train.append(data[:, cut:])
    else:
        random = np.random.RandomState(seed)  # VAME's own numbers
        train, test = [], []
        for data in sessions.values():
            length = int(data.shape[1] * test_fraction)
            start = random.randint(0, data.shape[1] - length)
            test.append(data[:, start : start + length])
            train += [data[:, :start], data[:, start + length :]]
    return _not_empty(train), _not_empty(test)


def _not_empty(pieces: list[np.ndarray]) -> list[np.ndarray]:
    return [piece for piece in pieces if piece.shape[1]]


def statistics(pieces: list[np.ndarray], extra: int = 0) -> Statistics:
    """Compute mean and standard deviation of all observed values.

    Args:
        pieces: [features, frames] each.
        extra: number of extra features, the last rows, which have their own statistics.

    Returns:
        The statistics.
    """
    positions = len(pieces[0]) - extra
    rows = [slice(positions), *(slice(row, row + 1) for row in range(positions, len(pieces[0])))]
    (mean, std), *extras = (_moments([piece[part] for piece in pieces]) for part in rows)
    return Statistics(mean, std, tuple(m for m, _ in extras), tuple(s for _, s in extras))


def _moments(pieces: list[np.ndarray]) -> tuple[float, float]:
    count = sum(np.count_nonzero(~np.isnan(part)) for part in _parts(pieces))
    mean = sum(np.nansum(part, dtype=np.float64) for part in _parts(pieces)) / count
    squares = sum(np.nansum(np.square(part - mean), dtype=np.float64) for part in _parts(pieces))
    return float(mean), float(np.sqrt(squares / count))


def vames_statistics(settings: Config) -> Statistics:
    """Read the statistics of a project that VAME trained.

    They are those it saved, or those of its training data.

    Args:
        settings: the config.

    Returns:
        The statistics.

    Raises:
        FileNotFoundError: neither exists.
        ValueError: they cannot be used.
    """
    folder = Path(settings.project_path) / "data" / "train"
    saved = [folder / f"seq_{name}.npy" for name in ("mean", "std")]
    if all(path.exists() for path in saved):
        mean, std = (float(np.ravel(load_array(path))[0]) for path in saved)
        if not (np.isfinite(mean) and 0 < std < np.inf):
            raise ValueError(
                f"{saved[1]}: expected a finite mean and a standard deviation above 0, got {mean} "
                f"and {std}. Remove seq_mean.npy and seq_std.npy: they are computed again from "
                "train_seq.npy."
            )
        return Statistics(mean, std)
    data = load_array(folder / "train_seq.npy", mapped=True)
    return statistics([data if len(data) <= data.shape[1] else data.T])


def _parts(pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Pieces [features, frames] cut into parts that fit into memory, for pieces mapped from
    files.
    """
    for piece in pieces:
        for first in range(0, piece.shape[1], _PART):
            yield np.asarray(piece[:, first : first + _PART], np.float64)


class Windows:
    """Windows [features, steps] of pieces [features, frames]; no window crosses the end of a piece.

    Args:
        pieces: the pieces, which may be mapped from files larger than memory.
        steps: frames of a window.
        normalise: applied to windows when they are taken.
    """

    def __init__(
        self,
        pieces: list[np.ndarray],
        steps: int,
        normalise: Callable[[np.ndarray], np.ndarray] = lambda windows: windows,
    ):
        self._normalise = normalise
        self.pieces = [
            np.lib.stride_tricks.sliding_window_view(p, steps, axis=1)
            for p in pieces
            if p.shape[1] >= steps
        ]
        self._first = np.cumsum([0, *(piece.shape[1] for piece in self.pieces)])

    def __len__(self) -> int:
        """The number of windows, one for each frame at which a window can start."""
        return int(self._first[-1])

    def take(self, starts: np.ndarray) -> np.ndarray:
        """Select windows.

        Args:
            starts: the windows' numbers.

        Returns:
            [len(starts), features, steps].
        """
        which = np.searchsorted(self._first, starts, side="right") - 1
        taken = [self.pieces[p][:, i - self._first[p]] for p, i in zip(which, starts, strict=True)]
        return self._normalise(np.stack(taken))

    def drawn(
        self, batch_size: int, batches: int, seed: tuple[int, ...], part: tuple[int, int] = (0, 1)
    ) -> Iterator[np.ndarray]:
        """Draw batches of windows at random; all start frames are equally likely.

        Args:
            batch_size: windows in a batch.
            batches: number of batches.
            seed: the seed.
            part: (i, n): only the rows of worker i of n in each batch.

        Yields:
            [rows, features, steps].
        """
        random = np.random.default_rng(seed)
        first, count, _ = (int(value) for value in rows_of(*part, batch_size))
        for _ in range(batches):
            yield self.take(
                random.integers(len(self), size=batch_size)[first : first + max(1, count)]
            )

    def stride(self, time_window: int) -> int:
        """Compute the number of frames between two test windows.

        Args:
            time_window: frames of a window.

        Returns:
            time_window, so that windows do not overlap; or less, so that there are at least 64
            windows; at least 1.
        """
        return max(1, min(time_window, len(self) // _TEST_WINDOWS))

    def every(self, stride: int, batch_size: int) -> Iterator[np.ndarray]:
        """Make batches of the windows at every `stride`-th start.

        Args:
            stride: frames between two windows.
            batch_size: windows in a batch; the last batch may be smaller.

        Yields:
            [rows, features, steps].
        """
        starts = np.arange(0, len(self), stride)
        for i in range(0, len(starts), batch_size):
            yield self.take(starts[i : i + batch_size])


def check_sessions(
    sessions: Mapping[str, np.ndarray], *, num_features: int, steps: int, missing_values: bool
) -> None:
    """Check that sessions can be used for training.

    Args:
        sessions: [features, frames] by name.
        num_features: number of features.
        steps: the smallest number of frames.
        missing_values: whether NaN is allowed.

    Raises:
        ValueError: a session cannot be used; the message names it and says why.
    """
    if not sessions:
        raise ValueError("sessions: expected at least one, got none.")
    for name, data in sessions.items():
        if data.ndim != 2 or 0 in data.shape:
            raise ValueError(
                f"{name}: expected an array [features, frames], got the shape {data.shape}."
            )
        if len(data) > data.shape[1]:
            raise ValueError(
                f"{name}: {len(data)} features and only {data.shape[1]} frames. It looks "
                "transposed."
            )
        if len(data) != num_features:
            raise ValueError(f"{name}: expected {num_features} features, got {len(data)}.")
        if data.shape[1] < steps:
            raise ValueError(
                f"{name}: {data.shape[1]} frames, a window and what follows it need {steps} (twice "
                "time_window). Leave the session out, or use a smaller time_window."
            )
        count = sum(int((~np.isfinite(part)).sum()) for part in _parts([data]))
        infinite = count and any(np.isinf(part).any() for part in _parts([data]))
        if infinite or (count and not missing_values):
            raise ValueError(
                f"{name}: {count} values are NaN or infinite. Set missing_values: true in the "
                "config to train with NaN as missing, or fill them."
            )
    _check_variation(sessions)


def _check_variation(sessions: Mapping[str, np.ndarray]) -> None:
    least = most = None
    for part in _parts(sessions.values()):
        low, high = np.fmin.reduce(part, axis=1), np.fmax.reduce(part, axis=1)  # NaN: none observed
        least = low if least is None else np.fmin(least, low)
        most = high if most is None else np.fmax(most, high)
    assert least is not None and most is not None
    unseen = np.flatnonzero(np.isnan(least))
    if len(unseen):
        raise ValueError(
            f"sessions: features {unseen.tolist()} are missing in every frame. Leave them out."
        )
    constant = np.flatnonzero(most == least)
    if len(constant):
        raise ValueError(f"sessions: features {constant.tolist()} never change. Leave them out.")


def training_data(settings: Config) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Map the training and test pieces that `create_training` wrote; they are not normalised.

    Args:
        settings: the config.

    Returns:
        Training and test pieces, [features, frames] each.

    Raises:
        FileNotFoundError: there are none.
        ValueError: they cannot be used; the message says why.
    """
    folder, sets = Path(settings.project_path) / "data" / "train", []
    for name in ("train", "test"):
        data = load_array(folder / f"{name}_seq.npy", mapped=True)
        check_sessions(
            {f"{name}_seq.npy": data},
            num_features=settings.num_features,
            steps=2 * settings.time_window,
            missing_values=settings.missing_values,
        )
        # The ends of the sessions' pieces. VAME's own files lack them, and its windows cross them.
        ends = folder / f"{name}_ends.npy"
        sets.append(np.split(data, load_array(ends)[:-1], axis=1) if ends.exists() else [data])
    return sets[0], sets[1]


def save_array(path: str | Path, array: np.ndarray) -> None:
    """Write an .npy, atomically.

    Args:
        path: the file.
        array: the array.
    """
    with atomic_write(path) as part, open(part, "wb") as file:
        np.save(file, array, allow_pickle=False)


def save_pieces(path: str | Path, pieces: list[np.ndarray]) -> None:
    """Write pieces as one .npy, atomically, a part at a time.

    Args:
        path: the file.
        pieces: [features, frames] each.
    """
    shape = pieces[0].shape[0], sum(piece.shape[1] for piece in pieces)
    with atomic_write(path) as part:
        joined = np.lib.format.open_memmap(part, "w+", np.result_type(*pieces), shape)
        first = 0
        for piece in pieces:
            for at in range(0, piece.shape[1], _PART):
                values = piece[:, at : at + _PART]
                joined[:, first : first + values.shape[1]] = values
                first += values.shape[1]
        joined.flush()


def load_array(path: str | Path, mapped: bool = False) -> np.ndarray:
    """Read an .npy of numbers, or map it into memory.

    Args:
        path: the file.
        mapped: whether it is mapped.

    Returns:
        The array.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is damaged, or contains something else.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file. Make it with vrae.vame.create_training.")
    try:
        array = np.load(path, allow_pickle=False, mmap_mode="r" if mapped else None)
    except NPZ_ERRORS as error:
        raise ValueError(
            f"{path}: not a readable .npy file, it may be truncated ({reason(error)})."
        ) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise ValueError(f"{path}: expected an array of numbers.")
    return array
