"""What variational auto-encoders with Gaussian codes need."""

from typing import Any

import tensorflow as tf


def gaussian_kl(mean: tf.Tensor, logvar: tf.Tensor) -> tf.Tensor:
    """KL(N(mean, exp(logvar)) || N(0, 1)) in nats, elementwise (Kingma and Welling 2014, appendix
    B)."""
    return 0.5 * (tf.square(mean) + tf.exp(logvar) - 1.0 - logvar)


def bounded(x: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """x clipped to [low, high], elementwise, so that exp(x) stays finite.

    The gradient is that of x, except where x is outside and descent would lead further out: there
    it is 0. A plain clip has no gradient outside at all, and what has once left would never come
    back.
    """

    @tf.custom_gradient
    def clip(x) -> Any:
        def gradient(upstream):
            further_out = ((x <= low) & (upstream > 0)) | ((x >= high) & (upstream < 0))
            return tf.where(further_out, tf.zeros_like(upstream), upstream)

        return tf.clip_by_value(x, low, high), gradient

    return clip(x)
