"""`Push`: an environment in which actions push balls.

Importing this module imports gymnasium and registers `seqvae/Push-v0`.
"""

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

try:
    import gymnasium
except ImportError as error:
    raise ImportError(
        'seqvae.physics.push needs gymnasium. Install it: pip install ".[dream]"'
    ) from error
from gymnasium.spaces import Box

from seqvae.physics.drawing import Painter
from seqvae.physics.simulation import Motion, begin, push
from seqvae.physics.window import Window
from seqvae.physics.worlds import BALL_WORLDS

WORLD = replace(BALL_WORLDS["box_push"], name="push", colour=True, balls=2, radius=5.0).scaled(2)
STRONGEST = 4 * WORLD.push  # pixels a frame, of an action of 1
_FPS = 30


class Push(gymnasium.Env):
    """Two coloured balls in a box; an action pushes both, to keep the orange one in the middle.

    Observations are frames [64, 64, 3] uint8. Actions are [2] float32 from -1 to 1, the change of
    the balls' velocity in x and y, in units of 4.8 pixels per frame. The reward of a step is 1 if
    the orange ball is in the middle, and falls to 0 at a corner.

    Importing this module registers the environment: `gymnasium.make("seqvae/Push-v0")` then works,
    and without an import `gymnasium.make("seqvae.physics.push:seqvae/Push-v0")`.

    Args:
        max_steps: steps after which the episode is cut off.
        render_mode: "rgb_array": `render` returns the frame; "human": a window shows it.

    Raises:
        ValueError: an argument is out of range; in `step`, an action is out of bounds.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "render_modes": ["human", "rgb_array"],
        "render_fps": _FPS,
    }

    def __init__(self, *, max_steps: int = 200, render_mode: str | None = None):
        if isinstance(max_steps, bool) or not isinstance(max_steps, int) or max_steps < 1:
            raise ValueError(f"max_steps: expected an integer of at least 1, got {max_steps!r}.")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(
                f"render_mode: expected one of human, rgb_array, None, got {render_mode!r}."
            )
        width, height = WORLD.size
        self.observation_space = Box(0, 255, (height, width, 3), np.uint8)
        self.action_space = Box(-1.0, 1.0, (2,), np.float32)
        self.render_mode, self._max_steps = render_mode, max_steps
        self._window, self._painter = Window("Push", _FPS), Painter(WORLD, 1)
        self._space = None

    @property
    def balls(self) -> np.ndarray:
        """[2, 4] float64: x, y (up), vx, vy in pixels and pixels a time unit."""
        return np.array([(*ball.position, *ball.velocity) for ball in self._balls])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode with moving balls at random positions.

        Args:
            seed: seed of the random generator; None: it is not changed.
            options: ignored.

        Returns:
            The first frame, and {}.
        """
        super().reset(seed=seed)
        self._space, self._balls = begin(WORLD, self.np_random)
        self._steps = 0
        self._show()
        return self._frame(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take one step.

        Args:
            action: [2], from -1 to 1.

        Returns:
            Frame, reward, False, whether the episode is cut off, and {}.
        """
        if self._space is None:
            raise gymnasium.error.ResetNeeded("step: expected reset() first.")
        push(self._balls, STRONGEST * self._checked(action), WORLD)
        self._space.step(WORLD.dt)
        self._steps += 1
        self._show()
        middle = np.array(WORLD.size) / 2
        distance = np.linalg.norm(self.balls[0, :2] - middle) / np.linalg.norm(middle)
        return self._frame(), float(1.0 - distance), False, self._steps >= self._max_steps, {}

    def render(self) -> Any:
        """Render the current frame.

        Returns:
            [64, 64, 3] uint8 if `render_mode` is "rgb_array", else None.
        """
        if self.render_mode == "human":
            self._window.show(self._frame())
            return None
        if self.render_mode is None:
            gymnasium.logger.warn("render: Push was made without a render_mode.")
            return None
        return self._frame()

    def close(self) -> None:
        """Close the window."""
        self._window.close()

    def _checked(self, action: Any) -> np.ndarray:
        try:
            value = np.asarray(action, np.float64)
        except (TypeError, ValueError):
            value = np.array(np.nan)
        if value.shape != (2,) or not (np.abs(value) <= 1.0).all():
            raise ValueError(f"action: expected two floats from -1 to 1, got {action!r}.")
        return value

    def _show(self) -> None:
        if self.render_mode == "human":
            self.render()

    def _frame(self) -> np.ndarray:
        """[64, 64, 3] uint8, a new array; row 0 is the top."""
        nothing = np.zeros((1, 0))
        return self._painter.frames(Motion(self.balls[None], nothing, nothing))[0]


def register() -> None:
    """Register `seqvae/Push-v0` with gymnasium, once."""
    if "seqvae/Push-v0" not in gymnasium.registry:
        gymnasium.register("seqvae/Push-v0", entry_point="seqvae.physics.push:Push")


register()
