"""datasets/from_videos.py as a user runs it."""

from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

from seqvae.data import from_videos, load
from seqvae.physics import WORLDS, record
from seqvae.plotting import save_video
from tests.commands import run_here

SCRIPT = Path(__file__).parents[2] / "datasets" / "from_videos.py"


def run(*arguments):
    return run_here(SCRIPT, *arguments)


@pytest.fixture(scope="module")
def script(load_script):
    return load_script(SCRIPT)


@pytest.fixture(scope="module")
def frames():
    return record(WORLDS["box"], sequences=7, steps=10)["images"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, frames):
    """An mp4 of 43 frames at twice the size, a GIF of 30 frames, a GIF that is too short, and a
    file that is no video."""
    folder = tmp_path_factory.mktemp("clips")
    doubled = (
        np.concatenate([frames[:4].reshape(40, 32, 32), frames[4, :3]]).repeat(2, 1).repeat(2, 2)
    )
    save_video(folder / "a.mp4", doubled, fps=10)
    save_video(folder / "b.gif", np.concatenate(frames[4:7]), fps=10)
    save_video(folder / "short.gif", frames[0, :9], fps=10)
    (folder / "notes.txt").write_text("not a video")
    return folder


def test_a_folder_of_videos_becomes_sequences_and_a_test_file(folder, frames, tmp_path):
    done = run(
        folder,
        "--size=32,32",
        "--steps=10",
        f"--out={tmp_path / 'mine.npz'}",
        "--test_fraction=0.25",
    )
    assert done.returncode == 0, done.stderr
    assert "short.gif: shorter than 10 frames, left out" in done.stdout
    train, test = load(tmp_path / "mine.npz"), load(tmp_path / "mine_test.npz")
    assert (train.frames.shape, train.frames.dtype) == ((4, 10, 32, 32), np.uint8)
    assert np.abs(train.frames.astype(int) - frames[:4]).mean() < 3  # mp4 loses a little
    np.testing.assert_array_equal(test.frames, frames[4:7])  # GIF does not


def test_crop_step_stride_and_colour(folder, tmp_path, frames):
    out = tmp_path / "b.npz"
    options = (
        "--crop=4,2,16,24",
        "--frame_step=2",
        "--steps=5",
        "--stride=3",
        "--colour",
        "--test_fraction=0",
    )
    alone = tmp_path / "only"
    alone.mkdir()
    (alone / "b.gif").write_bytes((folder / "b.gif").read_bytes())
    assert run(alone, *options, f"--out={out}").returncode == 0
    kept = np.concatenate(frames[4:7])[::2, 4:20, 2:26]
    expected = np.stack([kept[i : i + 5] for i in (0, 3, 6, 9)])
    np.testing.assert_array_equal(load(out).frames, np.repeat(expected[..., None], 3, -1))
    assert not (tmp_path / "b_test.npz").exists()


def test_the_file_is_beside_the_folder_and_one_videos_end_is_the_test(folder, tmp_path, frames):
    alone = tmp_path / "mine"
    alone.mkdir()
    (alone / "b.gif").write_bytes((folder / "b.gif").read_bytes())
    assert run(alone, "--steps=10").returncode == 0
    np.testing.assert_array_equal(load(tmp_path / "mine.npz").frames, frames[4:6])
    np.testing.assert_array_equal(load(tmp_path / "mine_test.npz").frames, frames[6:7])


@pytest.mark.parametrize(
    ("counts", "fraction", "tests"),
    [
        ([10, 10, 10, 10], 0.25, 10),
        ([100, 3, 5], 0.1, 8),
        ([50, 40], 0.1, 40),
        ([7], 0.1, 1),
        ([5, 5], 0, 0),
        ([5, 5], 0.9, 5),
        ([1], 0.5, 0),
    ],
)
def test_whole_videos_are_kept_for_the_test(counts, fraction, tests):
    kept = from_videos.split(counts, fraction, seed=3)
    assert sum(kept) == tests
    assert len(counts) == 1 or all(k in (0, n) for k, n in zip(kept, counts, strict=True))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--size=3",), "size: expected height,width of at least one pixel each"),
        (("--size=a,b",), "--size: expected whole numbers with commas between them, got a,b"),
        (("--crop=1,2,3",), "crop: expected top,left,height,width in pixels"),
        (
            ("--crop=0,0,40,40", "--size=32,32"),
            r"b.gif: crop (0, 0, 40, 40) leaves its frames of 32x32 pixels",
        ),
        (("--frame_step=0",), "frame_step: expected an integer of at least 1, got 0"),
        (("--steps=0",), "steps=0, stride=0: expected integers of at least 1"),
        (
            ("--steps=50", "--size=8,8"),
            "no video of at least 50 frames. Use a smaller --steps or --frame_step",
        ),
        (
            ("--steps=10",),
            "frames of 32x32 pixels, those before have 64x64. Give one --size for all",
        ),
        (("--test_fraction=1",), "--test_fraction: expected a number in [0, 1), got 1.0"),
    ],
)
def test_wrong_input(script, folder, flags, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as error:
        script.main([str(SCRIPT), str(folder), *flags, f"--out={tmp_path / 'x.npz'}"])
    assert error.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x.npz").exists()


@pytest.mark.parametrize(("name", "start"), [("a.mp4", 3000), ("b.gif", 500), ("a.mp4", 0)])
def test_a_truncated_file_is_named(folder, tmp_path, name, start):
    (tmp_path / name).write_bytes((folder / name).read_bytes()[:start])
    done = run(tmp_path, "--steps=5")
    assert done.returncode == 2
    assert f"{name}: not a video that can be read; it may be truncated" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_folder_and_no_video(tmp_path):
    assert "nowhere: no such folder" in run(tmp_path / "nowhere").stderr
    assert "no video in it. Expected files that end in .mp4" in run(tmp_path).stderr


def test_gifs_with_a_palette_and_odd_sizes_in_mp4(tmp_path):
    clip = tmp_path / "odd"
    clip.mkdir()
    colours = np.random.default_rng(0).integers(0, 255, (6, 9, 7, 3)).astype(np.uint8)
    imageio.imwrite(clip / "a.gif", colours, loop=0)
    assert run(clip, "--steps=3", "--colour", "--size=8,8", "--test_fraction=0").returncode == 0
    assert load(tmp_path / "odd.npz").frames.shape == (2, 3, 8, 8, 3)
