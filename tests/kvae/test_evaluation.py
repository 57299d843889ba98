"""The imputation errors against their definition, on a model whose decoder is known."""

import numpy as np
import pytest

from kvae import KVAE, published
from kvae.evaluation import Imputer, evaluate_elbo, imputation_curves
from seqvae.data import Sequences, block_mask


@pytest.fixture(scope="module")
def model():
    import keras

    keras.utils.set_random_seed(1)
    return KVAE((8, 8), num_filters=(2,), alpha_units=3, init_kf_matrices=0.5)


@pytest.fixture(scope="module")
def data():
    return Sequences(np.random.default_rng(0).random((5, 12, 8, 8)) > 0.7)


def test_the_errors_are_the_fractions_of_wrong_pixels_on_missing_frames(model, data):
    mask = block_mask(5, 12, start=4, length=5)
    errors = Imputer(model, data, t_init=4, batch_size=2).errors(mask)
    imputed = model.impute(data.images, mask)
    missing = mask < 0.5
    for frames, found in (
        (imputed.smoothed, errors.smoothing),
        (imputed.filtered, errors.filtering),
    ):
        expected = ((frames.numpy() > 0.5) != data.images)[missing].mean()
        assert found == pytest.approx(
            expected, abs=1e-3
        )  # a pixel may fall on the other side of 0.5 in another batch
    states = model.smooth(model.encode(data.images).mean()[:, :4]).mean
    generated = model.generate(12, states=states).frames.numpy() > 0.5
    assert errors.generation == pytest.approx((generated != data.images)[missing].mean(), abs=1e-3)
    background = data.images.mean(axis=(0, 1)) > 0.5
    assert errors.no_ball == pytest.approx((data.images != background)[missing].mean())
    first = data.images[0]
    pairs = [(first[i] != first[j]).mean() for i in (0, 3, 6) for j in (9,)]
    assert errors.original_baseline == pytest.approx(max(pairs))
    encoded = model.encode(data.images).mean().numpy()[missing]
    rmse = np.sqrt(np.mean((imputed.a_smoothed.numpy()[missing] - encoded) ** 2)) / np.ptp(encoded)
    assert errors.rmse_smoothing == pytest.approx(rmse, rel=1e-3)


def test_frames_that_were_never_observed_are_not_judged(model, data):
    gaps = np.ones((5, 12), np.float32)
    gaps[:, 6] = 0
    images = data.images.astype(np.float32)
    images[:, 6] = np.nan
    errors = Imputer(model, Sequences(images, mask=gaps), t_init=4).errors(
        block_mask(5, 12, start=6, length=2)
    )
    assert np.isfinite(errors[:4]).all()
    with pytest.raises(ValueError, match="mask: no frame is missing"):
        Imputer(model, Sequences(images, mask=gaps), t_init=4).errors(np.ones((5, 12)))


def test_t_init_is_checked(model, data):
    with pytest.raises(ValueError, match="t_init: expected 1 to 12 observed frames, got 13"):
        Imputer(model, data, t_init=13)


def test_the_curves_have_the_papers_points_that_fit(model, data):
    curves = imputation_curves(Imputer(model, data), data, drops=(0.5, 1.0))
    assert curves["block"]["x"] == [1, 3, 5, 7]
    assert curves["random"]["x"] == [0.5, 1.0]
    assert len(curves["random"]["smoothing"]) == 2
    # With every frame after the fourth missing nothing comes after the gap: smoothing is filtering
    # is generation.
    assert curves["random"]["smoothing"][1] == pytest.approx(
        curves["random"]["filtering"][1], abs=1e-3
    )
    assert curves["random"]["smoothing"][1] == pytest.approx(
        curves["random"]["generation"][1], abs=1e-3
    )


def test_the_elbo_of_all_is_the_mean_of_its_parts(model, data):
    parts = [evaluate_elbo(model, data.take(slice(i, i + 1)), seed=0)["log_px"] for i in range(5)]
    assert evaluate_elbo(model, data, seed=0)["log_px"] == pytest.approx(np.mean(parts), rel=0.05)
    once, again = (evaluate_elbo(model, data, batch_size=2, seed=3) for _ in range(2))
    assert once == again
    assert once["elbo"] == pytest.approx(once["log_px"] - once["log_qa"] + once["lgssm"], rel=1e-4)


def test_the_published_curves_are_those_of_the_notes():
    assert published.RANDOM["paper, smoothing"][0.5] == 0.0075
    assert published.BLOCK["paper, smoothing"][15] == 0.0227
    for curves in (published.RANDOM, published.BLOCK):
        for name, points in curves.items():
            assert list(points) == sorted(points), name
            assert points[max(points)] == max(points.values()), name
