"""Bouts, measures, groups and tables of motifs against loops and known answers; movies and page of
a small project."""

import csv
import itertools
import json

import imageio.v2 as imageio
import numpy as np
import pytest

from seqvae.report import write_page
from vrae.vame import Config, Pose, Preprocessing, preprocess
from vrae.vame.cards import report
from vrae.vame.cards.bouts import (
    Bout,
    all_bouts,
    edges_of,
    examples,
    followed,
    of_frames,
    seen_from_the_onset,
)
from vrae.vame.cards.exports import write_bouts, write_comparisons, write_frames, write_sessions
from vrae.vame.cards.groups import Comparison, compare_groups, of_sessions, read_groups
from vrae.vame.cards.measures import (
    community_tree,
    fps_of,
    mean_poses,
    measure,
    moves_of,
    poses_of_features,
)
from vrae.vame.motif_scores import of_windows
from vrae.vame.sessions import Session

pytestmark = pytest.mark.eager

PARTS = ("nose", "belly", "tail")
KEYS = dict(centered_reference_keypoint="belly", orientation_reference_keypoint="nose")
LABELS = {
    "a": np.repeat([-1, 0, 1, 0, 2, -1, 0], [3, 20, 10, 30, 15, 4, 18]),
    "b": np.repeat([2, 0, 1], [40, 20, 40]),
}


def walking(frames=100, seed=0, fps=25.0):
    """An animal that walks 2 pixels a frame straight on, and from frame 50 turns 3 degrees a
    frame."""
    rng = np.random.default_rng(seed)
    heading = np.radians(3.0) * np.maximum(0, np.arange(frames) - 50)
    ahead = np.stack([np.cos(heading), np.sin(heading)])
    belly = np.cumsum(2 * ahead, axis=1) + 100
    side = np.stack([-ahead[1], ahead[0]])
    sway = 3 * np.sin(np.arange(frames) / 3) + 0.1 * rng.standard_normal(frames)
    points = np.stack([belly + 10 * ahead, belly, belly - 12 * ahead + sway * side])
    pose = Pose(PARTS, points.reshape(6, -1), np.ones((3, frames)), fps)
    return preprocess(pose, Preprocessing(**KEYS, savgol_filter=False, robust=False))


SESSIONS = {"a": walking(), "b": walking(seed=1)}
FOUND = all_bouts(LABELS)


# --- bouts ---


def test_a_frame_has_the_motif_of_the_window_around_it():
    motifs = np.arange(30)
    for window in (1, 4, 7):
        frames = of_frames(of_windows(motifs, window), 30, window)
        known = frames >= 0
        np.testing.assert_array_equal(frames[known], motifs[known])
        assert known.sum() == 31 - window
    with pytest.raises(ValueError, match="labels: expected one of each of the 27 windows of 4"):
        of_frames(motifs, 30, 4)


def test_bouts_are_stretches_of_one_motif():
    assert FOUND[:3] == [Bout("a", 0, 3, 23), Bout("a", 1, 23, 33), Bout("a", 0, 33, 63)]
    assert len(FOUND) == 8 and [bout.motif for bout in FOUND if bout.session == "b"] == [2, 0, 1]
    pairs = [(one.motif, other.motif) for one, other in followed(FOUND)]
    assert pairs == [(0, 1), (1, 0), (0, 2), (2, 0), (0, 1)]  # not over gaps and sessions


def test_examples_are_of_the_longer_half_and_the_same_every_time():
    shown = examples(FOUND, 0, 9)
    assert shown == [Bout("a", 0, 3, 23), Bout("a", 0, 33, 63), Bout("b", 0, 40, 60)]
    assert examples(FOUND, 0, 2) == examples(FOUND, 0, 2) and len(examples(FOUND, 0, 2)) == 2
    assert examples(FOUND, 7, 9) == []


def test_lines_are_the_skeletons_or_the_shortest_that_join_all_keypoints():
    pose = SESSIONS["a"].pose
    assert edges_of(pose) == [(0, 1), (1, 2)]
    assert edges_of(pose._replace(skeleton=(("tail", "nose"),))) == [(2, 0)]


def test_from_the_onset_the_animal_walks_on():
    session = SESSIONS["a"]
    bout = Bout("a", 0, 60, 80)
    seen = seen_from_the_onset(session, bout, ("belly", "nose"), 55, 80)
    assert seen.shape == (25, 3, 2)
    np.testing.assert_allclose(seen[5, 1], 0, atol=1e-9)
    np.testing.assert_allclose(seen[5, 0], [0, -10], atol=1e-9)
    steps = np.linalg.norm(np.diff(seen[:, 1], axis=0), axis=1)
    np.testing.assert_allclose(steps, 2, atol=1e-9)  # distances are those of the video
    np.testing.assert_allclose(
        np.linalg.norm(seen[:, 0] - seen[:, 2], axis=1),
        np.linalg.norm(session.placed.points[0] - session.placed.points[2], axis=0)[55:80],
    )
    body = seen_from_the_onset(session, bout, None, 55, 80)
    np.testing.assert_allclose(body[:, 1], 0, atol=1e-9)
    lost = session.placed.points.copy()
    lost[0, :, 60] = np.nan
    unseen = session._replace(placed=session.placed.moved(lost))
    np.testing.assert_array_equal(
        seen_from_the_onset(unseen, bout, ("belly", "nose"), 55, 80), body
    )


# --- measures ---


def measured():
    rng = np.random.default_rng(0)
    windows = {name: labels[2:-3] for name, labels in LABELS.items()}
    centres = np.array([[0.0, 0, 0], [5, 0, 0], [0, 20, 0], [0, 0, 0]])
    codes = {n: centres[w] + rng.standard_normal((len(w), 3)) for n, w in windows.items()}
    return measure(SESSIONS, LABELS, FOUND, codes, windows, ("belly", "nose")), codes, windows


def test_measures_of_motifs():
    (zero, one, two), _, _ = measured()
    joined = np.concatenate(list(LABELS.values()))
    assert zero.share == pytest.approx((joined == 0).sum() / (joined >= 0).sum())
    assert (zero.bouts, zero.duration) == (4, 20 / 25)
    assert zero.rate == pytest.approx(4 / (200 / 25 / 60))
    assert one.speed == pytest.approx(2 * 25, rel=0.02)
    turned = {
        m: np.mean([3.0 * (t > 50) for s in "ab" for t in np.flatnonzero(LABELS[s] == m)])
        for m in range(3)
    }
    for found in (zero, one, two):
        assert found.turning == pytest.approx(25 * turned[found.motif], abs=2.5)
    assert zero.nearest[0][0] == 1 and zero.nearest[1][0] == 2
    assert zero.nearest[0][1] == pytest.approx(5 / np.sqrt(3), rel=0.1)
    assert zero.after == [(1, 2 / 3), (2, 1 / 3)] and one.after == [(0, 1.0)]
    assert zero.before == [(1, 0.5), (2, 0.5)]


def test_features_that_set_a_motif_apart_by_a_loop():
    labels = {"a": np.repeat([0, 1], 50)}
    rows = np.random.default_rng(0).standard_normal((4, 100))
    rows[2, 50:] += 3
    rows[3] = np.nan
    session = Session(("w", "x", "y", "z"), rows)
    (_, one) = measure(
        {"a": session}, labels, all_bouts(labels), {"a": rows.T[:, :2]}, labels, None
    )
    assert one.features[0][0] == "y" and len(one.features) == 3
    for name, difference in one.features:
        row = rows["wxyz".index(name)]
        assert difference == pytest.approx((row[50:].mean() - row[:50].mean()) / row.std())
    assert one.speed is None and one.duration == 50 and one.rate == pytest.approx(10.0)


def test_frames_a_second_of_all_sessions():
    assert fps_of(SESSIONS) == 25.0
    assert fps_of({"a": walking(fps=25.0), "b": walking(fps=30.0)}) is None
    assert fps_of({"a": walking(), "b": Session((), np.zeros((1, 5)))}) is None


def test_the_mean_course_of_a_motif_by_a_loop():
    found = mean_poses(SESSIONS, FOUND, 1, count=3)
    own = [bout for bout in FOUND if bout.motif == 1]  # of 10 and 40 frames: 25 in the median
    assert found.shape == (3, 3, 2)
    for pose, step in zip(found, (0, 12, 24), strict=True):
        shown = [b for b in own if b.frames > step]
        points = [SESSIONS[b.session].pose.points[..., b.start + step] for b in shown]
        np.testing.assert_allclose(pose, np.mean(points, axis=0))


def test_decoded_features_become_poses():
    session = SESSIONS["a"]
    values = session.values[:, 10:14].T
    found = poses_of_features(values, session.features, session.pose)
    np.testing.assert_allclose(found, session.pose.points[..., 10:14].transpose(2, 0, 1), atol=1e-9)
    some = poses_of_features(values[:, :1], ("nose y",), session.pose)
    assert np.isnan(some[:, 2]).all() and not np.isnan(some[:, :2]).any()


def test_motifs_that_follow_each_other_are_merged_first():
    moves = moves_of(FOUND, [0, 1, 2])
    np.testing.assert_array_equal(moves, [[0, 2, 1], [1, 0, 0], [1, 0, 0]])
    shares = moves / moves.sum(axis=1, keepdims=True)
    merges = community_tree(shares)
    assert merges[0, :2].tolist() == [0, 1] and merges[0, 2] == pytest.approx(1 - (2 / 3 + 1) / 2)
    between = np.mean([1 - (1 / 3 + 1) / 2, 1.0])
    assert merges[1, 2] == pytest.approx(between)


# --- groups and tables ---


def test_measures_of_sessions_by_a_loop():
    rows = of_sessions(LABELS, FOUND, [0, 1, 2], 25.0)
    assert [(row.session, row.motif) for row in rows] == list(itertools.product("ab", range(3)))
    assert rows[0].share == pytest.approx(68 / 93) and rows[0].median_duration == 20 / 25
    assert rows[0].bouts_a_minute == pytest.approx(3 / (100 / 25 / 60))
    assert np.isnan(of_sessions(LABELS, FOUND, [5], None)[0].median_duration)


def many(groups=("x",) * 5 + ("y",) * 5, seed=0):
    """Ten sessions; those of group y have more of motif 1."""
    rng = np.random.default_rng(seed)
    labels = {}
    for i, group in enumerate(groups):
        more = 20 if group == "y" else 0
        runs = [v for m in (0, 1, 2) * 4 for v in [m] * int(rng.integers(5, 9) + more * (m == 1))]
        labels[f"s{i}"] = np.array(runs)
    return labels, dict(zip(labels, groups, strict=True))


def test_groups_are_compared_by_all_partitions():
    """The p-value is the share of the 252 partitions whose means are at least as far apart."""
    labels, groups = many()
    found = all_bouts(labels)
    rows = of_sessions(labels, found, [0, 1, 2], None)
    compared = {(c.measure, c.motif): c for c in compare_groups(rows, found, groups)}
    for motif in range(3):
        values = np.array([row.share for row in rows if row.motif == motif])
        apart = [
            abs(values[list(x)].mean() - np.delete(values, list(x)).mean())
            for x in itertools.combinations(range(10), 5)
        ]
        expected = np.mean(np.array(apart) >= apart[0] - 1e-12)
        one = compared["share", str(motif)]
        assert one.p == pytest.approx(expected)
        assert one.means == pytest.approx({"x": values[:5].mean(), "y": values[5:].mean()})
    p = np.array([compared["share", str(m)].p for m in range(3)])
    order = np.argsort(p)
    adjusted = np.minimum.accumulate((p[order] * 3 / np.arange(1, 4))[::-1])[::-1]
    found = np.array([compared["share", str(m)].corrected for m in range(3)])
    np.testing.assert_allclose(found[order], adjusted)
    assert compared["median_duration", "1"].p == pytest.approx(2 / 252)
    assert np.isnan(compared["transition", "0 to 1"].p)  # it is 1 in all sessions


def test_three_groups_and_motifs_that_a_session_does_not_have():
    labels, groups = many(("x", "x", "x", "y", "y", "y", "z", "z", "z"))
    labels["s0"] = np.where(labels["s0"] == 2, 0, labels["s0"])
    found = all_bouts(labels)
    rows = of_sessions(labels, found, [0, 1, 2], None)
    compared = {
        (c.measure, c.motif): c for c in compare_groups(rows, found, groups, permutations=199)
    }
    assert list(compared["share", "1"].means) == ["x", "y", "z"]
    assert compared["share", "1"].p < 0.1 and compared["share", "2"].means["x"] > 0
    assert compared["median_duration", "2"].means["x"] > 4  # of the two that have it


def test_files_of_groups(tmp_path):
    path = tmp_path / "groups.csv"
    path.write_text("\ufeffsession,group,note\na,control,1\nb, treated ,2\n", encoding="utf-8")
    assert read_groups(path, ["a", "b"]) == {"a": "control", "b": "treated"}
    for text, message in (
        ("", "expected the columns session and group in .*, got no row"),
        ("name,group\na,x\n", "expected the columns session and group in .*, got name, group"),
        ("session,group\na,x\nc,y\n", "not a session: c; without a group: b"),
        ("session,group\na,x\nb,\n", "not a session: none; without a group: b"),
        ("session,group\na,x\nb,x\n", "expected at least two groups in .*, got one"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=f"--session_groups: .*{message}"):
            read_groups(path, ["a", "b"])
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"--session_groups: .* is not a readable CSV"):
        read_groups(path, ["a", "b"])
    with pytest.raises(FileNotFoundError, match=r"--session_groups: no file .*none\.csv"):
        read_groups(tmp_path / "none.csv", ["a"])


def table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_tables_are_read_back(tmp_path):
    write_frames(tmp_path / "frames", {"motif": LABELS, "behaviour": LABELS}, 25.0)
    rows = table(tmp_path / "frames" / "a.csv")
    assert len(rows) == 100 and rows[0]["motif"] == "" and rows[5]["seconds"] == "0.2"
    assert [int(row["behaviour"] or -1) for row in rows] == LABELS["a"].tolist()
    write_bouts(tmp_path / "bouts.csv", FOUND, None)
    rows = table(tmp_path / "bouts.csv")
    assert rows[1] == {
        "session": "a",
        "motif": "1",
        "start": "23",
        "stop": "33",
        "frames": "10",
        "start_seconds": "",
        "seconds": "",
    }
    measures = of_sessions(LABELS, FOUND, [0, 5], 25.0)
    write_sessions(tmp_path / "sessions.csv", measures, {"a": "x", "b": "y"})
    rows = table(tmp_path / "sessions.csv")
    assert [row["group"] for row in rows] == ["x", "x", "y", "y"]
    assert rows[1]["median_duration"] == "" and float(rows[0]["share"]) == measures[0].share
    one = Comparison("share", "1", {"x": 0.5, "y": float("nan")}, 0.01, 0.03)
    write_comparisons(tmp_path / "c.csv", [one])
    assert table(tmp_path / "c.csv") == [
        {
            "measure": "share",
            "motif": "1",
            "mean of x": "0.5",
            "mean of y": "",
            "p": "0.01",
            "corrected_p": "0.03",
        }
    ]
    write_comparisons(tmp_path / "c.csv", [])
    assert table(tmp_path / "c.csv") == []


# --- movies and page ---


@pytest.mark.slow
def test_movies_of_every_motif(tmp_path):
    config, said = Config(**KEYS, length_of_motif_video=12), []
    sessions = SESSIONS | {"array": Session((), np.zeros((2, 100)))}
    found = [*FOUND, Bout("array", 5, 0, 50)]
    written = report.write_motif_movies(tmp_path, sessions, found, config, said.append)
    assert [path.name for path in written] == ["motif_0.mp4", "motif_1.mp4", "motif_2.mp4"]
    assert said[0] == "movie of motif 0 of 3" and not list(tmp_path.glob(".*"))
    with imageio.get_reader(tmp_path / "motif_1.mp4") as reader:
        assert reader.get_meta_data()["fps"] == 25
    frames = np.stack(imageio.mimread(tmp_path / "motif_1.mp4", memtest=False))
    assert frames.shape[0] == 28 and frames.shape[1:3] == (190, 190)  # 8 before, 12, 8 after
    blue = [int(frame[95, 2, 2]) - int(frame[95, 2, 0]) > 100 for frame in frames]
    assert blue == [False] * 8 + [True] * 20  # the bout lasts 40 frames
    assert (tmp_path / "motif_1.gif").read_bytes()[:3] == b"GIF"
    with pytest.raises(ValueError, match="motif: expected one that has a bout, got 7"):
        report.motif_movie(SESSIONS, FOUND, 7)


@pytest.mark.parametrize("groups", (None, {"a": "x", "b": "y"}))
def test_the_page_has_a_card_of_every_motif(tmp_path, groups):
    pytest.importorskip("jinja2")
    measures, codes, windows = measured()
    about = report.Motifs(SESSIONS, codes, windows, LABELS, FOUND, measures, groups)
    config = Config(**KEYS, project_name="<mice>")
    window = SESSIONS["a"].values[:, :8].T
    sections = report.sections_of(about, config, decode=lambda z: window[None].repeat(len(z), 0))
    write_page(tmp_path / "report.html", f"{config.project_name}: motifs", sections)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "&lt;mice&gt;: motifs" in text
    for number in range(3):
        assert f"<h2>Motif {number}</h2>" in text
    assert ("<h2>Groups of sessions</h2>" in text) == (groups is not None)
    assert text.count("data:image/png") == 4 + 3 and "<video" not in text


@pytest.mark.slow
def test_arrays_have_cards_without_poses(tmp_path):
    pytest.importorskip("jinja2")
    rows = np.random.default_rng(0).standard_normal((3, 100))
    sessions = {name: Session((), rows) for name in "ab"}
    windows = {name: labels[2:-3] for name, labels in LABELS.items()}
    codes = {name: rows.T[: len(of), :1] for name, of in windows.items()}
    measures = measure(sessions, LABELS, FOUND, codes, windows, None)
    about = report.Motifs(sessions, codes, windows, LABELS, FOUND, measures, lines=LINES)
    write_page(tmp_path / "report.html", "Motifs", report.sections_of(about, Config()))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "feature 2" in text and "bouts in 1000 frames" in text and "<h2>Training</h2>" in text


LINES = [json.loads('{"epoch": 0, "train_mse": 2.0, "test_mse": 3.0, "train_kl": 0.5}')] * 2
