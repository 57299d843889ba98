"""The baselines of World Models."""

import numpy as np
import pytest

from seqvae.data import open_shards
from worldmodels.evaluation import mean_frame_error


def test_the_error_of_the_mean_frame_is_that_of_all_frames_together(tmp_path):
    rng = np.random.default_rng(0)
    episodes = [rng.integers(0, 256, (steps, 4, 6, 3), np.uint8) for steps in (5, 2, 9)]
    for i, frames in enumerate(episodes):
        np.savez(tmp_path / f"episode-{i:05d}.npz", frames=frames)
    frames = np.concatenate(episodes) / 255
    expected = np.square(frames - frames.mean(axis=0)).mean()
    found = mean_frame_error(open_shards(tmp_path, {"frames": "[T, H, W, C] uint8"}))
    assert found == pytest.approx(expected, rel=1e-9)
