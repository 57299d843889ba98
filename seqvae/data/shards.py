"""Datasets in shards: many `.npz` files with an index, read when they are asked for: a dataset need
not fit into memory.

In a file every array has the same first axis, its entries: the sequences of a world, the steps of
an episode, the frames of a session. Any number of processes write files; whoever opens the set
writes its index: counts, shapes, types, checksums.
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

from seqvae.files import NPZ_ERRORS, DataError, array_digest, atomic_write, save

_CHECKSUMS = "__sha256__"
_FORMAT = 1


@dataclass(frozen=True)
class Shards:
    """The files of a dataset. They are read when they are asked for; the index, when the set is
    opened.

    paths: of the files, in the order of their names; lengths: [N] entries of each.
    shapes, types: of one entry of each array, by the array's name; every file has the same.
    checksums: of each file's arrays by name, {} where the file has none of its own.
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
        """Entries of all files together."""
        return sum(self.lengths)

    def read(self, i: int, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """The arrays of file i, [entries, ...] each; `names`: only these.

        Raises:
            DataError: the file is damaged, or not what it was when the set was opened.
        """
        path = self.paths[i]
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in (self.shapes if names is None else names)}
        except NPZ_ERRORS as error:
            raise DataError(
                f"{path}: not a readable .npz, it may be truncated ({error}). Make it again."
            ) from error
        for name, value in arrays.items():
            if value.shape != (self.lengths[i], *self.shapes[name]):
                raise DataError(
                    f"{path}: {name} is {value.shape}, it was "
                    f"{(self.lengths[i], *self.shapes[name])} when the dataset was "
                    "opened. Do not write into a dataset while it is trained on."
                )
            if self.checksums[i].get(name, "") not in ("", array_digest(value)):
                raise DataError(
                    f"{path}: the checksum of {name} does not fit, the file was altered. Make it "
                    "again."
                )
        return arrays

    def take(self, indices: Iterable[int]) -> "Shards":
        """The files at `indices`."""
        indices = list(indices)
        paths, lengths = (
            tuple(self.paths[i] for i in indices),
            tuple(self.lengths[i] for i in indices),
        )
        checksums = tuple(self.checksums[i] for i in indices)
        return Shards(paths, lengths, self.shapes, self.types, checksums)

    def split(self, test_fraction: float, seed: int) -> tuple["Shards", "Shards"]:
        """Training and test files, drawn apart at random; at least one of each."""
        if len(self) < 2:
            raise DataError(
                f"{self.paths[0].parent}: one file cannot be split into training and test data. "
                "Make a second one."
            )
        order = np.random.default_rng([seed, len(self)]).permutation(len(self))
        test = min(max(1, round(test_fraction * len(self))), len(self) - 1)
        return self.take(sorted(order[test:])), self.take(sorted(order[:test]))

    def fingerprint(self) -> str:
        """Tells these files from others by their names, lengths and sizes on disk; contents are not
        read."""
        checksum = 0
        for path, length in zip(self.paths, self.lengths, strict=True):
            checksum = zlib.crc32(f"{path.name} {length} {path.stat().st_size}".encode(), checksum)
        return f"{len(self)} files {checksum:08x}"


def write_shard(path: str | Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes a file of a dataset, compressed, with checksums of its arrays, whole or not at all."""
    checksums = {name: array_digest(value) for name, value in arrays.items()}
    save(path, arrays | {_CHECKSUMS: np.array(json.dumps(checksums, sort_keys=True))})


def shard_path(path: str | Path, shard: int, shards: int) -> Path:
    """DIR/box.npz -> DIR/box-00002-of-00008.npz."""
    path = Path(path)
    return path.with_name(f"{path.stem}-{shard:05d}-of-{shards:05d}{path.suffix}")


def part_of(numbers: range, shard: int | None, shards: int) -> range:
    """Of numbered files those that one of `shards` processes makes: every so many-th from `shard`
    on; None: all.

    Raises:
        ValueError: shard is none of 0 to shards - 1.
    """
    if shards < 1 or (shard is not None and not 0 <= shard < shards):
        raise ValueError(f"shard={shard}, shards={shards}: expected 0 <= shard < shards.")
    return numbers if shard is None else numbers[shard::shards]


def shard_files(path: str | Path) -> list[Path]:
    """The shards NAME-?????-of-?????.npz of DIR/NAME.npz that are there, by name."""
    path = Path(path)
    return sorted(path.parent.glob(f"{path.stem}-?????-of-?????.npz"))


def open_shards(source: str | Path, needed: dict[str, str], *, at_least: int = 1) -> Shards:
    """Opens a dataset: the `.npz` files of a folder, or the shards NAME-00000-of-0000N.npz ... of
    DIR/NAME.npz.

    An index, `index.json` or `NAME.index.json`, saves opening every file; it is written where it is
    missing or out of date and the folder can be written.

    Args:
        needed: names of arrays that every file must have, each with what it is, for the error.
        at_least: entries of the shortest file.

    Raises:
        FileNotFoundError: no such folder, or no file in it.
        DataError: a shard is missing; a file is damaged, lacks an array, is too short, or its
            arrays do not fit each other or the first file's; the message names the file.
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
    """What the index says of a file: whole shapes, types and checksums by name."""

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
            f"{missing or 'none'}, "
            f"found {[p.name for p in found]}. Make the missing ones or remove those of another "
            "set."
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
            f"{path}: arrays of different lengths, {lengths}; expected one entry a step in each."
        )
    if entry.length < at_least:
        raise DataError(
            f"{path}: {entry.length} steps; expected at least {at_least}. Leave the file out."
        )
    here, there = ({n: (s[1:], e.types[n]) for n, s in e.shapes.items()} for e in (entry, first))
    if here != there:
        raise DataError(
            f"{path}: an entry has the shapes and types {here}, those of {first_path.name} are "
            f"{there}."
        )


def _entry(path: Path) -> _Entry:
    """Of an `.npz`, from its headers: nothing is decompressed but a few bytes of each array."""
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
            f"{path}: not a readable .npz, it may be truncated ({error}). Make it again."
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
    """What the index says of the files; None where it is missing, damaged, or not of these
    files."""
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
    """Where all files are alike and the folder can be written; without it the next reader looks at
    every file again."""
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
    """By what a file is known to be the one that the index describes: name, bytes, and time of the
    last change."""
    return [(path.name, (stat := path.stat()).st_size, stat.st_mtime_ns) for path in paths]
