"""Checks of user input that work in eager mode and in a graph, with the same message.

In eager mode a failed check raises ValueError. In a graph, such as a tf.data pipeline, it is an
assertion; `as_value_errors` turns it back into a ValueError with the same message. XLA drops
assertions, so values are checked before a compiled step and never inside it.
"""

import contextlib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import tensorflow as tf

Array = tf.Tensor | np.ndarray | Sequence | float
"""Numbers that a caller may pass: tensors, NumPy arrays, nested lists, scalars."""

_OPEN, _CLOSE = "[check: ", " :check]"


class Place(NamedTuple):
    """The position of a checked batch in its data set, for error messages."""

    first: int = 0
    """For arrays: the number of sequences before this batch."""
    batch: tf.Tensor | int | None = None
    """For data sets: the number of the batch, counted from 0."""

    def row_name(self, row: tf.Tensor) -> tf.Tensor:
        """Name a row of the batch.

        Args:
            row: index of the row in the batch, an integer scalar.

        Returns:
            A string tensor: "sequence 12", or "sequence 3 of batch 7", both counted from 0.
        """
        if self.batch is None:
            return tf.strings.format("sequence {}", [tf.cast(row, tf.int64) + self.first])
        return tf.strings.format("sequence {} of batch {}", [row, self.batch])


NOWHERE = Place()
"""The place of a batch that is passed directly to a method: its rows are counted from 0."""


def require(ok: tf.Tensor, message: str, *values: tf.Tensor) -> None:
    """Check that `ok` holds.

    Args:
        ok: a boolean scalar.
        message: the error message; each `{}` is replaced by the next of `values`.
        *values: scalar tensors.

    Raises:
        ValueError: `ok` is False, in eager mode. In a graph: tf.errors.InvalidArgumentError, when
            the graph runs.
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
    """Check every row of a batch, as `require` does.

    Args:
        fine: [B] bool, False for a row that fails.
        message: the error message; the last `{}` is replaced by the name of the first row that
            fails.
        place: names the rows.
        *values: scalar tensors for the other `{}` of the message.

    Raises:
        ValueError: a row fails; in a graph as for `require`.
    """
    require(
        tf.reduce_all(fine), message, *values, place.row_name(tf.argmin(tf.cast(fine, tf.int32)))
    )


def warn_where(condition: tf.Tensor, message: str) -> None:
    """Warn if `condition` holds; in a graph, when the graph runs.

    Args:
        condition: a boolean scalar.
        message: the text of the warning.
    """

    def warn():
        warnings.warn(message, stacklevel=2)

    if tf.executing_eagerly():
        if bool(condition):
            warn()
        return
    tf.cond(condition, lambda: tf.py_function(lambda: [warn(), 0][1], [], tf.int32), lambda: 0)


def check_size(name: str, value: object, least: int = 1) -> int:
    """Check that `value` is an integer of at least `least`.

    Args:
        name: the argument's name, for the message.
        value: the value to check; bool is refused.
        least: the smallest value allowed.

    Returns:
        `value` as int.

    Raises:
        ValueError: it is not an integer, or too small.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name}: expected an integer of at least {least}, got {value!r}.")
    return int(value)


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a finite real number; a bool is not.

    Args:
        value: the value.

    Returns:
        True for a number.
    """
    return (
        isinstance(value, int | float | np.number)
        and not isinstance(value, bool)
        and bool(np.isfinite(value))
    )


def check_choice(name: str, value: Any, choices: Iterable[str], other: str = "") -> Any:
    """Check that a value is one of some choices.

    Args:
        name: the argument's name.
        value: the value.
        choices: the choices.
        other: text after the choices in the message, for values that are also allowed.

    Returns:
        `value`.

    Raises:
        ValueError: it is not one of the choices.
    """
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}{other}, got {value!r}.")
    return value


def refuse_masked_array(name: str, value: object) -> None:
    """Refuse NumPy's masked arrays, because TensorFlow reads the numbers under the mask.

    Args:
        name: the argument's name.
        value: the value.

    Raises:
        ValueError: it is a masked array, or a list of arrays with one.
    """
    parts = value if isinstance(value, list | tuple) else (value,)
    if any(np.ma.isMaskedArray(part) for part in parts):
        raise ValueError(
            f"{name}: expected an array without a NumPy mask, got a masked array, whose mask would "
            "be lost. Pass np.ma.filled(x.astype(float), np.nan) where NaN is a missing number, or "
            "the data and a mask."
        )


def tensor(name: str, value: Array, dtype: tf.DType | str | None = None) -> tf.Tensor:
    """Convert numbers to a tensor.

    Args:
        name: the argument's name.
        value: the numbers.
        dtype: type of the result; None: unchanged.

    Returns:
        The tensor.

    Raises:
        ValueError: the value does not consist of numbers, or is a masked array.
    """
    refuse_masked_array(name, value)
    try:
        made = tf.convert_to_tensor(value)
    except (TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()
        raise ValueError(
            f"{name}: expected an array of numbers, got {type(value).__name__} "
            f"({reason[0] if reason else 'none'})."
        ) from None
    if not (made.dtype.is_floating or made.dtype.is_integer or made.dtype.is_bool):
        raise ValueError(f"{name}: expected an array of numbers, got {made.dtype.name}.")
    return made if dtype is None else tf.cast(made, dtype)


def check_finite(
    name: str,
    values: tf.Tensor,
    place: Place,
    message: str = "NaN or infinity in {}; expected finite numbers.",
) -> None:
    """Check that values are finite.

    Args:
        name: the argument's name.
        values: [B, ...].
        place: names the rows.
        message: the message, with `{}` for the first row that is not finite.

    Raises:
        ValueError: a value is not finite; in a graph as for `require`.
    """
    fine = tf.reduce_all(tf.math.is_finite(values), list(range(1, values.shape.rank)))
    require_rows(fine, f"{name}: {message}", place)


def check_zeros_and_ones(mask: tf.Tensor, place: Place) -> None:
    """Check that a mask contains only 0 and 1.

    Args:
        mask: [B, T, ...].
        place: names the rows.

    Raises:
        ValueError: another value; in a graph as for `require`.
    """
    fine = tf.reduce_all((mask == 0) | (mask == 1), list(range(1, mask.shape.rank)))
    require_rows(
        fine, "mask: expected only 1 (observed) and 0 (missing), got another value in {}.", place
    )


def warn_of_bits(frames: tf.Tensor) -> None:
    """Warn if uint8 frames seem to contain 0 and 1 instead of 0 and 255.

    Args:
        frames: uint8 frames of any shape.
    """
    warn_where(
        tf.reduce_max(frames) == 1,
        "frames: expected uint8 from 0 to 255, got no value above 1, which is nearly black. Pass "
        "frames of 0 and 1 as bool or float.",
    )


def check_keys(batch: dict, known: Iterable[str]) -> None:
    """Check that a batch has no unknown key.

    Args:
        batch: a batch.
        known: the keys that are allowed.

    Raises:
        ValueError: a key is not in `known`.
    """
    unknown = sorted(str(key) for key in batch if key not in known)
    if unknown:
        raise ValueError(
            f"{', '.join(unknown)}: unknown in a batch, which may have {', '.join(known)}."
        )


def check_sample_weight(weight: Array) -> tf.Tensor:
    """Convert sample weights to a tensor [B]; `check_sample_weight_values` checks the values.

    Args:
        weight: [B] or [B, 1], the weights of the sequences.

    Returns:
        [B], the weights.

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
    """Check that sample weights are finite and not negative.

    Args:
        weight: [B], the weights of the sequences.

    Raises:
        ValueError: a weight is negative or not finite.
    """
    weight = tf.cast(weight, tf.float64)
    require(
        tf.reduce_all(tf.math.is_finite(weight) & (weight >= 0.0)),
        "sample_weight: expected finite numbers of at least 0, got {} to {}.",
        tf.reduce_min(weight),
        tf.reduce_max(weight),
    )


@contextlib.contextmanager
def as_value_errors(after: str = "") -> Iterator[None]:
    """Context manager: a check that fails in a graph raises ValueError with the check's message.

    Args:
        after: text appended to the message.

    Raises:
        ValueError: a check failed in the block.
    """
    try:
        yield
    except (tf.errors.InvalidArgumentError, tf.errors.UnknownError, ValueError) as error:
        text = str(error)
        if _OPEN not in text or _CLOSE not in text:
            raise
        message = text.split(_OPEN, 1)[1].split(_CLOSE, 1)[0]
        message = message.replace("\\'", "'")  # TensorFlow escapes quotes
        raise ValueError(f"{message} {after}".strip()) from None


def marked(error: ValueError) -> ValueError:
    """Add the marks that `as_value_errors` looks for.

    They are needed where TensorFlow passes the error on as text.

    Args:
        error: the error of a failed check.

    Returns:
        A ValueError with the marked message.
    """
    return ValueError(f"{_OPEN}{error}{_CLOSE}")


def _string(value: tf.Tensor) -> tf.Tensor:
    # as_string refuses `shortest` for integers
    return tf.strings.as_string(value, shortest=value.dtype.is_floating)


def _text(value) -> str:
    value = value.numpy() if tf.is_tensor(value) else value
    if isinstance(value, bytes):
        return value.decode()
    return f"{value:g}" if hasattr(value, "dtype") and value.dtype.kind == "f" else str(value)
