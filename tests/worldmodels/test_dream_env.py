"""`DreamEnv` against the original's loop in NumPy; `DreamVectorEnv` against single ones;
gymnasium's own checks."""

import ast
import json
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pygame
import pytest
import tensorflow as tf
from gymnasium.spaces import Box, Discrete
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import SyncVectorEnv

import worldmodels
from seqvae.data import write_shard
from tests.tolerances import FLOAT32, SAME_FLOAT32
from tests.worldmodels.small_models import small_controller, small_rnn, small_vae
from tests.worldmodels.test_mdn_rnn import originals_draw
from worldmodels import MDNRNN, DreamEnv, DreamVectorEnv, Latents
from worldmodels.starts import starts_of

RNG = np.random.default_rng(0)
STARTS = RNG.standard_normal((9, 3)).astype(np.float32), np.full((9, 3), -2.0, np.float32)


@pytest.fixture(scope="module")
def vae():
    return small_vae()


@pytest.fixture(scope="module")
def rnn():
    """A model whose episodes end now and then."""
    model = small_rnn(predict_done=True, predict_reward=True)
    model.head.kernel.assign(3.0 * model.head.kernel)
    return model


@pytest.fixture(scope="module")
def plain_rnn():
    return small_rnn()


def actions_for(steps, *rows, seed=5):
    return np.random.default_rng(seed).uniform(-1, 1, (steps, *rows, 3)).astype(np.float32)


# --- one dream ---


def test_it_is_the_originals_loop(rnn):
    env = DreamEnv(rnn, STARTS, temperature=1.3, max_steps=6, observation="zch")
    observation, info = env.reset(seed=4)
    rng = np.random.default_rng(4)
    i, noise = rng.integers(9), rng.standard_normal(3)
    z, state = STARTS[0][i] + np.exp(STARTS[1][i] / 2) * noise, rnn.initial_state(1)
    assert info == {} and observation.dtype == np.float32
    for step, action in enumerate(actions_for(6), 1):
        np.testing.assert_allclose(observation, [*z, *state.c[0], *state.h[0]], **FLOAT32)
        predicted = rnn.step(z[None], action[None], state)
        u, noise = rng.random(3), rng.standard_normal(3)
        z = originals_draw([part[0] for part in predicted[:3]], 1.3, u, noise)
        state = predicted.state
        observation, reward, terminated, truncated, _ = env.step(action)
        np.testing.assert_allclose(reward, predicted.reward[0], **FLOAT32)
        assert terminated == bool(predicted.done[0] > 0) and truncated == (step == 6)
    np.testing.assert_allclose(env.z, z, **FLOAT32)
    np.testing.assert_allclose(env.state.h, state.h, **FLOAT32)


def test_without_heads_each_step_gives_1_and_only_max_steps_ends_it(plain_rnn):
    env = DreamEnv(plain_rnn, STARTS[0], max_steps=3)
    first, _ = env.reset(seed=0)
    assert (first == STARTS[0]).all(1).any()  # codes without a log-variance are taken as they are
    steps = [env.step(action)[1:4] for action in actions_for(3)]
    assert steps == [(1.0, False, False)] * 2 + [(1.0, False, True)]


@pytest.mark.filterwarnings("ignore:.*(infinity|not having a spec)")
@pytest.mark.parametrize("observation", ("z", "frames"))
def test_gymnasiums_checks_pass(rnn, vae, observation):
    check_env(
        DreamEnv(rnn, STARTS, vae=vae, observation=observation, render_mode="rgb_array"),
        skip_render_check=False,
    )


def test_the_restart_flag_is_set_at_the_first_step_only():
    rnn = small_rnn(action_size=2, predict_done=True)
    env = DreamEnv(rnn, STARTS, restart_input=True, action_space=Box(-1, 1, (1,)))
    for _ in range(2):
        env.reset(seed=1)
        state = rnn.initial_state(1)
        for step in range(3):
            before, action = env.z, np.array([0.5], np.float32)
            env.step(action)
            flag = float(step == 0)
            state = rnn.step(before[None], [[0.5, flag]], state).state
            np.testing.assert_allclose(env.state.h, state.h, **SAME_FLOAT32)


def test_a_controller_acts_on_its_observations(rnn):
    env, controller = DreamEnv(rnn, STARTS, observation="zh"), small_controller(squash="tanh")
    observation, _ = env.reset(seed=0)
    expected = controller(env.z, env.state.h.numpy()[0])
    np.testing.assert_array_equal(controller.act(observation), expected)


def test_frames_and_pictures_are_decoded(rnn, vae, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = DreamEnv(rnn, STARTS, vae=vae, observation="frames", render_mode="rgb_array")
    frame, _ = env.reset(seed=0)
    expected = np.round(255 * vae.decode(env.z[None])[0].numpy())
    np.testing.assert_array_equal(frame, expected)
    np.testing.assert_array_equal(env.render(), frame)
    shown = DreamEnv(rnn, STARTS, vae=vae, render_mode="human")
    shown.reset(seed=0)
    shown.step(actions_for(1)[0])
    assert pygame.display.get_surface().get_size() == (510, 510)
    assert shown.render() is None
    shown.close()
    shown.close()
    assert not pygame.display.get_init()


def test_render_without_a_mode_warns(plain_rnn):
    env = DreamEnv(plain_rnn, STARTS)
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="DreamEnv was made without a render_mode"):
        assert env.render() is None


# --- many dreams ---


@pytest.mark.parametrize("observation", ("z", "frames"))
def test_many_step_as_single_ones(rnn, vae, observation):
    """Ends, cuts and new beginnings among them."""
    options = dict(vae=vae, observation=observation, max_steps=5, render_mode="rgb_array")
    many = DreamVectorEnv(4, rnn, STARTS, **options)
    singles = SyncVectorEnv([lambda: DreamEnv(rnn, STARTS, **options)] * 4)
    assert many.observation_space == singles.observation_space
    assert many.action_space == singles.action_space
    assert many.metadata["autoreset_mode"] == singles.metadata["autoreset_mode"]
    both = [env.reset(seed=11) for env in (many, singles)]
    ends, close = 0, dict(rtol=0, atol=1) if observation == "frames" else FLOAT32
    for actions in actions_for(25, 4):
        (first, *rest), (expected, *others) = both
        assert first.dtype == expected.dtype and many.observation_space.contains(first)
        np.testing.assert_allclose(first.astype("f8"), expected.astype("f8"), **close)
        for ours, theirs in zip(rest, others, strict=True):
            if not isinstance(ours, dict):
                assert ours.dtype == theirs.dtype
                np.testing.assert_allclose(ours, theirs, **FLOAT32)
        ends += 0 if len(rest) == 1 else rest[1].sum()
        both = [env.step(actions) for env in (many, singles)]
    assert ends > 0
    pictures = [env.render() for env in (many, singles)]
    np.testing.assert_allclose(*np.array(pictures, float), atol=1)
    assert many.z.shape == (4, 3) and many.state.c.shape == (4, 5)


def test_rows_have_seeds_of_their_own_or_continue(plain_rnn):
    env = DreamVectorEnv(3, plain_rnn, STARTS)
    first, _ = env.reset(seed=5)
    np.testing.assert_array_equal(env.reset(seed=[5, 6, 7])[0], first)
    after, _ = env.reset()
    assert (after != first).all()
    env.reset(seed=5)
    np.testing.assert_array_equal(env.reset()[0], after)
    with pytest.raises(ValueError, match="seed: expected an integer, or one for each of 3 rows"):
        env.reset(seed=[1, 2])


# --- where it begins ---


def test_starts_are_read_from_all_their_forms(tmp_path):
    mean, logvar = (part.astype(np.float64).round(4) for part in STARTS)
    path = tmp_path / "initial_z.json"  # as the original writes it
    path.write_text(
        json.dumps([(10_000 * part).round().astype(int).tolist() for part in (mean, logvar)])
    )
    episodes = [np.stack([part, part + 1], 1) for part in (mean, logvar)]  # [N, T, z_size]
    for i in range(9):
        arrays = {"mean": episodes[0][i], "logvar": episodes[1][i]}
        write_shard(tmp_path / "latents" / f"episode-{i}.npz", arrays)
    actions = np.zeros((9, 2, 3))
    lists = [list(part) for part in episodes]
    for source in (
        (mean, logvar),
        path,
        str(path),
        tmp_path / "latents",
        Latents(*episodes, actions),
        Latents(*lists, list(actions)),
    ):
        starts = starts_of(source, 3)
        np.testing.assert_allclose(starts.mean, mean, atol=1e-6)
        np.testing.assert_allclose(starts.logvar, logvar, atol=1e-6)


# --- bad input ---


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda r, v: dict(observation="h"), "observation: expected one of z, zh, zch, frames"),
        (lambda r, v: dict(temperature=0), "temperature: expected a number above 0, got 0"),
        (lambda r, v: dict(max_steps=0), "max_steps: expected an integer of at least 1"),
        (lambda r, v: dict(observation="frames"), "vae: expected a ConvVAE with observation="),
        (lambda r, v: dict(render_mode="rgb_array"), "vae: expected a ConvVAE with render_mode="),
        (lambda r, v: dict(render_mode="ansi", vae=v), "render_mode: expected one of human, rgb_"),
        (
            lambda r, v: dict(action_space=Discrete(3)),
            r"action_space: expected a Box of the shape \(3,\), .* got Discrete\(3\)",
        ),
        (lambda r, v: dict(action_space=Box(-1, 1, (2,))), "action_space: expected a Box"),
        (lambda r, v: dict(starts=np.zeros((4, 2))), r"starts: .* \[N, 3\], got \(4, 2\)"),
        (lambda r, v: dict(starts=np.zeros((0, 3))), r"starts: .* got \(0, 3\)"),
        (
            lambda r, v: dict(starts=(np.zeros((4, 3)), np.zeros((5, 3)))),
            r"starts: .* got \(4, 3\), \(5, 3\)",
        ),
        (lambda r, v: dict(starts=np.full((4, 3), np.nan)), "starts: expected finite codes"),
        (lambda r, v: dict(starts={"z": 1}), "starts: expected codes .* got dict"),
    ],
)
def test_arguments_that_are_refused(plain_rnn, vae, make, message):
    with pytest.raises(ValueError, match=message):
        DreamEnv(plain_rnn, **{"starts": STARTS} | make(plain_rnn, vae))


def test_parts_that_do_not_fit(plain_rnn, vae, tmp_path):
    with pytest.raises(ValueError, match="vae: expected z_size=4, that of the MDN-RNN, got 3"):
        DreamEnv(MDNRNN(z_size=4, rnn_size=5), np.zeros((1, 4)), vae=vae)
    with pytest.raises(ValueError, match="rnn: expected an MDN-RNN with actions"):
        DreamEnv(small_rnn(action_size=1), STARTS, restart_input=True)
    with pytest.raises(ValueError, match="num_envs: expected an integer of at least 1"):
        DreamVectorEnv(0, plain_rnn, STARTS)
    with pytest.raises(ValueError, match="render_mode: expected one of rgb_array"):
        DreamVectorEnv(1, plain_rnn, STARTS, vae=vae, render_mode="human")
    path = tmp_path / "initial_z.json"
    path.write_text("[[[1, 2, 3]]]")
    with pytest.raises(ValueError, match=r"initial_z.json: expected \[means, log-var.* got 1"):
        DreamEnv(plain_rnn, path)


@pytest.mark.parametrize(
    "action, message",
    [
        (np.zeros(2), r"action: expected floats of the shape \[3\] for each of 1 env.* \[1, 2\]"),
        (np.array([0, 2, 0]), r"action: expected floats from .* got \[0.0, 2.0, 0.0\] in env"),
        (np.array([0, np.nan, 0]), "action: expected floats from"),
        ("left", r"action: expected floats of the shape \[3\], got <U4"),
    ],
)
def test_actions_that_are_refused(plain_rnn, action, message):
    env = DreamEnv(plain_rnn, STARTS)
    with pytest.raises(gymnasium.error.ResetNeeded, match=r"step: expected reset\(\) first"):
        env.step(np.zeros(3))
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(action)


def test_a_dream_that_is_not_finite_is_named():
    broken = small_rnn()
    broken.head.bias.assign(tf.fill([18], np.nan))
    env = DreamEnv(broken, STARTS)
    env.reset(seed=0)
    with pytest.raises(FloatingPointError, match="z is not finite after step 1 in environment 0"):
        env.step(np.zeros(3))


def test_without_gymnasium_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "worldmodels.dream_env")
    monkeypatch.delattr(worldmodels, "dream_env")
    with pytest.raises(
        ImportError, match=r'needs gymnasium. Install it: pip install "\.\[dream\]"'
    ):
        worldmodels.DreamEnv  # noqa: B018
    assert {"DreamEnv", "DreamVectorEnv"} < set(dir(worldmodels))


def test_importing_the_package_does_not_import_gymnasium():
    """No module but the environments' imports it, and the package imports that one when it is
    used."""
    for path in Path(worldmodels.__file__).parent.glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:  # what runs at the import
            names = {alias.name for alias in getattr(node, "names", [])}
            names |= {getattr(node, "module", None)}
            assert path.name == "dream_env.py" or not any(
                str(name).endswith("dream_env") or str(name).startswith("gymnasium")
                for name in names
            ), path
