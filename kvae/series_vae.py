"""The auto-encoder of single steps of a series: numbers of any scale, some of them missing."""

import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from kvae import masks
from kvae.frame_vae import FrameVAE

_FAR = 1e4  # |mean| / deviation at which float32 (7 digits) keeps three digits of a deviation


class SeriesVAE(FrameVAE):
    """`FrameVAE` for series: dense layers, steps x_t of F numbers, NaN or masked where missing.

    Codes and networks use (x_t - shift) / scale; `adapt` sets shift and scale from the data. The
    encoder's input is [N, 2 F]: these numbers, 0 where they are missing, and which of them are
    observed.

    Args:
        image_shape: (F,).
        **options: as for `FrameVAE`.
    """

    def __init__(self, image_shape: tuple[int, ...], **options: Any):
        super().__init__(image_shape, **options)
        for name, first in (("shift", "zeros"), ("scale", "ones")):
            weight = self.add_weight(
                shape=image_shape,
                initializer=first,
                name=name,
                trainable=False,
                dtype=self.variable_dtype,
                autocast=False,
            )
            setattr(self, name, weight)

    @property
    def _encoder_shape(self) -> tuple[int, ...]:
        return (2 * self.image_shape[0],)

    def adapt(self, frames: np.ndarray, seen: np.ndarray) -> None:
        """Set shift and scale to each number's mean and standard deviation (of a constant: 1).

        Args:
            frames: [B, T, F].
            seen: [B, T, F] bool, True where a number is observed.

        Raises:
            ValueError: a feature is never observed.
        """
        values = np.where(seen, np.asarray(frames, np.float64), np.nan)
        values = values.reshape(-1, values.shape[-1])
        if np.isnan(values).all(axis=0).any():
            empty = int(np.argmax(np.isnan(values).all(axis=0)))
            raise ValueError(f"frames: feature {empty} is never observed. Leave it out.")
        deviation, mean = np.nanstd(values, axis=0), np.nanmean(values, axis=0)
        far = (deviation > 0) & (np.abs(mean) > _FAR * deviation)
        if far.any():
            i = int(np.argmax(far))
            warnings.warn(
                f"frames: feature {i} has the mean {mean[i]:.3g} and the deviation "
                f"{deviation[i]:.3g}: float32, in which `fit` reads it, loses its digits. Subtract "
                "the mean first.",
                stacklevel=4,
            )
        self.shift.assign(mean)
        self.scale.assign(np.where(deviation > 0, deviation, 1.0))

    def frame_distribution(self, pixels: tf.Tensor) -> tfd.Distribution:
        """Make p(x_t | a_t) from the decoder's output.

        Args:
            pixels: [B, T, F], scaled means.

        Returns:
            Batch [B, T], event [F].
        """
        scale = tf.convert_to_tensor(self.scale)
        each = tfd.Normal(self.shift + scale * pixels, scale * tf.sqrt(self.pixel_variance))
        return tfd.Independent(each, 1)

    def _encoder_input(self, frames: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        """[B, T, 2 F]: the scaled numbers, 0 where missing, and 1 or 0 for observed or missing."""
        values = (tf.cast(frames, self.variable_dtype) - self.shift) / self.scale
        if mask is None:
            return tf.concat([values, tf.ones_like(values)], -1)
        seen = tf.broadcast_to(masks.like(mask, values), tf.shape(values))
        return tf.concat([masks.zero_missing(values, seen), seen], -1)


class ScaledSeries(SeriesVAE):
    """No auto-encoder: a_t = (x_t - shift) / scale. Each number of a_t is observed or missing.

    log p(x_t | a_t) is the density of the change of scale, so the evidence lower bound is log p(x).

    Args:
        image_shape: (F,).
        dtype: a type or dtype policy; only its variable type is used.
        **options: as for `FrameVAE`.
    """

    def __init__(
        self, image_shape: tuple[int, ...], *, dtype: str | keras.DTypePolicy | None, **options: Any
    ):
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
        dtype = policy.variable_dtype  # a lower precision would only round the data
        fixed = dict(use_vae=False, dtype=dtype, encoder=Values(name="values", dtype=dtype))
        decoder = keras.layers.Identity(dtype=dtype)
        super().__init__(image_shape, **options | fixed | dict(decoder=decoder))

    def code_mask(self, mask: tf.Tensor) -> tf.Tensor:
        """Return the mask: the codes are the numbers themselves.

        Args:
            mask: [B, T] or [B, T, F], 1 = observed.

        Returns:
            The mask.
        """
        return mask

    def frame_distribution(self, pixels: tf.Tensor) -> tfd.Distribution:
        """Make p(x_t | a_t): a point mass.

        Args:
            pixels: [B, T, F], scaled numbers.

        Returns:
            Batch [B, T], event [F].
        """
        return tfd.Independent(tfd.Deterministic(self.shift + self.scale * pixels), 1)

    def _log_prob(self, pixels: tf.Tensor, frames: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        seen = tf.ones_like(pixels) if mask is None else masks.like(mask, pixels)
        return -tf.reduce_sum(seen * tf.math.log(tf.convert_to_tensor(self.scale)), -1)


class Values(keras.layers.Layer):
    """Selects the numbers from the encoder's input."""

    def call(self, inputs: tf.Tensor):
        """Select the numbers.

        Args:
            inputs: [N, 2 F].

        Returns:
            [N, F].
        """
        return inputs[:, : inputs.shape[-1] // 2]  # pyright: ignore[reportOptionalOperand]
