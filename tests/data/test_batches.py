"""The order of training: by seed and epoch alone."""

import itertools

import numpy as np
import pytest

from seqvae.data import Sequences
from seqvae.data.batches import Batches

IMAGES = np.arange(7 * 2 * 4, dtype=np.uint8).reshape(7, 2, 2, 2) + 2


def order(batches, epoch, skip=0):
    return [batch["frames"].numpy()[:, 0, 0, 0].tolist() for batch in batches.epoch(epoch, skip)]


def test_every_sequence_once_an_epoch_the_partial_batch_too():
    batches = Batches(Sequences(IMAGES), 3, seed=1)
    assert len(batches) == 3
    seen = order(batches, 0)
    assert [len(b) for b in seen] == [3, 3, 1]
    assert sorted(itertools.chain(*seen)) == IMAGES[:, 0, 0, 0].tolist()


def test_the_order_depends_on_seed_and_epoch_and_skipping_continues_it():
    batches, again = (Batches(Sequences(IMAGES), 3, seed=1) for _ in range(2))
    assert order(batches, 4) == order(again, 4)
    assert order(batches, 4) != order(batches, 5)
    assert order(batches, 4) != order(Batches(Sequences(IMAGES), 3, seed=2), 4)
    assert order(batches, 4, skip=2) == order(batches, 4)[2:]


def test_unshuffled():
    assert order(Batches(Sequences(IMAGES), 7, shuffle=False), 3) == [IMAGES[:, 0, 0, 0].tolist()]


def test_masks_and_controls_go_along():
    data = Sequences(
        IMAGES, mask=np.array([[1, 0]] * 7), controls=IMAGES[:, :, 0, :1].astype(np.float32)
    )
    for batch in Batches(data, 3).epoch(0):
        assert batch["frames"].dtype == np.uint8
        np.testing.assert_array_equal(batch["controls"][..., 0], batch["frames"][:, :, 0, 0])
        assert batch["mask"].shape == batch["frames"].shape[:2]


def test_a_mapping_of_arrays_keeps_its_names():
    arrays = {
        "codes": np.arange(14.0).reshape(7, 2, 1),
        "variance": np.arange(14.0).reshape(7, 2, 1),
    }
    found = list(Batches(arrays, 3, seed=1).epoch(0))
    assert [set(batch) for batch in found] == [{"codes", "variance"}] * 3
    assert sorted(np.concatenate([b["codes"] for b in found]).ravel()) == list(range(14))
    for batch in found:
        np.testing.assert_array_equal(batch["codes"], batch["variance"])


def test_the_batch_size_is_checked():
    with pytest.raises(ValueError, match="batch_size: expected an integer of at least 1, got 0"):
        Batches(Sequences(IMAGES), 0)
