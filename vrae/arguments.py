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
    """condition as a tensor [B, size] for `like` [B, ...]; integer labels [B] one-hot; [B, 0] for
    None where the model takes none."""
    if condition is None:
        if size:
            raise ValueError(
                f"condition: expected vectors [B, {size}] or labels [B] below {size}, got none."
            )
        return tf.zeros([tf.shape(like)[0], 0], dtype)
    condition = tensor("condition", condition)
    if condition.shape.rank == 1 and size:
        condition = _one_hot(condition, size, dtype)
    condition = tf.cast(condition, dtype)
    if not condition.shape.is_compatible_with((None, size)):
        raise ValueError(f"condition: expected [B, {size}], got the shape {shape_of(condition)}.")
    if not condition.shape[:1].is_compatible_with(like.shape[:1]):
        raise ValueError(
            f"condition: {condition.shape[0]} vectors for {like.shape[0]} sequences, expected one "
            "for each."
        )
    return condition


def _one_hot(labels: tf.Tensor, size: int, dtype: str) -> tf.Tensor:
    """Labels [B] as vectors [B, size]; numbers [B] as [B, 1] where the size is 1."""
    if size == 1:
        return tf.cast(labels[:, None], dtype)
    whole = tf.cast(labels, tf.int32)
    low, high = tf.reduce_min(labels), tf.reduce_max(labels)
    fine = (low >= 0) & (high < tf.cast(size, high.dtype))
    fine &= tf.reduce_all(tf.cast(whole, labels.dtype) == labels)
    message = (
        f"condition: expected labels that are integers from 0 to {size - 1}, got {{}} to {{}}."
    )
    require(fine, message, low, high)
    return tf.one_hot(whole, size, dtype=dtype)


def check_mask(mask: Array | None, like: tf.Tensor, dtype: str, numbers: bool = False) -> tf.Tensor:
    """mask as a tensor [B, T] for `like` [B, T, ...], or always of its shape where single numbers
    may be missing: a function that is traced for masks of both ranks would know neither. Ones for
    None."""
    if mask is None:
        return tf.ones(tf.shape(like) if numbers else tf.shape(like)[:2], dtype)
    mask = tensor("mask", mask, dtype)
    rank = mask.shape.rank
    if rank == 3 and not numbers:
        raise ValueError(
            f"mask: expected the shape {tuple(like.shape[:2])}, got {shape_of(mask)}. For masks of "
            "single numbers make the model with missing=True."
        )
    wanted = like.shape if rank == 3 else like.shape[:2]
    if not mask.shape.is_compatible_with(wanted):
        raise ValueError(f"mask: expected the shape {tuple(like.shape[:2])}, got {shape_of(mask)}.")
    if numbers and rank == 2:
        return tf.repeat(tf.expand_dims(mask, -1), tf.shape(like)[2], axis=2)
    return mask


def check_times(times: Array | None, like: tf.Tensor, dtype: str, positions: int) -> tf.Tensor:
    """times as a tensor [B, T] from 0 for `like` [B, T, ...]; 0, 1, 2, ... for None."""
    if times is None:
        shape = tf.shape(like)[:2]
        return tf.broadcast_to(tf.range(tf.cast(shape[1], dtype), dtype=dtype), shape)
    if not positions:
        raise ValueError(
            "times: expected None, the model has positions=0 and would ignore them. Make it with "
            "positions=8."
        )
    times = tensor("times", times, "float64")  # seconds since 1970 have more digits than float32
    if not times.shape.is_compatible_with(like.shape[:2]):
        raise ValueError(
            f"times: expected the shape {tuple(like.shape[:2])}, got {shape_of(times)}."
        )
    return tf.cast(times - times[:, :1], dtype)


def is_list_of_series(x: object, tokens: bool) -> bool:
    """Whether x is a list of arrays [T_i, ...], not a pair of an input and a mask."""
    if not isinstance(x, list) or not x:
        return False
    ranks = {len(getattr(each, "shape", ())) for each in x}
    if not all(hasattr(each, "shape") for each in x):
        return False
    return ranks == {1} if tokens else ranks <= {1, 2}


def padded_list(sequences: Any, mask: Any, tokens: bool) -> tuple[np.ndarray, np.ndarray]:
    """Arrays [T_i, ...] of different lengths as one array [B, T, ...] and its mask [B, T]."""
    if mask is not None:
        raise ValueError(
            "mask: expected None, the arrays of a list say themselves where they end. Mark missing "
            "numbers by NaN."
        )
    arrays = [np.asarray(each) for each in sequences]
    rests = {each.shape[1:] for each in arrays}
    if len(rests) > 1:
        found = ", ".join(map(str, sorted(rests)))
        raise ValueError(
            f"sequences: expected arrays [T_i, features] with the same features, got {found}."
        )
    lengths = np.array([len(each) for each in arrays])
    if not lengths.min():
        raise ValueError(f"sequences: number {int(lengths.argmin())} has no steps. Leave it out.")
    made = np.zeros((len(arrays), lengths.max(), *rests.pop()), np.result_type(*arrays))
    for row, each in zip(made, arrays, strict=True):
        row[: len(each)] = each
    there = (np.arange(lengths.max()) < lengths[:, None]).astype(np.float32)
    return made if tokens or made.ndim == 3 else made[..., None], there


def compacted(
    inputs: tf.Tensor, mask: tf.Tensor, position: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """inputs [B, T, C], mask and positions [B, T] with the observed steps first, in their order:
    an RNN then takes the same inputs as by skipping the others, and cuDNN knows no other masks."""

    def compact():
        order = tf.math.top_k(mask, tf.shape(mask)[1]).indices  # of equals the first comes first
        return tuple(tf.gather(x, order, batch_dims=1) for x in (inputs, mask, position))

    right_padded = tf.reduce_all(mask[:, 1:] <= mask[:, :-1])
    found = tf.cond(right_padded, lambda: (inputs, mask, position), compact)
    inputs, mask, position = (
        tf.ensure_shape(x, like.shape)
        for x, like in zip(found, (inputs, mask, position), strict=True)
    )
    return inputs, mask, position


# --- values: in eager mode or in the graph of a data pipeline ---


def check_zeros_and_ones(mask: tf.Tensor, place: Place) -> None:
    """Checks that a mask [B, T] or [B, T, F] holds 0 and 1 only."""
    wrong = tf.reduce_any((mask != 0) & (mask != 1), list(range(1, mask.shape.rank)))
    require_rows(
        ~wrong, "mask: expected 1 (observed) and 0 (missing) only, got another value in {}.", place
    )


def check_some_observed(observed: tf.Tensor, place: Place) -> None:
    """Checks that something is observed, 1, in each row of [B, T] or [B, T, F]."""
    some = tf.reduce_any(observed > 0.5, list(range(1, observed.shape.rank)))
    message = "mask: expected an observed step in every sequence, got none in {}. Leave it out."
    require_rows(some, message, place)


def check_rising(times: tf.Tensor, there: tf.Tensor, place: Place) -> None:
    """Checks that times [B, T] are finite and rise from step to step, up to the end."""
    rises = (times[:, 1:] > times[:, :-1]) | (there[:, 1:] < 0.5)
    finite = tf.math.is_finite(times) | (there < 0.5)
    fine = tf.reduce_all(rises, 1) & tf.reduce_all(finite, 1)
    require_rows(
        fine, "times: expected finite numbers that rise from step to step, got others in {}.", place
    )


def check_columns(likelihood: dict, values: tf.Tensor, observed: tf.Tensor) -> None:
    """Checks that columns of a Bernoulli are in [0, 1] and classes whole numbers in range."""
    for i, (name, kind) in enumerate(likelihood.items()):
        column = tf.where(observed[:, :, i], values[:, :, i], tf.zeros_like(values[:, :, i]))
        low, high = tf.reduce_min(column), tf.reduce_max(column)
        if kind == "bernoulli":
            message = f"sequences: column {name!r}: values from {{}} to {{}}, expected [0, 1]."
            require((low >= 0) & (high <= 1), message, low, high)
        elif isinstance(kind, int):
            whole = tf.reduce_all(column == tf.floor(column))
            message = (
                f"sequences: column {name!r}: expected whole numbers from 0 to {kind - 1}, got "
                "{} to {}."
            )
            require(whole & (low >= 0) & (high <= kind - 1), message, low, high)


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
