"""`MDNRNN` as a user and as Keras sees it: mixtures, masks, heads, dreams, bad input."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.tolerances import FLOAT32, SAME_FLOAT32, STANDARD_ERRORS
from worldmodels import MDNRNN, ConvVAE, State, mixture

tfd = tfp.distributions
SMALL = dict(z_size=3, action_size=2, rnn_size=6, num_mixtures=4)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    return MDNRNN(**SMALL)


def batch(count=4, steps=6, seed=0, **more):
    rng = np.random.default_rng(seed)
    draw = lambda size: rng.standard_normal((count, steps, size), np.float32)  # noqa: E731
    return {"z": draw(3), "actions": draw(2)} | more


def oracle(predicted):
    """TFP's mixture."""
    logmix, mean, logstd = predicted[:3]
    return tfd.MixtureSameFamily(tfd.Categorical(logits=logmix), tfd.Normal(mean, tf.exp(logstd)))


def test_the_loss_is_tfps_mixture_one_step_ahead(model):
    data = batch()
    predicted = model(np.concatenate([data["z"], data["actions"]], -1)[:, :-1])
    np.testing.assert_allclose(
        tf.reduce_logsumexp(predicted.logmix, -1), np.zeros((4, 5, 3)), atol=1e-6
    )
    expected = -oracle(predicted).log_prob(data["z"][:, 1:])
    np.testing.assert_allclose(model.loss_terms(data).z, np.mean(expected), **FLOAT32)
    np.testing.assert_allclose(
        mixture.log_prob(mixture.Mixture(*predicted[:3]), tf.constant(data["z"][:, 1:])),
        -expected,
        **FLOAT32,
    )


def test_a_padded_episode_counts_as_it_does_alone(model):
    long, short = batch(1, 7, 1), batch(1, 4, 2)
    pad = {
        name: np.concatenate([long[name], np.pad(short[name], [(0, 0), (0, 3), (0, 0)])])
        for name in long
    }
    mask = np.array([[1] * 7, [1] * 4 + [0] * 3], np.float32)
    each = [float(model.loss_terms(part).z) for part in (long, short)]
    together = model.loss_terms(pad | {"mask": mask})
    np.testing.assert_allclose(together.z, (6 * each[0] + 3 * each[1]) / 9, **SAME_FLOAT32)
    assert model.count(pad | {"mask": mask}) == 9 and model.count(pad) == 12
    alone = model(np.concatenate([short["z"], short["actions"]], -1))
    both = model(np.concatenate([pad["z"], pad["actions"]], -1), mask=mask)
    np.testing.assert_allclose(both.state.h[1:], alone.state.h, **SAME_FLOAT32)


def test_what_lies_under_the_padding_does_not_matter(model):
    data, mask = batch(), np.ones((4, 6), np.float32)
    mask[1, 3:] = 0
    other = {name: value.copy() for name, value in data.items()}
    other["z"][1, 3:], other["actions"][1, 3:] = 1e3, -1e3
    terms = [model.loss_terms(d | {"mask": mask}).z for d in (data, other)]
    np.testing.assert_allclose(*terms, **SAME_FLOAT32)


def test_codes_are_drawn_from_mean_and_logvar_anew_for_every_seed(model):
    data = batch()
    sharp = {"mean": data["z"], "logvar": np.full_like(data["z"], -60), "actions": data["actions"]}
    np.testing.assert_allclose(model.loss_terms(sharp).z, model.loss_terms(data).z, **FLOAT32)
    wide = sharp | {"logvar": np.zeros_like(data["z"])}
    assert (
        model.loss_terms(wide, seed=1).z
        == model.loss_terms(wide, seed=1).z
        != model.loss_terms(wide, seed=2).z
    )


def test_steps_are_calls(model):
    data, state = batch(), None
    whole = model(np.concatenate([data["z"], data["actions"]], -1))
    for t in range(6):
        predicted = model.step(data["z"][:, t], data["actions"][:, t], state)
        state = predicted.state
        np.testing.assert_allclose(predicted.mean, whole.mean[:, t], **SAME_FLOAT32)
    np.testing.assert_allclose(state.c, whole.state.c, **SAME_FLOAT32)


def test_heads_for_the_end_and_the_reward():
    keras.utils.set_random_seed(0)
    model = MDNRNN(**SMALL, predict_done=True, predict_reward=True, done_weight=10.0)
    rng = np.random.default_rng(0)
    data = batch(
        done=(rng.random((4, 6)) < 0.3).astype(np.float32),
        rewards=rng.random((4, 6)).astype(np.float32),
    )
    predicted = model(np.concatenate([data["z"], data["actions"]], -1)[:, :-1])
    probability, done = tf.sigmoid(predicted.done).numpy(), data["done"][:, 1:]
    cross = -(10 * done * np.log(probability) + (1 - done) * np.log(1 - probability)).mean()
    squared = 0.5 * ((predicted.reward - data["rewards"][:, 1:]) ** 2).numpy().mean()
    terms = model.loss_terms(data)
    np.testing.assert_allclose(terms.done, cross, **FLOAT32)
    np.testing.assert_allclose(terms.reward, squared, **FLOAT32)
    np.testing.assert_allclose(
        model.objective(terms), terms.z + terms.done + terms.reward, **SAME_FLOAT32
    )
    only = MDNRNN(**SMALL, predict_reward=True)
    assert only.loss_terms(data).done == 0 and only(np.zeros((1, 2, 5))).done is None
    assert only.step(np.zeros((1, 3)), np.zeros((1, 2))).reward.shape == (1,)


def test_doom_sized_weights_fit_a_model_with_a_done_head_and_restart_as_an_action():
    model = MDNRNN(z_size=64, action_size=2, rnn_size=512, predict_done=True)
    assert model.count_params() == 1_678_785  # the paper's table
    assert [array.shape for array in model.original_arrays()] == [
        (512, 961),
        (961,),
        (578, 2048),
        (2048,),
    ]


def test_first_weights_are_drawn_as_the_originals():
    keras.utils.set_random_seed(0)
    output_w, output_b, kernel, bias = MDNRNN().original_arrays()
    for array, limit in (
        (output_w, (6 / 736) ** 0.5),
        (output_b, (3 / 480) ** 0.5),
        (kernel, (6 / 1315) ** 0.5),
        (bias, (3 / 1024) ** 0.5),
    ):
        assert 0.9 * limit < np.abs(array).max() < 1.001 * limit and abs(array.mean()) < limit / 10


def test_it_trains_by_fit_and_saves(tmp_path):
    keras.utils.set_random_seed(0)
    model = MDNRNN(**SMALL, predict_done=True)
    data = batch(8, done=np.zeros((8, 6), np.float32))
    model.compile(optimizer=keras.optimizers.Adam(0.01, clipvalue=1.0))
    history = model.fit(data, epochs=4, batch_size=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] and {"z", "done", "reward"} < set(history)
    model.save(tmp_path / "rnn.keras")
    again = keras.models.load_model(tmp_path / "rnn.keras")
    x = np.zeros((1, 2, 5), np.float32)
    np.testing.assert_array_equal(again(x).mean, model(x).mean)
    assert again.get_config() == model.get_config()


# --- draws and dreams ---


@pytest.mark.parametrize("temperature", (0.5, 1.0, 1.5))
def test_draws_have_the_tempered_mixtures_moments(model, temperature):
    keras.utils.set_random_seed(3)
    logmix, mean, logstd = (
        np.random.default_rng(i).standard_normal((1, 4)).astype(np.float32) for i in range(3)
    )
    tempered = tfd.MixtureSameFamily(
        tfd.Categorical(logits=logmix / temperature),
        tfd.Normal(mean, np.exp(logstd) * temperature**0.5),
    )
    wide = [np.broadcast_to(part, (40_000, 1, 4)) for part in (logmix, mean, logstd)]
    z = model.sample(*wide, temperature, seed=5).numpy()
    expected, spread = float(tempered.mean()[0]), float(tempered.stddev()[0])
    assert abs(z.mean() - expected) < STANDARD_ERRORS * spread / 200
    np.testing.assert_allclose(z.std(), spread, rtol=0.05)


def test_where_rounding_leaves_no_component_the_last_is_taken(model):
    z = model.sample(np.log([[0.5, 0.5]]), [[1.0, 2.0]], [[-20.0, -20.0]], noise=([1.5], [0.0]))
    np.testing.assert_allclose(z, [2.0])


def originals_draw(mixture, temperature, u, normal):
    """The original's procedure in NumPy, a dimension after the other."""
    logmix, mean, logstd = (np.asarray(part, np.float64) for part in mixture)
    p = logmix / temperature
    p = np.exp(p - p.max())
    p /= p.sum(axis=1, keepdims=True)
    chosen = [int(np.argmax(np.cumsum(p[d]) >= u[d])) for d in range(len(u))]
    rows = np.arange(len(u))
    return mean[rows, chosen] + np.exp(logstd[rows, chosen]) * normal * np.sqrt(temperature)


def test_a_dream_is_the_originals_loop(model):
    rng = np.random.default_rng(4)
    actions, u, normal = (
        rng.standard_normal((1, 8, 2)),
        rng.random((1, 8, 3)),
        rng.standard_normal((1, 8, 3)),
    )
    z, state, path = np.zeros(3), None, [np.zeros(3)]
    for t in range(8):
        predicted = model.step(z[None], actions[:, t], state)
        state = predicted.state
        z = originals_draw([part[0] for part in predicted[:3]], 0.7, u[0, t], normal[0, t])
        path.append(z)
    dream = model.dream(np.zeros((1, 3)), actions=actions, temperature=0.7, noise=(u, normal))
    np.testing.assert_allclose(dream.z[0], path, **FLOAT32)
    assert dream.frames is None
    given = iter(np.moveaxis(actions, 1, 0))
    policed = model.dream(
        np.zeros((1, 3)),
        policy=lambda z, h: next(given),
        steps=8,
        temperature=0.7,
        noise=(u, normal),
    )
    np.testing.assert_allclose(policed.z, dream.z, **SAME_FLOAT32)
    np.testing.assert_allclose(policed.actions, actions, **SAME_FLOAT32)


def test_a_dream_is_imagined_step_by_step_with_what_the_heads_predict():
    keras.utils.set_random_seed(0)
    model = MDNRNN(**SMALL, predict_reward=True)
    rng = np.random.default_rng(4)
    actions, u, normal = (
        rng.standard_normal((2, 4, 2)),
        rng.random((2, 4, 3)),
        rng.standard_normal((2, 4, 3)),
    )
    dream = model.dream(np.zeros((2, 3)), actions=actions, temperature=0.7, noise=(u, normal))
    z, state = np.zeros((2, 3)), None
    for t in range(4):
        reward = model.step(z, actions[:, t], state).reward
        z, state, done, found = model.imagine(
            z, actions[:, t], state, temperature=0.7, noise=(u[:, t], normal[:, t])
        )
        np.testing.assert_allclose(z, dream.z[:, t + 1], **SAME_FLOAT32)
        np.testing.assert_allclose(found, reward, **SAME_FLOAT32)
        assert done is None
    again = [model.imagine(z, actions[:, 0], state, seed=3).z for _ in range(2)]
    np.testing.assert_array_equal(*again)


def test_a_dream_has_frames_continues_from_a_state_and_follows_its_seed(model):
    vae = ConvVAE(
        z_size=3,
        image_shape=(6, 6, 1),
        filters=(2,),
        kernel_sizes=(4,),
        decoder_filters=(),
        decoder_kernel_sizes=(6,),
    )
    options = dict(actions=np.ones((2, 3, 2)), vae=vae)
    a, b = (model.dream(np.zeros((2, 3)), seed=seed, **options) for seed in (1, 1))
    np.testing.assert_array_equal(a.z, b.z)
    assert a.frames.shape == (2, 4, 6, 6, 1)
    moved = model.dream(
        np.zeros((2, 3)), state=State(tf.ones([2, 6]), tf.ones([2, 6])), seed=1, **options
    )
    assert np.abs(moved.z - a.z)[:, 1:].min() > 0


# --- nothing blows up ---


@pytest.mark.parametrize("kind", ("actions", "z", "weights"))
def test_no_input_and_no_weights_make_the_loss_or_its_gradient_infinite(kind):
    keras.utils.set_random_seed(0)
    model, data = MDNRNN(**SMALL), batch()
    if kind == "weights":
        model.head.kernel.assign(1e4 * model.head.kernel)
    else:
        data[kind] = data[kind] * 1e6
    with tf.GradientTape() as tape:
        loss = model.objective(model.loss_terms(data, seed=0))
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    assert np.isfinite(loss) and all(np.isfinite(g).all() for g in gradients)


# --- bad input ---


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda m: MDNRNN(num_mixtures=0), "num_mixtures: expected an integer of at least 1"),
        (
            lambda m: m(np.zeros((2, 3, 4))),
            r"inputs: expected floats of the shape \[..., 5\], got \(2, 3, 4\)",
        ),
        (lambda m: m(np.zeros((2, 5))), r"inputs: expected floats"),
        (
            lambda m: m.step(np.zeros((2, 3)), np.zeros((2, 1))),
            r"action: expected floats of the shape \[..., 2\]",
        ),
        (lambda m: m.loss_terms(batch(steps=1)), "sequences of one step"),
        (
            lambda m: m.loss_terms({"z": np.zeros((2, 4, 3)), "actions": np.zeros((2, 4, 1))}),
            "actions: expected floats",
        ),
        (
            lambda m: m.sample(*np.zeros((3, 1, 3, 4)), 0.0),
            "temperature: expected a number above 0, got 0.0",
        ),
        (
            lambda m: m.imagine(np.zeros((1, 3)), np.zeros((1, 2)), temperature=0),
            "temperature: expected a number above 0, got 0",
        ),
        (
            lambda m: m.imagine(np.zeros((1, 3)), np.zeros((1, 3))),
            r"action: expected floats of the shape \[..., 2\]",
        ),
        (lambda m: m.dream(np.zeros((1, 3))), "either actions .* or policy and steps"),
        (
            lambda m: m.dream(np.zeros((1, 3)), policy=lambda z, h: z),
            "either actions .* or policy and steps",
        ),
        (
            lambda m: m.dream(np.zeros((1, 3)), actions=np.zeros((2, 4, 2))),
            r"expected \[1, steps, 2\] .* got \(2, 4, 2\)",
        ),
        (
            lambda m: m.dream(np.zeros((1, 2)), actions=np.zeros((1, 4, 2))),
            r"z0: expected floats of the shape \[..., 3\]",
        ),
        (
            lambda m: m.dream(np.zeros((1, 3)), policy=lambda z, h: z, steps=2),
            "policy: expected floats",
        ),
    ],
)
def test_what_is_refused(model, call, message):
    with pytest.raises(ValueError, match=message):
        call(model)


def test_a_dream_that_is_not_finite_is_named(model):
    with pytest.raises(FloatingPointError, match="dream: z is not finite"):
        model.dream(np.full((1, 3), np.nan), actions=np.zeros((1, 2, 2)))
