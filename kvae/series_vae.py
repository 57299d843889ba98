"""The auto-encoder of single steps of a series, in place of frames: numbers of any scale, of which
some are missing."""

import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from kvae import arguments
from kvae.frame_vae import FrameVAE

_FAR = 1e4  # deviations of a mean from 0 that leave three digits of a number in float32


class SeriesVAE(FrameVAE):
    """As `FrameVAE`, with dense layers, for steps x_t of F numbers, NaN or masked where they are
    missing.

    Codes and networks see (x_t - shift) / scale; `start_at` sets these from the data. The encoder
    reads [N, 2 F]: these numbers, 0 where they are missing, and which of them are observed.
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
    def _read_shape(self) -> tuple[int, ...]:
        return (2 * self.image_shape[0],)

    def adapt(self, frames: np.ndarray, seen: np.ndarray) -> None:
        """Sets shift and scale to the mean and standard deviation of each number, where `seen`
        [B, T, F]; the scale of a constant to 1."""
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
        scale = tf.convert_to_tensor(self.scale)
        each = tfd.Normal(self.shift + scale * pixels, scale * tf.sqrt(self.pixel_variance))
        return tfd.Independent(each, 1)

    def _read(self, frames: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        values = (tf.cast(frames, self.variable_dtype) - self.shift) / self.scale
        if mask is None:
            return tf.concat([values, tf.ones_like(values)], -1)
        seen = tf.broadcast_to(arguments.like_frames(mask, values), tf.shape(values))
        return tf.concat([tf.where(seen > 0.5, values, 0.0), seen], -1)


class Series(SeriesVAE):
    """No auto-encoder: a_t = (x_t - shift) / scale, of which each number is observed or missing.

    log p(x_t | a_t) is the density of the change of scale: the evidence lower bound is log p(x)
    itself.
    """

    def __init__(
        self, image_shape: tuple[int, ...], *, dtype: str | keras.DTypePolicy | None, **options: Any
    ):
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
        dtype = policy.variable_dtype  # there are no layers to speed up, and data to round
        fixed = dict(use_vae=False, dtype=dtype, encoder=Values(name="values", dtype=dtype))
        decoder = keras.layers.Identity(dtype=dtype)
        super().__init__(image_shape, **options | fixed | dict(decoder=decoder))

    def code_mask(self, mask: tf.Tensor) -> tf.Tensor:
        return mask

    def frame_distribution(self, pixels: tf.Tensor) -> tfd.Distribution:
        return tfd.Independent(tfd.Deterministic(self.shift + self.scale * pixels), 1)

    def _log_prob(self, pixels: tf.Tensor, frames: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        seen = tf.ones_like(pixels) if mask is None else arguments.like_frames(mask, pixels)
        return -tf.reduce_sum(seen * tf.math.log(tf.convert_to_tensor(self.scale)), -1)


class Values(keras.layers.Layer):
    """What a series' encoder reads, [N, 2 F] -> the numbers themselves, [N, F]."""

    def call(self, inputs: tf.Tensor):
        return inputs[:, : inputs.shape[-1] // 2]  # pyright: ignore[reportOptionalOperand]
