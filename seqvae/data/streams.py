"""Batches read from a dataset's files during training: memory does not grow with the dataset."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from seqvae.data.shards import Shards
from seqvae.replicas import rows_of

_READERS = 2
_ROW = np.dtype([("group", "i4"), ("place", "i4"), ("file", "i4"), ("item", "i8")])
"""A row of the plan: an item of a file. `place` is the file's index in its group, `item` the item's
index in its file.
"""


class Epoch:
    """The batches of an epoch, prefetched.

    Iterating over this object raises the error of a file that cannot be read, such as `DataError`.
    Iterating over `dataset` raises TensorFlow's error instead.

    Args:
        element_spec: the shapes and types of a batch.
        batches: makes an iterator over the batches.

    Attributes:
        dataset: the batches as a `tf.data.Dataset`.
        element_spec: the shapes and types of a batch.
    """

    def __init__(
        self,
        element_spec: dict[str, tf.TensorSpec],
        batches: Callable[[], Iterator[dict[str, np.ndarray]]],
    ):
        self.element_spec, self._error = element_spec, None

        def remember_error():
            try:
                yield from batches()
            except Exception as error:
                self._error = error
                raise

        options = tf.data.Options()
        options.autotune.enabled = False  # as in `Batches`
        self.dataset: tf.data.Dataset = (
            tf.data.Dataset.from_generator(remember_error, output_signature=element_spec)
            .prefetch(2)
            .with_options(options)
        )

    def __iter__(self) -> Iterator[dict[str, tf.Tensor]]:
        try:
            yield from self.dataset
        except tf.errors.OpError:
            if self._error is None:
                raise
            raise self._error from None


class ShardBatches:
    """Batches of entries, or of windows of entries, read from files.

    The interface is that of `seqvae.data.batches.Batches`. What it guarantees:

    - Every item is used once in an epoch. All batches but the last are full.
    - The order depends only on the seed and the epoch: not on the number of workers, the threads
      that read, or where a run was resumed. With shuffle=False it is the order of the files.
    - A batch mixes items of `group` files, each in proportion to its length.
    - Memory holds at most `2 * group` files and the prefetched batches.
    - Files are read in the background, before they are needed.
    - A resumed epoch reads no file that only skipped batches need.
    - The rows of all workers joined are the batch. A worker reads only the files of its rows; with
      files of one length the workers read different files.
    - A file that cannot be read raises its own error, at the batch that needs it.

    The plan behind it: the files are shuffled and cut into groups, which are used one after the
    other. The items of each file, in a random order, are spread evenly over the group. Within a
    batch the items are sorted by the file's place in its group, so that the workers' rows belong to
    different files. (`tf.data.Dataset.interleave` mixes files too, but also reads files that only
    skipped batches or other workers need.)

    Args:
        shards: the dataset.
        batch_size: items in a batch; the last batch of an epoch may be smaller.
        names: the arrays to read, and the name of each in a batch, {"frames": "frames"}.
        window: None: an item is one entry, [batch, ...]. Otherwise an item is `window` consecutive
            entries of a file, [batch, window, ...]. The last window of a file is padded with zeros;
            `mask` [batch, window] is 1 for entries, 0 for padding.
        overlap: entries that a window shares with the previous one. Use 1 if the last entry of a
            window is only a target: it is then the first input of the next window.
        seed: seed of the order.
        shuffle: whether the order is random; False: one file after the other, in order.
        group: files that are mixed at a time.
        prepare: called as prepare(i, arrays) after file i was read; returns the arrays to use,
            {name in a batch: [entries, ...]}.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        shards: Shards,
        batch_size: int,
        names: dict[str, str],
        *,
        window: int | None = None,
        overlap: int = 0,
        seed: int = 0,
        shuffle: bool = True,
        group: int = 8,
        prepare: Callable[[int, dict[str, np.ndarray]], dict[str, np.ndarray]] = lambda i, arrays: (
            arrays
        ),
    ):
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("group", group, 1),
            ("window", 1 if window is None else window, 1),
        ):
            if value < least:
                raise ValueError(f"{name}: expected an integer of at least {least}, got {value!r}.")
        if window is not None and not 0 <= overlap < window:
            raise ValueError(f"overlap: expected 0 to window - 1 = {window - 1}, got {overlap!r}.")
        self._shards, self._size, self._names, self._prepare = shards, batch_size, names, prepare
        self._window, self._overlap = window, overlap
        self._seed, self._shuffle, self._group = seed, shuffle, group
        self._items = [len(self._starts(length)) for length in shards.lengths]
        self._count = sum(self._items)
        self._spec = None

    def __len__(self) -> int:
        """Batches per epoch."""
        return -(-self._count // self._size)

    def rows(self, step: int) -> int:
        """The number of items in a batch; the last of an epoch may be smaller.

        Args:
            step: the batch, counted from 0.

        Returns:
            The number of items.
        """
        return min(self._size, self._count - step * self._size)

    def epoch(self, epoch: int, skip: int = 0, part: tuple[int, int] = (0, 1)) -> "Epoch":
        """Make the batches of an epoch. Files that only skipped batches need are not read.

        Args:
            epoch: the epoch, counted from 0.
            skip: number of batches at the start of the epoch to leave out.
            part: (i, n): only the rows of worker i of n in each batch (`seqvae.replicas.rows_of`).

        Returns:
            The batches.
        """
        if self._spec is None:
            self._spec = self._element_spec()
        return Epoch(self._spec, lambda: self._batches(epoch, skip, part))

    def _element_spec(self) -> dict[str, tf.TensorSpec]:
        first = self._read(0)
        leading = [None] if self._window is None else [None, self._window]
        spec = {
            name: tf.TensorSpec([*leading, *value.shape[1:]], value.dtype)
            for name, value in first.items()
        }
        return (
            spec
            if self._window is None
            else spec | {"mask": tf.TensorSpec([None, self._window], tf.float32)}
        )

    def _batches(
        self, epoch: int, skip: int, part: tuple[int, int]
    ) -> Iterator[dict[str, np.ndarray]]:
        """The batches of an epoch. Batches are planned up to the end of the next group, and a file
        is read in the background as soon as a planned batch needs it.
        """
        plan = self._plan(epoch, skip, part)
        planned, waiting = next(plan, []), deque()
        files: dict[int, tuple[int, Future]] = {}  # by number: the file's group, and its arrays
        with ThreadPoolExecutor(_READERS) as pool:
            while planned or waiting:
                group = min(_groups(waiting[0] if waiting else planned))
                files = {file: found for file, found in files.items() if found[0] >= group}
                while planned and (not waiting or max(_groups(planned)) <= group + 1):
                    waiting.append(planned)
                    for piece in planned:
                        if piece.file not in files:
                            files[piece.file] = piece.group, pool.submit(self._read, piece.file)
                    planned = next(plan, [])
                pieces = waiting.popleft()
                yield self._batch(
                    [(files[piece.file][1].result(), piece.items) for piece in pieces]
                )

    def _plan(self, epoch: int, skip: int, part: tuple[int, int]) -> Iterator[list["_Piece"]]:
        """A worker's rows of every batch after the first `skip`."""
        order = np.arange(len(self._shards))
        if self._shuffle:
            order = np.random.default_rng([self._seed, epoch]).permutation(order)
        groups = np.array_split(order, -(-len(order) // (self._group if self._shuffle else 1)))
        rows = (self._rows_of_group(epoch, group, files) for group, files in enumerate(groups))
        left = next(rows)
        for step in range(len(self)):
            while len(left) < self.rows(step):
                left = np.concatenate([left, next(rows)])
            batch, left = np.split(left, [self.rows(step)])
            if step >= skip:
                first, count, _ = rows_of(*part, len(batch))
                batch = batch[np.argsort(batch["place"], kind="stable")]
                yield _pieces(batch[first : first + max(1, count)])

    def _rows_of_group(self, epoch: int, group: int, files: np.ndarray) -> np.ndarray:
        """The items of a group of files in the order of the epoch, [items] of `_ROW`."""
        parts, positions = [], []  # positions in (0, 1) spread the items of each file evenly
        for place, file in enumerate(files):
            rows = np.zeros(self._items[file], _ROW)
            rows["group"], rows["place"], rows["file"] = group, place, file
            rows["item"] = self._order(epoch, file)
            parts.append(rows)
            positions.append((np.arange(len(rows)) + 0.5) / len(rows))
        return np.concatenate(parts)[np.argsort(np.concatenate(positions), kind="stable")]

    def _order(self, epoch: int, file: int) -> np.ndarray:
        """The items of a file in the order of the epoch."""
        if not self._shuffle:
            return np.arange(self._items[file])
        return np.random.default_rng([self._seed, epoch, file]).permutation(self._items[file])

    def _starts(self, length: int) -> range:
        """The first entry of each item of a file. An item of only `overlap` entries would add
        nothing new.
        """
        if self._window is None:
            return range(length)
        return range(0, max(1, length - self._overlap), self._window - self._overlap)

    def _read(self, file: int) -> dict[str, np.ndarray]:
        arrays = self._shards.read(file, self._names)
        return self._prepare(file, {new: arrays[name] for name, new in self._names.items()})

    def _batch(
        self, parts: list[tuple[dict[str, np.ndarray], np.ndarray]]
    ) -> dict[str, np.ndarray]:
        selected = [self._select(arrays, items) for arrays, items in parts]
        return {name: np.concatenate([part[name] for part in selected]) for name in selected[0]}

    def _select(self, arrays: dict[str, np.ndarray], items: np.ndarray) -> dict[str, np.ndarray]:
        """Some items of a file: entries, or windows padded with zeros and their mask."""
        if self._window is None:
            return {name: value[items] for name, value in arrays.items()}
        where = items[:, None] * (self._window - self._overlap) + np.arange(self._window)
        valid = where < len(next(iter(arrays.values())))
        taken = {name: value[np.where(valid, where, 0)] for name, value in arrays.items()}
        for value in taken.values():
            value[~valid] = 0
        return taken | {"mask": valid.astype(np.float32)}


class _Piece(NamedTuple):
    """The rows of a batch that come from one file."""

    file: int
    group: int
    items: np.ndarray


def _pieces(rows: np.ndarray) -> list[_Piece]:
    """Cut rows where the file changes."""
    runs = np.split(rows, np.flatnonzero(np.diff(rows["file"])) + 1)
    return [_Piece(int(run["file"][0]), int(run["group"][0]), run["item"]) for run in runs]


def _groups(pieces: list[_Piece]) -> list[int]:
    return [piece.group for piece in pieces]
