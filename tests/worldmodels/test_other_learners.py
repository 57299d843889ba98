"""Programs of others learn in dreams: stable-baselines3 where it is installed, and a policy
gradient on the same interface."""

import numpy as np
import pytest
import tensorflow as tf

from tests.worldmodels.small_models import small_rnn
from worldmodels import DreamEnv, DreamVectorEnv

STARTS = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def rnn():
    """The reward is the last action: everything else is known to it as noise."""
    model = small_rnn(action_size=1, predict_reward=True)
    cell = model.lstm.cell
    kernel, units = np.zeros(cell.kernel.shape, np.float32), 5
    kernel[3, 2 * units] = 1.0  # the action into the first unit's new cell
    cell.kernel.assign(kernel)
    cell.recurrent_kernel.assign(tf.zeros_like(cell.recurrent_kernel))
    bias = np.zeros(4 * units, np.float32)
    bias[:units], bias[units : 2 * units], bias[3 * units :] = 5.0, -5.0, 5.0  # in, keep, out
    cell.bias.assign(bias)
    head = 0.1 * np.random.default_rng(0).standard_normal(model.head.kernel.shape)
    head[:, -1] = 0.0
    head[0, -1] = 1.0
    model.head.kernel.assign(head)
    model.head.bias.assign(tf.zeros_like(model.head.bias))
    return model


def test_a_policy_gradient_learns_in_a_thousand_steps(rnn):
    """REINFORCE (Williams 1992) of a normal policy with a learned mean, through the vector
    environment's verbs alone: about 1,000 steps of 16 dreams."""
    env, rng = DreamVectorEnv(16, rnn, STARTS, max_steps=10), np.random.default_rng(0)
    weights, bias = np.zeros(3), 0.0
    observations, _ = env.reset(seed=0)
    earned = []
    for _ in range(64):
        noise = 0.3 * rng.standard_normal(16)
        means = observations @ weights + bias
        actions = np.clip(means + noise, -1, 1)[:, None].astype(np.float32)
        seen = observations
        observations, rewards, *_ = env.step(actions)
        advantage = (rewards - rewards.mean()) * noise / 0.09
        weights = weights + 0.1 * (advantage[:, None] * seen).mean(0)
        bias += 0.1 * advantage.mean()
        earned.append(rewards.mean())
    assert np.mean(earned[-10:]) > 0.4 > np.mean(earned[:5]) + 0.2, earned


def test_stable_baselines3_trains_for_a_thousand_steps(rnn):
    sb3 = pytest.importorskip("stable_baselines3")
    model = sb3.PPO("MlpPolicy", DreamEnv(rnn, STARTS, max_steps=10), n_steps=250, seed=0)
    model.learn(1_000)
    assert model.num_timesteps == 1_000
