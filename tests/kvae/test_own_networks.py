"""Encoders, decoders and dynamics networks of the caller's own, and activations of any kind."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kvae
from tests.tolerances import SAME_FLOAT32

pytestmark = pytest.mark.eager

X = (np.random.default_rng(0).random((3, 4, 8, 8)) > 0.7).astype(np.float32)
MASK = np.array([[1, 1, 0, 1]] * 3, np.float32)


@keras.saving.register_keras_serializable(package="tests")
class Encoder(keras.layers.Layer):
    """Mean and raw variance side by side, of a layer with weights."""

    def __init__(self, units=4, **options):
        super().__init__(**options)
        self.units, self.dense = units, keras.layers.Dense(units)

    def build(self, input_shape):
        self.dense.build((None, int(np.prod(input_shape[1:]))))

    def call(self, frames):
        return self.dense(tf.reshape(frames, [-1, 64]))

    def get_config(self):
        return super().get_config() | {"units": self.units}


def decoder(outputs=(8, 8, 1)):
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((2,)), layers.Dense(int(np.prod(outputs))), layers.Reshape(outputs)]
    )


def stacked():
    return keras.layers.StackedRNNCells([keras.layers.LSTMCell(3), keras.layers.GRUCell(4)])


OWN = {
    "all": dict(encoder=Encoder, decoder=decoder, dynamics=stacked, learn_u=True),
    "encoder and decoder": dict(encoder=Encoder, decoder=decoder),
    "GRU": dict(dynamics=lambda: keras.layers.GRUCell(4)),
    "stacked, learned controls": dict(dynamics=stacked, learn_u=True),
}


@pytest.mark.parametrize("options", OWN.values(), ids=OWN)
@pytest.mark.graph
@pytest.mark.slow
def test_own_networks_train_impute_and_save(options, tmp_path):
    made = {name: make() if callable(make) else make for name, make in options.items()}
    model = kvae.KVAE((8, 8), num_filters=(2,), alpha_units=3, init_kf_matrices=0.5, **made)
    before = [weight.numpy().copy() for weight in model.trainable_variables]
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(X, MASK, verbose=0)
    moved = [
        np.abs(w - b).max() > 0 for w, b in zip(model.trainable_variables, before, strict=True)
    ]
    unused = [model.B.path] if not options.get("learn_u") else []
    assert [
        w.path for w, m in zip(model.trainable_variables, moved, strict=True) if not m
    ] == unused
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for ours, theirs in zip(again.impute(X, MASK), model.impute(X, MASK), strict=True):
        np.testing.assert_allclose(ours, theirs, **SAME_FLOAT32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            dict(encoder=Encoder(5)),
            r"encoder: expected outputs \[N, 2\] and \[N, 2\] for N frames, got \[\(2, 5\)\]",
        ),
        (dict(encoder="conv"), "encoder: expected a Keras layer, None or 'identity', got 'conv'"),
        (
            dict(encoder=keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])),
            "encoder: .*its call failed",
        ),
        (
            dict(decoder=decoder((8, 4, 1))),
            r"decoder: expected outputs \[N, 8, 8, 1\] for N frames, got \[\(2, 8, 4, 1\)\]",
        ),
        (dict(dynamics=keras.layers.Dense(3)), "dynamics: expected a Keras RNN cell, such as"),
        (dict(dynamics=keras.layers.GRUCell(3), K=1), "dynamics: expected None with K=1"),
        (
            dict(dynamics=keras.layers.GRUCell(3), learn_u=True),
            "dynamics: expected a cell with an even number",
        ),
        (
            dict(dynamics=keras.layers.GRUCell(3, dropout=0.5)),
            "dynamics: expected a cell without dropout",
        ),
        (dict(activation="sine"), "activation: expected a name or function .* got 'sine'"),
        (
            dict(alpha_activation=3),
            "alpha_activation: expected a name or function that keras.activations.get accepts",
        ),
    ],
)
def test_networks_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        kvae.KVAE((8, 8), num_filters=(2,), alpha_units=3, **options)


def test_activations_are_what_keras_knows():
    for activation in ("ReLU", "swish", keras.activations.gelu):
        model = kvae.KVAE((8, 8), num_filters=(2,), alpha_units=3, activation=activation)
        again = kvae.KVAE.from_config(model.get_config())
        assert again.get_config() == model.get_config()
        wanted = keras.activations.get(
            activation.lower() if isinstance(activation, str) else activation
        )
        assert again.frame_vae.encoder.get_layer("conv_1").activation is wanted


def test_layers_of_an_own_encoder_are_in_training_mode_in_fit_alone():
    inputs = keras.Input((8, 8, 1))
    normalised = keras.layers.BatchNormalization(name="normalised")(keras.layers.Flatten()(inputs))
    encoder = keras.Model(
        inputs, [keras.layers.Dense(2)(normalised), keras.layers.Dense(2)(normalised)]
    )
    model = kvae.KVAE((8, 8), num_filters=(2,), alpha_units=3, encoder=encoder)
    model.compile("sgd", run_eagerly=True)
    moving = encoder.get_layer("normalised").moving_mean
    model.evaluate(X, verbose=0)
    assert np.abs(moving.numpy()).max() == 0
    model.fit(X, verbose=0)
    assert np.abs(moving.numpy()).max() > 0
