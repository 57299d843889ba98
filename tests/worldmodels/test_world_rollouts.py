"""`WorldRollouts` against an `Agent` that plays alone, its worker processes, and environments with
a fault."""

import os
import signal

import numpy as np
import pytest

import tests.worldmodels.small_worlds as worlds
from seqvae.physics.env_episodes import episode_seed
from seqvae.physics.pixel_world import PixelWorld, WorldError
from seqvae.physics.workers import Workers
from tests.tolerances import SAME_FLOAT32
from tests.worldmodels.small_models import SHAPE, small_controller, small_rnn, small_vae
from worldmodels import Agent, Controller
from worldmodels.world_rollouts import Job, WorldRollouts

JOBS = [Job(0, rollout) for rollout in range(4)]
VECTORS = np.random.default_rng(1).standard_normal((3, small_controller().size))


def world(name="Dot", **options):
    return PixelWorld(f"{worlds.HERE}:{name}-v0", **dict(size=SHAPE[:2]) | options)


@pytest.fixture(scope="module")
def vae():
    return small_vae()


@pytest.fixture(scope="module")
def rnn():
    return small_rnn()


@pytest.fixture(scope="module")
def rollouts(vae, rnn):
    controller = small_controller(squash="tanh")
    with WorldRollouts(world(), vae, rnn, controller, workers=2, rows=4) as made:
        yield made


def alone(vae, rnn, vector, rollout, seed, max_steps=None):
    """Score of one episode, played by an `Agent` with the same draws of z."""
    controller = small_controller(squash="tanh")
    controller.vector = vector
    agent, env = Agent(vae, rnn, controller), world().make()
    agent._rng = np.random.default_rng([seed, rollout, 2])
    frame, total, over, steps = env.reset(episode_seed(seed, rollout)), 0.0, False, 0
    while not over and steps != max_steps:
        frame, reward, ended, cut = env.step(agent.act(frame))
        total, over, steps = total + reward, ended or cut, steps + 1
    return total


def test_it_is_an_agent_that_plays_each_episode_alone(rollouts, vae, rnn):
    scores = rollouts(VECTORS, 2, 5)
    expected = [[alone(vae, rnn, vector, r, 5) for r in range(2)] for vector in VECTORS]
    np.testing.assert_allclose(scores, expected, **SAME_FLOAT32)
    np.testing.assert_array_equal(rollouts(VECTORS, 2, 5), scores)


def test_a_worker_that_dies_is_replaced_and_its_episodes_repeated(rollouts, capfd):
    scores, before = rollouts(VECTORS, 2, 5), rollouts._workers.pids
    os.kill(before[1], signal.SIGKILL)
    np.testing.assert_array_equal(rollouts(VECTORS, 2, 5), scores)
    assert rollouts._workers.pids[0] == before[0] and rollouts._workers.pids[1] != before[1]
    assert "a worker process died (exit code -9)" in capfd.readouterr().err


def test_episodes_keep_their_rows(rollouts):
    for job, rows in rollouts.episodes(VECTORS[:1], [Job(0, 0), Job(0, 1)], 3):
        frames, actions, rewards, ended = zip(*rows, strict=True)
        assert job.member == 0 and frames[0].shape == SHAPE and actions[0].shape == (3,)
        assert rewards[0] == 0 and min(rewards[1:]) >= 0 and ended.index(True) == len(rows) - 1


def test_steps_are_cut_and_z_alone_needs_no_rnn(vae):
    controller = small_controller(inputs="z", squash="tanh")
    with WorldRollouts(world(), vae, None, controller, max_steps=2, rows=3, sample=False) as made:
        lengths = [len(rows) for _, rows in made.episodes(controller.vector[None], JOBS, 0)]
    assert lengths == [3] * 4  # the first frame and two steps


@pytest.mark.parametrize(
    "fault, message",
    [
        ("Raises", "raised RuntimeError: the wheel came off"),
        ("Nan", "expected a finite reward, got nan"),
        ("Shape", r"expected a frame \(6, 6, 3\) of uint8, got \(5, 6, 3\) of uint8"),
    ],
)
def test_an_environment_with_a_fault_is_named_with_its_seed(vae, fault, message):
    controller = small_controller(inputs="z", squash="tanh")
    with (
        WorldRollouts(world(f"Dot{fault}"), vae, None, controller, rows=1) as made,
        pytest.raises(WorldError, match=f"seed {episode_seed(4, 0)}, step 3: .*{message}"),
    ):
        made(controller.vector[None], 1, 4)


def test_a_seed_that_kills_its_process_again_and_again_is_named(vae, capfd):
    controller = small_controller(inputs="z", squash="tanh")
    seed = episode_seed(4, 0)
    with (
        WorldRollouts(world("DotDies"), vae, None, controller, rows=1) as made,
        pytest.raises(WorldError, match=rf"seeds \[{seed}\]: its process died 4 times in a row"),
    ):
        made(controller.vector[None], 1, 4)
    assert capfd.readouterr().err.count("a worker process died (exit code 7)") == 3


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("Dot", dict(size=(8, 8)), r"world: expected frames \(6, 6, 3\).* gives \(8, 8, 3\)"),
        ("DotOne", {}, "controller: expected action_size=1, that of .*DotOne-v0, got 3"),
        ("DotDiscrete", {}, r"env: expected actions that are bounded floats.* Discrete\(2\)"),
        ("Numbers", {}, "env: expected observations that are pictures"),
        ("None", {}, "env: .*None"),
    ],
)
def test_worlds_that_are_refused(vae, name, options, message):
    with pytest.raises(ValueError, match=message):
        WorldRollouts(world(name, **options), vae, None, small_controller(inputs="z"))


def test_a_controller_whose_actions_are_out_of_bounds_is_refused(vae):
    controller = Controller(z_size=3, inputs="z")
    with pytest.raises(ValueError, match=r"controller: expected squash='tanh' for .*Dot-v0"):
        WorldRollouts(world(), vae, None, controller)


def test_arguments_that_are_refused(vae):
    controller = small_controller(inputs="z", squash="tanh")
    for name in ("workers", "rows", "max_steps"):
        with pytest.raises(ValueError, match=f"{name}: expected an integer of at least 1, got 0"):
            WorldRollouts(world(), vae, None, controller, **{name: 0})
    for name in ("count", "processes"):
        with pytest.raises(ValueError, match=f"{name}: expected an integer of at least 1, got 0"):
            Workers(world(), **dict(count=1, processes=1) | {name: 0})


def test_weights_that_are_not_finite_are_named(vae):
    controller = small_controller(inputs="z", squash="tanh")
    vectors = np.stack([controller.vector, np.full(controller.size, np.nan)])
    with (
        WorldRollouts(world(), vae, None, controller, rows=2) as made,
        pytest.raises(FloatingPointError, match="action of member 1 is not finite"),
    ):
        made(vectors, 1, 0)
