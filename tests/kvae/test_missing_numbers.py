"""Single numbers that are missing: of codes, of series, of frames."""

import keras
import numpy as np
import pytest

from kvae import KVAE
from kvae.lgssm import MixedLGSSM
from tests.references import dense_gaussian
from tests.tolerances import FLOAT64

CLOSE = dict(rtol=1e-8, atol=1e-8)


@pytest.fixture(scope="module")
def system():
    rng = np.random.default_rng(0)
    _, (A, B, C), u, a, _ = dense_gaussian.random_system(rng)
    seen = rng.random(a.shape) > 0.4
    seen[0, 2] = False  # a whole code
    return A, B, C, u, a, seen


def expected(system, i):
    A, B, C, u, a, seen = (value[i] for value in system)
    noises = 0.08 * np.eye(4), 0.03 * np.eye(2), 20.0 * np.eye(4)
    return dense_gaussian.posterior(a, seen, A, B, C, u, *noises)


@pytest.mark.parametrize("jit", [None, True])
def test_the_distribution_equals_the_dense_gaussian(system, jit):
    A, B, C, u, a, seen = system
    model = MixedLGSSM(
        A,
        C,
        np.einsum("btij,btj->bti", B, u),
        noise_transition=0.08,
        noise_emission=0.03,
        init_cov=20.0,
        missing=~seen,
        jit_compile=jit,
    )
    x = np.where(seen, a, np.nan)
    mean, cov = model.posterior_marginals(x)
    log_prob = model.log_prob(x)
    for i in range(len(a)):
        z, P, log_likelihood = expected(system, i)
        np.testing.assert_allclose(mean[i], z, **CLOSE)
        np.testing.assert_allclose(cov[i], np.einsum("titj->tij", P), **CLOSE)
        np.testing.assert_allclose(log_prob[i], log_likelihood, **CLOSE)


def test_a_mask_of_steps_and_missing_numbers_go_together(system):
    A, _, C, _, a, seen = system
    steps = np.zeros(a.shape[:2], bool)
    steps[:, 3] = True
    noises = dict(noise_transition=0.08, noise_emission=0.03, init_cov=20.0)
    both = MixedLGSSM(A, C, **noises, missing=~seen, mask=steps)
    one = MixedLGSSM(A, C, **noises, missing=~seen | steps[..., None])
    np.testing.assert_allclose(both.log_prob(a), one.log_prob(a), **FLOAT64)


def test_missing_is_checked(system):
    A, _, C, *_ = system
    noises = dict(noise_transition=0.08, noise_emission=0.03, init_cov=20.0)
    with pytest.raises(ValueError, match=r"missing: expected the shape \[6, 2\].*got \[3, 6\]"):
        MixedLGSSM(A, C, **noises, missing=np.ones((3, 6), bool))
    with pytest.raises(ValueError, match="missing: expected bool, True = missing"):
        MixedLGSSM(A, C, **noises, missing=np.ones((3, 6, 2)))


def small(**options):
    keras.utils.set_random_seed(1)
    defaults = dict(num_filters=(2,), alpha_units=3, init_kf_matrices=0.5, dtype="float64")
    model = KVAE(options.pop("image_shape", (8, 8)), **defaults | options)
    rng = np.random.default_rng(2)
    model.A.assign(model.A.numpy() + 0.1 * rng.normal(size=model.A.shape))
    return model


def test_the_verbs_of_states_equal_the_dense_gaussian_where_the_matrices_are_fixed(system):
    *_, a, seen = system
    model = small(K=1)
    filtered, smoothed = (
        verb(np.where(seen, a, np.nan), seen) for verb in (model.filter, model.smooth)
    )
    for i in range(len(a)):
        A, B, C = (np.repeat(w.numpy(), 6, 0) for w in (model.A, model.B, model.C))
        noises = 0.08 * np.eye(4), 0.03 * np.eye(2), 20.0 * np.eye(4)
        fixed = A, B, C, np.zeros((6, 1)), *noises
        z, P, log_likelihood = dense_gaussian.posterior(a[i], seen[i], *fixed)
        np.testing.assert_allclose(smoothed.mean[i], z, **CLOSE)
        np.testing.assert_allclose(smoothed.cov[i], np.einsum("titj->tij", P), **CLOSE)
        assert np.sum(filtered.log_likelihood[i]) == pytest.approx(log_likelihood)
    codes = model.lgssm_bound(a, seen, kind="marginal", per_sequence=True)
    frames = seen.any(-1).sum(-1)
    np.testing.assert_allclose(codes.total * frames, filtered.log_likelihood.numpy().sum(-1))
    parts = codes.transition + codes.emission + codes.initial + codes.entropy
    np.testing.assert_allclose(codes.total, parts, rtol=1e-6)


@pytest.mark.slow
def test_a_mask_of_numbers_that_hides_whole_codes_is_a_mask_of_codes(system):
    *_, a, _ = system
    model = small()
    mask = np.ones(a.shape[:2])
    mask[0, 1:4] = mask[2, 0] = 0
    wide = np.repeat(mask[..., None], 2, -1)
    for verb in (model.filter, model.smooth):
        for name, one, other in zip(
            verb(a, mask)._fields, verb(a, mask), verb(a, wide), strict=True
        ):
            np.testing.assert_allclose(one, other, err_msg=name, **FLOAT64)
    for kind in ("marginal", "sampled"):
        one, other = (model.lgssm_bound(a, m, kind=kind, seed=3) for m in (mask, wide))
        np.testing.assert_allclose(one, other, **FLOAT64)


@pytest.mark.slow
def test_missing_pixels_are_not_read_and_the_others_are(system):
    model = small(out_distr="gaussian")
    rng = np.random.default_rng(3)
    frames, mask = rng.random((2, 5, 8, 8)), rng.random((2, 5, 8, 8)) > 0.3
    mask[0, 2] = False
    other = np.where(mask, frames, np.nan)
    for verb in (model.impute, model.elbo, model.score):
        options = dict(seed=1) if verb == model.elbo else {}
        for one, two in zip(
            verb(frames, mask, **options), verb(other, mask, **options), strict=True
        ):
            np.testing.assert_array_equal(one, two)
    a = model.encode(frames, mask).mean()
    p = model.decode(a)
    each = -0.5 * ((frames - p.mean()) ** 2 / 0.1 + np.log(2 * np.pi * 0.1))
    found = model.score(frames, mask).log_px
    np.testing.assert_allclose(found, np.where(mask, each, 0).sum((2, 3)), rtol=1e-6)
    assert found[0, 2] == 0
    # the encoder reads the mean of the others: a constant frame with a hole is the constant frame
    flat, hole = np.full((1, 1, 8, 8), 0.6), np.ones((1, 1, 8, 8))
    hole[..., :4, :] = 0
    np.testing.assert_allclose(model.encode(flat, hole).mean(), model.encode(flat).mean())


@pytest.mark.slow
def test_training_with_missing_pixels_has_finite_gradients():
    model = small(dtype="float32")
    rng = np.random.default_rng(3)
    mask = (rng.random((4, 5, 8, 8)) > 0.3).astype(np.float32)
    frames = np.where(mask > 0, rng.random((4, 5, 8, 8)), np.nan).astype(np.float32)
    model.compile("adam")
    history = model.fit({"frames": frames, "mask": mask}, batch_size=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_a_mask_of_another_shape_is_refused():
    model = small()
    with pytest.raises(ValueError, match=r"mask: expected the shape \[2, 5\].*or \[2, 5, 8, 8\]"):
        model.impute(np.zeros((2, 5, 8, 8)), np.ones((2, 5, 8)))


def test_the_stream_leaves_out_single_numbers_as_the_filter_does():
    model = small(image_shape=(2,), out_distr="gaussian", encoder="identity", dim_a=2)
    rng = np.random.default_rng(5)
    series = rng.normal(size=(1, 6, 2))
    series[0, [1, 3, 3, 4], [0, 0, 1, 1]] = np.nan
    seen = ~np.isnan(series)
    filtered = model.filter(np.nan_to_num(series), seen)
    stream = model.stream()
    for t in range(6):
        state = stream.step(series[0, t])
        np.testing.assert_allclose(state.mean[0], filtered.mean[0, t], **FLOAT64)
        np.testing.assert_allclose(
            state.log_likelihood[0], filtered.log_likelihood[0, t], **FLOAT64
        )


@pytest.fixture(scope="module")
def series():
    """Two numbers on far scales, some of them missing."""
    rng = np.random.default_rng(7)
    steps = np.cumsum(rng.normal(size=(3, 8, 2)), 1) * [100.0, 0.01] + [5000.0, 1.0]
    steps[rng.random(steps.shape) < 0.3] = np.nan
    return steps


@pytest.mark.slow
def test_without_an_encoder_the_bound_is_the_log_likelihood_of_the_series(series):
    model = small(image_shape=(2,), out_distr="gaussian", encoder="identity", K=1)
    model.adapt(series)
    np.testing.assert_allclose(model.frame_vae.shift, np.nanmean(series, (0, 1)))
    found = model.elbo(series, per_sequence=True)
    score = model.score(series)
    A, B, C = (np.repeat(w.numpy(), 8, 0) for w in (model.A, model.B, model.C))
    scale = model.frame_vae.scale.numpy()
    a = (series - model.frame_vae.shift.numpy()) / scale
    seen = ~np.isnan(a)
    for i in range(3):
        noises = 0.08 * np.eye(4), 0.03 * np.eye(2), 20.0 * np.eye(4)
        fixed = A, B, C, np.zeros((8, 1)), *noises
        given = np.nan_to_num(a[i]), seen[i]
        z, _, log_likelihood = dense_gaussian.posterior(*given, *fixed)
        log_likelihood -= np.sum(seen[i] * np.log(scale))
        assert float(found.total[i]) * seen[i].any(-1).sum() == pytest.approx(log_likelihood)
        assert np.sum(score.total[i]) == pytest.approx(log_likelihood)
        smoothed = model.impute(series).smoothed[i]
        expected_mean = z @ C[0].T * scale + model.frame_vae.shift.numpy()
        np.testing.assert_allclose(smoothed, expected_mean, rtol=1e-6)
    known = model.impute(series).reconstructed.numpy()
    np.testing.assert_allclose(known[seen], series[seen])


@pytest.mark.parametrize("encoder", [None, "identity"])
@pytest.mark.slow
def test_series_with_holes_are_fitted_and_saved(series, encoder, tmp_path):
    model = small(
        image_shape=(2,),
        out_distr="gaussian",
        encoder=encoder,
        dtype="float32",
        vae_num_units=4,
        **{name: "learned_diagonal" for name in ("noise_transition", "noise_emission")},
        **({} if encoder else {"noise_pixel_var": "learned_diagonal"}),
    )
    model.adapt(series)
    model.compile(keras.optimizers.Adam(0.02))
    losses = model.fit(series, epochs=12, batch_size=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0] - 0.1
    filled = model.impute(series).smoothed.numpy()
    assert np.isfinite(filled).all() and abs(filled[..., 0].mean() - 5000) < 500
    np.testing.assert_allclose(model.predict(series, verbose=0).smoothed, filled, rtol=1e-4)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again.impute(series).smoothed, filled)


@pytest.mark.slow
def test_a_complete_series_and_one_with_a_mask_of_ones_agree(series):
    model = small(image_shape=(2,), out_distr="gaussian", encoder="identity")
    full = np.nan_to_num(series, nan=1.0)
    one, other = model.impute(full), model.impute(full, np.ones((3, 8, 2)))
    np.testing.assert_allclose(one.smoothed, other.smoothed, **FLOAT64)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(), "out_distr: expected 'gaussian' for series"),
        (
            dict(out_distr="gaussian", encoder="identity", dim_a=3),
            "dim_a: expected 2, the",
        ),
        (
            dict(out_distr="gaussian", encoder="identity", decoder=keras.layers.Identity()),
            "decoder: expected None with encoder='identity'",
        ),
        (
            dict(out_distr="gaussian", encoder="identity", noise_pixel_var=0.5),
            "noise_pixel_var: expected its default with encoder='identity'",
        ),
    ],
)
def test_what_a_model_of_series_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        KVAE((2,), **options)


def test_identity_and_learned_pixel_variances_are_refused_where_they_mean_nothing():
    with pytest.raises(ValueError, match="encoder: expected 'identity' only for series"):
        KVAE((8, 8), encoder="identity")
    with pytest.raises(
        ValueError, match=r"noise_pixel_var: .*got 'learned'. Use out_distr='gaussian'"
    ):
        KVAE((8, 8), noise_pixel_var="learned")


def test_bad_series_are_named(series):
    model = small(image_shape=(2,), out_distr="gaussian")
    bad = series.copy()
    bad[1, 2, 0] = np.inf
    with pytest.raises(ValueError, match="frames: infinity in sequence 1"):
        model.impute(bad)
    model.compile("adam")
    with pytest.raises(ValueError, match="frames: infinity in sequence 1"):
        model.fit(bad, verbose=0)
    bad[..., 1] = np.nan
    bad[1, 2, 0] = 1.0
    with pytest.raises(ValueError, match="frames: feature 1 is never observed"):
        model.adapt(bad)


@pytest.mark.slow
def test_learned_pixel_variances_of_frames_follow_the_errors():
    keras.utils.set_random_seed(1)
    model = KVAE((8, 8), num_filters=(2,), out_distr="gaussian", noise_pixel_var="learned")
    frames = 0.5 + 0.02 * np.random.default_rng(0).normal(size=(8, 4, 8, 8))
    model.adapt(frames)
    model.compile(keras.optimizers.Adam(0.1))
    model.fit(frames, epochs=100, batch_size=8, verbose=0)
    assert 3e-4 < float(model.frame_vae.pixel_variance) < 2e-3


@pytest.mark.slow
def test_codes_with_nan_are_read_as_the_series_they_come_from(series):
    model = small(image_shape=(2,), out_distr="gaussian", encoder="identity")
    model.adapt(series)
    codes = model.encode(series).mean()
    np.testing.assert_array_equal(np.isnan(codes), np.isnan(series))
    imputed, smoothed = model.impute(series), model.smooth(codes)
    np.testing.assert_allclose(smoothed.a_mean, imputed.a_smoothed, **FLOAT64)
    x = np.nan_to_num(codes)
    log_prob = model.state_space(codes).log_prob(x)
    per_frame = model.lgssm_bound(codes, kind="marginal", per_sequence=True).total
    frames = (~np.isnan(series)).any(-1).sum(-1)
    np.testing.assert_allclose(log_prob, per_frame * frames, rtol=1e-8)
    with pytest.raises(ValueError, match="a: NaN or infinity in sequence 0 where the mask says"):
        model.filter(np.full((1, 3, 2), np.nan), np.ones((1, 3)))


@pytest.mark.slow
def test_a_pair_of_series_and_mask_is_read_as_a_dict_of_them(series):
    model = small(image_shape=(2,), out_distr="gaussian", encoder="identity", dtype="float32")
    model.adapt(series)
    model.compile("adam")
    seen = ~np.isnan(series)
    x = np.where(seen, series, 1e3).astype(np.float32)
    wanted = model.evaluate({"frames": x, "mask": seen}, verbose=0)[0]
    for mask in (seen, seen.astype(np.int64)):
        assert model.evaluate((x, mask), verbose=0)[0] == pytest.approx(wanted, rel=1e-6)
    for mask in (seen.astype(np.float32), seen.astype(np.float64)):
        message = "y: expected frames again or a mask.* A mask of single numbers is bool, or in a"
        with pytest.raises(ValueError, match=message):
            model.evaluate((x, mask), verbose=0)


def test_masked_arrays_are_not_read_without_their_mask(series):
    hidden = np.isnan(series)
    masked = np.ma.array(np.where(hidden, 1e6, series), mask=hidden)
    model = KVAE.for_series(masked)
    np.testing.assert_allclose(model.frame_vae.shift, np.nanmean(series, (0, 1)), rtol=1e-5)
    with pytest.raises(ValueError, match=r"frames: .*a masked array, whose mask would be lost"):
        model.impute(masked)


def test_a_large_offset_is_warned_of():
    series = 1e6 + np.random.default_rng(0).normal(size=(2, 5, 1))
    with pytest.warns(UserWarning, match="feature 0 has the mean 1e.06.*Subtract the mean first"):
        KVAE.for_series(series)


def test_infinity_under_the_mask_is_not_read(series):
    model = small(image_shape=(2,), out_distr="gaussian")
    wild = np.where(np.isnan(series), np.inf, series)
    one, other = model.impute(wild, ~np.isnan(series)), model.impute(series)
    np.testing.assert_array_equal(one.smoothed, other.smoothed)


@pytest.mark.parametrize(
    "option", [dict(sample_z=True), dict(use_vae=False), dict(ll_keep_prob=0.1)]
)
def test_what_does_nothing_without_an_encoder_is_refused(option):
    with pytest.raises(ValueError, match=f"{next(iter(option))}: expected .* nothing to encode"):
        KVAE((2,), out_distr="gaussian", encoder="identity", **option)


@pytest.mark.slow
def test_a_stream_takes_masks_of_pixels_and_of_numbers():
    model = small(dtype="float32")
    rng = np.random.default_rng(3)
    frames, mask = rng.random((2, 3, 8, 8)).astype(np.float32), rng.random((2, 3, 8, 8)) > 0.3
    wanted = model.filter(model.encode(frames, mask).mean()).mean
    stream, alone = model.stream(2), model.stream()
    for t in range(3):
        both = stream.step(frames[:, t], mask=mask[:, t])
        first = alone.step(np.where(mask[0, t], frames[0, t], np.nan), mask=mask[0, t])
    np.testing.assert_allclose(both.mean, wanted[:, -1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(first.mean[0], wanted[0, -1], rtol=1e-4, atol=1e-5)
