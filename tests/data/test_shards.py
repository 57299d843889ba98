"""Folders of episodes: opened by their headers, read when asked for, and every wrong file named."""

import numpy as np
import pytest

from seqvae.data import DataError, open_shards, save, shard_path, shards, write_shard

NEEDED = {"frames": "[T, H, W, C]", "actions": "[T, action_size]"}


def write(folder, name, steps, **more):
    arrays = {
        "frames": np.full((steps, 4, 4, 3), steps, np.uint8),
        "actions": np.full((steps, 2), steps, np.float32),
    }
    save(folder / f"{name}.npz", arrays | more)


@pytest.fixture
def folder(tmp_path):
    for name, steps in (("b", 3), ("a", 5), ("c", 2)):
        write(tmp_path, name, steps)
    return tmp_path


def test_a_folder_is_opened_in_the_order_of_names_and_read_when_asked_for(folder):
    (folder / ".d.12.part.npz").write_text("half written")
    episodes = open_shards(folder, NEEDED)
    assert [p.name for p in episodes.paths] == ["a.npz", "b.npz", "c.npz"]
    assert (episodes.lengths, episodes.entries, len(episodes)) == ((5, 3, 2), 10, 3)
    assert episodes.shapes == {"frames": (4, 4, 3), "actions": (2,)}
    arrays = episodes.read(1)
    assert arrays["frames"].shape == (3, 4, 4, 3) and (arrays["actions"] == 3).all()
    assert set(episodes.read(1, ["actions"])) == {"actions"}


def test_splits_are_disjoint_and_follow_the_seed(folder):
    episodes = open_shards(folder, NEEDED)
    train, test = episodes.split(0.1, seed=0)
    assert len(train) == 2 and len(test) == 1 and not set(train.paths) & set(test.paths)
    assert episodes.split(0.1, seed=0) == (train, test)
    with pytest.raises(DataError, match="one file cannot be split"):
        test.split(0.5, seed=0)


def test_a_fingerprint_tells_folders_apart(folder):
    before = open_shards(folder, NEEDED).fingerprint()
    assert before == open_shards(folder, NEEDED).fingerprint()
    write(folder, "c", 3)
    assert before != open_shards(folder, NEEDED).fingerprint()


@pytest.mark.parametrize(
    "arrays, message",
    [
        (
            dict(actions=np.zeros((4, 2))),
            r"arrays of different lengths, .*expected the same number of entries",
        ),
        (dict(frames=np.zeros((3, 5, 4, 3), np.uint8)), r"those of a.npz are"),
        (dict(actions=np.array(1.0)), "arrays of different lengths"),
    ],
)
def test_arrays_that_do_not_fit(folder, arrays, message):
    write(folder, "d", 3, **arrays)
    with pytest.raises(DataError, match=rf"d\.npz: .*{message}"):
        open_shards(folder, NEEDED)


def test_files_that_cannot_be_used(folder, tmp_path_factory):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        open_shards(folder / "none", NEEDED)
    with pytest.raises(FileNotFoundError, match="no files"):
        open_shards(tmp_path_factory.mktemp("empty"), NEEDED)
    with pytest.raises(DataError, match=r"c\.npz: 2 entries; expected at least 3"):
        open_shards(folder, NEEDED, at_least=3)
    with pytest.raises(
        DataError, match=r"a\.npz: no array mean \(of q\(z.x\)\); it has actions, frames"
    ):
        open_shards(folder, {"mean": "of q(z|x)"})
    whole = (folder / "a.npz").read_bytes()
    for bad in (whole[: len(whole) // 2], b"", b"no archive"):
        (folder / "b.npz").write_bytes(bad)
        with pytest.raises(DataError, match=r"b\.npz: not a readable .npz, it may be truncated"):
            open_shards(folder, NEEDED)
    np.savez(folder / "b.npz", frames=np.array([{}, {}], dtype=object))
    with pytest.raises(DataError, match="holds Python objects"):
        open_shards(folder, NEEDED)


def test_a_file_that_changes_under_the_reader(folder):
    episodes = open_shards(folder, NEEDED)
    write(folder, "b", 4)
    with pytest.raises(
        DataError, match=r"b\.npz: frames has the shape \(4, 4, 4, 3\), it was \(3, 4, 4, 3\)"
    ):
        episodes.read(1)
    (folder / "b.npz").write_bytes(b"gone")
    with pytest.raises(DataError, match=r"b\.npz: not a readable .npz"):
        episodes.read(1)


def test_the_index_saves_opening_the_files(folder, monkeypatch):
    for name in ("a", "b", "c"):
        with np.load(folder / f"{name}.npz") as file:
            arrays = dict(file)
        write_shard(folder / f"{name}.npz", arrays)
    first = open_shards(folder, NEEDED)
    assert (folder / "index.json").exists() and len(first.checksums[0]["frames"]) == 64
    with monkeypatch.context() as blind:
        blind.setattr(shards, "_entry", None)
        assert open_shards(folder, NEEDED) == first
    write(folder, "d", 4)
    assert open_shards(folder, NEEDED).lengths == (5, 3, 2, 4)  # out of date: made again
    for damaged in ("", "[]", '{"format": 1}', '{"format": 1, "shards": [1]}', "[" * 100_000, "\0"):
        (folder / "index.json").write_text(damaged)
        assert open_shards(folder, NEEDED).lengths == (5, 3, 2, 4)


def test_a_set_in_a_folder_that_cannot_be_written_has_no_index(folder, monkeypatch):
    def refuse(path):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(shards, "atomic_write", refuse)
    assert open_shards(folder, NEEDED).lengths == (5, 3, 2) and not (folder / "index.json").exists()


def test_shards_beside_each_other_by_any_number_of_writers(tmp_path):
    for i in (2, 0):
        write_shard(shard_path(tmp_path / "big.npz", i, 3), {"images": np.full((i + 1, 2), i)})
    with pytest.raises(
        DataError,
        match=r"expected exactly the 3 shards of one set, missing \['big-00001-of-00003.npz'\]",
    ):
        open_shards(tmp_path / "big.npz", {})
    write_shard(shard_path(tmp_path / "big.npz", 1, 3), {"images": np.full((2, 2), 1)})
    found = open_shards(tmp_path / "big.npz", {})
    assert found.lengths == (1, 2, 3) and (tmp_path / "big.index.json").exists()
    with pytest.raises(FileNotFoundError, match="no such file, and no shards other-00000-of"):
        open_shards(tmp_path / "other.npz", {})


def test_an_altered_shard_is_named(tmp_path):
    """One that any reader of .npz takes: another array under the old checksum."""
    path = tmp_path / "a.npz"
    write_shard(path, {"x": np.arange(4)})
    with np.load(path) as file:
        checksums = file["__sha256__"]
    save(path, {"x": np.array([0, 1, 2, 4]), "__sha256__": checksums})
    with pytest.raises(
        DataError, match=r"a\.npz: the checksum of x does not fit, the file was altered"
    ):
        open_shards(tmp_path, {}).read(0)
