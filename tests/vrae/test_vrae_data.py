"""Series from lists and files, padded and standardised; every wrong file named."""

import numpy as np
import pytest

from vrae.data import (
    detokenised,
    pad,
    read_csv,
    read_npz,
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
    with pytest.raises(ValueError, match="one cannot be split"):
        test.split(0.5, seed=0)


def test_windows_of_a_long_series():
    series = windows(np.arange(20.0).reshape(10, 2), 4, 3)
    assert series.sequences[:, 0, 0].tolist() == [0, 6, 12] and series.mask.all()
    with pytest.raises(ValueError, match="steps: expected 1 to the series' 10 steps"):
        windows(np.zeros((10, 2)), 11)


def test_standardising_counts_only_the_steps_that_are_there():
    series = pad(parts())
    made = standardised(series, standardiser(series))
    steps = made.sequences[series.mask > 0.5]
    np.testing.assert_allclose(steps.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(steps.std(axis=0), 1, rtol=1e-5)
    assert (made.sequences[series.mask == 0] == 0).all()


def test_a_csv_with_sequences_and_labels_and_one_without(tmp_path):
    (tmp_path / "a.csv").write_text("x,sequence, y,label\n1,a,2,5\n3,b,4,6\n5,a,6,5\n")
    series = read_csv(tmp_path / "a.csv")
    np.testing.assert_array_equal(series.sequences, [[[1, 2], [5, 6]], [[3, 4], [0, 0]]])
    assert series.labels.tolist() == [5, 6] and series.mask.tolist() == [[1, 1], [1, 0]]
    (tmp_path / "b.csv").write_text("x\n1\n2\n3\n")
    assert (
        read_csv(tmp_path / "b.csv").sequences.shape == (1, 3, 1)
        and read_csv(tmp_path / "b.csv").labels is None
    )


@pytest.mark.parametrize(
    "text, message",
    [
        ("x,y\n", "expected a line of names and at least one of numbers"),
        ("x,y\n1,2\n3,word\n", "line 3: expected 2 values, numbers"),
        ("x,y\n1\n", "line 2: expected 2 values"),
        ("x,y\n1,nan\n", "number 0 holds NaN"),
    ],
)
def test_csvs_that_are_refused(tmp_path, text, message):
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_csv(tmp_path / "bad.csv")
    assert "bad.csv" in str(error.value)


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
    np.savez(tmp_path / "b.npz", other=np.zeros(3))
    np.savez(tmp_path / "c.npz", sequences=np.zeros((2, 3)))
    np.savez(tmp_path / "d.npz", sequences=np.full((2, 3, 1), np.nan))
    (tmp_path / "e.npz").write_bytes(b"PK cut")
    for name, message in (
        ("b", "no array `sequences`"),
        ("c", "expected .N, T, features."),
        ("d", "number 0 holds NaN"),
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
        ([np.zeros(3)], "number 0 has the shape"),
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
