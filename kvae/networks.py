"""Encoder and decoder of single frames as functional Keras models: convolutional or dense."""

import math
from collections.abc import Sequence

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="kvae")
class DepthToSpace(keras.layers.Layer):
    """Sub-pixel up-sampling by 2 (Shi et al. 2016), in TensorFlow's channel order."""

    def call(self, inputs: tf.Tensor):
        """Rearrange channels into pixels.

        Args:
            inputs: [N, H, W, 4 C].

        Returns:
            [N, 2 H, 2 W, C].
        """
        return tf.nn.depth_to_space(inputs, 2)

    def compute_output_shape(self, input_shape: tuple):
        """Compute the shape of the output.

        Args:
            input_shape: (N, H, W, 4 C).

        Returns:
            (N, 2 H, 2 W, C).
        """
        batch, height, width, channels = input_shape
        return batch, 2 * height, 2 * width, channels // 4


def conv_encoder(
    image: tuple[int, ...],
    *,
    dim_a: int,
    num_filters: Sequence[int],
    filter_size: int,
    activation: str,
    kernel_initializer: str,
    with_variance: bool,
    dtype: keras.DTypePolicy,
) -> keras.Model:
    """Make a convolutional encoder: frames [N, H, W, C] -> mean and raw variance [N, dim_a].

    Args:
        image: (H, W, C).
        dim_a: dimension of the codes.
        num_filters: filters of each convolution, all of stride 2.
        filter_size: size of the convolutions.
        activation: activation of the hidden layers.
        kernel_initializer: initialiser of the hidden layers' kernels.
        with_variance: whether there is a second output, the raw variance.
        dtype: the dtype policy.

    Returns:
        The encoder.
    """
    inputs = hidden = keras.Input(image, name="frames", dtype=dtype.compute_dtype)
    for i, filters in enumerate(num_filters, 1):
        hidden = keras.layers.Conv2D(
            filters,
            filter_size,
            strides=2,
            padding="same",
            activation=activation,
            kernel_initializer=kernel_initializer,
            name=f"conv_{i}",
            dtype=dtype,
        )(hidden)
    hidden = keras.layers.Flatten(name="flat", dtype=dtype)(hidden)
    return keras.Model(inputs, _heads(hidden, dim_a, with_variance, dtype), name="encoder")


def mlp_encoder(
    image: tuple[int, ...],
    *,
    dim_a: int,
    num_layers: int,
    num_units: int,
    activation: str,
    kernel_initializer: str,
    with_variance: bool,
    dtype: keras.DTypePolicy,
) -> keras.Model:
    """Make a dense encoder, as `conv_encoder`.

    Args:
        image: (H, W, C), or (n,).
        dim_a: dimension of the codes.
        num_layers: number of hidden layers.
        num_units: units of each hidden layer.
        activation: activation of the hidden layers.
        kernel_initializer: initialiser of the hidden layers' kernels.
        with_variance: whether there is a second output, the raw variance.
        dtype: the dtype policy.

    Returns:
        The encoder.
    """
    inputs = keras.Input(image, name="frames", dtype=dtype.compute_dtype)
    hidden = keras.layers.Flatten(name="flat", dtype=dtype)(inputs)
    hidden = _dense_stack(hidden, num_layers, num_units, activation, kernel_initializer, dtype)
    return keras.Model(inputs, _heads(hidden, dim_a, with_variance, dtype), name="encoder")


def conv_decoder(
    image: tuple[int, ...],
    *,
    dim_a: int,
    num_filters: Sequence[int],
    filter_size: int,
    activation: str,
    kernel_initializer: str,
    dtype: keras.DTypePolicy,
) -> keras.Model:
    """Make a convolutional decoder: codes [N, dim_a] -> logits or means of frames [N, H, W, C].

    Args:
        image: (H, W, C).
        dim_a: dimension of the codes.
        num_filters: filters of the encoder's convolutions, used in reverse order.
        filter_size: size of the convolutions.
        activation: activation of the hidden layers.
        kernel_initializer: initialiser of the hidden layers' kernels.
        dtype: the dtype policy.

    Returns:
        The decoder.
    """
    height, width, channels = image
    factor = 2 ** len(num_filters)
    small = (height // factor, width // factor, num_filters[-1])
    inputs = keras.Input((dim_a,), name="a", dtype=dtype.compute_dtype)
    hidden = keras.layers.Dense(math.prod(small), name="dense", dtype=dtype)(inputs)
    hidden = keras.layers.Reshape(small, name="image", dtype=dtype)(hidden)
    for i, filters in enumerate(reversed(num_filters), 1):
        hidden = keras.layers.Conv2D(
            4 * filters,
            filter_size,
            padding="same",
            activation=activation,
            kernel_initializer=kernel_initializer,
            name=f"conv_{i}",
            dtype=dtype,
        )(hidden)
        hidden = DepthToSpace(name=f"subpixel_{i}", dtype=dtype)(hidden)
    outputs = keras.layers.Conv2D(channels, 1, name="pixels", dtype=dtype)(hidden)
    return keras.Model(inputs, outputs, name="decoder")


def mlp_decoder(
    image: tuple[int, ...],
    *,
    dim_a: int,
    num_layers: int,
    num_units: int,
    activation: str,
    kernel_initializer: str,
    dtype: keras.DTypePolicy,
) -> keras.Model:
    """Make a dense decoder, as `conv_decoder`.

    Args:
        image: (H, W, C), or (n,).
        dim_a: dimension of the codes.
        num_layers: number of hidden layers.
        num_units: units of each hidden layer.
        activation: activation of the hidden layers.
        kernel_initializer: initialiser of the hidden layers' kernels.
        dtype: the dtype policy.

    Returns:
        The decoder.
    """
    inputs = keras.Input((dim_a,), name="a", dtype=dtype.compute_dtype)
    hidden = _dense_stack(inputs, num_layers, num_units, activation, kernel_initializer, dtype)
    hidden = keras.layers.Dense(math.prod(image), name="pixels", dtype=dtype)(hidden)
    return keras.Model(
        inputs, keras.layers.Reshape(image, name="image", dtype=dtype)(hidden), name="decoder"
    )


def _dense_stack(
    hidden, num_layers: int, num_units: int, activation: str, kernel_initializer: str, dtype
):
    for i in range(1, num_layers + 1):
        hidden = keras.layers.Dense(
            num_units,
            activation=activation,
            kernel_initializer=kernel_initializer,
            name=f"dense_{i}",
            dtype=dtype,
        )(hidden)
    return hidden


def _heads(hidden, dim_a: int, with_variance: bool, dtype):
    names = ("mean", "variance") if with_variance else ("mean",)
    return [keras.layers.Dense(dim_a, name=name, dtype=dtype)(hidden) for name in names]
