"""The variational auto-encoder of single frames (paper, section 3), which maps x_t to a_t and
back.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import distributions as tfd

from kvae import arguments, masks, networks
from kvae.lgssm.products import matvec
from seqvae.data.masks import is_observed
from seqvae.randomness import fold, normal, uniform

_LOGIT_LIMIT = 13.815510
"""log((1 - 1e-6) / 1e-6): the original clips probabilities to [1e-6, 1 - 1e-6]."""
_LEAST_PIXEL = 1e-3  # lower limit of the mean pixel: the logit of 0 is -infinity
_LEAST_PIXEL_VARIANCE = 1e-6  # lower limit of a learned variance: some data are fitted exactly
_LEAST_SLOPE = 0.02  # lower bound of the gradient of `_sigmoid`, see there
CODES, STATES, KEPT = range(3)
"""Purposes of the objective's random draws, for `fold`: a_t from q(a_t | x_t), the states of the
sampled bound, the frames that are decoded."""


class FrameVAE(keras.layers.Layer):
    """Encoder q(a_t | x_t), decoder p(x_t | a_t), and their log-probabilities.

    Convolutions run in the compute type of `dtype`; codes, pixels and log-probabilities have its
    variable type.

    Args:
        image_shape: (H, W) or (H, W, C).
        out_distr: "bernoulli" or "gaussian".
        conv: whether the networks are convolutional.
        activation: activation of the hidden layers.
        kernel_initializer: initialiser of the kernels.
        filter_size: size of the convolutions.
        num_filters: filters of each convolution.
        vae_num_units: units of each dense layer.
        num_layers: number of dense layers.
        noise_pixel_var: variance of a normal pixel: a number, "learned" or "learned_diagonal".
        use_vae: False: a plain auto-encoder.
        dim_a: dimension of the codes.
        noise_emission: limit of the encoder's variance.
        encoder: replaces the encoder; see `KVAE`.
        decoder: replaces the decoder; see `KVAE`.
        dtype: a type or dtype policy.
        name: the layer's name.
    """

    def __init__(
        self,
        image_shape: tuple[int, ...],
        *,
        out_distr: str,
        conv: bool,
        activation: str | dict | Callable,
        kernel_initializer: str,
        filter_size: int,
        num_filters: Sequence[int],
        vae_num_units: int,
        num_layers: int,
        noise_pixel_var: float | str,
        use_vae: bool,
        dim_a: int,
        noise_emission: float,
        encoder: keras.Layer | None = None,
        decoder: keras.Layer | None = None,
        dtype: str | keras.DTypePolicy | None,
        name: str,
    ):
        super().__init__(dtype=dtype, name=name)
        self.image_shape, self.dim_a = image_shape, dim_a
        self._gaussian = out_distr == "gaussian"
        self._variational, self._max_variance = use_vae, noise_emission
        self._image = image = arguments.check_image_shape(
            image_shape, len(num_filters) if conv and not (encoder and decoder) else 0
        )
        options: dict[str, Any] = dict(
            dim_a=dim_a,
            activation=activation,
            kernel_initializer=kernel_initializer,
            dtype=self.dtype_policy,
        )
        if conv and len(image) == 3:
            options |= dict(num_filters=num_filters, filter_size=filter_size)
            make_encoder, make_decoder = networks.conv_encoder, networks.conv_decoder
        else:
            options |= dict(num_layers=num_layers, num_units=vae_num_units)
            make_encoder, make_decoder = networks.mlp_encoder, networks.mlp_decoder
        with keras.name_scope("encoder"):  # makes the variables' paths unique
            input_shape = self._encoder_shape
            self.encoder = encoder or make_encoder(input_shape, with_variance=use_vae, **options)
            arguments.check_network(
                "encoder",
                self.encoder,
                input_shape,
                [(dim_a,)] * (2 if use_vae else 1),
                self.compute_dtype,
            )
        with keras.name_scope("decoder"):
            self.decoder = decoder or make_decoder(image, **options)
            arguments.check_network("decoder", self.decoder, (dim_a,), [image], self.compute_dtype)
        self._add_pixel_variance(noise_pixel_var)
        self.built = True  # functional models have their weights from the start

    @property
    def _encoder_shape(self) -> tuple[int, ...]:
        """The shape of the encoder's input for one frame."""
        return self._image

    def code_mask(self, mask: tf.Tensor) -> tf.Tensor:
        """Convert a mask of frames or pixels to a mask of codes.

        Args:
            mask: [B, T] or [B, T, *image_shape], 1 = observed.

        Returns:
            [B, T], 1 where any pixel is observed.
        """
        return masks.of_frames(mask)

    def _add_pixel_variance(self, noise_pixel_var: float | str) -> None:
        """Set the variance of a pixel: a number, or the softplus of a weight."""
        self._pixel_var, self._raw_pixel_var = noise_pixel_var, None
        if isinstance(noise_pixel_var, str):
            start = arguments.initial_value("noise_pixel_var", noise_pixel_var)
            self._raw_pixel_var = self.add_weight(
                shape=self.image_shape if noise_pixel_var == "learned_diagonal" else (),
                initializer=keras.initializers.Constant(tfp.math.softplus_inverse(start)),
                name="raw_noise_pixel_var",
                dtype=self.variable_dtype,
                autocast=False,
            )

    @property
    def pixel_variance(self) -> tf.Tensor:
        """The variance of a normal pixel: a scalar, or [*image_shape]."""
        if self._raw_pixel_var is None:
            return tf.constant(self._pixel_var, self.variable_dtype)
        raw = tf.nn.softplus(tf.convert_to_tensor(self._raw_pixel_var))
        return raw + _LEAST_PIXEL_VARIANCE

    def encode(
        self, frames: tf.Tensor, mask: tf.Tensor | None = None, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Compute mean and variance of q(a_t | x_t).

        The variance is noise_emission * sigmoid(.), or 0 for the plain auto-encoder. Missing frames
        are replaced by black ones, missing pixels by the mean of the frame's observed pixels of the
        same channel.

        Args:
            frames: [B, T, *image_shape].
            mask: [B, T] or [B, T, *image_shape], 1 = observed; None: all observed.
            training: whether the encoder is in training mode.

        Returns:
            Mean and variance, [B, T, dim_a] each.
        """
        pixels = tf.cast(self._encoder_input(frames, mask), self.compute_dtype)
        outputs = self.encoder(tf.reshape(pixels, [-1, *pixels.shape[2:]]), training=training)
        if self._variational and not isinstance(outputs, list | tuple):
            outputs = tf.split(outputs, 2, axis=-1)
        outputs = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
        shape = tf.concat([tf.shape(frames)[:2], [self.dim_a]], 0)
        mean, *raw = (tf.reshape(tf.cast(value, self.variable_dtype), shape) for value in outputs)
        return mean, self._max_variance * _sigmoid(raw[0]) if raw else tf.zeros_like(mean)

    def decode(self, a: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Compute the decoder's output for codes.

        Args:
            a: [B, T, dim_a].
            training: whether the decoder is in training mode.

        Returns:
            [B, T, *image_shape]: logits, clipped as the original clips probabilities; or means.
        """
        pixels = self.decoder(
            tf.cast(tf.reshape(a, [-1, self.dim_a]), self.compute_dtype), training=training
        )
        pixels = tf.cast(
            tf.reshape(pixels, tf.concat([tf.shape(a)[:2], self.image_shape], 0)),
            self.variable_dtype,
        )
        return pixels if self._gaussian else tf.clip_by_value(pixels, -_LOGIT_LIMIT, _LOGIT_LIMIT)

    def code_distribution(self, mean: tf.Tensor, variance: tf.Tensor) -> tfd.Distribution:
        """Make q(a_t | x_t).

        Args:
            mean: [B, T, dim_a].
            variance: [B, T, dim_a].

        Returns:
            Batch [B, T], event [dim_a]; a point mass for the plain auto-encoder.
        """
        return (
            tfd.MultivariateNormalDiag(mean, tf.sqrt(variance))
            if self._variational
            else tfd.VectorDeterministic(mean)
        )

    def adapt(self, frames: np.ndarray, seen: np.ndarray) -> None:
        """Set the decoder's last bias to the mean pixel: an untrained decoder outputs the mean.

        Args:
            frames: [B, T, *image_shape].
            seen: bool, True where a pixel is observed; broadcast to the shape of `frames`.

        Raises:
            ValueError: the decoder is the caller's own and has no layer `pixels` with such a bias.
        """
        channels = self._image[-1]
        seen = np.broadcast_to(seen, frames.shape).reshape(-1, channels)
        mean_pixel = frames.reshape(-1, channels).mean(axis=0, dtype=np.float64, where=seen)
        mean_pixel = mean_pixel / 255.0 if frames.dtype == np.uint8 else mean_pixel
        names = [layer.name for layer in getattr(self.decoder, "layers", [])]
        bias = self.decoder.get_layer("pixels").bias if "pixels" in names else None
        if bias is None or bias.shape[0] % len(mean_pixel):
            raise ValueError(
                "adapt: the decoder has no layer named 'pixels' with a bias for each channel. Name "
                "its last layer so, or leave adapt out."
            )
        inside = np.clip(mean_pixel, _LEAST_PIXEL, 1.0 - _LEAST_PIXEL)
        start = mean_pixel if self._gaussian else np.log(inside / (1.0 - inside))
        bias.assign(np.tile(start, bias.shape[0] // len(mean_pixel)))

    def frame_distribution(self, pixels: tf.Tensor) -> tfd.Distribution:
        """Make p(x_t | a_t) from the decoder's output.

        Args:
            pixels: [B, T, *image_shape], logits or means.

        Returns:
            Batch [B, T], event image_shape.
        """
        if self._gaussian:
            each = tfd.Normal(pixels, tf.sqrt(self.pixel_variance))
        else:
            each = tfd.Bernoulli(logits=pixels, dtype=self.variable_dtype)
        return tfd.Independent(each, len(self.image_shape))

    def mean_frames(self, a: tf.Tensor) -> tf.Tensor:
        """Compute E[x_t | a_t].

        Args:
            a: [B, T, dim_a].

        Returns:
            [B, T, *image_shape].
        """
        return self.frame_distribution(self.decode(a)).mean()

    def draw_codes(
        self, frames: tf.Tensor, mask: tf.Tensor | None, seed: tf.Tensor, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Draw codes from q(a_t | x_t) by reparameterisation.

        Args:
            frames: [B, T, *image_shape].
            mask: [B, T] or [B, T, *image_shape], 1 = observed; None: all observed.
            seed: [2] int32.
            training: whether the encoder is in training mode.

        Returns:
            a_t [B, T, dim_a] and log q(a_t | x_t) [B, T]; the mean and 0 for the plain
            auto-encoder.
        """
        mean, variance = self.encode(frames, mask, training)
        if not self._variational:
            return mean, tf.zeros_like(mean[..., 0])  # pyright: ignore[reportArgumentType]
        a = mean + tf.sqrt(variance) * normal(tf.shape(mean), fold(seed, CODES), mean.dtype)
        return a, self.code_distribution(mean, variance).log_prob(a)

    def log_px(
        self,
        frames: tf.Tensor,
        mask: tf.Tensor | None,
        a: tf.Tensor,
        keep: float,
        seed: tf.Tensor,
        training: bool = False,
    ) -> tf.Tensor:
        """Compute log p(x_t | a_t).

        With keep < 1, only a random share of each sequence's frames is decoded. Their
        log-probability is divided by the share and that of the others is 0: the expectation is
        unchanged and decoding is faster.

        Args:
            frames: [B, T, *image_shape].
            mask: [B, T] or [B, T, *image_shape], 1 = observed; None: all observed.
            a: [B, T, dim_a].
            keep: the share of frames that are decoded, in (0, 1].
            seed: [2] int32, seed of their choice.
            training: whether the decoder is in training mode.

        Returns:
            [B, T].
        """
        if keep == 1.0:
            return self._log_prob(self.decode(a, training), frames, mask)
        steps = tf.shape(a)[1]
        kept = tf.cast(tf.math.ceil(keep * tf.cast(steps, tf.float32)), tf.int32)
        chosen = tf.argsort(uniform(tf.shape(a)[:2], seed), axis=1)[:, :kept]
        codes, pixels = (tf.gather(value, chosen, axis=1, batch_dims=1) for value in (a, frames))
        observed = None if mask is None else tf.gather(mask, chosen, axis=1, batch_dims=1)
        log_px = self._log_prob(self.decode(codes, training), pixels, observed)
        log_px *= tf.cast(steps, log_px.dtype) / tf.cast(kept, log_px.dtype)
        placed = tf.one_hot(chosen, steps, dtype=log_px.dtype)  # [B, kept, T]
        return matvec(tf.linalg.matrix_transpose(placed), log_px)

    def _log_prob(self, pixels: tf.Tensor, frames: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        """log p(x_t | a_t) [B, T] of the observed pixels, for the decoder's output."""
        found, seen = self.frame_distribution(pixels), self._masked_floats(frames, mask)
        if mask is None or mask.shape.rank == 2:
            return found.log_prob(seen)
        axes = list(range(2, mask.shape.rank))
        return tf.reduce_sum(mask * found.distribution.log_prob(seen), axes)

    def _encoder_input(self, frames: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        """The encoder's input, [B, T, ...] in the variables' type."""
        seen = self._masked_floats(frames, mask)
        if mask is not None and mask.shape.rank > 2:
            axes = [2, 3]  # not the channels: each has its own mean
            mean = tf.math.divide_no_nan(
                tf.reduce_sum(seen, axes, keepdims=True), tf.reduce_sum(mask, axes, keepdims=True)
            )
            seen = tf.where(is_observed(masks.like(mask, seen)), seen, mean)
        return tf.reshape(seen, tf.concat([tf.shape(seen)[:2], self._image], 0))

    def floats(self, frames: tf.Tensor) -> tf.Tensor:
        """Convert frames to the variables' type.

        Args:
            frames: [B, T, *image_shape], uint8, bool or floats.

        Returns:
            Floats; of uint8 in [0, 1].
        """
        floats = tf.cast(frames, self.variable_dtype)
        return floats / 255.0 if frames.dtype == tf.uint8 else floats

    def _masked_floats(self, frames: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        """Frames as floats in [0, 1]. Missing frames and pixels, which may be NaN, become black, so
        that no NaN reaches a gradient.
        """
        floats = self.floats(frames)
        return floats if mask is None else masks.zero_missing(floats, mask)


@tf.custom_gradient
def _sigmoid(raw: tf.Tensor) -> Any:
    """A sigmoid whose gradient has a lower bound `_LEAST_SLOPE` when descent reduces |raw|. In
    early training the variance can saturate, where a plain sigmoid has no gradient.
    """
    value = tf.sigmoid(raw)

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        slope = value * (1.0 - value)
        shrinks = upstream * raw > 0.0  # descent then makes |raw| smaller
        bounded = tf.maximum(slope, tf.constant(_LEAST_SLOPE, slope.dtype))
        return upstream * tf.where(shrinks, bounded, slope)

    return value, gradient
