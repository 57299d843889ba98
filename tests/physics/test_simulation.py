"""Motions against mechanics."""

import dataclasses

import numpy as np
import pytest

from seqvae.physics import BALL_WORLDS, simulate
from tests.tolerances import PHYSICS


def motions(world, count=40, steps=20):
    return [simulate(world, steps, np.random.default_rng([0, i])) for i in range(count)]


def away_from_walls(world, path, margin):
    """Steps t whose whole move t -> t + 1 is out of reach of the walls (the box's: 2 and 30)."""
    low, high = 2 + world.radius + margin, 30 - world.radius - margin
    inside = ((path[:, :2] > low) & (path[:, :2] < high)).all(axis=1)
    return np.flatnonzero(inside[:-1] & inside[1:])


@pytest.mark.parametrize("name", ["box", "box_gravity"])
def test_free_flight_follows_newton(name):
    """Euler's steps, as pymunk takes them: x += v dt, then v += g dt."""
    world, seen = BALL_WORLDS[name], 0
    for motion in motions(world):
        path = motion.balls[:, 0]
        for t in away_from_walls(world, path, margin=1.0):
            v = path[t, 2:] + np.array(world.gravity) * world.dt
            np.testing.assert_allclose(path[t + 1, 2:], v, **PHYSICS)
            np.testing.assert_allclose(
                path[t + 1, :2], path[t, :2] + path[t, 2:] * world.dt, **PHYSICS
            )
            seen += 1
    assert seen > 100


def test_recorded_pushes_explain_the_change_of_velocity():
    world, seen = BALL_WORLDS["box_push"], 0
    for motion in motions(world):
        path = motion.balls[:, 0]
        assert motion.pushes.shape == (20, 2)
        assert not motion.pushes[0].any()
        for t in away_from_walls(world, path, margin=1.0):
            change = (path[t + 1, 2:] - path[t, 2:]) * world.dt
            np.testing.assert_allclose(change, motion.pushes[t + 1], **PHYSICS)
            seen += 1
    assert seen > 100
    pushes = np.concatenate([motion.pushes[1:] for motion in motions(world)])
    np.testing.assert_allclose(pushes.std(), world.push, rtol=0.1)  # 1520 draws: 5 standard errors


def test_the_same_push_moves_every_ball():
    world = dataclasses.replace(
        BALL_WORLDS["box_push"], balls=2, radius=1.0, speed_limits=(0.0, 0.0), start_spread=3.0
    )
    path = motions(world, count=1, steps=2)[0]
    np.testing.assert_allclose(path.balls[1, 0, 2:], path.balls[1, 1, 2:], **PHYSICS)
    np.testing.assert_allclose(path.balls[1, 0, 2:] * world.dt, path.pushes[1], **PHYSICS)


def test_an_elastic_box_keeps_the_balls_speed():
    for motion in motions(BALL_WORLDS["box"]):
        speed = np.linalg.norm(motion.balls[:, 0, 2:], axis=1)
        np.testing.assert_allclose(speed, speed[0], rtol=1e-3)
        assert 10 <= speed[0] <= 15


@pytest.mark.parametrize("name", ["box", "box_gravity", "polygon"])
def test_no_ball_leaves_closed_walls(name):
    world = BALL_WORLDS[name]
    corners = np.array([a for a, _ in world.walls])
    low, high = corners.min(axis=0), corners.max(axis=0)
    paths = np.concatenate([m.balls[:, 0, :2] for m in motions(world, 300)])
    assert (paths > low - world.radius).all()
    assert (paths < high + world.radius).all()
    bounced = np.concatenate([np.abs(np.diff(m.balls[:, 0, 2])) > 1 for m in motions(world, 50)])
    assert bounced.any()


def test_paddles_follow_the_ball_no_faster_than_they_can():
    world = BALL_WORLDS["pong"]
    for motion in motions(world):
        assert motion.paddles.shape == (20, 2)
        moves = np.diff(motion.paddles, axis=0)
        assert np.abs(moves).max() <= world.paddles.speed + 1e-9
        assert motion.paddles.min() >= world.paddles.half_length - 1e-9
        assert motion.paddles.max() <= 32 - world.paddles.half_length + 1e-9
        target, before = motion.balls[:-1, 0, 1], motion.paddles[:-1, 0]
        far = np.abs(target - before) > world.paddles.speed / 2
        free = far & (motion.paddles[1:, 0] > 3.1) & (motion.paddles[1:, 0] < 28.9)
        assert (np.sign(moves[free, 0]) == np.sign(target - before)[free]).all()


def test_several_balls_start_apart_and_are_all_recorded():
    world = dataclasses.replace(BALL_WORLDS["box"], balls=3)
    for motion in motions(world, 10):
        start = motion.balls[0, :, :2]
        gaps = np.linalg.norm(start[:, None] - start[None], axis=-1)[np.triu_indices(3, 1)]
        assert gaps.min() > 2 * world.radius
        assert motion.state.shape == (20, 12)


def test_too_many_balls_are_refused():
    world = dataclasses.replace(BALL_WORLDS["box"], balls=40)
    with pytest.raises(
        ValueError,
        match=r"balls=40: that many balls of radius 3 found no free start.*fewer or smaller",
    ):
        simulate(world, 1, np.random.default_rng(0))
