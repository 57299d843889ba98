"""Batches from episodes on disk: every item once, in an order of seed and epoch alone, in bounded
memory."""

import itertools
import weakref

import numpy as np
import pytest

from seqvae.data import DataError, open_shards, save, write_shard
from seqvae.data.streams import ShardBatches

LENGTHS = (5, 3, 7, 2, 6)


@pytest.fixture(scope="module")
def episodes(tmp_path_factory):
    """Episode e has the codes 100 e, 100 e + 1, ..."""
    folder = tmp_path_factory.mktemp("episodes")
    for e, steps in enumerate(LENGTHS):
        save(folder / f"{e}.npz", {"code": (100 * e + np.arange(steps, dtype=np.int32))[:, None]})
    return open_shards(folder, {"code": "a number"})


def batches(episodes, size=4, **options):
    return ShardBatches(episodes, size, {"code": "x"}, **{"seed": 1, "group": 2} | options)


def values(stream, epoch=0, skip=0):
    return [batch["x"].numpy()[:, 0].tolist() for batch in stream.epoch(epoch, skip)]


EVERY = sorted(100 * e + t for e, steps in enumerate(LENGTHS) for t in range(steps))


def test_every_step_once_an_epoch_in_an_order_of_seed_and_epoch(episodes):
    stream = batches(episodes)
    seen = values(stream)
    assert [len(b) for b in seen] == [4] * 5 + [3] and len(stream) == 6
    assert sorted(itertools.chain(*seen)) == EVERY
    assert seen == values(batches(episodes)) != values(stream, 1) and seen != values(
        batches(episodes, seed=2)
    )
    assert list(itertools.chain(*values(batches(episodes, shuffle=False)))) == EVERY


@pytest.mark.parametrize("window", (None, 3))
def test_skipping_continues_the_same_order_without_reading_what_was_skipped(
    episodes, window, monkeypatch
):
    stream = batches(episodes, 2, window=window)
    whole = [{k: v.numpy() for k, v in batch.items()} for batch in stream.epoch(3)]
    for skip in range(len(whole) + 1):
        rest = list(stream.epoch(3, skip))
        assert len(rest) == len(whole) - skip
        for a, b in zip(rest, whole[skip:], strict=True):
            for name in b:
                np.testing.assert_array_equal(a[name], b[name])
    read = []
    original = type(episodes).read
    monkeypatch.setattr(
        type(episodes), "read", lambda self, i, names: read.append(i) or original(self, i, names)
    )
    list(stream.epoch(3, len(whole) - 1))
    assert len(set(read[1:])) <= 2  # one group; the first read tells the types


@pytest.mark.parametrize("overlap", (0, 1, 2))
def test_windows_cover_every_step_and_are_padded_where_an_episode_ends(episodes, overlap):
    seen = [b for b in batches(episodes, window=3, overlap=overlap).epoch(0)]
    codes = np.concatenate([b["x"].numpy()[..., 0] for b in seen])
    mask = np.concatenate([b["mask"].numpy() for b in seen])
    assert sorted(set(codes[mask > 0])) == EVERY
    assert (np.diff(codes, axis=1)[mask[:, 1:] > 0] == 1).all()  # consecutive steps of one episode
    assert (codes[mask == 0] == 0).all() and (np.diff(mask, axis=1) <= 0).all()
    if overlap == 1:  # every step but an episode's first is once a target
        targets = codes[:, 1:][mask[:, 1:] > 0]
        assert sorted(targets) == [c for c in EVERY if c % 100]
    assert len(codes) == sum(max(1, -(-(n - overlap) // (3 - overlap))) for n in LENGTHS)


def test_types_and_shapes_are_known_before_anything_is_read(episodes):
    spec = batches(episodes, window=3).epoch(0).element_spec
    assert spec["x"].shape.as_list() == [None, 3, 1] and spec["x"].dtype == "int32"
    assert spec["mask"].shape.as_list() == [None, 3]


def test_a_damaged_episode_is_named_in_the_middle_of_an_epoch(tmp_path):
    for e in range(3):
        save(tmp_path / f"{e}.npz", {"code": np.arange(4)[:, None]})
    stream = batches(open_shards(tmp_path, {"code": "a number"}), shuffle=False, group=1)
    (tmp_path / "2.npz").write_bytes(b"gone")
    with pytest.raises(DataError, match=r"2\.npz: not a readable .npz"):
        list(stream.epoch(0))


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(size=0), "batch_size: expected an integer of at least 1"),
        (dict(group=0), "group: expected an integer of at least 1"),
        (dict(window=0), "window: expected an integer of at least 1"),
        (dict(window=-1), "window: expected an integer of at least 1"),
        (dict(window=3, overlap=3), "overlap: expected 0 to window - 1 = 2, got 3"),
    ],
)
def test_options_that_are_refused(episodes, options, message):
    with pytest.raises(ValueError, match=message):
        batches(episodes, **options)


@pytest.mark.parametrize("window", (None, 3))
@pytest.mark.parametrize("workers", (2, 3, 7))
def test_the_parts_of_workers_are_the_batches_of_one(episodes, window, workers):
    stream = batches(episodes, 5, window=window, group=4)
    parts = [list(stream.epoch(1, part=(i, workers))) for i in range(workers)]
    for step, whole in enumerate(stream.epoch(1)):
        total = stream.rows(step)
        assert total == len(whole["x"])
        rows = [
            range(total)[slice(total * i // workers, total * (i + 1) // workers)]
            for i in range(workers)
        ]
        for name in whole:
            mine = [
                part[step][name].numpy()[: len(own)] for part, own in zip(parts, rows, strict=True)
            ]
            np.testing.assert_array_equal(np.concatenate(mine), whole[name])
    assert all(len(part) == len(stream) for part in parts)


def test_each_worker_reads_its_own_files(tmp_path, monkeypatch):
    """Files of one length, as generators make them: nothing is read twice over the workers."""
    for e in range(12):
        write_shard(tmp_path / f"{e:02d}.npz", {"code": 100 * e + np.arange(8)[:, None]})
    shards = open_shards(tmp_path, {})
    read = []
    original = type(shards).read
    monkeypatch.setattr(
        type(shards), "read", lambda self, i, names: read.append(i) or original(self, i, names)
    )
    stream = ShardBatches(shards, 8, {"code": "x"}, group=4)
    stream.epoch(0)  # one read tells the types
    files = []
    for worker in range(2):
        read.clear()
        list(stream.epoch(0, part=(worker, 2)))
        files.append(sorted(read))
    assert sorted(files[0] + files[1]) == list(range(12)) and len(files[0]) == len(files[1]) == 6


def test_few_files_are_in_memory_at_a_time(tmp_path):
    for e in range(30):
        write_shard(tmp_path / f"{e:02d}.npz", {"code": 100 * e + np.arange(5 + e % 3)[:, None]})
    made_so_far, most = [], [0]

    class Array(np.ndarray):
        pass

    def watched(i, arrays):
        made = {name: value.view(Array) for name, value in arrays.items()}
        made_so_far.append(weakref.ref(made["x"]))
        most[0] = max(most[0], sum(ref() is not None for ref in made_so_far))
        return made

    shards = open_shards(tmp_path, {})
    stream = ShardBatches(shards, 4, {"code": "x"}, group=3, prepare=watched)
    seen = np.concatenate([batch["x"].numpy()[:, 0] for batch in stream.epoch(0)])
    assert sorted(seen) == sorted(100 * e + t for e in range(30) for t in range(5 + e % 3))
    assert 6 <= most[0] <= 9  # two groups, and what the batches under way still hold


def test_the_order_mixes_files_within_a_batch(episodes):
    batch = next(iter(batches(episodes, 6, group=3).epoch(0)))["x"].numpy()[:, 0]
    assert len({int(code) // 100 for code in batch}) == 3


@pytest.mark.parametrize("size", (3, 4, 10))
def test_batches_that_do_not_divide_take_from_every_file_alike(tmp_path, size):
    for e in range(8):
        write_shard(tmp_path / f"{e}.npz", {"code": np.full((12, 1), e)})
    stream = ShardBatches(open_shards(tmp_path, {}), size, {"code": "x"}, group=8)
    seen = np.zeros(8, int)
    for i, batch in enumerate(stream.epoch(0)):
        np.add.at(seen, batch["x"].numpy()[:, 0], 1)
        assert np.ptp(seen) <= 2, (i, seen)


def test_files_of_different_lengths_end_together(tmp_path):
    for e, length in enumerate((40, 10, 10)):
        write_shard(tmp_path / f"{e}.npz", {"code": np.full((length, 1), e)})
    stream = ShardBatches(open_shards(tmp_path, {}), 6, {"code": "x"}, group=3)
    for batch in stream.epoch(0):
        assert np.bincount(batch["x"].numpy()[:, 0]).tolist() == [4, 1, 1]


def test_a_prepared_array_has_its_own_type(episodes):
    stream = ShardBatches(
        episodes, 4, {"code": "x"}, prepare=lambda i, arrays: {"y": arrays["x"] * 0.5 + i}
    )
    assert stream.epoch(0).element_spec["y"].dtype == "float64"
    assert next(iter(stream.epoch(0)))["y"].shape == (4, 1)
