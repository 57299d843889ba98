"""`DreamRollouts` against a plain loop over single rollouts."""

import numpy as np
import pytest
import tensorflow as tf

from seqvae.randomness import fold
from tests.tolerances import FLOAT32
from tests.worldmodels.small_models import small_controller, small_rnn
from worldmodels import Controller
from worldmodels.dream_rollouts import DreamRollouts
from worldmodels.starts import starts_of

STARTS = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32)
VECTORS = np.random.default_rng(1).standard_normal((4, small_controller().size))


@pytest.fixture(scope="module")
def rnn():
    """A model whose episodes end now and then."""
    model = small_rnn(predict_done=True, predict_reward=True)
    model.head.kernel.assign(3.0 * model.head.kernel)
    return model


def plain(rnn, controller, vector, rollout, count, seed, temperature, max_steps, restart=False):
    """Score and length of one rollout, one public step after the other."""
    rng = np.random.default_rng([seed, 0])
    z = [starts_of(STARTS, 3).draw(rng) for _ in range(count)][rollout][None]
    state, score = rnn.initial_state(1), 0.0
    for step in range(max_steps):
        own = fold(tf.constant([seed, 1]), step)
        u = tf.random.stateless_uniform([count, 3], fold(own, 0))[rollout][None]
        normal = tf.random.stateless_normal([count, 3], fold(own, 1))[rollout][None]
        action = controller(z, state.h.numpy(), state.c.numpy(), vectors=vector)
        flag = [[float(step == 0)]] if restart else np.zeros((1, 0))
        taken = np.concatenate([action, flag], -1)
        now = rnn.imagine(z, taken, state, temperature=temperature, noise=(u, normal))
        z, state = now.z.numpy(), now.state
        score += 1.0 if now.reward is None else float(now.reward[0])
        if now.done is not None and now.done[0] > 0:
            break
    return score, step + 1


@pytest.mark.parametrize("rows", (100, 6))
def test_it_is_the_plain_loop_of_each_rollout(rnn, rows):
    """Ends among them, and members in one chunk or in two."""
    controller = small_controller()
    rollouts = DreamRollouts(rnn, STARTS, controller, temperature=1.3, max_steps=40, rows=rows)
    scores, lengths = rollouts(VECTORS, 3, 7), rollouts.lengths(VECTORS, 3, 7)
    expected = [
        [plain(rnn, controller, vector, r, 3, 7, 1.3, 40) for r in range(3)] for vector in VECTORS
    ]
    np.testing.assert_array_equal(lengths, [[length for _, length in row] for row in expected])
    np.testing.assert_allclose(scores, [[score for score, _ in row] for row in expected], **FLOAT32)
    assert lengths.min() < 32 and len(np.unique(lengths)) > 3
    np.testing.assert_array_equal(rollouts(VECTORS, 3, 7), scores)
    assert (rollouts(VECTORS, 3, 8) != scores).any()


def test_without_heads_a_score_is_the_number_of_steps():
    rollouts = DreamRollouts(small_rnn(), STARTS, small_controller(), max_steps=35)
    np.testing.assert_array_equal(rollouts(VECTORS[:2], 2, 0), np.full((2, 2), 35.0))


def test_the_restart_flag_and_c(rnn):
    rnn = small_rnn(action_size=2, predict_done=True)
    options = dict(action_size=1, inputs="zch", squash="tanh", bias=False)
    controller = small_controller(**options)
    rollouts = DreamRollouts(rnn, STARTS, controller, max_steps=5)
    expected = plain(rnn, controller, controller.vector, 0, 1, 3, 1.0, 5, restart=True)
    np.testing.assert_allclose(rollouts(controller.vector[None], 1, 3), [[expected[0]]], **FLOAT32)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(temperature=0), "temperature: expected a number above 0, got 0"),
        (dict(max_steps=0), "max_steps: expected an integer of at least 1"),
        (dict(rows=0), "rows: expected an integer of at least 1"),
    ],
)
def test_arguments_that_are_refused(rnn, options, message):
    with pytest.raises(ValueError, match=message):
        DreamRollouts(rnn, STARTS, small_controller(), **options)


def test_a_controller_of_another_size_is_refused(rnn):
    for wrong, message in (
        (dict(z_size=4), "controller: expected z_size=3"),
        (dict(rnn_size=6), "controller: expected rnn_size=5"),
        (dict(action_size=1, squash="tanh"), "controller: expected action_size=3"),
    ):
        with pytest.raises(ValueError, match=message):
            DreamRollouts(rnn, STARTS, Controller(**dict(z_size=3, rnn_size=5) | wrong))


def test_a_dream_that_is_not_finite_is_named():
    broken = small_rnn()
    broken.head.bias.assign(tf.fill([18], np.nan))
    rollouts = DreamRollouts(broken, STARTS, small_controller(), max_steps=3)
    with pytest.raises(FloatingPointError, match="before step 3 for member 0 in rollout 0"):
        rollouts(VECTORS, 2, 0)
