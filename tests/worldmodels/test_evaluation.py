"""The baselines of World Models."""

import numpy as np
import pytest

from seqvae.data import open_shards, shard_path, write_shard
from tests.worldmodels.small_models import SHAPE, small_vae
from worldmodels.evaluation import mean_frame_error
from worldmodels.report import VAEReport, _spread


def test_the_error_of_the_mean_frame_is_that_of_all_frames_together(tmp_path):
    rng = np.random.default_rng(0)
    episodes = [rng.integers(0, 256, (steps, 4, 6, 3), np.uint8) for steps in (5, 2, 9)]
    for i, frames in enumerate(episodes):
        np.savez(tmp_path / f"episode-{i:05d}.npz", frames=frames)
    frames = np.concatenate(episodes) / 255
    expected = np.square(frames - frames.mean(axis=0)).mean()
    found = mean_frame_error(open_shards(tmp_path, {"frames": "[T, H, W, C] uint8"}))
    assert found == pytest.approx(expected, rel=1e-9)


def test_every_nth_of_the_pictured_frames_is_from_another_time(tmp_path):
    """Episodes of 100 frames whose pixels are their time."""
    time = np.arange(100, dtype=np.uint8)[:, None, None, None]
    frames = np.broadcast_to(time, (100, 2, 2, 3))
    for i in range(30):
        write_shard(shard_path(tmp_path / "e.npz", i, 30), {"frames": frames})
    shown = _spread(open_shards(tmp_path / "e.npz", {"frames": "frames"}), 64)[:, 0, 0, 0]
    for step in (1, 2, 3, 6):
        every = np.sort(shown[::step])
        assert every[0] < 20 and every[-1] > 80 and np.diff(every.astype(int)).max() < 35


@pytest.mark.parametrize(
    ("kl", "error", "expected"),
    [
        (1.51, 0.5, "50.0% of the mean frame's. The KL stands at its floor of 1.5 nats"),
        (1.51, 0.04, "4.0% of the mean frame's"),
        (1.6, 0.5, "50.0% of the mean frame's"),
        (1.51, 2.0, "the ConvVAE is WORSE than the mean frame"),
    ],
)
def test_a_kl_at_its_floor_is_named_where_much_is_lost(tmp_path, kl, error, expected):
    for i in range(2):
        frames = np.zeros((3, *SHAPE), np.uint8)
        write_shard(shard_path(tmp_path / "e.npz", i, 2), {"frames": frames})
    episodes = open_shards(tmp_path / "e.npz", {"frames": "frames"})
    figures = {"kl": kl, "kl_nats": kl, "pixel_mse": error, "baselines": {"mean_frame": 1.0}}
    line = VAEReport(small_vae(), episodes, tmp_path, 0).summary(figures)[1]
    assert expected in line and ("--kl_tolerance" in line) == ("floor" in expected)
