"""A sequence depends on the seed and its own index alone."""

import numpy as np
import pytest

from seqvae.physics import WORLDS, Split, record, write_dataset


def test_workers_and_shards_do_not_matter():
    world = WORLDS["pong"]
    alone = record(world, sequences=230, steps=4, seed=5)
    together = record(world, sequences=230, steps=4, seed=5, workers=2)
    part = record(world, sequences=70, first=160, steps=4, seed=5)
    for name in ("images", "state"):
        np.testing.assert_array_equal(alone[name], together[name])
        np.testing.assert_array_equal(alone[name][160:], part[name])


def test_seeds_splits_and_sequences_differ():
    def state(**options):
        return record(WORLDS["box"], sequences=3, steps=2, **options)["state"]

    base = state()
    assert not np.array_equal(base, state(seed=1))
    assert not np.array_equal(base, state(split=Split.TEST))
    assert not np.array_equal(base[0], base[1])


def test_a_longer_sequence_begins_like_a_shorter_one():
    short, long = (record(WORLDS["box"], sequences=2, steps=n)["images"] for n in (5, 9))
    np.testing.assert_array_equal(long[:, :5], short)


def test_types_shapes_and_progress():
    done = []
    arrays = record(WORLDS["pong"], sequences=150, steps=3, progress=done.append)
    assert (arrays["images"].shape, arrays["images"].dtype) == ((150, 3, 32, 32), np.uint8)
    assert (arrays["state"].shape, arrays["state"].dtype) == ((150, 3, 6), np.float32)
    assert sum(done) == 150


@pytest.mark.parametrize(
    "wrong", [dict(sequences=0), dict(steps=0), dict(workers=0), dict(seed=-1), dict(first=-1)]
)
def test_counts_are_checked(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name}: expected an integer of at least"):
        record(WORLDS["box"], **(dict(sequences=1) | wrong))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(shards=2, shard=2), "shard=2, shards=2: expected 0 <= shard < shards"),
        (dict(sequences=2, shards=3), "shards=3: more shards than the 2 sequences of box.npz"),
    ],
)
def test_shards_are_checked(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        write_dataset(
            WORLDS["box"], tmp_path, **(dict(sequences=4, test_sequences=4, steps=2) | options)
        )
    assert not list(tmp_path.iterdir())
