"""Cutting videos into datasets: what must not leak, and files that do not fit."""

import imageio.v3 as imageio
import numpy as np
import pytest

from seqvae.data import from_videos, load
from seqvae.data.from_videos import FromVideosSettings, run


def video(path, steps, height=8, width=8, seed=0):
    """A GIF of frames that all differ: frame i has a grey level of its own."""
    levels = np.linspace(0, 255, steps).astype(np.uint8)
    imageio.imwrite(path, np.ones((steps, height, width), np.uint8) * levels[:, None, None], loop=0)
    return path


def levels(path):
    return set(np.unique(load(path).frames.mean((-2, -1)).round()))


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 7])
def test_no_frame_of_the_test_is_a_training_frame(tmp_path, stride, capsys):
    path = video(tmp_path / "mine.gif", 40)
    run(str(path), FromVideosSettings(steps=4, stride=stride, test_fraction=0.2))
    train, test = levels(tmp_path / "mine.npz"), levels(tmp_path / "mine_test.npz")
    assert train and test and not train & test
    assert ("are left out" in capsys.readouterr().out) == (stride < 4)
    assert from_videos.overlaps(4, stride) == {1: 3, 2: 1, 3: 1}.get(stride, 0)


def test_training_sequences_that_all_overlap_the_test_are_an_error(tmp_path):
    path = video(tmp_path / "mine.gif", 8)
    with pytest.raises(ValueError, match="all of which share frames with the test sequences"):
        run(str(path), FromVideosSettings(steps=6, stride=1))
    assert not (tmp_path / "mine.npz").exists()


def test_an_earlier_test_file_is_not_taken_for_that_of_a_set_without_one(tmp_path):
    path = video(tmp_path / "mine.gif", 20)
    run(str(path), FromVideosSettings(steps=4))
    with pytest.raises(ValueError, match=r"mine_test\.npz: an earlier test file is there"):
        run(str(path), FromVideosSettings(steps=4, test_fraction=0.0))
    (tmp_path / "mine_test.npz").unlink()
    run(str(path), FromVideosSettings(steps=4, test_fraction=0.0))
    assert len(load(tmp_path / "mine.npz")) == 5


def test_a_video_that_cannot_be_read_is_left_out_and_named(tmp_path, capsys):
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("a", "b", "c"):
        video(folder / f"{name}.gif", 12)
    (folder / "b.gif").write_bytes((folder / "a.gif").read_bytes()[:40])
    run(str(folder), FromVideosSettings(steps=4, test_fraction=0.3))
    assert "b.gif: not a video that can be read" in capsys.readouterr().err
    assert len(load(tmp_path / "mine.npz")) + len(load(tmp_path / "mine_test.npz")) == 6


def test_a_changed_aspect_ratio_is_said(tmp_path, capsys):
    path = video(tmp_path / "wide.gif", 8, height=8, width=16)
    run(str(path), FromVideosSettings(steps=4, size="8,8", test_fraction=0.0))
    assert (
        "--size changes width / height from 2.00 to 1.00; --crop keeps it"
        in capsys.readouterr().out
    )
    options = dict(steps=4, test_fraction=0.0, out=str(tmp_path / "b.npz"))
    for other in (dict(size="4,8"), dict(size="8,8", crop="0,0,8,8"), {}):
        run(str(path), FromVideosSettings(**options, **other))
        assert "changes width" not in capsys.readouterr().out
