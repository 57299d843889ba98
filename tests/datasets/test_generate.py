"""datasets/generate.py as a user runs it."""

from pathlib import Path

import numpy as np
import pytest

from seqvae.data import load
from tests.commands import run, run_here

SCRIPT = Path(__file__).parents[2] / "datasets" / "generate.py"


@pytest.mark.slow
def test_files_do_not_depend_on_the_workers_and_are_small(tmp_path):
    for workers in (1, 2):
        done = run(
            SCRIPT,
            "box",
            "--sequences=220",
            "--test_sequences=110",
            f"--workers={workers}",
            f"--out={tmp_path / str(workers)}",
        )
        assert done.returncode == 0, done.stderr
    for name in ("box.npz", "box_test.npz"):
        one, two = ((tmp_path / folder / name).read_bytes() for folder in "12")
        assert one == two
    assert "box_test.npz" in done.stdout
    size = (tmp_path / "1" / "box.npz").stat().st_size / 220
    assert size < 82_000 / 50  # the original's float32 frames take 82 KB a sequence
    data = load(tmp_path / "1" / "box.npz")
    assert (len(data), data.steps, data.image_shape, data.state.shape) == (
        220,
        20,
        (32, 32),
        (220, 20, 4),
    )


def test_shards_made_apart_are_the_set_made_at_once(tmp_path):
    common = ("polygon", "--sequences=9", "--test_sequences=0", "--steps=3", "--workers=1")
    assert run_here(SCRIPT, *common, f"--out={tmp_path / 'whole'}").returncode == 0
    for shard in (1, 0):
        assert (
            run_here(
                SCRIPT, *common, "--shards=2", f"--shard={shard}", f"--out={tmp_path / 'shards'}"
            ).returncode
            == 0
        )
    whole, shards = (load(tmp_path / name / "polygon.npz") for name in ("whole", "shards"))
    np.testing.assert_array_equal(whole.frames, shards.frames)
    np.testing.assert_array_equal(whole.state, shards.state)
    assert not (tmp_path / "whole" / "polygon_test.npz").exists()


def test_the_pushes_of_a_pushed_ball_are_its_controls(tmp_path):
    options = (
        "--sequences=110",
        "--test_sequences=2",
        "--steps=5",
        "--push=2",
        f"--out={tmp_path}",
    )
    assert run(SCRIPT, "box_push", *options, "--workers=2").returncode == 0
    data = load(tmp_path / "box_push.npz")
    assert (data.controls.shape, data.controls.dtype) == ((110, 5, 2), np.float32)
    assert not data.controls[:, 0].any()
    np.testing.assert_allclose(data.controls[:, 1:].std(), 2, rtol=0.15)


def test_every_flag_of_the_world(tmp_path):
    done = run_here(
        SCRIPT,
        "box_gravity",
        "--sequences=3",
        "--test_sequences=1",
        "--steps=4",
        "--scale=2",
        "--dt=0.1",
        "--radius=2",
        "--speed_limits=0,0",
        "--angle_limits=0,90",
        "--gravity=0,-10",
        "--start_spread=0",
        "--balls=1",
        "--colour",
        "--seed=7",
        "--workers=1",
        f"--out={tmp_path}",
        "--preview",
    )
    assert done.returncode == 0, done.stderr
    data = load(tmp_path / "box_gravity.npz")
    assert data.frames.shape == (3, 4, 64, 64, 3)
    np.testing.assert_allclose(data.state[:, 0], [[32, 32, 0, 0]] * 3)
    np.testing.assert_allclose(data.state[:, 3, 3], -3 * 20 * 0.1, rtol=1e-5)
    assert data.controls is None
    assert (tmp_path / "box_gravity.gif").read_bytes()[:4] == b"GIF8"
    assert (tmp_path / "box_gravity.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("moon",),
            "unknown world 'moon'; choose one of box, box_gravity, polygon, pong, box_push, ",
        ),
        (
            (),
            "expected one world, box, box_gravity, polygon, pong, box_push, pendulum, "
            "pendulum_swing_up, got []",
        ),
        (("box", "--gravity=1"), "--gravity: expected two numbers"),
        (("pendulum", "--gravity=1,2"), "--gravity: expected a number, got 1,2"),
        (
            ("pendulum", "--balls=2", "--radius=3"),
            "--radius, --balls: pendulum has no such property. Leave it out.",
        ),
        (("box", "--torque=1"), "--torque: box has no such property. Leave it out."),
        (("box", "--sequences=0"), "more shards than the 0 sequences"),
        (("box", "--radius=40"), "does not fit into a frame"),
    ],
)
def test_bad_flags(tmp_path, arguments, message):
    done = run_here(SCRIPT, *arguments, f"--out={tmp_path}")
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_every_flag_of_the_pendulum(tmp_path):
    flags = ("--gravity=2", "--friction=.5", "--torque=1", "--velocity_noise=0", "--dt=.01")
    flags += ("--angle_limits=90,90", "--sequences=2", "--test_sequences=0", "--steps=3")
    assert run_here(SCRIPT, "pendulum", *flags, f"--out={tmp_path}").returncode == 0
    data = load(tmp_path / "pendulum.npz")
    assert (data.image_shape, data.controls.shape) == ((24, 24), (2, 3, 1))
    # From rest at a right angle: gravity at the rod's end, and the motor.
    torque = data.controls[:, 1, 0]
    np.testing.assert_allclose(data.state[:, 1, 1], 0.01 * (2 + torque) * 3, rtol=0.01)


def test_an_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    done = run_here(
        SCRIPT,
        "box",
        "--sequences=1",
        "--test_sequences=0",
        "--steps=1",
        "--workers=1",
        f"--out={tmp_path / 'file'}",
    )
    assert done.returncode != 0
    assert "cannot write" in done.stderr
