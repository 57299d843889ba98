"""The course text "CNN-VAE" line by line: each name of its two programs exists, and does what the
text says."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.tolerances import FLOAT32, SAME_FLOAT32, STANDARD_ERRORS
from worldmodels import MDNRNN, course, tf1

pytestmark = pytest.mark.eager

# --- the Keras program ---

CONSTANTS = {
    "INPUT_DIM": (64, 64, 3),
    "CONV_FILTERS": [32, 64, 64, 128],
    "CONV_KERNEL_SIZES": [4, 4, 4, 4],
    "CONV_STRIDES": [2, 2, 2, 2],
    "CONV_ACTIVATIONS": ["relu", "relu", "relu", "relu"],
    "DENSE_SIZE": 1024,
    "CONV_T_FILTERS": [64, 64, 32, 3],
    "CONV_T_KERNEL_SIZES": [5, 5, 6, 6],
    "CONV_T_STRIDES": [2, 2, 2, 2],
    "CONV_T_ACTIVATIONS": ["relu", "relu", "relu", "sigmoid"],
    "Z_DIM": 32,
    "EPOCHS": 1,
    "BATCH_SIZE": 32,
}
METHODS = {  # of the class: its arguments
    "_build": [],
    "set_weights": ["filepath"],
    "train": ["data", "validation_split"],
    "save_weights": ["filepath"],
    "generate_rnn_data": ["obs_data", "action_data"],
}
TINY = dict(
    CONV_FILTERS=[2, 3, 3, 4], CONV_T_FILTERS=[3, 3, 2, 3], DENSE_SIZE=8, Z_DIM=5, BATCH_SIZE=4
)


def frames(count, seed=0):
    return np.random.default_rng(seed).random((count, 64, 64, 3), np.float32)


@pytest.fixture
def tiny(monkeypatch):
    """The course's program with small constants, as a reader would change them."""
    for name, value in TINY.items():
        monkeypatch.setattr(course, name, value)
    keras.utils.set_random_seed(0)
    return course.ConvVAE()


def arguments_of(method):
    return [name for name in inspect.signature(method).parameters if name != "self"]


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants(name):
    assert getattr(course, name) == CONSTANTS[name]


@pytest.mark.parametrize("name", METHODS)
def test_methods_and_arguments(name):
    assert arguments_of(getattr(course.ConvVAE, name)) == METHODS[name]


def test_the_class_takes_no_arguments_and_train_keeps_a_fifth_by_default():
    assert arguments_of(course.ConvVAE) == []
    assert inspect.signature(course.ConvVAE.train).parameters["validation_split"].default == 0.2


def test_sampling_is_the_mean_and_scaled_normal_numbers():
    mean, log_var = np.full((2000, 2), 3.0, np.float32), np.full((2000, 2), np.log(4.0), np.float32)
    z = course.sampling([mean, log_var]).numpy()
    assert abs(z.mean() - 3.0) < STANDARD_ERRORS * 2.0 / 4000**0.5
    assert abs(z.std() - 2.0) < STANDARD_ERRORS * 2.0 / 8000**0.5
    np.testing.assert_array_equal(course.sampling([mean, np.full_like(mean, -np.inf)]), mean)


def test_the_models_and_what_they_give(tiny):
    assert (tiny.model, tiny.encoder, tiny.decoder) == tiny.models
    assert tiny.input_dim == (64, 64, 3) and tiny.z_dim == 5 and tiny.model.compiled
    x = frames(3)
    z, again = (tiny.encoder.predict(x, verbose=0) for _ in range(2))
    assert z.shape == (3, 5) and np.abs(z - again).min() > 0  # drawn again
    pictures = tiny.decoder.predict(z, verbose=0)
    assert pictures.shape == x.shape and 0.0 <= pictures.min() < 0.5 < pictures.max() <= 1.0
    np.testing.assert_allclose(pictures, tiny.model.decode(z), **SAME_FLOAT32)
    assert tiny.model.predict(x, verbose=0).shape == x.shape
    bytes_, floats = (
        np.round(x * 255).astype(np.uint8),
        (np.round(x * 255) / 255).astype(np.float32),
    )
    tiny.encoder._seeds = keras.random.SeedGenerator(1)
    first = tiny.encoder(bytes_)
    tiny.encoder._seeds = keras.random.SeedGenerator(1)
    np.testing.assert_allclose(first, tiny.encoder(floats), **SAME_FLOAT32)
    with pytest.raises(
        ValueError, match=r"frames: expected floats in \[0, 1\], got values from 0 to 255"
    ):
        tiny.encoder.predict(np.array([0.0, 255.0]).repeat(6144).reshape(1, 64, 64, 3))
    data = tf.data.Dataset.from_tensors(np.full((1, 64, 64, 3), 255, np.float32))
    with pytest.raises(ValueError, match=r"frames: expected floats in \[0, 1\]"):
        tiny.encoder.predict(data, verbose=0)
    assert tiny.encoder.predict(data.map(lambda x: x / 255), verbose=0).shape == (1, 5)


def test_the_walk_from_frames_to_the_memory_model(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = tiny.model.get_weights()
    tiny.train(frames(8), validation_split=0.25)
    assert any(
        np.abs(a - b).max() > 0 for a, b in zip(before, tiny.model.get_weights(), strict=True)
    )
    assert (tmp_path / "vae" / "weights.h5").is_file()
    tiny.save_weights("copy.h5")
    other = course.ConvVAE()
    other.set_weights("vae/weights.h5")
    np.testing.assert_array_equal(
        other.model.reconstruct(frames(2)), tiny.model.reconstruct(frames(2))
    )
    actions = [np.arange(6.0), np.arange(6.0)]
    rnn_input, rnn_output = tiny.generate_rnn_data([frames(6, 1), frames(6, 2)], actions)
    assert rnn_input.shape == (2, 5, 5 + 1) and rnn_output.shape == (2, 5, 5)
    assert "Rnn inputs size: (2, 5, 6)  Rnn outputs size: (2, 5, 5)" in capsys.readouterr().out
    np.testing.assert_array_equal(rnn_input[:, 1:, :5], rnn_output[:, :-1])
    memory = MDNRNN(z_size=5, action_size=1, rnn_size=4, num_mixtures=2)
    memory.compile(optimizer=keras.optimizers.Adam(0.05))
    history = memory.fit(rnn_input, rnn_output, epochs=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("CONV_STRIDES", [1, 2, 2, 2], r"CONV_STRIDES: expected \[2, 2, 2, 2\]"),
        ("CONV_T_STRIDES", [1, 2, 2, 2], "CONV_T_STRIDES: expected"),
        ("CONV_ACTIVATIONS", ["tanh"] * 4, "CONV_ACTIVATIONS: expected"),
        ("CONV_T_ACTIVATIONS", ["relu"] * 4, "CONV_T_ACTIVATIONS: expected .*sigmoid"),
        (
            "CONV_T_FILTERS",
            [64, 64, 32, 1],
            "CONV_T_FILTERS: expected the last to be the channels, 3",
        ),
        ("Z_DIM", 0, "z_size: expected an integer"),
    ],
)
def test_constants_that_cannot_be_kept_are_refused(monkeypatch, name, value, message):
    monkeypatch.setattr(course, name, value)
    with pytest.raises(ValueError, match=message):
        course.ConvVAE()


# --- the TensorFlow program ---

ARGUMENTS = dict(
    z_size=32,
    batch_size=1,
    learning_rate=0.0001,
    kl_tolerance=0.5,
    is_training=False,
    reuse=False,
    gpu_mode=False,
)
TENSORS = ("mu", "logvar", "sigma", "epsilon", "z", "y", "r_loss", "kl_loss", "loss")
TRAINING = ("optimizer", "lr", "global_step")
LAYERS = (
    "enc_conv1",
    "enc_conv2",
    "enc_conv3",
    "enc_conv4",
    "enc_fc_mu",
    "enc_fc_log_var",
    "dec_fc",
    "dec_deconv1",
    "dec_deconv2",
    "dec_deconv3",
    "dec_deconv4",
)


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(0)
    return tf1.ConvVAE(z_size=3, batch_size=2, is_training=True)


def test_arguments_and_their_defaults():
    parameters = inspect.signature(tf1.ConvVAE).parameters
    assert {name: parameter.default for name, parameter in parameters.items()} == ARGUMENTS


def test_attributes(trained):
    for name in ARGUMENTS:
        assert (
            getattr(trained, name)
            == (ARGUMENTS | dict(z_size=3, batch_size=2, is_training=True))[name]
        )
    for name in TRAINING:
        assert getattr(trained, name) is not None
    assert "CPU" in trained.model.trainable_variables[0].value.device  # gpu_mode=False


def test_tensors_of_the_graph_are_values_for_frames(trained):
    x = frames(2)
    values = trained.run(x)
    assert values._fields == TENSORS
    np.testing.assert_allclose(values.sigma, np.exp(values.logvar / 2.0), **SAME_FLOAT32)
    np.testing.assert_allclose(values.z, values.mu + values.sigma * values.epsilon, **SAME_FLOAT32)
    np.testing.assert_allclose(values.y, trained.decode(values.z), **SAME_FLOAT32)
    np.testing.assert_allclose(
        values.r_loss, np.square(x - values.y).sum((1, 2, 3)).mean(), **FLOAT32
    )
    kl = -0.5 * np.sum(1 + values.logvar - np.square(values.mu) - np.exp(values.logvar), 1)
    np.testing.assert_allclose(values.kl_loss, np.maximum(kl, 0.5 * 3).mean(), **FLOAT32)
    np.testing.assert_allclose(values.loss, values.r_loss + values.kl_loss, **FLOAT32)
    mu, logvar = trained.encode_mu_logvar(x)
    np.testing.assert_allclose(mu, values.mu, **SAME_FLOAT32)
    np.testing.assert_allclose(logvar, values.logvar, **SAME_FLOAT32)
    assert (
        trained.encode(x).shape == (2, 3)
        and np.abs(trained.encode(x) - trained.encode(x)).max() > 0
    )


def test_train_op_takes_a_step(trained):
    before, start = trained.model.get_weights(), int(trained.global_step)
    losses = trained.train_op(frames(2))
    assert losses._fields == ("loss", "r_loss", "kl_loss") and int(trained.global_step) == start + 1
    np.testing.assert_allclose(losses.loss, losses.r_loss + losses.kl_loss, **FLOAT32)
    moved = np.abs(before[0] - trained.model.get_weights()[0]).max()
    np.testing.assert_allclose(moved, float(trained.lr), **FLOAT32)  # Adam's first step
    with pytest.raises(ValueError, match="x: expected batch_size=2 frames, got 3"):
        trained.train_op(frames(3))


@pytest.mark.slow
def test_weights_as_lists_files_and_random_numbers(trained, tmp_path):
    params, shapes, names = trained.get_model_params()
    assert [name.split("/")[1] for name in names[::2]] == list(LAYERS)
    assert shapes[0] == (4, 4, 3, 32) and all(name.startswith("conv_vae/") for name in names)
    other, x = tf1.ConvVAE(z_size=3), frames(1)
    other.set_model_params(params)
    trained.save_json(tmp_path / "vae.json")
    third = tf1.ConvVAE(z_size=3)
    third.load_json(tmp_path / "vae.json")
    np.testing.assert_array_equal(third.encode_mu_logvar(x), other.encode_mu_logvar(x))
    trained.save_model(tmp_path)
    other.load_checkpoint(tmp_path)
    np.testing.assert_array_equal(other.encode_mu_logvar(x), trained.encode_mu_logvar(x))
    assert [array.shape for array in other.get_random_model_params()] == shapes
    other.set_random_params(0.01)
    assert np.abs(np.subtract(other.encode_mu_logvar(x), trained.encode_mu_logvar(x))).max() > 0
    assert inspect.signature(other.save_json).parameters["jsonfile"].default == "vae.json"
    with pytest.raises(ValueError, match="params: 3 arrays, the model has 22"):
        other.set_model_params(params[:3])


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(reuse=True), "reuse: expected False, weights belong to a model"),
        (dict(batch_size=0), "batch_size: expected an integer of at least 1"),
        (dict(learning_rate=-1.0), "learning_rate: expected a number of at least 0"),
        (dict(z_size="32"), "z_size: expected an integer of at least 1, got '32'"),
        pytest.param(
            dict(gpu_mode=True),
            "gpu_mode: expected False, TensorFlow finds no GPU",
            marks=pytest.mark.skipif(
                bool(tf.config.list_physical_devices("GPU")), reason="there is a GPU"
            ),
        ),
    ],
)
def test_arguments_that_cannot_be_kept_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        tf1.ConvVAE(**options)


def test_what_only_training_has():
    model = tf1.ConvVAE(z_size=3)
    for name in TRAINING:
        with pytest.raises(AttributeError, match="only a model with is_training=True"):
            getattr(model, name)
    with pytest.raises(ValueError, match="is_training=True"):
        model.train_op(frames(1))
    assert model.run(frames(1)).loss is None
