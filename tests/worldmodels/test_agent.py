"""`Agent` against the plain loop of its three parts."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tolerances import SAME_FLOAT32
from tests.worldmodels.small_models import SHAPE, small_controller, small_rnn, small_vae
from worldmodels import MDNRNN, Agent


@pytest.fixture(scope="module")
def vae():
    return small_vae()


@pytest.fixture(scope="module")
def rnn():
    return small_rnn()


def pictures(*leading, seed=3):
    return np.random.default_rng(seed).integers(0, 256, (*leading, *SHAPE), np.uint8)


def plain_loop(vae, rnn, controller, episode, noise, restart=False):
    """The original's loop for one episode: the controller reads h and c from before the step."""
    state, actions = rnn.initial_state(1), []
    for t, frame in enumerate(episode):
        mean, logvar = (part.numpy()[0] for part in vae.encoded(frame[None]))
        z = (mean + np.exp(logvar / 2) * noise[t])[None]
        actions.append(controller(z, state.h.numpy(), state.c.numpy())[0])
        flag = [np.float32(t == 0)] if restart else []
        state = rnn.step(z, np.concatenate([actions[-1], flag])[None], state).state
    return np.stack(actions)


@pytest.mark.parametrize("sample", (True, False))
def test_it_is_the_plain_loop_of_its_parts(vae, rnn, sample):
    controller, episode = small_controller(), pictures(4)
    agent = Agent(vae, rnn, controller, sample=sample, seed=7)
    found = np.stack([agent.act(frame) for frame in episode])
    rng = np.random.default_rng(7)
    noise = [rng.standard_normal(3) * sample for _ in episode]
    np.testing.assert_allclose(
        found, plain_loop(vae, rnn, controller, episode, noise), **SAME_FLOAT32
    )
    agent.reset(seed=7)
    again = np.stack([agent.act(frame) for frame in episode])
    np.testing.assert_array_equal(again, found)


def test_a_batch_is_each_episode_alone_and_rows_begin_again(vae, rnn):
    agent = Agent(vae, rnn, small_controller(), sample=False)
    episodes = pictures(5, 2)  # [T, B]
    together = np.stack([agent.act(frames) for frames in episodes[:4]])
    assert agent.z.shape == (2, 3) and agent.state.h.shape == (2, 5)
    agent.reset([True, False])
    last = agent.act(episodes[4])
    for row in range(2):
        agent.reset()
        alone = [agent.act(frames[row]) for frames in episodes[:4]]
        np.testing.assert_allclose(alone, together[:, row], **SAME_FLOAT32)
        if row == 0:
            agent.reset()
        np.testing.assert_allclose(agent.act(episodes[4, row]), last[row], **SAME_FLOAT32)
    agent.reset()
    floats = agent.act(episodes[0] / np.float32(255))
    np.testing.assert_allclose(floats, together[0], **SAME_FLOAT32)


def test_take_covers_agent_reads_c_and_gets_the_restart_flag(vae):
    rnn = small_rnn(action_size=2, predict_done=True)
    options = dict(action_size=1, inputs="zch", squash="tanh", bias=False)
    controller, episode = small_controller(**options), pictures(3)
    agent = Agent(vae, rnn, controller, sample=False)
    for _ in range(2):
        agent.reset()
        found = np.stack([agent.act(frame) for frame in episode])
        expected = plain_loop(vae, rnn, controller, episode, np.zeros((3, 3)), restart=True)
        np.testing.assert_allclose(found, expected, **SAME_FLOAT32)
    agent.reset([True])
    np.testing.assert_allclose(agent.act(episode[0]), expected[0], **SAME_FLOAT32)


def test_a_controller_on_z_alone_needs_no_rnn_and_follows_new_weights(vae):
    controller = small_controller(inputs="z")
    agent, frame = Agent(vae, None, controller, sample=False), pictures()
    for seed in range(2):
        controller.vector = np.random.default_rng(seed).standard_normal(controller.size)
        expected = controller(vae.encoded(frame[None])[0].numpy())[0]
        np.testing.assert_allclose(agent.act(frame), expected, **SAME_FLOAT32)
    agent.reset([True])
    assert agent.state is None and agent.z.shape == (1, 3)


@pytest.mark.parametrize(
    "parts, message",
    [
        (lambda v, r: (v, r, small_controller(z_size=4)), "controller: expected z_size=3"),
        (lambda v, r: (v, None, small_controller()), "rnn: expected an MDNRNN, got None"),
        (lambda v, r: (v, r, small_controller(rnn_size=6)), "controller: expected rnn_size=5"),
        (
            lambda v, r: (v, r, small_controller(action_size=1, squash="tanh")),
            "controller: expected action_size=3, that of the MDN-RNN",
        ),
    ],
)
def test_parts_that_do_not_fit(vae, rnn, parts, message):
    with pytest.raises(ValueError, match=message):
        Agent(*parts(vae, rnn))


def test_an_rnn_of_other_codes(vae):
    with pytest.raises(ValueError, match="rnn: expected z_size=3, that of the ConvVAE, got 4"):
        Agent(vae, MDNRNN(z_size=4, rnn_size=5), small_controller())


def test_frames_and_rows_that_are_refused(vae, rnn):
    agent = Agent(vae, rnn, small_controller())
    with pytest.raises(ValueError, match=r"done: expected \[0\], .* got \(2,\)"):
        agent.reset([True, False])
    with pytest.raises(ValueError, match=r"frames: expected the shape \[..., 6, 6, 3\]"):
        agent.act(np.zeros((7, 6, 3), np.uint8))
    with pytest.raises(ValueError, match=r"frames: expected one frame \[H, W, C\] or frames"):
        agent.act(np.zeros((1, 1, *SHAPE), np.uint8))
    with pytest.raises(ValueError, match=r"frames: expected floats in \[0, 1\]"):
        agent.act(np.full(SHAPE, 2.0))
    agent.act(pictures(2))
    with pytest.raises(ValueError, match="frames: expected 2 as since the last reset, got 1"):
        agent.act(pictures())


def test_weights_with_nan_are_named():
    broken = small_rnn()
    broken.lstm.cell.bias.assign(tf.fill([20], np.nan))
    agent = Agent(small_vae(), broken, small_controller())
    with pytest.raises(FloatingPointError, match="act: state is not finite"):
        agent.act(pictures())
