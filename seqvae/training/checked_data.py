"""Checking of the data of `fit`, `evaluate` and `predict` before a compiled step uses them."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from seqvae.checks import Place, marked

Check = Callable[[object, Place], None]
"""Raises ValueError for an invalid batch; in a graph it adds assertions."""

_CHUNK = 2**24  # bytes of an array that are checked at once; limits memory


def checked(data: Any, check: Check):
    """Wrap a data set so that each batch is checked when it is read.

    A `tf.data.Dataset` is checked in its pipeline, in parallel to the training step. A
    `keras.utils.PyDataset` or a generator is wrapped. Anything else, such as a
    `DistributedDataset`, is returned unchanged.

    Args:
        data: the data set.
        check: called with each batch and its place.

    Returns:
        The wrapped data set.
    """
    if isinstance(data, tf.data.Dataset):
        return _checked_dataset(data, check)
    if isinstance(data, keras.utils.PyDataset):
        return _CheckedPyDataset(data, check)
    return _checked_batches(data, check) if isinstance(data, Iterator) else data


def check_arrays(data: Any, check: Check) -> None:
    """Check arrays with a common first axis, in chunks of rows.

    Args:
        data: a structure of arrays and None.
        check: called with each chunk and its place.

    Raises:
        ValueError: the arrays differ in length, or a check fails.
    """
    arrays = [value for value in tf.nest.flatten(data) if value is not None]
    counts = {value.shape[0] for value in arrays if len(value.shape)}
    if not counts:  # an empty dict, scalars
        check(data, Place())
        return
    if len(counts) > 1:
        raise ValueError(
            f"x: expected arrays of equal length, one row for each sequence, got {_lengths(data)}."
        )
    count = counts.pop()
    row_bytes = sum(
        int(np.prod(value.shape[1:], dtype=float)) * 4
        for value in arrays
        if None not in value.shape
    )
    rows = max(1, _CHUNK // max(1, row_bytes))
    for first in range(0, max(1, count), rows):
        part = tf.nest.map_structure(
            lambda value, i=first: None if value is None else value[i : i + rows], data
        )
        check(part, Place(first=first))


def _lengths(data) -> str:
    """The lengths of the arrays as text, such as "frames of 6, mask of 5"."""
    named = [
        (path[-1], value) for path, value in keras.tree.flatten_with_path(data) if value is not None
    ]
    counts = [(name, len(value) if len(value.shape) else "no axis") for name, value in named]
    return ", ".join(
        f"{'an array' if isinstance(name, int) else name} of {count}" for name, count in counts
    )


def is_arrays(x: Any) -> bool:
    """Whether x is an array or tensor, or a structure of them.

    Args:
        x: the data passed to `fit`, `evaluate` or `predict`.

    Returns:
        True for arrays, False for a data set or a generator.
    """
    leaves = [value for value in tf.nest.flatten(x) if value is not None]
    return (
        x == {}
        if not leaves
        else all(
            isinstance(value, np.ndarray | tf.RaggedTensor) or tf.is_tensor(value)
            for value in leaves
        )
    )


def _checked_dataset(dataset: tf.data.Dataset, check: Check) -> tf.data.Dataset:
    @tf.autograph.experimental.do_not_convert
    def on_batch(number, data):
        check(data, Place(batch=number))
        return data

    return dataset.enumerate().map(on_batch)


def _checked_batches(batches: Iterator, check: Check) -> Iterator:
    for number, data in enumerate(batches):
        _check_marked(data, number, check)
        yield data if isinstance(data, tuple) else (data,)  # Keras expects tuples of generators


class _CheckedPyDataset(keras.utils.PyDataset):
    def __init__(self, dataset: keras.utils.PyDataset, check: Check):
        super().__init__(dataset.workers, dataset.use_multiprocessing, dataset.max_queue_size)
        self._dataset, self._check = dataset, check

    def __getitem__(self, number):
        data = self._dataset[number]
        _check_marked(data, number, self._check)
        return data

    @property
    def num_batches(self):
        return self._dataset.num_batches

    def on_epoch_begin(self):
        self._dataset.on_epoch_begin()

    def on_epoch_end(self):
        self._dataset.on_epoch_end()


def _check_marked(data, number: int, check: Check) -> None:
    """Check a batch; the error is marked, because Keras passes it through TensorFlow as text."""
    try:
        check(data, Place(batch=number))
    except ValueError as error:
        raise marked(error) from None
