"""The dream's view of `seqvae play` against the loop of the model's own methods."""

import base64
import dataclasses
import json

import numpy as np
import pytest

pytest.importorskip("gymnasium")

from seqvae.physics.pixel_world import PixelWorld
from seqvae.play.views import NoModelError
from tests.tolerances import SAME_FLOAT32
from tests.worldmodels.small_models import (
    SHAPE,
    dodge_parts,
    small_controller,
    small_rnn,
    small_vae,
)
from worldmodels import play
from worldmodels.config import WorldModelSettings
from worldmodels.play import Agent, DreamView
from worldmodels.results import State

pytestmark = pytest.mark.eager

DODGE = PixelWorld("seqvae/Dodge-v0", size=SHAPE[:2])
STEP = {"do": "step", "x": 0, "y": 0, "agent": 0, "temperature": 1.0}


def agent_of(**options):
    return Agent(*dodge_parts(**options))


def view_of(agent=None, **options):
    return DreamView(agent or agent_of(), DODGE, seed=0, name="small", **options)


def pixels(picture):
    found = np.frombuffer(base64.b64decode(picture["data"]), np.uint8)
    return found.reshape(picture["shape"])


@pytest.mark.parametrize("by_agent", (False, True))
def test_a_step_is_imagine_then_decode(by_agent):
    agent = agent_of()
    view, rng = view_of(agent), np.random.default_rng(3)
    z, u, normal = (rng.random((1, 3)).astype(np.float32) for _ in range(3))
    h, c = (rng.standard_normal((1, 5)).astype(np.float32) for _ in range(2))
    given = np.array([[0.5]], np.float32)
    found = view.dream_step(z, State(h, c), given, by_agent, np.zeros(1, "f4"), 0.7, u, normal)
    action = agent.controller(z, h=h) if by_agent else given
    now = agent.rnn.imagine(z, action, State(h, c), temperature=0.7, noise=(u, normal))
    np.testing.assert_allclose(found[0], now.z, **SAME_FLOAT32)
    np.testing.assert_allclose(found[1].h, now.state.h, **SAME_FLOAT32)
    np.testing.assert_allclose(found[2], action, **SAME_FLOAT32)
    decoded = 255 * agent.vae.decode(now.z).numpy()[0]
    assert np.abs(found[5].numpy() - decoded).max() < 0.51


def test_the_restart_flag_is_set_in_the_first_step():
    agent = Agent(
        small_vae(), small_rnn(action_size=2), small_controller(action_size=1, squash="tanh")
    )
    view = view_of(agent)
    z, zeros = np.ones((1, 3), "f4"), np.zeros((1, 5), "f4")
    args = State(zeros, zeros), np.zeros((1, 1), "f4"), False
    found = [
        view.dream_step(z, *args, np.full(1, first, "f4"), 1.0, z / 2, z)[0] for first in (0, 1)
    ]
    now = agent.rnn.imagine(z, np.array([[0, 1]], "f4"), State(zeros, zeros), noise=(z / 2, z))
    np.testing.assert_allclose(found[1], now.z, **SAME_FLOAT32)
    assert not np.allclose(*found)


def test_the_dream_begins_at_the_worlds_first_frame_and_both_move():
    session = view_of().session()
    first = session.answer({"do": "begin"})
    assert pixels(first["world"]["frame"]).shape == SHAPE == pixels(first["dream"]["frame"]).shape
    moved = [session.answer(STEP | {"x": 1}) for _ in range(8)][-1]
    assert moved["dream"]["score"] == moved["world"]["score"] == 8
    assert moved["dream"]["action"] == moved["world"]["action"] == [1.0]
    for name in ("dream", "world"):
        assert (pixels(moved[name]["frame"]) != pixels(first[name]["frame"])).any()
    json.dumps(moved, allow_nan=False)


def test_the_world_is_the_environment_with_the_same_actions():
    view = view_of()
    session = view.session()
    frames = [pixels(session.answer(STEP | {"x": -1})["world"]["frame"]) for _ in range(12)]
    env = DODGE.make()
    env.reset(int(np.random.default_rng([0, 1]).integers(1 << 31)))
    expected = [env.step(np.array([-1.0]))[0] for _ in range(12)]
    np.testing.assert_array_equal(frames, expected)


def test_the_agents_actions_are_those_of_its_controller():
    agent = agent_of()
    view = view_of(agent)
    state = agent.rnn.initial_state(1)
    z = np.ones((1, 3), "f4")
    frame = np.zeros((1, *SHAPE), np.uint8)
    mean, logvar = agent.vae.encoded(frame)
    code = mean + np.exp(0.5 * logvar) * z
    _, action, after = view.world_step(frame, z, state, np.ones(1, "f4"))
    np.testing.assert_allclose(action, agent.controller(code, h=state.h), **SAME_FLOAT32)
    np.testing.assert_allclose(after.h, agent.rnn.step(code, action, state).state.h, **SAME_FLOAT32)
    answer = view.session().answer(STEP | {"agent": 1, "x": 1})
    assert answer["agent"] and answer["world"]["action"] != [1.0] != answer["dream"]["action"]


def test_a_dream_that_ends_shows_its_end_and_begins_again(monkeypatch):
    monkeypatch.setattr(play, "_PAUSE", 3)
    session = view_of(agent_of(ends=100.0)).session()
    shown = [session.answer(STEP)["dream"] for _ in range(6)]
    assert [each["ended"] for each in shown] == [True, True, True, False, True, True]
    assert [each["score"] for each in shown] == [1, 1, 1, 0, 1, 1]
    assert [each["episodes"] for each in shown] == [1, 1, 1, 1, 2, 2]
    assert shown[-1]["best"] == shown[-1]["mean"] == 1


def test_an_episode_is_cut_off_after_max_steps():
    session = view_of(max_steps=3).session()
    shown = [session.answer(STEP) for _ in range(3)]
    for name in ("dream", "world"):
        assert [each[name]["ended"] for each in shown] == [False, False, True]


def test_a_score_belongs_to_one_player():
    session = view_of().session()
    for _ in range(4):
        session.answer(STEP)
    changed = session.answer(STEP | {"agent": 1})
    assert changed["dream"]["score"] == changed["world"]["score"] == 1


def test_two_tabs_have_two_states():
    view = view_of()
    one, other = view.session(), view.session()
    for _ in range(3):
        one.answer(STEP)
    assert other.answer(STEP)["dream"]["score"] == 1
    assert one.answer(STEP)["dream"]["score"] == 4


@pytest.mark.parametrize(
    ("env", "size", "keys", "action"),
    [
        ("seqvae/Dodge-v0", 1, (-1, 1), [-1]),
        ("CarRacing-v3", 3, (1, 1), [1, 1, 0]),
        ("CarRacing-v3", 3, (-1, -1), [-1, 0, 1]),
        ("other", 3, (1, -1), [1, -1, 0]),
    ],
)
def test_keys_become_actions(env, size, keys, action):
    controller = small_controller(action_size=size, squash="tanh")
    view = object.__new__(DreamView)
    view.agent, view.world = Agent(None, None, controller), PixelWorld(env)
    np.testing.assert_array_equal(view.action(*keys), action)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({}, "do: expected begin or step, got None"),
        (STEP | {"x": 2}, "x: expected a number from -1 to 1, got 2"),
        (STEP | {"agent": True}, "agent: expected a whole number from 0 to 1, got True"),
        (STEP | {"temperature": 0}, "temperature: expected a number from 0.1 to 2, got 0"),
    ],
)
def test_messages_that_are_refused(message, error):
    with pytest.raises(ValueError, match=error):
        view_of().session().answer(message)


def test_a_dream_that_is_not_finite_is_named():
    agent = agent_of()
    weights = [np.full_like(part, np.nan) for part in agent.rnn.head.get_weights()]
    agent.rnn.head.set_weights(weights)
    with pytest.raises(FloatingPointError, match="The dream's code is not finite"):
        view_of(agent).session().answer(STEP)


def test_a_world_that_does_not_fit_or_is_not_installed_is_named(monkeypatch):
    with pytest.raises(ValueError, match=r"small: expected frames \(6, 6, 3\) and 1 actions"):
        DreamView(agent_of(), PixelWorld("seqvae/Dodge-v0", size=(8, 8)), seed=0, name="small")

    def fail(self):
        raise ImportError("needs gymnasium. Install it")

    monkeypatch.setattr(PixelWorld, "make", fail)
    with pytest.raises(NoModelError, match="needs gymnasium"):
        view_of()


# --- runs and models that ship ---


@pytest.fixture
def run(tmp_path):
    agent, folder = agent_of(), tmp_path / "mine_worldmodel"
    folder.mkdir()
    settings = WorldModelSettings(run_name="mine", size="6,6", temperature=1.3)
    (folder / "config.json").write_text(json.dumps(dataclasses.asdict(settings)))
    agent.vae.save(folder / "vae.keras")
    agent.rnn.save(folder / "rnn.keras")
    agent.controller.save(folder / "controller.npz")
    return folder, agent


def test_a_run_is_shown(run):
    folder, agent = run
    assert play.recognises(folder) and not play.recognises(folder.parent)
    view = play.open_view(folder, "", 0)
    np.testing.assert_array_equal(view.agent.controller.vector, agent.controller.vector)
    about = view.about()
    assert (about["env"], about["temperature"]) == ("seqvae/Dodge-v0", 1.3)
    view.warm_up()


def test_runs_that_are_refused(run):
    folder, _ = run
    (folder / "controller.npz").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"controller\.npz: expected a controller that"):
        play.open_view(folder, "", 0)
    (folder / "controller.npz").unlink()
    with pytest.raises(ValueError, match=r"no controller\.npz, the run has not ended. Resume it: "):
        play.open_view(folder, "", 0)


def test_the_preset_is_shown_and_without_it_the_command_is_named(tmp_path, monkeypatch):
    with pytest.raises(NoModelError, match="`seqvae worldmodel --preset=demo --run_name=mine`"):
        monkeypatch.setattr(play, "packaged_presets", lambda kind: {})
        play.open_view(None, "", 0)
    agent = agent_of()
    for part in agent:
        part.save_to_preset(tmp_path / type(part).__name__, "# small")
    found = lambda kind: {"dodge": tmp_path / kind.__name__}  # noqa: E731
    monkeypatch.setattr(play, "packaged_presets", found)
    monkeypatch.setattr("seqvae.presets.packaged_presets", found)
    view = play.open_view(None, "", 0)
    assert view.about()["name"] == "the preset dodge" and view.world == DODGE
    np.testing.assert_array_equal(view.agent.controller.vector, agent.controller.vector)
