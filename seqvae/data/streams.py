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
# the most batches that are planned before their files are read; only files with very many entries
# reach it
_AHEAD = 4096


class Epoch:
    """The batches of an epoch, prefetched.

    Iterating raises a reading error as itself; iterating over `dataset` raises TensorFlow's error.

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

        def made():
            try:
                yield from batches()
            except Exception as error:
                self._error = error
                raise

        options = tf.data.Options()
        options.autotune.enabled = False  # as in `Batches`
        self.dataset: tf.data.Dataset = (
            tf.data.Dataset.from_generator(made, output_signature=element_spec)
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

    The interface is that of `seqvae.data.batches.Batches`.
    Every epoch uses each item once, in an order that depends only on the seed and the epoch, not on
    the number of workers. The shuffled files are distributed over `group` queues. Each queue
    contributes an equal part to every batch, so a batch mixes items of `group` files, and a worker
    that needs only some rows of every batch reads only the files of some queues. Memory: at most
    `2 * group` files plus the prefetched batches.

    Args:
        shards: the dataset.
        batch_size: items in a batch; the last batch of an epoch may be smaller.
        names: the arrays to read, and the name of each in a batch, {"frames": "frames"}.
        window: None: an item is one entry, [batch, ...]. Otherwise an item is `window` consecutive
            entries of a file, [batch, window, ...]. The last window of a file is padded with zeros;
            `mask` [batch, window] is 1 for entries, 0 for padding.
        overlap: entries that a window shares with the previous one; 1 if the last entry of a window
            is only a target.
        seed: seed of the order.
        shuffle: whether the order is random; False: one queue, in the order of the files.
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
        """The batches of an epoch. The plan (which items of which files make each batch) runs ahead
        of the reading of files, which runs ahead of the batches.
        """
        plan = ((_rows(pieces, part), done) for pieces, done in self._plan(epoch, skip))
        waiting = deque()
        with ThreadPoolExecutor(_READERS) as pool:
            files: dict[int, Future] = {}
            while True:
                while len(waiting) < _AHEAD and (not waiting or len(files) < 2 * self._group):
                    planned = next(plan, None)
                    if planned is None:
                        break
                    waiting.append(planned)
                    for piece in planned[0]:
                        if piece.file not in files:
                            files[piece.file] = pool.submit(self._read, piece.file)
                if not waiting:
                    return
                pieces, done = waiting.popleft()
                yield self._batch([(files[piece.file].result(), piece.items) for piece in pieces])
                for file in done:
                    files.pop(file, None)

    def _plan(self, epoch: int, skip: int) -> Iterator[tuple[list["_Piece"], list[int]]]:
        """For every batch after the first `skip`: its pieces in the order of its rows, and the
        files whose last item it contains.
        """
        order = np.arange(len(self._shards))
        if self._shuffle:
            order = np.random.default_rng([self._seed, epoch]).permutation(order)
        count = min(self._group, len(order)) if self._shuffle else 1
        queues, orders = [_Queue(order[i::count].tolist(), self._items) for i in range(count)], {}
        for step in range(len(self)):
            shares = _shares(queues, self.rows(step), step)
            spans = [
                span for queue, n in zip(queues, shares, strict=True) for span in queue.take(n)
            ]
            if step < skip:
                continue
            pieces, done = [], []
            for file, first, end in spans:
                if file not in orders:
                    orders[file] = self._order(epoch, file)
                pieces.append(_Piece(file, orders[file][first:end]))
                if end == self._items[file]:
                    del orders[file]
                    done.append(file)
            yield pieces, done

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
        made = [self._taken(arrays, items) for arrays, items in parts]
        return {name: np.concatenate([each[name] for each in made]) for name in made[0]}

    def _taken(self, arrays: dict[str, np.ndarray], items: np.ndarray) -> dict[str, np.ndarray]:
        if self._window is None:
            return {name: value[items] for name, value in arrays.items()}
        where = items[:, None] * (self._window - self._overlap) + np.arange(self._window)
        there = where < len(next(iter(arrays.values())))
        taken = {name: value[np.where(there, where, 0)] for name, value in arrays.items()}
        for value in taken.values():
            value[~there] = 0
        return taken | {"mask": there.astype(np.float32)}


class _Piece(NamedTuple):
    """Some items of one file."""

    file: int
    items: np.ndarray


class _Queue:
    """The items of some files, file after file, as positions in each file's order."""

    def __init__(self, files: list[int], items: list[int]):
        self._files, self._items, self._at = deque(files), items, 0
        self.left = sum(items[file] for file in files)

    def take(self, count: int) -> list[tuple[int, int, int]]:
        """Take the next items, as spans of a file's order: (file, first, end)."""
        self.left -= count
        spans = []
        while count:
            file = self._files[0]
            end = min(self._items[file], self._at + count)
            spans.append((file, self._at, end))
            count, self._at = count - (end - self._at), end
            if end == self._items[file]:
                self._files.popleft()
                self._at = 0
        return spans


def _shares(queues: list[_Queue], count: int, step: int) -> list[int]:
    """The number of items that each queue contributes to a batch: equal parts, balanced over the
    steps if they do not divide evenly. The fullest queues replace what others lack.
    """
    alive = sum(queue.left > 0 for queue in queues)
    shares, number = [], 0
    for queue in queues:
        part = (
            ((step + number + 1) * count // alive - (step + number) * count // alive)
            if queue.left
            else 0
        )
        number += queue.left > 0
        shares.append(min(part, queue.left))
    while sum(shares) < count:
        most = max(range(len(queues)), key=lambda i: queues[i].left - shares[i])
        shares[most] += min(count - sum(shares), queues[most].left - shares[most])
    return shares


def _rows(pieces: list[_Piece], part: tuple[int, int]) -> list[_Piece]:
    """The pieces that contain a worker's rows of a batch."""
    first, count, _ = rows_of(*part, sum(len(piece.items) for piece in pieces))
    end, at, mine = first + max(1, count), 0, []
    for piece in pieces:
        items = piece.items[max(0, first - at) : max(0, end - at)]
        at += len(piece.items)
        if len(items):
            mine.append(_Piece(piece.file, items))
    return mine
