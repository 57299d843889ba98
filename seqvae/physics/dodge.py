"""`Dodge`: an environment in which an agent moves left and right to dodge balls. Importing this
module imports gymnasium and registers `seqvae/Dodge-v0`.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pymunk

try:
    import gymnasium
except ImportError as error:
    raise ImportError(
        'seqvae.physics.dodge needs gymnasium. Install it: pip install ".[dream]"'
    ) from error
from gymnasium.spaces import Box

from seqvae.physics.drawing import pygame
from seqvae.physics.window import Window

SIZE = 64  # height and width in pixels; all lengths are in pixels, all times in steps
THRESHOLD = 1.0 / 3.0  # an action beyond it moves the agent, as in World Models' Take Cover
AGENT_RADIUS, BALL_RADIUS = 4.0, 4.0
AGENT_HEIGHT, THROWER_HEIGHT = 6.0, 60.0  # y points up
AGENT_SPEED, BALL_SPEED = 2.0, 1.8  # pixels a step
FIRST_THROWERS, MOST_THROWERS, STEPS_TO_NEXT_THROWER = 2, 6, 250
PAUSE = 45, 100  # steps between two balls of a thrower, uniform
AIM_SPREAD = 3.0  # standard deviation of the aim's error, pixels
_MARGIN = 4.0  # distance that agent and throwers keep from the sides
_FPS = 30
_WALL, _FLOOR = (0, 0, 0), (40, 40, 60)
_BALL, _AGENT = (
    (255, 255, 255),
    (255, 200, 0),
)  # bright, so that a squared error does not ignore them


@dataclass
class _Thrower:
    """A thrower: its position, and the steps until its next ball."""

    x: float
    pause: int


class Dodge(gymnasium.Env):
    """An agent moves left and right to dodge balls that throwers at the far wall throw.

    The task is that of Doom's Take Cover in World Models (Ha and Schmidhuber 2018,
    arXiv:1803.10122), simulated by pymunk and drawn by pygame.

    A ball flies straight to where the agent was when it was thrown, with an error of a few pixels.
    One frame shows where balls are, not where they fly: the throwers are not drawn. There are two
    throwers at first, and one more every 250 steps, up to six.

    Observations are frames [64, 64, 3] uint8. Actions are [1] float32 from -1 to 1: the agent moves
    left below -1/3, right above 1/3, and does not move in between. The reward is 1 for a step
    survived and 0 for the step in which a ball hits, which ends the episode.

    After importing this module, `gymnasium.make("seqvae/Dodge-v0")` works; without an import, use
    `gymnasium.make("seqvae.physics.dodge:seqvae/Dodge-v0")`.

    Args:
        max_steps: steps after which the episode is truncated.
        render_mode: "rgb_array": `render` returns the frame; "human": a window shows it; None: no
            rendering.

    Raises:
        ValueError: an argument is out of range; in `step`, an action is out of bounds.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "render_modes": ["human", "rgb_array"],
        "render_fps": _FPS,
    }

    def __init__(self, *, max_steps: int = 2100, render_mode: str | None = None):
        if isinstance(max_steps, bool) or not isinstance(max_steps, int) or max_steps < 1:
            raise ValueError(f"max_steps: expected an integer of at least 1, got {max_steps!r}.")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(
                f"render_mode: expected one of human, rgb_array, None, got {render_mode!r}."
            )
        self.observation_space = Box(0, 255, (SIZE, SIZE, 3), np.uint8)
        self.action_space = Box(-1.0, 1.0, (1,), np.float32)
        self.render_mode, self._max_steps = render_mode, max_steps
        self._window = Window("Dodge", _FPS)
        self._surface = pygame.Surface((SIZE, SIZE), depth=32)
        self._space: pymunk.Space | None = None

    @property
    def agent_x(self) -> float:
        """The agent's position, pixels from the left."""
        return self._agent.position.x

    @property
    def balls(self) -> np.ndarray:
        """[balls in flight, 4] float64: x, y (up), vx, vy in pixels and pixels per step."""
        rows = [(*ball.position, *ball.velocity) for ball in self._balls]
        return np.array(rows).reshape(-1, 4)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode: the agent in the middle, no ball in flight.

        Args:
            seed: seed of the environment's random numbers; None continues their sequence.
            options: unused.

        Returns:
            The first frame [64, 64, 3] uint8, and an empty dict.
        """
        super().reset(seed=seed)
        self._space = pymunk.Space()  # a new space: an episode depends only on its seed
        self._agent = pymunk.Body(body_type=pymunk.Body.KINEMATIC)
        self._agent.position = SIZE / 2, AGENT_HEIGHT
        self._agent_shape = pymunk.Circle(self._agent, AGENT_RADIUS)
        self._agent_shape.sensor = True  # balls hit the agent without moving it
        self._space.add(self._agent, self._agent_shape)
        self._balls: list[pymunk.Body] = []
        self._throwers: list[_Thrower] = []
        self._steps = 0
        for _ in range(FIRST_THROWERS):
            self._add_thrower()
        self._show()
        return self._frame(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Simulate one step.

        Args:
            action: [1], from -1 (left) to 1 (right).

        Returns:
            The frame, the reward, whether a ball hit, whether the episode is truncated, and an
            empty dict.

        Raises:
            ValueError: the action is out of bounds.
            gymnasium.error.ResetNeeded: `reset` was not called.
        """
        if self._space is None:
            raise gymnasium.error.ResetNeeded("step: expected reset() first.")
        self._move_agent(self._direction(action))
        self._throw()
        self._space.step(1.0)
        for ball in [ball for ball in self._balls if ball.position.y < -BALL_RADIUS]:
            self._space.remove(ball, *ball.shapes)
            self._balls.remove(ball)
        self._steps += 1
        hit = bool(self._space.shape_query(self._agent_shape))
        self._show()
        return self._frame(), float(not hit), hit, self._steps >= self._max_steps, {}

    def render(self) -> Any:
        """Show the frame in a window, or return it, as `render_mode` says.

        Returns:
            [64, 64, 3] uint8 with render_mode="rgb_array", otherwise None.
        """
        if self.render_mode == "human":
            self._window.show(self._frame())
            return None
        if self.render_mode is None:
            gymnasium.logger.warn("render: Dodge was made without a render_mode.")
            return None
        return self._frame()

    def close(self) -> None:
        """Close the window."""
        self._window.close()

    def _direction(self, action) -> int:
        try:
            (value,) = np.asarray(action, np.float64).reshape(-1)
        except (TypeError, ValueError):
            value = np.nan
        if not -1.0 <= value <= 1.0:
            raise ValueError(
                f"action: expected one float from -1 (left) to 1 (right), got {action!r}."
            )
        return int(value > THRESHOLD) - int(value < -THRESHOLD)

    def _move_agent(self, direction: int) -> None:
        x = np.clip(self.agent_x + direction * AGENT_SPEED, _MARGIN, SIZE - _MARGIN)
        self._agent.velocity = float(x) - self.agent_x, 0.0

    def _add_thrower(self) -> None:
        x = self.np_random.uniform(_MARGIN, SIZE - _MARGIN)
        self._throwers.append(_Thrower(x, self._pause()))

    def _pause(self) -> int:
        return int(self.np_random.integers(*PAUSE))

    def _throw(self) -> None:
        due = self._steps > 0 and self._steps % STEPS_TO_NEXT_THROWER == 0
        if due and len(self._throwers) < MOST_THROWERS:
            self._add_thrower()
        for thrower in self._throwers:
            thrower.pause -= 1
            if thrower.pause <= 0:
                thrower.pause = self._pause()
                self._add_ball(thrower.x)

    def _add_ball(self, x: float) -> None:
        target = self.agent_x + self.np_random.normal(0.0, AIM_SPREAD)
        direction = np.array([target - x, AGENT_HEIGHT - THROWER_HEIGHT])
        body = pymunk.Body(1.0, 1.0)
        body.position = x, THROWER_HEIGHT
        vx, vy = map(float, BALL_SPEED * direction / np.linalg.norm(direction))
        body.velocity = vx, vy
        shape = pymunk.Circle(body, BALL_RADIUS)
        shape.sensor = True  # balls pass through one another
        assert self._space is not None
        self._space.add(body, shape)
        self._balls.append(body)

    def _show(self) -> None:
        if self.render_mode == "human":
            self.render()

    def _frame(self) -> np.ndarray:
        """[64, 64, 3] uint8, a new array; row 0 is the top."""
        surface = self._surface
        surface.fill(_WALL)
        surface.fill(_FLOOR, (0, SIZE // 2, SIZE, SIZE // 2))
        pygame.draw.circle(surface, _AGENT, _pixel(self._agent.position), AGENT_RADIUS)
        for ball in self._balls:
            pygame.draw.circle(surface, _BALL, _pixel(ball.position), BALL_RADIUS)
        return pygame.surfarray.pixels3d(surface).swapaxes(0, 1).copy()


def _pixel(point) -> tuple[float, float]:
    return point[0], SIZE - point[1]


def register() -> None:
    """Register `seqvae/Dodge-v0` with gymnasium, if it is not registered yet."""
    if "seqvae/Dodge-v0" not in gymnasium.registry:
        gymnasium.register("seqvae/Dodge-v0", entry_point="seqvae.physics.dodge:Dodge")


register()
