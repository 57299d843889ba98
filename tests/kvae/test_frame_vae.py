"""The encoder's variance: a sigmoid that saturates and comes back."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kvae import KVAE
from tests.tolerances import SAME_FLOAT32

LIMIT = 0.03


@pytest.fixture
def encoder():
    """The frame VAE's encoder, and what raises and lowers its raw variance."""
    keras.utils.set_random_seed(0)
    # With these first weights the frames' variances differ little, so one bias suits them all.
    small = dict(num_filters=(4,), kernel_initializer="glorot_uniform")
    frame_vae = KVAE((8, 8), noise_emission=LIMIT, **small).frame_vae
    frames = tf.constant(np.random.default_rng(0).random((2, 3, 8, 8)) > 0.7, tf.float32)
    return lambda: frame_vae.encode(frames)[1], frame_vae.encoder.get_layer("variance").bias


def slopes(encode, bias, raw, sign):
    """The variances, and d(sign * sum of variances) / d raw over LIMIT, summed over the frames,
    when raw is about `raw`."""
    bias.assign([raw, raw])
    with tf.GradientTape() as tape:
        variance = encode()
        total = sign * tf.reduce_sum(variance)
    return variance / LIMIT, tape.gradient(total, bias.value) / LIMIT


@pytest.mark.parametrize("sign", (1.0, -1.0))
def test_its_value_is_the_originals_and_its_gradient_too_where_it_is_not_saturated(encoder, sign):
    share, gradient = slopes(*encoder, 0.3, sign)
    np.testing.assert_allclose(
        gradient, sign * tf.reduce_sum(share * (1 - share), [0, 1]), **SAME_FLOAT32
    )
    share, _ = slopes(*encoder, 27.0, sign)
    np.testing.assert_allclose(share, 1.0, **SAME_FLOAT32)


@pytest.mark.parametrize("side", (1.0, -1.0))
def test_at_its_limits_the_gradient_leads_back_and_not_further_out(encoder, side):
    _, back = slopes(*encoder, 27.0 * side, side)  # descent on side * variance moves raw towards 0
    _, out = slopes(*encoder, 27.0 * side, -side)
    np.testing.assert_allclose(
        back, side * 6 * 0.02, rtol=1e-5
    )  # six frames, each with the least slope
    np.testing.assert_allclose(out, 0.0, atol=1e-6)


@pytest.mark.slow
def test_a_variance_driven_to_its_limit_comes_back(encoder):
    encode, bias = encoder
    bias.assign([27.0, 27.0])
    descent = keras.optimizers.SGD(1.0)
    for _ in range(300):
        with tf.GradientTape() as tape:
            variance = encode() / LIMIT
            loss = tf.reduce_sum((variance - 0.25) ** 2)
        descent.apply([tape.gradient(loss, bias.value)], [bias])
    np.testing.assert_allclose(tf.reduce_mean(variance, [0, 1]), 0.25, atol=0.02)
