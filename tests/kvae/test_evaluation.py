"""The imputation errors against their definition, on a model whose decoder is known."""

import json

import keras
import numpy as np
import pytest
from scipy.stats import norm

from kvae import KVAE, published
from kvae.evaluation import (
    BASELINES,
    LEVELS,
    METHODS,
    FrameErrors,
    ImputationErrors,
    Imputer,
    evaluate_elbo,
    imputation_curves,
    original_baseline,
    worse_than_baselines,
)
from kvae.lgssm import closed_loop
from seqvae import baselines
from seqvae.data import Sequences, block_mask


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    return KVAE((8, 8), num_filters=(2,), alpha_units=3, init_kf_matrices=0.5)


@pytest.fixture(scope="module")
def data():
    return Sequences(np.random.default_rng(0).random((5, 12, 8, 8)) > 0.7)


@pytest.fixture(scope="module")
def training():
    return Sequences(np.random.default_rng(1).random((7, 12, 8, 8)) > 0.6)


def test_the_errors_are_those_of_the_verbs(model, data):
    mask = block_mask(5, 12, start=4, length=5)
    errors = Imputer(model, data, t_init=4, batch_size=2).errors(mask)
    imputed = model.impute(data.frames, mask)
    states = model.smooth(model.encode(data.frames).mean()[:, :4]).mean
    generated = model.generate(12, states=states)
    missing = mask < 0.5
    assert (errors.count, set(errors.diverged.values())) == (25, {0})
    encoded = model.encode(data.frames).mean().numpy()[missing]
    for name, frames, codes in (
        ("smoothing", imputed.smoothed, imputed.a_smoothed),
        ("filtering", imputed.filtered, imputed.a_filtered),
        ("generation", generated.frames, generated.a),
    ):
        found, truth = frames.numpy()[missing].astype(np.float64), data.frames[missing]
        wrong, rmse, log_px = errors.frames[name]
        assert np.isnan(log_px)  # no draws
        # a pixel may fall on the other side of 0.5 in another batch
        assert wrong == pytest.approx(((found > 0.5) != truth).mean(), abs=1e-3)
        assert rmse == pytest.approx(np.sqrt(((found - truth) ** 2).mean()), rel=1e-4)
        error = np.sqrt(np.mean((codes.numpy()[missing] - encoded) ** 2, 0)) / np.ptp(encoded, 0)
        np.testing.assert_allclose(errors.codes[name], error, rtol=1e-3)


@pytest.mark.slow
def test_the_coverage_of_normal_pixels_is_that_of_draws(training):
    """Against many draws of whole frames; a Bernoulli model has none."""
    keras.utils.set_random_seed(1)
    model = KVAE((8, 8), num_filters=(2,), alpha_units=3, out_distr="gaussian", init_cov=1.0)
    images = np.random.default_rng(0).random((5, 12, 8, 8)).astype(np.float32)
    mask = block_mask(5, 12, start=4, length=5)
    errors = Imputer(model, Sequences(images), training=training).errors(mask, draws=60)
    found = model.impute(images, mask, num_samples=400, quantiles=(0.05, 0.95), seed=0)
    low, high = found.quantiles.numpy()
    inside = ((low < images) & (images < high))[mask < 0.5].mean()
    share = errors.pixel_coverage["smoothing"][LEVELS.index(0.9)]
    assert share == pytest.approx(inside, abs=0.02)
    assert set(errors.pixel_coverage) == {"smoothing", "filtering", "generation"}
    assert errors.as_dict()["coverage"]["pixels"]["smoothing"][LEVELS.index(0.9)] == share


@pytest.mark.slow
def test_hidden_pixels_are_neither_seen_nor_judged(model, training):
    """NaN where nobody saw a pixel; errors by hand over the others."""
    rng = np.random.default_rng(3)
    images = (rng.random((4, 12, 8, 8)) > 0.7).astype(np.float32)
    shown = rng.random(images.shape) > 0.3
    shown[:, :, :2] = False  # always hidden
    data = Sequences(np.where(shown, images, np.nan).astype(np.float32), shown)
    mask = block_mask(4, 12, start=4, length=5)
    errors = Imputer(model, data, training=training).errors(mask, nearest=True, draws=1)
    given = shown & (mask > 0.5)[..., None, None]
    imputed = model.impute(images, given).smoothed.numpy()
    judged = shown & (mask < 0.5)[..., None, None]
    expected = np.sqrt(np.mean((imputed[judged] - images[judged]) ** 2))
    assert errors.frames["smoothing"].rmse == pytest.approx(expected, rel=1e-4)
    mean = np.broadcast_to(training.mean_frame(), images.shape)
    expected = np.sqrt(np.mean((mean[judged] - images[judged]) ** 2))
    assert errors.frames["mean frame"].rmse == pytest.approx(expected, rel=1e-4)
    assert all(np.isfinite(e.log_likelihood) for e in errors.frames.values())
    # as many nats as visible pixels: about 64 * 3/4 * .7 of them
    whole = Imputer(model, Sequences(images), training=training).errors(mask, draws=1)
    ratio = errors.frames["mean frame"].log_likelihood / whole.frames["mean frame"].log_likelihood
    assert ratio == pytest.approx(judged.sum() / (judged.shape[0] * 5 * 64), rel=0.1)


@pytest.mark.slow
def test_the_log_likelihood_is_that_of_the_posterior_of_the_codes(model, data):
    """Against the integral over a_t on a fine grid."""
    mask = block_mask(5, 12, start=4, length=5)
    errors = Imputer(model, data, batch_size=2).errors(mask, draws=400)
    smoothed = model.smooth(model.encode(data.frames).mean(), mask)
    mean, cov = (v.numpy()[mask < 0.5] for v in (smoothed.a_mean, smoothed.a_cov))
    side = np.linspace(-4, 4, 41)
    grid = np.stack(np.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2)
    weights = norm.pdf(grid).prod(-1) / norm.pdf(grid).prod(-1).sum()
    found = []
    for m, c, truth in zip(mean, cov, data.frames[mask < 0.5], strict=True):
        codes = m + grid @ np.linalg.cholesky(c).T
        frames = model.decode(codes[None].astype(np.float32))
        log_px = frames.log_prob(np.broadcast_to(truth, (1, len(grid), 8, 8)).astype(np.float32))
        found.append(np.log(np.exp(log_px.numpy()[0].astype(np.float64)) @ weights))
    assert errors.frames["smoothing"].log_likelihood == pytest.approx(np.mean(found), abs=0.1)


def test_the_coverage_is_the_share_of_drawn_codes_inside_the_intervals(model, data):
    mask = block_mask(5, 12, start=4, length=5)
    errors = Imputer(model, data, batch_size=2).errors(mask)
    q = model.encode(data.frames)
    filtered = model.filter(q.mean(), mask)
    drawn = q.sample(4000, seed=3).numpy()
    spread = np.sqrt(np.diagonal(filtered.a_cov.numpy(), axis1=-2, axis2=-1))
    off = np.abs(drawn - filtered.a_mean.numpy()) / spread
    for level, found in zip(LEVELS, errors.coverage["filtering"], strict=True):
        inside = off < norm.ppf(0.5 + level / 2)
        assert found == pytest.approx(inside[:, mask < 0.5].mean(), abs=0.01)
    inside = off < norm.ppf(0.95)
    over_gap = [inside[:, :, step].mean() for step in range(4, 9)]
    np.testing.assert_allclose(errors.coverage_over_gap["filtering"], over_gap, atol=0.02)


def test_the_baselines_are_those_of_the_training_sequences(model, data, training):
    mask = block_mask(5, 12, start=4, length=5)
    missing, truth = mask < 0.5, data.frames.astype(np.float64)
    imputer = Imputer(model, data, training=training, batch_size=2)
    errors = imputer.errors(mask, nearest=True, draws=2)
    mean = training.frames.mean((0, 1))
    for name, filled in (
        ("mean frame", np.broadcast_to(mean, truth.shape)),
        ("last frame", baselines.last_observed(truth, ~missing)),
        ("linear interpolation", baselines.interpolated(truth, ~missing)),
        (
            "nearest training sequence",
            training.frames[
                baselines.nearest(truth, ~missing, training.frames, np.ones((7, 12), bool))
            ],
        ),
    ):
        wrong, rmse, log_px = errors.frames[name]
        guess = filled[missing].astype(np.float64)
        assert wrong == pytest.approx(((guess > 0.5) != truth[missing]).mean())
        assert rmse == pytest.approx(np.sqrt(((guess - truth[missing]) ** 2).mean()), rel=1e-5)
        # no error rate suits it better than about the best, and none gives certainty
        rates = np.r_[1e-4, 1e-3, np.linspace(0.01, 0.99, 99)][:, None, None, None]
        p = (1 - rates) * guess + rates / 2
        best = np.where(truth[missing] > 0, np.log(p), np.log(1 - p)).sum((2, 3)).mean(1).max()
        assert best - 3.0 < log_px < best + 1e-3
    assert tuple(errors.frames) == METHODS + BASELINES
    assert set(Imputer(model, data).errors(mask).frames) == {*METHODS, *BASELINES[:3]}


@pytest.mark.slow
def test_a_normal_baseline_has_the_variance_of_its_error(data):
    model = KVAE((8, 8), num_filters=(2,), alpha_units=3, out_distr="gaussian")
    mask = block_mask(5, 12, start=4, length=5)
    _, rmse, log_px = Imputer(model, data).errors(mask, draws=1).frames["mean frame"]
    assert log_px == pytest.approx(64 * norm.logpdf(rmse, scale=rmse), rel=1e-5)


@pytest.mark.slow
def test_sequences_whose_states_diverge_are_counted_and_judged_as_the_mean_frame(data, monkeypatch):
    monkeypatch.setattr(closed_loop, "MOST_GROWTH", np.inf)  # otherwise A is limited in gaps
    keras.utils.set_random_seed(1)
    model = KVAE((8, 8), num_filters=(2,), alpha_units=3, K=1)
    model.A.assign(1e3 * model.A)  # beyond float32 over a gap of eight steps
    mask = block_mask(5, 12, start=4, length=8)
    with pytest.raises(FloatingPointError, match=r"KVAE\.filter"):
        model.filter(model.encode(data.frames).mean(), mask)
    errors = Imputer(model, data).errors(mask, draws=2)
    assert len(errors.coverage_over_gap["filtering"]) < 8  # diverged frames are not counted
    assert errors.diverged["filtering"] == errors.diverged["generation"] == 5
    assert np.isfinite([list(e) for e in errors.frames.values()]).all()
    rmse = {name: e.rmse for name, e in errors.frames.items()}
    assert rmse["generation"] == pytest.approx(rmse["mean frame"], rel=0.1)
    json.dumps(errors.as_dict(), allow_nan=False)


@pytest.mark.slow
def test_a_constant_dimension_of_a_has_no_error(model, data):
    flat = KVAE((8, 8), num_filters=(2,), alpha_units=3)
    head = flat.frame_vae.encoder.get_layer("mean")
    head.kernel.assign(head.kernel * [1.0, 0.0])
    errors = Imputer(flat, data).errors(block_mask(5, 12, start=4, length=5))
    assert np.isfinite(errors.codes["smoothing"][0]) and np.isnan(errors.codes["smoothing"][1])
    assert errors.as_dict()["codes"]["smoothing"][1] is None


def test_what_is_worse_than_a_baseline_that_knows_no_more_is_said():
    frames = {name: FrameErrors(0.0, 0.1, -5.0) for name in METHODS + BASELINES}
    frames["filtering"] = FrameErrors(0.0, 0.2, -4.0)
    frames["nearest training sequence"] = FrameErrors(0.0, 0.05, -6.0)
    errors = ImputationErrors(frames, {}, {}, {}, {}, {}, 1)
    assert worse_than_baselines(errors) == [
        "smoothing is WORSE in RMSE (0.1) than nearest training sequence (0.05)",
        "filtering is WORSE in RMSE (0.2) than mean frame (0.1), last frame (0.1)",
    ]
    frames["generation"] = FrameErrors(0.0, 0.1, -7.0)
    assert worse_than_baselines(errors)[2] == (
        "generation is WORSE in log-likelihood (-7) than mean frame (-5), last frame (-5)"
    )


@pytest.mark.slow
def test_frames_that_were_never_observed_are_not_judged(model, data, training):
    gaps = np.ones((5, 12), np.float32)
    gaps[:, 6] = 0
    images = data.frames.astype(np.float32)
    images[:, 6] = np.nan
    imputer = Imputer(model, Sequences(images, mask=gaps), training=training, t_init=4)
    errors = imputer.errors(block_mask(5, 12, start=6, length=2), nearest=True, draws=1)
    assert np.isfinite([list(e) for e in errors.frames.values()]).all() and errors.count == 5
    with pytest.raises(ValueError, match="mask: no frame is missing"):
        Imputer(model, Sequences(images, mask=gaps), t_init=4).errors(np.ones((5, 12)))


def test_training_sequences_that_share_no_observed_frame_are_no_neighbours(model, data):
    early, late = np.zeros((2, 5, 12), np.float32)
    early[:, :6], late[:, 10:] = 1, 1
    imputer = Imputer(model, data.with_mask(early), training=data.with_mask(late))
    errors = imputer.errors(block_mask(5, 12, start=4, length=2), nearest=True)
    nearest, mean = (errors.frames[n] for n in ("nearest training sequence", "mean frame"))
    assert nearest[:2] == mean[:2]


def test_the_original_programs_baseline(data):
    first = data.frames[0]
    pairs = [(first[i] != first[j]).mean() for i in (0, 3, 6) for j in (9,)]
    assert original_baseline(first) == pytest.approx(max(pairs))
    with pytest.raises(ValueError, match="sequence: expected at least 10 frames, got 9"):
        original_baseline(first[:9])


def test_t_init_is_checked(model, data):
    with pytest.raises(ValueError, match="t_init: expected 1 to 12 observed frames, got 13"):
        Imputer(model, data, t_init=13)


def test_the_curves_have_the_papers_points_that_fit(model, data):
    curves = imputation_curves(Imputer(model, data), data, drops=(0.5, 1.0))
    assert curves["block"]["x"] == [1, 3, 5, 7]
    assert curves["random"]["x"] == [0.5, 1.0]
    assert len(curves["random"]["smoothing"]["rmse"]) == 2
    assert curves["random"]["diverged"]["smoothing"] == [0, 0]
    # With every frame after the fourth missing nothing comes after the gap: smoothing is filtering
    # is generation.
    at_end = {name: curves["random"][name]["rmse"][1] for name in METHODS}
    assert at_end["smoothing"] == pytest.approx(at_end["filtering"], abs=1e-3)
    assert at_end["smoothing"] == pytest.approx(at_end["generation"], abs=1e-3)


@pytest.mark.slow
def test_the_elbo_of_all_is_the_mean_of_its_parts(model, data):
    parts = [evaluate_elbo(model, data.take(slice(i, i + 1)), seed=0)["log_px"] for i in range(5)]
    assert evaluate_elbo(model, data, seed=0)["log_px"] == pytest.approx(np.mean(parts), rel=0.05)
    once, again = (evaluate_elbo(model, data, batch_size=2, seed=3) for _ in range(2))
    assert once == again
    assert once["elbo"] == pytest.approx(once["log_px"] - once["log_qa"] + once["lgssm"], rel=1e-4)


def test_the_published_curves_are_those_of_the_notes():
    assert published.RANDOM["published, smoothing"][0.5] == 0.0075
    assert published.BLOCK["published, smoothing"][15] == 0.0227
    for curves in (published.RANDOM, published.BLOCK):
        for name, points in curves.items():
            assert list(points) == sorted(points), name
            assert points[max(points)] == max(points.values()), name
