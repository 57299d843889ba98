"""The data of run_kvae: made where missing, masked, held in memory or streamed from shards."""

import keras
import numpy as np
import pytest

import kvae
from kvae import data
from kvae.data import InMemory, Missing, Streamed, encoded, training_and_test
from seqvae.data import DataError, save, shard_path, write_shard
from seqvae.physics import WORLDS, record, write_dataset
from seqvae.replicas import Placement
from tests.tolerances import SAME_FLOAT32

NOTHING = Missing()


@pytest.fixture(scope="module")
def images():
    return record(WORLDS["box"], sequences=40, steps=6)["images"]


@pytest.fixture
def shards(tmp_path, images):
    """Frames, masks and controls in files of 7, 7, 7, 7, 7 and 5 sequences; a test set of two
    files."""
    rng = np.random.default_rng(0)
    mask = (rng.random((40, 6)) > 0.2).astype(np.float32)
    mask[:, 0] = 1.0
    arrays = {
        "images": images,
        "mask": mask,
        "controls": rng.standard_normal((40, 6, 2)).astype(np.float32),
    }
    for i in range(6):
        write_shard(
            shard_path(tmp_path / "mine.npz", i, 6),
            {n: value[7 * i : 7 * i + 7] for n, value in arrays.items()},
        )
    for i in range(2):
        write_shard(
            shard_path(tmp_path / "mine_test.npz", i, 2),
            {n: v[4 * i : 4 * i + 4] for n, v in arrays.items()},
        )
    return tmp_path / "mine.npz", arrays


def rows(batches, name):
    """All rows of an epoch, in an order of their own."""
    values = np.concatenate([batch[name].numpy() for batch in batches])
    return sorted(values.reshape(len(values), -1).tolist())


@pytest.mark.slow
def test_a_dataset_that_is_missing_is_made_with_a_line_that_says_so(tmp_path, capsys):
    train, test = training_and_test("box", tmp_path, NOTHING)
    assert (len(train), len(test), train.dim_u) == (5000, 1000, None)
    line = "box.npz is not there: making it, 5000 training and 1000 test sequences of the world box"
    assert line in capsys.readouterr().out
    stamp = (tmp_path / "box.npz").stat().st_mtime_ns
    training_and_test("box", tmp_path, NOTHING)
    assert (tmp_path / "box.npz").stat().st_mtime_ns == stamp
    np.testing.assert_array_equal(
        train.sequences.frames[:3], record(WORLDS["box"], sequences=3)["images"]
    )


def test_masks_in_training_are_the_sequences_own_and_keep_the_start(tmp_path, images):
    save(tmp_path / "mine.npz", {"images": images})
    train, test = training_and_test(str(tmp_path / "mine.npz"), "", Missing(0.5, 3, 0))
    mask = train.sequences.mask
    assert test.mask is None and mask[:, :3].all() and 0.3 < mask[:, 3:].mean() < 0.7
    again, _ = training_and_test(str(tmp_path / "mine.npz"), "", Missing(0.5, 3, 0))
    np.testing.assert_array_equal(mask, again.sequences.mask)


def test_test_data_of_another_shape_is_refused(tmp_path, images):
    save(tmp_path / "mine.npz", {"images": images[:3, :4]})
    save(tmp_path / "mine_test.npz", {"images": images[:3, :3]})
    with pytest.raises(
        ValueError,
        match=r"mine_test.npz: 3 frames \(32, 32\) a sequence.*has 4 frames.*must be alike",
    ):
        training_and_test(str(tmp_path / "mine.npz"), "", NOTHING)


def test_training_and_test_frames_at_uneven_times_have_one_length(tmp_path, images):
    dt = np.ones((3, 4), int)
    save(tmp_path / "mine.npz", {"images": images[:3, :4], "dt": 2 * dt})
    save(tmp_path / "mine_test.npz", {"images": images[:3, :4], "dt": dt})
    train, test = training_and_test(str(tmp_path / "mine.npz"), "", NOTHING)
    assert train.sequences.steps == test.steps == 7
    np.testing.assert_array_equal(test.mask[0], [1, 1, 1, 1, 0, 0, 0])
    for i in range(2):
        write_shard(shard_path(tmp_path / "parts.npz", i, 2), {"images": images[:3, :4], "dt": dt})
    with pytest.raises(DataError, match=r"parts\.npz: dt: not read from shards"):
        training_and_test(str(tmp_path / "parts.npz"), "", NOTHING)


def test_a_dataset_of_no_world_and_no_file_is_refused():
    with pytest.raises(
        ValueError,
        match=r"--dataset: expected one of box, .*or the path of an .npz file, got 'boxx'",
    ):
        training_and_test("boxx", "", NOTHING)


def test_shards_are_streamed(shards):
    path, arrays = shards
    train, test = training_and_test(str(path), "", NOTHING)
    assert isinstance(train, Streamed) and (len(train), len(test)) == (40, 8)
    assert (train.steps, train.image_shape, train.dim_u) == (6, (32, 32), 2)
    batches = train.batches(9, seed=3, shuffle=True)
    for name, stored in (("frames", "images"), ("mask", "mask"), ("controls", "controls")):
        assert rows(batches.epoch(0), name) == sorted(arrays[stored].reshape(40, -1).tolist())
    assert training_and_test(str(path), "", NOTHING)[0].fingerprint == train.fingerprint


def test_of_a_large_test_set_the_first_files_are_taken(shards, monkeypatch):
    monkeypatch.setattr(data, "_TEST_MOST", 3)
    _, test = training_and_test(str(shards[0]), "", NOTHING)
    np.testing.assert_array_equal(test.frames, shards[1]["images"][:4])


def test_without_a_test_set_files_are_kept_for_it(shards, capsys):
    for path in shards[0].parent.glob("mine_test*"):
        path.unlink()
    train, test = training_and_test(str(shards[0]), "", NOTHING)
    assert len(train) + len(test) == 40 and len(test) in (5, 7)
    assert f"{len(test)} of its sequences are kept for the test" in capsys.readouterr().out


def test_frames_missing_in_a_stream_are_the_same_in_every_epoch(shards):
    train, _ = training_and_test(str(shards[0]), "", Missing(0.5, 2, 4))
    batches = train.batches(9, seed=0, shuffle=True)
    first, second = (rows(batches.epoch(epoch), "mask") for epoch in (0, 1))
    assert first == second and first != sorted(shards[1]["mask"].tolist())
    assert train.fingerprint != training_and_test(str(shards[0]), "", NOTHING)[0].fingerprint


@pytest.mark.parametrize("drop_prob", (0.0, 0.4))
def test_codes_of_a_stream_are_those_of_its_sequences(shards, tmp_path, drop_prob):
    keras.utils.set_random_seed(0)
    model = kvae.KVAE((32, 32), num_filters=(2,), alpha_units=3, dim_u=2)
    train, _ = training_and_test(str(shards[0]), "", Missing(drop_prob, 2, 4))
    batches = train.codes(model, tmp_path / "codes", Placement(), batch_size=9, seed=0)
    wanted = encoded(model, data.sequences_of(shards[1], shards[0]))
    np.testing.assert_allclose(
        rows(batches.epoch(0), "controls"), sorted(wanted["controls"].reshape(40, -1).tolist())
    )
    assert rows(batches.epoch(0), "mask") == rows(train.batches(9).epoch(0), "mask")
    if not drop_prob:
        codes = sorted(wanted["codes"].reshape(40, -1).tolist())
        np.testing.assert_allclose(rows(batches.epoch(0), "codes"), codes, **SAME_FLOAT32)


def test_a_shard_that_no_model_can_use_is_named(tmp_path, images):
    for i in range(2):
        write_shard(shard_path(tmp_path / "mine.npz", i, 2), {"images": images[:3] * np.float32(i)})
    save(tmp_path / "mine_test.npz", {"images": images[:3]})
    train, _ = training_and_test(str(tmp_path / "mine.npz"), "", NOTHING)
    with pytest.raises(
        DataError, match=r"mine-00001-of-00002\.npz: observed frames have values from 0 to 255"
    ):
        list(train.batches(3).epoch(0))


def test_worlds_in_shards_have_checksums_and_the_sequences_of_one_file(tmp_path):
    options = dict(sequences=6, test_sequences=2, steps=4)
    write_dataset(WORLDS["box"], tmp_path, **options)
    parts = write_dataset(WORLDS["box"], tmp_path / "shards", shards=2, **options)
    with np.load(parts[0]) as file:
        assert "__sha256__" in file.files
    (train, _), (one, _) = (
        training_and_test("box", folder, NOTHING) for folder in (tmp_path / "shards", tmp_path)
    )
    assert isinstance(train, Streamed) and isinstance(one, InMemory)
    assert rows(train.batches(4).epoch(0), "frames") == rows(one.batches(4).epoch(0), "frames")
