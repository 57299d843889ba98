"""Frames as the original drew them, less its debug marks."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from seqvae.physics import BALL_WORLDS, Motion, simulate
from seqvae.physics.drawing import BALL_COLOURS, Painter

ROOT = Path(__file__).parents[2]


def draw(world, *positions):
    """One frame with balls at the given places."""
    balls = np.array([[(*p, 0.0, 0.0) for p in positions]])
    paddles = np.full((1, 2), 16.0) if world.paddles else np.empty((1, 0))
    return Painter(world, 1).frames(Motion(balls, paddles, np.empty((1, 0))))[0]


def test_the_boxs_walls_are_a_square_of_112_pixels():
    frame = draw(BALL_WORLDS["box"], (16.0, 16.0))
    walls = frame.copy()
    walls[5:-5, 5:-5] = 0
    assert (walls > 0).sum() == 112
    assert (walls[2, 2:31] > 0).all()
    assert (walls[30, 2:31] > 0).all()
    assert set(np.unique(frame)) == {0, 255}


@pytest.mark.parametrize("x", [8.0, 20.4])
@pytest.mark.parametrize("y", [9.0, 22.6])
def test_the_ball_is_a_disc_at_its_place_with_y_up_and_no_marks(x, y):
    ball = draw(BALL_WORLDS["box"], (x, y))[4:29, 4:29] > 0
    rows, columns = np.nonzero(ball)
    assert 20 <= ball.sum() <= 37
    assert abs(columns.mean() + 4 + 0.5 - x) <= 1.0
    assert abs(32 - (rows.mean() + 4 + 0.5) - y) <= 1.0
    np.testing.assert_array_equal(
        ball, ball[::-1][np.roll(np.arange(25), 2 * rows.min() + (np.ptp(rows) + 1) - 25)]
    )


def test_polygon_and_pong_walls_and_paddles():
    polygon = draw(BALL_WORLDS["polygon"], (16.0, 16.0))
    assert polygon[31, 3] > 0  # the corner (3, 1)
    assert polygon[2, 8] > 0  # the corner (8, 30)
    pong = draw(BALL_WORLDS["pong"], (16.0, 16.0))
    assert (pong[0] > 0).all()
    assert (pong[31] > 0).all()
    assert (pong[14:19, 0] > 0).all()
    assert (pong[14:19, 30] > 0).all()
    assert not (pong[2:10, 29:] > 0).any()


def test_colour_frames_give_each_ball_its_own():
    world = dataclasses.replace(BALL_WORLDS["box"], colour=True, balls=2)
    frame = draw(world, (9.0, 16.0), (23.0, 16.0))
    assert frame.shape == (32, 32, 3)
    assert tuple(frame[16, 9]) == BALL_COLOURS[0]
    assert tuple(frame[16, 23]) == BALL_COLOURS[1]
    assert tuple(frame[2, 16]) == (255, 255, 255)


def test_a_larger_scale_draws_a_larger_ball():
    small, big = (draw(BALL_WORLDS["box"].scaled(s), (16.0 * s, 16.0 * s)) for s in (1, 2))
    assert big.shape == (64, 64)
    assert 3 < (big[8:-8, 8:-8] > 0).sum() / (small[4:-4, 4:-4] > 0).sum() < 6


def test_frames_show_the_state_of_the_same_moment():
    world = BALL_WORLDS["box"]
    motion = simulate(world, 20, np.random.default_rng(3))
    for frame, (x, y) in zip(
        Painter(world, 20).frames(motion), motion.balls[:, 0, :2], strict=True
    ):
        assert frame[min(31, 32 - round(y)), round(x)] == 255


def test_a_pygame_that_an_uninstallation_emptied_is_named_with_the_cure(tmp_path):
    (tmp_path / "pygame").mkdir()
    (tmp_path / "pygame" / "__init__.py").touch()
    done = subprocess.run(
        [sys.executable, "-c", "import seqvae.physics.drawing"],
        capture_output=True,
        text=True,
        env=os.environ
        | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
    )
    assert "got an empty module" in done.stderr
    assert "pip install --force-reinstall pygame-ce" in done.stderr
