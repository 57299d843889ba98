"""Series from lists and files, padded and standardised; every wrong file named."""

from types import SimpleNamespace

import numpy as np
import pytest

from seqvae.commands.table_settings import windows_of
from vrae.data import (
    as_series,
    constant_features,
    detokenised,
    in_windows,
    pad,
    read_npz,
    scaling_of,
    split_by_time,
    standardised,
    standardiser,
    tokenised,
    tokeniser,
    windows,
)
from vrae.trajectories import ball_trajectories


def parts():
    rng = np.random.default_rng(0)
    return [rng.normal(3, 2, (n, 2)) for n in (4, 2, 7)]


def test_padding_and_its_mask():
    series = pad(parts(), np.arange(3))
    assert series.sequences.shape == (3, 7, 2) and series.mask.sum(axis=1).tolist() == [4, 2, 7]
    assert (series.sequences[series.mask == 0] == 0).all()
    np.testing.assert_allclose(series.sequences[1, :2], parts()[1], rtol=1e-6)
    train, test = series.split(0.3, seed=0)
    assert (
        len(train.sequences) == 2
        and len(test.labels) == 1
        and not set(train.labels) & set(test.labels)
    )
    with pytest.raises(ValueError, match="a single series cannot be split"):
        test.split(0.5, seed=0)


def test_lengths_steps_and_missing_numbers():
    arrays = parts()
    arrays[1][1, 0] = np.nan
    series = pad(arrays)
    assert series.lengths().tolist() == [4, 2, 7]
    assert (series.is_step() == (np.arange(7) < np.array([[4], [2], [7]]))).all()
    assert np.argwhere(series.missing()).tolist() == [[1, 1, 0]]
    assert (series.missing() | series.observed() == series.is_step()[..., None]).all()


def test_windows_of_a_long_series():
    series = windows(np.arange(20.0).reshape(10, 2), 4, 3)
    assert series.sequences[:, 0, 0].tolist() == [0, 6, 12] and series.mask.all()
    with pytest.raises(ValueError, match="steps: expected 1 to the series' 10 steps"):
        windows(np.zeros((10, 2)), 11)
    with pytest.raises(ValueError, match="a stride of at least 1, got 4, 0"):
        windows(np.zeros((10, 2)), 4, 0)


def test_standardising_counts_only_the_steps_that_are_there():
    series = pad(parts())
    made = standardised(series, standardiser(series))
    steps = made.sequences[series.mask > 0.5]
    np.testing.assert_allclose(steps.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(steps.std(axis=0), 1, rtol=1e-5)
    assert (made.sequences[series.mask == 0] == 0).all()


def test_a_constant_feature_is_named_and_stays_of_a_size():
    """With a variance of 1e-12 a step of 1 became a million."""
    rng = np.random.default_rng(0)
    values = np.stack([rng.normal(size=20), np.full(20, 5.0), np.zeros(20), np.full(20, 0.1)], 1)
    series = pad([values], names=("a", "b", "c", "d"))
    assert constant_features(series) == [1, 2, 3]
    np.testing.assert_allclose(scaling_of(series)["deviation"][1:], [5.0, 1.0, 0.1], rtol=1e-6)
    moved = series._replace(sequences=series.sequences + 1)
    assert np.abs(standardised(moved, standardiser(series)).sequences).max() <= 10.001
    far = 1e4 + rng.normal(size=(20, 1))  # varies by a ten-thousandth of its value
    assert constant_features(pad([far])) == []
    with pytest.raises(ValueError, match=r"b: expected at least one observed number.*--drop"):
        scaling_of(pad([np.array([[1.0, np.nan]])], names=("a", "b")))


def test_windows_keep_labels_and_ids_and_short_series_are_named():
    series = pad([np.arange(7.0), np.arange(2.0), np.arange(4.0)], np.array(["p", "q", "r"]))
    series = series._replace(ids=np.array(["a", "b", "c"]), names=("x",))
    made, short = in_windows(series, 3, 2)
    assert short == ["b"] and made.names == ("x",)
    assert made.ids.tolist() == ["a", "a", "a", "c"]
    assert made.labels.tolist() == ["p", "p", "p", "r"]
    assert made.sequences[:, 0, 0].tolist() == [0, 2, 4, 0]
    for steps, stride, message in (
        (8, 0, "--window: no series has 8 steps, the longest has 7"),
        (3, -1, "--window, --stride: expected at least 1 step"),
    ):
        with pytest.raises(ValueError, match=message):
            in_windows(series, steps, stride)


def test_windows_without_an_observed_number_are_refused():
    series = pad([np.array([1.0, np.nan, np.nan, np.nan])])
    with pytest.raises(ValueError, match="--window: no series has 5 steps, the longest has 4"):
        in_windows(series, 5)
    empty = series._replace(sequences=np.full_like(series.sequences, np.nan))
    with pytest.raises(ValueError, match="--window: no window has an observed number"):
        in_windows(empty, 2)


def test_windows_without_an_observed_number_are_left_out_with_a_note():
    series = pad([np.array([1.0, 2.0, np.nan, np.nan, 5.0]), np.arange(3.0)])
    settings = SimpleNamespace(window=2, stride=0)
    cut, notes = windows_of(settings, series)
    assert len(cut.mask) == 2 and notes == [
        "windows without an observed number, which are left out: 1."
    ]


def test_windows_of_one_series_are_on_one_side_of_the_split():
    series = pad([np.arange(30.0) + 100 * i for i in range(4)])
    made, _ = in_windows(series, 5)
    train, test = made.split(0.3, seed=0)
    assert len(train.mask) + len(test.mask) == 24 and not set(train.ids) & set(test.ids)
    one, _ = in_windows(series.take([0]), 5)
    with pytest.raises(ValueError, match=r"a single series cannot be split .*--split=time"):
        one.split(0.5, seed=0)


def test_a_split_by_time_has_each_step_once():
    series = pad([np.arange(1.0, 11.0), np.arange(1.0, 4.0)], np.array([7, 8]))
    train, test = split_by_time(series, 0.2)
    assert train.mask.sum(1).tolist() == [8, 2] and test.mask.sum(1).tolist() == [2, 1]
    both = np.concatenate([x.sequences[x.mask > 0] for x in (train, test)])
    assert sorted(both[:, 0]) == sorted([*range(1, 11), *range(1, 4)])
    assert train.labels.tolist() == test.labels.tolist() == [7, 8]
    with pytest.raises(ValueError, match="--split=time: expected series of at least 2 steps"):
        split_by_time(pad([np.ones(1)]), 0.5)


@pytest.mark.parametrize(
    ("series", "part"), [([1.0, 2.0, np.nan, np.nan], "test"), ([np.nan, np.nan, 1.0], "training")]
)
def test_a_split_by_time_whose_part_has_no_observed_number_is_refused(series, part):
    with pytest.raises(ValueError, match=f"--split=time: no series has .* in its {part} steps"):
        split_by_time(pad([np.array(series)]), 0.34)


def test_arrays_with_a_mask_become_series():
    x = np.arange(8.0).reshape(2, 4)
    series = as_series(x, np.array([[1, 0, 1, 0], [1, 1, 1, 1]]))
    np.testing.assert_array_equal(series.sequences[0, :, 0], [0, np.nan, 2, 0])
    assert series.mask.sum(1).tolist() == [3, 4]
    with pytest.raises(ValueError, match=r"mask: expected the shape \(2, 4\)"):
        as_series(x, np.ones((2, 3)))


def test_npz_files(tmp_path):
    whole = pad(parts(), np.arange(3.0))
    np.savez(
        tmp_path / "a.npz",
        sequences=np.where(whole.mask[..., None] > 0, whole.sequences, np.nan),
        mask=whole.mask,
        labels=whole.labels,
    )
    for a, b in zip(read_npz(tmp_path / "a.npz"), whole, strict=True):
        np.testing.assert_array_equal(a, b)
    holes = whole.mask.copy()
    holes[0, 1] = 0  # its series continues: the step is missing
    np.savez(
        tmp_path / "h.npz",
        sequences=whole.sequences,
        mask=holes,
        ids=np.array(["a", "b", "c"]),
        names=np.array(["x", "y"]),
    )
    found = read_npz(tmp_path / "h.npz")
    assert np.isnan(found.sequences[0, 1]).all() and found.mask[0].sum() == 4
    assert found.ids.tolist() == ["a", "b", "c"] and found.names == ("x", "y")
    np.savez(tmp_path / "i.npz", sequences=whole.sequences, labels=np.arange(2))
    np.savez(tmp_path / "b.npz", other=np.zeros(3))
    np.savez(tmp_path / "c.npz", sequences=np.zeros((2, 3)))
    np.savez(tmp_path / "d.npz", sequences=np.full((2, 3, 1), np.nan))
    (tmp_path / "e.npz").write_bytes(b"PK cut")
    for name, message in (
        ("b", "no array `sequences`"),
        ("c", "expected .N, T, features."),
        ("d", "number 0 holds no observed number"),
        ("i", r"labels \(2,\), expected \(3,\)"),
        ("e", "not a readable .npz file"),
    ):
        with pytest.raises(ValueError, match=message):
            read_npz(tmp_path / f"{name}.npz")
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_npz(tmp_path / "none.npz")


@pytest.mark.parametrize(
    "sequences, message",
    [
        ([], "expected at least one"),
        ([np.zeros((2, 3)), np.zeros((2, 2))], "number 1 has the shape"),
        ([np.zeros((0, 3))], "number 0 has the shape"),
        ([np.zeros(3), np.zeros((3, 1))], "number 0 has the shape"),
        ([np.array([1.0, np.inf])], "number 0 holds infinity"),
        ([np.array([np.nan])], "number 0 holds no observed number"),
    ],
)
def test_lists_that_are_refused(sequences, message):
    with pytest.raises(ValueError, match=message):
        pad(sequences)


def test_balls_paths_depend_on_the_seed_and_their_number_alone():
    few, many = ball_trajectories(2, seed=3), ball_trajectories(4, seed=3)
    steps = int(few.mask[0].sum())
    np.testing.assert_array_equal(few.sequences[0, :steps], many.sequences[0, :steps])
    assert many.mask.sum(axis=1).min() >= 20 and many.mask.sum(axis=1).max() <= 40
    moves = many.sequences[0, 1] - many.sequences[0, 0]
    np.testing.assert_allclose(np.arctan2(moves[1], moves[0]), many.labels[0], atol=1e-4)
    with pytest.raises(ValueError, match="count=0"):
        ball_trajectories(0)


@pytest.mark.parametrize("split", ("character", "whitespace"))
def test_texts_become_tokens_with_an_end_and_go_back(split):
    texts = ["to be or not", "be", "to  do"]
    layer = tokeniser(texts, split)
    series = tokenised(texts, layer)
    lengths = [len(t) if split == "character" else len(t.split()) for t in texts]
    assert (
        series.mask.sum(axis=1).tolist() == [n + 1 for n in lengths]
        and series.sequences.shape[1] == max(lengths) + 1
    )
    assert (
        series.sequences[series.mask == 0] == 0
    ).all() and series.sequences.max() < layer.vocabulary_size()
    assert [int(row[n]) for row, n in zip(series.sequences, lengths, strict=True)] == [0, 0, 0]
    assert detokenised(series.sequences, layer) == (
        texts if split == "character" else ["to be or not", "be", "to do"]
    )
    assert tokenised(["zzz"], layer).sequences[0, 0] == 1  # not known


def test_texts_that_are_refused():
    with pytest.raises(ValueError, match="split: expected character or whitespace, got 'ngrams'"):
        tokeniser(["a"], "ngrams")
    with pytest.raises(ValueError, match="texts: expected at least one that is not empty"):
        tokeniser(["", ""])
