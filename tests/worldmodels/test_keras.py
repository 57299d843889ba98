"""`ConvVAE` and `MDNRNN` as Keras models: batches, weights of sequences, float types, export,
user's layers, arguments."""

import copy
import logging
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.tolerances import MIXED_STEPS, SAME_FLOAT32
from worldmodels import MDNRNN, ConvVAE, RNNData

pytestmark = pytest.mark.eager

VAE = dict(
    z_size=3,
    image_shape=(14, 14, 2),
    filters=(3, 4),
    kernel_sizes=(4, 4),
    decoder_filters=(4,),
    decoder_kernel_sizes=(5, 6),
    dense_units=8,
)
RNN = dict(z_size=3, action_size=2, rnn_size=6, num_mixtures=4)
HEADS = dict(predict_done=True, predict_reward=True)


def frames(count=6, seed=0):
    return np.random.default_rng(seed).random((count, 14, 14, 2), np.float32)


def sequences(count=4, steps=5, seed=0):
    return np.random.default_rng(seed).standard_normal((count, steps, 5), np.float32)


def episodes(**more):
    x = sequences()
    return {"z": x[..., :3], "actions": x[..., 3:]} | more


MODELS = {
    "vae": (lambda **o: ConvVAE(**VAE | o), frames),
    "rnn": (lambda **o: MDNRNN(**RNN | o), sequences),
}


@pytest.fixture(scope="module")
def vae():
    keras.utils.set_random_seed(1)
    return compiled(ConvVAE(**VAE))


@pytest.fixture(scope="module")
def rnn():
    keras.utils.set_random_seed(1)
    return compiled(MDNRNN(**RNN))


def compiled(model, **options):
    model.compile(optimizer=keras.optimizers.SGD(1e-3), **options)
    return model


def outputs(value):
    return [np.asarray(part) for part in tf.nest.flatten(value) if part is not None]


def assert_same(found, expected, **tolerance):
    for a, b in zip(outputs(found), outputs(expected), strict=True):
        np.testing.assert_allclose(a, b, **tolerance or SAME_FLOAT32)


# --- what a batch may be ---


@pytest.mark.slow
def test_frames_as_array_dict_pair_and_dataset_are_the_same(vae):
    x = frames()
    forms = [
        (x,),
        ({"frames": x},),
        (x, x),
        (x, x.copy()),
        (tf.data.Dataset.from_tensor_slices((x, x)).batch(4),),
    ]
    for form in forms:
        assert set(vae.evaluate(*form, return_dict=True, verbose=0)) == {
            "loss",
            "reconstruction",
            "kl",
            "total",
        }
        assert_same(vae.predict(form[0], verbose=0), vae.reconstruct(x))


def test_sequences_as_array_and_dict_are_the_same_and_predict_reads_the_dict_of_fit(rnn):
    x = sequences()
    expected = rnn(x)
    mask = np.ones((4, 5), bool)
    for form in (
        x,
        episodes(),
        episodes(mask=mask),
        {"mean": x[..., :3], "logvar": x[..., :3], "actions": x[..., 3:]},
    ):
        rnn.fit(form, verbose=0, epochs=0)
        assert_same(rnn.predict(form, verbose=0), expected)
    assert_same(rnn.evaluate(x, verbose=0), rnn.evaluate(episodes(), verbose=0))


def test_predict_reads_the_mask(rnn):
    mask = np.ones((4, 5), np.float32)
    mask[0, 3:] = 0
    found = rnn.predict(episodes(mask=mask), verbose=0)
    assert_same(found.state, rnn(sequences(), mask=mask).state)
    assert_same(
        [part[0] for part in found.state], [part[0] for part in rnn(sequences()[:1, :3]).state]
    )


def test_pairs_of_inputs_and_outputs_train_the_next_z_of_every_step(rnn):
    x = sequences(steps=6)
    pair = x[:, :-1], x[:, 1:, :3]
    whole = rnn.evaluate(x, verbose=0)
    for data in (
        pair,
        (RNNData(*pair),),
        (RNNData(*map(list, pair)),),
        (tf.data.Dataset.from_tensors(pair),),
    ):
        assert_same(rnn.evaluate(*data, verbose=0), whole)


def test_lists_of_episodes_of_different_lengths_are_padded_with_a_mask(rnn):
    long, short = sequences(1, 6)[0], sequences(1, 4, seed=1)[0]
    inputs, outputs = [long[:-1], short[:-1]], [long[1:, :3], short[1:, :3]]
    each = [rnn.evaluate(x[None], verbose=0)[0] for x in (long, short)]
    np.testing.assert_allclose(
        rnn.evaluate(inputs, outputs, verbose=0)[0], np.dot(each, [5, 3]) / 8, **SAME_FLOAT32
    )
    found = rnn.predict(inputs, verbose=0)
    assert_same(found.mean[1, :3], rnn(short[None, :-1]).mean[0])


def test_what_lies_under_a_mask_may_be_nan(rnn):
    batch = {
        name: value.copy() for name, value in episodes(mask=np.ones((4, 5), np.float32)).items()
    }
    batch["mask"][1, 3:] = 0
    expected = rnn.evaluate(batch, verbose=0)
    for name in ("z", "actions"):
        batch[name][1, 3:] = np.nan
    assert_same(rnn.evaluate(batch, verbose=0), expected)


@pytest.mark.parametrize("architecture", ("worldmodels", "course"))
def test_a_frame_of_weight_0_counts_as_if_it_were_left_out(architecture):
    model, noise = ConvVAE(**VAE, architecture=architecture), np.ones((6, 3))
    x, weight = frames(), np.array([1, 1, 1, 1, 0, 0], np.float32)
    batch = {"frames": x, "sample_weight": weight}
    assert_same(model.loss_terms(batch, noise), model.loss_terms(x[:4], noise[:4]))
    assert model.count(batch) == 4 and model.count({"frames": x}) == 6
    twice = {"frames": x, "sample_weight": weight + weight * [1, 0, 0, 0, 0, 0]}
    assert_same(model.loss_terms(twice, noise), model.loss_terms(x[[0, 0, 1, 2, 3]], noise[:5]))


def test_a_sequence_of_weight_0_counts_as_if_it_were_left_out():
    model = MDNRNN(**RNN, **HEADS)
    data = episodes(
        done=np.eye(4, 5), rewards=np.ones((4, 5)), sample_weight=np.array([1.0, 0, 1, 0])
    )
    kept = {name: value[::2] for name, value in data.items()}
    assert_same(model.loss_terms(data), model.loss_terms(kept))
    assert model.count(data) == model.count(kept) == 8
    compiled(model)
    weights = data.pop("sample_weight")
    kept.pop("sample_weight")
    by_argument = model.evaluate(
        data, sample_weight=weights, batch_size=3, verbose=0
    )  # the last batch counts nothing
    assert_same(by_argument, model.evaluate(kept, verbose=0))


# --- checks ---

ONES, BAD_FRAMES, BAD_Z = np.ones((4, 5)), frames(), sequences()
BAD_FRAMES[4, 2, 3, 1], BAD_Z[2, 1, 0] = np.nan, np.nan


@pytest.mark.parametrize(
    "batch, message",
    [
        (frames() * 2, r"frames: expected floats in \[0, 1\], got values from"),
        (BAD_FRAMES, "frames: NaN in frame 4"),
        (frames()[:, 1:], r"frames: expected the shape \[..., 14, 14, 2\]"),
        ({"frame": frames()}, "frame: unknown in a batch, which may have frames, sample_weight"),
        ({}, "frames: missing in a batch of nothing"),
        (
            {"frames": frames(), "sample_weight": -np.ones(6)},
            "sample_weight: expected finite numbers of at least 0",
        ),
        (
            {"frames": frames(), "sample_weight": np.ones((6, 2))},
            "sample_weight: expected one weight for each",
        ),
    ],
)
def test_frames_that_fit_evaluate_and_predict_refuse(vae, batch, message):
    for method in (vae.fit, vae.evaluate, vae.predict):
        with pytest.raises(ValueError, match=message):
            method(batch, verbose=0)


@pytest.mark.parametrize(
    "batch, message",
    [
        (BAD_Z, "z: NaN or infinity in sequence 2; expected finite numbers"),
        (sequences()[..., 1:], r"inputs: expected floats of the shape \[..., 5\], got \(4, 5, 4\)"),
        (
            {"z": sequences()[..., :3]},
            "actions: missing in a batch of z. This model takes z .or mean and logvar., actions",
        ),
        ({"mean": ONES, "actions": ONES}, "logvar: missing in a batch of mean, actions"),
        ({"actions": ONES}, "z: missing in a batch of actions"),
        (episodes(action=ONES), "action: unknown in a batch, which may have z, mean"),
        (
            episodes(actions=np.ones((4, 5, 3))),
            r"actions: expected floats of the shape \[B, T, 2\], got \(4, 5, 3\)",
        ),
        (
            episodes(actions=np.ones((4, 4, 2))),
            "actions: expected 4 sequences of 5 steps as in z, got 4 of 4",
        ),
        (episodes(mask=ONES * 2), "mask: expected 1 .a step. and 0 .padding. only"),
        (episodes(mask=ONES * 0), "mask: no step is left to predict"),
        (
            episodes(mask=1 - np.eye(4, 5)),
            "mask: expected padding .0. after a sequence's last step only",
        ),
        (episodes(mask=ONES[0]), "expected arrays of equal length, .* got .* mask of 5"),
        (episodes(done=ONES * 0.5), "done: expected 1 .the episode ended. and 0 only"),
        (episodes(rewards=ONES * np.inf), "rewards: NaN or infinity in sequence 0"),
        (
            [sequences()[0], sequences()[1, :, :4]],
            r"inputs, episode 1: expected floats of the shape \[..., 5\]",
        ),
    ],
)
def test_sequences_that_fit_evaluate_and_predict_refuse(rnn, batch, message):
    for method in (rnn.fit, rnn.evaluate, rnn.predict):
        with pytest.raises(ValueError, match=message):
            method(copy.copy(batch), verbose=0)


def test_a_head_without_its_target_is_named():
    with pytest.raises(ValueError, match="done, rewards: missing in a batch of z, actions"):
        compiled(MDNRNN(**RNN, **HEADS)).fit(episodes(), verbose=0)


def test_a_bad_batch_of_a_dataset_is_named(vae, rnn):
    data = tf.data.Dataset.from_tensor_slices(BAD_FRAMES).batch(2)
    with pytest.raises(ValueError, match="frames: NaN in frame 0 of batch 2"):
        vae.fit(data, verbose=0)
    with pytest.raises(ValueError, match="z: NaN or infinity in sequence 0 of batch 2"):
        rnn.fit(tf.data.Dataset.from_tensor_slices(BAD_Z).batch(1), verbose=0)


def test_uint8_frames_of_0_and_1_are_warned_of_and_bools_are_0_and_1(vae):
    binary = frames() > 0.5
    with pytest.warns(UserWarning, match="got no value above 1, which is nearly black"):
        vae.evaluate(binary.astype(np.uint8), verbose=0)
    assert_same(vae.reconstruct(binary), vae.reconstruct(binary.astype(np.float32)))


def test_another_target_and_a_mask_of_frames_are_refused(vae):
    with pytest.raises(ValueError, match="y: expected frames again"):
        vae.fit(frames(), frames(seed=1), verbose=0)
    with pytest.raises(
        ValueError, match="mask: expected none, a ConvVAE encodes each frame separately"
    ):
        vae(frames(), mask=np.ones(6))


# --- float types ---


@pytest.mark.slow  # tests/test_every_model.py has it for every model
@pytest.mark.parametrize("name", MODELS)
def test_float64_where_the_policy_or_floatx_says_so(name):
    make, data = MODELS[name]
    for how in ("policy", "floatx"):
        keras.config.set_floatx("float64" if how == "floatx" else "float32")
        keras.config.set_dtype_policy(keras.config.floatx())
        try:
            model = make(dtype="float64" if how == "policy" else None)
            assert {v.dtype for v in model.trainable_variables} == {"float64"}
            results = [model(data()), model.loss_terms(model.batch_of(data()))]
            if name == "rnn":
                results.append(model.dream(np.zeros((1, 3)), actions=np.zeros((1, 2, 2)))[:2])
                results += [
                    model.step(np.zeros((1, 3)), np.zeros((1, 2))),
                    model.sample(*np.zeros((3, 1, 3, 4))),
                ]
            else:
                results += [
                    model.encode(data()).mean(),
                    model.sample(1),
                    model.decode(np.zeros((1, 3))),
                ]
            assert {part.dtype for part in outputs(results)} == {np.dtype("float64")}
        finally:
            keras.config.set_floatx("float32")
            keras.config.set_dtype_policy("float32")


@pytest.mark.slow  # tests/test_every_model.py has it for every model
@pytest.mark.parametrize("name", MODELS)
def test_the_same_steps_in_three_precisions_move_the_weights_alike(name):
    make, data = MODELS[name]
    moves = []
    for policy in ("float32", "mixed_bfloat16", "mixed_float16"):
        keras.utils.set_random_seed(3)
        model = make(dtype=policy, seed=1)
        before = [v.numpy() for v in model.trainable_variables]
        compiled(model)
        model.fit(data(), epochs=3, batch_size=8, shuffle=False, verbose=0)
        moved = [v.numpy() - b for v, b in zip(model.trainable_variables, before, strict=True)]
        moves.append(np.concatenate([m.ravel() for m in moved]))
    for other in moves[1:]:
        assert np.linalg.norm(other - moves[0]) < MIXED_STEPS * np.linalg.norm(moves[0])


@pytest.mark.slow  # tests/test_every_model.py has it for every model
@pytest.mark.parametrize("policy", ("mixed_bfloat16", "mixed_float16"))
def test_predict_comes_first_in_a_fresh_process(policy):
    program = f"""
import numpy as np
from worldmodels import MDNRNN, ConvVAE
for model, x in ((ConvVAE(**{VAE}, dtype="{policy}"), np.ones((2, 14, 14, 2))),
                 (MDNRNN(**{RNN}, dtype="{policy}"), np.ones((2, 4, 5)))):
    found = model.predict(x, verbose=0)
    found = found if isinstance(found, np.ndarray) else found.logstd
    assert found.dtype == np.float32 and np.isfinite(found).all()
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_regularisers_of_layers_count(rnn):
    model = compiled(MDNRNN(**RNN))
    model.set_weights(rnn.get_weights())
    plain = model.evaluate(episodes(), verbose=0, return_dict=True)
    model.head.kernel.regularizer = keras.regularizers.L2(0.5)
    compiled(model)
    found = model.evaluate(episodes(), verbose=0, return_dict=True)
    penalty = 0.5 * np.sum(np.square(model.head.kernel))
    np.testing.assert_allclose(found["loss"], plain["loss"] + penalty, **SAME_FLOAT32)


# --- compilation, copies, export ---


@pytest.mark.slow  # tests/test_every_model.py has it for every model
@pytest.mark.parametrize("name", MODELS)
def test_compiled_by_xla_and_eagerly_the_losses_are_those_of_a_graph(name):
    make, data = MODELS[name]
    losses = []
    for options in ({}, dict(jit_compile=True), dict(run_eagerly=True)):
        keras.utils.set_random_seed(0)
        model = compiled(make(seed=0), **options)
        losses.append(
            model.fit(data(), epochs=2, batch_size=8, shuffle=False, verbose=0).history["loss"]
        )
    np.testing.assert_allclose(losses[2], losses[0], **SAME_FLOAT32)
    if name == "rnn":  # XLA draws other noise for the ConvVAE
        np.testing.assert_allclose(losses[1], losses[0], **SAME_FLOAT32)
    assert np.isfinite(losses).all()


@pytest.mark.slow  # tests/test_every_model.py has it for every model
@pytest.mark.parametrize("name", MODELS)
def test_copies_and_files_compute_the_same(name, tmp_path, vae, rnn):
    model, data = {"vae": vae, "rnn": rnn}[name], MODELS[name][1]()
    expected = model(data)
    cloned = keras.models.clone_model(model)
    cloned.set_weights(model.get_weights())
    model.save_weights(tmp_path / "a.h5")
    loaded = type(model).from_config(model.get_config())
    loaded.load_weights(tmp_path / "a.h5")
    for other in (cloned, copy.deepcopy(model), loaded):
        assert_same(other(data), expected)


@pytest.mark.graph
@pytest.mark.slow
def test_exported_models_take_any_number_and_length_and_give_names(tmp_path, vae, rnn):
    vae.export(tmp_path / "vae", verbose=False)
    served = tf.saved_model.load(tmp_path / "vae")
    assert_same(served.serve(frames(3)), vae(frames(3)))
    for model, more in ((rnn, set()), (MDNRNN(**RNN, **HEADS), {"done", "reward"})):
        model.export(tmp_path / model.name, verbose=False)
        served = tf.saved_model.load(tmp_path / model.name)
        found = served.serve(sequences(2, 3))
        expected = model(sequences(2, 3))
        assert set(found) == {"logmix", "mean", "logstd", "state_h", "state_c"} | more
        for name, value in found.items():
            wanted = (
                getattr(expected.state, name[-1])
                if name.startswith("state")
                else getattr(expected, name)
            )
            np.testing.assert_allclose(value, wanted, **SAME_FLOAT32)


@pytest.mark.slow  # tests/test_every_model.py has it for every model
def test_verbs_work_in_a_users_function_of_unknown_batch_size(vae, rnn):
    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, 3]),
            tf.TensorSpec([None, None, 2]),
            tf.TensorSpec([None, 14, 14, 2]),
        ]
    )
    def verbs(z, actions, x):
        given = rnn.dream(z[:, 0], actions=actions, vae=vae, seed=0)
        made = rnn.dream(z[:, 0], policy=lambda z, h: z[:, :2], steps=2, seed=0)
        step = rnn.step(z[:, 0], actions[:, 0])
        drawn = rnn.sample(step.logmix, step.mean, step.logstd, seed=0)
        seen = (
            vae.encode(x).mean(),
            vae.reconstruct(x),
            vae.decode(z),
            vae.sample(tf.shape(z)[0], seed=0),
        )
        return given.z, given.frames, made.z, drawn, *seen

    z, actions, x = sequences()[..., :3], sequences()[..., 3:], frames()
    found = verbs(z, actions, x)
    step = rnn.step(z[:, 0], actions[:, 0])
    dream = rnn.dream(z[:, 0], actions=actions, vae=vae, seed=0)
    expected = (
        dream.z,
        dream.frames,
        rnn.dream(z[:, 0], policy=lambda z, h: z[:, :2], steps=2, seed=0).z,
        rnn.sample(*step[:3], seed=0),
        vae.encode(x).mean(),
        vae.reconstruct(x),
        vae.decode(z),
        vae.sample(4, seed=0),
    )
    assert_same(found, expected)


@pytest.mark.slow  # tests/test_every_model.py has it for every model
def test_ten_models_give_no_warning_of_retracing(caplog):
    with caplog.at_level(logging.WARNING), warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(10):
            MDNRNN(**RNN).step(np.zeros((1, 3)), np.zeros((1, 2)))
            ConvVAE(**VAE).decode(np.zeros((1, 3)))
    assert "retracing" not in caplog.text


# --- a user's encoder and decoder ---


def own_encoder(outputs=1, size=3):
    inputs = keras.Input((7, 9, 1))
    hidden = keras.layers.Dropout(0.5)(keras.layers.Flatten()(inputs))
    heads = [keras.layers.Dense(size)(hidden) for _ in range(outputs)]
    return keras.Model(inputs, heads if outputs > 1 else heads[0])


def own_decoder(shape=(7, 9, 1)):
    return keras.Sequential(
        [keras.layers.Dense(63, activation="sigmoid"), keras.layers.Reshape(shape)]
    )


@pytest.mark.parametrize("outputs, size", [(1, 6), (2, 3)])
def test_any_encoder_and_decoder_train_and_are_saved(outputs, size, tmp_path):
    keras.utils.set_random_seed(0)
    model = ConvVAE(
        z_size=3,
        image_shape=(7, 9, 1),
        encoder=own_encoder(outputs, size),
        decoder=own_decoder(),
        architecture="course",
    )
    x = np.random.default_rng(0).random((8, 7, 9, 1), np.float32)
    before = model.get_weights()
    compiled(model).fit(x, verbose=0)
    assert len(model.trainable_variables) == 2 * outputs + 2
    assert all(np.abs(a - b).max() > 0 for a, b in zip(before, model.get_weights(), strict=True))
    model.save(tmp_path / "own.keras")
    again = keras.models.load_model(tmp_path / "own.keras")
    for other in (again, keras.models.clone_model(model)):
        other.set_weights(model.get_weights())
        np.testing.assert_array_equal(
            other.reconstruct(x), model.reconstruct(x)
        )  # and no dropout in verbs
    assert (
        np.abs(
            model.loss_terms(x, np.zeros((8, 3))).total
            - model.loss_terms(x, np.zeros((8, 3))).total
        )
        > 0
    )


def test_the_public_parts_give_parameters_and_pixels(vae):
    mean, logvar = vae.encoder(frames())
    np.testing.assert_allclose(mean, vae.encode(frames()).mean(), **SAME_FLOAT32)
    np.testing.assert_allclose(logvar, vae.encoded(frames())[1], **SAME_FLOAT32)
    pixels = vae.decoder.predict(np.zeros((2, 3)), verbose=0)
    np.testing.assert_allclose(pixels, vae.decode(np.zeros((2, 3))), **SAME_FLOAT32)
    assert pixels.min() >= 0 and pixels.max() <= 1


OWN = dict(z_size=3, image_shape=(7, 9, 1))


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: dict(encoder=own_encoder(1, 3)),
            r"encoder: expected mean and log-variance of z, two tensors \[N, 3\]",
        ),
        (lambda: dict(encoder=own_encoder(3, 3)), "encoder: expected mean and log-variance"),
        (lambda: dict(encoder=len), "encoder: expected a Keras layer or model"),
        (
            lambda: dict(encoder=keras.layers.LSTM(3)),
            r"encoder: lstm.* does not take inputs of the shape \[N, 7, 9, 1\]",
        ),
        (
            lambda: dict(encoder=own_encoder(1, 6), filters=(3,)),
            "filters: expected none with encoder=",
        ),
        (
            lambda: dict(encoder=own_encoder(1, 6), decoder=own_decoder((9, 7, 1))),
            r"decoder: expected frames \[N, 7, 9, 1\] in \[0, 1\] for codes \[N, 3\], "
            r"got \['N', 9, 7, 1\]",
        ),
        (
            lambda: dict(encoder=own_encoder(1, 6), decoder=3),
            "decoder: expected a Keras layer or model, got 3",
        ),
        (
            lambda: dict(decoder=own_decoder(), dense_units=3),
            "dense_units: expected none with decoder=",
        ),
    ],
)
def test_encoders_and_decoders_that_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        ConvVAE(**OWN, **make())


# --- arguments ---


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda v, r: ConvVAE(kernel_sizes=4),
            r"kernel_sizes: expected integers .* such as \(4, 4, 4, 4\), got 4",
        ),
        (lambda v, r: ConvVAE(filters="32,64"), "filters: expected integers of at least 1"),
        (
            lambda v, r: ConvVAE(decoder_kernel_sizes=(5, 5.5)),
            "decoder_kernel_sizes: expected integers",
        ),
        (
            lambda v, r: ConvVAE(image_shape=64),
            r"image_shape: expected \(height, width, channels\), all .* got 64",
        ),
        (lambda v, r: ConvVAE(image_shape="64"), "image_shape: expected"),
        (lambda v, r: ConvVAE(z_size=2.5), "z_size: expected an integer of at least 1, got 2.5"),
        (
            lambda v, r: ConvVAE(dense_units=None, kl_tolerance="a"),
            "kl_tolerance: expected a number",
        ),
        (
            lambda v, r: MDNRNN(rnn_size=None),
            "rnn_size: expected an integer of at least 1, got None",
        ),
        (lambda v, r: MDNRNN(done_weight=[1]), "done_weight: expected a number of at least 0"),
        (
            lambda v, r: v.encode(None),
            "frames: expected an array of numbers, got NoneType",
        ),
        (lambda v, r: v.encode("a"), "frames: expected"),
        (lambda v, r: v.decode(None), "z: expected an array of numbers"),
        (
            lambda v, r: v.decode(np.ma.masked_invalid(np.zeros((2, 3)))),
            "z: .*a masked array, whose mask would be lost",
        ),
        (lambda v, r: v.decode(3), r"z: expected floats of the shape \[..., 3\], got \(\)"),
        (lambda v, r: v.sample("2"), "n: expected an integer"),
        (
            lambda v, r: v.loss_terms(frames(), np.zeros((6, 2))),
            r"noise: expected floats of the shape \[..., 3\]",
        ),
        (lambda v, r: v.loss_terms({"x": frames()}), "x: unknown in a batch"),
        (lambda v, r: v.train(None), "frames: expected an array of numbers"),
        (lambda v, r: v.generate_rnn_data(3, []), "obs_data: expected a list of episodes, got int"),
        (
            lambda v, r: v.generate_rnn_data([frames()], None),
            "action_data: expected a list of episodes, got NoneType",
        ),
        (
            lambda v, r: v.generate_rnn_data([frames()], ["left"]),
            "action_data, episode 0: expected an array",
        ),
        (
            lambda v, r: r.step(np.zeros((2, 3)), None),
            "action: expected an array of numbers, got NoneType",
        ),
        (
            lambda v, r: r.step(np.zeros((2, 3)), np.zeros((2, 2)), 3),
            r"state: expected a pair \(h, c\).* got 3",
        ),
        (lambda v, r: r(sequences(), np.zeros((2, 4, 3))), "state: expected a pair"),
        (
            lambda v, r: r(sequences(), (np.zeros((4, 6)), np.zeros((4, 5)))),
            r"state.c: expected floats of the shape",
        ),
        (lambda v, r: r({"z": np.zeros((1, 2, 3))}), "actions: missing in a batch of z"),
        (lambda v, r: r.loss_terms({"z": np.zeros((1, 2, 3))}), "actions: missing in a batch of z"),
        (lambda v, r: r.loss_terms(episodes(masks=ONES)), "masks: unknown in a batch"),
        (
            lambda v, r: r.sample(np.zeros((3, 4)), np.zeros((3, 4)), np.zeros(4)),
            "logmix, mean, logstd: expected the same",
        ),
        (
            lambda v, r: r.sample(*np.zeros((3, 3, 4)), None),
            "temperature: expected a number above 0, got None",
        ),
        (lambda v, r: r.sample(*np.zeros((3, 3, 4)), noise=3), "noise: expected a pair"),
        (
            lambda v, r: r.sample(*np.zeros((3, 3, 4)), noise=([0.0], [0.0])),
            r"noise: expected numbers of the shape \[3\]",
        ),
        (lambda v, r: r.dream(None, steps=2, policy=len), "z0: expected an array"),
        (
            lambda v, r: r.dream(np.zeros((1, 3)), policy=3, steps=2),
            "policy: expected a function of z and h",
        ),
        (
            lambda v, r: r.dream(np.zeros((1, 3)), policy=len, steps=0),
            "steps: expected an integer of at least 1",
        ),
        (
            lambda v, r: r.dream(np.zeros((1, 3)), actions=np.zeros((1, 2, 2)), vae=3),
            "vae: expected a ConvVAE, got 3",
        ),
        (
            lambda v, r: r.fit([sequences()[0]], [sequences()[0, :2, :3]]),
            "outputs: expected as many episodes as inputs",
        ),
    ],
)
def test_no_argument_ends_in_a_raw_error(vae, rnn, call, message):
    with pytest.raises(ValueError, match=message):
        call(vae, rnn)
