"""Masks: 1 = observed."""

import numpy as np
import pytest

from seqvae.data import block_mask, random_mask


def test_a_block_is_missing():
    np.testing.assert_array_equal(block_mask(2, 6, start=2, length=3), [[1, 1, 0, 0, 0, 1]] * 2)
    assert block_mask(2, 6, start=2, length=0).all()


@pytest.mark.parametrize(("start", "length"), [(-1, 2), (6, 0), (4, 3), (2, -1)])
def test_a_block_outside_the_sequence(start, length):
    with pytest.raises(
        ValueError,
        match=f"start={start}, length={length}: the missing block must lie within the 6 frames",
    ):
        block_mask(1, 6, start=start, length=length)


def test_random_masks_drop_as_asked_after_the_start():
    mask = random_mask(2000, 10, start=4, drop_prob=0.3, seed=1)
    assert mask[:, :4].all()
    dropped = 1 - mask[:, 4:].mean()
    assert abs(dropped - 0.3) < 6 * np.sqrt(0.3 * 0.7 / 12000)
    np.testing.assert_array_equal(mask, random_mask(2000, 10, start=4, drop_prob=0.3, seed=1))
    assert not random_mask(5, 10, start=4, drop_prob=1.0, seed=1)[:, 4:].any()


def test_random_mask_arguments():
    with pytest.raises(ValueError, match=r"drop_prob: expected a probability in \[0, 1\], got 1.5"):
        random_mask(1, 5, start=1, drop_prob=1.5, seed=0)
    with pytest.raises(ValueError, match=r"start: expected 1 to 5 observed frames.*got 0"):
        random_mask(1, 5, start=0, drop_prob=0.5, seed=0)
