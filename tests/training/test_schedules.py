"""Learning rates over the epochs."""

import numpy as np
import pytest

from seqvae.training import cosine_decay, exponential_decay


def test_the_cosine_falls_from_its_start_to_nearly_nothing():
    rate = cosine_decay(0.008, 4)
    np.testing.assert_allclose(
        [rate(e) for e in range(4)], 0.004 * (1 + np.cos(np.pi * np.arange(4) / 4))
    )
    for wrong in ((0, 4), (0.1, 0)):
        with pytest.raises(ValueError, match="cosine_decay: expected start > 0 and epochs >= 1"):
            cosine_decay(*wrong)


def test_decay_is_a_staircase_and_checks_its_arguments():
    rate = exponential_decay(0.008, 0.5, 20)
    assert [rate(e) for e in (0, 19, 20, 45)] == [0.008, 0.008, 0.004, 0.002]
    for wrong in ((0, 0.5, 1), (1, 0, 1), (1, 0.5, 0)):
        with pytest.raises(ValueError, match="exponential_decay: expected start > 0"):
            exponential_decay(*wrong)
