"""VAME's training data: sessions split into training and test frames, normalised, and cut into
windows."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqvae.files import NPZ_ERRORS, atomic_write
from seqvae.replicas import rows_of
from vrae.vame.config import Config

_TEST_WINDOWS = 64  # at least so many, if there are: the best model is chosen by their mean error
_PART = 2**18  # frames looked at at once: a bound on memory


class Statistics(NamedTuple):
    """By what data are normalised: two numbers for all positions, as VAME has it, and two for each
    extra feature, which are the last rows."""

    mean: float
    std: float
    extra_mean: tuple[float, ...] = ()
    extra_std: tuple[float, ...] = ()

    def normalise(self, data: np.ndarray) -> np.ndarray:
        """(data - mean) / std of data [..., features, frames], float32."""
        mean, std = self._rows(data.shape[-2])
        return ((data - mean) / std).astype(np.float32)

    def restore(self, data: np.ndarray) -> np.ndarray:
        """The inverse of `normalise`, float64."""
        mean, std = self._rows(data.shape[-2])
        return np.asarray(data, np.float64) * std + mean

    def _rows(self, features: int) -> tuple[np.ndarray, np.ndarray]:
        """The mean and the deviation of each row, [features, 1]."""
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
    """Training and test pieces [features, frames] of sessions; no piece joins frames that did not
    follow each other.

    mode_1: the first part of all sessions together is the test; mode_2: of every session one
    stretch, drawn as VAME draws it.
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
    """Mean and standard deviation of all values that are there.

    extra: the number of extra features, which are the last rows: each has its own.
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
    """The statistics of a project that VAME trained: those that it saved, or of its training data.

    Raises:
        FileNotFoundError, ValueError: neither is there, or cannot be used.
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
    """Pieces [features, frames] cut so that one fits into memory, whatever the file it is mapped
    from."""
    for piece in pieces:
        for first in range(0, piece.shape[1], _PART):
            yield np.asarray(piece[:, first : first + _PART], np.float64)


class Windows:
    """Windows [features, steps] of pieces [features, frames]; none reaches over the end of a piece.

    normalise: of windows as they are taken; what the pieces are mapped from need not fit into
    memory.
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
        """Windows at every frame at which one can begin."""
        return int(self._first[-1])

    def take(self, starts: np.ndarray) -> np.ndarray:
        """Windows by their number, [len(starts), features, steps]."""
        which = np.searchsorted(self._first, starts, side="right") - 1
        taken = [self.pieces[p][:, i - self._first[p]] for p, i in zip(which, starts, strict=True)]
        return self._normalise(np.stack(taken))

    def drawn(
        self, batch_size: int, batches: int, seed: tuple[int, ...], part: tuple[int, int] = (0, 1)
    ) -> Iterator[np.ndarray]:
        """Batches of windows drawn at random, each frame as likely a beginning as any other.

        part: (i, n) gives of each batch the rows of the i-th of n workers.
        """
        random = np.random.default_rng(seed)
        first, count, _ = (int(value) for value in rows_of(*part, batch_size))
        for _ in range(batches):
            yield self.take(
                random.integers(len(self), size=batch_size)[first : first + max(1, count)]
            )

    def stride(self, time_window: int) -> int:
        """Frames from one test window to the next: time_window, so that they do not overlap, or
        less, so that there are at least 64 of them; 1, which is every window, where there are
        fewer."""
        return max(1, min(time_window, len(self) // _TEST_WINDOWS))

    def every(self, stride: int, batch_size: int) -> Iterator[np.ndarray]:
        """Batches of the windows at every `stride`-th beginning, always the same; the last may be
        smaller."""
        starts = np.arange(0, len(self), stride)
        for i in range(0, len(starts), batch_size):
            yield self.take(starts[i : i + batch_size])


def check_sessions(
    sessions: Mapping[str, np.ndarray], *, num_features: int, steps: int, missing_values: bool
) -> None:
    """Whether sessions [features, frames] can be trained on.

    Raises:
        ValueError: names the session and what is wrong with it.
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
            raise ValueError(f"{name}: {len(data)} features, {num_features} were expected.")
        if data.shape[1] < steps:
            raise ValueError(
                f"{name}: {data.shape[1]} frames, a window and what follows it need {steps} (twice "
                "time_window). Leave the "
                "session out, or use a smaller time_window."
            )
        count = sum(int((~np.isfinite(part)).sum()) for part in _parts([data]))
        infinite = count and any(np.isinf(part).any() for part in _parts([data]))
        if infinite or (count and not missing_values):
            raise ValueError(
                f"{name}: {count} values are NaN or infinite. Set missing_values: true in the "
                "config to train with NaN as "
                "missing, or fill them."
            )
    _check_variation(sessions)


def _check_variation(sessions: Mapping[str, np.ndarray]) -> None:
    least = most = None
    for part in _parts(sessions.values()):
        here = (
            np.fmin.reduce(part, axis=1),
            np.fmax.reduce(part, axis=1),
        )  # NaN where a feature has nothing else
        least, most = (
            here
            if least is None or most is None
            else (np.fmin(least, here[0]), np.fmax(most, here[1]))
        )
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
    """The training and the test pieces [features, frames] that `create_training` wrote, not
    normalised and not read: they are mapped from the files.

    Raises:
        FileNotFoundError, ValueError: there are none, or they cannot be used; the message says why.
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
        # Where the pieces of sessions end; VAME's own files do not say, and its windows reach over
        # the joins.
        ends = folder / f"{name}_ends.npy"
        sets.append(np.split(data, load_array(ends)[:-1], axis=1) if ends.exists() else [data])
    return sets[0], sets[1]


def save_array(path: str | Path, array: np.ndarray) -> None:
    """Writes an .npy, whole or not at all."""
    with atomic_write(path) as part, open(part, "wb") as file:
        np.save(file, array, allow_pickle=False)


def save_pieces(path: str | Path, pieces: list[np.ndarray]) -> None:
    """Writes pieces [features, frames] as one .npy [features, all frames], whole or not at all, a
    part at a time."""
    shape = pieces[0].shape[0], sum(piece.shape[1] for piece in pieces)
    with atomic_write(path) as part:
        made = np.lib.format.open_memmap(part, "w+", np.result_type(*pieces), shape)
        first = 0
        for piece in pieces:
            for at in range(0, piece.shape[1], _PART):
                values = piece[:, at : at + _PART]
                made[:, first : first + values.shape[1]] = values
                first += values.shape[1]
        made.flush()


def load_array(path: str | Path, mapped: bool = False) -> np.ndarray:
    """Reads an .npy of numbers, or maps it into memory.

    Raises:
        FileNotFoundError: there is none. ValueError: it is damaged or holds something else.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file. Make it with vrae.vame.create_training.")
    try:
        array = np.load(path, allow_pickle=False, mmap_mode="r" if mapped else None)
    except NPZ_ERRORS as error:
        raise ValueError(
            f"{path}: not a readable .npy file, it may be truncated ({error})."
        ) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise ValueError(f"{path}: expected an array of numbers.")
    return array
