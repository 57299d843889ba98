"""`Push` against the recorded pushed balls, and gymnasium's checks."""

import sys

import gymnasium
import numpy as np
import pygame
import pytest
from gymnasium.utils.env_checker import check_env

import seqvae.physics
from seqvae.physics import push
from seqvae.physics.drawing import Painter
from seqvae.physics.pixel_world import PixelWorld
from seqvae.physics.push import STRONGEST, WORLD, Push
from seqvae.physics.simulation import simulate


def test_it_is_registered_and_passes_gymnasiums_checks(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")  # one of the checks opens a window
    check_env(gymnasium.make("seqvae/Push-v0").unwrapped)
    push.register()  # a second time changes nothing
    assert PixelWorld("seqvae/Push-v0").make().action_size == 2


def test_recorded_pushes_give_the_recorded_frames():
    env = Push()
    first, _ = env.reset(seed=5)
    rng = np.random.default_rng(np.random.SeedSequence(5))
    motion = simulate(WORLD, 30, rng)
    frames = Painter(WORLD, 30).frames(motion)
    np.testing.assert_array_equal(first, frames[0])
    for t in range(1, 30):
        frame, *_ = env.step(motion.pushes[t] / STRONGEST)
        np.testing.assert_array_equal(frame, frames[t])
    np.testing.assert_allclose(env.balls, motion.balls[-1], atol=1e-9)


def test_the_reward_is_1_in_the_middle_and_the_episode_is_cut():
    env = Push(max_steps=2)
    env.reset(seed=0)
    steps = []
    for place in ((32.0, 32.0), (64.0, 64.0)):
        env._balls[0].position, env._balls[0].velocity = place, (0.0, 0.0)
        env._balls[1].position, env._balls[1].velocity = (20.0, 10.0), (0.0, 0.0)
        steps.append(env.step(np.zeros(2))[1:4])
    (near, *first), (far, *last) = steps
    assert near == pytest.approx(1.0) and -0.1 < far < 0.3
    assert (first, last) == ([False, False], [False, True])


def test_a_window_shows_it(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = Push(render_mode="human")
    env.reset(seed=0)
    assert pygame.display.get_surface().get_size() == (512, 512)
    env.close()
    silent = Push()
    silent.reset(seed=0)
    with pytest.warns(UserWarning, match="Push was made without a render_mode"):
        assert silent.render() is None


@pytest.mark.parametrize("action", ([1.5, 0], [np.nan, 0], "up", [0.0], None), ids=str)
def test_actions_that_are_refused(action):
    env = Push()
    with pytest.raises(gymnasium.error.ResetNeeded, match=r"step: expected reset\(\) first"):
        env.step([0.0, 0.0])
    env.reset(seed=0)
    with pytest.raises(ValueError, match="action: expected two floats from -1 to 1"):
        env.step(action)


def test_arguments_that_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="max_steps: expected an integer of at least 1, got 0"):
        Push(max_steps=0)
    with pytest.raises(ValueError, match="render_mode: expected one of human, rgb_array, None"):
        Push(render_mode="ansi")
    monkeypatch.setitem(sys.modules, "gymnasium", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "seqvae.physics.push")
    monkeypatch.delattr(seqvae.physics, "push")
    with pytest.raises(ImportError, match=r"needs gymnasium\. Install it"):
        __import__("seqvae.physics.push")
