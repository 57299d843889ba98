"""`PixelWorld`: environments as frames of one size, and episodes recorded from them."""

import sys

import gymnasium
import numpy as np
import pytest

import tests.worldmodels.small_worlds as worlds
from seqvae.data import open_shards
from seqvae.physics.env_episodes import (
    POLICIES,
    EpisodeJob,
    episode_path,
    episode_seed,
    record_all,
    record_episode,
)
from seqvae.physics.pixel_world import PixelWorld


def dot(**options):
    return PixelWorld(f"{worlds.HERE}:Dot-v0", **dict(size=(6, 6)) | options)


def jobs(out, count=3, policy="hold", **options):
    settings = dict(world=dot(), seed=1, steps=100, policy=POLICIES[policy]) | options
    return [EpisodeJob(path=episode_path(out, i), index=i, **settings) for i in range(count)]


def test_frames_are_resized_and_episodes_cut():
    env = dot(size=(12, 9), max_steps=2).make()
    frame = env.reset(0)
    assert frame.shape == env.image_shape == (12, 9, 3) and frame.dtype == np.uint8
    assert [env.step(np.zeros(3))[2:] for _ in range(2)] == [(False, False), (False, True)]


def test_rendered_pictures_and_actions_of_another_range():
    env = PixelWorld(f"{worlds.HERE}:Numbers-v0", size=(6, 6), render=True).make()
    assert env.reset(0).shape == (6, 6, 3) and env.reset(0).mean() == 100
    rewards = [env.step(np.array([a], np.float32))[1] for a in (-1.0, 0.0, 1.0)]
    np.testing.assert_allclose(rewards, [-2, 1, 4])
    assert (env.low, env.high) == (-1, 1)


def test_carracing_loses_its_score_bar_and_keeps_its_actions():
    pytest.importorskip("Box2D")
    from worldmodels import preprocessing

    env, plain = PixelWorld("CarRacing-v3").make(), gymnasium.make("CarRacing-v3")
    picture, _ = plain.reset(seed=3)
    np.testing.assert_array_equal(env.reset(3), preprocessing.plain(picture))
    assert env.low.tolist() == [-1, 0, 0]
    other = PixelWorld("CarRacing-v3", prepare="worldmodels.preprocessing:original").make()
    np.testing.assert_array_equal(other.reset(3), preprocessing.original(picture))


def test_our_worlds_need_no_import():
    assert PixelWorld("seqvae/Dodge-v0").make().image_shape == (64, 64, 3)


def test_an_episode_is_what_a_plain_loop_sees(tmp_path):
    for job in jobs(tmp_path, policy="random"):
        record_episode(job)
    episodes = open_shards(tmp_path, {"frames": "", "actions": "", "rewards": "", "done": ""})
    for i in range(3):
        arrays = episodes.read(i)
        env = gymnasium.make(f"{worlds.HERE}:Dot-v0").unwrapped
        frame, _ = env.reset(seed=episode_seed(1, i))
        reward, ended = 0.0, False
        rng = np.random.default_rng([1, i])
        for t, action in enumerate(arrays["actions"]):
            np.testing.assert_array_equal(arrays["frames"][t], frame)
            assert arrays["rewards"][t] == np.float32(reward) and arrays["done"][t] == ended
            np.testing.assert_array_equal(action, rng.uniform([-1] * 3, [1] * 3).astype("f4"))
            frame, reward, ended, *_ = env.step(action)
        assert arrays["done"][-1] == 1 and t > 3


def test_processes_record_the_same_episodes(tmp_path):
    assert sorted(record_all(jobs(tmp_path / "two"), 2)) == [
        f"episode-0000{i}.npz" for i in (0, 1, 2)
    ]
    list(record_all(jobs(tmp_path / "one"), 1))
    for i in range(3):
        paths = [episode_path(tmp_path / name, i) for name in ("one", "two")]
        assert paths[0].read_bytes() == paths[1].read_bytes()


def test_held_actions_last_1_to_10_steps():
    act = POLICIES["hold"](np.random.default_rng(0), np.array([-1.0]), np.array([1.0]))
    path = np.array([act()[0] for _ in range(500)])
    runs = np.diff(np.flatnonzero(np.r_[True, np.diff(path) != 0, True]))
    assert runs.max() <= 10 and 4 < runs.mean() < 7 and np.abs(path).max() <= 1


def test_without_gymnasium_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)  # as if it were not installed
    with pytest.raises(
        ImportError, match=r'needs gymnasium. Install it: pip install "\.\[dream\]"'
    ):
        dot().make()
