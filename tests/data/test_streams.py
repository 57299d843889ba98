"""Batches from episodes on disk: every item once, in an order of seed and epoch alone, in bounded memory."""

import itertools

import numpy as np
import pytest

from seqvae.data import DataError, save
from seqvae.data.episodes import open_episodes
from seqvae.data.streams import EpisodeBatches

LENGTHS = (5, 3, 7, 2, 6)


@pytest.fixture(scope="module")
def episodes(tmp_path_factory):
    """Episode e has the codes 100 e, 100 e + 1, ..."""
    folder = tmp_path_factory.mktemp("episodes")
    for e, steps in enumerate(LENGTHS):
        save(folder / f"{e}.npz", {"code": (100 * e + np.arange(steps, dtype=np.int32))[:, None]})
    return open_episodes(folder, {"code": "a number"})


def batches(episodes, size=4, **options):
    return EpisodeBatches(episodes, size, {"code": "x"}, **{"seed": 1, "group": 2} | options)


def values(stream, epoch=0, skip=0):
    return [batch["x"].numpy()[:, 0].tolist() for batch in stream.epoch(epoch, skip)]


EVERY = sorted(100 * e + t for e, steps in enumerate(LENGTHS) for t in range(steps))


def test_every_step_once_an_epoch_in_an_order_of_seed_and_epoch(episodes):
    stream = batches(episodes)
    seen = values(stream)
    assert [len(b) for b in seen] == [4] * 5 + [3] and len(stream) == 6
    assert sorted(itertools.chain(*seen)) == EVERY
    assert seen == values(batches(episodes)) != values(stream, 1) and seen != values(batches(episodes, seed=2))
    assert list(itertools.chain(*values(batches(episodes, shuffle=False)))) == EVERY


@pytest.mark.parametrize("window", (None, 3))
def test_skipping_continues_the_same_order_without_reading_what_was_skipped(episodes, window, monkeypatch):
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
    monkeypatch.setattr(type(episodes), "read", lambda self, i, names: read.append(i) or original(self, i, names))
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
    stream = batches(open_episodes(tmp_path, {"code": "a number"}), shuffle=False, group=1)
    (tmp_path / "2.npz").write_bytes(b"gone")
    with pytest.raises(DataError, match=r"2\.npz: not a readable episode"):
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
