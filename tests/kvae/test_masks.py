"""Masks of frames, pixels and numbers, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from kvae import masks
from seqvae.data.masks import is_observed

VALUES = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2) + 1.0
OF_FRAMES = np.array([[1, 0, 1], [0, 0, 1]], np.float32)
OF_PIXELS = (VALUES % 3 > 0).astype(np.float32)


@pytest.mark.parametrize("mask", [OF_FRAMES, OF_PIXELS], ids=["frames", "pixels"])
def test_missing_values_become_zero_and_pass_no_gradient(mask):
    seen = np.broadcast_to(mask.reshape(*mask.shape, *[1] * (4 - mask.ndim)), VALUES.shape) == 1
    values = tf.constant(np.where(seen, VALUES, np.nan).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(values)
        found = masks.zero_missing(values, tf.constant(mask))
        total = tf.reduce_sum(found**2)
    np.testing.assert_array_equal(found, np.where(seen, VALUES, 0.0))
    np.testing.assert_array_equal(tape.gradient(total, values), np.where(seen, 2 * VALUES, 0.0))
    observed = is_observed(masks.like(tf.constant(mask), values))
    np.testing.assert_array_equal(np.broadcast_to(observed, seen.shape), seen)


@pytest.mark.parametrize("of", [np.asarray, tf.constant])
def test_1_is_observed_and_0_missing_of_either_library(of):
    observed = is_observed(of(OF_FRAMES))
    assert observed.dtype == bool
    np.testing.assert_array_equal(observed, [[True, False, True], [False, False, True]])


def test_a_frame_is_observed_if_any_pixel_is():
    mask = OF_PIXELS * OF_FRAMES[..., None, None]
    np.testing.assert_array_equal(masks.of_frames(tf.constant(mask)), mask.max(axis=(2, 3)))
    of_frames = tf.constant(OF_FRAMES)
    assert masks.of_frames(of_frames) is of_frames


def test_a_mask_of_codes_gets_an_axis_of_numbers():
    np.testing.assert_array_equal(masks.of_numbers(tf.constant(OF_FRAMES)), OF_FRAMES[..., None])
    of_numbers = tf.constant(OF_PIXELS[..., 0])
    assert masks.of_numbers(of_numbers) is of_numbers
