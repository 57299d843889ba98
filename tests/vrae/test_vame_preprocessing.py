"""Preprocessing and features against loops over frames; sessions in files."""

from dataclasses import replace

import numpy as np
import pytest

from tests.vrae.test_vame_keypoints import PARTS, pose, write
from tests.vrae.test_vame_training import SMALL
from vrae import vame
from vrae.vame.config import read_config, write_config
from vrae.vame.features import extra_feature
from vrae.vame.keypoints import Pose, egocentric
from vrae.vame.preprocessing import Preprocessing, preprocess
from vrae.vame.sessions import load_session, save_session

NOTHING = Preprocessing(pose_confidence=0.0, robust=False, savgol_filter=False)
ALIGNED = dict(centered_reference_keypoint="belly", orientation_reference_keypoint="nose")


def tracked(frames=90, **options):
    positions, likelihood = pose(frames)
    return Pose(PARTS, positions, likelihood, **options)


def test_without_steps_positions_are_as_they_were_tracked():
    given = tracked(fps=25.0, skeleton=(("nose", "tail"),))
    made = preprocess(given, NOTHING)
    np.testing.assert_array_equal(made.values, given.positions)
    assert made.features == ("nose x", "nose y", "belly x", "belly y", "tail x", "tail y")
    assert (made.pose.fps, made.pose.skeleton) == (25.0, (("nose", "tail"),))
    assert list(made.steps) == ["tracked", "confident"]


def test_low_confidence_is_missing_or_a_line_over_short_gaps():
    given = tracked()
    given.confidence[2, 4:6], given.confidence[2, 20:40] = 0.5, np.nan
    left = preprocess(given, replace(NOTHING, pose_confidence=0.9)).values
    expected = given.positions.copy()
    expected[4:, 4:6], expected[4:, 20:40] = np.nan, np.nan
    np.testing.assert_array_equal(left, expected)
    filled = preprocess(
        given, replace(NOTHING, pose_confidence=0.9, low_confidence="interpolate", longest_gap=2)
    ).values
    for t in (4, 5):
        share = (t - 3) / 3
        line = (1 - share) * given.positions[4:, 3] + share * given.positions[4:, 6]
        np.testing.assert_allclose(filled[4:, t], line)
    assert np.isnan(filled[4:, 20:40]).all() and np.isnan(filled).sum() == 40


def test_alignment_is_that_of_egocentric_and_the_rows_are_named():
    given = tracked()
    made = preprocess(given, replace(NOTHING, **ALIGNED))
    assert made.features == ("nose y", "tail x", "tail y")
    np.testing.assert_array_equal(made.values, egocentric(given, "belly", "nose"))
    np.testing.assert_allclose(made.pose.points[1], 0, atol=1e-9)
    np.testing.assert_array_equal(made.placed.positions, given.positions)
    left_out = preprocess(given, replace(NOTHING, **ALIGNED, exclude=("tail",)))
    assert left_out.features == ("nose y",) and left_out.pose.keypoints == PARTS
    already = preprocess(given, replace(NOTHING, **ALIGNED, egocentric_data=True))
    np.testing.assert_array_equal(already.values, given.positions)


def test_outliers_of_aligned_positions_by_a_loop():
    given = tracked(200)
    given.positions[4:, 50] += 5000
    aligned = preprocess(given, replace(NOTHING, **ALIGNED)).pose.points
    made = preprocess(given, replace(NOTHING, **ALIGNED, robust=True, iqr_factor=2.0))
    for k, keypoint in enumerate(aligned):
        out = np.zeros(200, bool)
        for row in keypoint:
            low, high = np.percentile(row, [25, 75])
            out |= np.abs(row - row.mean()) > 2.0 * (high - low)
        np.testing.assert_array_equal(np.isnan(made.pose.points[k]).any(axis=0), out)
    assert np.isnan(made.pose.points[2, :, 50]).all()
    elsewhere = preprocess(given, replace(NOTHING, robust=True, iqr_factor=2.0))
    assert not np.isnan(elsewhere.values).any()  # an animal that walks away is no outlier


def test_smoothing_fits_a_polynomial_to_each_stretch_without_gaps():
    given = tracked(40)
    given.positions[0, 10] = np.nan
    given.positions[0, 14] = np.nan  # 11 to 13 is shorter than the filter
    made = preprocess(given, replace(NOTHING, savgol_filter=True, savgol_length=7, savgol_order=2))
    for t in (3, 25, 36):
        around = np.arange(t - 3, t + 4)
        for row in (0, 3) if t > 14 else (3,):
            fit = np.polyfit(around - t, given.positions[row, around], 2)
            np.testing.assert_allclose(made.values[row, t], fit[-1])
    np.testing.assert_array_equal(made.values[0, 10:15], given.positions[0, 10:15])
    fit = np.polyfit(np.arange(7), given.positions[0, 3:10], 2)  # the end of a stretch
    np.testing.assert_allclose(made.values[0, 9], np.polyval(fit, 6))


def test_scaling_by_the_body_makes_two_sizes_alike():
    given = tracked()
    settings = replace(NOTHING, **ALIGNED, scale_by_body_size=True)
    made = preprocess(given, settings)
    size = np.median(
        [np.linalg.norm(given.points[0, :, t] - given.points[1, :, t]) for t in range(90)]
    )
    np.testing.assert_allclose(made.values, egocentric(given, "belly", "nose") / size)
    larger = preprocess(given._replace(positions=3 * given.positions), settings)
    np.testing.assert_allclose(larger.values, made.values)


def test_the_steps_are_vames_by_default_and_kept_to_be_drawn():
    made = preprocess(tracked(), Preprocessing(**ALIGNED))
    assert list(made.steps) == ["tracked", "confident", "aligned", "without outliers", "smoothed"]
    assert all(step.shape == (3, 2, 90) for step in made.steps.values())


# --- features ---


def test_features_beside_positions_by_loops():
    given = tracked(30, extra={"heat": np.arange(30)})
    names = ("speed:tail", "distance:nose-tail", "angular_velocity", "heat")
    settings = replace(NOTHING, **ALIGNED, extra_features=names)
    made = preprocess(given, settings)
    assert made.features == ("nose y", "tail x", "tail y", *names)
    speed, distance, turning, heat = made.values[3:]
    nose, belly, tail = given.points
    for t in range(1, 29):
        assert speed[t] == pytest.approx(np.linalg.norm(tail[:, t + 1] - tail[:, t - 1]) / 2)
        assert distance[t] == pytest.approx(np.linalg.norm(nose[:, t] - tail[:, t]))
        before, after = (complex(*(nose[:, i] - belly[:, i])) for i in (t - 1, t + 1))
        assert turning[t] == pytest.approx(np.angle(after / before) / 2)
    assert turning[0] == turning[1] and turning[-1] == turning[-2]
    np.testing.assert_array_equal(heat, np.arange(30))


def test_a_steady_turn_has_its_speed_across_the_half_circle():
    time = np.arange(100)
    angle = 0.2 * time
    points = np.array([[0 * angle, 0 * angle], [np.cos(angle), np.sin(angle)]])
    given = Pose(("a", "b"), points.reshape(4, -1), np.ones((2, 100)))
    turning = extra_feature(
        "angular_velocity",
        given,
        {"centered_reference_keypoint": "a", "orientation_reference_keypoint": "b"},
    )
    np.testing.assert_allclose(turning, 0.2)
    short = given._replace(positions=given.positions[:, :1])
    for name in ("angular_velocity", "speed:b"):
        references = {"centered_reference_keypoint": "a", "orientation_reference_keypoint": "b"}
        assert extra_feature(name, short, references).tolist() == [0.0]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"exclude": ("paw",)}, "exclude: expected some of nose, belly, tail, got 'paw'"),
        (
            {"extra_features": ("speed:paw",)},
            "extra_features: expected speed:KEYPOINT, distance:KEYPOINT-KEYPOINT, "
            "angular_velocity, heat, with the keypoints nose, belly, tail, got 'speed:paw'",
        ),
        ({"extra_features": ("distance:nose",)}, "extra_features: expected .* 'distance:nose'"),
        (
            {"extra_features": ("angular_velocity",)},
            "centered_reference_keypoint: angular_velocity needs one of nose, belly, tail, got N",
        ),
        (
            ALIGNED | {"centered_reference_keypoint": "paw"},
            "centered_reference_keypoint: expected one of nose, belly, tail, got 'paw'",
        ),
    ],
)
def test_names_that_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        preprocess(tracked(extra={"heat": np.zeros(90)}), replace(NOTHING, **options))


def test_an_animal_without_a_size():
    given = tracked()
    given.positions[2:4] = given.positions[:2]  # two points in one place
    with pytest.raises(
        ValueError,
        match="scale_by_body_size: expected a distance of the reference keypoints above 0",
    ):
        preprocess(given, replace(NOTHING, **ALIGNED, scale_by_body_size=True))


# --- sessions ---


def test_sessions_go_into_files_and_back(tmp_path):
    settings = replace(NOTHING, **ALIGNED, extra_features=("speed:tail",))
    for fps in (None, 30.0):
        made = preprocess(tracked(fps=fps, skeleton=(("nose", "tail"),)), settings)
        save_session(tmp_path / "a.npz", made)
        again = load_session(tmp_path / "a.npz")
        assert (again.features, again.pose.skeleton) == (made.features, made.pose.skeleton)
        assert (again.pose.fps, again.placed.fps) == (fps, fps)
        for one, other in ((again.pose, made.pose), (again.placed, made.placed)):
            np.testing.assert_array_equal(one.positions, other.positions)
        np.testing.assert_array_equal(again.values, made.values)
    with pytest.raises(FileNotFoundError, match=r"none\.npz: no such session. Make it with"):
        load_session(tmp_path / "none.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:200])
    with pytest.raises(ValueError, match=r"cut\.npz: not a session, or damaged"):
        load_session(tmp_path / "cut.npz")
    with pytest.raises(ValueError, match="expected one of tracked keypoints, got one of an array"):
        save_session(tmp_path / "b.npz", vame.Session((), np.zeros((2, 9))))


def test_training_data_of_files_are_preprocessed_by_the_config(tmp_path):
    positions, likelihood = pose()
    likelihood[2, 3:9] = 0.1
    file, config = write(tmp_path / "a.csv", positions, likelihood), tmp_path / "config.yaml"
    keys = ALIGNED | {"extra_features": ("speed:nose",), "savgol_length": 7}
    write_config(
        config,
        replace(SMALL, project_path=str(tmp_path), missing_values=True, test_fraction=0.3, **keys),
    )
    vame.create_training(config, {"a": file})
    made = preprocess(vame.read_pose(file), Preprocessing(**keys))
    found = read_config(config)
    assert found.feature_names == made.features == ("nose y", "tail x", "tail y", "speed:nose")
    assert found.num_features == 4
    np.testing.assert_array_equal(
        load_session(tmp_path / "data" / "processed" / "a.npz").values, made.values
    )
    read = vame.read_sessions({"a": file}, **keys)["a"]
    np.testing.assert_array_equal(read, made.values)
    vame.create_training(config, {"a": file}, extra_features=(), savgol_filter=False)
    np.testing.assert_array_equal(
        load_session(tmp_path / "data" / "processed" / "a.npz").values,
        preprocess(vame.read_pose(file), Preprocessing(**ALIGNED, savgol_filter=False)).values,
    )


def test_sessions_with_other_features_are_named(tmp_path):
    config = {"time_window": 5, "prediction_steps": 2, "project_path": str(tmp_path)}
    made = {
        name: preprocess(tracked(), replace(NOTHING, exclude=(part,)))
        for name, part in (("a", "nose"), ("b", "tail"))
    }
    with pytest.raises(
        ValueError, match=r"a has the features belly x, .*; b has nose x, .*Read all"
    ):
        vame.create_training(config, made)
