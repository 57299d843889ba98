"""`KVAE` as a user and as Keras sees it."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from kvae import KVAE
from tests.tolerances import FINITE_DIFFERENCES, FLOAT32, FLOAT64, SAME_FLOAT32, STANDARD_ERRORS

pytestmark = pytest.mark.eager

SMALL = dict(num_filters=(3,), alpha_units=4)


def videos(batch=3, steps=5, shape=(8, 8), seed=0):
    return (np.random.default_rng(seed).random((batch, steps, *shape)) > 0.7).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    return KVAE((8, 8), init_kf_matrices=0.5, **SMALL)


VARIANTS = [
    dict(image_shape=(8, 8)),
    dict(
        image_shape=(12, 8, 3), num_filters=(3, 5), filter_size=5, activation="elu", bound="sampled"
    ),
    dict(
        image_shape=(7, 5),
        conv=False,
        vae_num_units=6,
        num_layers=1,
        out_distr="gaussian",
        activation="tanh",
    ),
    dict(
        image_shape=(8, 8),
        alpha_rnn=False,
        fifo_size=3,
        alpha_layers=1,
        learn_u=True,
        dim_u=2,
        dim_a=3,
    ),
    dict(
        image_shape=(8, 8, 1),
        K=1,
        use_vae=False,
        sample_z=True,
        ll_keep_prob=0.5,
        bound="sampled",
        dim_a=1,
        dim_z=2,
    ),
]


@pytest.mark.parametrize(
    "options",
    [VARIANTS[1], *(pytest.param(VARIANTS[i], marks=pytest.mark.slow) for i in (0, 2, 3, 4))],
    ids=(1, 0, 2, 3, 4),
)
@pytest.mark.graph
def test_every_variant_trains_saves_and_does_the_verbs(options, tmp_path):
    keras.utils.set_random_seed(0)
    model = KVAE(**(SMALL | options))
    assert KVAE.from_config(model.get_config()).get_config() == model.get_config()
    x = videos(4, 5, model.image_shape)
    mask = np.ones((4, 5), np.float32)
    mask[1, 2:4] = 0
    batch = {"frames": tf.constant(x), "mask": tf.constant(mask)}

    @tf.function(autograph=False)
    def gradients(seed):
        with tf.GradientTape() as tape:
            loss = model.objective(model.loss_terms(batch, seed=seed))
        return loss, tape.gradient(loss, model.trainable_variables)

    loss, found = gradients(tf.constant([0, 1]))
    assert np.isfinite(loss)
    without = [
        v.path
        for v, g in zip(model.trainable_variables, found, strict=True)
        if g is None or not np.any(g)
    ]
    unused = (
        {model.B.path} if not options.get("learn_u") else set()
    )  # no controls given: nothing moves B
    unused |= {model.a_0.path} if options.get("K") == 1 else set()  # no dynamics network hears a_0
    assert set(without) <= unused, without
    assert all(np.isfinite(g).all() for g in found if g is not None)

    path = tmp_path / "model.keras"
    model.save(path)
    again = keras.models.load_model(path)
    np.testing.assert_array_equal(again.encode(x).mean(), model.encode(x).mean())
    imputed = model.impute(x, mask)
    np.testing.assert_allclose(again.impute(x, mask).smoothed, imputed.smoothed, **SAME_FLOAT32)
    assert imputed.smoothed.shape == x.shape
    made = model.generate(6, states=imputed.z_smoothed[:, :2], stochastic=True, seed=0)
    assert made.frames.shape == (4, 6, *model.image_shape)
    assert model.encode(x).batch_shape == (4, 5)
    assert model.decode(imputed.a_encoded).event_shape == model.image_shape


@pytest.mark.slow
def test_fit_lowers_the_loss_and_predict_imputes(model):
    keras.utils.set_random_seed(2)
    model = KVAE((8, 8), seed=3, **SMALL)
    x = videos(10)
    model.compile(optimizer=keras.optimizers.Adam(0.01))
    history = model.fit(x, batch_size=4, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert set(history) == {"loss", "elbo", "log_px", "log_qa", "lgssm"}
    np.testing.assert_allclose(
        history["elbo"][0],
        history["log_px"][0] - history["log_qa"][0] + history["lgssm"][0],
        rtol=1e-4,
    )
    figures = model.evaluate(x, batch_size=4, verbose=0, return_dict=True)
    assert np.isfinite(figures["elbo"])
    predicted = model.predict(
        {"frames": x, "mask": np.ones((10, 5), np.float32)}, batch_size=4, verbose=0
    )
    np.testing.assert_allclose(
        predicted.smoothed, model.impute(x, np.ones((10, 5))).smoothed, **SAME_FLOAT32
    )


def test_weights_exist_without_data_and_counting_agrees():
    model = KVAE((8, 8), **SMALL)
    conv = (9 * 1 + 1) * 3 + (48 + 1) * 2 * 2 + (2 + 1) * 48 + (9 * 3 + 1) * 12 + (3 + 1)
    lgssm = 3 * (16 + 4 + 8) + 2
    dynamics = 4 * 4 * (2 + 4 + 1) + (4 + 1) * 3
    assert sum(np.prod(v.shape) for v in model.trainable_variables) == conv + lgssm + dynamics


def test_a_batch_equals_its_single_sequences(model):
    x, mask = videos(), np.ones((3, 5))
    mask[0, 2], mask[2, 3:] = 0, 0
    together = model.impute(x, mask)
    for b in range(3):
        for ours, alone in zip(together, model.impute(x[b : b + 1], mask[b : b + 1]), strict=True):
            np.testing.assert_allclose(ours[b], alone[0], **SAME_FLOAT32)


@pytest.mark.slow
def test_one_frame_one_sequence(model):
    """TensorFlow's graph optimiser, which the fast suite turns off, divided by an empty axis."""
    x = videos(1, 1)
    for kind in ("marginal", "sampled"):
        assert np.isfinite(model.elbo(x, kind=kind, seed=0).total)
        assert np.isfinite(model.lgssm_bound(model.encode(x).mean(), kind=kind, seed=0).total)
        assert np.isfinite(model.elbo(x, np.ones((1, 1)), kind=kind, seed=0).total)
    assert np.isfinite(model.score(x).total).all()
    assert model.impute(x, np.ones((1, 1))).smoothed.shape == (1, 1, 8, 8)
    a = model.encode(x).mean()
    np.testing.assert_allclose(model.smooth(a).mean, model.filter(a).mean, **SAME_FLOAT32)
    model.compile("sgd")
    assert np.isfinite(model.fit(x, verbose=0).history["loss"]).all()


@pytest.mark.parametrize("kind", ["marginal", pytest.param("sampled", marks=pytest.mark.slow)])
def test_a_mask_of_ones_changes_no_bound(model, kind):
    x = videos()
    ours = model.elbo(x, kind=kind, seed=5)
    masked = model.elbo(x, np.ones((3, 5)), kind=kind, seed=5)
    np.testing.assert_allclose(ours, masked, **FLOAT32)


@pytest.mark.slow
def test_the_mean_of_sampled_bounds_does_not_exceed_the_marginal(model):
    a = model.encode(videos()).sample(seed=1)
    marginal = float(model.lgssm_bound(a, kind="marginal").total)
    sampled = np.array(
        [float(model.lgssm_bound(a, kind="sampled", seed=i).total) for i in range(200)]
    )
    assert sampled.mean() <= marginal + STANDARD_ERRORS * sampled.std() / np.sqrt(200)


def test_the_terms_of_the_loss_are_those_of_the_elbo(model):
    """Training and test numbers are the same quantity."""
    x, mask = videos(), np.ones((3, 5), np.float32)
    mask[1, 2] = 0
    for given in (None, mask):
        batch = {"frames": tf.constant(x)} | ({} if given is None else {"mask": tf.constant(given)})
        terms = tf.function(lambda b: model.loss_terms(b, seed=4, training=False), autograph=False)(
            batch
        )
        elbo = model.elbo(x, given, seed=4)
        np.testing.assert_allclose(terms[1:], [elbo.log_px, elbo.log_qa, elbo.lgssm], **FLOAT32)
        np.testing.assert_allclose(
            model.objective(terms), -(0.3 * elbo.log_px - elbo.log_qa + elbo.lgssm), **FLOAT32
        )


@pytest.mark.slow
def test_nan_in_missing_frames_changes_nothing_and_no_gradient(model):
    x, mask = videos(), np.ones((3, 5), np.float32)
    mask[:, 2:4] = 0
    holes = np.where(mask[..., None, None] > 0, x, np.nan).astype(np.float32)
    ours, theirs = model.impute(holes, mask), model.impute(x, mask)
    for name in ("smoothed", "filtered", "reconstructed"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), **SAME_FLOAT32)

    encoded, whole = model.encode(holes, mask).mean().numpy(), model.encode(x).mean().numpy()
    np.testing.assert_allclose(encoded[mask > 0], whole[mask > 0], **SAME_FLOAT32)
    assert np.isfinite(encoded).all()

    @tf.function(autograph=False)
    def gradients(frames):
        with tf.GradientTape() as tape:
            loss = model.objective(
                model.loss_terms({"frames": frames, "mask": tf.constant(mask)}, seed=0)
            )
        return tape.gradient(loss, [v for v in model.trainable_variables if v is not model.B])

    for with_holes, without in zip(
        gradients(tf.constant(holes)), gradients(tf.constant(x)), strict=True
    ):
        np.testing.assert_allclose(with_holes, without, **FLOAT32)


def test_verbs_compute_some_sequences_at_a_time(model):
    x, mask = videos(), np.ones((3, 5), np.float32)
    mask[:, 2:4] = 0
    for whole, parts in zip(
        model.impute(x, mask), model.impute(x, mask, batch_size=2), strict=True
    ):
        np.testing.assert_allclose(whole, parts, **FLOAT32)
    for verb, given in ((model.encode, x), (model.decode, model.encode(x).mean())):
        together, apart = verb(given).mean(), verb(given, batch_size=1).mean()
        np.testing.assert_allclose(together, apart, **FLOAT32)
        with pytest.raises(ValueError, match="batch_size: expected"):
            verb(given, batch_size=0)


def test_the_score_of_a_frame_is_of_its_pixels_and_of_its_code(model):
    x, mask = videos(), np.ones((3, 5), np.float32)
    mask[1, 2] = 0
    scores = model.score(x, mask)
    a = model.encode(x, mask).mean()
    log_px = model.decode(a).log_prob(tf.cast(x, tf.float32)).numpy() * mask
    np.testing.assert_allclose(scores.log_px, log_px, **FLOAT32)
    log_pa = model.filter(a, mask).log_likelihood
    np.testing.assert_allclose(scores.log_pa, log_pa, **FLOAT32)
    np.testing.assert_allclose(scores.total, log_px + log_pa, **FLOAT32)
    assert scores.total[1, 2] == 0
    mean = scores.total.numpy().sum(1) / mask.sum(1)
    np.testing.assert_allclose(scores.sequence, mean, **FLOAT32)
    # The score of a frame does not depend on later ones.
    np.testing.assert_allclose(
        model.score(x[:, :3], mask[:, :3]).total, scores.total[:, :3], **FLOAT32
    )


def test_uint8_bool_and_float_frames_are_the_same(model):
    x = videos()
    for other in ((255 * x).astype(np.uint8), x.astype(bool)):
        np.testing.assert_allclose(
            model.encode(other).mean(), model.encode(x).mean(), **SAME_FLOAT32
        )


def test_the_plain_auto_encoder_has_no_noise_and_no_log_qa():
    model = KVAE((8, 8), use_vae=False, **SMALL)
    first, second = model.elbo(videos(), seed=1), model.elbo(videos(), seed=2)
    np.testing.assert_allclose(first.total, second.total, **SAME_FLOAT32)
    assert float(first.log_qa) == 0.0
    np.testing.assert_array_equal(model.encode(videos()).sample(), model.encode(videos()).mean())


@pytest.mark.graph
@pytest.mark.slow
def test_ll_keep_prob_drops_frames_in_training_only_and_keeps_the_mean():
    keras.utils.set_random_seed(0)
    model = KVAE((8, 8), ll_keep_prob=0.5, use_vae=False, **SMALL)
    batch = {"frames": tf.constant(videos(8, 20))}
    terms = tf.function(
        lambda s, t: model.loss_terms(batch, seed=s, training=t).log_px, autograph=False
    )
    whole = float(terms(tf.constant([0, 0]), False))
    assert whole == float(terms(tf.constant([0, 1]), False))
    kept = np.array([float(terms(tf.constant([0, i]), True)) for i in range(100)])
    assert kept.std() > 0
    assert abs(kept.mean() - whole) < STANDARD_ERRORS * kept.std() / 10


@pytest.mark.parametrize("without_mask", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.graph
def test_the_gradient_of_the_objective_equals_finite_differences(without_mask):
    """In float64, through encoder, dynamics network, filter over a gap, and decoder."""
    keras.utils.set_random_seed(5)
    model = KVAE((4, 4), dtype="float64", activation="tanh", init_kf_matrices=0.5, dim_u=2, **SMALL)
    mask = np.ones((2, 4))
    mask[0, 1:3] = 0
    batch = {
        "frames": tf.constant(videos(2, 4, (4, 4)), tf.float64),
        "mask": tf.constant(mask),
        "controls": tf.constant(np.random.default_rng(0).normal(size=(2, 4, 2))),
    }

    if without_mask:
        del batch["mask"]

    @tf.function(autograph=False)
    def value_and_gradients():
        with tf.GradientTape() as tape:
            loss = model.objective(model.loss_terms(batch, seed=[1, 2]))
        return loss, tape.gradient(loss, [v.value for v in model.trainable_variables])

    rng = np.random.default_rng(6)
    _, gradients = value_and_gradients()
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        index = tuple(rng.integers(n) for n in variable.shape)
        start, values = variable.numpy(), []
        for sign in (1, -1):
            moved = start.copy()
            moved[index] += sign * 1e-5
            variable.assign(moved)
            values.append(float(value_and_gradients()[0]))
        variable.assign(start)
        slope = (values[0] - values[1]) / 2e-5
        np.testing.assert_allclose(
            gradient.numpy()[index], slope, err_msg=variable.path, **FINITE_DIFFERENCES
        )


@pytest.mark.slow
def test_float64_runs_in_float64():
    model = KVAE((4, 4), dtype="float64", **SMALL)
    a = np.random.default_rng(0).normal(size=(2, 3, 2))
    assert model.filter(a).mean.dtype == tf.float64
    ones = np.ones((2, 3))
    np.testing.assert_allclose(model.filter(a, ones).cov, model.filter(a).cov, **FLOAT64)


@pytest.mark.slow
def test_bfloat16_convolutions_keep_the_states_in_float32():
    model = KVAE((8, 8), dtype="mixed_bfloat16", **SMALL)
    assert model.filter(model.encode(videos()).mean()).cov.dtype == tf.float32
    assert np.isfinite(model.elbo(videos(), seed=0).total)


def test_controls_move_the_states():
    model = KVAE((8, 8), init_kf_matrices=1.0, **SMALL)
    a = np.zeros((1, 4, 2))
    u = np.zeros((1, 4, 1))
    u[0, 2] = 1.0
    still, moved = model.filter(a), model.filter(a, controls=u)
    np.testing.assert_array_equal(still.predicted_mean[:, :2], moved.predicted_mean[:, :2])
    np.testing.assert_allclose(
        moved.predicted_mean[:, 2] - still.predicted_mean[:, 2], moved.B[:, 2, :, 0], **SAME_FLOAT32
    )


@pytest.mark.graph
@pytest.mark.slow
def test_one_model_takes_any_batch_size_and_length_in_one_trace(model):
    """Nothing but the data knows the batch size: a graph with unknown sizes serves them all."""
    traced = tf.function(
        lambda x: model({"frames": x}).smoothed,
        input_signature=[tf.TensorSpec([None, None, 8, 8])],
        autograph=False,
    )
    for batch, steps in itertools.product((1, 3), (1, 6)):
        assert traced(videos(batch, steps)).shape == (batch, steps, 8, 8)
