"""Environments of 6x6 pixels, some with a fault. Importing this module registers them."""

import os

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

HERE = "tests.worldmodels.small_worlds"
FAULT_AT = 3  # the step in which a fault shows


class Dot(gymnasium.Env):
    """A dot that the action moves; the reward is the dot's place from 0 to 1, the episode ends
    after a number of steps that the seed decides."""

    def __init__(self, fault="", actions=3, space=None):
        self.observation_space = Box(0, 255, (6, 6, 3), np.uint8)
        self.action_space = space or Box(-1.0, 1.0, (actions,), np.float32)
        self._fault = fault

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._x, self._steps = float(self.np_random.uniform(0, 1)), 0
        self._last = int(self.np_random.integers(5, 12))
        return self._frame(), {}

    def step(self, action):
        self._steps += 1
        self._x = float(np.clip(self._x + 0.3 * np.sum(action), 0, 1))
        reward, frame = self._x, self._frame()
        if self._steps == FAULT_AT:
            if self._fault == "raises":
                raise RuntimeError("the wheel came off")
            if self._fault == "dies":
                os._exit(7)
            reward = np.nan if self._fault == "nan" else reward
            frame = frame[:5] if self._fault == "shape" else frame
        return frame, reward, self._steps >= self._last, False, {}

    def _frame(self):
        frame = np.zeros((6, 6, 3), np.uint8)
        frame[2:4, int(5 * self._x)] = 255
        return frame


class Numbers(gymnasium.Env):
    """An environment without pictures, which can be rendered in grey."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    observation_space = Box(-1.0, 1.0, (4,), np.float32)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode
        self.action_space = Box(-2.0, 4.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.last = None
        return np.zeros(4, np.float32), {}

    def step(self, action):
        self.last = action
        return np.zeros(4, np.float32), float(action[0]), False, False, {}

    def render(self):
        return np.full((12, 12, 3), 100, np.uint8)


def _register(name, entry_point, **kwargs):
    if name not in gymnasium.registry:
        gymnasium.register(name, entry_point=f"{HERE}:{entry_point}", kwargs=kwargs)


_register("Dot-v0", "Dot")
_register("DotOne-v0", "Dot", actions=1)
for _fault in ("raises", "nan", "shape", "dies"):
    _register(f"Dot{_fault.title()}-v0", "Dot", fault=_fault)
_register("DotDiscrete-v0", "Dot", space=Discrete(2))
_register("Numbers-v0", "Numbers")
