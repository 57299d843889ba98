"""pymunk moves: from a world and a random generator to the path of everything in it."""

from typing import NamedTuple

import numpy as np
import pymunk

from seqvae.physics.worlds import Paddles, World

_START_TRIES = 1000


class Motion(NamedTuple):
    """One simulated sequence.

    balls: [T, balls, 4] float64, x, y, vx, vy at the moment the frame is drawn.
    paddles: [T, 2] float64, heights of the centres of the left and right paddle; [T, 0] in worlds without.
    """

    balls: np.ndarray
    paddles: np.ndarray

    @property
    def state(self) -> np.ndarray:
        """[T, state_size] float32: the balls one after another, then the paddles."""
        steps = len(self.balls)
        return np.concatenate([self.balls.reshape(steps, -1), self.paddles], axis=1).astype(np.float32)


def simulate(world: World, steps: int, rng: np.random.Generator) -> Motion:
    """Plays `world` for `steps` frames. The space is new each time, so a sequence depends on `rng` alone."""
    space = pymunk.Space()
    space.gravity = world.gravity
    for a, b in world.walls:
        space.add(_wall(space, world, np.array(a), np.array(b)))
    balls = [_add_ball(space, world, start, rng) for start in _starts(world, rng)]
    paddles = _add_paddles(space, world)

    path = np.empty((steps, len(balls), 4))
    heights = np.empty((steps, len(paddles)))
    for t in range(steps):
        for i, ball in enumerate(balls):
            path[t, i] = *ball.position, *ball.velocity
        for i, paddle in enumerate(paddles):
            heights[t, i] = (paddle.a.y + paddle.b.y) / 2
        for paddle in paddles:
            _follow(paddle, balls[0].position.y, world)
        space.step(world.dt)
    return Motion(path, heights)


def _starts(world: World, rng: np.random.Generator) -> np.ndarray:
    """[balls, 2]: first positions, drawn again while two balls overlap."""
    low = world.radius + world.margin
    high = np.array(world.size) - low
    for _ in range(_START_TRIES):
        starts = np.clip(rng.normal(world.start, world.start_spread, size=(world.balls, 2)), low, high)
        gaps = np.linalg.norm(starts[:, None] - starts[None], axis=-1) + np.eye(world.balls) * 1e9
        if gaps.min() > 2 * world.radius:
            return starts
    raise ValueError(
        f"balls={world.balls}: that many balls of radius {world.radius:g} found no free start in {_START_TRIES} tries. "
        "Use fewer or smaller balls, a larger start_spread, or a larger scale."
    )


def _wall(space: pymunk.Space, world: World, a: np.ndarray, b: np.ndarray) -> pymunk.Segment:
    """A wall whose inner face is the line from a to b and that is solid behind it.

    The original's walls are lines: a ball whose centre crosses one within a step is pushed out on the wrong side
    (box_gravity lost the ball that way). While the centre stays inside, both bounce it alike.
    """
    along = (b - a) / np.linalg.norm(b - a)
    outward = np.array([along[1], -along[0]])
    outward *= np.sign(outward @ (a - np.array(world.size) / 2))
    depth = float(max(world.size))
    ends = [tuple(map(float, end + depth * outward)) for end in (a, b)]
    wall = pymunk.Segment(space.static_body, *ends, depth)
    wall.elasticity = world.wall_elasticity
    return wall


def _add_ball(space: pymunk.Space, world: World, start: np.ndarray, rng: np.random.Generator) -> pymunk.Body:
    angle = np.radians(rng.uniform(*world.angle_limits))
    speed = rng.uniform(*world.speed_limits)
    body = pymunk.Body(1.0, pymunk.moment_for_circle(1.0, 0.0, world.radius))
    body.position = tuple(map(float, start))
    body.velocity = float(speed * np.cos(angle)), float(speed * np.sin(angle))
    shape = pymunk.Circle(body, world.radius)
    shape.elasticity = world.ball_elasticity
    space.add(body, shape)
    return body


def _add_paddles(space: pymunk.Space, world: World) -> list[pymunk.Segment]:
    if world.paddles is None:
        return []
    middle = world.size[1] / 2
    return [_add_paddle(space, world.paddles, x, middle) for x in (world.paddles.left_x, world.paddles.right_x)]


def _add_paddle(space: pymunk.Space, paddles: Paddles, x: float, middle: float) -> pymunk.Segment:
    ends = (x, middle + paddles.half_length), (x, middle - paddles.half_length)
    paddle = pymunk.Segment(space.static_body, *ends, paddles.thickness)
    paddle.elasticity = paddles.elasticity
    space.add(paddle)
    return paddle


def _follow(paddle: pymunk.Segment, target: float, world: World) -> None:
    """Moves a paddle towards the height `target`, at most its speed, without leaving the frame."""
    top, bottom, speed = paddle.a, paddle.b, world.paddles.speed
    centre = (top.y + bottom.y) / 2
    if target < centre - speed / 2:
        move = -min(bottom.y, speed)
    elif target > centre + speed / 2:
        move = min(world.size[1] - top.y, speed)
    else:
        return
    paddle.unsafe_set_endpoints((top.x, top.y + move), (bottom.x, bottom.y + move))
    paddle.space.reindex_shape(paddle)
