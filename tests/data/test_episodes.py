"""Folders of episodes: opened by their headers, read when asked for, and every wrong file named."""

import numpy as np
import pytest

from seqvae.data import DataError, save
from seqvae.data.episodes import open_episodes

NEEDED = {"frames": "[T, H, W, C]", "actions": "[T, action_size]"}


def write(folder, name, steps, **more):
    arrays = {"frames": np.full((steps, 4, 4, 3), steps, np.uint8), "actions": np.full((steps, 2), steps, np.float32)}
    save(folder / f"{name}.npz", arrays | more)


@pytest.fixture
def folder(tmp_path):
    for name, steps in (("b", 3), ("a", 5), ("c", 2)):
        write(tmp_path, name, steps)
    return tmp_path


def test_a_folder_is_opened_in_the_order_of_names_and_read_when_asked_for(folder):
    (folder / ".d.12.part.npz").write_text("half written")
    episodes = open_episodes(folder, NEEDED)
    assert [p.name for p in episodes.paths] == ["a.npz", "b.npz", "c.npz"]
    assert (episodes.lengths, episodes.steps, len(episodes)) == ((5, 3, 2), 10, 3)
    assert episodes.shapes == {"frames": (4, 4, 3), "actions": (2,)}
    arrays = episodes.read(1)
    assert arrays["frames"].shape == (3, 4, 4, 3) and (arrays["actions"] == 3).all()
    assert set(episodes.read(1, ["actions"])) == {"actions"}


def test_splits_are_disjoint_and_follow_the_seed(folder):
    episodes = open_episodes(folder, NEEDED)
    train, test = episodes.split(0.1, seed=0)
    assert len(train) == 2 and len(test) == 1 and not set(train.paths) & set(test.paths)
    assert episodes.split(0.1, seed=0) == (train, test)
    with pytest.raises(DataError, match="one episode cannot be split"):
        test.split(0.5, seed=0)


def test_a_fingerprint_tells_folders_apart(folder):
    before = open_episodes(folder, NEEDED).fingerprint()
    assert before == open_episodes(folder, NEEDED).fingerprint()
    write(folder, "c", 3)
    assert before != open_episodes(folder, NEEDED).fingerprint()


@pytest.mark.parametrize(
    "arrays, message",
    [
        (dict(actions=np.zeros((4, 2))), r"arrays of different lengths, .*expected one entry a step"),
        (dict(frames=np.zeros((3, 5, 4, 3), np.uint8)), r"those of a.npz are"),
        (dict(actions=np.array(1.0)), "arrays of different lengths"),
    ],
)
def test_arrays_that_do_not_fit(folder, arrays, message):
    write(folder, "d", 3, **arrays)
    with pytest.raises(DataError, match=rf"d\.npz: .*{message}"):
        open_episodes(folder, NEEDED)


def test_files_that_cannot_be_used(folder, tmp_path_factory):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        open_episodes(folder / "none", NEEDED)
    with pytest.raises(FileNotFoundError, match="no episodes"):
        open_episodes(tmp_path_factory.mktemp("empty"), NEEDED)
    with pytest.raises(DataError, match=r"c\.npz: an episode of 2 steps; expected at least 3"):
        open_episodes(folder, NEEDED, at_least=3)
    with pytest.raises(DataError, match=r"a\.npz: no array mean \(of q\(z.x\)\); it has actions, frames"):
        open_episodes(folder, {"mean": "of q(z|x)"})
    whole = (folder / "a.npz").read_bytes()
    for bad in (whole[: len(whole) // 2], b"", b"no archive"):
        (folder / "b.npz").write_bytes(bad)
        with pytest.raises(DataError, match=r"b\.npz: not a readable episode, it may be truncated"):
            open_episodes(folder, NEEDED)
    np.savez(folder / "b.npz", frames=np.array([{}, {}], dtype=object))
    with pytest.raises(DataError, match="holds Python objects"):
        open_episodes(folder, NEEDED)


def test_a_file_that_changes_under_the_reader(folder):
    episodes = open_episodes(folder, NEEDED)
    write(folder, "b", 4)
    with pytest.raises(DataError, match=r"b\.npz: frames is \(4, 4, 4, 3\), it was \(3, 4, 4, 3\)"):
        episodes.read(1)
    (folder / "b.npz").write_bytes(b"gone")
    with pytest.raises(DataError, match=r"b\.npz: not a readable episode"):
        episodes.read(1)
