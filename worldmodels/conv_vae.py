"""`ConvVAE`: the vision model of World Models as a Keras model, in its TensorFlow form and in the
course's Keras form.
"""

import os
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from seqvae import checks
from seqvae.checks import NOWHERE, Place, check_keys
from seqvae.model import SequenceModel
from seqvae.objectives import KLWeight, bounded, gaussian_kl, weighted_mean
from seqvae.randomness import Seed, fold, normal, stateless_seed
from worldmodels import arguments, networks, original
from worldmodels.arguments import Array
from worldmodels.course_methods import CourseMethods, RMSprop
from worldmodels.results import ConvVAETerms

ARCHITECTURES = {
    "worldmodels": {"filters": (32, 64, 128, 256), "decoder_filters": (128, 64, 32)},
    "course": {"filters": (32, 64, 64, 128), "decoder_filters": (64, 64, 32)},
}
DEFAULTS = {"kernel_sizes": (4, 4, 4, 4), "decoder_kernel_sizes": (5, 5, 6, 6), "dense_units": 1024}
_CODES = 0  # purpose of a random draw, for `fold`
_LOGVAR_RANGE = -20.0, 10.0
"""Standard deviations of 5e-5 to 150: exp stays finite, and trained models are far inside."""


@keras.saving.register_keras_serializable(package="worldmodels")
class ConvVAE(CourseMethods, SequenceModel):
    """The convolutional VAE of World Models.

    The model (Ha and Schmidhuber 2018, arXiv:1803.10122, appendix A.1)::

        z ~ N(mu(x), diag exp(logvar(x)))       four convolutions, stride 2, no padding
        x' = sigmoid(decoder(z))                a dense layer, four transposed convolutions

    Frames are [..., *image_shape] with any leading axes, uint8, bool, or floats in [0, 1]. The
    constructor makes the weights. `encoder` maps frames [N, H, W, C] to mean and logvar, `decoder`
    maps codes [N, z_size] to frames. A batch of `fit` is an array of frames, or a dict of `frames`
    and `sample_weight`.

    Args:
        architecture: "worldmodels": filters 32, 64, 128, 256, summed squared error and a KL with a
            floor; "course": the Keras form of the course text, filters 32, 64, 64, 128, 10 x mean
            squared error and mean KL. It determines the loss, `optimizer_of_architecture`, and the
            default filters.
        z_size: size of the code.
        kl_tolerance: floor of a frame's KL, nats per dimension of z ("worldmodels").
        image_shape: (H, W, C) of a frame; H = W unless both encoder and decoder are given.
        filters: filters of the encoder's layers; None: the architecture's.
        kernel_sizes: kernel sizes of the encoder's layers; None: those for 64x64 frames.
        decoder_filters: filters of the decoder's layers but the last; None: the architecture's.
        decoder_kernel_sizes: kernel sizes of the decoder's layers; None: those for 64x64 frames.
        dense_units: units of the decoder's first layer; None: 1024.
        encoder: a Keras layer or model that replaces the encoder: frames [N, H, W, C], floats in
            [0, 1], to (mean, logvar), [N, z_size] each, or one tensor [N, 2 z_size]. It is saved
            with the model.
        decoder: a Keras layer or model that replaces the decoder: codes [N, z_size] to frames
            [N, H, W, C] in [0, 1]; end it with a sigmoid.
        seed: seed of the random draws in calls that do not pass one; None: Keras' global seed.
        dtype: a type or dtype policy.
        name: the model's name.

    Raises:
        ValueError: an argument is out of range, or the layers do not fit the frames; the message
            names kernel sizes that would.
    """

    input_name = "frames"
    batch_keys: ClassVar = {"frames": "[N, H, W, C], uint8, bool or floats in [0, 1]."}
    term_names = ConvVAETerms._fields

    def __init__(
        self,
        *,
        architecture: str = "worldmodels",
        z_size: int = 32,
        kl_tolerance: float = 0.5,
        image_shape: Sequence[int] = (64, 64, 3),
        filters: Sequence[int] | None = None,
        kernel_sizes: Sequence[int] | None = None,
        decoder_filters: Sequence[int] | None = None,
        decoder_kernel_sizes: Sequence[int] | None = None,
        dense_units: int | None = None,
        encoder: keras.layers.Layer | None = None,
        decoder: keras.layers.Layer | None = None,
        seed: int | None = None,
        dtype: str | keras.DTypePolicy | None = None,
        name: str = "conv_vae",
    ):
        checks.check_choice("architecture", architecture, ARCHITECTURES)
        arguments.check_sizes(1, z_size=z_size)
        arguments.check_at_least(0, kl_tolerance=kl_tolerance)
        super().__init__(name=name, dtype=dtype, seed=seed)
        self.architecture, self.z_size, self.kl_tolerance = architecture, z_size, kl_tolerance
        self.image_shape = arguments.check_image_shape(image_shape)
        encoder_sizes = dict(filters=filters, kernel_sizes=kernel_sizes)
        decoder_sizes = dict(
            decoder_filters=decoder_filters,
            decoder_kernel_sizes=decoder_kernel_sizes,
            dense_units=dense_units,
        )
        self._default_encoder, self._default_decoder = encoder is None, decoder is None
        encoder_sizes = self._sizes("encoder", encoder, encoder_sizes)
        decoder_sizes = self._sizes("decoder", decoder, decoder_sizes)
        self._config = dict(
            architecture=architecture,
            z_size=z_size,
            kl_tolerance=kl_tolerance,
            image_shape=self.image_shape,
            seed=seed,
            **encoder_sizes,
            **decoder_sizes,
        )
        if encoder is not None:
            networks.check_encoder_layer(encoder, self.image_shape, z_size)
        if decoder is not None:
            networks.check_decoder_layer(decoder, self.image_shape, z_size)
        self.encoder = self._new_encoder(**encoder_sizes) if encoder is None else encoder
        self.decoder = self._new_decoder(**decoder_sizes) if decoder is None else decoder
        self._kl = KLWeight()
        self.built = True  # the layers have their weights from the start

    def _sizes(self, part: str, layer, given: dict) -> dict:
        """The sizes of our encoder or decoder, with the architecture's defaults; None for a
        user's layer.
        """
        if layer is not None:
            for name, value in given.items():
                if value is not None:
                    raise ValueError(
                        f"{name}: expected none with {part}=, which has its own layers. Leave "
                        "one out."
                    )
            return given
        default = DEFAULTS | ARCHITECTURES[self.architecture]
        sizes = {name: default[name] if value is None else value for name, value in given.items()}
        if "dense_units" in sizes:
            arguments.check_sizes(1, dense_units=sizes["dense_units"])
        return {
            name: value
            if name == "dense_units"
            else arguments.check_integers(name, value, str(default[name]))
            for name, value in sizes.items()
        }

    def _new_encoder(self, filters, kernel_sizes) -> keras.Model:
        networks.check_encoder_sizes(self.image_shape, filters, kernel_sizes)
        return networks.encoder(
            self.image_shape, self.z_size, filters, kernel_sizes, self.dtype_policy
        )

    def _new_decoder(self, decoder_filters, decoder_kernel_sizes, dense_units) -> keras.Model:
        networks.check_decoder_sizes(self.image_shape, decoder_filters, decoder_kernel_sizes)
        return networks.decoder(
            self.z_size,
            dense_units,
            self.image_shape[-1],
            decoder_filters,
            decoder_kernel_sizes,
            self.dtype_policy,
        )

    def get_config(self):
        """Return the arguments of the model.

        Returns:
            The arguments by name; a user's encoder and decoder are serialised.
        """
        base = super().get_config()
        layers = {
            "encoder": None
            if self._default_encoder
            else keras.saving.serialize_keras_object(self.encoder),
            "decoder": None
            if self._default_decoder
            else keras.saving.serialize_keras_object(self.decoder),
        }
        return {name: base[name] for name in ("name", "dtype")} | self._config | layers

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None):
        """Make a model from what `get_config` returned.

        Args:
            config: the arguments by name.
            custom_objects: as in Keras.

        Returns:
            The model.
        """
        read = keras.saving.deserialize_keras_object
        layers = {
            n: read(v, custom_objects)
            for n, v in config.items()
            if n in ("encoder", "decoder") and v
        }
        return cls(**config | layers)

    def optimizer_of_architecture(self) -> keras.optimizers.Optimizer:
        """Make a new optimiser: Adam(1e-4, epsilon 1e-8), or the course's RMSprop(1e-3).

        Returns:
            The optimiser.
        """
        if self.architecture == "course":
            return RMSprop(learning_rate=1e-3, name="rmsprop")
        return keras.optimizers.Adam(learning_rate=1e-4, epsilon=1e-8, name="adam")

    # --- frames and codes ---

    def encode(self, frames: Array) -> tfd.Distribution:
        """Compute q(z | x).

        Args:
            frames: [..., H, W, C].

        Returns:
            Batch [...], event [z_size].

        Raises:
            ValueError: the frames have another shape, type or range.
        """
        mean, logvar = self.encoded(frames)
        return tfd.MultivariateNormalDiag(mean, tf.exp(0.5 * logvar))

    def encoded(self, frames: Array) -> tuple[tf.Tensor, tf.Tensor]:
        """Compute mean and log-variance of q(z | x).

        Args:
            frames: [..., H, W, C].

        Returns:
            Mean and log-variance, [..., z_size] each.

        Raises:
            ValueError: the frames have another shape, type or range.
        """
        return self._run(self._encode, self._frames(frames))

    def decode(self, z: Array) -> tf.Tensor:
        """Decode codes.

        Args:
            z: [..., z_size].

        Returns:
            Frames [..., H, W, C] in (0, 1).
        """
        return self._run(
            self._decode, arguments.check_last_axis("z", z, self.z_size, self.variable_dtype)
        )

    def reconstruct(self, frames: Array) -> tf.Tensor:
        """Decode the mean of `encode`.

        Args:
            frames: [..., H, W, C].

        Returns:
            Frames [..., H, W, C] in (0, 1).
        """
        return self._run(self._reconstruct, self._frames(frames))

    def sample(self, n: int | tf.Tensor, *, seed: int | None = None) -> tf.Tensor:
        """Decode codes drawn from N(0, 1).

        Args:
            n: number of frames.
            seed: seed of the draws; None: the model's next seed.

        Returns:
            Frames [n, H, W, C] in (0, 1).
        """
        if not tf.is_tensor(n):
            arguments.check_sizes(1, n=n)
        shape: list[Any] = [n, self.z_size]
        pair = stateless_seed(seed, self._seeds)
        return self.decode(tf.random.stateless_normal(shape, pair, dtype=self.variable_dtype))

    def call(
        self, inputs: Array | dict, mask: Any = None, training: bool | None = None
    ) -> tf.Tensor:
        """Compute `reconstruct` of a batch.

        Args:
            inputs: frames, or a dict of `frames`.
            mask: must be None.
            training: whether the networks are in training mode.

        Returns:
            Frames [N, H, W, C] in (0, 1).

        Raises:
            ValueError: a mask is given.
        """
        if any(part is not None for part in tf.nest.flatten(mask)):
            raise ValueError(
                "mask: expected none, a ConvVAE encodes each frame separately. Leave frames out "
                "instead of a mask."
            )
        return self._reconstruct(self._frames_of(self.batch_of(inputs)), bool(training))

    def _frames_of(self, batch: dict) -> tf.Tensor:
        check_keys(batch, (*self.batch_keys, "sample_weight"))
        if "frames" not in batch:
            raise ValueError(f"frames: missing in a batch of {', '.join(batch) or 'nothing'}.")
        return self._frames(batch["frames"])

    def _frames(self, frames) -> tf.Tensor:
        frames = arguments.check_frames(frames, self.image_shape, self.variable_dtype)
        if tf.executing_eagerly():
            arguments.check_pixels(frames)
        return frames

    def _encode(self, frames, training=False) -> tuple[tf.Tensor, tf.Tensor]:
        leading = tf.shape(frames)[:-3]
        outputs = self.encoder(
            tf.reshape(self._floats(frames), [-1, *self.image_shape]), training=training
        )
        mean, logvar = (
            tf.reshape(tf.cast(part, self.variable_dtype), tf.concat([leading, [self.z_size]], 0))
            for part in networks.mean_and_logvar(outputs)
        )
        return mean, bounded(logvar, *_LOGVAR_RANGE)

    def _decode(self, z, training=False) -> tf.Tensor:
        frames = tf.cast(
            self.decoder(tf.reshape(z, [-1, self.z_size]), training=training), self.variable_dtype
        )
        return tf.reshape(frames, tf.concat([tf.shape(z)[:-1], self.image_shape], 0))

    def _reconstruct(self, frames, training=False) -> tf.Tensor:
        return self._decode(self._encode(frames, training)[0], training)

    def _floats(self, frames: tf.Tensor) -> tf.Tensor:
        """Frames as floats in [0, 1]."""
        floats = tf.cast(frames, self.variable_dtype)
        return floats / 255.0 if frames.dtype == tf.uint8 else floats

    # --- training ---

    def loss_terms(
        self,
        batch: Any,
        noise: Array | None = None,
        *,
        seed: Seed | None = None,
        training: bool = True,
    ) -> ConvVAETerms:
        """Compute the loss of frames and its parts, with z = mean + exp(logvar / 2) * noise.

        Args:
            batch: frames [N, H, W, C], or a dict with `frames` and optionally `sample_weight` [N],
                the weights of frames in each mean.
            noise: [N, z_size]; None: drawn from N(0, 1).
            seed: seed of the noise; None: the model's next seed.
            training: whether the networks are in training mode.

        Returns:
            The terms, scalars.
        """
        batch = self.batch_of(batch)
        frames = self._frames_of(batch)
        mean, logvar = self._encode(frames, training)
        if noise is None:
            seed = fold(stateless_seed(seed, self._seeds), _CODES)
            noise = normal(tf.shape(mean), seed, self.variable_dtype)
        noise = arguments.check_last_axis("noise", noise, self.z_size, self.variable_dtype)
        error = tf.square(
            self._floats(frames) - self._decode(mean + tf.exp(0.5 * logvar) * noise, training)
        )
        kl = gaussian_kl(mean, logvar)
        if self.architecture == "course":
            error, kl = 10.0 * tf.reduce_mean(error, [-3, -2, -1]), tf.reduce_mean(kl, -1)
        else:
            floor = tf.cast(self.kl_tolerance * self.z_size, kl.dtype)
            error, kl = tf.reduce_sum(error, [-3, -2, -1]), tf.maximum(tf.reduce_sum(kl, -1), floor)
        reconstruction, kl = (self._mean(value, batch) for value in (error, kl))
        return ConvVAETerms(reconstruction, kl, reconstruction + kl)

    def _mean(self, value: tf.Tensor, batch: dict) -> tf.Tensor:
        """The mean of a value per frame, weighted by `sample_weight`."""
        if "sample_weight" not in batch:
            return tf.reduce_mean(value)
        rows = tf.reduce_mean(tf.reshape(value, [tf.shape(value)[0], -1]), -1)
        return weighted_mean(rows, tf.cast(batch["sample_weight"], rows.dtype))

    def check_batch(self, batch: dict, place: Place = NOWHERE) -> None:
        """Check the shape, type and range of frames.

        Args:
            batch: the batch.
            place: where it comes from, for messages.

        Raises:
            ValueError: the frames have another shape, type or range.
        """
        frames = arguments.check_frames(batch["frames"], self.image_shape, self.variable_dtype)
        arguments.check_pixels(frames, place)

    def serving_inputs(self) -> keras.layers.InputSpec:
        """The input of an exported model: any number of frames, floats in [0, 1].

        Returns:
            Its shape and type.
        """
        return keras.layers.InputSpec(
            shape=(None, *self.image_shape), dtype=self.variable_dtype, name="frames"
        )

    @property
    def kl_weight(self) -> keras.Variable:
        """The weight of the KL in the objective: 1 unless `KLAnnealing` sets it."""
        return self._kl.variable

    def objective(self, terms: ConvVAETerms) -> tf.Tensor:
        """The loss: reconstruction + kl_weight * kl.

        Args:
            terms: what `loss_terms` returns.

        Returns:
            A scalar.
        """
        return terms.reconstruction + tf.cast(self.kl_weight.value, terms.kl.dtype) * terms.kl

    def count(self, batch: dict) -> tf.Tensor:
        """Count the frames of a batch, each times its `sample_weight`.

        Args:
            batch: the batch.

        Returns:
            A scalar.
        """
        if "sample_weight" in batch:
            return tf.reduce_sum(tf.cast(batch["sample_weight"], tf.float32))
        return tf.cast(tf.shape(batch["frames"])[0], tf.float32)

    # --- the original project's weights ---

    def load_json(self, path: str | os.PathLike) -> None:
        """Set the weights to those in a file of `save_json` or of the original project.

        Args:
            path: the file, such as the original's `vae.json`.

        Raises:
            ValueError: the file is not such a list of arrays, or is of another model; nothing is
                changed.
        """
        original.load(self, original.read_json(path), source=str(path))

    def save_json(self, path: str | os.PathLike) -> None:
        """Write the weights as the original project does.

        They are integers of 1/10000, in the original's order of variables.

        Args:
            path: the file.
        """
        original.write_json(path, original.arrays(self))

    def original_arrays(self) -> list[np.ndarray]:
        """Read the weights in the original's order.

        Returns:
            An array for each weight.
        """
        return [weight.numpy() for weight in self.trainable_variables]

    def set_original_arrays(self, arrays: list[np.ndarray]) -> None:
        """Set the weights.

        Args:
            arrays: in the original's order and shapes.
        """
        for weight, value in zip(self.trainable_variables, arrays, strict=True):
            weight.assign(value)
