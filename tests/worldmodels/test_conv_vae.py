"""`ConvVAE` as a user and as Keras sees it; the course's methods; sizes; bad input."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.tolerances import FLOAT32, SAME_FLOAT32, STANDARD_ERRORS
from worldmodels import MDNRNN, ConvVAE, Latents
from worldmodels.networks import decoded_sizes, fitting_kernels

SMALL = dict(
    z_size=3,
    image_shape=(14, 14, 2),
    filters=(3, 4),
    kernel_sizes=(4, 4),
    decoder_filters=(4,),
    decoder_kernel_sizes=(5, 6),
    dense_units=8,
)


def frames(count=5, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 14, 14, 2), dtype=np.uint8)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    return ConvVAE(**SMALL)


def test_uint8_floats_and_any_leading_axes_are_the_same_frames(model):
    x = frames(6)
    mean = model.encode(x).mean()
    np.testing.assert_allclose(model.encode(x / 255.0).mean(), mean, **SAME_FLOAT32)
    np.testing.assert_allclose(
        model.encode(x.reshape(2, 3, 14, 14, 2)).mean(), tf.reshape(mean, [2, 3, 3]), **SAME_FLOAT32
    )
    np.testing.assert_allclose(model.reconstruct(x), model.decode(mean), **SAME_FLOAT32)
    np.testing.assert_allclose(model(x), model.decode(mean), **SAME_FLOAT32)
    assert model.decode(mean).shape == x.shape


def test_samples_are_decoded_normal_numbers_and_depend_on_the_seed(model):
    a, b, c = model.sample(4, seed=1), model.sample(4, seed=1), model.sample(4, seed=2)
    np.testing.assert_array_equal(a, b)
    assert a.shape == (4, 14, 14, 2) and np.abs(a - c).max() > 0


def test_the_kl_is_tfps_and_the_floor_holds_for_each_frame(model):
    x = frames()
    q = model.encode(x)
    kl = tfp.distributions.kl_divergence(
        q, tfp.distributions.MultivariateNormalDiag(tf.zeros([5, 3]), tf.ones([5, 3]))
    )
    floored = ConvVAE(**SMALL | dict(kl_tolerance=float(np.median(kl)) / 3))
    floored.set_weights(model.get_weights())
    assert (kl < np.median(kl)).numpy().any() and (kl > np.median(kl)).numpy().any()
    np.testing.assert_allclose(
        floored.loss_terms(x).kl, np.maximum(kl, np.median(kl)).mean(), **FLOAT32
    )
    course = ConvVAE(**SMALL, architecture="course")
    course.set_weights(model.get_weights())
    np.testing.assert_allclose(course.loss_terms(x).kl, kl.numpy().mean() / 3, **FLOAT32)


def test_the_course_loss_is_ten_times_a_pixels_mean_squared_error_and_ours_their_sum(model):
    x, noise = frames(), np.zeros((5, 3), np.float32)
    error = (x / 255.0 - model.reconstruct(x).numpy()) ** 2
    course = ConvVAE(**SMALL, architecture="course")
    course.set_weights(model.get_weights())
    np.testing.assert_allclose(
        model.loss_terms(x, noise).reconstruction, error.sum() / 5, **FLOAT32
    )
    np.testing.assert_allclose(
        course.loss_terms(x, noise).reconstruction, 10 * error.mean(), **FLOAT32
    )


@pytest.mark.parametrize("architecture", ("worldmodels", "course"))
def test_it_trains_by_fit_and_saves(architecture, tmp_path):
    keras.utils.set_random_seed(0)
    model, x = ConvVAE(**SMALL, architecture=architecture), frames(12)
    model.compile(optimizer=model.optimizer_of_architecture())
    history = model.fit(x, epochs=3, batch_size=5, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] and set(history) == {
        "loss",
        "reconstruction",
        "kl",
        "total",
    }
    np.testing.assert_allclose(history["loss"], history["total"], rtol=1e-6)
    model.save(tmp_path / "vae.keras")
    again = keras.models.load_model(tmp_path / "vae.keras")
    np.testing.assert_array_equal(again.reconstruct(x), model.reconstruct(x))
    assert again.get_config() == model.get_config()


def test_mixed_precision_keeps_codes_and_losses_in_float32():
    model = ConvVAE(**SMALL, dtype="mixed_bfloat16")
    assert (
        model.encode(frames()).mean().dtype == tf.float32
        and model.loss_terms(frames()).total.dtype == tf.float32
    )


# --- sizes ---


@pytest.mark.parametrize("size", (8, 13, 28, 32, 48, 64, 84, 96, 128))
def test_the_kernels_that_an_error_recommends_fit(size):
    assert decoded_sizes(fitting_kernels(size))[-1] == size


def test_another_frame_size_gets_the_kernels_that_the_error_recommends():
    options = dict(
        image_shape=(96, 96, 1), filters=(4, 4, 4, 4), kernel_sizes=(4, 4, 4, 4), dense_units=6
    )
    with pytest.raises(
        ValueError, match=r"decoder_kernel_sizes=\(3, 5, 5, 6, 6\).*give 4 decoder_filters"
    ):
        ConvVAE(**options)
    model = ConvVAE(**options, decoder_filters=(4, 4, 4, 4), decoder_kernel_sizes=(3, 5, 5, 6, 6))
    assert model.sample(1).shape == (1, 96, 96, 1)


@pytest.mark.parametrize(
    "options, message",
    [
        (
            dict(architecture="keras"),
            "architecture: expected one of worldmodels, course, got 'keras'",
        ),
        (dict(z_size=0), "z_size: expected an integer of at least 1"),
        (dict(kl_tolerance=-1), "kl_tolerance: expected a number of at least 0"),
        (dict(image_shape=(64, 64)), r"image_shape: expected \(height, width, channels\)"),
        (dict(image_shape=(32, 32, 3)), "layer enc_conv4 .kernel 4. gets an input of height 2"),
        (dict(image_shape=(64, 60, 3)), "frames must be square"),
        (dict(filters=(3, 4)), "got 2 layers of filters .* 4 kernel sizes"),
        (dict(filters=(0, 4, 4, 4)), "filters: expected integers of at least 1, such as"),
    ],
)
def test_arguments_that_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ConvVAE(**options)


@pytest.mark.parametrize(
    "bad, message",
    [
        (np.zeros((5, 14, 14)), r"expected the shape \[..., 14, 14, 2\]"),
        (np.zeros((14, 14, 2)), r"a single frame needs a leading axis"),
        (np.full((1, 14, 14, 2), 2.0), r"expected floats in \[0, 1\], got values from 2 to 2"),
        (np.full((1, 14, 14, 2), np.nan), "frames: NaN in frame 0; expected floats in"),
        (np.zeros((1, 14, 14, 2), np.int32), "expected uint8 .* got int32"),
    ],
)
def test_frames_that_are_refused(model, bad, message):
    for verb in (model.encode, model.reconstruct, model.loss_terms):
        with pytest.raises(ValueError, match=message):
            verb(bad)


def test_codes_and_counts_that_are_refused(model):
    with pytest.raises(
        ValueError, match=r"z: expected floats of the shape \[..., 3\], got \(2, 4\)"
    ):
        model.decode(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="n: expected an integer of at least 1, got 0"):
        model.sample(0)


# --- nothing blows up ---


@pytest.mark.parametrize("kind", ("zeros", "ones", "noise"))
@pytest.mark.parametrize("scale", (1.0, 1e4))
def test_no_frames_and_no_weights_make_the_loss_or_its_gradient_infinite(kind, scale):
    keras.utils.set_random_seed(0)
    model = ConvVAE(**SMALL)
    x = {"zeros": np.zeros_like(frames()), "ones": np.full_like(frames(), 255), "noise": frames()}[
        kind
    ]
    for layer in ("enc_fc_mu", "enc_fc_log_var"):
        kernel = model.encoder.get_layer(layer).kernel
        kernel.assign(kernel * scale)
    with tf.GradientTape() as tape:
        loss = model.objective(model.loss_terms(x, seed=0))
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    assert np.isfinite(loss) and all(np.isfinite(g).all() for g in gradients)


def test_a_log_variance_beyond_its_range_comes_back(model):
    twin = ConvVAE(**SMALL)
    twin.encoder.get_layer("enc_fc_log_var").bias.assign(np.full(3, 50.0))
    optimizer, bias = keras.optimizers.SGD(1.0), twin.encoder.get_layer("enc_fc_log_var").bias
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(twin._encode(tf.constant(frames()))[1])
    gradient = tape.gradient(loss, bias.value)
    optimizer.apply([gradient], [bias])
    assert (bias.numpy() < 50.0).all()


def test_the_loss_has_the_gradient_of_finite_differences():
    keras.utils.set_random_seed(2)
    model, x = ConvVAE(**SMALL), frames(2)
    bias, noise = model.encoder.get_layer("enc_fc_log_var").bias, np.ones((2, 3), np.float32)
    with tf.GradientTape() as tape:
        loss = model.loss_terms(x, noise).reconstruction
    gradient, step = tape.gradient(loss, bias.value).numpy(), 0.02
    for i in range(3):
        values = []
        for sign in (1, -1):
            moved = np.zeros(3)
            moved[i] = sign * step
            bias.assign(moved)
            values.append(float(model.loss_terms(x, noise).reconstruction))
        np.testing.assert_allclose(
            (values[0] - values[1]) / (2 * step), gradient[i], rtol=0.05, atol=5e-3
        )


# --- the course's methods ---


@pytest.mark.slow
def test_train_is_fit_with_the_courses_early_stop(model):
    twin = ConvVAE(**SMALL, architecture="course")
    history = twin.train(frames(10), epochs=40, batch_size=4, verbose=0)
    assert "val_loss" in history.history and len(history.history["loss"]) <= 40
    still = ConvVAE(**SMALL, architecture="course")
    still.compile(optimizer=keras.optimizers.SGD(0.0))
    assert (
        len(still.train(frames(10), epochs=40, verbose=0).history["loss"]) <= 12
    )  # noise alone stops it


def test_weights_go_through_files_of_any_h5_name_and_through_lists(model, tmp_path):
    x, other = frames(), ConvVAE(**SMALL)
    model.save_weights(tmp_path / "vae" / "weights.h5")
    assert [p.name for p in (tmp_path / "vae").iterdir()] == ["weights.h5"]
    other.set_weights(str(tmp_path / "vae" / "weights.h5"))
    np.testing.assert_array_equal(other.reconstruct(x), model.reconstruct(x))
    third = ConvVAE(**SMALL)
    third.set_weights(model.get_weights())
    np.testing.assert_array_equal(third.reconstruct(x), model.reconstruct(x))


def test_weights_that_the_courses_keras_2_program_saved_are_read(tmp_path):
    import tf_keras
    from tf_keras.layers import Conv2D, Conv2DTranspose, Dense, Flatten, Input, Lambda, Reshape

    x = hidden = Input((64, 64, 3))
    for filters in (32, 64, 64, 128):
        hidden = Conv2D(filters, 4, strides=2, activation="relu")(hidden)
    hidden = Flatten()(hidden)
    mean, log_var = Dense(32)(hidden), Dense(32)(hidden)
    y = Reshape((1, 1, 1024))(Dense(1024)(Lambda(lambda pair: pair[0])([mean, log_var])))
    for filters, size, activation in (
        (64, 5, "relu"),
        (64, 5, "relu"),
        (32, 6, "relu"),
        (3, 6, "sigmoid"),
    ):
        y = Conv2DTranspose(filters, size, strides=2, activation=activation)(y)
    theirs, ours = tf_keras.Model(x, [y, mean, log_var]), ConvVAE(architecture="course")
    theirs.save_weights(tmp_path / "weights.h5")
    ours.set_weights(tmp_path / "weights.h5")
    pictures = np.random.default_rng(0).random((2, 64, 64, 3)).astype(np.float32)
    expected = [value.numpy() for value in theirs(pictures)]
    q = ours.encode(pictures)
    np.testing.assert_allclose(q.mean(), expected[1], **SAME_FLOAT32)
    np.testing.assert_allclose(2 * np.log(q.stddev()), expected[2], **SAME_FLOAT32)
    np.testing.assert_allclose(ours.reconstruct(pictures), expected[0], **SAME_FLOAT32)


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_weight_files_that_are_refused(model, tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.h5, got .w\.npz."):
        model.save_weights(tmp_path / "w.npz")
    model.save_weights(tmp_path / "w.h5")
    with pytest.raises(ValueError, match="exists already"):
        model.save_weights(tmp_path / "w.h5", overwrite=False)
    with pytest.raises(FileNotFoundError, match="no such file of weights"):
        model.set_weights(tmp_path / "none.h5")
    whole = (tmp_path / "w.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.h5").write_text("no weights")
    ConvVAE(**SMALL | dict(z_size=5)).save_weights(tmp_path / "other.h5")
    MDNRNN(z_size=2, action_size=1, rnn_size=2, num_mixtures=2).save_weights(
        tmp_path / "rnn.weights.h5"
    )
    before = model.get_weights()
    for name in ("cut", "text", "other", "rnn.weights"):
        with pytest.raises(ValueError, match=rf"{name}\.h5: damaged, or weights of another model"):
            model.set_weights(tmp_path / f"{name}.h5")
        for a, b in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("width", (1, 3))
def test_rnn_data_keeps_each_frames_action(model, width):
    obs = [frames(4, seed) for seed in range(3)]
    actions = np.arange(12 * width, dtype=np.float32).reshape(3, 4, width)
    data = model.generate_rnn_data(obs, actions, seed=0)
    assert data.inputs.shape == (3, 3, 3 + width) and data.outputs.shape == (3, 3, 3)
    np.testing.assert_array_equal(data.inputs[..., 3:], actions[:, :-1])
    np.testing.assert_array_equal(data.inputs[:, 1:, :3], data.outputs[:, :-1])
    np.testing.assert_array_equal(
        model.generate_rnn_data(obs, actions, seed=0).outputs, data.outputs
    )
    if width == 1:  # the course's own shape
        np.testing.assert_array_equal(
            model.generate_rnn_data(obs, actions[..., 0], seed=0).inputs, data.inputs
        )


def test_rnn_data_is_drawn_from_the_codes(model):
    obs, actions = [frames(2, 7)] * 400, np.zeros((400, 2, 1))
    latents = model.generate_rnn_data(obs[:1], actions[:1], sample=False)
    assert isinstance(latents, Latents) and latents.mean.shape == (1, 2, 3)
    z = model.generate_rnn_data(obs, actions, seed=3).outputs[:, 0]
    error = np.exp(latents.logvar[0, 1] / 2) / 20
    assert (np.abs(z.mean(0) - latents.mean[0, 1]) < STANDARD_ERRORS * error).all()
    np.testing.assert_allclose(z.std(0), np.exp(latents.logvar[0, 1] / 2), rtol=0.25)


def test_episodes_of_different_lengths_stay_apart(model):
    data = model.generate_rnn_data([frames(4), frames(3)], [np.zeros((4, 2)), np.zeros((3, 2))])
    assert [len(part) for part in data.inputs] == [3, 2]


@pytest.mark.parametrize(
    "obs, actions, message",
    [
        ([frames(3)], [], "0 episodes of actions for 1 of frames"),
        ([frames(3)], [np.zeros(4)], r"episode 0 has 3 frames and actions of the shape \(4, 1\)"),
        ([frames(3)], [np.zeros((3, 2, 2))], r"actions of the shape \(3, 2, 2\)"),
        ([frames(1)], [np.zeros(1)], "episode 0 has one step"),
        (
            [frames(3), frames(3)],
            [np.zeros((3, 1)), np.zeros((3, 2))],
            "actions of different widths",
        ),
    ],
)
def test_episodes_that_are_refused(model, obs, actions, message):
    with pytest.raises(ValueError, match=message):
        model.generate_rnn_data(obs, actions)
