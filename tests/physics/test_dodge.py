"""`Dodge`: gymnasium's checks, its balls, its end, and what moving is worth."""

import importlib
import sys

import gymnasium
import numpy as np
import pygame
import pytest
from gymnasium.utils.env_checker import check_env

import seqvae.physics
from seqvae.physics import dodge
from seqvae.physics.dodge import AGENT_HEIGHT, AGENT_SPEED, BALL_SPEED, SIZE, Dodge


def still(env):
    return [0.0]


def away(env):
    """Of left, stay, right for eight steps: the one that keeps the greatest distance to all balls
    for 25."""
    steps, balls = np.arange(1, 26), env.balls
    if not len(balls):
        return [float(np.sign(round((SIZE / 2 - env.agent_x) / 10)))]
    paths = balls[:, :2, None] + balls[:, 2:, None] * steps  # [balls, 2, steps]
    gaps = []
    for direction in (-1, 0, 1):
        x = np.clip(env.agent_x + direction * AGENT_SPEED * np.minimum(steps, 8), 4, SIZE - 4)
        distance = np.hypot(paths[:, 0] - x, paths[:, 1] - AGENT_HEIGHT)
        gaps.append(min(float((distance + 0.05 * steps).min()), 9.0) - 0.01 * abs(x[-1] - SIZE / 2))
    return [float(np.argmax(gaps) - 1)]


def survived(policy, seed, max_steps=500):
    env = Dodge(max_steps=max_steps)
    env.reset(seed=seed)
    total, ended, cut = 0.0, False, False
    while not (ended or cut):
        _, reward, ended, cut, _ = env.step(policy(env))
        total += reward
    return total, ended, cut


def test_it_is_registered_and_passes_gymnasiums_checks(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")  # one of the checks opens a window
    env = gymnasium.make("seqvae/Dodge-v0")
    check_env(env.unwrapped)
    dodge.register()  # a second time changes nothing


def test_an_episode_depends_on_its_seed_and_actions_alone():
    def frames(seed, before):
        env = Dodge()
        if before:
            env.reset(seed=1)
            [env.step([1.0]) for _ in range(40)]
        first, _ = env.reset(seed=seed)
        return np.stack([first, *(env.step([np.sin(t)])[0] for t in range(100))])

    np.testing.assert_array_equal(frames(3, False), frames(3, True))
    assert (frames(3, False) != frames(4, False)).any()


def test_standing_still_ends_sooner_than_dodging():
    stood, dodged = ([survived(policy, seed) for seed in range(6)] for policy in (still, away))
    assert all(ended for _, ended, _ in stood)
    means = [np.mean([total for total, *_ in each]) for each in (stood, dodged)]
    assert means[1] > 3 * means[0] and any(cut for *_, cut in dodged)


def test_balls_fly_straight_at_where_the_agent_was():
    env = Dodge()
    env.reset(seed=0)
    while not len(env.balls):
        env.step([0.0])
    before = env.balls
    env.step([0.0])
    np.testing.assert_allclose(env.balls[0, :2], before[0, :2] + before[0, 2:], atol=1e-9)
    np.testing.assert_allclose(np.hypot(*before[0, 2:]), BALL_SPEED, rtol=1e-9)
    x, y, vx, vy = before[0]
    landing = x + vx * (AGENT_HEIGHT - y) / vy
    assert abs(landing - env.agent_x) < 4 * dodge.AIM_SPREAD


def test_the_agent_moves_at_its_speed_to_the_sides_and_no_further():
    env = Dodge()
    env.reset(seed=0)
    for action, moved in ((0.3, 0), (1 / 3 + 0.01, AGENT_SPEED), (-1.0, 0), (-0.3, 0)):
        env.step([action])
        np.testing.assert_allclose(env.agent_x, SIZE / 2 + moved, atol=1e-9)
    for _ in range(30):
        env.step(np.array([-1.0], np.float32))
    np.testing.assert_allclose(env.agent_x, 4.0, atol=1e-9)


def test_the_reward_is_1_until_a_ball_hits_and_throwers_grow_in_number():
    env = Dodge()
    env.reset(seed=0)
    throwers = []
    rewards = [1.0]
    while rewards[-1]:
        _, reward, ended, _, _ = env.step([0.0])
        rewards.append(reward)
        throwers.append(len(env._throwers))
        assert reward == (not ended)
    for _ in range(2 * dodge.STEPS_TO_NEXT_THROWER):
        env.step([0.0])
        throwers.append(len(env._throwers))
    assert throwers[0] == 2 and throwers[-1] == 4
    assert survived(still, 0, max_steps=10) == (10.0, False, True)


def test_frames_show_agent_and_balls():
    env = Dodge(render_mode="rgb_array")
    frame, _ = env.reset(seed=0)
    while not len(env.balls) or env.balls[0, 1] > 40:
        frame, *_ = env.step([0.0])
    x, y = env.balls[0, :2]
    assert tuple(frame[int(SIZE - y), int(x)]) == dodge._BALL
    assert tuple(frame[int(SIZE - AGENT_HEIGHT), int(env.agent_x)]) == dodge._AGENT
    np.testing.assert_array_equal(env.render(), frame)
    with pytest.warns(UserWarning, match="Dodge was made without a render_mode"):
        silent = Dodge()
        silent.reset(seed=0)
        assert silent.render() is None


def test_a_window_shows_it(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = Dodge(render_mode="human")
    env.reset(seed=0)
    env.step([0.0])
    assert pygame.display.get_surface().get_size() == (512, 512)
    env.close()
    assert not pygame.display.get_init()


@pytest.mark.parametrize(
    "action", ([1.5], [np.nan], "left", [0.0, 0.0], None, {"left": True}), ids=str
)
def test_actions_that_are_refused(action):
    env = Dodge()
    with pytest.raises(gymnasium.error.ResetNeeded, match=r"step: expected reset\(\) first"):
        env.step([0.0])
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"action: expected one float from -1 \(left\) to 1"):
        env.step(action)


def test_arguments_that_are_refused():
    with pytest.raises(ValueError, match="max_steps: expected an integer of at least 1, got 0"):
        Dodge(max_steps=0)
    with pytest.raises(ValueError, match="render_mode: expected one of human, rgb_array, None"):
        Dodge(render_mode="ansi")


def test_without_gymnasium_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "seqvae.physics.dodge")
    monkeypatch.delattr(seqvae.physics, "dodge")
    with pytest.raises(
        ImportError, match=r'needs gymnasium. Install it: pip install "\.\[dream\]"'
    ):
        importlib.import_module("seqvae.physics.dodge")
