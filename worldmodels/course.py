"""The Keras program of the course text "CNN-VAE" under its own names: constants, `sampling`, and
the class `ConvVAE`::

    vae = ConvVAE()
    vae.train(frames)                             # frames [N, 64, 64, 3], floats in [0, 1] or uint8
    rnn_input, rnn_output = vae.generate_rnn_data(obs_data, action_data)

It is an interface to `worldmodels.ConvVAE(architecture="course")`, which is `.model`. Constants may
be changed before `ConvVAE()`. docs/worldmodels_differences.md lists the differences from the
course's program.
"""

import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import worldmodels
from seqvae import checks
from seqvae.training.checked_data import checked, is_arrays
from worldmodels import arguments
from worldmodels.arguments import Array

INPUT_DIM = (64, 64, 3)
"""(height, width, channels) of a frame."""
CONV_FILTERS = [32, 64, 64, 128]
CONV_KERNEL_SIZES = [4, 4, 4, 4]
CONV_STRIDES = [2, 2, 2, 2]
CONV_ACTIVATIONS = ["relu", "relu", "relu", "relu"]
DENSE_SIZE = 1024
CONV_T_FILTERS = [64, 64, 32, 3]
"""The last number is the channels of a frame."""
CONV_T_KERNEL_SIZES = [5, 5, 6, 6]
CONV_T_STRIDES = [2, 2, 2, 2]
CONV_T_ACTIVATIONS = ["relu", "relu", "relu", "sigmoid"]
Z_DIM = 32
EPOCHS = 1
BATCH_SIZE = 32

_WEIGHTS = "vae/weights.h5"  # the file that the course's `train` writes


def sampling(
    args: Sequence[tf.Tensor], seed: keras.random.SeedGenerator | int | None = None
) -> tf.Tensor:
    """Draw z from N(mean, exp(log_var)).

    Args:
        args: (mean, log_var), [N, z_size] each.
        seed: a seed or a generator; None: Keras' global seed.

    Returns:
        z [N, z_size].
    """
    z_mean, z_log_var = args
    z_mean, z_log_var = tf.convert_to_tensor(z_mean), tf.convert_to_tensor(z_log_var)
    epsilon = keras.random.normal(tf.shape(z_mean), dtype=z_mean.dtype.name, seed=seed)
    return z_mean + tf.exp(z_log_var / 2) * epsilon


class ConvVAE:
    """The course's class.

    Attributes:
        models: (model, encoder, decoder).
        model: a compiled `worldmodels.ConvVAE`; `predict` reconstructs frames from the mean of
            q(z | x).
        encoder: maps frames [N, *INPUT_DIM] to z [N, Z_DIM], drawn from q(z | x) in every call.
        decoder: maps z [N, Z_DIM] to frames in (0, 1).
        input_dim: INPUT_DIM.
        z_dim: Z_DIM.

    Raises:
        ValueError: strides other than 2, other activations, or sizes that do not fit.
    """

    def __init__(self):
        self.models = self._build()
        self.model, self.encoder, self.decoder = self.models
        self.input_dim = INPUT_DIM
        self.z_dim = Z_DIM

    def _build(self) -> tuple[keras.Model, keras.Model, keras.Model]:
        _check_constants()
        vae = worldmodels.ConvVAE(
            architecture="course",
            z_size=Z_DIM,
            image_shape=INPUT_DIM,
            filters=CONV_FILTERS,
            kernel_sizes=CONV_KERNEL_SIZES,
            decoder_filters=CONV_T_FILTERS[:-1],
            decoder_kernel_sizes=CONV_T_KERNEL_SIZES,
            dense_units=DENSE_SIZE,
        )
        vae.compile(optimizer=vae.optimizer_of_architecture())
        return vae, DrawingEncoder(vae), vae.decoder

    def set_weights(self, filepath: str | os.PathLike) -> None:
        """Load weights from a file of `save_weights`, or of the course's Keras 2 program.

        Args:
            filepath: the file.
        """
        self.model.set_weights(filepath)

    def train(self, data: Array, validation_split: float = 0.2) -> None:
        """Train for EPOCHS epochs with early stopping, and write vae/weights.h5.

        Args:
            data: frames [N, *INPUT_DIM].
            validation_split: the share of the last frames used for val_loss.
        """
        self.model.train(data, validation_split, epochs=EPOCHS, batch_size=BATCH_SIZE)
        self.model.save_weights(_WEIGHTS)

    def save_weights(self, filepath: str | os.PathLike) -> None:
        """Write the weights.

        Args:
            filepath: a name that ends in .h5.
        """
        self.model.save_weights(filepath)

    def generate_rnn_data(
        self, obs_data: Sequence[Array], action_data: Sequence[Array]
    ) -> tuple[np.ndarray | list[np.ndarray], np.ndarray | list[np.ndarray]]:
        """Make training data for `worldmodels.MDNRNN.fit`, and print their shapes.

        Args:
            obs_data: episodes of frames [T, H, W, C].
            action_data: episodes of actions [T] or [T, action_size].

        Returns:
            rnn_input [N, T - 1, Z_DIM + action_size] and rnn_output [N, T - 1, Z_DIM], one step
            later; lists if the episodes differ in length.
        """
        rnn_input, rnn_output = self.model.generate_rnn_data(obs_data, action_data)
        print(f"Rnn inputs size: {_size(rnn_input)}  Rnn outputs size: {_size(rnn_output)}")
        return rnn_input, rnn_output


class DrawingEncoder(keras.Model):
    """An encoder of frames [N, H, W, C], floats in [0, 1] or uint8, to z drawn from q(z | x).

    Args:
        vae: the model whose encoder is used.
    """

    def __init__(self, vae: worldmodels.ConvVAE):
        super().__init__(autocast=False, name="encoder", dtype=vae.dtype_policy)
        self.network = vae.encoder
        self._seeds = keras.random.SeedGenerator()
        self._encode, self._frames, self._check = vae._encode, vae._frames, vae._check_data
        self.built = True

    def call(self, frames: tf.Tensor) -> tf.Tensor:
        """Draw codes.

        Args:
            frames: [N, H, W, C].

        Returns:
            z [N, z_size].
        """
        return sampling(self._encode(self._frames(frames)), self._seeds)

    def predict(self, x: Array, *args: Any, **options: Any) -> np.ndarray:
        """Draw codes, as `keras.Model.predict`.

        Frames are checked as by `worldmodels.ConvVAE.encode`, those of a data set when they are
        read.

        Args:
            x: frames [N, H, W, C], or a data set or generator of them.
            *args: as in Keras.
            **options: as in Keras.

        Returns:
            z [N, z_size].
        """
        if is_arrays(x) or isinstance(x, list | tuple):
            return super().predict(self._frames(x), *args, **options)
        with checks.as_value_errors():
            return super().predict(checked(x, self._check), *args, **options)


def _check_constants() -> None:
    for name, values, expected in (
        ("CONV_STRIDES", CONV_STRIDES, [2] * len(CONV_FILTERS)),
        ("CONV_T_STRIDES", CONV_T_STRIDES, [2] * len(CONV_T_FILTERS)),
        ("CONV_ACTIVATIONS", CONV_ACTIVATIONS, ["relu"] * len(CONV_FILTERS)),
        (
            "CONV_T_ACTIVATIONS",
            CONV_T_ACTIVATIONS,
            ["relu"] * (len(CONV_T_FILTERS) - 1) + ["sigmoid"],
        ),
    ):
        if list(values) != expected:
            raise ValueError(
                f"{name}: expected {expected}, got {values}. For other layers give "
                "worldmodels.ConvVAE an encoder or decoder."
            )
    arguments.check_integers("CONV_T_FILTERS", CONV_T_FILTERS, "[64, 64, 32, 3]")
    if CONV_T_FILTERS[-1] != INPUT_DIM[-1]:
        raise ValueError(
            f"CONV_T_FILTERS: expected the last to be the channels, {INPUT_DIM[-1]}, got "
            f"{CONV_T_FILTERS}."
        )


def _size(arrays) -> tuple | list[tuple]:
    return [part.shape for part in arrays] if isinstance(arrays, list) else arrays.shape
