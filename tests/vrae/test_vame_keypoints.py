"""DeepLabCut's files, and the animal's own frame of reference."""

from dataclasses import replace

import numpy as np
import pytest

from tests.vrae.test_vame_training import SMALL
from vrae import vame
from vrae.vame.config import read_config, write_config
from vrae.vame.keypoints import Pose, egocentric, read_deeplabcut

PARTS = ("nose", "belly", "tail")


def write(path, positions, likelihood, parts=PARTS, individuals=None):
    """positions [2 K, frames], likelihood [K, frames] in DeepLabCut's form."""
    names = [part for part in parts for _ in range(3)]
    rows = [["scorer", *["net"] * len(names)]]
    rows += [] if individuals is None else [["individuals", *individuals]]
    rows += [["bodyparts", *names], ["coords", *["x", "y", "likelihood"] * len(parts)]]
    for t in range(positions.shape[1]):
        cells = [
            v
            for k in range(len(parts))
            for v in (*positions[2 * k : 2 * k + 2, t], likelihood[k, t])
        ]
        rows.append([t, *("" if np.isnan(v) else v for v in cells)])
    path.write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n", encoding="utf-8")
    return path


def pose(frames=90, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(200, 50, (6, frames)), rng.uniform(0.95, 1, (3, frames))


def test_a_file_is_read_and_what_is_not_confident_or_empty_is_missing(tmp_path):
    positions, likelihood = pose()
    likelihood[1, 4], positions[4:6, 7], likelihood[2, 7] = 0.5, np.nan, np.nan
    found = read_deeplabcut(write(tmp_path / "a.csv", positions, likelihood))
    assert found.keypoints == PARTS
    expected = positions.copy()
    expected[2:4, 4] = np.nan
    np.testing.assert_array_equal(found.positions, expected)
    assert found.missing() == {"nose": 0.0, "belly": 1 / 90, "tail": 1 / 90}
    assert read_deeplabcut(tmp_path / "a.csv", pose_confidence=0.4).missing()["belly"] == 0.0


def test_one_animal_of_several(tmp_path):
    positions, likelihood = pose()
    both = write(
        tmp_path / "two.csv",
        np.tile(positions, (2, 1)) + np.repeat([0, 5], 6)[:, None],
        np.tile(likelihood, (2, 1)),
        PARTS * 2,
        ["a"] * 9 + ["b"] * 9,
    )
    np.testing.assert_allclose(read_deeplabcut(both, individual="b").positions, positions + 5)
    with pytest.raises(
        ValueError, match=r"individual: .* holds a, b; expected one of them, got None"
    ):
        read_deeplabcut(both)


def as_pose(*points):
    """A pose of named complex points [frames], NaN where not seen."""
    rows = np.concatenate([[z.real, z.imag] for z in map(np.asarray, points)])
    return Pose(PARTS[: len(points)], rows, np.ones((len(points), rows.shape[1])))


def test_alignment_by_a_loop_over_frames():
    """Against an explicit rotation matrix of each frame: the angle of the orientation keypoint
    becomes -90 degrees."""
    positions, likelihood = pose()
    found = egocentric(Pose(PARTS, positions, likelihood), "belly", "nose")
    assert found.shape == (3, 90)  # y of the nose, x and y of the tail
    for t, (nose, belly, tail) in enumerate(positions.T.reshape(90, 3, 2)):
        angle = np.arctan2(*(nose - belly)[::-1])
        turn = -np.pi / 2 - angle
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        np.testing.assert_allclose(rotation @ (nose - belly), [0, found[0, t]], atol=1e-9)
        np.testing.assert_allclose(rotation @ (tail - belly), found[1:, t], atol=1e-9)


def test_alignment_is_vames():
    """The orientation keypoint lies at negative y. An animal that looks up, with its tail below, is
    not turned; any other is turned until it does, and its right side stays right."""
    for turn in (1, 1j, -1, 2j, np.exp(0.7j)):
        nose, tail, right = (
            np.full(3, 5 + 4j),
            5 + 4j - 2j * turn * np.ones(3),
            5 + 4j + (1 - 1j) * turn * np.ones(3),
        )
        found = egocentric(as_pose(nose, tail, right), "nose", "belly")
        size = abs(turn)
        np.testing.assert_allclose(
            found, np.array([-2, 1, -1])[:, None] * size * np.ones(3), atol=1e-12
        )


def test_alignment_does_not_change_when_the_animal_moves_and_turns():
    positions, likelihood = pose()
    moved = (positions[::2] + 1j * positions[1::2]) * np.exp(1.3j) + (40 - 7j)
    again = np.stack([moved.real, moved.imag], 1).reshape(6, -1)
    np.testing.assert_allclose(
        *(
            egocentric(Pose(PARTS, part, likelihood), "belly", "nose")
            for part in (positions, again)
        ),
        atol=1e-9,
    )


def test_reference_keypoints_are_interpolated_over_short_gaps_and_others_are_not():
    time = np.arange(12.0)
    nose, tail = (
        2 * time + 1j * time,
        2 * time + 1j * (time - 3),
    )  # walks in a straight line: interpolation is exact
    side = nose + 1
    whole = egocentric(as_pose(nose, tail, side), "nose", "belly")
    gaps = [np.array(z) for z in (nose, tail, side)]
    gaps[0][3:5], gaps[1][7], gaps[2][10] = np.nan, np.nan, np.nan
    found = egocentric(as_pose(*gaps), "nose", "belly", longest_gap=2)
    np.testing.assert_array_equal(np.isnan(found), np.arange(12) == 10 * np.array([[-1], [1], [1]]))
    np.testing.assert_allclose(found[:, :10], whole[:, :10], atol=1e-12)
    shorter = egocentric(as_pose(*gaps), "nose", "belly", longest_gap=1)
    np.testing.assert_array_equal(np.isnan(shorter).all(axis=0), np.isin(np.arange(12), [3, 4]))
    gaps[0][:4] = np.nan  # at the beginning the first seen position is held
    held = egocentric(as_pose(*gaps), "nose", "belly")
    np.testing.assert_allclose(held[0, :4], [-abs(gaps[0][5] - z) for z in tail[:4]], atol=1e-12)


def test_two_reference_keypoints_in_one_place_have_no_direction():
    """It is interpolated from the frames around. (A direction of length 0 would move every keypoint
    to 0.)"""
    nose, tail, side = np.zeros(5, complex), np.full(5, -2j), np.full(5, 3.0 + 0j)
    tail[2] = 0
    np.testing.assert_allclose(
        egocentric(as_pose(nose, tail, side), "nose", "belly"), [[-2] * 5, [3] * 5, [0] * 5]
    )
    assert np.isnan(
        egocentric(as_pose(nose, tail, side), "nose", "belly", longest_gap=0)[:, 2]
    ).all()


def test_arguments_are_taken_by_their_earlier_names():
    positions, likelihood = pose()
    read = Pose(PARTS, positions, likelihood)
    np.testing.assert_array_equal(
        egocentric(read, centre="belly", ahead="nose"), egocentric(read, "belly", "nose")
    )
    with pytest.raises(
        TypeError, match="centre: this is the earlier name of centered_reference_keypoint, and both"
    ):
        egocentric(
            read,
            centre="belly",
            centered_reference_keypoint="belly",
            orientation_reference_keypoint="nose",
        )


def test_files_become_training_data_and_the_config_knows_the_features(tmp_path):
    positions, likelihood = pose()
    likelihood[2, 3:9] = 0.1
    file, config = write(tmp_path / "a.csv", positions, likelihood), tmp_path / "config.yaml"
    write_config(
        config, replace(SMALL, project_path=str(tmp_path), missing_values=True, test_fraction=0.3)
    )
    config.write_text(
        "# mine\n" + config.read_text().replace("num_features: 3", "num_features: 12  # set later")
    )
    assert vame.create_training(
        config,
        {"a": file},
        centered_reference_keypoint="belly",
        orientation_reference_keypoint="nose",
    ) == (63, 27)
    assert read_config(config).num_features == 3 and "# mine\n" in config.read_text()
    assert "num_features: 3  # set later\n" in config.read_text()
    made = [np.load(tmp_path / "data" / "train" / f"{name}_seq.npy") for name in ("train", "test")]
    assert sum(np.isnan(part[1]).sum() for part in made) == 6
    assert (
        vame.create_training(config, {"a": str(file)}) == (63, 27)
        and read_config(config).num_features == 6
    )
    config.write_text(
        "time_window: 5\nprediction_steps: 2\nmissing_values: true\ntest_fraction: 0.3"
    )
    vame.create_training(config, {"a": file})
    assert read_config(config).num_features == 6


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda text: "", "expected the rows scorer, bodyparts and coords"),
        (
            lambda text: "frame,x\n1,2\n3,4\n5,6\n7,8\n9,9\n",
            "expected the rows scorer, bodyparts and coords",
        ),
        (lambda text: text.replace("coords,x,", "coords,z,"), "no column x of nose"),
        (
            lambda text: text.replace("bodyparts,", "bodyparts,nose,"),
            "do not have the same number of cells",
        ),
        (lambda text: text + "90,1,2\n", "line 94: expected 10 numbers"),
        (
            lambda text: text.replace("\n2,", "\n2,here,", 1),
            "line 6: expected 10 numbers .could not convert",
        ),
        (lambda text: "\n".join(text.splitlines()[:3]), "no frame in it"),
        (lambda text: text + "\udcff", "not a readable CSV file"),
    ],
)
def test_files_that_are_refused(tmp_path, change, message):
    path = write(tmp_path / "a.csv", *pose())
    path.write_bytes(change(path.read_text()).encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=message):
        read_deeplabcut(path)


def test_what_else_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.csv: no such file"):
        read_deeplabcut(tmp_path / "none.csv")
    positions, likelihood = pose()
    likelihood[0] = 0.0
    read = read_deeplabcut(write(tmp_path / "a.csv", positions, likelihood))
    for centre, ahead, message in (
        (
            "paw",
            "nose",
            "centered_reference_keypoint: expected one of nose, belly, tail, got 'paw'",
        ),
        (
            "belly",
            "belly",
            "orientation_reference_keypoint: expected another keypoint than "
            "centered_reference_keypoint",
        ),
        (
            "belly",
            "nose",
            "orientation_reference_keypoint: nose is missing in every frame. Use a lower "
            "pose_confidence",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            egocentric(read, centre, ahead)
    with pytest.raises(
        ValueError, match="longest_gap: expected a number of frames of at least 0, got -1"
    ):
        egocentric(read, "belly", "tail", longest_gap=-1)
    with pytest.raises(
        ValueError,
        match="orientation_reference_keypoint: expected the names of two keypoints, or neither",
    ):
        vame.read_sessions({"a": positions}, centered_reference_keypoint="nose")
