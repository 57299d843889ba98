"""Checks of the arguments of the Kalman VAE. Each message states the argument, what was expected,
what came, and the cure.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kvae import masks
from seqvae.checks import (
    NOWHERE,
    Array,
    Place,
    check_size,
    check_zeros_and_ones,
    is_number,
    require,
    require_rows,
    tensor,
    warn_of_bits,
)

BOUNDS = ("marginal", "sampled")
IDENTITY = "identity"
"""Value of `encoder` for series without an auto-encoder: the codes are the scaled numbers."""
_CHOICES = {"out_distr": ("bernoulli", "gaussian"), "bound": BOUNDS}
MOST_STEPS = 1_000_000  # of a sequence: with more, `dt` is almost certainly in another unit
_MANY_STEPS = 20_000  # of a sequence: more take minutes
_OFF_GRID = 1e-3  # distance of a `dt` from a whole number that is taken for a rounding error
_LEARNED = ("learned", "learned_diagonal")
_NOISES = {
    "noise_transition": 0.08,
    "noise_emission": 0.03,
    "init_cov": 20.0,
    "noise_pixel_var": 0.1,
}
"""The variances that can be learned, and their initial values."""
_SIZES = (
    "filter_size",
    "vae_num_units",
    "num_layers",
    "dim_a",
    "dim_z",
    "dim_u",
    "K",
    "alpha_units",
    "alpha_layers",
    "fifo_size",
)


def check_choice(name: str, value: str, choices: Sequence[str]) -> str:
    """Check that a string is one of some choices.

    Args:
        name: the argument's name.
        value: the string, in any case.
        choices: the choices, in lower case.

    Returns:
        `value` in lower case.

    Raises:
        ValueError: it is not one of the choices.
    """
    if str(value).lower() not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}.")
    return str(value).lower()


def check_config(config: dict) -> dict:
    """Check a model's arguments and convert them to plain types.

    Args:
        config: the arguments of `KVAE` by name.

    Returns:
        The converted arguments.

    Raises:
        ValueError: a size is not a positive integer, a variance is not positive, and so on.
    """
    config = config | {"num_filters": _filters(config["num_filters"])}
    config["image_shape"] = _integers(config["image_shape"])
    for name, choices in _CHOICES.items():
        config[name] = check_choice(name, config[name], choices)
    for name in ("activation", "alpha_activation"):
        config[name] = _activation(name, config[name])
    for name in _SIZES:
        check_size(name, config[name])
    for name in _NOISES:
        value: Any = config[name]
        if not (isinstance(value, str) and value in _LEARNED) and not (
            is_number(value) and value > 0
        ):
            raise ValueError(
                f"{name}: expected a positive variance, got {value!r}. Or pass 'learned' or "
                "'learned_diagonal'."
            )
    if config["out_distr"] == "bernoulli" and isinstance(config["noise_pixel_var"], str):
        raise ValueError(
            "noise_pixel_var: expected a number with out_distr='bernoulli', which has no variance, "
            f"got {config['noise_pixel_var']!r}. Use out_distr='gaussian'."
        )
    if isinstance(config["encoder"], str) and config["encoder"] != IDENTITY:
        raise ValueError(
            f"encoder: expected a Keras layer, None or 'identity', got {config['encoder']!r}."
        )
    if config["encoder"] == IDENTITY and len(config["image_shape"]) > 1:
        raise ValueError(
            "encoder: expected 'identity' only for series, image_shape=(F,), got "
            f"image_shape={config['image_shape']}."
        )
    if len(config["image_shape"]) == 1:
        _check_series(config)
    for name in ("init_kf_matrices", "scale_reconstruction"):
        if not (is_number(config[name]) and config[name] >= 0):
            raise ValueError(f"{name}: expected a number of at least 0, got {config[name]!r}.")
    if not (is_number(config["ll_keep_prob"]) and 0 < config["ll_keep_prob"] <= 1):
        raise ValueError(
            f"ll_keep_prob: expected a probability in (0, 1], got {config['ll_keep_prob']!r}."
        )
    return config


def _check_series(config: dict) -> None:
    """Check the arguments of a model of series."""
    if config["out_distr"] != "gaussian":
        raise ValueError(
            f"out_distr: expected 'gaussian' for series, image_shape={config['image_shape']}, got "
            f"{config['out_distr']!r}."
        )
    (features,) = config["image_shape"]
    if config["encoder"] == IDENTITY and config["dim_a"] != features:
        raise ValueError(
            f"dim_a: expected {features}, the features of image_shape, with encoder='identity', "
            f"got {config['dim_a']!r}."
        )
    if config["encoder"] == IDENTITY and config["decoder"] is not None:
        raise ValueError("decoder: expected None with encoder='identity', which has none.")
    for name, plain in (("sample_z", False), ("use_vae", True), ("ll_keep_prob", 1.0)):
        if config["encoder"] == IDENTITY and config[name] != plain:
            raise ValueError(
                f"{name}: expected {plain} with encoder='identity', got {config[name]!r}: there is "
                "nothing to encode or decode."
            )
    if config["encoder"] == IDENTITY and config["noise_pixel_var"] != _NOISES["noise_pixel_var"]:
        raise ValueError(
            "noise_pixel_var: expected its default with encoder='identity', got "
            f"{config['noise_pixel_var']!r}. The noise of the numbers is noise_emission."
        )


def _integers(image_shape) -> tuple[int, ...]:
    try:
        return tuple(int(n) for n in image_shape)
    except (TypeError, ValueError):
        raise ValueError(
            f"image_shape: expected (H, W) or (H, W, C) in pixels, or (F,) for series of F "
            f"features, got {image_shape!r}."
        ) from None


def _activation(name: str, value) -> str | dict:
    """An activation in plain form: a name, or the configuration of a registered function or
    layer.
    """
    try:
        if value is None:  # Keras takes it as linear, as the original took a misspelt name
            raise ValueError
        return keras.activations.serialize(
            keras.activations.get(value.lower() if isinstance(value, str) else value)
        )
    except (ValueError, TypeError):
        raise ValueError(
            f"{name}: expected a name or function that keras.activations.get accepts, such as "
            f"relu, tanh, elu or linear, got {value!r}."
        ) from None


def initial_value(name: str, value: Any) -> Any:
    """Look up the initial value of a variance.

    Args:
        name: the argument's name.
        value: its value.

    Returns:
        `value`, or the initial value of a learned variance.
    """
    return _NOISES[name] if name in _NOISES and isinstance(value, str) else value


def check_num_samples(num_samples: object, *, optional: bool = True) -> None:
    """Check that a number of draws is a positive integer.

    Args:
        num_samples: the number.
        optional: whether None is allowed.

    Raises:
        ValueError: it is not.
    """
    if not (optional and num_samples is None):
        check_size("num_samples", num_samples)


def check_quantiles(quantiles: Any) -> np.ndarray:
    """Check the probabilities of quantiles.

    Args:
        quantiles: Q numbers in [0, 1].

    Returns:
        [Q] float64.

    Raises:
        ValueError: a number is not in [0, 1], or there is none.
    """
    values = np.atleast_1d(np.asarray(quantiles, np.float64))
    if values.ndim != 1 or not len(values) or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(
            f"quantiles: expected probabilities in [0, 1], such as (0.05, 0.95), got {quantiles!r}."
        )
    return values


def _filters(num_filters) -> tuple[int, ...]:
    """A tuple such as (32, 32, 32), from a sequence or from the flag's "32,32,32"."""
    try:
        parts = num_filters.split(",") if isinstance(num_filters, str) else num_filters
        filters = tuple(int(f) for f in parts)
    except (TypeError, ValueError):
        filters = ()
    if not filters or min(filters) < 1:
        raise ValueError(
            "num_filters: expected positive integers, one for each conv layer, such as (32, 32, "
            f"32) or '32,32,32', got {num_filters!r}."
        )
    return filters


def check_image_shape(image_shape: Sequence[int], conv_layers: int) -> tuple[int, ...]:
    """Check the shape of a frame.

    Args:
        image_shape: (H, W), (H, W, C), or (F,) for series.
        conv_layers: number of convolutions, each of which halves H and W.

    Returns:
        (H, W, C), or (F,).

    Raises:
        ValueError: another shape, or H or W is not divisible.
    """
    shape = tuple(int(n) for n in image_shape)
    if len(shape) == 1 and min(shape) >= 1:
        return shape
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ValueError(
            f"image_shape: expected (H, W) or (H, W, C) in pixels, or (F,) for series of F "
            f"features, got {image_shape!r}."
        )
    height, width, channels = (*shape, 1)[:3]
    factor = 2**conv_layers
    if height % factor or width % factor:
        raise ValueError(
            f"image_shape: {height}x{width} pixels cannot be halved {conv_layers} times, once for "
            f"each of num_filters. Crop or resize the frames to multiples of {factor}, use fewer "
            "num_filters, or conv=False."
        )
    return height, width, channels


def check_network(
    name: str, network: Any, inputs: tuple[int, ...], outputs: list[tuple[int, ...]], dtype: str
) -> None:
    """Check a caller's network by calling it with zeros, which also makes its weights.

    Args:
        name: the argument's name.
        network: the network; it maps [N, *inputs] to tensors [N, *outputs], or to one tensor with
            their last axes joined.
        inputs: shape of an input.
        outputs: shapes of the outputs.
        dtype: type of the input.

    Raises:
        ValueError: it is not a Keras layer, its call fails, or its outputs have other shapes.
    """
    joined = (*outputs[0][:-1], sum(shape[-1] for shape in outputs))
    wanted = " and ".join(f"[N, {', '.join(map(str, shape))}]" for shape in outputs)
    if not isinstance(network, keras.layers.Layer):
        raise ValueError(f"{name}: expected a Keras layer or model, got {type(network).__name__}.")
    try:
        found = network(tf.zeros([2, *inputs], dtype))
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise ValueError(
            f"{name}: expected a layer or model that takes [N, {', '.join(map(str, inputs))}], its "
            f"call failed: {error}"
        ) from error
    found = list(found) if isinstance(found, list | tuple) else [found]
    shapes = [tuple(value.shape) for value in found]
    if shapes not in ([(2, *shape) for shape in outputs], [(2, *joined)]):
        raise ValueError(f"{name}: expected outputs {wanted} for N frames, got {shapes} for N = 2.")


def check_frames(frames: Array, image_shape: tuple[int, ...]) -> tf.Tensor:
    """Check the shape and type of frames or series.

    Args:
        frames: [B, T, *image_shape], uint8, bool or floats.
        image_shape: shape of a frame, or (F,).

    Returns:
        The frames as a tensor; series as floats.

    Raises:
        ValueError: another shape or type.
    """
    frames = tensor("frames", frames)
    if len(image_shape) == 1 and (frames.dtype.is_integer or frames.dtype == tf.bool):
        frames = tf.cast(frames, tf.float32)
    if frames.shape.rank != 2 + len(image_shape) or tuple(frames.shape[2:]) != image_shape:
        wanted = ", ".join(map(str, image_shape))
        raise ValueError(
            f"frames: expected the shape [B, T, {wanted}] (sequences, frames, image_shape), got "
            f"{_shape(frames)}. Add a sequence axis to a single video: frames[None]."
        )
    _check_not_empty("frames", frames)
    if frames.dtype not in (tf.uint8, tf.bool) and not frames.dtype.is_floating:
        raise ValueError(
            f"frames: expected uint8, bool, or floats in [0, 1], got {frames.dtype.name}."
        )
    return frames


def check_frame_values(frames: tf.Tensor, mask: tf.Tensor | None, place: Place = NOWHERE) -> None:
    """Check the observed pixels of frames, or the observed numbers of series.

    Args:
        frames: [B, T, *image_shape].
        mask: [B, T] or as frames, 1 = observed; None: all observed.
        place: where the batch comes from, for messages.

    Raises:
        ValueError: a value is not as `check_pixels` or `check_numbers` expects.
    """
    check = check_numbers if frames.shape.rank == 3 else check_pixels
    check(frames, mask, place)


def check_pixels(frames: tf.Tensor, mask: tf.Tensor | None, place: Place = NOWHERE) -> None:
    """Check that observed pixels are in [0, 1]; warn if uint8 frames seem to contain 0 and 1.

    Args:
        frames: [B, T, *image_shape].
        mask: [B, T] or as frames, 1 = observed; None: all observed.
        place: where the batch comes from, for messages.

    Raises:
        ValueError: NaN in an observed frame, or a value outside [0, 1].
    """
    if frames.dtype == tf.uint8:
        warn_of_bits(frames)
    if not frames.dtype.is_floating:
        return
    others = list(range(1, frames.shape.rank))
    shown = frames if mask is None else masks.zero_missing(frames, mask)
    nan = tf.reduce_any(tf.math.is_nan(shown), others)
    message = (
        "frames: NaN in an observed frame of {}. Pass a mask that is 0 where a frame is missing."
    )
    require_rows(~nan, message, place)
    low, high = tf.reduce_min(shown, others), tf.reduce_max(shown, others)
    message = (
        "frames: expected values in [0, 1], got {} to {} in {}. "
        "Divide by the largest value or pass uint8."
    )
    require_rows((low >= 0) & (high <= 1), message, place, tf.reduce_min(low), tf.reduce_max(high))


def check_numbers(series: tf.Tensor, mask: tf.Tensor | None, place: Place = NOWHERE) -> None:
    """Check that observed numbers of series are not infinite. NaN is a missing number.

    Args:
        series: [B, T, F].
        mask: [B, T] or as series, 1 = observed; None: all observed.
        place: where the batch comes from, for messages.

    Raises:
        ValueError: an observed number is infinite.
    """
    shown = series if mask is None else masks.zero_missing(series, mask)
    finite = tf.reduce_all(tf.math.logical_not(tf.math.is_inf(shown)), [1, 2])
    require_rows(finite, "frames: infinity in {}; expected finite numbers, or NaN.", place)


def check_mask_values(mask: tf.Tensor | None, place: Place = NOWHERE) -> None:
    """Check that a mask contains only 0 and 1, and at least one 1.

    Args:
        mask: [B, T, ...]; None: nothing is checked.
        place: where the batch comes from, for messages.

    Raises:
        ValueError: another value, or no frame is observed.
    """
    if mask is None:
        return
    check_zeros_and_ones(mask, place)
    require(
        tf.reduce_any(mask == 1),
        "mask: no frame is observed. 1 means observed, 0 missing (TFP's masks say the opposite).",
    )


def check_codes_values(
    codes: tf.Tensor, mask: tf.Tensor | None, variance: Array | None, place: Place = NOWHERE
) -> None:
    """Check that observed codes are finite and variances are not negative.

    Args:
        codes: [B, T, dim_a].
        mask: [B, T] or as codes, 1 = observed; None: all observed.
        variance: [B, T, dim_a], or None.
        place: where the batch comes from, for messages.

    Raises:
        ValueError: an observed code is not finite, or a variance is negative.
    """
    shown = codes if mask is None else masks.zero_missing(codes, mask)
    fine = tf.reduce_all(tf.math.is_finite(shown), [1, 2])
    require_rows(fine, "codes: NaN or infinity in {}; expected finite numbers.", place)
    if variance is not None:
        least = tf.reduce_min(tf.convert_to_tensor(variance))
        require(least >= 0, "variance: expected numbers of at least 0, got {}.", least)


def check_controls_values(controls: tf.Tensor, place: Place = NOWHERE) -> None:
    """Check that controls are finite.

    Args:
        controls: [B, T, dim_u].
        place: where the batch comes from, for messages.

    Raises:
        ValueError: a control is not finite.
    """
    fine = tf.reduce_all(tf.math.is_finite(controls), [1, 2])
    require_rows(fine, "controls: NaN or infinity in {}; expected finite numbers.", place)


def frame_mask(frames: tf.Tensor, mask: tf.Tensor | None, dtype: str) -> tf.Tensor | None:
    """Complete the mask of frames: in series, NaN is missing.

    Args:
        frames: [B, T, *image_shape].
        mask: [B, T] or as frames, 1 = observed; None: all observed, in series all but NaN.
        dtype: type of the result.

    Returns:
        The mask, for series [B, T, F]; or None if all is observed.
    """
    if frames.shape.rank > 3:
        return mask
    known = tf.math.logical_not(tf.math.is_nan(frames))
    if mask is None and tf.executing_eagerly() and bool(tf.reduce_all(known)):
        return None  # the filter without gaps is faster
    known = tf.cast(known, dtype)
    return known if mask is None else known * masks.like(mask, frames)


def number_mask(a: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor | None:
    """Complete the mask of codes: in eager mode and without a mask, NaN is missing.

    Args:
        a: [B, T, dim_a].
        mask: [B, T] or as a, 1 = observed; None: all but NaN.

    Returns:
        The mask, or None if all codes are observed.

    Raises:
        ValueError: NaN or infinity where the mask is 1.
    """
    if not tf.executing_eagerly():
        return mask
    nan = tf.math.is_nan(a)
    if mask is None and bool(tf.reduce_any(nan)):
        mask = tf.cast(tf.math.logical_not(nan), a.dtype)
        check_mask_values(mask)
    if mask is not None:
        fine = tf.reduce_all(tf.math.is_finite(masks.zero_missing(a, mask)), [1, 2])
        message = "a: NaN or infinity in {} where the mask says observed. Set the mask to 0 there."
        require_rows(fine, message, NOWHERE)
    return mask


def check_codes(a: Array, dim_a: int, dtype: str, name: str = "a") -> tf.Tensor:
    """Check the shape of codes.

    Args:
        a: [B, T, dim_a].
        dim_a: size of the last axis.
        dtype: type of the result.
        name: the argument's name.

    Returns:
        The codes as a tensor.

    Raises:
        ValueError: another shape.
    """
    a = tensor(name, a, dtype)
    if a.shape.rank != 3 or a.shape[-1] != dim_a:
        raise ValueError(f"{name}: expected the shape [B, T, {dim_a}], got {_shape(a)}.")
    _check_not_empty(name, a)
    return a


def check_mask(
    mask: Array | None, like: tf.Tensor, dtype: str, place: Place | None = None
) -> tf.Tensor | None:
    """Check a mask's shape and, in eager mode or with a place, its values.

    Args:
        mask: [B, T] or of the shape of `like`, 1 = observed; None stays None.
        like: [B, T, ...].
        dtype: type of the result.
        place: where the batch comes from, for messages.

    Returns:
        The mask as a float tensor, or None.

    Raises:
        ValueError: another shape, or other values than 0 and 1.
    """
    if mask is None:
        return None
    mask = tensor("mask", mask, dtype)
    if not any(mask.shape.is_compatible_with(shape) for shape in (like.shape[:2], like.shape)):
        raise ValueError(
            f"mask: expected the shape {_shape(like)[:2]} (1 = observed, 0 = missing, one for each "
            f"frame), or {_shape(like)} (one for each number), got {_shape(mask)}."
        )
    if tf.executing_eagerly() or place:
        check_mask_values(mask, place or NOWHERE)
    return mask


def check_controls(
    controls: Array | None, like: tf.Tensor, dim_u: int, dtype: str, place: Place | None = None
) -> tf.Tensor:
    """Check the shape of controls and, in eager mode or with a place, their values.

    Args:
        controls: [B, T, dim_u]; None: zeros.
        like: [B, T, ...].
        dim_u: size of the last axis.
        dtype: type of the result.
        place: where the batch comes from, for messages.

    Returns:
        [B, T, dim_u].

    Raises:
        ValueError: another shape, or a control is not finite.
    """
    if controls is None:
        return tf.zeros(tf.concat([tf.shape(like)[:2], [dim_u]], 0), dtype)
    controls = tensor("controls", controls, dtype)
    if not controls.shape.is_compatible_with([*like.shape[:2], dim_u]):
        raise ValueError(
            f"controls: expected the shape {[*_shape(like)[:2], dim_u]} (dim_u={dim_u} numbers for "
            f"each frame, acting on the step into it), got {_shape(controls)}."
        )
    if tf.executing_eagerly() or place:
        check_controls_values(controls, place or NOWHERE)
    return controls


def check_dt(dt: Array | None, like: tf.Tensor, place: Place = NOWHERE) -> tf.Tensor | None:
    """Check uneven time steps.

    Args:
        dt: [B, T], whole numbers of at least 1; None stays None. The first one is not used.
        like: [B, T, ...].
        place: where the batch comes from, for messages.

    Returns:
        [B, T] int32, or None.

    Raises:
        ValueError: another shape, a step that is not a whole number of at least 1, or a million
            steps in a sequence.
    """
    if dt is None:
        return None
    dt = tensor("dt", dt)
    if dt.dtype == tf.bool:
        raise ValueError("dt: expected whole numbers, got bool. A mask is the argument `mask`.")
    dt = tf.cast(dt, tf.float64)
    if not dt.shape.is_compatible_with(like.shape[:2]):
        raise ValueError(
            f"dt: expected the shape {_shape(like)[:2]} (the steps since the frame before), got "
            f"{_shape(dt)}."
        )
    whole = tf.math.rint(dt)
    fine = (tf.abs(dt - whole) <= _OFF_GRID) & (whole >= 1.0)
    fine = tf.reduce_all(fine[:, 1:], 1)
    message = (
        "dt: expected whole numbers of at least 1, the steps of the model since the frame before, "
        "got another value in {}. Divide the times by the length of a step. For times that fit no "
        "grid, kvae.lgssm.discretise gives the matrices of a filter with known continuous-time "
        "dynamics."
    )
    require_rows(fine, message, place)
    fine = tf.reduce_sum(whole[:, 1:], 1) < MOST_STEPS
    message = (
        f"dt: expected fewer than {MOST_STEPS} steps in a sequence, more in {{}}. Divide the "
        "times by the length of a step, or cut the sequence at its long gaps."
    )
    require_rows(fine, message, place)
    if tf.executing_eagerly() and (most := np.sum(whole[:, 1:], 1).max()) > _MANY_STEPS:
        warnings.warn(
            f"dt: a sequence takes {int(most)} steps of the filter, which is slow. Divide the "
            "times by a larger number: a model with longer steps is faster.",
            stacklevel=3,
        )
    return tf.cast(whole, tf.int32)


def check_finite(verb: str, result: Any, check: bool = True) -> Any:
    """Check in eager mode that all fields of a result are finite.

    Args:
        verb: the method's name, for the message.
        result: a NamedTuple of tensors [B, T, ...] and None.
        check: False: nothing is checked.

    Returns:
        `result`.

    Raises:
        FloatingPointError: a field is not finite; the message names it and the time step.
    """
    if not check or not tf.executing_eagerly():
        return result
    for name, value in result._asdict().items():
        if value is None:
            continue
        finite = np.isfinite(value.numpy())
        if finite.all():
            continue
        where = "" if finite.ndim < 2 else _first_step(finite)
        raise FloatingPointError(
            f"KVAE.{verb}: {name} is not finite{where}. The state may have grown beyond the type's "
            "range, over a long gap or by an unstable A, or a weight or input is not finite: check "
            "these, or use dtype='float64'."
        )
    return result


def _first_step(finite: np.ndarray) -> str:
    """Text with the first time step, and its first sequence, that is not finite; [B, T, ...]."""
    bad = ~np.all(finite.reshape(*finite.shape[:2], -1), -1)
    step = int(np.argmax(np.any(bad, 0)))
    return f" at time step {step} of sequence {int(np.argmax(bad[:, step]))}"


def _check_not_empty(name: str, value: tf.Tensor) -> None:
    if 0 in value.shape[:2]:
        raise ValueError(
            f"{name}: expected at least one sequence of one frame, got the shape {_shape(value)}."
        )


def _shape(value: tf.Tensor) -> list:
    return value.shape.as_list() if value.shape.rank is not None else ["unknown"]
