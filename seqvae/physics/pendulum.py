"""A pendulum: a rod that swings around the centre of the frame (Becker et al. 2019,
arXiv:1905.07357, section 5.1).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

_CANVAS = 128  # pixels; frames are drawn at this size, then downsampled
_ROD_LENGTH, _ROD_WIDTH = 55, 8  # pixels of the canvas


@dataclass(frozen=True)
class Pendulum:
    """A rod with friction, random changes of its velocity, and a motor if `torque` > 0.

    The angle is 0 if the rod points up. Units are those of the published data: metres, kilogrammes,
    seconds.

    Args:
        name: the name in files and messages.
        size: width and height of a frame in pixels.
        angle_limits: range of the uniform initial angle, degrees; the rod starts at rest.
        mass: mass of the rod; its moment of inertia is mass * length ** 2 / 3.
        length: length of the rod. As in the published simulator, gravity acts at the rod's end.
        gravity: acceleration.
        friction: deceleration per unit of velocity, 1/s.
        dt: time between two frames.
        simulation_dt: time step of the simulation.
        velocity_noise: standard deviation of the normal noise added to the velocity at each frame,
            rad/s.
        torque: the motor's maximal torque; 0: no motor. The strength of each sequence's motor is
            uniform between 0 and this value. The motor swings the rod up and slows it down if it
            has more energy than at rest at the top.

    Raises:
        ValueError: an argument is out of range.
    """

    name: str
    size: tuple[int, int] = (24, 24)
    angle_limits: tuple[float, float] = (0.0, 360.0)
    mass: float = 1.0
    length: float = 1.0
    gravity: float = 9.81
    friction: float = 0.1
    dt: float = 0.05
    simulation_dt: float = 1e-4
    velocity_noise: float = 0.1
    torque: float = 0.0

    def __post_init__(self):
        checks = {
            "size": min(self.size) >= 1,
            "mass": self.mass > 0,
            "length": self.length > 0,
            "friction": self.friction >= 0,
            "dt": self.dt > 0,
            "simulation_dt": 0 < self.simulation_dt <= self.dt,
            "velocity_noise": self.velocity_noise >= 0,
            "torque": self.torque >= 0,
            "angle_limits": self.angle_limits[0] <= self.angle_limits[1],
        }
        for name, fine in checks.items():
            if not fine:
                raise ValueError(
                    f"Pendulum {self.name!r}: {name}={getattr(self, name)!r} is out of range. "
                    "mass, length, dt, simulation_dt (at most dt) must be positive, friction, "
                    "velocity_noise and torque at least zero, limits given as low, high."
                )

    @property
    def inertia(self) -> float:
        """The rod's moment of inertia about its end."""
        return self.mass * self.length**2 / 3

    @property
    def state_size(self) -> int:
        """Numbers recorded per frame: the angle and the angular velocity."""
        return 2

    @property
    def frame_shape(self) -> tuple[int, int]:
        """(H, W)."""
        width, height = self.size
        return height, width

    def scaled(self, scale: int) -> "Pendulum":
        """Enlarge the frames.

        Args:
            scale: the factor, an integer of at least 1.

        Returns:
            The same pendulum with larger frames.

        Raises:
            ValueError: the factor is not an integer of at least 1.
        """
        if scale < 1 or scale != int(scale):
            raise ValueError(f"scale: expected an integer of at least 1, got {scale!r}.")
        width, height = self.size
        return replace(self, size=(width * scale, height * scale))


def swing(
    pendulum: Pendulum, steps: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate a pendulum.

    Args:
        pendulum: the pendulum.
        steps: number of frames.
        rng: the random generator.

    Returns:
        Angle (radians in [0, 2 pi), 0 is up) and angular velocity [steps, 2], and the motor's
        torque on the step into each frame [steps, 1].
    """
    p = pendulum
    substeps = round(p.dt / p.simulation_dt)
    pull, slow = p.gravity * p.length * p.mass / p.inertia, p.friction
    angle, velocity = math.radians(rng.uniform(*p.angle_limits)), 0.0
    strength = rng.uniform(0.0, p.torque) if p.torque else 0.0
    noise = rng.normal(0.0, p.velocity_noise, size=steps)
    states, torques = np.empty((steps, 2)), np.zeros((steps, 1))
    states[0] = angle % math.tau, velocity
    for t in range(1, steps):
        torque = _motor(angle, velocity, strength, pull)
        step, push = p.dt / substeps, torque / p.inertia
        for _ in range(substeps):  # semi-implicit Euler: its energy does not drift
            velocity += step * (pull * math.sin(angle) + push - slow * velocity)
            angle += step * velocity
        velocity += noise[t]
        angle %= math.tau
        states[t], torques[t] = (angle, velocity), torque
    return states, torques


def _motor(angle: float, velocity: float, strength: float, pull: float) -> float:
    """The torque that drives the rod towards the energy it has at rest at the top: along its
    velocity below that energy, against it above.
    """
    missing = pull * (1.0 - math.cos(angle)) - velocity**2 / 2
    return strength * math.copysign(1.0, missing) * math.copysign(1.0, velocity)


def draw(pendulum: Pendulum, angles: np.ndarray) -> np.ndarray:
    """Draw a pendulum: a large rod, downsampled by a Lanczos filter.

    Args:
        pendulum: the pendulum.
        angles: [T], radians.

    Returns:
        [T, H, W] uint8.
    """
    return np.stack([_frame(float(angle), pendulum.size) for angle in angles])


def _frame(angle: float, size: tuple[int, int]) -> np.ndarray:
    middle = _CANVAS / 2
    end = middle + _ROD_LENGTH * math.sin(angle), middle - _ROD_LENGTH * math.cos(angle)
    canvas = Image.new("F", (_CANVAS, _CANVAS), 0.0)
    ImageDraw.Draw(canvas).line([(middle, middle), end], fill=1.0, width=_ROD_WIDTH)
    frame = canvas.resize(size, resample=Image.Resampling.LANCZOS)
    return np.rint(255.0 * np.clip(np.asarray(frame), 0.0, 1.0)).astype(np.uint8)


def player(
    pendulum: Pendulum, steps: int
) -> Callable[[np.random.Generator], dict[str, np.ndarray]]:
    """Make the function that records one sequence.

    Args:
        pendulum: the pendulum.
        steps: frames in a sequence.

    Returns:
        A function from a random generator to the arrays of a sequence by name.
    """

    def play(rng: np.random.Generator) -> dict[str, np.ndarray]:
        states, torques = swing(pendulum, steps, rng)
        arrays = {"images": draw(pendulum, states[:, 0]), "state": states.astype(np.float32)}
        return arrays | ({"controls": torques.astype(np.float32)} if pendulum.torque else {})

    return play


PENDULUMS: dict[str, Pendulum] = {
    pendulum.name: pendulum
    for pendulum in (
        Pendulum("pendulum"),
        Pendulum("pendulum_swing_up", angle_limits=(170.0, 190.0), torque=5.0),
    )
}
"""By name: the published pendulum, and a hanging one that a motor swings up."""
