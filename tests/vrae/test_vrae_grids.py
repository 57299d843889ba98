"""Positions in time, gaps, the cosine transform, patches and augmentation, against NumPy and
SciPy."""

import numpy as np
import pytest
import scipy.fft
import tensorflow as tf

from tests.tolerances import SAME_FLOAT32, STANDARD_ERRORS
from vrae import grids, patches
from vrae.augmentation import mixed, warped
from vrae.grids import Steps

RNG = np.random.default_rng(0)
LENGTHS = np.array([7, 4, 1])


def steps(lengths=LENGTHS, length=7, features=2, holes=0.3, seed=1, times=None) -> Steps:
    rng = np.random.default_rng(seed)
    valid = (np.arange(length) < lengths[:, None]).astype(np.float32)
    observed = valid[..., None] * (rng.random((len(lengths), length, features)) >= holes)
    observed[:, 0] = 1.0
    values = rng.normal(size=observed.shape) * observed
    times = np.tile(np.arange(length), (len(lengths), 1)) if times is None else times
    arrays = [tf.constant(x, tf.float32) for x in (values, observed, valid, times)]
    position, interval = grids.relative(arrays[3], arrays[2])
    return Steps(*arrays[:3], position, interval, arrays[3])


def test_the_largest_so_far_and_the_end_of_a_mask():
    x = RNG.random((3, 11, 2)).astype(np.float32)
    np.testing.assert_array_equal(grids.prefix_max(tf.constant(x)), np.maximum.accumulate(x, 1))
    mask = tf.constant([[1.0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0]])
    np.testing.assert_array_equal(
        grids.to_the_end(mask), [[1, 1, 1, 0], [1, 1, 1, 1], [1, 0, 0, 0]]
    )


def test_relative_time_is_that_of_each_sequence():
    times = np.array([[3, 4, 8, 9], [0, 1, 5, 6], [2, 3, 4, 5]], np.float32)
    valid = (np.arange(4) < np.array([[4], [3], [1]])).astype(np.float32)
    position, interval = grids.relative(tf.constant(times), tf.constant(valid))
    expected = [[0, 1 / 6, 5 / 6, 1], [0, 0.2, 1, 1], [0, 0, 0, 0]]
    np.testing.assert_allclose(position, expected, **SAME_FLOAT32)
    np.testing.assert_allclose(interval[:, 0], [2, 2.5, 1], **SAME_FLOAT32)


def test_the_time_since_a_number_was_observed():
    times = np.cumsum(RNG.uniform(0.5, 3, (3, 7)), 1).astype(np.float32)
    made = steps(times=times)
    found, observed = grids.since_observed(made).numpy(), made.observed.numpy()
    for i, t, k in np.ndindex(3, 7, 2):
        if t < LENGTHS[i]:
            seen = np.flatnonzero(observed[i, :t, k])
            passed = times[i, t] - times[i, seen[-1] if len(seen) else 0]
            expected = np.log1p(passed / float(made.interval[i, 0]))
            np.testing.assert_allclose(found[i, t, k], expected, rtol=1e-4, atol=1e-5)


def test_gaps_are_interpolated_in_time():
    times = np.cumsum(RNG.uniform(0.5, 3, (3, 7)), 1).astype(np.float32)
    made = steps(times=times, holes=0.6)
    found = grids.interpolated(made).numpy()
    for i, k in np.ndindex(3, 2):
        seen = np.flatnonzero(made.observed[i, :, k])
        expected = np.interp(times[i], times[i, seen], made.values.numpy()[i, seen, k])
        end = LENGTHS[i]
        np.testing.assert_allclose(found[i, :end, k], expected[:end], rtol=1e-4, atol=1e-5)


def test_the_cosine_transform_is_that_of_scipy_and_goes_back():
    made = steps(holes=0.0)
    waves = grids.waves(made.valid, made.position, 7)
    found = grids.cosine_coefficients(made.values, waves, made.valid).numpy()
    for i, end in enumerate(LENGTHS):
        expected = scipy.fft.dct(made.values.numpy()[i, :end], axis=0) / end
        expected[0] /= 2
        np.testing.assert_allclose(found[i, :end], expected, **SAME_FLOAT32)
        assert not found[i, end:].any()  # above the sampling limit
    back = tf.einsum("btk,bkf->btf", waves, found)
    np.testing.assert_allclose(back, made.values, **SAME_FLOAT32)


def test_sequences_are_read_at_relative_times():
    made = steps(holes=0.0)
    at = np.tile(np.linspace(0, 1, 5), (3, 1)).astype(np.float32)
    found = grids.resampled(made.values, made.valid, tf.constant(at)).numpy()
    for i, k in np.ndindex(3, 2):
        end = LENGTHS[i]
        expected = np.interp(at[i] * (end - 1), np.arange(end), made.values.numpy()[i, :end, k])
        np.testing.assert_allclose(found[i, :, k], expected, **SAME_FLOAT32)


@pytest.mark.parametrize("size", (1, 2, 3, 9))
def test_patches_go_back_to_steps(size):
    x = RNG.normal(size=(2, 7, 3)).astype(np.float32)
    folded = patches.folded(tf.constant(x), size)
    assert folded.shape == (2, -(-7 // size), 3 * size)
    np.testing.assert_array_equal(patches.unfolded(folded, size, 7), x)
    middles = patches.middles(tf.constant(x[..., 0]), size)
    np.testing.assert_allclose(
        middles[:, 0], x[:, :size, 0].mean(1) if size <= 7 else middles[:, 0]
    )


def test_mixtures_have_the_mean_and_the_covariance_of_the_batch():
    count = 4000
    values = np.tile(RNG.normal(size=(4, 3, 2)), (count // 4, 1, 1))
    made = steps(np.full(count, 3), 3, holes=0.0)._replace(values=tf.constant(values, tf.float32))
    found = mixed(made, 1.0, tf.constant([1, 2])).values.numpy().reshape(count, -1)
    flat = values.reshape(count, -1)
    expected = np.cov(flat.T, bias=True)
    error = STANDARD_ERRORS * np.sqrt(np.diag(expected) / count)
    assert (np.abs(found.mean(0) - flat.mean(0)) < error).all()
    spread = np.sqrt(np.outer(np.diag(expected), np.diag(expected)) * 2 / count)
    assert (np.abs(np.cov(found.T) - expected) < STANDARD_ERRORS * spread).all()


def test_augmentation_keeps_lengths_gaps_and_ends():
    made = steps()
    for change in (mixed, warped):
        found = change(made, 1.0, tf.constant([1, 2]))
        assert (found.values.numpy()[made.observed.numpy() == 0] == 0).all()
        np.testing.assert_array_equal(found.valid, made.valid)
        assert np.abs(found.values - made.values).max() > 0.01
    whole = steps(holes=0.0)
    moved = warped(whole, 0.05, tf.constant([3, 4])).values.numpy()
    for i, end in enumerate(LENGTHS):
        ends = [0, end - 1]
        np.testing.assert_allclose(
            moved[i, ends], whole.values.numpy()[i, ends], rtol=1e-3, atol=1e-4
        )
    np.testing.assert_array_equal(mixed(whole, 0.0, tf.constant([1, 2])).values, whole.values)
