"""Checks of what users hand to the models. Every message says which argument, what was expected, and what came."""

import numpy as np
import tensorflow as tf


def check_choice(name: str, value: str, choices) -> str:
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}.")
    return value


def check_at_least(least: float, **values) -> None:
    for name, value in values.items():
        if not isinstance(value, int | float | np.number) or value < least:
            raise ValueError(f"{name}: expected a number of at least {least}, got {value!r}.")


def check_image_shape(image_shape) -> tuple[int, int, int]:
    shape = tuple(int(n) for n in image_shape)
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"image_shape: expected (height, width, channels), all at least 1, got {image_shape!r}.")
    return shape


def check_frames(frames, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """Frames as a tensor, uint8 or float32. Values are looked at only where they are there already: not in a graph."""
    if not tf.is_tensor(frames):
        frames = np.asarray(frames)
        frames = frames.astype(np.float32) if frames.dtype in (np.float64, np.float16, bool) else frames
    frames = tf.convert_to_tensor(frames)
    if frames.shape.rank is not None and (frames.shape.rank < 4 or tuple(frames.shape[-3:]) != image_shape):
        raise ValueError(
            f"frames: expected the shape [..., {', '.join(map(str, image_shape))}], got {tuple(frames.shape)}. Resize the "
            "frames, or build the model with their image_shape; a single frame needs a leading axis, frame[None]."
        )
    if frames.dtype not in (tf.uint8, tf.float32):
        raise ValueError(f"frames: expected uint8 (0 to 255) or floats in [0, 1], got {frames.dtype.name}.")
    if frames.dtype == tf.float32 and tf.executing_eagerly() and tf.size(frames):
        low, high = float(tf.reduce_min(frames)), float(tf.reduce_max(frames))
        if not (low >= 0.0 and high <= 1.0):
            raise ValueError(
                f"frames: expected floats in [0, 1], got values from {low:g} to {high:g}. Divide by 255, or pass uint8."
            )
    return frames


def check_last_axis(name: str, value, size: int, rank: int = 1) -> tf.Tensor:
    """`value` as float32 with at least `rank` axes, the last of `size`."""
    value = tf.cast(tf.convert_to_tensor(value), tf.float32)
    if value.shape.rank is not None and (value.shape.rank < rank or value.shape[-1] not in (size, None)):
        raise ValueError(f"{name}: expected floats of the shape [..., {size}], got {tuple(value.shape)}.")
    return value


def check_finite(name: str, **tensors) -> None:
    """Raises FloatingPointError, which names the tensor, where one holds NaN or infinity. Eager tensors only."""
    for field, value in tensors.items():
        if value is not None and not np.isfinite(np.asarray(value)).all():
            raise FloatingPointError(f"{name}: {field} is not finite. The weights or the inputs hold NaN or infinity.")
