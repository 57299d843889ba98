"""CarRacing's pictures to frames, against frames that the original's arithmetic made."""

from pathlib import Path

import numpy as np

from worldmodels import preprocessing

with np.load(
    Path(__file__).parents[1] / "golden" / "worldmodels" / "carracing_frames.npz",
    allow_pickle=False,
) as file:
    GOLDEN = {name: file[name] for name in file.files}


def test_frames_are_the_same_byte_for_byte():
    for name in ("plain", "original"):
        made = np.stack([getattr(preprocessing, name)(picture) for picture in GOLDEN["raw96"]])
        np.testing.assert_array_equal(made, GOLDEN[name])


def test_black_becomes_white_in_the_originals_way_and_a_flat_picture_does_not_divide_by_zero():
    flat = np.zeros((96, 96, 3), np.uint8)
    assert (preprocessing.original(flat) == 255).all() and (preprocessing.plain(flat) == 0).all()
