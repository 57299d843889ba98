"""Reading and writing sequences; every fault of a file has its message."""

import pickle

import numpy as np
import pytest

from seqvae.data import DataError, Sequences, load, save, shard_path, write_shard

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 3, 6, 5), dtype=np.uint8)


def test_a_round_trip_keeps_every_array_and_the_same_arrays_give_the_same_bytes(tmp_path):
    arrays = {
        "images": IMAGES,
        "mask": np.array([[1, 0, 1]] * 4, np.float32),
        "controls": np.ones((4, 3, 2), np.float32),
        "state": np.ones((4, 3, 4), np.float32),
    }
    save(tmp_path / "a.npz", arrays)
    save(tmp_path / "b.npz", arrays)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    data = load(tmp_path / "a.npz")
    for name, value in arrays.items():
        found = getattr(data, "frames" if name == "images" else name)
        np.testing.assert_array_equal(found, value)
    assert (len(data), data.steps, data.image_shape) == (4, 3, (6, 5))


def test_shards_are_read_as_one(tmp_path):
    for i in range(2):
        save(shard_path(tmp_path / "big.npz", i, 2), {"images": IMAGES[2 * i : 2 * i + 2]})
    np.testing.assert_array_equal(load(tmp_path / "big.npz").frames, IMAGES)
    shard_path(tmp_path / "big.npz", 1, 2).unlink()
    with pytest.raises(
        DataError, match=r"expected exactly the 2 shards.*missing \['big-00001-of-00002.npz'\]"
    ):
        load(tmp_path / "big.npz")
    save(shard_path(tmp_path / "big.npz", 1, 2), {"images": IMAGES, "mask": np.ones((4, 3))})
    with pytest.raises(
        DataError,
        match=r"an entry has the shapes and types .*, those of big-00000-of-00002.npz are",
    ):
        load(tmp_path / "big.npz")


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.npz: no such file, and no shards"):
        load(tmp_path / "none.npz")


def whole_npz(path):
    save(path, {"images": IMAGES})
    return path.read_bytes()


@pytest.mark.parametrize("cut", [0, 1, 40, 0.5, 0.95])
def test_a_truncated_file(tmp_path, cut):
    content = whole_npz(tmp_path / "t.npz")
    (tmp_path / "t.npz").write_bytes(
        content[: int(cut * len(content)) if isinstance(cut, float) else cut]
    )
    with pytest.raises(DataError, match=r"t.npz: not a (readable )?\.npz"):
        load(tmp_path / "t.npz")


def test_a_corrupted_file(tmp_path):
    content = bytearray(whole_npz(tmp_path / "t.npz"))
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "t.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"t.npz: not a readable \.npz"):
        load(tmp_path / "t.npz")


def test_foreign_files(tmp_path):
    (tmp_path / "text.npz").write_text("images")
    with pytest.raises(DataError, match=r"text.npz: not a .npz of plain arrays"):
        load(tmp_path / "text.npz")
    (tmp_path / "pickled.npz").write_bytes(pickle.dumps({"images": 1}))
    with pytest.raises(DataError, match=r"pickled.npz: not a .npz of plain arrays"):
        load(tmp_path / "pickled.npz")
    np.savez(tmp_path / "objects.npz", images=np.array([{}], dtype=object))
    with pytest.raises(DataError, match=r"objects.npz: not a .npz of plain arrays"):
        load(tmp_path / "objects.npz")
    np.savez(tmp_path / "other.npz", frames=IMAGES)
    with pytest.raises(
        DataError, match=r"no array `images` in it, only \['frames'\].*savez_compressed"
    ):
        load(tmp_path / "other.npz")
    with open(tmp_path / "single.npz", "wb") as file:
        np.save(file, IMAGES)
    with pytest.raises(DataError, match=r"a single .npy array, expected a .npz"):
        load(tmp_path / "single.npz")


FLOATS = np.full((2, 3, 4, 4), 0.5, np.float32)
NAN = FLOATS.copy()
NAN[1, 2] = np.nan
FAULTS = [
    (dict(frames=IMAGES[0]), r"the frames have the shape \(3, 6, 5\), expected \[N, T, H, W\]"),
    (dict(frames=IMAGES[:0]), r"the frames have the shape \(0, 3, 6, 5\): empty"),
    (dict(frames=IMAGES[:, :0]), r"the frames have the shape \(4, 0, 6, 5\): empty"),
    (dict(frames=IMAGES.astype(int)), "the frames are int64, expected uint8, bool, or floats"),
    (dict(frames=FLOATS * 4), r"values from 2 to 2, expected \[0, 1\].*Divide by the largest"),
    (dict(frames=-FLOATS), "values from -0.5 to -0.5"),
    (dict(frames=NAN), r"NaN in an observed frame \(sequences 0 to 1\).*Set the mask to 0"),
    (dict(frames=FLOATS, mask=np.ones((2, 2))), r"mask has the shape \(2, 2\), expected \[2, 3\]"),
    (dict(frames=FLOATS, mask=np.full((2, 3), 0.5)), "mask: expected only 1"),
    (
        dict(frames=FLOATS, mask=np.array([[1, 1, 1], [0, 0, 0]])),
        "no observed frame in 1 sequences, the first is 1",
    ),
    (
        dict(frames=FLOATS, controls=np.ones((2, 3))),
        r"controls has the shape \(2, 3\), expected \[2, 3, 'size'\]",
    ),
    (dict(frames=FLOATS, controls=np.full((2, 3, 1), np.inf)), "controls contains NaN or infinity"),
]


@pytest.mark.parametrize(("arrays", "message"), FAULTS, ids=range(len(FAULTS)))
def test_arrays_no_model_can_use(arrays, message):
    with pytest.raises(DataError, match=message):
        Sequences(**arrays)


def test_one_bit_frames_saved_as_uint8_are_refused_but_a_dark_part_of_a_video_is_not(tmp_path):
    save(tmp_path / "bits.npz", {"images": np.minimum(IMAGES, 1)})
    with pytest.raises(
        DataError,
        match=r"bits.npz: images are uint8 with no value above 1.*bool, or multiply by 255",
    ):
        load(tmp_path / "bits.npz")
    dark = np.concatenate([np.minimum(IMAGES, 1), IMAGES])
    assert len(Sequences(dark).take(slice(0, 4))) == 4


def test_nan_in_a_missing_frame_is_fine():
    mask = np.ones((2, 3))
    mask[1, 2] = 0
    assert len(Sequences(NAN, mask=mask)) == 2


def test_a_mask_of_bools_is_read(tmp_path):
    mask = np.random.default_rng(0).random((4, 3)) < 0.6
    mask[:, 0] = True
    save(tmp_path / "a.npz", {"images": IMAGES, "mask": mask})
    data = load(tmp_path / "a.npz")
    assert data.mask is not None and data.mask.dtype == np.float32
    np.testing.assert_array_equal(data.mask, mask)
    np.testing.assert_array_equal(data.with_mask(mask).mask, mask)


def test_split_takes_every_sequence_once_and_follows_its_seed():
    data = Sequences(IMAGES, state=np.arange(12, dtype=np.float32).reshape(4, 3, 1))
    train, test = data.split(0.25, seed=1)
    assert (len(train), len(test)) == (3, 1)
    assert sorted([*train.state[:, 0, 0], *test.state[:, 0, 0]]) == [0, 3, 6, 9]
    np.testing.assert_array_equal(test.frames, data.split(0.25, seed=1)[1].frames)
    with pytest.raises(DataError, match="one sequence cannot be split"):
        data.take(slice(0, 1)).split(0.5, seed=0)


def test_a_fingerprint_tells_other_data_apart():
    data = Sequences(IMAGES)
    assert data.fingerprint() == Sequences(IMAGES.copy()).fingerprint()
    assert data.fingerprint() != Sequences(IMAGES + 1).fingerprint()
    assert data.fingerprint() != data.take(slice(0, 3)).fingerprint()
    assert data.fingerprint() != data.with_mask(np.ones((4, 3))).fingerprint()


def test_a_fingerprint_is_that_of_checkpoints_of_former_versions():
    frames = np.arange(360).astype(np.uint8).reshape(4, 3, 6, 5)
    ones = np.ones((4, 3), np.float32)
    found = Sequences(frames, ones, controls=ones[..., None]).fingerprint()
    assert found == "[4, 3, 6, 5] d07661f0"


def test_masks_multiply():
    first = np.array([[1, 0, 1]] * 4, np.float32)
    data = Sequences(IMAGES).with_mask(first).with_mask(np.array([[1, 1, 0]] * 4))
    np.testing.assert_array_equal(data.mask, [[1, 0, 0]] * 4)


def test_a_full_disk_leaves_the_old_file(tmp_path, full_disk):
    before = whole_npz(tmp_path / "a.npz")
    with full_disk(100), pytest.raises(OSError, match=r"cannot write .*a.npz"):
        save(tmp_path / "a.npz", {"images": IMAGES})
    assert (tmp_path / "a.npz").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def hidden_pixels(images):
    """A mask of the frames' shape: the left column is never seen, a frame not at all."""
    mask = np.ones(images.shape, bool)
    mask[:, :, :, 0] = False
    mask[1, 2] = False
    return mask


def test_a_mask_of_pixels_is_kept_as_such():
    images = np.random.default_rng(0).random((4, 3, 2, 2)).astype(np.float32)
    mask = hidden_pixels(images)
    images[~mask] = np.nan
    data = Sequences(images, mask.astype(np.float32))
    assert data.mask is None and data.pixel_mask is not None
    np.testing.assert_array_equal(data.pixel_mask, mask)
    np.testing.assert_array_equal(data.observed, mask.any(axis=(2, 3)))
    np.testing.assert_array_equal(data.batch()["mask"], mask)
    mean = data.mean_frame()
    np.testing.assert_allclose(mean[:, 1], np.nanmean(images[..., 1], axis=(0, 1)), rtol=1e-6)
    np.testing.assert_allclose(mean[:, 0], mean[:, 1].mean(), rtol=1e-6)  # nobody saw these
    complete = data.complete(mean)
    np.testing.assert_array_equal(complete[mask], images[mask])
    np.testing.assert_array_equal(complete[1, 2], mean)
    some = data.take(slice(1, 3)).with_mask(np.array([[1, 0, 1], [1, 1, 0]]))
    assert some.batch_mask is not None
    expected = mask[1:3] & np.array([[1, 0, 1], [1, 1, 0]], bool)[..., None, None]
    np.testing.assert_array_equal(some.batch_mask, expected)
    assert data.fingerprint() != Sequences(np.nan_to_num(images)).fingerprint()


def test_a_mask_of_pixels_holds_for_every_colour():
    colours = np.repeat(IMAGES[..., None], 3, axis=-1)
    found = Sequences(colours, hidden_pixels(IMAGES)).pixel_mask
    assert found is not None
    np.testing.assert_array_equal(found, hidden_pixels(colours[..., 0])[..., None] & (colours >= 0))


def test_a_mask_of_pixels_is_read_from_a_file(tmp_path):
    mask = hidden_pixels(IMAGES)
    save(tmp_path / "a.npz", {"images": IMAGES, "mask": mask})
    read = load(tmp_path / "a.npz").pixel_mask
    assert read is not None
    np.testing.assert_array_equal(read, mask)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda mask: mask[:, :, :1], "or for single pixels"),
        (lambda mask: 0.5 * mask, "mask: expected only 1"),
        (lambda mask: 0 * mask, "no observed frame in 4 sequences"),
    ],
)
def test_masks_of_pixels_that_are_refused(change, message):
    mask = hidden_pixels(IMAGES).astype(np.float32)
    with pytest.raises(DataError, match=message):
        Sequences(IMAGES, change(mask))


def test_nan_in_a_visible_pixel_is_refused():
    images = IMAGES.astype(np.float32) / 255
    images[0, 0, 0, 1] = np.nan
    with pytest.raises(DataError, match="NaN in an observed frame"):
        Sequences(images, hidden_pixels(images))


def test_frames_at_uneven_times_are_placed_on_even_steps(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 3, 4, 4)).astype(np.uint8)
    controls = rng.normal(size=(2, 3, 1)).astype(np.float32)
    dt = np.array([[9, 1, 3], [0, 2, 1]])
    mask = np.array([[1, 0, 1], [1, 1, 1]])
    save(tmp_path / "uneven.npz", {"images": images, "dt": dt, "controls": controls, "mask": mask})
    found = load(tmp_path / "uneven.npz")
    assert found.uneven and found.steps == 5
    np.testing.assert_array_equal(found.mask, [[1, 0, 0, 0, 1], [1, 0, 1, 1, 0]])
    np.testing.assert_array_equal(found.frames[0, [0, 1, 4]], images[0])
    np.testing.assert_array_equal(found.frames[1, [0, 2, 3]], images[1])
    np.testing.assert_array_equal(found.controls[0], controls[0, [0, 1, 2, 2, 2]])
    np.testing.assert_array_equal(found.controls[1], controls[1, [0, 1, 1, 2, 2]])
    longer = found.extended(7)
    assert longer.steps == 7 and not longer.mask[:, 5:].any()
    pixels = np.ones(images.shape, bool)
    pixels[:, :, :2] = False
    save(tmp_path / "hidden.npz", {"images": images, "dt": dt, "mask": pixels})
    found = load(tmp_path / "hidden.npz")
    assert not found.observed[0, 2] and found.observed[0, 4]
    np.testing.assert_array_equal(found.pixel_mask[0, 4], pixels[0, 2])


@pytest.mark.parametrize(
    ("dt", "message"),
    [
        (np.ones((2, 4)), r"dt has the shape \[2, 4\], expected \[2, 3\] to fit images"),
        (np.full((2, 3), 1.5), "dt: expected whole numbers of at least 1"),
        (np.zeros((2, 3)), "dt: expected whole numbers of at least 1"),
        (np.full((2, 3), np.nan), "dt: expected whole numbers of at least 1"),
        (np.full((2, 3), "2"), "dt is an array of <U1, expected whole numbers"),
        (np.ones((2, 3), bool), "dt is an array of bool, expected whole numbers"),
        (
            np.full((2, 3), 500),
            "dt: 1001 steps for 3 frames, expected at most 50 steps a frame",
        ),
    ],
)
def test_uneven_times_that_are_refused(tmp_path, dt, message):
    save(tmp_path / "uneven.npz", {"images": np.zeros((2, 3, 4, 4)), "dt": dt})
    with pytest.raises(DataError, match=message):
        load(tmp_path / "uneven.npz")


@pytest.mark.parametrize("name", ["mask", "controls"])
@pytest.mark.parametrize("shape", [(1, 3), (2, 1), (2, 2), (2, 5), (4, 3)])
def test_arrays_beside_dt_have_the_shape_of_the_images(tmp_path, name, shape):
    """NumPy would broadcast the first two to all frames, and ignore the end of the last two."""
    arrays = {"images": np.zeros((2, 3, 4, 4)), "dt": np.full((2, 3), 2)}
    value = np.ones(shape if name == "mask" else (*shape, 1))
    save(tmp_path / "uneven.npz", {**arrays, name: value})
    with pytest.raises(DataError, match=rf"{name} has the shape .*, expected \[2, 3"):
        load(tmp_path / "uneven.npz")


def test_an_array_that_is_not_read_is_named(tmp_path):
    save(tmp_path / "mine.npz", {"images": np.zeros((2, 3, 4, 4)), "masks": np.ones((2, 3))})
    with pytest.warns(
        UserWarning, match=r"mine\.npz: not read: masks\. Known arrays: images, mask"
    ):
        load(tmp_path / "mine.npz")


def test_an_array_of_shards_that_is_not_read_is_named(tmp_path):
    arrays = {"images": np.zeros((2, 3, 4, 4)), "masks": np.ones((2, 3))}
    write_shard(shard_path(tmp_path / "mine.npz", 0, 1), arrays)
    with pytest.warns(UserWarning, match=r"mine\.npz: not read: masks"):
        load(tmp_path / "mine.npz")
