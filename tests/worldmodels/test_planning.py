"""`Planner` on a model whose best actions are known."""

import numpy as np
import pytest
import tensorflow as tf

from tests.worldmodels.small_models import small_rnn
from worldmodels import Planner
from worldmodels.results import Imagined, State

Z = np.zeros(3, np.float32)


class Known:
    """In place of an MDN-RNN: z[0] moves by the action; the reward is -(z[0] - 1)^2, and beyond 2
    the dream ends."""

    z_size, action_size, rnn_size, variable_dtype, done_weight = 3, 1, 2, "float32", 10.0

    def __init__(self, ends=False, reward=None):
        self._ends, self._reward = ends, reward

    def initial_state(self, count):
        return State(*(tf.zeros([count, 2]) for _ in range(2)))

    def imagine(self, z, action, state, *, temperature, noise):
        assert all(part.shape == z.shape for part in noise)
        z = tf.concat([z[:, :1] + action, z[:, 1:]], 1)
        reward = -tf.square(z[:, 0] - 1.0) if self._reward is None else self._reward * z[:, 0]
        done = 100.0 * (z[:, 0] - 2.0) if self._ends else None
        return Imagined(z, state, done, reward)


@pytest.mark.slow
def test_it_goes_where_the_reward_is():
    found = Planner(Known(), horizon=5, hold=1, iterations=8).plan(Z)
    assert found.actions.shape == (5, 1) and found.actions.dtype == np.float32
    path = np.cumsum(found.actions[:, 0])
    np.testing.assert_allclose(path, 1.0, atol=0.15)
    assert -0.2 < found.score <= 0


@pytest.mark.slow
def test_an_end_is_worth_what_comes_after_it():
    """The reward grows with z, but beyond 2 nothing comes any more."""
    planner = Planner(Known(ends=True, reward=1.0), horizon=6, hold=1, iterations=10, samples=512)
    path = np.cumsum(planner.plan(Z).actions[:, 0])
    assert path.max() < 2.05 and path[-1] > 1.6
    assert np.cumsum(Planner(Known(reward=1.0), horizon=6).plan(Z).actions)[-1] > 4


def test_actions_are_held_and_plans_follow_their_seed_and_start():
    planner = Planner(small_rnn(predict_done=True), horizon=7, samples=16, elite=4, hold=3)
    one, two, other = planner.plan(Z, seed=1), planner.plan(Z, seed=1), planner.plan(Z, seed=2)
    np.testing.assert_array_equal(one.actions, two.actions)
    assert (one.actions != other.actions).any() and one.actions.shape == (7, 3)
    for steps in (slice(0, 3), slice(3, 6), slice(6, 7)):
        assert (one.actions[steps] == one.actions[steps][:1]).all()
    assert np.abs(one.actions).max() <= 1
    begun = planner.plan(Z, first=np.ones((7, 3)), seed=1)
    assert (begun.actions != one.actions).any()


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(horizon=0), "horizon: expected an integer of at least 1, got 0"),
        (dict(elite=300), "elite: expected at most samples=256, got 300"),
        (dict(temperature=-1), "temperature: expected a number above 0"),
        (dict(hold=0), "hold: expected an integer of at least 1"),
    ],
)
def test_arguments_that_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Planner(small_rnn(), **options)


@pytest.mark.parametrize(
    "given, message",
    [
        (dict(z=np.zeros(4)), r"z: expected floats of the shape \[3\], got \(4,\)"),
        (dict(first=np.zeros((3, 3))), r"first: expected floats of the shape \[20, 3\]"),
        (
            dict(state=State(np.zeros((2, 5)), np.zeros((2, 5)))),
            r"state.h: expected floats of the shape \[1, 5\], got \(2, 5\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Planner(small_rnn()).plan(**dict(z=Z) | given)


def test_a_score_that_is_not_finite_is_refused():
    with pytest.raises(FloatingPointError, match="plan: score is not finite"):
        Planner(Known(reward=np.nan), horizon=2).plan(Z)
