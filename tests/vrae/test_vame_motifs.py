"""Motifs: found where they are, kept, applied, matched, counted."""

import itertools

import numpy as np
import pytest

from vrae.vame import motifs
from vrae.vame.segmenters import load_segmenter

CENTRES = np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])


def codes(counts, seed=0):
    """Codes around the centres, so many of each, and which they are of."""
    truth = np.repeat(np.arange(3), counts)
    rng = np.random.default_rng(seed)
    rng.shuffle(truth)
    return CENTRES[truth] + 0.3 * rng.standard_normal((len(truth), 2)), truth


@pytest.mark.parametrize("algorithm", ("kmeans", "hmm"))
def test_motifs_are_found_numbered_by_frequency_kept_and_applied_to_new_sessions(tmp_path, algorithm):
    (a, truth), (b, more) = codes((10, 60, 30)), codes((5, 8, 20), seed=1)
    segmenter, labels = motifs.segment({"a": a, "b": b}, 3, algorithm=algorithm)
    numbers = np.array([2, 0, 1])
    assert np.array_equal(labels["a"], numbers[truth]) and np.array_equal(labels["b"], numbers[more])
    segmenter.save(tmp_path / "segmenter.npz")
    new, which = codes((7, 7, 7), seed=2)
    np.testing.assert_array_equal(load_segmenter(tmp_path / "segmenter.npz").apply(new), numbers[which])
    again, _ = motifs.segment({"a": a, "b": b}, 3, algorithm=algorithm)
    assert all(np.array_equal(x, y) for x, y in zip(segmenter, again, strict=True))


def test_a_hidden_markov_model_tells_motifs_by_their_spread_and_by_what_came_before():
    """Two motifs around one centre, one wide and one narrow, which last 40 windows: k-means cannot tell them apart."""
    rng, truth = np.random.default_rng(0), np.repeat(np.arange(20) % 2, 40)
    made = rng.standard_normal((800, 2)) * np.array([3.0, 0.3])[truth, None]
    _, labels = motifs.segment({"a": made[:400], "b": made[400:]}, 2, algorithm="hmm")
    found = np.concatenate([labels["a"], labels["b"]])
    assert max(np.mean(found == truth), np.mean(found != truth)) > 0.98


def test_phases_of_a_behaviour_are_one_community():
    """Behaviour 0 goes round the motifs 0, 1, 2, behaviour 1 round 3, 4; motif 5 never occurs."""
    rounds = [np.tile(cycle, 20) for cycle in ((0, 1, 2), (3, 3, 4), (0, 1, 2), (3, 4))]
    labels = np.concatenate(rounds)
    found = motifs.communities([labels, labels[::-1]], 6, 2)
    assert found.tolist() == [0, 0, 0, 1, 1, -1]
    assert motifs.communities(labels, 6, 5).tolist().count(-1) == 1  # every motif its own
    assert motifs.communities(np.array([0, 0, 0, 1, 1]), 2, 1).tolist() == [0, 0]


def test_usage_and_transitions_count_motifs_that_never_occur_and_stay_within_sessions():
    first, second = np.array([0, 0, 1, 3, 0, 1]), np.array([3, 3])
    assert motifs.usage(first, 5).tolist() == [3, 2, 0, 1, 0]
    found = motifs.transitions([first, second], 5)
    expected = np.zeros((5, 5))
    expected[0, 1], expected[1, 3], expected[3, 0] = 1.0, 1.0, 1.0  # none from the first session's end to the second
    np.testing.assert_array_equal(found, expected)
    random = np.random.default_rng(0).integers(0, 4, 300)
    rows = motifs.transitions(random, 4)
    np.testing.assert_allclose(rows.sum(axis=1), 1.0)
    assert (np.diag(rows) == 0).all()
    moves = [(i, j) for i, j in itertools.pairwise(random) if i != j]
    assert rows[1, 2] == pytest.approx(moves.count((1, 2)) / sum(i == 1 for i, _ in moves))


def test_labels_of_two_runs_are_matched():
    reference = np.array([0, 0, 1, 1, 2, 2, 2])
    np.testing.assert_array_equal(motifs.match_labels(np.array([2, 2, 0, 0, 1, 1, 1]), reference), reference)
    matched = motifs.match_labels(np.array([3, 3, 0, 1, 2, 2, 2]), reference)
    assert matched[[0, 1, 4, 5, 6]].tolist() == [0, 0, 2, 2, 2] and len(set(matched)) == 4


def test_the_right_number_of_motifs_is_the_stable_one():
    scores = motifs.stability({"a": codes((80, 80, 80))[0]}, (2, 3, 6), runs=3)
    assert scores[3] > 0.99 and scores[3] > scores[6] + 0.1


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: motifs.segment({}, 3), "sessions: expected at least one"),
        (lambda: motifs.segment({"a": np.zeros((4, 2)), "b": np.zeros((4, 3))}, 2), r"b: expected codes \[n, 2\]"),
        (lambda: motifs.segment({"a": np.full((4, 2), np.nan)}, 2), "a: codes hold NaN"),
        (lambda: motifs.segment({"a": np.zeros((4, 2))}, 5), "n_motifs: expected 1 to the number of codes, 4"),
        (
            lambda: motifs.segment({"a": np.zeros((4, 2))}, 2, algorithm="ward"),
            "algorithm: expected one of kmeans, hmm",
        ),
        (
            lambda: motifs.segment({"a": codes((9, 9, 9))[0]}, 20, algorithm="hmm"),
            "of 20 states does not fit these codes",
        ),
        (lambda: motifs.communities(np.array([0, 1]), 3, 3), "n_communities: expected 1 to .* 2, got 3"),
        (lambda: motifs.usage(np.array([0, 4]), 4), "labels: expected integers from 0 to 3"),
        (lambda: motifs.transitions(np.array([0.5]), 4), "labels: expected integers"),
        (lambda: motifs.match_labels(np.zeros(3, int), np.zeros(4, int)), "labels: expected the reference's shape"),
        (lambda: motifs.stability({"a": np.zeros((4, 2))}, (2,), runs=1), "runs: expected at least 2"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_segmenter_files_that_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such segmenter"):
        load_segmenter(tmp_path / "none.npz")
    (tmp_path / "cut.npz").write_bytes(b"PK cut")
    with pytest.raises(ValueError, match="not a readable segmenter"):
        load_segmenter(tmp_path / "cut.npz")
    hmm = dict(start=np.ones(2), transitions=np.ones((2, 2)), means=np.ones((2, 3)), covariances=np.ones((2, 3, 3)))
    for wrong in (
        {"centres": np.full((2, 2), np.nan)}, {"centres": np.ones(3)}, {"centres": np.zeros((0, 3))}, {"other": np.ones(3)},
        hmm | {"start": np.ones(3)}, hmm | {"means": np.ones((2, 4))}, hmm | {"covariances": np.full((2, 3, 3), np.inf)},
    ):  # fmt: skip
        np.savez(tmp_path / "wrong.npz", **wrong)
        with pytest.raises(ValueError, match="not a segmenter, or not of finite numbers"):
            load_segmenter(tmp_path / "wrong.npz")
