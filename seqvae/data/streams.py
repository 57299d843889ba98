"""Batches read from a dataset's files while a model trains: memory does not grow with the
dataset."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from seqvae.data.shards import Shards
from seqvae.replicas import rows_of

_READERS = 2
# batches that are planned before their files are there: a bound, reached by files of very many
# entries
_AHEAD = 4096


class Epoch:
    """The batches of an epoch, prefetched: `dataset`, a `tf.data.Dataset`. Iterated over, it raises
    an error of the reading as itself, where `dataset` makes it one of TensorFlow's."""

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
    """Batches of single entries, or of windows of entries, in the form of
    `seqvae.data.batches.Batches`.

    Every epoch takes every item once, in an order that depends on the seed and the epoch alone, not
    on the number of workers.
    The files, shuffled, are dealt to `group` queues, each of which gives an equal part of every
    batch: a batch mixes items of `group` files, and a worker that wants some rows of every batch
    reads the files of some queues, its own. In memory are the files that the queues are in, those
    that come next, and the batches under way.

    Args:
        names: arrays to read, each under the name it has in a batch, {"frames": "frames"}.
        window: None: an item is one entry, [batch, ...]. Otherwise an item is `window` consecutive
            entries of a file, [batch, window, ...], the last ones of a file padded with zeros and
            `mask` [batch, window] 1 where an entry is.
        overlap: entries that a window shares with the one before it: 1 where the last is only a
            target.
        shuffle: False: one queue, everything in the order of the files.
        group: files that are in memory and mixed at a time.
        prepare: changes the arrays of file i, {new name: [entries, ...]}, after they were read:
            prepare(i, arrays).
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
        """Items in the batch of a step: the last of an epoch may be smaller."""
        return min(self._size, self._count - step * self._size)

    def epoch(self, epoch: int, skip: int = 0, part: tuple[int, int] = (0, 1)) -> "Epoch":
        """The batches of an epoch, less its first `skip`: what those alone need is not read.

        part: (i, n) gives of each batch the rows of the i-th of n workers
            (`seqvae.replicas.rows_of`).
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
        """A plan of which items of which files make each batch runs ahead of the reading, and that
        of the batches."""
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
        """Of every batch less the first `skip`: its pieces in the order of its rows, and the files
        that end in it."""
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
        """First entries of a file's items; an item of overlap entries only would have nothing
        new."""
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
    """Items of one file."""

    file: int
    items: np.ndarray


class _Queue:
    """The items of some files, one file after the other, by their places in the order of their
    file."""

    def __init__(self, files: list[int], items: list[int]):
        self._files, self._items, self._at = deque(files), items, 0
        self.left = sum(items[file] for file in files)

    def take(self, count: int) -> list[tuple[int, int, int]]:
        """The next items as spans of a file's order: (file, first, end)."""
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
    """How many items of a batch each queue gives: equal parts, over the steps where they do not
    divide; what a queue lacks is given by those that have the most."""
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
    """The pieces of a worker's rows of a batch."""
    first, count, _ = rows_of(*part, sum(len(piece.items) for piece in pieces))
    end, at, mine = first + max(1, count), 0, []
    for piece in pieces:
        items = piece.items[max(0, first - at) : max(0, end - at)]
        at += len(piece.items)
        if len(items):
            mine.append(_Piece(piece.file, items))
    return mine
