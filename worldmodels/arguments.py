"""Checks of the models' arguments. Each message states the argument, what was expected, and what
came.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from seqvae.checks import (
    NOWHERE,
    Array,
    Place,
    check_size,
    is_number,
    require,
    tensor,
    warn_of_bits,
)

# --- arguments of constructors ---


def check_at_least(least: float, **values: object) -> None:
    """Check that each value is a number of at least `least`.

    Args:
        least: the smallest number allowed.
        **values: the values by the argument's name.

    Raises:
        ValueError: a value is smaller or not a number.
    """
    for name, value in values.items():
        if not isinstance(value, int | float | np.number) or not value >= least:
            raise ValueError(f"{name}: expected a number of at least {least}, got {value!r}.")


def check_positive(**values: object) -> None:
    """Check that each value is a finite number above 0.

    Args:
        **values: values by the name of their argument.

    Raises:
        ValueError: one is not; the message names it.
    """
    for name, value in values.items():
        if not is_number(value) or value <= 0:
            raise ValueError(f"{name}: expected a number above 0, got {value!r}.")


def check_sizes(least: int, **values: object) -> None:
    """Check that each value is an integer of at least `least`.

    Args:
        least: the smallest integer allowed.
        **values: the values by the argument's name.

    Raises:
        ValueError: a value is smaller or not an integer.
    """
    for name, value in values.items():
        check_size(name, value, least)


def check_integers(name: str, values: Sequence[int], example: str) -> tuple[int, ...]:
    """Check a sequence of positive integers.

    Args:
        name: the argument's name.
        values: the sequence.
        example: an example for the message.

    Returns:
        The integers as a tuple.

    Raises:
        ValueError: it is not a sequence of positive integers.
    """
    try:
        found = None if isinstance(values, str | bytes) else tuple(values)
    except TypeError:
        found = None
    if found is None or not all(_is_size(value, 1) for value in found):
        raise ValueError(
            f"{name}: expected integers of at least 1, such as {example}, got {values!r}."
        )
    return tuple(int(value) for value in found)


def check_image_shape(image_shape: Sequence[int]) -> tuple[int, int, int]:
    """Check the shape of a frame.

    Args:
        image_shape: (height, width, channels).

    Returns:
        (height, width, channels).

    Raises:
        ValueError: another shape.
    """
    expected = (
        f"image_shape: expected (height, width, channels), all at least 1, got {image_shape!r}."
    )
    try:
        shape = check_integers("image_shape", image_shape, "(64, 64, 3)")
    except ValueError:
        raise ValueError(expected) from None
    if len(shape) != 3:
        raise ValueError(expected)
    return shape


def _is_size(value, least: int) -> bool:
    return (
        isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= least)
    )


# --- arguments of verbs ---


def check_frames(
    frames: Array, image_shape: tuple[int, int, int], dtype: str = "float32"
) -> tf.Tensor:
    """Check the shape and type of frames; `check_pixels` checks their range.

    Args:
        frames: [..., *image_shape].
        image_shape: (height, width, channels).
        dtype: type of the result, unless frames are uint8.

    Returns:
        The frames as a tensor of uint8 or of `dtype`.

    Raises:
        ValueError: another shape or type.
    """
    frames = tensor("frames", frames)
    if frames.shape.rank is not None and (
        frames.shape.rank < 4 or not frames.shape[-3:].is_compatible_with(image_shape)
    ):
        raise ValueError(
            f"frames: expected the shape [..., {', '.join(map(str, image_shape))}], got "
            f"{tuple(frames.shape)}. Resize the frames, or build the model with their image_shape; "
            "a single frame needs a leading axis, frame[None]."
        )
    if frames.dtype != tf.uint8 and frames.dtype != tf.bool and not frames.dtype.is_floating:
        raise ValueError(
            "frames: expected uint8 (0 to 255), bool, or floats in [0, 1], got "
            f"{frames.dtype.name}."
        )
    return frames if frames.dtype == tf.uint8 else tf.cast(frames, dtype)


def check_pixels(frames: tf.Tensor, place: Place = NOWHERE) -> None:
    """Check that frames are in [0, 1]; warn if uint8 frames seem to contain 0 and 1.

    Args:
        frames: [N, ...].
        place: where the batch comes from, for messages.

    Raises:
        ValueError: NaN, or a value outside [0, 1].
    """
    if frames.dtype == tf.uint8:
        warn_of_bits(frames)
        return
    nan = tf.reduce_any(tf.math.is_nan(frames), list(range(1, frames.shape.rank)))
    row = tf.strings.regex_replace(place.row_name(tf.argmax(nan)), "^sequence", "frame")
    require(
        ~tf.reduce_any(nan),
        "frames: NaN in {}; expected floats in [0, 1]. Leave such frames out.",
        row,
    )
    low, high = tf.reduce_min(frames), tf.reduce_max(frames)
    require(
        (low >= 0) & (high <= 1),
        "frames: expected floats in [0, 1], got values from {} to {}. Divide by 255, or pass "
        "uint8.",
        low,
        high,
    )


def check_last_axis(name: str, value: Array, size: int, dtype: str, rank: int = 1) -> tf.Tensor:
    """Check the rank and the size of the last axis.

    Args:
        name: the argument's name.
        value: the numbers.
        size: size of the last axis.
        dtype: type of the result.
        rank: the smallest rank allowed.

    Returns:
        The numbers as a tensor.

    Raises:
        ValueError: another shape, or not numbers.
    """
    value = tensor(name, value, dtype)
    if value.shape.rank is not None and (
        value.shape.rank < rank or value.shape[-1] not in (size, None)
    ):
        raise ValueError(
            f"{name}: expected floats of the shape [..., {size}], got {tuple(value.shape)}."
        )
    return value


def check_steps(name: str, value: Array, size: int | None, dtype: str) -> tf.Tensor:
    """Check the shape of sequences.

    Args:
        name: the argument's name.
        value: [B, T, size], or [B, T] if size is None.
        size: size of the last axis, or None.
        dtype: type of the result.

    Returns:
        The sequences as a tensor.

    Raises:
        ValueError: another shape, or not numbers.
    """
    value = tensor(name, value, dtype)
    wanted = [None, None] if size is None else [None, None, size]
    if not value.shape.is_compatible_with(wanted):
        axes = "B, T" if size is None else f"B, T, {size}"
        raise ValueError(
            f"{name}: expected floats of the shape [{axes}], got {tuple(value.shape)}."
        )
    return value


def check_same_steps(tensors: dict[str, tf.Tensor]) -> None:
    """Check that all tensors have the same number of sequences and steps.

    Args:
        tensors: [B, T, ...] by name.

    Raises:
        ValueError: a tensor differs from the first.
    """
    (first, like), *others = tensors.items()
    for name, value in others:
        if not value.shape[:2].is_compatible_with(like.shape[:2]):
            raise ValueError(
                f"{name}: expected {like.shape[0]} sequences of {like.shape[1]} steps as in "
                f"{first}, got {value.shape[0]} of {value.shape[1]}."
            )


def check_temperature(temperature: float | tf.Tensor) -> None:
    """Check that a temperature is above 0.

    Args:
        temperature: the temperature; a tensor in a graph is not checked.

    Raises:
        ValueError: it is not above 0.
    """
    if tf.is_tensor(temperature) and not tf.executing_eagerly():
        return
    try:
        positive = float(temperature) > 0
    except (TypeError, ValueError):
        positive = False
    if not positive:
        raise ValueError(f"temperature: expected a number above 0, got {temperature!r}.")


def check_pair(name: str, value: object, example: str) -> tuple[Any, Any]:
    """Check that a value has two parts.

    Args:
        name: the argument's name.
        value: the value.
        example: text that describes the two parts, for the message.

    Returns:
        The two parts.

    Raises:
        ValueError: it is not a pair.
    """
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ValueError(f"{name}: expected a pair {example}, got {_kind(value)}.")
    first, second = value
    return first, second


def check_callable(name: str, value: object, example: str) -> Callable:
    """Check that a value is callable.

    Args:
        name: the argument's name.
        value: the value.
        example: text that describes the expected function, for the message.

    Returns:
        The value.

    Raises:
        ValueError: it is not callable.
    """
    if not callable(value):
        raise ValueError(f"{name}: expected {example}, got {_kind(value)}.")
    return value


def check_finite(verb: str, **tensors: Array | None) -> None:
    """Check that results are finite; only in eager mode.

    Args:
        verb: the method's name, for the message.
        **tensors: the results by name; None is ignored.

    Raises:
        FloatingPointError: a result contains NaN or infinity.
    """
    for field, value in tensors.items():
        if (
            tf.executing_eagerly()
            and value is not None
            and not np.isfinite(np.asarray(value)).all()
        ):
            raise FloatingPointError(
                f"{verb}: {field} is not finite. The weights or the inputs hold NaN or infinity."
            )


# --- values of batches ---


def check_mask_values(mask: tf.Tensor, predicted: tf.Tensor) -> None:
    """Check that a mask consists of 1s, then 0s, and that a step is left to predict.

    Args:
        mask: [B, T].
        predicted: its part at the predicted steps.

    Raises:
        ValueError: a check failed.
    """
    require(
        tf.reduce_all((mask == 0) | (mask == 1)), "mask: expected 1 (a step) and 0 (padding) only."
    )
    require(
        tf.reduce_all(mask[:, 1:] <= mask[:, :-1]),
        "mask: expected padding (0) after a sequence's last step only. Cut sequences with gaps "
        "into several.",
    )
    require(
        tf.reduce_any(predicted > 0),
        "mask: no step is left to predict. 1 means a step, 0 padding; a next z to predict needs "
        "two steps.",
    )


def _kind(value) -> str:
    return f"{value!r}" if isinstance(value, int | float | str) else type(value).__name__
