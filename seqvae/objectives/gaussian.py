"""Functions for variational auto-encoders with Gaussian codes."""

from typing import Any

import tensorflow as tf


def gaussian_kl(mean: tf.Tensor, logvar: tf.Tensor) -> tf.Tensor:
    """KL divergence from a standard normal, elementwise (Kingma and Welling 2014, appendix B)::

        KL(N(mean, exp(logvar)) || N(0, 1))

    Args:
        mean: the mean.
        logvar: the log-variance.

    Returns:
        The divergence in nats, of the shape of `mean`.
    """
    return 0.5 * (tf.square(mean) + tf.exp(logvar) - 1.0 - logvar)


def bounded(x: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Clip x to [low, high], elementwise, so that exp(x) stays finite.

    The gradient is that of x, except where x is outside and descent would move it further out:
    there it is 0. A plain clip has no gradient outside, so a value that left the range could not
    return.

    Args:
        x: the values.
        low: the lower limit.
        high: the upper limit.

    Returns:
        The clipped values.
    """

    @tf.custom_gradient
    def clip(x) -> Any:
        def gradient(upstream):
            further_out = ((x <= low) & (upstream > 0)) | ((x >= high) & (upstream < 0))
            return tf.where(further_out, tf.zeros_like(upstream), upstream)

        return tf.clip_by_value(x, low, high), gradient

    return clip(x)
