"""KL, bounds and annealing."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from seqvae.objectives import (
    KLAnnealing,
    bounded,
    cyclical,
    gaussian_kl,
    linear,
    sigmoid,
    weighted_mean,
)
from tests.tolerances import FLOAT32

tfd = tfp.distributions


def test_the_kl_is_tfps():
    mean, logvar = (
        np.random.default_rng(i).standard_normal((4, 3)).astype(np.float32) for i in range(2)
    )
    expected = tfd.Normal(mean, np.exp(logvar / 2)).kl_divergence(tfd.Normal(0.0, 1.0))
    np.testing.assert_allclose(gaussian_kl(mean, logvar), expected, **FLOAT32)


def test_a_weighted_mean_is_numpys_and_0_where_nothing_counts():
    value, weight = (np.random.default_rng(i).random((4, 3)).astype(np.float32) for i in range(2))
    np.testing.assert_allclose(
        weighted_mean(value, weight), np.average(value, weights=weight), **FLOAT32
    )
    np.testing.assert_allclose(weighted_mean(value), value.mean(), **FLOAT32)
    assert weighted_mean(value, np.zeros_like(weight)) == 0.0


def test_a_bound_clips_and_its_gradient_leads_back_only():
    x = tf.constant([-3.0, -1.0, 0.0, 1.0, 3.0])
    for sign in (1.0, -1.0):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = bounded(x, -2.0, 2.0)
        np.testing.assert_array_equal(y, [-2, -1, 0, 1, 2])
        gradient = tape.gradient(y, x, output_gradients=sign * tf.ones(5))
        # descent goes against the gradient: at -3 a positive one would lead further out, at 3 a
        # negative one
        np.testing.assert_array_equal(gradient, sign * np.array([sign < 0, 1, 1, 1, sign > 0]))


def test_weights_over_epochs():
    assert [linear(2, 2)(e) for e in range(6)] == [0, 0, 0, 0.5, 1, 1]
    curve = [sigmoid(10, 8)(e) for e in range(21)]
    assert curve[10] == 0.5 and curve[6] == pytest.approx(0.1) and curve[14] == pytest.approx(0.9)
    assert curve == sorted(curve)
    assert [cyclical(4, 0.75)(e) for e in range(5)] == [
        0,
        pytest.approx(1 / 3),
        pytest.approx(2 / 3),
        1,
        0,
    ]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: linear(-1, 4), "start: expected a number of at least 0"),
        (lambda: linear(0, 0), "epochs: expected a number of at least 1"),
        (lambda: cyclical(0), "period: expected a number of at least 1"),
        (lambda: cyclical(4, 0.0), "rising: expected above 0"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


class Annealed:
    """All that `KLAnnealing` asks of a model."""

    def __init__(self):
        self.kl_weight = tf.Variable(7.0)


def begun(model, schedule, epoch=2):
    callback = KLAnnealing(schedule)
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_begin(epoch)
    return model


def test_annealing_sets_the_weight_before_an_epoch():
    assert begun(Annealed(), linear(0, 4)).kl_weight == 0.5
    assert begun(Annealed(), lambda epoch: epoch + 1).kl_weight == 3.0


@pytest.mark.parametrize(
    "model, schedule, message",
    [
        (
            Annealed(),
            0.5,
            "schedule: expected a function of the epoch, such as linear.0, 10., got 0.5",
        ),
        (
            Annealed(),
            lambda epoch: -1,
            "schedule: expected a weight of at least 0, got -1.0 for epoch 2",
        ),
        (
            Annealed(),
            lambda epoch: float("nan"),
            "schedule: expected a weight of at least 0, got nan for epoch 2",
        ),
        (
            object(),
            linear(0, 4),
            "KLAnnealing: expected a model with a variable `kl_weight`, object has none",
        ),
    ],
)
def test_annealing_that_is_refused(model, schedule, message):
    with pytest.raises(ValueError, match=message):
        begun(model, schedule)
