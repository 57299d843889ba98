"""Datasets in shards: many `.npz` files with an index, read on demand, so that a dataset may be
larger than memory.

All arrays of a file share their first axis; an index along it is an entry: a sequence, a step of
an episode, or a frame of a session. Any number of processes may write files. Opening the dataset
writes its index: counts, shapes, types and checksums.
"""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqvae.files import NPZ_ERRORS, DataError, array_digest, atomic_write, reason, save

_CHECKSUMS = "__sha256__"
_FORMAT = 1


@dataclass(frozen=True)
class Shards:
    """The files of a dataset, read on demand.

    Attributes:
        paths: the files, sorted by name.
        lengths: entries of each file.
        shapes: by the array's name, the shape of one entry, the same in every file.
        types: by the array's name, its type, the same in every file.
        checksums: for each file the checksums of its arrays by name; {} if the file has none.
    """

    paths: tuple[Path, ...]
    lengths: tuple[int, ...]
    shapes: dict[str, tuple[int, ...]]
    types: dict[str, str]
    checksums: tuple[dict[str, str], ...]

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def entries(self) -> int:
        """Entries in all files together."""
        return sum(self.lengths)

    def read(self, i: int, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """Read a file.

        Args:
            i: the file's index in `paths`.
            names: the arrays to read; None: all.

        Returns:
            The arrays by name, each [entries, ...].

        Raises:
            DataError: the file is damaged, or changed since the dataset was opened.
        """
        path = self.paths[i]
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in (self.shapes if names is None else names)}
        except NPZ_ERRORS as error:
            raise DataError(
                f"{path}: not a readable .npz, it may be truncated ({reason(error)}). Make it "
                "again."
            ) from error
        for name, value in arrays.items():
            if value.shape != (self.lengths[i], *self.shapes[name]):
                raise DataError(
                    f"{path}: {name} has the shape {value.shape}, it was "
                    f"{(self.lengths[i], *self.shapes[name])} when the dataset was opened. Do not "
                    "write into a dataset while it is trained on."
                )
            if self.checksums[i].get(name, "") not in ("", array_digest(value)):
                raise DataError(
                    f"{path}: the checksum of {name} does not fit, the file was altered. Make it "
                    "again."
                )
        return arrays

    def take(self, indices: Iterable[int]) -> "Shards":
        """Select files.

        Args:
            indices: the files' indices.

        Returns:
            A dataset of the selected files.
        """
        indices = list(indices)
        paths, lengths = (
            tuple(self.paths[i] for i in indices),
            tuple(self.lengths[i] for i in indices),
        )
        checksums = tuple(self.checksums[i] for i in indices)
        return Shards(paths, lengths, self.shapes, self.types, checksums)

    def split(self, test_fraction: float, seed: int) -> tuple["Shards", "Shards"]:
        """Split the files at random into training and test files, at least one each.

        Args:
            test_fraction: the share of test files.
            seed: seed of the choice.

        Returns:
            Training and test files.

        Raises:
            DataError: there is only one file.
        """
        if len(self) < 2:
            raise DataError(
                f"{self.paths[0].parent}: one file cannot be split into training and test data. "
                "Make a second one."
            )
        order = np.random.default_rng([seed, len(self)]).permutation(len(self))
        test = min(max(1, round(test_fraction * len(self))), len(self) - 1)
        return self.take(sorted(order[test:])), self.take(sorted(order[:test]))

    def fingerprint(self) -> str:
        """An identifier of these files: names, lengths and sizes; their contents are not read."""
        checksum = 0
        for path, length in zip(self.paths, self.lengths, strict=True):
            checksum = zlib.crc32(f"{path.name} {length} {path.stat().st_size}".encode(), checksum)
        return f"{len(self)} files {checksum:08x}"


def write_shard(path: str | Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a file of a dataset, compressed, with checksums of its arrays, atomically.

    Args:
        path: the file.
        arrays: the arrays by name, with a common first axis.
    """
    checksums = {name: array_digest(value) for name, value in arrays.items()}
    save(path, arrays | {_CHECKSUMS: np.array(json.dumps(checksums, sort_keys=True))})


def shard_path(path: str | Path, shard: int, shards: int) -> Path:
    """Make the path of a shard, such as DIR/box-00002-of-00008.npz for DIR/box.npz.

    Args:
        path: the dataset's path.
        shard: the shard's number, counted from 0.
        shards: number of shards.

    Returns:
        The shard's path.
    """
    path = Path(path)
    return path.with_name(f"{path.stem}-{shard:05d}-of-{shards:05d}{path.suffix}")


def part_of(numbers: range, shard: int | None, shards: int) -> range:
    """Select the file numbers that one process makes.

    Args:
        numbers: the numbers of all files.
        shard: the number of the process; it makes every `shards`-th file. None: all files.
        shards: number of processes.

    Returns:
        The numbers of process `shard`.

    Raises:
        ValueError: `shard` is not in 0 to shards - 1.
    """
    if shards < 1 or (shard is not None and not 0 <= shard < shards):
        raise ValueError(f"shard={shard}, shards={shards}: expected 0 <= shard < shards.")
    return numbers if shard is None else numbers[shard::shards]


def shard_files(path: str | Path) -> list[Path]:
    """List the existing shards NAME-?????-of-?????.npz of a dataset.

    Args:
        path: the dataset's path, DIR/NAME.npz.

    Returns:
        Their paths, sorted by name.
    """
    path = Path(path)
    return sorted(path.parent.glob(f"{path.stem}-?????-of-?????.npz"))


def open_shards(source: str | Path, needed: dict[str, str], *, at_least: int = 1) -> Shards:
    """Open a dataset: the `.npz` files of a folder, or the shards of DIR/NAME.npz.

    Shards are named NAME-00000-of-0000N.npz, and so on. An index, `index.json` or
    `NAME.index.json`, avoids opening every file. It is written if it is missing or out of date and
    the folder is writable.

    Args:
        source: the folder, or DIR/NAME.npz.
        needed: names of arrays that every file must have, each with a description for the message.
        at_least: the smallest number of entries allowed in a file.

    Returns:
        The dataset.

    Raises:
        FileNotFoundError: the folder does not exist or has no file.
        DataError: a shard is missing; a file is damaged, lacks an array or is too short; or its
            arrays do not fit each other or those of the first file. The message names the file.
    """
    source = Path(source)
    paths, index = _files(source)
    entries = _from_index(index, paths)
    if entries is None:
        entries = [_entry(path) for path in paths]
        _write_index(index, paths, entries)
    for path, entry in zip(paths, entries, strict=True):
        _check(path, entry, paths[0], entries[0], needed, at_least)
    first = entries[0]
    return Shards(
        tuple(paths),
        tuple(e.length for e in entries),
        {name: shape[1:] for name, shape in first.shapes.items()},
        first.types,
        tuple(e.checksums for e in entries),
    )


class _Entry(NamedTuple):
    """A file's entry in the index: shapes, types and checksums by the array's name."""

    shapes: dict[str, tuple[int, ...]]
    types: dict[str, str]
    checksums: dict[str, str]

    @property
    def length(self) -> int:
        shape = next(iter(self.shapes.values()), ())
        return shape[0] if shape else 0


def _files(source: Path) -> tuple[list[Path], Path]:
    """The files of a dataset and its index."""
    if source.suffix != ".npz":
        paths = sorted(path for path in source.glob("*.npz") if not path.name.startswith("."))
        if not paths:
            raise FileNotFoundError(
                f"{source}: {'no files (*.npz) in it' if source.is_dir() else 'no such folder'}."
            )
        return paths, source / "index.json"
    found = shard_files(source)
    if not found:
        raise FileNotFoundError(
            f"{source}: no such file, and no shards {source.stem}-00000-of-*.npz beside it."
        )
    shards = int(found[0].stem[-5:])
    missing = [p.name for i in range(shards) if (p := shard_path(source, i, shards)) not in found]
    if missing or len(found) != shards:
        raise DataError(
            f"{source}: expected exactly the {shards} shards of one set, missing "
            f"{missing or 'none'}, found {[p.name for p in found]}. Make the missing ones or "
            "remove those of another set."
        )
    return found, source.with_suffix(".index.json")


def _check(
    path: Path,
    entry: _Entry,
    first_path: Path,
    first: _Entry,
    needed: dict[str, str],
    at_least: int,
) -> None:
    missing = [f"{name} ({what})" for name, what in needed.items() if name not in entry.shapes]
    if missing:
        raise DataError(
            f"{path}: no array {', '.join(missing)}; it has "
            f"{', '.join(sorted(entry.shapes)) or 'none'}."
        )
    lengths = {name: shape[0] if shape else 0 for name, shape in entry.shapes.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(
            f"{path}: arrays of different lengths, {lengths}; expected the same number of entries "
            "in each."
        )
    if entry.length < at_least:
        raise DataError(
            f"{path}: {entry.length} entries; expected at least {at_least}. Leave the file out."
        )
    own, wanted = ({n: (s[1:], e.types[n]) for n, s in e.shapes.items()} for e in (entry, first))
    if own != wanted:
        raise DataError(
            f"{path}: an entry has the shapes and types {own}, those of {first_path.name} are "
            f"{wanted}."
        )


def _entry(path: Path) -> _Entry:
    """The entry of an `.npz`, from its headers: only a few bytes of each array are decompressed."""
    shapes, types, checksums = {}, {}, {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                name = member.removesuffix(".npy")
                if name == _CHECKSUMS:
                    with archive.open(member) as file:
                        checksums = json.loads(
                            str(np.lib.format.read_array(file, allow_pickle=False))
                        )
                else:
                    shapes[name], types[name] = _header(archive, member)
        checksums = {str(name): str(value) for name, value in checksums.items()}
    except (*NPZ_ERRORS, AttributeError) as error:
        raise DataError(
            f"{path}: not a readable .npz, it may be truncated ({reason(error)}). Make it again."
        ) from error
    return _Entry(shapes, types, checksums)


def _header(archive: zipfile.ZipFile, member: str) -> tuple[tuple[int, ...], str]:
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(file)
    if dtype.hasobject:
        raise ValueError(f"{member} holds Python objects")
    return shape, dtype.str


def _from_index(index: Path, paths: list[Path]) -> list[_Entry] | None:
    """The entries of the files in the index; None if it is missing, damaged, or of other files."""
    try:
        saved = json.loads(index.read_text(encoding="utf-8"))
        if saved.pop("sha256") != _digest(saved) or saved["format"] != _FORMAT:
            return None
        if [tuple(s["state"]) for s in saved["shards"]] != _states(paths):
            return None
        types = saved["types"]
        made = []
        for shard in saved["shards"]:
            shapes = {
                str(name): (int(shard["entries"]), *map(int, saved["shapes"][name]))
                for name in types
            }
            made.append(_Entry(shapes, dict(types), dict(shard["sha256"])))
        return made
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _write_index(index: Path, paths: list[Path], entries: list[_Entry]) -> None:
    """Write the index if all files are alike and the folder is writable; without it, the next
    process that opens the dataset opens every file again.
    """
    first = entries[0]
    kinds = {json.dumps([{n: s[1:] for n, s in e.shapes.items()}, e.types]) for e in entries}
    lengths = [{shape[0] if shape else None for shape in e.shapes.values()} for e in entries]
    if len(kinds) > 1 or any(len(each) != 1 or None in each for each in lengths):
        return
    shards = [
        {"state": state, "entries": entry.length, "sha256": entry.checksums}
        for state, entry in zip(_states(paths), entries, strict=True)
    ]
    shapes = {name: shape[1:] for name, shape in first.shapes.items()}
    value = {"format": _FORMAT, "shapes": shapes, "types": first.types, "shards": shards}
    with suppress(OSError), atomic_write(index) as part:
        part.write_text(json.dumps(value | {"sha256": _digest(value)}) + "\n", encoding="utf-8")


def _digest(value: dict) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _states(paths: list[Path]) -> list[tuple[str, int, int]]:
    """Name, size and modification time of each file; the index matches files with the same ones."""
    return [(path.name, (stat := path.stat()).st_size, stat.st_mtime_ns) for path in paths]
