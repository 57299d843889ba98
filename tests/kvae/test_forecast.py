"""Draws of what follows, against the Gaussian that they follow where the matrices are fixed, and
against plain loops."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kvae import KVAE
from seqvae.data import block_mask


def small(**options):
    keras.utils.set_random_seed(1)
    defaults = dict(num_filters=(2,), alpha_units=3, init_kf_matrices=0.5)
    model = KVAE((8, 8), **defaults | options)
    rng = np.random.default_rng(2)
    model.A.assign(model.A.numpy() + 0.1 * rng.normal(size=model.A.shape))
    return model


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).random((3, 6, 8, 8)) > 0.7


def test_draws_follow_the_predicted_gaussian_where_the_matrices_are_fixed(frames):
    """K = 1: the filter over a gap at the end gives their exact mean and covariance."""
    model = small(K=1, dim_u=2, init_cov=1.0)
    rng = np.random.default_rng(1)
    controls = rng.normal(size=(3, 10, 2)).astype(np.float32)
    mask = np.ones((3, 6), np.float32)
    mask[1, 3] = 0
    found = model.forecast(
        frames, 4, mask=mask, controls=controls, num_samples=4000, decode=False, seed=1
    )
    a = np.concatenate([model.encode(frames).mean(), np.zeros((3, 4, 2))], 1)
    longer = np.concatenate([mask, np.zeros((3, 4))], 1)
    filtered = model.filter(a, longer, controls)
    spread = np.sqrt(np.diagonal(filtered.a_cov[:, 6:], axis1=-2, axis2=-1))
    np.testing.assert_allclose(found.a_mean, filtered.a_mean[:, 6:], atol=0.06 * spread.max())
    np.testing.assert_allclose(found.a_cov, filtered.a_cov[:, 6:], rtol=0.2, atol=0.02)
    ends = filtered.a_mean[:, 6:] + 1.6449 * np.array([-1, 0, 1])[:, None, None, None] * spread
    np.testing.assert_allclose(found.a_quantiles, ends, atol=0.12 * spread.max())
    assert found.frames is None and found.frames_mean is None


@pytest.mark.parametrize("options", [{}, dict(alpha_rnn=False, fifo_size=2, learn_u=True)])
def test_without_noise_it_is_the_plain_loop_after_the_filter(frames, options):
    """The mixture follows the codes that were drawn, from the network's state after the last
    frame."""
    noises = dict(noise_transition=1e-10, noise_emission=1e-10, init_cov=1.0)
    model = small(**options)
    codes = model.encode(frames).mean().numpy()
    for name, value in noises.items():
        model._config[name] = value
    found = model.forecast(frames, 3, num_samples=2, decode=False, seed=0)
    model = small(**options | noises)
    inputs = np.concatenate([np.broadcast_to(model.a_0.numpy(), (3, 1, 2)), codes], 1)
    state = model.dynamics.initial_state(3)
    for t in range(7):
        (alpha, u), state = model.dynamics.step(tf.constant(inputs[:, t], tf.float32), state)
    z = model.filter(codes).mean.numpy()[:, -1]
    for t in range(3):
        A, B, C = (np.einsum("bk,kij->bij", alpha, w.numpy()) for w in (model.A, model.B, model.C))
        u = np.zeros((3, 1)) if u is None else u
        z = np.einsum("bij,bj->bi", A, z) + np.einsum("bij,bj->bi", B, u)
        a = np.einsum("bij,bj->bi", C, z)
        np.testing.assert_allclose(found.z[0, :, t], z, rtol=2e-2, atol=2e-3)
        np.testing.assert_allclose(found.a[1, :, t], a, rtol=2e-2, atol=2e-3)
        (alpha, u), state = model.dynamics.step(tf.constant(a, tf.float32), state)


def test_frames_are_decoded_and_have_quantiles(frames):
    model = small()
    found = model.forecast(frames, 2, num_samples=5, quantiles=(0.0, 1.0), seed=3)
    each = model.decode(tf.reshape(found.a, [15, 2, 2])).mean()
    np.testing.assert_allclose(found.frames, tf.reshape(each, [5, 3, 2, 8, 8]), atol=1e-6)
    np.testing.assert_allclose(found.frames_mean, np.mean(found.frames, 0), atol=1e-6)
    np.testing.assert_allclose(found.frames_quantiles[1], np.max(found.frames, 0), atol=1e-6)
    again = model.forecast(frames, 2, num_samples=5, seed=3)
    np.testing.assert_array_equal(again.a, found.a)


def test_series_have_draws_in_their_own_units():
    series = 1000.0 + np.cumsum(np.random.default_rng(0).normal(size=(2, 30, 1)), 1)
    keras.utils.set_random_seed(1)
    model = KVAE((1,), out_distr="gaussian", encoder="identity", dim_a=1, dim_z=2, K=1)
    model.adapt(series)
    found = model.forecast(series, 3, num_samples=50, seed=0)
    assert found.frames.shape == (50, 2, 3, 1)
    assert 900 < np.mean(found.frames_mean) < 1100
    scaled = (found.frames - model.frame_vae.shift) / model.frame_vae.scale
    np.testing.assert_allclose(scaled, found.a, atol=1e-3)


def test_wrong_arguments_are_refused(frames):
    model = small()
    with pytest.raises(ValueError, match="num_steps: expected an integer of at least 1, got 0"):
        model.forecast(frames, 0)
    with pytest.raises(ValueError, match=r"quantiles: expected probabilities in \[0, 1\].*got 95"):
        model.forecast(frames, 2, quantiles=95)
    with pytest.raises(ValueError, match=r"controls: expected the shape \[3, 8, 1\]"):
        model.forecast(frames, 2, controls=np.zeros((3, 6, 1)))


def test_states_that_grow_without_limit_are_named(frames):
    model = small()
    model.A.assign(1e10 * model.A)
    with pytest.raises(FloatingPointError, match=r"KVAE\.forecast: a is not finite"):
        model.forecast(frames, 8, num_samples=2)


def test_generation_from_the_prior():
    model = small(init_cov=4.0)
    drawn = model.generate(3, batch_size=500, seed=1)
    assert drawn.frames.shape == (500, 3, 8, 8)
    assert np.std(drawn.z[:, 0]) == pytest.approx(2.0, rel=0.1)
    assert not np.array_equal(drawn.z, model.generate(3, batch_size=500, seed=2).z)
    assert model.generate(3).frames.shape == (1, 3, 8, 8)
    with pytest.raises(ValueError, match=r"batch_size: expected None beside states, .* got 7"):
        model.generate(3, states=drawn.z[:2], batch_size=7)


def test_frames_of_given_states_have_no_noise(frames):
    model = small()
    mask = block_mask(3, 6, start=3, length=3)
    states = model.smooth(model.encode(frames).mean(), mask).mean[:, :3]
    quiet, noisy = (model.generate(6, states=states, stochastic=s, seed=1) for s in (False, True))
    np.testing.assert_array_equal(noisy.a[:, :3], quiet.a[:, :3])
    assert not np.allclose(noisy.a[:, 3:], quiet.a[:, 3:])


def test_without_decoding_there_are_no_frames_and_the_same_codes(frames):
    model = small()
    for verb in (
        lambda **given: model.generate(4, batch_size=2, seed=1, **given),
        lambda **given: model.posterior_sample(frames, num_samples=2, seed=1, **given),
    ):
        whole, codes = verb(), verb(decode=False)
        assert codes.frames is None and whole.frames is not None
        np.testing.assert_array_equal(whole.a, codes.a)
