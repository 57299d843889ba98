"""Dreams of an MDN-RNN as `gymnasium` environments, single or vectorised. Importing this module
imports gymnasium.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

try:
    import gymnasium
except ImportError as error:
    raise ImportError(
        'worldmodels.DreamEnv needs gymnasium. Install it: pip install ".[dream]"'
    ) from error
from gymnasium.spaces import Box
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from seqvae import checks
from seqvae.physics.window import Window
from worldmodels import arguments
from worldmodels.controller import INPUTS
from worldmodels.conv_vae import ConvVAE
from worldmodels.mdn_rnn import MDNRNN
from worldmodels.results import State
from worldmodels.starts import Source, starts_of

OBSERVATIONS = (*INPUTS, "frames")
_FPS = 50


class DreamEnv(gymnasium.Env):
    """A dream of the MDN-RNN as an environment.

    The dynamics (Ha and Schmidhuber 2018, arXiv:1803.10122, section "Learning Inside of a Dream")::

        z_0: of a real first frame;    z_{t+1} ~ p(z_{t+1} | a_t, z_t, h_t) at a temperature

    The reward of a step is the prediction of the MDN-RNN's reward head, or 1 without this head (a
    step survived, as in the original's Doom). The episode is `terminated` if the logit of the done
    head is above 0, as in the original, never without this head; it is `truncated` after
    `max_steps`.

    Args:
        rnn: the MDN-RNN.
        starts: source of the first codes: z [N, z_size]; a pair of mean and logvar [N, z_size] of
            q(z | x), from which z is drawn, as in the original; `Latents`, whose first steps are
            used; the path of the original's `initial_z.json`, or of a folder of encoded episodes
            (`latents/` of a run of run_mdnrnn.py).
        vae: the ConvVAE that decodes codes; needed for frames and for rendering.
        observation: "z": codes [z_size] float32; "zh", "zch": joined with the LSTM's state, in the
            order of a `Controller` with these inputs; "frames": decoded, [H, W, C] uint8.
        temperature: temperature of the draws, see `MDNRNN.sample`. The paper trains Doom's agent at
            1.15.
        max_steps: steps after which an episode is truncated (the original's Doom: 2,100).
        action_space: a Box of the shape [action_size]; None: -1 to 1. CarRacing's is
            `gymnasium.make("CarRacing-v3").action_space`.
        restart_input: whether the rnn's last action is the restart flag, 1 at the first step of an
            episode, as in the original's Doom model; the environment sets it.
        render_mode: "rgb_array": `render` returns the decoded frame [H, W, 3] uint8; "human": a
            window shows it; None: no rendering.

    Raises:
        ValueError: an argument is out of range, or the parts do not fit.
        FloatingPointError: in `step`, a code is not finite.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "render_modes": ["human", "rgb_array"],
        "render_fps": _FPS,
    }

    def __init__(
        self,
        rnn: MDNRNN,
        starts: Source,
        *,
        vae: ConvVAE | None = None,
        observation: str = "z",
        temperature: float = 1.0,
        max_steps: int = 1000,
        action_space: Box | None = None,
        restart_input: bool = False,
        render_mode: str | None = None,
    ):
        _check_render_mode(render_mode, self.metadata["render_modes"], vae)
        self._dreams = _Dreams(
            1, rnn, starts, vae, observation, temperature, max_steps, action_space, restart_input
        )
        self.action_space = self._dreams.action_space
        self.observation_space = self._dreams.observation_space
        self.render_mode = render_mode
        self._window = Window("Dream", _FPS)

    @property
    def z(self) -> np.ndarray:
        """The current code, [z_size]."""
        return self._dreams.z[0].copy()

    @property
    def state(self) -> State:
        """The LSTM's state, [1, rnn_size] each."""
        return self._dreams.state

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode at a code drawn from `starts`.

        Args:
            seed: seed of the environment's random numbers; None continues their sequence.
            options: unused.

        Returns:
            The observation and an empty dict.
        """
        super().reset(seed=seed)
        self._dreams.begin(0, self.np_random)
        self._show()
        return self._dreams.observations()[0], {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Simulate one step.

        Args:
            action: [action_size].

        Returns:
            Observation, reward, terminated, truncated, and an empty dict.

        Raises:
            ValueError: the action is out of bounds.
            FloatingPointError: a code is not finite.
        """
        rewards, ends, cuts = self._dreams.step(np.asarray(action)[None], [self.np_random])
        self._show()
        return self._dreams.observations()[0], float(rewards[0]), bool(ends[0]), bool(cuts[0]), {}

    def render(self) -> Any:
        """Show the decoded frame in a window, or return it, as `render_mode` says.

        Returns:
            [H, W, 3] uint8 with render_mode="rgb_array", otherwise None.
        """
        if self.render_mode is None:
            gymnasium.logger.warn("render: DreamEnv was made without a render_mode.")
            return None
        frame = self._dreams.pictures()[0]
        if self.render_mode == "rgb_array":
            return frame
        self._window.show(frame)
        return None

    def close(self) -> None:
        """Close the window."""
        self._window.close()

    def _show(self) -> None:
        if self.render_mode == "human":
            self.render()


class DreamVectorEnv(VectorEnv):
    """Many dreams of one MDN-RNN; each step is one call of the model.

    It behaves as `num_envs` `DreamEnv`s in `gymnasium.vector.SyncVectorEnv`: row i of
    `reset(seed=s)` is a `DreamEnv` with `reset(seed=s + i)`, and a row that has ended is reset in
    the next step, which ignores its action (`AutoresetMode.NEXT_STEP`).

    Args:
        num_envs: number of dreams.
        rnn: see `DreamEnv`.
        starts: see `DreamEnv`.
        vae: see `DreamEnv`.
        observation: see `DreamEnv`.
        temperature: see `DreamEnv`.
        max_steps: see `DreamEnv`.
        action_space: see `DreamEnv`, for one row.
        restart_input: see `DreamEnv`.
        render_mode: "rgb_array": `render` returns a tuple of frames; None: no rendering.

    Raises:
        ValueError: an argument is out of range, or the parts do not fit.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  (as in gymnasium)
        "render_modes": ["rgb_array"],
        "render_fps": _FPS,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int,
        rnn: MDNRNN,
        starts: Source,
        *,
        vae: ConvVAE | None = None,
        observation: str = "z",
        temperature: float = 1.0,
        max_steps: int = 1000,
        action_space: Box | None = None,
        restart_input: bool = False,
        render_mode: str | None = None,
    ):
        arguments.check_sizes(1, num_envs=num_envs)
        _check_render_mode(render_mode, self.metadata["render_modes"], vae)
        self._dreams = dreams = _Dreams(
            num_envs,
            rnn,
            starts,
            vae,
            observation,
            temperature,
            max_steps,
            action_space,
            restart_input,
        )
        self.num_envs, self.render_mode = num_envs, render_mode
        self.single_action_space = dreams.action_space
        self.single_observation_space = dreams.observation_space
        self.action_space = batch_space(dreams.action_space, num_envs)
        self.observation_space = batch_space(dreams.observation_space, num_envs)
        self._rngs: list[np.random.Generator | None] = [None] * num_envs
        self._ended = np.zeros(num_envs, bool)

    @property
    def z(self) -> np.ndarray:
        """The current codes, [num_envs, z_size]."""
        return self._dreams.z.copy()

    @property
    def state(self) -> State:
        """The LSTM's state, [num_envs, rnn_size] each."""
        return self._dreams.state

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode in every row.

        Args:
            seed: seed of row 0, row i has seed + i; or one seed per row. None continues the rows'
                random numbers.
            options: unused.

        Returns:
            Observations [num_envs, ...] and an empty dict.
        """
        seeds = _row_seeds(seed, self.num_envs)
        for row, own in enumerate(seeds):
            if own is not None or self._rngs[row] is None:
                self._rngs[row], _ = seeding.np_random(own)
            self._dreams.begin(row, self._rngs[row])
        self._ended[:] = False
        return self._dreams.observations(), {}

    def step(
        self, actions: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Simulate one step.

        Args:
            actions: [num_envs, action_size].

        Returns:
            Observations, rewards, terminations, truncations, and an empty dict.

        Raises:
            ValueError: an action is out of bounds.
            FloatingPointError: a code is not finite.
        """
        to_reset = self._ended
        rewards, ends, cuts = self._dreams.step(actions, self._rngs, left_out=to_reset)
        for row in np.flatnonzero(to_reset).tolist():
            self._dreams.begin(row, self._rngs[row])
        self._ended = ends | cuts
        return self._dreams.observations(), rewards, ends, cuts, {}

    def render(self) -> tuple[np.ndarray, ...] | None:
        """Decode the current frames.

        Returns:
            A tuple of frames [H, W, 3] uint8 with render_mode="rgb_array", otherwise None.
        """
        return tuple(self._dreams.pictures()) if self.render_mode == "rgb_array" else None


class _Dreams:
    """The codes and states of B dreams."""

    def __init__(
        self,
        count: int,
        rnn: MDNRNN,
        starts: Source,
        vae: ConvVAE | None,
        observation: str,
        temperature: float,
        max_steps: int,
        action_space: Box | None,
        restart_input: bool,
    ):
        checks.check_choice("observation", observation, OBSERVATIONS)
        arguments.check_temperature(temperature)
        arguments.check_sizes(1, max_steps=max_steps)
        if vae is None and observation == "frames":
            raise ValueError(
                "vae: expected a ConvVAE with observation='frames', got None. Pass the ConvVAE "
                "whose codes the MDN-RNN was trained on."
            )
        if vae is not None and vae.z_size != rnn.z_size:
            raise ValueError(
                f"vae: expected z_size={rnn.z_size}, that of the MDN-RNN, got {vae.z_size}. Pass "
                "the ConvVAE whose codes the MDN-RNN was trained on."
            )
        self._rnn, self._vae = rnn, vae
        self._starts = starts_of(starts, rnn.z_size)
        self._observation, self._temperature = observation, temperature
        self._max_steps, self._restart_input = max_steps, restart_input
        self.action_space = _action_space(action_space, rnn.action_size - restart_input)
        self.observation_space = self._observation_space()
        dtype = np.dtype(rnn.variable_dtype)
        self.z = np.zeros((count, rnn.z_size), dtype)
        self._h, self._c = (np.zeros((count, rnn.rnn_size), dtype) for _ in range(2))
        self._steps = np.full(count, -1)  # steps since the last reset; -1 before the first reset

    @property
    def state(self) -> State:
        return State(tf.constant(self._h), tf.constant(self._c))

    def begin(self, row: int, rng: Any) -> None:
        """Start an episode in a row."""
        self.z[row] = self._starts.draw(rng)
        self._h[row] = self._c[row] = 0.0
        self._steps[row] = 0

    def step(
        self, actions: Any, rngs: Sequence[Any], left_out: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rewards, terminations and truncations of a step, [B] each; 0 in the rows that are left
        out.
        """
        count = len(self.z)
        rows = np.ones(count, bool) if left_out is None else ~left_out
        if (self._steps < 0).any():
            raise gymnasium.error.ResetNeeded("step: expected reset() first.")
        actions = self._checked(actions, rows)
        if self._restart_input:
            first = (self._steps == 0).astype(actions.dtype)
            actions = np.concatenate([actions, first[:, None]], -1)
        u, normal = np.zeros((2, *self.z.shape), self.z.dtype)
        for row in np.flatnonzero(rows).tolist():  # the original's order: all uniform numbers first
            u[row] = rngs[row].random(self.z.shape[1])
            normal[row] = rngs[row].standard_normal(self.z.shape[1])
        z, state, done, reward = self._rnn.imagine(
            self.z,
            actions,
            State(self._h, self._c),  # pyright: ignore[reportArgumentType]
            temperature=self._temperature,
            noise=(u, normal),
        )
        self.z, self._h, self._c = (np.array(part) for part in (z, *state))
        self._steps += 1
        self._check_finite(rows)
        rewards = np.ones(count) if reward is None else np.array(reward, np.float64)
        ends = np.zeros(count, bool) if done is None else np.asarray(done) > 0
        cuts = self._steps >= self._max_steps
        return np.where(rows, rewards, 0.0), ends & rows, cuts & rows

    def observations(self) -> np.ndarray:
        """The observations [B, ...], a new array."""
        if self._observation == "frames":
            return self._decoded()
        parts = {"z": self.z, "h": self._h, "c": self._c}
        return np.concatenate([parts[name] for name in INPUTS[self._observation]], -1, dtype="f4")

    def pictures(self) -> np.ndarray:
        """The decoded frames for rendering, [B, H, W, 3] uint8."""
        frames = self._decoded()
        return frames if frames.shape[-1] == 3 else np.repeat(frames[..., :1], 3, axis=-1)

    def _decoded(self) -> np.ndarray:
        assert self._vae is not None
        return np.round(255.0 * self._vae.decode(self.z).numpy()).astype(np.uint8)

    def _observation_space(self) -> Box:
        if self._observation == "frames":
            assert self._vae is not None
            return Box(0, 255, self._vae.image_shape, np.uint8)
        widths = {"z": self._rnn.z_size, "h": self._rnn.rnn_size, "c": self._rnn.rnn_size}
        size = sum(widths[name] for name in INPUTS[self._observation])
        return Box(-np.inf, np.inf, (size,), np.float32)

    def _checked(self, actions, rows: np.ndarray) -> np.ndarray:
        space, shape = self.action_space, (len(self.z), *self.action_space.shape)
        try:
            actions = np.asarray(actions, self.z.dtype)
        except (TypeError, ValueError):
            raise ValueError(
                f"action: expected floats of the shape {list(shape[1:])}, got "
                f"{getattr(actions, 'dtype', type(actions).__name__)}."
            ) from None
        if actions.shape != shape:
            raise ValueError(
                f"action: expected floats of the shape {list(shape[1:])} for each of "
                f"{shape[0]} environments, got the shape {list(actions.shape)} for all."
            )
        inside = ((actions >= space.low) & (actions <= space.high)).all(-1) | ~rows
        if not inside.all():
            row = int(np.argmin(inside))
            raise ValueError(
                f"action: expected floats from {space.low.tolist()} to {space.high.tolist()}, got "
                f"{actions[row].tolist()} in environment {row}. Clip it, or pass action_space= "
                "with the bounds that the MDN-RNN was trained on."
            )
        return actions

    def _check_finite(self, rows: np.ndarray) -> None:
        fine = np.isfinite(self.z).all(-1) | ~rows
        if not fine.all():
            row = int(np.argmin(fine))
            raise FloatingPointError(
                f"DreamEnv: z is not finite after step {self._steps[row]} in environment {row}. "
                "The weights hold NaN, or the model diverges: train it further, or lower "
                "temperature."
            )


def _action_space(space: Any, size: int) -> Box:
    if size < 1:
        raise ValueError(
            "rnn: expected an MDN-RNN with actions, got action_size=0 besides the restart flag."
        )
    if space is None:
        return Box(-1.0, 1.0, (size,), np.float32)
    if not isinstance(space, Box) or space.shape != (size,):
        raise ValueError(
            f"action_space: expected a Box of the shape ({size},), the MDN-RNN's actions, got "
            f"{space}. The MDN-RNN takes no discrete actions: wrap the environment."
        )
    return space


def _check_render_mode(mode: str | None, known: list[str], vae: ConvVAE | None) -> None:
    if mode is None:
        return
    checks.check_choice("render_mode", mode, known)
    if vae is None:
        raise ValueError(
            f"vae: expected a ConvVAE with render_mode={mode!r}, got None. Pass the ConvVAE whose "
            "codes the MDN-RNN was trained on."
        )


def _row_seeds(seed: int | Sequence[int | None] | None, count: int) -> list[int | None]:
    if seed is None:
        return [None] * count
    if isinstance(seed, int | np.integer):
        return [int(seed) + i for i in range(count)]
    if len(seed) != count:
        raise ValueError(f"seed: expected an integer, or one for each of {count} rows, got {seed}.")
    return list(seed)
