"""Worlds as values."""

import dataclasses

import pytest

from seqvae.physics import BALL_WORLDS


def test_the_originals_parameters():
    assert set(BALL_WORLDS) == {"box", "box_gravity", "polygon", "pong", "box_push"}
    box, gravity, polygon, pong = (
        BALL_WORLDS[name] for name in ("box", "box_gravity", "polygon", "pong")
    )
    for world in BALL_WORLDS.values():
        assert (world.size, world.dt, world.radius, world.start) == (
            (32, 32),
            0.2,
            3.0,
            (16.0, 16.0),
        )
    assert (box.start_spread, box.speed_limits, box.gravity) == (10.0, (10.0, 15.0), (0.0, 0.0))
    assert (gravity.start_spread, gravity.speed_limits, gravity.gravity) == (
        8.0,
        (5.0, 10.0),
        (0.0, -5.0),
    )
    assert (polygon.start_spread, len(polygon.walls)) == (2.5, 6)
    assert (pong.start_spread, pong.speed_limits, pong.ball_elasticity, pong.wall_elasticity) == (
        3.0,
        (10.0, 10.0),
        0.9,
        0.99,
    )
    assert pong.paddles is not None
    assert not any(world.push for world in (box, gravity, polygon, pong))


def test_a_scaled_world_is_the_same_picture_in_larger_units():
    big = BALL_WORLDS["pong"].scaled(2)
    assert big.size == (64, 64)
    assert big.radius == 6.0
    assert big.walls[0] == ((0.0, 2.0), (64.0, 2.0))
    assert big.paddles.right_x == 60.0
    assert (big.dt, big.ball_elasticity) == (0.2, 0.9)
    assert BALL_WORLDS["box_gravity"].scaled(3).gravity == (0.0, -15.0)
    assert BALL_WORLDS["box_push"].scaled(2).push == 2 * BALL_WORLDS["box_push"].push > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(radius=-1.0), "World 'box': radius=-1.0 is out of range"),
        (dict(push=-1.0), "World 'box': push=-1.0 is out of range"),
        (dict(dt=0.0), "dt=0.0 is out of range"),
        (dict(balls=0), "balls=0 is out of range"),
        (dict(start_spread=-1.0), "start_spread=-1.0"),
        (dict(speed_limits=(5.0, 1.0)), r"speed_limits=\(5.0, 1.0\) is out of range.*low, high"),
        (dict(angle_limits=(90.0, 0.0)), "angle_limits"),
        (dict(size=(0, 5)), "size"),
        (
            dict(radius=15.0),
            "a ball of radius 15 does not fit into a frame of 32x32 pixels.*larger scale",
        ),
    ],
)
def test_impossible_worlds_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(BALL_WORLDS["box"], **change)


def test_a_scale_below_one_is_refused():
    with pytest.raises(ValueError, match="scale: expected an integer of at least 1, got 0"):
        BALL_WORLDS["box"].scaled(0)
