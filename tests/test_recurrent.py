"""seqvae/recurrent.py: where Keras' recurrent layers compute in cuDNN. Without a GPU they never do:
the tests look at what Keras was set to."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kvae
import vrae
import worldmodels
from seqvae import recurrent


@pytest.fixture
def cudnn(monkeypatch):
    """`use_cudnn` of every recurrent layer that ran."""
    found = []
    for kind in (keras.layers.LSTM, keras.layers.GRU):

        def inner_loop(self, *args, before=kind.inner_loop, **options):
            found.append(self.use_cudnn)
            return before(self, *args, **options)

        monkeypatch.setattr(kind, "inner_loop", inner_loop)
    return found


def layer(kind):
    made = kind(2, return_sequences=True)
    made = keras.layers.Bidirectional(made) if kind is keras.layers.GRU else made
    made.build((None, None, 3))
    return made


@pytest.mark.parametrize("kind", [keras.layers.LSTM, keras.layers.GRU])
def test_a_layer_may_use_cudnn_unless_xla_compiles_it_or_it_is_to_run_anywhere(cudnn, kind):
    made, x = layer(kind), tf.ones([1, 4, 3])

    def run(x):
        return recurrent.run_layer(made, x)

    plain = run(x)
    assert set(cudnn) == {"auto"}
    tf.function(run)(x)
    assert set(cudnn) == {"auto"}
    cudnn.clear()
    compiled = tf.function(run, jit_compile=True)(x)
    assert set(cudnn) == {False}
    with recurrent.without_cudnn():
        run(x)
    assert set(cudnn) == {False}
    np.testing.assert_allclose(plain, compiled, rtol=1e-5)
    cudnn.clear()
    run(x)
    assert set(cudnn) == {"auto"}


@pytest.mark.slow
def test_a_verb_that_ran_before_is_traced_again_for_xla(cudnn):
    model, _ = MODELS["kvae"]()
    a = tf.zeros([2, 3, 2])
    model.smooth(a, check_finite=False)
    assert set(cudnn) == {"auto"}
    cudnn.clear()
    smoothed = tf.function(lambda: model.smooth(a, check_finite=False).mean, jit_compile=True)
    smoothed.get_concrete_function()
    assert set(cudnn) == {False}


MODELS = {
    "kvae": lambda: (
        kvae.KVAE((8, 8), num_filters=(2,), alpha_units=2),
        {"frames": np.zeros((2, 3, 8, 8), np.float32)},
    ),
    "mdn_rnn": lambda: (
        worldmodels.MDNRNN(z_size=2, action_size=0, rnn_size=3),
        {"z": np.zeros((2, 3, 2), np.float32)},
    ),
    "vrae": lambda: (
        vrae.VRAE(2, rnn_size=3, z_size=2),
        {"sequences": np.zeros((2, 3, 2), np.float32)},
    ),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.slow
def test_the_loss_of_every_model_can_be_compiled(cudnn, name):
    model, batch = MODELS[name]()
    batch = {key: tf.constant(value) for key, value in batch.items()}
    seed = tf.constant([0, 0])
    tf.function(lambda: model.loss_terms(batch, seed=seed)[0]).get_concrete_function()
    assert set(cudnn) == {"auto"}
    cudnn.clear()
    compiled = tf.function(lambda: model.loss_terms(batch, seed=seed)[0], jit_compile=True)
    compiled.get_concrete_function()
    assert set(cudnn) == {False}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_an_exported_model_needs_no_gpu(cudnn, tmp_path, name):
    model, batch = MODELS[name]()
    (x,) = batch.values()
    model(x)  # what it has compiled so far may be in cuDNN
    cudnn.clear()
    model.export(tmp_path / "model", verbose=False)
    assert set(cudnn) <= {False}
