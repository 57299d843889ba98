"""Motifs: found where they are, kept, applied, matched, counted."""

import itertools

import numpy as np
import pytest

from vrae.vame import motifs

CENTRES = np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])


def codes(counts, seed=0):
    """Codes around the centres, so many of each, and which they are of."""
    truth = np.repeat(np.arange(3), counts)
    rng = np.random.default_rng(seed)
    rng.shuffle(truth)
    return CENTRES[truth] + 0.3 * rng.standard_normal((len(truth), 2)), truth


def test_motifs_are_found_numbered_by_frequency_and_applied_to_new_sessions(tmp_path):
    (a, truth), (b, more) = codes((10, 60, 30)), codes((5, 8, 20), seed=1)
    segmenter, labels = motifs.segment({"a": a, "b": b}, 3)
    assert np.array_equal(labels["a"], np.array([2, 0, 1])[truth]) and np.array_equal(
        labels["b"], np.array([2, 0, 1])[more]
    )
    segmenter.save(tmp_path / "segmenter.npz")
    new, which = codes((7, 7, 7), seed=2)
    np.testing.assert_array_equal(
        motifs.Segmenter.load(tmp_path / "segmenter.npz").apply(new), np.array([2, 0, 1])[which]
    )
    again = motifs.segment({"a": a, "b": b}, 3)[0]
    np.testing.assert_array_equal(again.centres, segmenter.centres)


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
        motifs.Segmenter.load(tmp_path / "none.npz")
    (tmp_path / "cut.npz").write_bytes(b"PK cut")
    with pytest.raises(ValueError, match="not a readable segmenter"):
        motifs.Segmenter.load(tmp_path / "cut.npz")
    np.savez(tmp_path / "nan.npz", centres=np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match="expected finite centres"):
        motifs.Segmenter.load(tmp_path / "nan.npz")
