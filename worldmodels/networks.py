"""Encoder and decoder of the ConvVAE as functional Keras models, and checks of their sizes."""

from collections.abc import Sequence

import keras
import tensorflow as tf

STRIDE = 2


@keras.saving.register_keras_serializable(package="worldmodels")
class FirstDeconvolution(keras.layers.Conv2DTranspose):
    """Transposed convolution of a 1x1 picture as a matrix product, which is five times faster."""

    def call(self, inputs: tf.Tensor):
        """Compute the layer.

        Args:
            inputs: [N, 1, 1, C].

        Returns:
            [N, height, width, filters].
        """
        # [height * width * filters, C]
        kernel = tf.reshape(tf.convert_to_tensor(self.kernel), [-1, inputs.shape[-1]])
        outputs = tf.matmul(tf.reshape(inputs, [-1, inputs.shape[-1]]), kernel, transpose_b=True)
        outputs = tf.reshape(outputs, [-1, *self.kernel_size, self.filters]) + tf.convert_to_tensor(
            self.bias
        )
        return self.activation(outputs)


def check_encoder_sizes(
    image_shape: Sequence[int], filters: Sequence[int], kernel_sizes: Sequence[int]
) -> None:
    """Check that the input of every encoder layer is at least as large as its kernel.

    Args:
        image_shape: (H, W, C).
        filters: filters of each layer.
        kernel_sizes: kernel size of each layer.

    Raises:
        ValueError: names the layer and the sizes so far.
    """
    _check_one_each(("filters", "kernel_sizes"), filters, kernel_sizes)
    for side, size in zip(("height", "width"), image_shape[:2], strict=True):
        _check_encoder(side, size, kernel_sizes)


def check_decoder_sizes(
    image_shape: Sequence[int], decoder_filters: Sequence[int], decoder_kernel_sizes: Sequence[int]
) -> None:
    """Check that the decoder's output has the size of a frame.

    Args:
        image_shape: (H, W, C).
        decoder_filters: filters of all layers but the last.
        decoder_kernel_sizes: kernel size of each layer.

    Raises:
        ValueError: names kernel sizes that would fit.
    """
    _check_one_each(
        ("decoder_filters", "decoder_kernel_sizes"),
        (*decoder_filters, image_shape[-1]),
        decoder_kernel_sizes,
    )
    sizes = decoded_sizes(decoder_kernel_sizes)
    if tuple(image_shape[:2]) == (sizes[-1], sizes[-1]):
        return
    fitting = fitting_kernels(image_shape[0]) if image_shape[0] == image_shape[1] else None
    cure = (
        f"decoder_kernel_sizes={fitting} would make {image_shape[0]}; give {len(fitting) - 1} "
        "decoder_filters"
        if fitting
        else "frames must be square; crop or pad them"
    )
    raise ValueError(
        f"image_shape: {tuple(image_shape)} is not the size of the decoder's output, "
        f"{sizes[-1]}x{sizes[-1]} (from 1: {', '.join(map(str, sizes))}). For these frames {cure}."
    )


def _check_one_each(names: tuple[str, str], filters, kernels) -> None:
    if len(filters) != len(kernels):
        raise ValueError(
            f"{names[0]}, {names[1]}: expected one kernel size for each layer, got "
            f"{len(filters)} layers of filters (including the decoder's last one, which makes the "
            f"channels) and {len(kernels)} kernel sizes."
        )


def _check_encoder(side: str, size: int, kernel_sizes) -> None:
    sizes = [size]
    for i, kernel in enumerate(kernel_sizes, 1):
        if sizes[-1] < kernel:
            raise ValueError(
                f"kernel_sizes: layer enc_conv{i} (kernel {kernel}) gets an input of "
                f"{side} {sizes[-1]} (sizes so far: {', '.join(map(str, sizes))}). Use fewer "
                "layers, smaller kernels, or larger frames."
            )
        sizes.append((sizes[-1] - kernel) // STRIDE + 1)


def decoded_sizes(kernel_sizes: Sequence[int]) -> list[int]:
    """Compute the height after every layer of the decoder, which starts at 1.

    Args:
        kernel_sizes: kernel size of each layer.

    Returns:
        The heights.
    """
    sizes, size = [], 1
    for kernel in kernel_sizes:
        size = STRIDE * (size - 1) + kernel
        sizes.append(size)
    return sizes


def fitting_kernels(size: int) -> tuple[int, ...]:
    """Find kernel sizes of a decoder for a given output size.

    They are 5 or 6, as in the original, and the remaining size in the first layer.

    Args:
        size: height of a frame.

    Returns:
        The kernel sizes.

    >>> fitting_kernels(64)
    (5, 5, 6, 6)
    """
    kernels = []
    while size > 6:
        kernels.append(6 if size % 2 == 0 else 5)
        size = (size - kernels[-1]) // STRIDE + 1
    return (size, *reversed(kernels))


def encoder(
    image_shape: Sequence[int],
    z_size: int,
    filters: Sequence[int],
    kernel_sizes: Sequence[int],
    dtype: keras.DTypePolicy,
) -> keras.Model:
    """Make the encoder: frames [N, H, W, C] -> mean and log-variance of z, [N, z_size] each.

    Args:
        image_shape: (H, W, C).
        z_size: size of the code.
        filters: filters of each layer.
        kernel_sizes: kernel size of each layer.
        dtype: the dtype policy.

    Returns:
        The encoder.
    """
    inputs = hidden = keras.Input(image_shape, name="frames", dtype=dtype.compute_dtype)
    for i, (count, size) in enumerate(zip(filters, kernel_sizes, strict=True), 1):
        hidden = keras.layers.Conv2D(
            count, size, strides=STRIDE, activation="relu", name=f"enc_conv{i}", dtype=dtype
        )(hidden)
    hidden = keras.layers.Flatten(name="enc_flat", dtype=dtype)(hidden)
    heads = [
        keras.layers.Dense(z_size, name=f"enc_fc_{name}", dtype=dtype)(hidden)
        for name in ("mu", "log_var")
    ]
    return keras.Model(inputs, heads, name="encoder")


def decoder(
    z_size: int,
    dense_units: int,
    channels: int,
    filters: Sequence[int],
    kernel_sizes: Sequence[int],
    dtype: keras.DTypePolicy,
) -> keras.Model:
    """Make the decoder: codes [N, z_size] -> frames [N, H, W, C] in (0, 1).

    The output has the weights' precision.

    Args:
        z_size: size of the code.
        dense_units: units of the first layer.
        channels: channels of a frame.
        filters: filters of all transposed convolutions but the last.
        kernel_sizes: kernel size of each transposed convolution.
        dtype: the dtype policy.

    Returns:
        The decoder.
    """
    inputs = keras.Input((z_size,), name="z", dtype=dtype.compute_dtype)
    hidden = keras.layers.Dense(dense_units, name="dec_fc", dtype=dtype)(inputs)
    hidden = keras.layers.Reshape((1, 1, dense_units), name="dec_seed", dtype=dtype)(hidden)
    for i, (count, size) in enumerate(zip((*filters, channels), kernel_sizes, strict=True), 1):
        layer = FirstDeconvolution if i == 1 else keras.layers.Conv2DTranspose
        hidden = layer(
            count,
            size,
            strides=STRIDE,
            activation="relu" if i < len(kernel_sizes) else None,
            name=f"dec_deconv{i}",
            dtype=dtype,
        )(hidden)
    # not in half precision, in which a sigmoid has steps of 1/256
    frames = keras.layers.Activation("sigmoid", name="dec_frames", dtype=dtype.variable_dtype)(
        hidden
    )
    return keras.Model(inputs, frames, name="decoder")


def check_encoder_layer(
    layer: keras.layers.Layer, image_shape: tuple[int, int, int], z_size: int
) -> None:
    """Build a user's encoder and check its outputs for frames [N, H, W, C].

    Args:
        layer: the encoder.
        image_shape: (H, W, C).
        z_size: size of the code.

    Raises:
        ValueError: it is not a Keras layer, does not take the frames, or does not return mean and
            log-variance.
    """
    outputs = _outputs_of("encoder", layer, image_shape)
    shapes = (
        None
        if isinstance(outputs, dict)
        else [tuple(o.shape[1:]) for o in keras.tree.flatten(outputs)]
    )
    if shapes not in ([(z_size,), (z_size,)], [(2 * z_size,)]):
        raise ValueError(
            f"encoder: expected mean and log-variance of z, two tensors [N, {z_size}] or one [N, "
            f"{2 * z_size}], for frames [N, {', '.join(map(str, image_shape))}], got "
            f"{_described(outputs)}."
        )


def check_decoder_layer(
    layer: keras.layers.Layer, image_shape: tuple[int, int, int], z_size: int
) -> None:
    """Build a user's decoder and check its output for codes [N, z_size].

    Args:
        layer: the decoder.
        image_shape: (H, W, C).
        z_size: size of the code.

    Raises:
        ValueError: it is not a Keras layer, does not take the codes, or does not return frames.
    """
    outputs = _outputs_of("decoder", layer, (z_size,))
    if getattr(outputs, "shape", None) is None or tuple(outputs.shape[1:]) != tuple(image_shape):
        raise ValueError(
            f"decoder: expected frames [N, {', '.join(map(str, image_shape))}] in [0, 1] for codes "
            f"[N, {z_size}], got {_described(outputs)}."
        )


def mean_and_logvar(outputs: tf.Tensor | Sequence[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """Split an encoder's outputs.

    Args:
        outputs: a pair, or one tensor [N, 2 z_size].

    Returns:
        Mean and log-variance, [N, z_size] each.
    """
    mean, logvar = outputs if isinstance(outputs, tuple | list) else tf.split(outputs, 2, axis=-1)
    return mean, logvar


def _outputs_of(name: str, layer, shape: tuple[int, ...]):
    if not isinstance(layer, keras.layers.Layer):
        raise ValueError(f"{name}: expected a Keras layer or model, got {layer!r}.")
    try:
        return layer(keras.KerasTensor((None, *shape), dtype=layer.compute_dtype))
    except Exception as error:
        raise ValueError(
            f"{name}: {layer.name} does not take inputs of the shape [N, "
            f"{', '.join(map(str, shape))}] ({error})."
        ) from error


def _described(outputs) -> str:
    return str(keras.tree.map_structure(lambda output: ["N", *output.shape[1:]], outputs))
