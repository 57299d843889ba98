"""Motifs: found where they are, kept, applied, matched, counted."""

import itertools

import numpy as np
import pytest
from hmmlearn.hmm import GaussianHMM

from vrae.vame import motifs
from vrae.vame.motif_scores import agreement, bout_f1
from vrae.vame.segmenters import FastGaussianHMM, HMMSegmenter, bouts, load_segmenter

CENTRES = np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])


def codes(counts, seed=0):
    """Codes around the centres, so many of each, and which they are of."""
    truth = np.repeat(np.arange(3), counts)
    rng = np.random.default_rng(seed)
    rng.shuffle(truth)
    return CENTRES[truth] + 0.3 * rng.standard_normal((len(truth), 2)), truth


@pytest.mark.parametrize("algorithm", ("kmeans", "hmm"))
def test_motifs_are_found_numbered_by_frequency_kept_and_applied_to_new_sessions(
    tmp_path, algorithm
):
    (a, truth), (b, more) = codes((10, 60, 30)), codes((5, 8, 20), seed=1)
    options = dict(algorithm=algorithm, hmm_min_duration=1)  # the codes are in no order
    segmenter, labels = motifs.segment({"a": a, "b": b}, 3, **options)
    numbers = np.array([2, 0, 1])
    assert np.array_equal(labels["a"], numbers[truth]) and np.array_equal(
        labels["b"], numbers[more]
    )
    segmenter.save(tmp_path / "segmenter.npz")
    new, which = codes((7, 7, 7), seed=2)
    np.testing.assert_array_equal(
        load_segmenter(tmp_path / "segmenter.npz").apply(new), numbers[which]
    )
    again, _ = motifs.segment({"a": a, "b": b}, 3, **options)
    assert all(np.array_equal(x, y) for x, y in zip(segmenter, again, strict=True))


def test_a_hidden_markov_model_tells_motifs_by_their_spread_and_by_what_came_before():
    """Two motifs around one centre, one wide and one narrow, which last 40 windows: k-means cannot
    tell them apart."""
    rng, truth = np.random.default_rng(0), np.repeat(np.arange(20) % 2, 40)
    made = rng.standard_normal((800, 2)) * np.array([3.0, 0.3])[truth, None]
    _, labels = motifs.segment({"a": made[:400], "b": made[400:]}, 2, algorithm="hmm")
    found = np.concatenate([labels["a"], labels["b"]])
    assert max(np.mean(found == truth), np.mean(found != truth)) > 0.98


def test_equal_codes_do_not_make_a_covariance_singular():
    """They did: "covars must be symmetric, positive-definite"."""
    made = np.random.default_rng(0).standard_normal((400, 5))
    made[200:260] = made[200]
    segmenter, labels = motifs.segment({"a": made}, 4, algorithm="hmm")
    assert len(set(labels["a"][200:260])) == 1 and set(labels["a"]) == {0, 1, 2, 3}
    assert np.linalg.eigvalsh(segmenter.covariances).min() > 0
    _, labels = motifs.segment({"a": np.ones((40, 2))}, 1, algorithm="hmm")
    assert set(labels["a"]) == {0}


@pytest.mark.parametrize("algorithm", ("kmeans", "hmm"))
def test_windows_of_which_too_little_was_observed_have_no_motif(algorithm):
    """What their codes are does not matter: to the fit, the labels and the numbering."""
    made, truth = codes((10, 60, 30))
    seen = np.ones(100, bool)
    seen[20:60] = seen[99] = False
    noise = np.where(seen[:, None], made, 1e6)
    options = dict(algorithm=algorithm, observed={"a": seen}, hmm_min_duration=1)
    (segmenter, labels), (_, same) = (
        motifs.segment({"a": c, "b": made}, 3, **options) for c in (noise, made)
    )
    assert (labels["a"][~seen] == -1).all() and (
        labels["b"] >= 0
    ).all()  # a session without the mask is all observed
    np.testing.assert_array_equal(labels["a"][seen], np.array([2, 0, 1])[truth[seen]])
    np.testing.assert_array_equal(labels["a"], same["a"])
    np.testing.assert_array_equal(segmenter.apply(noise, seen), labels["a"])


def test_nothing_is_carried_over_a_gap_by_a_hidden_markov_model():
    """A code in the middle of two motifs is of the motif before it, unless a gap lies between."""
    segmenter = HMMSegmenter(
        np.array([0.1, 0.9]),
        np.array([[0.99, 0.01], [0.01, 0.99]]),
        np.array([[-1.0], [1.0]]),
        np.ones((2, 1, 1)),
        np.array(2),
    )
    made = np.array([[-1.0], [-1.0], [-1.0], [0.0], [0.0]])
    assert segmenter.apply(made).tolist() == [0, 0, 0, 0, 0]
    assert segmenter.apply(made, np.array([1, 1, 0, 1, 1], bool)).tolist() == [0, 0, -1, 1, 1]
    assert segmenter.apply(made, np.zeros(5, bool)).tolist() == [-1] * 5


def changing(length=9, sessions=3, bouts=12):
    """Codes that rest at a centre for 25 to 40 windows, then move to another one in `length`
    windows; and the motifs, which change in the middle of each move."""
    rng, made = np.random.default_rng(0), {}
    for i in range(sessions):
        where, motifs_, motif = [], [], 0
        for _ in range(bouts):
            following = (motif + rng.integers(1, 3)) % 3
            rest, share = (
                int(rng.integers(25, 41)),
                np.arange(1, length + 1)[:, None] / (length + 1),
            )
            where += [
                np.repeat(CENTRES[[motif]], rest, axis=0),
                CENTRES[motif] * (1 - share) + CENTRES[following] * share,
            ]
            motifs_ += [motif] * (rest + length // 2) + [following] * (length - length // 2)
            motif = following
        where, motifs_ = np.concatenate(where)[:-length], motifs_[:-length]
        made[f"s{i}"] = where + 0.2 * rng.standard_normal(where.shape), np.array(motifs_)
    return {name: c for name, (c, _) in made.items()}, {name: t for name, (_, t) in made.items()}


def test_a_change_of_motif_is_no_motif():
    """One state holds the windows over a change; they are given to the motifs before and after."""
    made, truth = changing()
    segmenter, labels = motifs.segment(made, 3, algorithm="hmm", time_window=10)
    assert segmenter.n_motifs == 3 and len(segmenter.start) == 4
    figures = agreement(list(labels.values()), list(truth.values()))
    assert (
        figures["nmi"] > 0.9
        and figures["bouts"] == figures["true_bouts"]
        and figures["transition_error"] == 0
    )


@pytest.mark.parametrize("bout", (1, 30))
def test_states_without_such_a_change_are_all_motifs(bout):
    """Motifs that change at once; motifs of one window, where every state is short."""
    truth = np.repeat(np.arange(9) % 3, bout) if bout > 1 else codes((60, 60, 60))[1]
    made = CENTRES[truth] + 0.3 * np.random.default_rng(0).standard_normal((len(truth), 2))
    segmenter, labels = motifs.segment(
        {"a": made}, 3, algorithm="hmm", time_window=10, hmm_min_duration=min(bout, 3)
    )
    assert segmenter.n_motifs == len(segmenter.start) == 3
    assert agreement([labels["a"]], [truth])["nmi"] > 0.99


def test_windows_of_a_switch_state_are_shared_by_the_motifs_around_it(tmp_path):
    means = np.array([[0.0], [10.0], [5.0]])
    even = np.full((3, 3), 1 / 3)
    segmenter = HMMSegmenter(np.full(3, 1 / 3), even, means, np.ones((3, 1, 1)), np.array(2))
    course = np.array([2, 2, 0, 0, 2, 2, 2, 2, 1, 2, 0, 2, 2, 2, 0, 1, 2])
    expected = [0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1]
    assert segmenter.apply(means[course]).tolist() == expected
    assert segmenter.reordered(np.array([1, 0])).apply(means[course]).tolist() == [
        1 - label for label in expected
    ]
    assert segmenter.apply(np.full((4, 1), 5.0)).tolist() == [-1] * 4  # nothing but a change
    segmenter.save(tmp_path / "segmenter.npz")
    assert load_segmenter(tmp_path / "segmenter.npz").n_motifs == 2
    np.savez(
        tmp_path / "earlier.npz",
        **{k: v for k, v in segmenter._asdict().items() if k != "n_motifs"},
    )
    assert load_segmenter(tmp_path / "earlier.npz").n_motifs == 3


@pytest.mark.parametrize("least", (1, 3))
def test_a_swap_of_two_codes_on_each_window_is_no_change_of_motif(least):
    """Steps of a fast walk: motif 0 jumps between two points, motif 1 between two others."""
    truth = np.repeat(np.arange(10) % 2, np.random.default_rng(0).integers(20, 50, 10))
    jumps = np.where(np.arange(len(truth)) % 2, 3.0, -3.0)
    ends = np.array([[1.0, 0.1], [1.0, -0.1]])  # a jump is ten times larger than their difference
    noise = 0.1 * np.random.default_rng(2).standard_normal((len(truth), 2))
    made = jumps[:, None] * ends[truth] + noise
    _, labels = motifs.segment({"a": made}, 2, algorithm="hmm", hmm_min_duration=least)
    figures = agreement([labels["a"]], [truth])
    assert figures["bouts"] == 10 and figures["nmi"] > 0.95 and figures["ami"] > 0.95
    assert figures["bout_f1"] == 1.0 and figures["transition_error"] == 0.0


def bout_scores(segmenter, densities, labels):
    """The log-probability of a course of labels. All bouts but the first and the last, of which the
    session may hold a part, have `min_duration` windows or more; each of those more is a stay."""
    least = int(segmenter.min_duration)
    found = np.log(segmenter.start[labels[0]] / least)
    pieces = bouts(labels)
    for i, (state, windows) in enumerate(pieces):
        length = windows.stop - windows.start
        if 0 < i < len(pieces) - 1 and length < least:
            return -np.inf
        found += max(0, length - least) * np.log(segmenter.transitions[state, state])
        if i + 1 < len(pieces):
            found += np.log(segmenter.transitions[state, pieces[i + 1][0]])
    return found + densities[np.arange(len(labels)), labels].sum()


@pytest.mark.parametrize("least", (1, 2, 3))
def test_labels_are_the_best_course_of_bouts_of_a_least_duration(least):
    """Of all 2^9 courses, scored bout by bout."""
    segmenter = HMMSegmenter(
        np.array([0.3, 0.7]),
        np.array([[0.6, 0.4], [0.3, 0.7]]),
        np.array([[-1.0], [1.0]]),
        np.ones((2, 1, 1)),
        np.array(2),
        np.array(least),
    )
    for seed in range(5):
        made = 1.5 * np.random.default_rng(seed).standard_normal((9, 1))
        densities = -0.5 * (made - segmenter.means.T) ** 2
        best = max(
            itertools.product((0, 1), repeat=9),
            key=lambda course: bout_scores(segmenter, densities, np.array(course)),
        )
        assert segmenter.apply(made).tolist() == list(best)


def test_a_right_bout_has_its_motif_and_most_of_its_windows():
    truth = [np.repeat([0, 1, 0], [10, 10, 10])]
    assert bout_f1(truth, truth) == 1.0
    later = [np.repeat([0, 1, 0], [12, 12, 6])]  # overlaps 10/12, 8/14, 6/10
    assert bout_f1(later, truth) == 1.0
    late = [np.repeat([0, 1, 0], [14, 14, 2])]  # 10/14, 6/18, 2/10
    assert bout_f1(late, truth) == pytest.approx(1 / 3)
    cut = [np.repeat([0, -1, 1, 0, 1], [10, 1, 9, 9, 1])]  # 4 bouts, 3 right
    assert bout_f1(cut, truth) == pytest.approx(6 / 7)
    assert bout_f1([np.full(30, -1)], truth) == 0.0


def test_fits_tell_their_progress():
    lines = []
    motifs.segment({"a": codes((9, 9, 9))[0]}, 2, progress=lines.append)
    motifs.segment(
        {"a": codes((9, 9, 9))[0]}, 2, algorithm="hmm", hmm_n_iter=2, progress=lines.append
    )
    assert lines[0] == "k-means of 27 codes, 2 motifs, 15 initialisations"
    assert (
        lines[1]
        == "hidden Markov model of 2 states, initialisation 1 of 5, iteration 1 of at most 2"
        and len(lines) == 6
    )


def test_codes_far_from_all_others_do_not_underflow():
    """The fast form of the EM underflows there, and the other takes its place."""
    made, _ = codes((60, 60, 60))
    made[50] = 1e5
    _, labels = motifs.segment({"a": made}, 2, algorithm="hmm")
    assert labels["a"].min() >= 0


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
    expected[0, 1], expected[1, 3], expected[3, 0] = (
        1.0,
        1.0,
        1.0,
    )  # none from the first session's end to the second
    np.testing.assert_array_equal(found, expected)
    random = np.random.default_rng(0).integers(0, 4, 300)
    rows = motifs.transitions(random, 4)
    np.testing.assert_allclose(rows.sum(axis=1), 1.0)
    assert (np.diag(rows) == 0).all()
    moves = [(i, j) for i, j in itertools.pairwise(random) if i != j]
    assert rows[1, 2] == pytest.approx(moves.count((1, 2)) / sum(i == 1 for i, _ in moves))


def test_windows_without_a_motif_are_not_counted():
    first, second = np.array([0, 0, -1, 1, 0, -1, -1]), np.array([-1, 1, 1])
    assert motifs.usage(first, 2).tolist() == [3, 1] and motifs.usage(second, 3).tolist() == [
        0,
        2,
        0,
    ]
    assert motifs.transitions([first, second], 2).tolist() == [[0, 0], [1, 0]]
    assert motifs.communities([first, second], 3, 2).tolist() == [0, 1, -1]
    assert motifs.behaviours(first, np.array([1, 0])).tolist() == [1, 1, -1, 0, 1, -1, -1]
    assert motifs.match_labels(first, np.array([1, 1, 1, 0, 1, 0, 0])).tolist() == [
        1,
        1,
        -1,
        0,
        1,
        -1,
        -1,
    ]


def test_labels_of_two_runs_are_matched():
    reference = np.array([0, 0, 1, 1, 2, 2, 2])
    np.testing.assert_array_equal(
        motifs.match_labels(np.array([2, 2, 0, 0, 1, 1, 1]), reference), reference
    )
    matched = motifs.match_labels(np.array([3, 3, 0, 1, 2, 2, 2]), reference)
    assert matched[[0, 1, 4, 5, 6]].tolist() == [0, 0, 2, 2, 2] and len(set(matched)) == 4


def test_the_right_number_of_motifs_is_the_stable_one():
    scores = motifs.stability({"a": codes((80, 80, 80))[0]}, (2, 3, 6), runs=3)
    assert scores[3] > 0.99 and scores[3] > scores[6] + 0.1


@pytest.mark.filterwarnings("ignore")  # overflows, in scikit-learn
@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: motifs.segment({}, 3), "sessions: expected at least one"),
        (
            lambda: motifs.segment({"a": np.zeros((4, 2)), "b": np.zeros((4, 3))}, 2),
            r"b: expected codes \[n, 2\]",
        ),
        (lambda: motifs.segment({"a": np.full((4, 2), np.nan)}, 2), "a: codes hold NaN"),
        (
            lambda: motifs.segment({"a": np.zeros((4, 2))}, 5),
            "n_motifs: expected 1 to the number of observed codes, 4",
        ),
        (
            lambda: motifs.segment({"a": np.zeros((4, 2))}, 1, observed={"a": np.zeros(4, bool)}),
            "n_motifs: expected 1 to the number of observed codes, 0",
        ),
        (
            lambda: motifs.segment({"a": np.zeros((4, 2))}, 1, observed={"a": np.ones(3, bool)}),
            r"observed, a: expected a bool for each of the 4 codes, got bool \(3,\)",
        ),
        (
            lambda: motifs.segment({"a": np.zeros((4, 2))}, 2, algorithm="ward"),
            "algorithm: expected one of kmeans, hmm",
        ),
        (
            lambda: motifs.segment(
                {"a": np.random.default_rng(0).standard_normal((5, 2))}, 5, algorithm="hmm"
            ),
            "of 5 states does not fit these codes: 5 codes, of which 5 differ, are too few .* Use "
            "fewer motifs, or k-means",
        ),
        (
            lambda: motifs.segment(
                {"a": np.concatenate([codes((9, 9, 9))[0], [[1e200, 0]]])}, 2, algorithm="hmm"
            ),
            r"of 2 states does not fit these codes: they are as large as 1e\+200",
        ),
        (
            lambda: motifs.communities(np.array([0, 1]), 3, 3),
            "n_communities: expected 1 to .* 2, got 3",
        ),
        (
            lambda: motifs.segment({"a": np.zeros((4, 2))}, 1, hmm_min_duration=0),
            "hmm_min_duration: expected at least 1, got 0",
        ),
        (lambda: motifs.usage(np.array([0, 4]), 4), "labels: expected integers from 0 to 3, or -1"),
        (lambda: motifs.transitions(np.array([0.5]), 4), "labels: expected integers"),
        (
            lambda: motifs.match_labels(np.zeros(3, int), np.zeros(4, int)),
            "labels: expected the reference's shape",
        ),
        (
            lambda: motifs.stability({"a": np.zeros((4, 2))}, (2,), runs=1),
            "runs: expected at least 2",
        ),
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
    hmm = dict(
        start=np.ones(2),
        transitions=np.ones((2, 2)),
        means=np.ones((2, 3)),
        covariances=np.ones((2, 3, 3)),
    )
    for wrong in (
        hmm | {"n_motifs": np.array(4)},
        hmm | {"n_motifs": np.array(0)},
        hmm | {"n_motifs": np.array(2.0)},
        hmm | {"min_duration": np.array(0)},
        hmm | {"min_duration": np.array([1, 1])},
        {"centres": np.full((2, 2), np.nan)},
        {"centres": np.ones(3)},
        {"centres": np.zeros((0, 3))},
        {"other": np.ones(3)},
        hmm | {"start": np.ones(3)},
        hmm | {"means": np.ones((2, 4))},
        hmm | {"covariances": np.full((2, 3, 3), np.inf)},
    ):
        np.savez(tmp_path / "wrong.npz", **wrong)
        with pytest.raises(ValueError, match="not a segmenter, or not of finite numbers"):
            load_segmenter(tmp_path / "wrong.npz")


def test_the_fast_hidden_markov_model_is_hmmlearns(monkeypatch):
    """The same steps of the EM from the same beginning, over several sessions and parts of rows."""
    rng = np.random.default_rng(0)
    means = 3 * rng.standard_normal((4, 3))
    codes = means[np.repeat(rng.integers(4, size=60), 10)] + rng.standard_normal((600, 3)) + 50
    monkeypatch.setattr("vrae.vame.segmenters._PART", 128)
    fits = []
    for kind in (GaussianHMM, FastGaussianHMM):
        for implementation in ("log", "scaling"):
            model = kind(
                4,
                covariance_type="full",
                n_iter=4,
                tol=-np.inf,
                random_state=1,
                implementation=implementation,
                init_params="mc",
            )
            model.startprob_, model.transmat_ = np.full(4, 0.25), 0.8 * np.eye(4) + 0.05
            fits.append(model.fit(codes, [250, 350]))
    first = fits[0]
    for model in fits[1:]:
        assert model.score(codes) == pytest.approx(first.score(codes), rel=1e-9)
        np.testing.assert_allclose(model.means_, first.means_, rtol=1e-7)
        np.testing.assert_allclose(model.covars_, first.covars_, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(model.transmat_, first.transmat_, rtol=1e-6, atol=1e-9)
        np.testing.assert_array_equal(model.predict(codes), first.predict(codes))


def test_of_many_codes_some_are_the_beginning_of_the_em(monkeypatch):
    monkeypatch.setattr("vrae.vame.segmenters._MANY_CODES", 50)
    monkeypatch.setattr("vrae.vame.segmenters._FIRST_CODES", 30)
    codes = np.random.default_rng(0).standard_normal((100, 2))
    seen, real = [], GaussianHMM._init
    monkeypatch.setattr(
        GaussianHMM, "_init", lambda self, X, lengths=None: (seen.append(X), real(self, X))[1]
    )
    for count in (50, 51, 100):
        FastGaussianHMM(2, covariance_type="full", n_iter=1).fit(codes[:count])
    assert [len(part) for part in seen] == [50, 26, 25]
    np.testing.assert_array_equal(seen[2], codes[::4])
