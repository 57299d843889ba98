"""Simulation of ball worlds with pymunk."""

from typing import NamedTuple

import numpy as np
import pymunk

from seqvae.physics.worlds import Paddles, World

_START_TRIES = 1000


class Motion(NamedTuple):
    """One simulated sequence of T frames."""

    balls: np.ndarray
    """[T, balls, 4] float64: x, y, vx, vy when the frame is drawn."""
    paddles: np.ndarray
    """[T, 2] float64: heights of the centres of the left and right paddle; [T, 0] in worlds
    without.
    """
    pushes: np.ndarray
    """[T, 2] float64: the change of the balls' velocity by a force between the previous frame and
    this one, x and y in pixels per frame; 0 in the first frame. pymunk moves before it pushes,
    so a push is visible in the next frame. [T, 0] in worlds without.
    """

    @property
    def state(self) -> np.ndarray:
        """[T, state_size] float32: x, y, vx, vy of each ball, then the paddles' heights."""
        steps = len(self.balls)
        return np.concatenate([self.balls.reshape(steps, -1), self.paddles], axis=1).astype(
            np.float32
        )


def simulate(world: World, steps: int, rng: np.random.Generator) -> Motion:
    """Simulate a world. The pymunk space is new in each call, so the result depends only on `rng`.

    Args:
        world: the world.
        steps: number of frames.
        rng: the random generator.

    Returns:
        The motion.

    Raises:
        ValueError: the balls do not fit into the world.
    """
    space, balls = begin(world, rng)
    paddles = _add_paddles(space, world)
    pushes = _pushes(world, steps, rng)

    path = np.empty((steps, len(balls), 4))
    heights = np.full((steps, len(paddles)), world.size[1] / 2)
    for t in range(steps):
        for i, ball in enumerate(balls):
            path[t, i] = *ball.position, *ball.velocity
        if world.paddles is not None:
            moved = _follow(float(heights[t, 0]), path[t, 0, 1], world)
            if moved != heights[t, 0]:
                _place(paddles, moved, world.paddles)
            heights[t + 1 :] = moved
        if world.push and t + 1 < steps:
            push(balls, pushes[t + 1], world)
        space.step(world.dt)
    return Motion(path, heights, pushes)


def begin(world: World, rng: np.random.Generator) -> tuple[pymunk.Space, list[pymunk.Body]]:
    """Make the space of a world, with its walls and balls.

    Args:
        world: the world.
        rng: draws the initial positions and velocities.

    Returns:
        The space and the balls.
    """
    space = pymunk.Space()
    space.gravity = world.gravity
    for a, b in world.walls:
        space.add(_wall(space, world, np.array(a), np.array(b)))
    return space, [_add_ball(space, world, start, rng) for start in _starts(world, rng)]


def push(balls: list[pymunk.Body], change: np.ndarray, world: World) -> None:
    """Apply a force to all balls that changes their velocity in the next step.

    Args:
        balls: the balls.
        change: [2], the change of velocity in x and y, in pixels per frame.
        world: the world.
    """
    for ball in balls:
        x, y = map(float, ball.mass * change / world.dt**2)
        ball.force = x, y


def _starts(world: World, rng: np.random.Generator) -> np.ndarray:
    """[balls, 2]: first positions, drawn again until no two balls overlap."""
    low = world.radius + world.margin
    high = np.array(world.size) - low
    for _ in range(_START_TRIES):
        starts = np.clip(
            rng.normal(world.start, world.start_spread, size=(world.balls, 2)), low, high
        )
        gaps = np.linalg.norm(starts[:, None] - starts[None], axis=-1) + np.eye(world.balls) * 1e9
        if gaps.min() > 2 * world.radius:
            return starts
    raise ValueError(
        f"balls={world.balls}: that many balls of radius {world.radius:g} found no free start in "
        f"{_START_TRIES} tries. "
        "Use fewer or smaller balls, a larger start_spread, or a larger scale."
    )


def _pushes(world: World, steps: int, rng: np.random.Generator) -> np.ndarray:
    if not world.push:
        return np.zeros((steps, 0))
    pushes = rng.normal(0.0, world.push, size=(steps, 2))
    pushes[0] = 0.0
    return pushes


def _wall(space: pymunk.Space, world: World, a: np.ndarray, b: np.ndarray) -> pymunk.Segment:
    """A wall whose inner face is the line from a to b. It is solid behind that line.

    The original's walls are lines: a ball whose centre crosses one within a step is pushed out on
    the wrong side (box_gravity lost its ball that way). As long as the centre stays inside, both
    kinds of wall reflect it alike.
    """
    along = (b - a) / np.linalg.norm(b - a)
    outward = np.array([along[1], -along[0]])
    outward *= np.sign(outward @ (a - np.array(world.size) / 2))
    depth = float(max(world.size))
    (a_x, a_y), (b_x, b_y) = (map(float, end + depth * outward) for end in (a, b))
    wall = pymunk.Segment(space.static_body, (a_x, a_y), (b_x, b_y), depth)
    wall.elasticity = world.wall_elasticity
    return wall


def _add_ball(
    space: pymunk.Space, world: World, start: np.ndarray, rng: np.random.Generator
) -> pymunk.Body:
    angle = np.radians(rng.uniform(*world.angle_limits))
    speed = rng.uniform(*world.speed_limits)
    body = pymunk.Body(1.0, pymunk.moment_for_circle(1.0, 0.0, world.radius))
    x, y = map(float, start)
    body.position = x, y
    body.velocity = float(speed * np.cos(angle)), float(speed * np.sin(angle))
    shape = pymunk.Circle(body, world.radius)
    shape.elasticity = world.ball_elasticity
    space.add(body, shape)
    return body


def _add_paddles(space: pymunk.Space, world: World) -> list[pymunk.Segment]:
    """The left and the right paddle, at half the height. Both follow the same ball, so they move
    alike.
    """
    if world.paddles is None:
        return []
    start, end = (0.0, world.paddles.half_length), (0.0, -world.paddles.half_length)
    paddles = [
        pymunk.Segment(space.static_body, start, end, world.paddles.thickness) for _ in range(2)
    ]
    for paddle in paddles:
        paddle.elasticity = world.paddles.elasticity
        space.add(paddle)
    _place(paddles, world.size[1] / 2, world.paddles)
    return paddles


def _place(paddles: list[pymunk.Segment], height: float, shape: Paddles) -> None:
    for paddle, x in zip(paddles, (shape.left_x, shape.right_x), strict=True):
        paddle.unsafe_set_endpoints(
            (x, height + shape.half_length), (x, height - shape.half_length)
        )
        assert paddle.space is not None
        paddle.space.reindex_shape(paddle)


def _follow(height: float, target: float, world: World) -> float:
    """A paddle's next height: towards `target`, at most by its speed, inside the frame."""
    assert world.paddles is not None
    reach, speed = world.paddles.half_length, world.paddles.speed
    if target < height - speed / 2:
        return height - min(height - reach, speed)
    if target > height + speed / 2:
        return height + min(world.size[1] - height - reach, speed)
    return height
