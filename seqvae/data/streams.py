"""Batches read from episodes on disk while a model trains: memory does not grow with the dataset."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from seqvae.data.episodes import Episodes


class Epoch:
    """Batches to iterate over once, and what they look like (`element_spec`, as a `tf.data.Dataset` has it)."""

    def __init__(self, element_spec: dict[str, tf.TensorSpec], batches: Callable[[], Iterator[dict]]):
        self.element_spec, self._batches = element_spec, batches

    def __iter__(self) -> Iterator[dict[str, tf.Tensor]]:
        for batch in self._batches():
            yield {name: tf.constant(value) for name, value in batch.items()}


class EpisodeBatches:
    """Batches of single steps, or of windows of steps, in the form of `seqvae.data.batches.Batches`.

    Every epoch takes every item once. Episodes are shuffled, then the items of `group` episodes at a time: an order that
    depends on the seed and the epoch alone. In memory are at most two groups and the batches under way.

    Args:
        names: arrays to read, each under the name it has in a batch, {"frames": "frames"}.
        window: None: an item is one step, [batch, ...]. Otherwise an item is `window` consecutive steps of an episode,
            [batch, window, ...], the last ones of an episode padded with zeros and `mask` [batch, window] 1 where a step is.
        overlap: steps that a window shares with the one before it: 1 where the last is only a target.
        group: episodes that are in memory and shuffled together.
    """

    def __init__(
        self, episodes: Episodes, batch_size: int, names: dict[str, str], *, window: int | None = None, overlap: int = 0,
        seed: int = 0, shuffle: bool = True, group: int = 8,
    ):  # fmt: skip
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("group", group, 1),
            ("window", 1 if window is None else window, 1),
        ):
            if value < least:
                raise ValueError(f"{name}: expected an integer of at least {least}, got {value!r}.")
        if window is not None and not 0 <= overlap < window:
            raise ValueError(f"overlap: expected 0 to window - 1 = {window - 1}, got {overlap!r}.")
        self._episodes, self._size, self._names = episodes, batch_size, names
        self._window, self._overlap = window, overlap
        self._seed, self._shuffle, self._group = seed, shuffle, group
        self._items = [len(self._starts(length)) for length in episodes.lengths]

    def __len__(self) -> int:
        """Batches per epoch."""
        return -(-sum(self._items) // self._size)

    def rows(self, step: int) -> int:
        """Items in the batch of a step: the last of an epoch may be smaller."""
        return min(self._size, sum(self._items) - step * self._size)

    def epoch(self, epoch: int, skip: int = 0, part: tuple[int, int] = (0, 1)) -> "Epoch":
        """The batches of an epoch, less its first `skip`: what those alone need is not read."""
        first = self._episodes.read(0, self._names)
        leading = [None] if self._window is None else [None, self._window]
        spec = {
            new: tf.TensorSpec([*leading, *first[name].shape[1:]], first[name].dtype)
            for name, new in self._names.items()
        }
        if self._window is not None:
            spec["mask"] = tf.TensorSpec([None, self._window], tf.float32)
        return Epoch(spec, lambda: self._batches(epoch, skip))

    def _batches(self, epoch: int, skip: int) -> Iterator[dict[str, np.ndarray]]:
        waiting = []
        for items, arrays in self._read_ahead(self._groups(epoch, skip * self._size)):
            for episode, start in items:
                waiting.append(self._item(arrays[episode], start))
                if len(waiting) == self._size:
                    yield _stacked(waiting)
                    waiting = []
        if waiting:
            yield _stacked(waiting)

    def _read_ahead(self, groups: Iterator[list[tuple[int, int]]]) -> Iterator[tuple[list, dict]]:
        """Each group's items and arrays; a group is read while the one before it is handed out."""
        with ThreadPoolExecutor(1) as reader:
            coming = []
            for items in groups:
                coming.append((items, reader.submit(self._read, items)))
                if len(coming) == 2:
                    ready, arrays = coming.pop(0)
                    yield ready, arrays.result()
            for ready, arrays in coming:
                yield ready, arrays.result()

    def _groups(self, epoch: int, skip: int) -> Iterator[list[tuple[int, int]]]:
        """Items (episode, first step) by group, less the first `skip`."""
        order = np.arange(len(self._episodes))
        if self._shuffle:
            order = np.random.default_rng([self._seed, epoch]).permutation(order)
        for i in range(0, len(order), self._group):
            group = order[i : i + self._group].tolist()
            count = sum(self._items[episode] for episode in group)
            if skip >= count:
                skip -= count
                continue
            items = [(episode, start) for episode in group for start in self._starts(self._episodes.lengths[episode])]
            if self._shuffle:
                items = [items[j] for j in np.random.default_rng([self._seed, epoch, i]).permutation(count)]
            yield items[skip:]
            skip = 0

    def _starts(self, length: int) -> range:
        """First steps of an episode's items; an item of overlap steps only would have nothing new."""
        if self._window is None:
            return range(length)
        return range(0, max(1, length - self._overlap), self._window - self._overlap)

    def _read(self, items: list[tuple[int, int]]) -> dict[int, dict[str, np.ndarray]]:
        return {episode: self._episodes.read(episode, self._names) for episode in {episode for episode, _ in items}}

    def _item(self, arrays: dict[str, np.ndarray], start: int) -> dict[str, np.ndarray]:
        if self._window is None:
            return {new: arrays[name][start] for name, new in self._names.items()}
        parts = {new: arrays[name][start : start + self._window] for name, new in self._names.items()}
        steps = len(next(iter(parts.values())))
        if steps < self._window:
            parts = {name: _padded(part, self._window) for name, part in parts.items()}
        return parts | {"mask": (np.arange(self._window) < steps).astype(np.float32)}


def _stacked(items: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.stack([item[name] for item in items]) for name in items[0]}


def _padded(part: np.ndarray, steps: int) -> np.ndarray:
    return np.concatenate([part, np.zeros((steps - len(part), *part.shape[1:]), part.dtype)])
