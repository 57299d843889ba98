"""The view of World Models in `seqvae play`: a dream of the MDN-RNN and its environment, side by
side.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from seqvae.commands import saved_config
from seqvae.physics.pixel_world import PixelEnv, PixelWorld
from seqvae.play.messages import number, picture, whole
from seqvae.play.views import NoModelError
from seqvae.presets import packaged_presets
from worldmodels.agent import agent_step, check_parts
from worldmodels.config import WorldModelSettings
from worldmodels.controller import Controller
from worldmodels.conv_vae import ConvVAE
from worldmodels.mdn_rnn import MDNRNN
from worldmodels.results import State
from worldmodels.saved_agents import load_parts
from worldmodels.train_worldmodel import world_of

READS_DATA = False
TEMPERATURES = 0.1, 2.0
_PRESET, _PRESET_ENV = "dodge", "seqvae/Dodge-v0"
_FILES = ("vae.keras", "rnn.keras", "controller.npz")
_PAUSE = 30  # steps that the last frame of an episode is shown
_MOST_SEEDS = 1 << 31


def recognises(folder: Path) -> bool:
    """Whether a folder is a run of the command `worldmodel`.

    Args:
        folder: the folder.

    Returns:
        Whether its config.json has the settings of an agent.
    """
    path = folder / "config.json"
    return path.is_file() and {"env", "train_in", "rnn_flags"} <= set(saved_config(path))


def open_view(folder: Path | None, data: str, seed: int) -> "DreamView":
    """Load an agent, and make its environment.

    Args:
        folder: of a run; None: the agent of Dodge that ships.
        data: "".
        seed: seed of the episodes and the draws.

    Returns:
        The view.

    Raises:
        NoModelError: nothing ships, or an environment's package is missing.
        ValueError: the run is not finished or damaged.
    """
    del data
    if folder is None:
        names = [set(packaged_presets(kind)) for kind in (ConvVAE, MDNRNN, Controller)]
        if _PRESET not in set.intersection(*names):
            raise NoModelError(
                "No agent ships with this version. Make one: `seqvae worldmodel --preset=demo "
                "--run_name=mine`, then `seqvae play logs/mine_worldmodel`."
            )
        vae: Any = ConvVAE.from_preset(_PRESET)
        rnn: Any = MDNRNN.from_preset(_PRESET)
        world = PixelWorld(_PRESET_ENV, size=vae.image_shape[:2])
        agent = Agent(vae, rnn, Controller.from_preset(_PRESET))
        return DreamView(agent, world, seed=seed, name=f"the preset {_PRESET}")
    s = WorldModelSettings(**saved_config(folder / "config.json", WorldModelSettings))
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f"{folder}: no {', '.join(missing)}, the run has not ended. Resume it: seqvae "
            f"worldmodel --log_dir={folder.parent} --run_name={s.run_name} --resume."
        )
    vae, rnn, controller = load_parts(*(folder / name for name in _FILES))
    return DreamView(
        Agent(vae, rnn, controller),
        world_of(s),
        seed=seed,
        name=str(folder),
        temperature=s.temperature,
        max_steps=s.max_steps,
    )


class Agent(NamedTuple):
    """The parts of an agent."""

    vae: ConvVAE
    """Between frames and codes."""
    rnn: MDNRNN
    """The dream."""
    controller: Controller
    """The policy."""


class DreamView:
    """An agent, its dream and its environment.

    A step of the dream, the controller's action and the decoder included, is one compiled function.

    Args:
        agent: the agent.
        world: the environment.
        seed: seed of the episodes and the draws.
        name: of the agent, for the page.
        temperature: of the draws at first.
        max_steps: steps after which an episode is cut off.

    Raises:
        ValueError: the parts do not fit, or there is no such environment.
    """

    def __init__(
        self,
        agent: Agent,
        world: PixelWorld,
        *,
        seed: int,
        name: str,
        temperature: float = 1.0,
        max_steps: int = 2100,
    ):
        check_parts(*agent)
        self.agent, self.world, self.max_steps = agent, world, max_steps
        self._seed, self._name, self._sessions = seed, name, 0
        self._temperature = float(np.clip(temperature, *TEMPERATURES))
        env = make_env(world)
        if env.image_shape != agent.vae.image_shape or env.action_size != self.action_size:
            raise ValueError(
                f"{name}: expected frames {agent.vae.image_shape} and {self.action_size} actions, "
                f"those of the models, got {env.image_shape} and {env.action_size} of {world.env}."
            )
        env.close()
        rnn, dtype = agent.rnn, agent.rnn.variable_dtype

        def floats(*shape: int) -> tf.TensorSpec:
            return tf.TensorSpec(shape, dtype)

        state = State(floats(1, rnn.rnn_size), floats(1, rnn.rnn_size))  # pyright: ignore
        code, one = floats(1, rnn.z_size), floats(1)
        self.dream_step = tf.function(
            partial(dream_step, agent),
            autograph=False,
            input_signature=[
                code,
                state,
                floats(1, self.action_size),
                tf.TensorSpec([], tf.bool),
                one,
                floats(),
                code,
                code,
            ],
        )
        frames = tf.TensorSpec([1, *agent.vae.image_shape], tf.uint8)
        vector = tf.constant(agent.controller.vector, dtype)
        self.world_step = tf.function(
            lambda frame, noise, state, first: agent_step(
                *agent, frame, noise, state, first, vector
            ),
            autograph=False,
            input_signature=[frames, code, state, one],
        )

    @property
    def action_size(self) -> int:
        """Number of actions, without the restart flag."""
        return self.agent.controller.action_size

    def about(self) -> dict[str, Any]:
        """What the page needs to build the view."""
        return {
            "name": self._name,
            "env": self.world.env,
            "shape": list(self.agent.vae.image_shape),
            "temperature": self._temperature,
            "temperatures": TEMPERATURES,
            "vertical": self.action_size > 1,
            "ends": self.agent.rnn.predict_done,
        }

    def session(self) -> "DreamSession":
        """Start the two episodes of a tab."""
        self._sessions += 1
        return DreamSession(self, np.random.default_rng([self._seed, self._sessions]))

    def warm_up(self) -> None:
        """Take a step by hand and one by the agent: the functions are compiled then."""
        session = DreamSession(self, np.random.default_rng(self._seed))
        session.answer({"do": "begin"})
        for by_agent in (0, 1):
            session.answer({"do": "step", "x": 0, "y": 0, "agent": by_agent, "temperature": 1.0})

    def action(self, x: int, y: int) -> np.ndarray:
        """Convert arrow keys to an action.

        Args:
            x: -1 (left), 0 or 1 (right).
            y: -1 (down), 0 or 1 (up).

        Returns:
            [action_size]. CarRacing: steering, gas, brake. Otherwise the first two numbers are x
            and y, the others 0.
        """
        if self.world.carracing:
            return np.array([x, max(y, 0), max(-y, 0)], np.float32)
        action = np.zeros(self.action_size, np.float32)
        action[:2] = (x, y)[: self.action_size]
        return action


def make_env(world: PixelWorld) -> PixelEnv:
    """Make an environment.

    Args:
        world: its description.

    Returns:
        The environment.

    Raises:
        NoModelError: gymnasium, or a package of the environment, is missing.
        ValueError: there is no such environment.
    """
    try:
        return world.make()
    except ImportError as error:
        raise NoModelError(str(error)) from error


def dream_step(
    agent: Agent,
    z: tf.Tensor,
    state: State,
    action: tf.Tensor,
    by_agent: tf.Tensor,
    first: tf.Tensor,
    temperature: tf.Tensor,
    u: tf.Tensor,
    normal: tf.Tensor,
) -> tuple[tf.Tensor, State, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Simulate one step of a dream and decode its frame.

    Args:
        agent: the agent.
        z: [1, z_size], the code.
        state: the LSTM's state, [1, rnn_size] each.
        action: [1, action_size], of the player.
        by_agent: whether the controller's action replaces it.
        first: [1], 1 in the first step of an episode.
        temperature: of the draw.
        u: [1, z_size], uniform.
        normal: [1, z_size], standard normal.

    Returns:
        The next code, the next state, the action, whether the episode ended [1], the reward [1],
        and the frame [H, W, C] uint8.
    """
    vae, rnn, controller = agent
    agent_action = tf.cast(controller(z, **state._asdict()), action.dtype)
    action = tf.where(by_agent, agent_action, action)
    taken = action
    if rnn.action_size > controller.action_size:
        taken = tf.concat([action, first[:, None]], -1)  # pyright: ignore[reportIndexIssue]
    now = rnn.imagine(z, taken, state, temperature=temperature, noise=(u, normal))  # pyright: ignore
    ended = tf.zeros_like(first, tf.bool) if now.done is None else now.done > 0
    reward = tf.ones_like(first) if now.reward is None else now.reward
    frame = tf.cast(tf.round(255.0 * vae.decode(now.z)[0]), tf.uint8)
    return now.z, now.state, action, ended, reward, frame


class Tally:
    """The score of an episode, and of those before it.

    Attributes:
        ended: whether the episode has ended.
    """

    def __init__(self):
        self._scores: list[float] = []
        self.begin()

    def begin(self) -> None:
        """Start an episode."""
        self._score, self.ended, self._left = 0.0, False, _PAUSE

    def add(self, reward: float, ended: bool) -> None:
        """Add a step.

        Args:
            reward: of the step.
            ended: whether the episode ended with it.
        """
        self._score, self.ended = self._score + reward, ended
        if ended:
            self._scores.append(self._score)

    def wait(self) -> bool:
        """Count a step after the end of an episode; return whether a new one begins."""
        self._left -= 1
        return self._left <= 0

    def as_dict(self) -> dict[str, Any]:
        """Scores for the page."""
        found = self._scores
        return {
            "score": round(self._score, 1),
            "ended": self.ended,
            "episodes": len(found),
            "best": round(max(found), 1) if found else None,
            "mean": round(float(np.mean(found)), 1) if found else None,
        }


class DreamSession:
    """The dream and the environment of a tab. The same keys act in both; each begins again when its
    episode has ended.

    Args:
        view: the models.
        rng: of episodes and draws.
    """

    def __init__(self, view: DreamView, rng: np.random.Generator):
        self._view, self._rng = view, rng
        self._env = make_env(view.world)
        self._begin()

    def answer(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Begin, or take a step.

        Args:
            message: `do`: "begin", or "step" with x, y (-1, 0, 1), agent (1: the agent plays) and
                temperature.

        Returns:
            Frames and scores of the dream and the world, and the action in each.

        Raises:
            ValueError: the message is invalid.
            FloatingPointError: the dream is not finite.
            WorldError: the environment raised.
        """
        do = message.get("do")
        if do == "begin":
            self._begin()
            return self._shown()
        if do != "step":
            raise ValueError(f"do: expected begin or step, got {do!r}.")
        x, y = (round(number(message, name, -1, 1)) for name in "xy")
        by_agent = bool(whole(message, "agent", 2))
        temperature = number(message, "temperature", *TEMPERATURES)
        if by_agent != self._by_agent:  # a score belongs to one player
            self._begin()
            self._by_agent = by_agent
        action = self._view.action(x, y)
        self._step(self._dreamt, self._begin_dream, lambda: self._step_dream(action, temperature))
        self._step(self._real, self._begin_world, lambda: self._step_world(action))
        return self._shown()

    def _begin(self) -> None:
        self._by_agent = False
        self._dreamt, self._real = Tally(), Tally()
        self._begin_world()
        self._begin_dream()

    def _step(self, tally: Tally, begin: Callable[[], None], step: Callable[[], tuple]) -> None:
        if not tally.ended:
            tally.add(*step())
        elif tally.wait():
            begin()

    def _shown(self) -> dict[str, Any]:
        return {
            "agent": self._by_agent,
            "dream": self._dreamt.as_dict()
            | {"frame": picture(self._dream_frame), "action": self._actions[0].tolist()},
            "world": self._real.as_dict()
            | {"frame": picture(self._frame), "action": self._actions[1].tolist()},
        }

    # --- the world ---

    def _begin_world(self) -> None:
        self._frame = self._env.reset(int(self._rng.integers(_MOST_SEEDS)))
        self._start = [part.numpy() for part in self._view.agent.vae.encoded(self._frame[None])]
        self._memory = self._view.agent.rnn.initial_state(1)
        self._steps = 0
        self._actions = [np.zeros(self._view.action_size, np.float32)] * 2
        self._real.begin()

    def _step_world(self, action: np.ndarray) -> tuple[float, bool]:
        if self._by_agent:
            noise = self._floats(self._rng.standard_normal((1, self._view.agent.vae.z_size)))
            first = self._floats([self._steps == 0])
            frame = tf.constant(self._frame[None])
            _, taken, self._memory = self._view.world_step(frame, noise, self._memory, first)
            action = taken.numpy()[0]
        self._frame, reward, ended, cut = self._env.step(action)
        self._steps += 1
        self._actions = [self._actions[0], action]
        return reward, ended or cut or self._steps >= self._view.max_steps

    # --- the dream ---

    def _begin_dream(self) -> None:
        """Begin at the code of the world's newest first frame."""
        mean, logvar = self._start
        z = mean + np.exp(0.5 * logvar) * self._rng.standard_normal(mean.shape)
        vae, rnn = self._view.agent.vae, self._view.agent.rnn
        self._z, self._state = self._floats(z), rnn.initial_state(1)
        self._dream_frame = np.round(255.0 * vae.decode(self._z)[0].numpy())
        self._dream_steps = 0
        self._dreamt.begin()

    def _step_dream(self, action: np.ndarray, temperature: float) -> tuple[float, bool]:
        shape = (1, self._view.agent.rnn.z_size)
        found = self._view.dream_step(
            self._z,
            self._state,
            self._floats(action[None]),
            tf.constant(self._by_agent),
            self._floats([self._dream_steps == 0]),
            self._floats(temperature),
            self._floats(self._rng.random(shape)),
            self._floats(self._rng.standard_normal(shape)),
        )
        self._z, self._state, taken, ended, reward, frame = found
        if not np.isfinite(self._z.numpy()).all():
            raise FloatingPointError(
                "The dream's code is not finite: lower the temperature, or train the model further."
            )
        self._dream_frame, self._dream_steps = frame.numpy(), self._dream_steps + 1
        self._actions = [taken.numpy()[0], self._actions[1]]
        cut = self._dream_steps >= self._view.max_steps
        return float(reward[0]), bool(ended[0]) or cut

    def _floats(self, values: Any) -> tf.Tensor:
        return tf.constant(np.asarray(values), self._view.agent.rnn.variable_dtype)
