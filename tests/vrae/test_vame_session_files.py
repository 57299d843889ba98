"""The sessions that the command reads: simulated, features, tracking files of every kind."""

import numpy as np
import pytest

from tests.vrae.test_vame_readers import FRAMES, PARTS, WRITERS, csv, npz, tracked
from vrae.vame.command_config import VAMESettings
from vrae.vame.preprocessing import Preprocessing, preprocess
from vrae.vame.readers import read_pose
from vrae.vame.session_files import listed, of_command, read

ENDINGS = dict(zip(WRITERS, (".csv", ".h5", ".hdf5", ".nc", ".nc"), strict=True))


@pytest.mark.parametrize("kind", WRITERS)
def test_a_folder_of_tracking_files_of_any_kind(tmp_path, kind, capsys):
    for seed, name in enumerate("ab"):
        WRITERS[kind](tmp_path / f"{name}{ENDINGS[kind]}", *tracked(2, seed))
    (tmp_path / "notes.txt").write_text("not read")
    s = VAMESettings(dataset=str(tmp_path), individual="b", fps=50.0, skeleton="nose-tail")
    found = read(s)
    assert list(found.sessions) == ["a", "b"] and found.truth is None and found.have_gaps
    pose = found.sessions["b"].pose
    assert (pose.keypoints, pose.fps, pose.skeleton) == (PARTS, 50.0, (("nose", "tail"),))
    expected = preprocess(
        read_pose(tmp_path / f"b{ENDINGS[kind]}", individual="b"), Preprocessing()
    )
    np.testing.assert_array_equal(found.sessions["b"].values, expected.values)
    said = capsys.readouterr().out
    assert "positions are not aligned to the animal" in said and "of nose, left-ear, tail." in said


def test_the_flags_are_the_keys_of_preprocessing(tmp_path, capsys):
    csv(tmp_path / "a.csv", *tracked())
    keys = dict(
        pose_confidence=0.2,
        low_confidence="interpolate",
        centered_reference_keypoint="tail",
        orientation_reference_keypoint="nose",
        robust=False,
        savgol_length=3,
        savgol_order=1,
        scale_by_body_size=True,
    )
    s = VAMESettings(
        dataset=str(tmp_path),
        exclude="left-ear",
        extra_features="speed:nose, distance:nose-tail",
        **keys,
    )
    lists = {"exclude": ("left-ear",), "extra_features": ("speed:nose", "distance:nose-tail")}
    assert of_command(s) == Preprocessing(**keys, **lists)
    found = read(s).sessions["a"]
    assert found.features == ("nose y", "speed:nose", "distance:nose-tail")
    assert not capsys.readouterr().out
    assert listed(" a,b ,, c") == ("a", "b", "c") and listed("") == ()


def test_npz_with_keypoints_are_tracking_files_and_others_are_features_as_they_are(tmp_path):
    points, confidence = tracked()
    npz(tmp_path / "a.npz", points, confidence, motifs=np.arange(FRAMES))
    np.savez(tmp_path / "b.npz", positions=np.ones((3, 9)), motifs=np.arange(9))
    np.savez(tmp_path / "c.npz", positions=np.ones((4, 9)), motifs=np.arange(9))
    found = read(VAMESettings(dataset=str(tmp_path)))
    assert found.sessions["a"].features[2] == "left-ear x"
    assert found.sessions["b"].pose is None and found.sessions["b"].values.shape == (3, 9)
    assert found.sessions["c"].pose.keypoints == ("keypoint 0", "keypoint 1")
    np.testing.assert_array_equal(found.sessions["c"].values, np.ones((4, 9)))
    assert list(found.truth) == ["a", "b", "c"]


def test_true_motifs_and_rows_that_do_not_fit_are_named(tmp_path, capsys):
    positions = np.random.default_rng(0).normal(size=(4, 30))
    motifs = np.zeros(30, int)
    np.savez(tmp_path / "a.npz", positions=positions, motifs=motifs)
    np.savez(tmp_path / "b.npz", positions=positions)
    assert read(VAMESettings(dataset=str(tmp_path))).truth is None
    assert "motifs: 1 of 2 files have true motifs" in (said := capsys.readouterr().out)
    assert "Missing in: b." in said
    np.savez(tmp_path / "b.npz", positions=positions, motifs=motifs[1:])
    with pytest.raises(ValueError, match=r"b\.npz: motifs: expected \[30\] whole numbers.*\[29\]"):
        read(VAMESettings(dataset=str(tmp_path)))
    np.savez(tmp_path / "c.npz", positions=positions, light=np.ones(30), late=np.ones(29))
    assert set(read_pose(tmp_path / "c.npz").extra) == {"light"}
    assert "c.npz: ignored: late. Expected one number per frame (30)." in capsys.readouterr().out


def test_simulated_sessions_have_gaps_or_lines_over_them():
    s = VAMESettings(sessions=1, frames=300, missing=0.3, longest_missing=40, seed=3)
    left = read(s)
    values = left.sessions["session_0"].values
    assert np.isnan(values).mean() > 0.1 and left.truth["session_0"].shape == (300,)
    assert not left.have_gaps  # --missing_values says what they mean
    lines = VAMESettings(
        sessions=1,
        frames=300,
        missing=0.3,
        longest_missing=40,
        seed=3,
        low_confidence="interpolate",
        longest_gap=300,
    )
    filled = read(lines).sessions["session_0"].values
    assert not np.isnan(filled).any()
    np.testing.assert_array_equal(filled[~np.isnan(values)], values[~np.isnan(values)])


def test_folders_that_are_refused(tmp_path):
    with pytest.raises(ValueError, match="--dataset: expected `simulated`, or a folder with Deep"):
        read(VAMESettings(dataset=str(tmp_path)))
    csv(tmp_path / "a.csv", *tracked())
    WRITERS["DeepLabCut h5"](tmp_path / "a.h5", *tracked())
    with pytest.raises(
        ValueError, match=r"--dataset: expected one file a session .* several of a\."
    ):
        read(VAMESettings(dataset=str(tmp_path)))
