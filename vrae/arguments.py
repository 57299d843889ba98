"""Checks of what a user hands to the recurrent auto-encoders. Every message: which argument, what
was expected, what came."""

import inspect
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from seqvae.checks import Array, Place, require, require_rows

_PROBE = 3
"""Steps of the sequences on which an encoder or decoder of a user's is tried."""


# --- numbers of a configuration ---


def check_number(name: str, value: Any, least: float, most: float = math.inf) -> None:
    """Raises ValueError unless `value` is a finite number from `least` to `most`."""
    number = isinstance(value, int | float | np.number) and math.isfinite(value)
    if not number or not least <= value <= most:
        wanted = f"at least {least:g}" if most == math.inf else f"{least:g} to {most:g}"
        raise ValueError(f"{name}: expected {wanted}, got {value!r}.")


def check_choice(name: str, value: object, choices: tuple[str, ...], other: str = "") -> None:
    """Raises ValueError unless `value` is one of `choices`; other: what it may be instead."""
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}{other}, got {value!r}.")


# --- arrays ---


def tensor(name: str, value: Array, dtype: tf.DType | str | None = None) -> tf.Tensor:
    """`value` as a tensor of numbers of the type `dtype`."""
    try:
        made = tf.convert_to_tensor(value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name}: expected an array of numbers, got {type(value).__name__} ({error})."
        ) from None
    if not (made.dtype.is_floating or made.dtype.is_integer or made.dtype.is_bool):
        raise ValueError(f"{name}: expected an array of numbers, got {made.dtype.name}.")
    return made if dtype is None else tf.cast(made, dtype)


def check_shape(name: str, value: tf.Tensor, expected: tuple[int | None, ...], wanted: str) -> None:
    """Raises ValueError where the shape is another than `expected`, or a known dimension is 0."""
    if not value.shape.is_compatible_with(expected):
        raise ValueError(f"{name}: expected {wanted}, got the shape {shape_of(value)}.")
    if value.shape.rank is not None and 0 in value.shape.as_list():
        raise ValueError(
            f"{name}: expected {wanted}, at least one of each, got the shape {shape_of(value)}."
        )


def check_windows(windows: tf.Tensor, steps: int, features: int) -> None:
    """Raises ValueError unless windows are [B, steps or more, features]."""
    wanted = f"[B, {steps} steps or more, {features}]"
    transposed = windows.shape.rank == 3 and windows.shape[1] == features != windows.shape[2]
    if transposed and windows.shape[2] is not None:
        wanted += ", transposed from VAME's [B, features, steps]"
    check_shape("windows", windows, (None, None, features), wanted)
    length = windows.shape[1]
    if length is not None and length < steps:
        raise ValueError(f"windows: expected {wanted}, got the shape {shape_of(windows)}.")


def shape_of(value: tf.Tensor) -> tuple | str:
    """For messages."""
    return tuple(value.shape) if value.shape.rank is not None else "unknown"


def check_codes(z: Array, z_size: int, dtype: str) -> tf.Tensor:
    """z as a tensor [B, z_size]."""
    z = tensor("z", z, dtype)
    check_shape("z", z, (None, z_size), f"codes [B, {z_size}]")
    return z


def check_condition(condition: Array | None, size: int, like: tf.Tensor, dtype: str) -> tf.Tensor:
    """condition as a tensor [B, size] for `like` [B, ...]; [B, 0] for None where the model takes
    none."""
    if condition is None:
        if size:
            raise ValueError(f"condition: expected vectors [B, {size}], got none.")
        return tf.zeros([tf.shape(like)[0], 0], dtype)
    condition = tensor("condition", condition, dtype)
    if not condition.shape.is_compatible_with((None, size)):
        raise ValueError(f"condition: expected [B, {size}], got the shape {shape_of(condition)}.")
    if not condition.shape[:1].is_compatible_with(like.shape[:1]):
        raise ValueError(
            f"condition: {condition.shape[0]} vectors for {like.shape[0]} sequences, expected one "
            "for each."
        )
    return condition


def check_mask(mask: Array | None, like: tf.Tensor, dtype: str) -> tf.Tensor:
    """mask as a tensor [B, T] for `like` [B, T, ...]; ones for None."""
    if mask is None:
        return tf.ones(tf.shape(like)[:2], dtype)
    mask = tensor("mask", mask, dtype)
    if not mask.shape.is_compatible_with(like.shape[:2]):
        raise ValueError(f"mask: expected the shape {tuple(like.shape[:2])}, got {shape_of(mask)}.")
    return mask


# --- values: in eager mode or in the graph of a data pipeline ---


def check_padding(mask: tf.Tensor, place: Place) -> None:
    """Checks that a mask [B, T] is 1 for the steps of each sequence, at least one, and 0 after
    them."""
    wrong = tf.reduce_any((mask != 0) & (mask != 1), 1) | tf.reduce_any(
        mask[:, 1:] > mask[:, :-1], 1
    )
    wrong |= ~tf.reduce_any(mask[:, :1] == 1, 1)
    require_rows(
        ~wrong,
        "mask: expected 1 for the steps of each sequence, at least one, and 0 for the padding "
        "after them, got another in {}.",
        place,
    )


def check_zeros_and_ones(mask: tf.Tensor, place: Place) -> None:
    """Checks that a mask [B, T] holds 0 and 1 only."""
    wrong = tf.reduce_any((mask != 0) & (mask != 1), 1)
    require_rows(
        ~wrong, "mask: expected 1 (observed) and 0 (missing) only, got another value in {}.", place
    )


def check_finite(name: str, values: tf.Tensor, place: Place, message: str) -> None:
    """Checks that values [B, ...] are finite. message: with `{}` for the first sequence that is
    not."""
    fine = tf.reduce_all(tf.math.is_finite(values), list(range(1, values.shape.rank)))
    require_rows(fine, f"{name}: {message}", place)


def check_tokens(tokens: tf.Tensor, mask: tf.Tensor, count: int) -> None:
    """Checks that tokens [B, T] are whole numbers from 0 to count - 1, in the padding too where
    they are no integers."""
    if tokens.dtype.is_floating:
        require(
            tf.reduce_all(tokens == tf.floor(tokens)),
            "sequences: expected whole numbers, tokens, got others.",
        )
    tokens = tf.where(mask > 0.5, tokens, tf.zeros_like(tokens))
    low, high = tf.reduce_min(tokens), tf.reduce_max(tokens)
    message = f"sequences: tokens from {{}} to {{}}, expected 0 to {count - 1}."
    require((low >= 0) & (high < tf.cast(count, high.dtype)), message, low, high)


def check_probabilities(values: tf.Tensor) -> None:
    """Checks that values are in [0, 1]."""
    low, high = tf.reduce_min(values), tf.reduce_max(values)
    require(
        (low >= 0) & (high <= 1), "sequences: values from {} to {}, expected [0, 1].", low, high
    )


# --- encoders and decoders of a user's ---


def accepted(layer: keras.Layer, **options: Any) -> dict:
    """Those of the options that the layer's `call` takes, and `training`, which Keras hands on to
    the layers inside."""
    names = [*inspect.signature(layer.call).parameters, "training"]
    return {name: value for name, value in options.items() if name in names}


def check_encoder(encoder: keras.Layer, input_size: int, z_size: int, dtype: str) -> None:
    """Tries an encoder of a user's, which builds it.

    Raises:
        ValueError: it is no layer, or not of the contract of `VRAE`.
    """
    _check_layer("encoder", encoder)
    wanted = f"(inputs [B, T, {input_size}], mask [B, T]) -> mean and logvar, [B, {z_size}] each"
    if not accepted(encoder, mask=None):
        raise ValueError(
            f"encoder: expected the call {wanted}; {type(encoder).__name__} has no argument `mask`."
        )
    shape = getattr(encoder, "input_shape", None)
    steps = shape[1] if isinstance(shape, tuple) and len(shape) == 3 and shape[1] else _PROBE
    mask = tf.ones([2, steps], tf.bool)
    outputs = _tried("encoder", wanted, encoder, tf.zeros([2, steps, input_size], dtype), mask=mask)
    shapes = (
        [tuple(each.shape) for each in outputs]
        if isinstance(outputs, tuple | list)
        else tuple(outputs.shape)
    )
    if shapes != [(2, z_size)] * 2:
        raise ValueError(f"encoder: expected {wanted}, for B = 2 got {shapes}.")


def check_decoder(
    decoder: keras.Layer, context_size: int, output_size: int, dtype: str
) -> int | None:
    """Tries a decoder of a user's, which builds it. Returns the most steps that it writes, None
    where it takes any number.

    Raises:
        ValueError: it is no layer, or not of the contract of `VRAE`.
    """
    _check_layer("decoder", decoder)
    wanted = f"(context [B, {context_size}], steps) -> outputs [B, steps, {output_size}]"
    options = accepted(decoder, steps=tf.constant(_PROBE))
    outputs = _tried("decoder", wanted, decoder, tf.zeros([2, context_size], dtype), **options)
    shape = tuple(getattr(outputs, "shape", ()))
    if len(shape) != 3 or shape[::2] != (2, output_size) or (options and shape[1] != _PROBE):
        raise ValueError(
            f"decoder: expected {wanted}, for B = 2 and {_PROBE} steps got "
            f"{shape or type(outputs).__name__}."
        )
    return None if options else shape[1]


def check_steps(steps: int | tf.Tensor, most: int | None) -> None:
    """Checks that a decoder of a fixed number of steps writes enough of them."""
    if most is None:
        return
    message = f"decoder: writes {most} steps, expected {{}}: it has no argument `steps`."
    if tf.is_tensor(steps):
        require(tf.convert_to_tensor(steps <= most), message, tf.convert_to_tensor(steps))
    elif steps > most:  # now: the graph of a step cannot be made
        raise ValueError(message.format(steps))


def _check_layer(name: str, layer) -> None:
    if not isinstance(layer, keras.Layer):
        raise ValueError(f"{name}: expected a Keras layer or model, got {type(layer).__name__}.")


def _tried(name: str, wanted: str, layer: keras.Layer, *args, **options):
    try:
        return layer(*args, **options)
    except Exception as error:  # whatever a user's layer raises
        raise ValueError(
            f"{name}: expected {wanted}; a call with zeros ended in {type(error).__name__}: {error}"
        ) from error
