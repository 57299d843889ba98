"""Long pandas frames as series, in a reader and in the estimators."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from tests.tolerances import SAME_FLOAT32
from vrae.frames import from_frame
from vrae.sklearn import VRAEImputer, VRAETransformer

pytestmark = [
    pytest.mark.eager,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]
FEW = dict(z_size=2, steps=1, options={"rnn_size": 2, "bidirectional": False})


def parts(lengths=(5, 3, 4), seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, 2)) for n in lengths]


def long(arrays, shuffle=True):
    """Columns series, time, x, y; rows in an order of their own."""
    frames = [
        pd.DataFrame({"Series": f"s{i}", "time": np.arange(len(a)), "x": a[:, 0], "y": a[:, 1]})
        for i, a in enumerate(arrays)
    ]
    frame = pd.concat(frames, ignore_index=True)
    rows = np.random.default_rng(1).permutation(len(frame)) if shuffle else np.arange(len(frame))
    rows = np.concatenate([[0], rows[rows != 0]])  # s0 appears first
    return frame.iloc[rows]


def same(series, arrays):
    """Whether series are these arrays, in an order of theirs."""
    assert len(series.mask) == len(arrays)
    for i, key in enumerate(series.ids):
        expected = arrays[int(key[1:])]
        assert series.mask[i].sum() == len(expected)
        np.testing.assert_allclose(series.sequences[i, : len(expected)], expected, rtol=1e-6)


def test_columns_and_index_say_the_same():
    arrays = parts()
    frame = long(arrays)
    for form in (frame, frame.set_index(["Series", "time"])):
        found = from_frame(form)
        same(found.series, arrays)
        assert found.series.names == ("x", "y") and found.series.times is None
        for rows, key in zip(found.rows, found.series.ids, strict=True):
            ours = frame.iloc[rows]
            assert set(ours["Series"]) == {key} and ours["time"].is_monotonic_increasing
    by_number = frame.set_index(["Series", "time"]).set_axis([0, 1], axis=1)
    same(from_frame(by_number).series, arrays)
    unsorted = long(arrays, shuffle=False).drop(columns="time")
    same(from_frame(unsorted).series, arrays)


@pytest.mark.parametrize("kind", ["dates", "zone", "periods", "words"])
def test_uneven_dates_are_times(kind):
    frame = long(parts((4, 3)), shuffle=False)
    dates = pd.to_datetime("2024-01-01") + pd.to_timedelta([0, 1, 3, 4, 0, 1, 2], unit="D")
    frame["time"] = {
        "dates": dates,
        "zone": dates.tz_localize("Europe/Paris"),
        "periods": dates.to_period("D"),
        "words": dates.strftime("%Y-%m-%d"),
    }[kind]
    times = from_frame(frame).series.times
    np.testing.assert_array_equal(times[0] / 86400, [0, 1, 3, 4])


def test_missing_numbers_of_every_kind():
    frame = long(parts(), shuffle=False)
    frame["x"] = frame["x"].astype("Float64")
    frame.loc[frame.index[1], "x"] = pd.NA
    frame.loc[frame.index[2], "y"] = np.nan
    found = np.isnan(from_frame(frame).series.sequences[0])
    assert found.sum() == 2 and found[1, 0] and found[2, 1]


def changed(**columns):
    return long(parts(), shuffle=False).assign(**columns)


@pytest.mark.parametrize(
    "frame, message",
    [
        (changed().drop(columns="Series"), "expected one column of sequence, .* got the columns"),
        (changed(id=0), "expected one column of sequence, .* got the columns"),
        (changed(date=0), "at most one of time, timestamp"),
        (changed(label=0), "column 'label': a label is not a feature"),
        (changed(x="a"), "column 'x': expected numbers, got (object|str)"),
        (changed(time=0), "series 's0': expected different times, got two rows of the same"),
        (changed(time=None), "time 'time': expected the time of every row, got a missing one"),
        (changed(time="noon?"), "time 'time': expected numbers or dates, such as"),
        (changed(Series=None), "expected the series of every row, got a missing one"),
        (changed()[["Series", "time"]], "expected a column of numbers, got Series, time"),
        (
            changed().set_index(["Series", "time"]).set_axis(["x", "x"], axis=1),
            "expected columns of different names, got x twice",
        ),
        (
            changed(b=0).set_index(["Series", "time", "b"]),
            "expected an index of two levels, series and time, got 3",
        ),
    ],
)
def test_frames_that_are_refused(frame, message):
    with pytest.raises(ValueError, match=message):
        from_frame(frame)
    with pytest.raises(ValueError, match="X: .*" + message.split(",")[0]):
        VRAETransformer(**FEW).fit(frame)


@pytest.mark.slow
def test_estimators_take_long_frames_by_the_names_of_their_columns(monkeypatch):
    monkeypatch.setattr("vrae.recipe.train", lambda *_, **__: [0.0])
    arrays = parts()
    frame = long(arrays, shuffle=False)
    fitted = VRAETransformer(**FEW).fit(frame)
    assert fitted.feature_names_in_.tolist() == ["x", "y"] and fitted.n_features_in_ == 2
    codes = fitted.transform(frame)
    plain = VRAETransformer(**FEW).fit(arrays)
    assert not hasattr(plain, "feature_names_in_")
    np.testing.assert_allclose(codes, plain.transform(arrays), **SAME_FLOAT32)
    np.testing.assert_allclose(
        fitted.transform(frame[["y", "time", "Series", "x"]]), codes, **SAME_FLOAT32
    )
    with pytest.raises(ValueError, match="X: expected the columns x, y as in fit, got x, z"):
        fitted.transform(frame.rename(columns={"y": "z"}))
    table = clone(fitted).set_output(transform="pandas").fit(frame).transform(arrays)
    assert table.columns.tolist() == ["vraetransformer0", "vraetransformer1"]


def test_imputation_returns_the_frame_it_was_given(monkeypatch):
    monkeypatch.setattr("vrae.recipe.train", lambda *_, **__: [0.0])
    arrays = parts((6, 6, 6))
    frame = long(arrays)
    holes = frame.copy()
    holes.iloc[[2, 7], 2] = np.nan
    before = holes.copy()
    imputer = VRAEImputer(**FEW).fit(frame)
    filled = imputer.transform(holes)
    pd.testing.assert_frame_equal(holes, before)
    assert filled.index.equals(frame.index) and filled.columns.equals(frame.columns)
    seen = holes.notna()
    pd.testing.assert_frame_equal(filled.where(seen), frame.where(seen))
    found = from_frame(holes).series
    expected = imputer.transform(
        [row[: int(m.sum())] for row, m in zip(found.sequences, found.mask, strict=True)]
    )
    back = from_frame(filled)
    for row, other in zip(back.series.sequences, expected, strict=True):
        np.testing.assert_allclose(row[: len(other)], other, **SAME_FLOAT32)
