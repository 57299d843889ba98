"""The four worlds of Fraccaro et al. 2017 and one with pushes. All differences between worlds are
fields of a dataclass.
"""

from dataclasses import dataclass, field, replace

Point = tuple[float, float]


@dataclass(frozen=True)
class Paddles:
    """Two vertical paddles that follow the first ball (pong).

    Args:
        left_x: horizontal position of the left paddle, pixels.
        right_x: horizontal position of the right paddle, pixels.
        half_length: half the length of a paddle, pixels.
        thickness: radius of a paddle, pixels.
        speed: maximal speed, pixels per frame as in the original.
        elasticity: elasticity of collisions with a ball.
    """

    left_x: float = 0.0
    right_x: float = 30.0
    half_length: float = 3.0
    thickness: float = 1.0
    speed: float = 2.0
    elasticity: float = 0.99


@dataclass(frozen=True)
class World:
    """A box of walls with balls in it. Lengths are in pixels, y points up; time is the simulator's.

    Args:
        name: the name in files and messages.
        walls: wall segments, each a pair of points.
        size: width and height of a frame.
        start: mean of a ball's initial position.
        start_spread: standard deviation of the initial position in x and y. Positions are clipped
            to stay `radius + margin` inside the frame.
        speed_limits: range of the uniform initial speed, pixels per time unit.
        angle_limits: range of the uniform initial direction, degrees.
        gravity: acceleration in x and y, pixels per time unit squared.
        dt: time units between two frames, also the step of the simulation.
        radius: radius of a ball.
        ball_elasticity: elasticity of a ball.
        wall_elasticity: elasticity of the walls.
        paddles: paddles that follow the first ball; None: none.
        balls: number of balls, all alike.
        push: standard deviation of a random force on all balls, drawn for every step and both
            directions. It is recorded as the change of velocity it causes, in pixels per frame. 0:
            no force.
        colour: whether each ball has its own colour and frames are [H, W, 3]; otherwise frames are
            one-bit grey [H, W].
        margin: distance that initial positions keep from the edge of the frame, besides the radius.

    Raises:
        ValueError: an argument is out of range, or a ball does not fit into the frame.
    """

    name: str
    walls: tuple[tuple[Point, Point], ...]
    size: tuple[int, int] = (32, 32)
    start: Point = (16.0, 16.0)
    start_spread: float = 10.0
    speed_limits: tuple[float, float] = (10.0, 15.0)
    angle_limits: tuple[float, float] = (0.0, 360.0)
    gravity: Point = (0.0, 0.0)
    dt: float = 0.2
    radius: float = 3.0
    ball_elasticity: float = 1.0
    wall_elasticity: float = 1.0
    paddles: Paddles | None = None
    balls: int = 1
    push: float = 0.0
    colour: bool = False
    margin: float = field(default=3.0, repr=False)

    def __post_init__(self):
        checks = {
            "radius": self.radius > 0,
            "dt": self.dt > 0,
            "balls": self.balls >= 1,
            "start_spread": self.start_spread >= 0,
            "push": self.push >= 0,
            "speed_limits": 0 <= self.speed_limits[0] <= self.speed_limits[1],
            "angle_limits": self.angle_limits[0] <= self.angle_limits[1],
            "size": min(self.size) >= 1,
        }
        for name, fine in checks.items():
            if not fine:
                raise ValueError(
                    f"World {self.name!r}: {name}={getattr(self, name)!r} is out of range. "
                    "Lengths, dt and the number "
                    "of balls must be positive, spreads and speeds at least zero, limits given as "
                    "low, high."
                )
        room = min(self.size) - 2 * (self.radius + self.margin)
        if room < 0:
            raise ValueError(
                f"World {self.name!r}: a ball of radius {self.radius:g} does not fit into a frame "
                "of "
                f"{self.size[0]}x{self.size[1]} pixels. Use a smaller radius or a larger scale."
            )

    @property
    def state_size(self) -> int:
        """Numbers recorded per frame: x, y, vx, vy of each ball, then the heights of the left and
        right paddle.
        """
        return 4 * self.balls + (2 if self.paddles else 0)

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """(H, W), or (H, W, 3) in colour."""
        width, height = self.size
        return (height, width, 3) if self.colour else (height, width)

    def scaled(self, scale: int) -> "World":
        """Enlarge the world: all lengths, speeds and accelerations grow, time does not.

        Args:
            scale: the factor, an integer of at least 1.

        Returns:
            The larger world.

        Raises:
            ValueError: the factor is not an integer of at least 1.
        """
        if scale < 1 or scale != int(scale):
            raise ValueError(f"scale: expected an integer of at least 1, got {scale!r}.")

        def grow(value):
            return tuple(grow(v) for v in value) if isinstance(value, tuple) else value * scale

        paddles = self.paddles and replace(
            self.paddles,
            **{
                name: grow(getattr(self.paddles, name))
                for name in ("left_x", "right_x", "half_length", "thickness", "speed")
            },
        )
        lengths = (
            "walls",
            "size",
            "start",
            "start_spread",
            "speed_limits",
            "gravity",
            "radius",
            "margin",
            "push",
        )
        return replace(
            self, paddles=paddles, **{name: grow(getattr(self, name)) for name in lengths}
        )


def _closed(*points: Point) -> tuple[tuple[Point, Point], ...]:
    return tuple(zip(points, (*points[1:], points[0]), strict=True))


_SQUARE = _closed((2.0, 2.0), (2.0, 30.0), (30.0, 30.0), (30.0, 2.0))

BALL_WORLDS: dict[str, World] = {
    world.name: world
    for world in (
        World("box", walls=_SQUARE),
        World(
            "box_gravity",
            walls=_SQUARE,
            gravity=(0.0, -5.0),
            speed_limits=(5.0, 10.0),
            start_spread=8.0,
        ),
        World(
            "polygon",
            walls=_closed(
                (3.0, 1.0), (1.0, 15.0), (8.0, 30.0), (25.0, 30.0), (30.0, 8.0), (15.0, 1.0)
            ),
            start_spread=2.5,
        ),
        World(
            "pong",
            walls=(((0.0, 1.0), (32.0, 1.0)), ((0.0, 32.0), (32.0, 32.0))),
            speed_limits=(10.0, 10.0),
            start_spread=3.0,
            ball_elasticity=0.9,
            wall_elasticity=0.99,
            paddles=Paddles(),
        ),
        World("box_push", walls=_SQUARE, speed_limits=(0.0, 10.0), push=0.6),
    )
}
"""By name, at 32x32 pixels: the four worlds of the original's data scripts with its parameters, and
box_push.
"""
