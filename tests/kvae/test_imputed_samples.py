"""The draws and intervals of `impute`, against the Gaussians that they follow."""

import keras
import numpy as np
import pytest

from kvae import KVAE, Imputed


@pytest.fixture(scope="module")
def series():
    rng = np.random.default_rng(0)
    steps = np.arange(20)[:, None] + rng.uniform(0, 6, (4, 1, 1))
    values = np.concatenate([10 * np.sin(steps), 500 + np.cos(steps)], -1)
    values += 0.1 * rng.normal(size=values.shape)
    values[:, 6:11, 0], values[2, 8:12] = np.nan, np.nan
    return values


@pytest.mark.slow
def test_intervals_of_series_are_the_smoothers(series):
    """encoder="identity": p(x_t | observed) is the Gaussian of the codes, in units."""
    keras.utils.set_random_seed(0)
    model = KVAE.for_series(series)
    found = model.impute(series, num_samples=4000, quantiles=(0.05, 0.95), seed=3)
    scale = model.frame_vae.scale.numpy()
    spread = scale * np.sqrt(np.diagonal(found.a_smoothed_cov, axis1=-2, axis2=-1))
    assert found.samples.shape == (4000, 4, 20, 2) and found.quantiles.shape == (2, 4, 20, 2)
    for sign, ends in zip((-1, 1), found.quantiles.numpy(), strict=True):
        np.testing.assert_allclose(
            (ends - found.smoothed) / spread, 1.645 * sign, atol=0.15, err_msg=f"end {sign}"
        )
    again = model.impute(series, num_samples=4000, quantiles=(0.05, 0.95), seed=3)
    np.testing.assert_array_equal(found.samples, again.samples)


@pytest.mark.slow
def test_the_noise_of_normal_numbers_is_in_the_draws(series):
    """A decoder whose output does not depend on a: only the noise of the numbers is left."""
    keras.utils.set_random_seed(0)
    model = KVAE.for_series(series, encoder=None, noise_pixel_var=0.25)
    for weight in model.frame_vae.decoder.trainable_variables:
        weight.assign(0.0 * weight)
    found = model.impute(series, num_samples=4000, seed=0)
    expected = np.broadcast_to(0.5 * model.frame_vae.scale.numpy(), (4, 20, 2))
    np.testing.assert_allclose(np.std(found.samples, 0) / expected, 1.0, atol=0.08)


@pytest.mark.slow
def test_frames_of_bits_and_wrong_arguments():
    model = KVAE((8, 8), num_filters=(2,), alpha_units=3)
    frames, mask = np.random.default_rng(0).random((2, 5, 8, 8)) > 0.7, np.ones((2, 5))
    mask[:, 2] = 0
    found = model.impute(frames, mask, num_samples=3, seed=0)
    assert found.samples.shape == (3, 2, 5, 8, 8) and found.quantiles.shape == (3, 2, 5, 8, 8)
    assert np.min(found.samples) >= 0 and np.max(found.samples) <= 1
    plain = model.impute(frames, mask)
    assert isinstance(plain, Imputed)
    np.testing.assert_allclose(plain.smoothed, found.smoothed, atol=1e-6)
    with pytest.raises(ValueError, match="quantiles: expected probabilities"):
        model.impute(frames, mask, num_samples=3, quantiles=(5, 95))
    with pytest.raises(ValueError, match="quantiles: expected num_samples with it"):
        model.impute(frames, mask, quantiles=(0.1, 0.9))
    with pytest.raises(ValueError, match=r"expected one array .*kvae\.series\.padded"):
        KVAE.for_series([np.zeros((3, 1)), np.zeros((4, 1))])
    with pytest.raises(ValueError, match="num_samples: expected an integer of at least 1"):
        model.impute(frames, mask, num_samples=0)
