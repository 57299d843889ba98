"""The GRU of our own against Keras' own loop: outputs, states and gradients, in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.tolerances import VAME
from vrae.vame.gru import BidirectionalGRU
from vrae.vame.rnn_model import _bidirectional

UNITS, FEATURES = 4, 3


def layer():
    """With weights that are nowhere zero, biases neither."""
    keras.utils.set_random_seed(0)
    options = dict(
        return_sequences=True, return_state=True, bias_initializer="random_normal", dtype="float64"
    )
    made = BidirectionalGRU(
        keras.layers.GRU(UNITS, **options),
        backward_layer=keras.layers.GRU(UNITS, go_backwards=True, **options),
        dtype="float64",
    )
    made.build((None, None, FEATURES))
    return made


def draw(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).standard_normal(shape))


def results(call, layer, sequences, states):
    """Outputs, states, and the gradients of a weighted sum of them."""
    values = [v.value for v in layer.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch([sequences, *states])
        outputs = call(sequences, initial_state=states or None)
        loss = tf.add_n([tf.reduce_sum(draw(*x.shape, seed=i) * x) for i, x in enumerate(outputs)])
    return [*outputs, *tape.gradient(loss, [sequences, *states, *values])]


@pytest.mark.parametrize(("batch", "steps", "given"), ((3, 5, True), (2, 4, False), (1, 1, True)))
def test_it_computes_what_keras_computes(batch, steps, given):
    made, sequences = layer(), draw(batch, steps, FEATURES, seed=1)
    states = [draw(batch, UNITS, seed=i) for i in (2, 3)] if given else []
    ours = results(tf.function(made, autograph=False), made, sequences, states)
    keras_own = results(
        lambda *args, **kwargs: keras.layers.Bidirectional.call(made, *args, **kwargs),
        made,
        sequences,
        states,
    )
    assert len(ours) == len(keras_own)
    for ours_one, keras_one in zip(ours, keras_own, strict=True):
        np.testing.assert_allclose(ours_one, keras_one, **VAME)


def test_one_input_at_every_step_is_that_input_repeated():
    made, inputs, states = (
        layer(),
        draw(3, 1, FEATURES, seed=1),
        [draw(3, UNITS, seed=i) for i in (2, 3)],
    )
    short = results(lambda x, **kwargs: made(x, steps=6, **kwargs), made, inputs, states)
    repeated = results(
        lambda x, **kwargs: made(tf.repeat(x, 6, axis=1), **kwargs), made, inputs, states
    )
    for short_one, repeated_one in zip(short, repeated, strict=True):
        np.testing.assert_allclose(short_one, repeated_one, **VAME)


def test_batch_and_time_may_be_unknown_when_it_is_compiled():
    made = layer()
    compiled = tf.function(
        lambda x: made(x)[0], input_signature=[tf.TensorSpec([None, None, FEATURES], tf.float64)]
    )
    for shape in ((2, 3, FEATURES), (4, 1, FEATURES)):
        np.testing.assert_allclose(compiled(draw(*shape)), made(draw(*shape))[0], **VAME)


def test_with_a_gpu_it_is_keras_call(monkeypatch):
    made, inputs = layer(), draw(2, 1, FEATURES)
    ours = made(inputs, steps=3)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["a GPU"])
    traced = tf.function(lambda x: made(x, steps=3), jit_compile=True)
    compiled = traced(inputs)  # cuDNN is not for XLA
    monkeypatch.setattr("vrae.vame.gru._states", None)  # not used then
    for ours_one, keras_one, xla in zip(ours, made(inputs, steps=3), compiled, strict=True):
        np.testing.assert_allclose(ours_one, keras_one, **VAME)
        np.testing.assert_allclose(ours_one, xla, **VAME)


def test_with_a_gpu_bfloat16_is_by_our_scan(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["a GPU"])
    monkeypatch.setattr(BidirectionalGRU, "by_keras", None)
    made = _bidirectional(UNITS, FEATURES, "gru", keras.DTypePolicy("mixed_bfloat16"))
    assert made(tf.ones([2, 3, FEATURES]))[0].dtype == tf.bfloat16
