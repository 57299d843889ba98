"""Checks of what users pass in, with the same text in eager mode and in a graph.

In eager mode a failed check raises ValueError. In a graph, such as a tf.data pipeline, it is an
assertion whose text `named` finds again. XLA drops assertions: values are checked before a compiled
step, never in it.
"""

import contextlib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

Array = tf.Tensor | np.ndarray | Sequence | float
"""What users hand in as numbers: tensors, NumPy arrays, nested lists, numbers."""

_OPEN, _CLOSE = "[check: ", " :check]"


class Place(NamedTuple):
    """Where a checked batch comes from, for the messages.

    first: the number of sequences before this batch, for arrays. batch: the number of the batch,
    for data sets.
    """

    first: int = 0
    batch: tf.Tensor | int | None = None

    def of(self, row: tf.Tensor) -> tf.Tensor:
        """The name of a row of the batch: "sequence 12", or "sequence 3 of batch 7", both counted
        from 0."""
        if self.batch is None:
            return tf.strings.format("sequence {}", [tf.cast(row, tf.int64) + self.first])
        return tf.strings.format("sequence {} of batch {}", [row, self.batch])


NOWHERE = Place()
"""For a batch of a verb: its rows are counted from 0."""


def require(ok: tf.Tensor, message: str, *values: tf.Tensor) -> None:
    """Checks `ok`, a boolean scalar. Each `{}` of the message is replaced by the next of the
    values, scalar tensors.

    Raises:
        ValueError: in eager mode. In a graph: tf.errors.InvalidArgumentError, when the graph runs.
    """
    if tf.executing_eagerly():
        if not bool(ok):
            raise ValueError(message.format(*map(_text, values)))
        return
    strings = [value if value.dtype == tf.string else _string(value) for value in values]
    text = tf.strings.join(
        [part for pair in zip(message.split("{}"), [*strings, ""], strict=True) for part in pair]
    )
    tf.debugging.Assert(ok, [tf.strings.join([_OPEN, text, _CLOSE])])


def require_rows(fine: tf.Tensor, message: str, place: Place, *values: tf.Tensor) -> None:
    """`require` of all rows, `fine` [B]. The last `{}` of the message is the first row that fails,
    as `place` names it."""
    require(tf.reduce_all(fine), message, *values, place.of(tf.argmin(tf.cast(fine, tf.int32))))


def warn_where(condition: tf.Tensor, message: str) -> None:
    """Warns where `condition`, a boolean scalar, holds; in a graph, when the graph runs."""

    def warn():
        warnings.warn(message, stacklevel=2)

    if tf.executing_eagerly():
        if bool(condition):
            warn()
        return
    tf.cond(condition, lambda: tf.py_function(lambda: [warn(), 0][1], [], tf.int32), lambda: 0)


def check_size(name: str, value: object, least: int = 1) -> int:
    """`value`, if it is an integer of at least `least`; otherwise raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name}: expected an integer of at least {least}, got {value!r}.")
    return int(value)


def warn_of_bits(frames: tf.Tensor) -> None:
    """Warns where uint8 frames seem to hold 0 and 1."""
    warn_where(
        tf.reduce_max(frames) == 1,
        "frames: uint8 with no value above 1 was read as black and 1/255, nearly black. uint8 "
        "frames are 0 to 255; pass "
        "frames of 0 and 1 as bool or float.",
    )


def check_keys(batch: dict, known: Iterable[str]) -> None:
    """Raises ValueError for a key that is not in `known`."""
    unknown = sorted(str(key) for key in batch if key not in known)
    if unknown:
        raise ValueError(
            f"{', '.join(unknown)}: unknown in a batch, which may have {', '.join(known)}."
        )


def check_sample_weight(weight: Array) -> tf.Tensor:
    """The weights of the sequences as a tensor [B]; `check_sample_weight_values` checks the values.

    Raises:
        ValueError: the shape is not [B] or [B, 1].
    """
    weight = tf.convert_to_tensor(weight)
    if weight.shape.rank == 2 and weight.shape[1] == 1:  # Keras expands [B] arrays to [B, 1]
        weight = weight[:, 0]
    if weight.shape.rank != 1:
        raise ValueError(
            "sample_weight: expected one weight for each sequence, the shape [B], got "
            f"{weight.shape.as_list() if weight.shape.rank is not None else 'an unknown shape'}."
        )
    return weight


def check_sample_weight_values(weight: tf.Tensor) -> None:
    """Raises ValueError for a weight that is negative or not finite."""
    weight = tf.cast(weight, tf.float64)
    require(
        tf.reduce_all(tf.math.is_finite(weight) & (weight >= 0.0)),
        "sample_weight: expected finite numbers of at least 0, got {} to {}.",
        tf.reduce_min(weight),
        tf.reduce_max(weight),
    )


@contextlib.contextmanager
def named(after: str = "") -> Iterator[None]:
    """A block in which a check that fails in a graph raises ValueError with the check's own
    message, and `after`."""
    try:
        yield
    except (tf.errors.InvalidArgumentError, tf.errors.UnknownError, ValueError) as error:
        text = str(error)
        if _OPEN not in text or _CLOSE not in text:
            raise
        found = (
            text.split(_OPEN, 1)[1].split(_CLOSE, 1)[0].replace("\\'", "'")
        )  # TensorFlow escapes quotes
        raise ValueError(f"{found} {after}".strip()) from None


def marked(error: ValueError) -> ValueError:
    """The error with marks that `named` finds, for one that travels through TensorFlow as text."""
    return ValueError(f"{_OPEN}{error}{_CLOSE}")


def _string(value: tf.Tensor) -> tf.Tensor:
    return tf.strings.as_string(value, shortest=value.dtype.is_floating)  # refused for integers


def _text(value) -> str:
    value = value.numpy() if tf.is_tensor(value) else value
    if isinstance(value, bytes):
        return value.decode()
    return f"{value:g}" if hasattr(value, "dtype") and value.dtype.kind == "f" else str(value)
