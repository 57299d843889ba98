"""Checks of the arguments of the recurrent auto-encoders. Each message states the argument, what
was expected, and what came.
"""

import inspect
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from seqvae.checks import Array, Place, is_number, require, require_rows, tensor
from seqvae.data.masks import is_observed

_PROBE = 3
"""Steps of the sequences with which a user's encoder or decoder is tested."""


# --- numbers of a configuration ---


def check_number(name: str, value: Any, least: float, most: float = math.inf) -> None:
    """Check that a value is a finite number in a range.

    Args:
        name: the argument's name.
        value: the value.
        least: the smallest number allowed.
        most: the largest number allowed.

    Raises:
        ValueError: it is not.
    """
    if not is_number(value) or not least <= value <= most:
        wanted = f"at least {least:g}" if most == math.inf else f"{least:g} to {most:g}"
        raise ValueError(f"{name}: expected {wanted}, got {value!r}.")


# --- arrays ---


def check_shape(name: str, value: tf.Tensor, expected: tuple[int | None, ...], wanted: str) -> None:
    """Check a shape; no known dimension may be 0.

    Args:
        name: the argument's name.
        value: the tensor.
        expected: the shape, None for any size.
        wanted: the shape in words, for the message.

    Raises:
        ValueError: another shape.
    """
    if not value.shape.is_compatible_with(expected):
        raise ValueError(f"{name}: expected {wanted}, got the shape {shape_of(value)}.")
    if value.shape.rank is not None and 0 in value.shape.as_list():
        raise ValueError(
            f"{name}: expected {wanted}, at least one of each, got the shape {shape_of(value)}."
        )


def check_windows(windows: tf.Tensor, steps: int, features: int) -> None:
    """Check the shape of windows.

    Args:
        windows: [B, steps or more, features].
        steps: the smallest number of steps.
        features: number of features.

    Raises:
        ValueError: another shape.
    """
    wanted = f"[B, {steps} steps or more, {features}]"
    transposed = windows.shape.rank == 3 and windows.shape[1] == features != windows.shape[2]
    if transposed and windows.shape[2] is not None:
        wanted += ", transposed from VAME's [B, features, steps]"
    check_shape("windows", windows, (None, None, features), wanted)
    length = windows.shape[1]
    if length is not None and length < steps:
        raise ValueError(f"windows: expected {wanted}, got the shape {shape_of(windows)}.")


def shape_of(value: tf.Tensor) -> tuple | str:
    """Format a shape for messages.

    Args:
        value: the tensor.

    Returns:
        The shape, or "unknown".
    """
    return tuple(value.shape) if value.shape.rank is not None else "unknown"


def check_codes(z: Array, z_size: int, dtype: str) -> tf.Tensor:
    """Check the shape of codes.

    Args:
        z: [B, z_size].
        z_size: size of a code.
        dtype: type of the result.

    Returns:
        The codes as a tensor.

    Raises:
        ValueError: another shape.
    """
    z = tensor("z", z, dtype)
    check_shape("z", z, (None, z_size), f"codes [B, {z_size}]")
    return z


def check_condition(condition: Array | None, size: int, like: tf.Tensor, dtype: str) -> tf.Tensor:
    """Check a condition.

    Args:
        condition: [B, size]; or integer labels [B], which become one-hot; None only if size is 0.
        size: size of a condition.
        like: [B, ...], the sequences.
        dtype: type of the result.

    Returns:
        [B, size].

    Raises:
        ValueError: another shape, or a label out of range.
    """
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
    """Labels [B] as vectors [B, size]; numbers [B] as [B, 1] if the size is 1."""
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


def check_mask(
    mask: Array | None,
    like: tf.Tensor,
    dtype: str,
    numbers: bool = False,
    single_numbers: str = "For masks of single numbers make the model with missing=True.",
) -> tf.Tensor:
    """Check the shape of a mask.

    If single numbers may be missing, the result always has the shape of `like`: a function traced
    for masks of two ranks would know neither.

    Args:
        mask: [B, T], or [B, T, ...] if single numbers may be missing; None: all ones.
        like: [B, T, ...], the sequences.
        dtype: type of the result.
        numbers: whether single numbers may be missing.
        single_numbers: the cure in the message on a mask of single numbers.

    Returns:
        The mask as a tensor.

    Raises:
        ValueError: another shape.
    """
    if mask is None:
        return tf.ones(tf.shape(like) if numbers else tf.shape(like)[:2], dtype)
    mask = tensor("mask", mask, dtype)
    rank = mask.shape.rank
    if rank == 3 and not numbers:
        raise ValueError(
            f"mask: expected the shape {tuple(like.shape[:2])}, got {shape_of(mask)}. "
            f"{single_numbers}"
        )
    wanted = like.shape if rank == 3 else like.shape[:2]
    if not mask.shape.is_compatible_with(wanted):
        raise ValueError(f"mask: expected the shape {tuple(like.shape[:2])}, got {shape_of(mask)}.")
    if numbers and rank == 2:
        return tf.repeat(tf.expand_dims(mask, -1), tf.shape(like)[2], axis=2)
    return mask


def check_times(times: Array | None, like: tf.Tensor, dtype: str, positions: int) -> tf.Tensor:
    """Check the shape of times.

    Args:
        times: [B, T]; None: 0, 1, 2, ...
        like: [B, T, ...], the sequences.
        dtype: type of the result.
        positions: the model's `positions`.

    Returns:
        [B, T], starting at 0.

    Raises:
        ValueError: another shape, or the model does not use times.
    """
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
    """Whether x is a list of arrays [T_i, ...] instead of a pair of an input and a mask.

    Args:
        x: the data.
        tokens: whether sequences are tokens.

    Returns:
        True for a list of arrays.
    """
    if not isinstance(x, list) or not x:
        return False
    ranks = {len(getattr(each, "shape", ())) for each in x}
    if not all(hasattr(each, "shape") for each in x):
        return False
    return ranks == {1} if tokens else ranks <= {1, 2}


def padded_list(sequences: Any, mask: Any, tokens: bool) -> tuple[np.ndarray, np.ndarray]:
    """Join sequences of different lengths in one array with a mask.

    Args:
        sequences: [T_i, ...] each.
        mask: must be None.
        tokens: whether sequences are tokens.

    Returns:
        The sequences [B, T, ...] and their mask [B, T].

    Raises:
        ValueError: a mask is given, or an array does not fit.
    """
    if mask is not None:
        raise ValueError(
            "mask: expected None, the arrays of a list end where their sequences end. Mark missing "
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
    padded = np.zeros((len(arrays), lengths.max(), *rests.pop()), np.result_type(*arrays))
    for row, each in zip(padded, arrays, strict=True):
        row[: len(each)] = each
    valid = (np.arange(lengths.max()) < lengths[:, None]).astype(np.float32)
    return padded if tokens or padded.ndim == 3 else padded[..., None], valid


def compacted(
    inputs: tf.Tensor, mask: tf.Tensor, position: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Move the observed steps to the front, in their order.

    An RNN then takes the same inputs as if it skipped the other steps; cuDNN supports only masks of
    this form.

    Args:
        inputs: [B, T, C].
        mask: [B, T].
        position: [B, T].

    Returns:
        The three tensors, reordered.
    """

    def compact():
        order = tf.math.top_k(mask, tf.shape(mask)[1]).indices  # stable: ties keep their order
        return tuple(tf.gather(x, order, batch_dims=1) for x in (inputs, mask, position))

    right_padded = tf.reduce_all(mask[:, 1:] <= mask[:, :-1])
    found = tf.cond(right_padded, lambda: (inputs, mask, position), compact)
    inputs, mask, position = (
        tf.ensure_shape(x, like.shape)
        for x, like in zip(found, (inputs, mask, position), strict=True)
    )
    return inputs, mask, position


# --- values: in eager mode or in the graph of a data pipeline ---


def check_some_observed(observed: tf.Tensor, place: Place) -> None:
    """Check that every sequence has an observed step.

    Args:
        observed: [B, T] or [B, T, F], 1 = observed.
        place: where the batch comes from, for messages.

    Raises:
        ValueError: a sequence has none.
    """
    some = tf.reduce_any(is_observed(observed), list(range(1, observed.shape.rank)))
    message = "mask: expected an observed step in every sequence, got none in {}. Leave it out."
    require_rows(some, message, place)


def check_rising(times: tf.Tensor, valid: tf.Tensor, place: Place) -> None:
    """Check that times are finite and increase up to the end of each sequence.

    Args:
        times: [B, T].
        valid: [B, T], 1 up to the end of each sequence.
        place: where the batch comes from, for messages.

    Raises:
        ValueError: they do not.
    """
    rises = (times[:, 1:] > times[:, :-1]) | (valid[:, 1:] < 0.5)
    finite = tf.math.is_finite(times) | (valid < 0.5)
    fine = tf.reduce_all(rises, 1) & tf.reduce_all(finite, 1)
    require_rows(
        fine, "times: expected finite numbers that rise from step to step, got others in {}.", place
    )


def check_columns(likelihood: dict, values: tf.Tensor, observed: tf.Tensor) -> None:
    """Check that Bernoulli columns are in [0, 1] and classes are whole numbers in range.

    Args:
        likelihood: the kind of each column.
        values: [B, T, columns].
        observed: [B, T, columns] bool.

    Raises:
        ValueError: a value is out of range.
    """
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


def check_tokens(tokens: tf.Tensor, mask: tf.Tensor, count: int) -> None:
    """Check that tokens are whole numbers from 0 to count - 1.

    Floats must be whole numbers in the padding, too.

    Args:
        tokens: [B, T].
        mask: [B, T].
        count: number of tokens.

    Raises:
        ValueError: they are not.
    """
    if tokens.dtype.is_floating:
        require(
            tf.reduce_all(tokens == tf.floor(tokens)),
            "sequences: expected whole numbers, tokens, got others.",
        )
    tokens = tf.where(is_observed(mask), tokens, tf.zeros_like(tokens))
    low, high = tf.reduce_min(tokens), tf.reduce_max(tokens)
    message = f"sequences: tokens from {{}} to {{}}, expected 0 to {count - 1}."
    require((low >= 0) & (high < tf.cast(count, high.dtype)), message, low, high)


def check_probabilities(values: tf.Tensor) -> None:
    """Check that values are in [0, 1].

    Args:
        values: of any shape.

    Raises:
        ValueError: a value is out of range.
    """
    low, high = tf.reduce_min(values), tf.reduce_max(values)
    require(
        (low >= 0) & (high <= 1), "sequences: values from {} to {}, expected [0, 1].", low, high
    )


# --- encoders and decoders of a user's ---


def accepted(layer: keras.Layer, **options: Any) -> dict:
    """Select the options that a layer's `call` takes, and `training`.

    Keras passes `training` to inner layers.

    Args:
        layer: the layer.
        **options: the options.

    Returns:
        The selected options.
    """
    names = [*inspect.signature(layer.call).parameters, "training"]
    return {name: value for name, value in options.items() if name in names}


def check_encoder(encoder: keras.Layer, input_size: int, z_size: int, dtype: str) -> None:
    """Test a user's encoder with zeros, which also builds it.

    Args:
        encoder: the encoder.
        input_size: features of a step.
        z_size: size of the code.
        dtype: type of the inputs.

    Raises:
        ValueError: it is not a layer, or does not satisfy the contract of `VRAE`.
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
    """Test a user's decoder with zeros, which also builds it.

    Args:
        decoder: the decoder.
        context_size: size of the code and the condition together.
        output_size: outputs of a step.
        dtype: type of the inputs.

    Returns:
        The largest number of steps that it generates; None: any number.

    Raises:
        ValueError: it is not a layer, or does not satisfy the contract of `VRAE`.
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
    """Check that a decoder with a fixed number of steps generates enough of them.

    Args:
        steps: the number of steps needed.
        most: the decoder's number of steps; None: any.

    Raises:
        ValueError: it generates fewer.
    """
    if most is None:
        return
    message = f"decoder: returns {most} steps, expected {{}}: it has no argument `steps`."
    if tf.is_tensor(steps):
        require(tf.convert_to_tensor(steps <= most), message, tf.convert_to_tensor(steps))
    elif steps > most:  # checked here, because tracing a step would fail
        raise ValueError(message.format(steps))


def _check_layer(name: str, layer) -> None:
    if not isinstance(layer, keras.Layer):
        raise ValueError(f"{name}: expected a Keras layer or model, got {type(layer).__name__}.")


def _tried(name: str, wanted: str, layer: keras.Layer, *args, **options):
    try:
        return layer(*args, **options)
    except Exception as error:  # a user's layer may raise anything
        raise ValueError(
            f"{name}: expected {wanted}; a call with zeros raised {type(error).__name__}: {error}"
        ) from error
