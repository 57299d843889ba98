"""`gymnasium` environments as worlds of frames of one size, with actions from -1 to 1.

Errors name the environment and its seed. gymnasium is imported when a world is made.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

CARRACING_ROWS = 84  # of 96; below them is the score bar
_OURS = "seqvae.physics.dodge", "seqvae.physics.push"  # modules that register our environments


class WorldError(RuntimeError):
    """Error of an environment: it raised, or returned invalid values.

    The message names the environment, its seed and the step.
    """


@dataclass(frozen=True)
class PixelWorld:
    """Description of a `PixelEnv`, which can be sent to other processes.

    Args:
        env: id of the environment, as in `gymnasium.make`.
        size: (height, width) of a frame in pixels.
        max_steps: steps after which an episode is cut off; None: the environment's own limit.
        render: whether frames are rendered (`render_mode="rgb_array"`), for environments whose
            observations are not pictures.
        prepare: "module:function" that maps an observation to a frame, instead of the resizing.
    """

    env: str
    size: tuple[int, int] = (64, 64)
    max_steps: int | None = None
    render: bool = False
    prepare: str = ""

    @property
    def carracing(self) -> bool:
        """Whether it is CarRacing, whose actions keep their ranges: steering, gas and brake."""
        return self.env.split(":")[-1].startswith("CarRacing")

    def make(self) -> "PixelEnv":
        """Make the environment.

        Returns:
            The environment.

        Raises:
            ValueError: there is no such environment, its observations are not pictures, or its
                actions are not bounded floats.
            ImportError: gymnasium or a package of the environment is not installed.
        """
        return PixelEnv(self)


class PixelEnv:
    """Environment with frames [H, W, C] uint8, see `PixelWorld`.

    Args:
        world: its description.

    Attributes:
        image_shape: (H, W, C).
        action_size: size of an action; each number is from -1 to 1 (CarRacing: in its own range).
        low: the smallest action, [action_size].
        high: the largest action, [action_size].
    """

    def __init__(self, world: PixelWorld):
        self._world, self._seed, self._step = world, None, 0
        self._env = _made(world)
        space = self._env.action_space
        self.low, self.high = np.asarray(space.low), np.asarray(space.high)
        self.action_size = int(space.shape[0])
        self._prepare = _prepare(world)
        shape = self._env.observation_space.shape
        self._space = tuple(shape)
        self.image_shape = self._prepare(np.zeros(shape, np.uint8)).shape

    def reset(self, seed: int) -> np.ndarray:
        """Begin an episode.

        Args:
            seed: seed of the episode.

        Returns:
            The first frame.

        Raises:
            WorldError: the environment raised, or its frame has another shape or type.
        """
        self._seed, self._step = seed, 0
        picture, _ = self._called(self._env.reset, seed=int(seed))
        return self._frame(picture)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool]:
        """Take one step.

        Args:
            action: [action_size].

        Returns:
            Frame, reward, whether the episode ended, and whether it was cut off.

        Raises:
            WorldError: the environment raised, its frame has another shape or type, or the reward
                is not finite.
        """
        self._step += 1
        picture, reward, ended, cut, _ = self._called(self._env.step, action)
        try:
            number = float(reward)
        except (TypeError, ValueError):
            number = np.nan
        if not np.isfinite(number):
            raise self._error(f"expected a finite reward, got {reward!r}")
        return self._frame(picture), number, bool(ended), bool(cut)

    def close(self) -> None:
        """Close the environment."""
        self._env.close()

    def _called(self, function: Callable, *args: Any, **options: Any) -> Any:
        try:
            return function(*args, **options)
        except Exception as error:
            name = type(error).__name__
            raise self._error(f"the environment raised {name}: {error}") from error

    def _frame(self, picture: Any) -> np.ndarray:
        picture = np.asarray(picture)
        if picture.shape != self._space or picture.dtype != np.uint8:
            raise self._error(
                f"expected a frame {self._space} of uint8, got {picture.shape} of {picture.dtype}"
            )
        return self._prepare(picture)

    def _error(self, what: str) -> WorldError:
        return WorldError(
            f"{self._world.env}, seed {self._seed}, step {self._step}: {what}. Fix the "
            "environment; this seed reproduces the error."
        )


def _made(world: PixelWorld) -> Any:
    try:
        import gymnasium
    except ImportError as error:
        raise ImportError(
            'seqvae.physics.pixel_world needs gymnasium. Install it: pip install ".[dream]"'
        ) from error
    if world.env.startswith("seqvae/"):
        for module in _OURS:
            importlib.import_module(module)
    options: dict[str, Any] = (
        {} if world.max_steps is None else {"max_episode_steps": world.max_steps}
    )
    options |= {"render_mode": "rgb_array"} if world.render else {}
    try:
        env = gymnasium.make(world.env, disable_env_checker=True, **options)
    except gymnasium.error.DependencyNotInstalled:
        raise
    except gymnasium.error.Error as error:
        raise ValueError(f"env: {error}") from error
    if world.render:
        env.reset(seed=0)  # some environments render only after the first reset
        env = gymnasium.wrappers.AddRenderObservation(env, render_only=True)
    seen, acts = env.observation_space, env.action_space
    shape = getattr(seen, "shape", None) or ()
    picture = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))
    if not picture or seen.dtype != np.uint8:
        raise ValueError(
            f"env: expected observations that are pictures [H, W, 3] or [H, W] of uint8, "
            f"{world.env} has {seen}. With render (--render) its rendered pictures are taken."
        )
    if not isinstance(acts, gymnasium.spaces.Box) or len(acts.shape) != 1 or not acts.is_bounded():
        raise ValueError(
            f"env: expected actions that are bounded floats, a Box [action_size], {world.env} has "
            f"{acts}. Wrap the environment, such as one float whose thresholds choose."
        )
    alike = (acts.low == -1.0).all() and (acts.high == 1.0).all()
    if world.carracing or alike:
        return env
    low, high = np.full(acts.shape, -1.0, np.float32), np.full(acts.shape, 1.0, np.float32)
    return gymnasium.wrappers.RescaleAction(env, low, high)


def _prepare(world: PixelWorld) -> Callable[[np.ndarray], np.ndarray]:
    if world.prepare:
        module, name = world.prepare.split(":")
        return getattr(importlib.import_module(module), name)
    rows, (height, width) = CARRACING_ROWS if world.carracing else None, world.size

    def resized(picture: np.ndarray) -> np.ndarray:
        picture = picture[:rows]
        alone = picture.ndim == 3 and picture.shape[2] == 1
        picture = picture[..., 0] if alone else picture
        if picture.shape[:2] != (height, width):
            bilinear = Image.Resampling.BILINEAR
            picture = np.asarray(Image.fromarray(picture).resize((width, height), bilinear))
        return picture if picture.ndim == 3 else picture[..., None]

    return resized
