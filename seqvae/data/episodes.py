"""Episodes on disk, a compressed `.npz` each: a folder of them is a dataset that need not fit into memory."""

import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seqvae.data.sequences import DataError
from seqvae.files import NPZ_ERRORS


@dataclass(frozen=True)
class Episodes:
    """Episodes of a folder. Files are read when they are asked for, their shapes when the folder is opened.

    paths: of the files, in the order of their names; lengths: [N] steps of each.
    shapes: of one step of each array, by the array's name; every episode has the same.
    """

    paths: tuple[Path, ...]
    lengths: tuple[int, ...]
    shapes: dict[str, tuple[int, ...]]

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def steps(self) -> int:
        """Steps of all episodes together."""
        return sum(self.lengths)

    def read(self, i: int, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """The arrays of episode i, [T, ...] each; `names`: only these.

        Raises:
            DataError: the file is damaged, or not what it was when the folder was opened.
        """
        path = self.paths[i]
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in (self.shapes if names is None else names)}
        except NPZ_ERRORS as error:
            raise DataError(
                f"{path}: not a readable episode, it may be truncated ({error}). Record it again."
            ) from error
        for name, value in arrays.items():
            if value.shape != (self.lengths[i], *self.shapes[name]):
                raise DataError(
                    f"{path}: {name} is {value.shape}, it was {(self.lengths[i], *self.shapes[name])} when the folder was "
                    "opened. Do not record into a folder while it is trained on."
                )
        return arrays

    def take(self, indices: Iterable[int]) -> "Episodes":
        """The episodes at `indices`."""
        indices = list(indices)
        return Episodes(tuple(self.paths[i] for i in indices), tuple(self.lengths[i] for i in indices), self.shapes)

    def split(self, test_fraction: float, seed: int) -> tuple["Episodes", "Episodes"]:
        """Training and test episodes, drawn apart at random; at least one of each."""
        if len(self) < 2:
            raise DataError(
                f"{self.paths[0].parent}: one episode cannot be split into training and test data. Record a second one."
            )
        order = np.random.default_rng([seed, len(self)]).permutation(len(self))
        test = min(max(1, round(test_fraction * len(self))), len(self) - 1)
        return self.take(sorted(order[test:])), self.take(sorted(order[:test]))

    def fingerprint(self) -> str:
        """Tells these episodes from others by their names, lengths and sizes on disk; contents are not read."""
        checksum = 0
        for path, length in zip(self.paths, self.lengths, strict=True):
            checksum = zlib.crc32(f"{path.name} {length} {path.stat().st_size}".encode(), checksum)
        return f"{len(self)} episodes {checksum:08x}"


def open_episodes(folder: str | Path, needed: dict[str, str], *, at_least: int = 1) -> Episodes:
    """Opens a folder of episodes.

    Args:
        needed: names of arrays that every episode must have, each with what it is, for the error.
        at_least: steps of the shortest episode.

    Raises:
        FileNotFoundError: no such folder, or no episode in it.
        DataError: an episode is damaged, lacks an array, is too short, or its arrays do not fit each other or the first
            episode's; the message names the file.
    """
    folder = Path(folder)
    paths = sorted(path for path in folder.glob("*.npz") if not path.name.startswith("."))
    if not paths:
        raise FileNotFoundError(f"{folder}: {'no episodes (*.npz) in it' if folder.is_dir() else 'no such folder'}.")
    lengths, first = [], None
    for path in paths:
        shapes = _shapes(path)
        missing = [f"{name} ({what})" for name, what in needed.items() if name not in shapes]
        if missing:
            raise DataError(f"{path}: no array {', '.join(missing)}; it has {', '.join(sorted(shapes)) or 'none'}.")
        steps = {name: shape[0] if shape else 0 for name, shape in shapes.items()}
        if len(set(steps.values())) > 1:
            raise DataError(f"{path}: arrays of different lengths, {steps}; expected one entry a step in each.")
        lengths.append(next(iter(steps.values())))
        if lengths[-1] < at_least:
            raise DataError(f"{path}: an episode of {lengths[-1]} steps; expected at least {at_least}. Leave it out.")
        one_step = {name: shape[1:] for name, shape in shapes.items()}
        first = first or one_step
        if one_step != first:
            raise DataError(f"{path}: a step has the shapes {one_step}, those of {paths[0].name} are {first}.")
    return Episodes(tuple(paths), tuple(lengths), first)


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays in an `.npz`, from its headers: nothing is decompressed but a few bytes of each."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy"): _shape(archive, name) for name in archive.namelist()}
    except NPZ_ERRORS as error:
        raise DataError(f"{path}: not a readable episode, it may be truncated ({error}). Record it again.") from error


def _shape(archive: zipfile.ZipFile, name: str) -> tuple[int, ...]:
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects")
    return shape
