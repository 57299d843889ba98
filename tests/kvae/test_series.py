"""Models of series from `for_series`, and the forms that series come in."""

import keras
import numpy as np
import pytest
import statsmodels.api as sm

from kvae import KVAE
from kvae.series import on_grid, padded
from seqvae.baselines import interpolated


def test_series_of_different_lengths_are_padded_and_the_padding_changes_nothing():
    rng = np.random.default_rng(0)
    long, short = rng.normal(size=(7, 2)), rng.normal(size=(4, 2))
    both = padded([long, short])
    assert both.shape == (2, 7, 2) and np.isnan(both[1, 4:]).all()
    keras.utils.set_random_seed(1)
    model = KVAE.for_series(both, dtype="float64")
    alone = model.score(short[None])
    together = model.score(both)
    np.testing.assert_allclose(together.total[1, :4], alone.total[0], rtol=1e-8)
    assert float(together.sequence[1]) == pytest.approx(float(alone.sequence[0]))


def test_uneven_times_are_put_on_a_grid():
    found = on_grid([2.0, 2.5, 4.02], [[1.0], [2.0], [3.0]], 0.5)
    np.testing.assert_array_equal(found[:, 0], [1, 2, np.nan, np.nan, 3])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: padded([]), "series: expected at least one, got none"),
        (
            lambda: padded([np.zeros((3, 2)), np.zeros((3, 1))]),
            r"series: expected the shape \[T, 2\], got \[3, 1\] for series 1",
        ),
        (
            lambda: on_grid([0.0, 1.0], np.zeros(2), 1.0),
            r"times, values: expected the shapes \[T\] and \[T, F\], got \[2\] and \[2\]",
        ),
        (lambda: on_grid([0.0], [[1.0]], 0.0), "dt: expected a positive number, got 0.0"),
        (
            lambda: on_grid([0.0, 1.0, 0.5], np.zeros((3, 1)), 0.5),
            "times: expected increasing times at least dt apart, got a smaller step after time 1",
        ),
        (
            lambda: on_grid([0.0, 0.75, 2.0], np.zeros((3, 1)), 0.5),
            r"times: 0.75 is 0.50 dt from the nearest step of the grid. Use a smaller dt",
        ),
        (
            lambda: on_grid(np.array(["2020-01-01"], "M8[D]"), [[1.0]], 1.0),
            r"times: expected numbers, got dates. Pass \(times - times\[0\]\) / np.timedelta64",
        ),
        (
            lambda: on_grid([0.0, np.nan], np.zeros((2, 1)), 1.0),
            "times: expected at least one",
        ),
        (
            lambda: on_grid([0.0, 1e10], np.zeros((2, 1)), 1.0),
            "dt: a grid of 1 has 10000000000 steps .* see kvae.lgssm.discretise",
        ),
        (
            lambda: KVAE.for_series(np.zeros(5)),
            r"series: expected the shape \[N, T, F\].*got \[5\]. Add axes to a single series",
        ),
    ],
)
def test_what_is_no_series_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_options_replace_the_defaults():
    series = np.random.default_rng(0).normal(size=(2, 5, 3))
    made = KVAE.for_series(series)
    assert (made.dim_a, made.dim_z) == (3, 6)
    coded = KVAE.for_series(series, encoder=None, K=2, dim_a=1)
    assert (coded.dim_a, coded.dim_z, coded.K, made.K) == (1, 4, 2, 1)
    assert coded.get_config()["noise_pixel_var"] == "learned_diagonal"


@pytest.mark.slow
def test_gaps_in_monthly_temperatures_are_filled_better_than_by_interpolation():
    table = sm.datasets.elnino.load_pandas().data
    series = table.iloc[:60, 1:].to_numpy(np.float64).reshape(15, 48, 1)
    hidden = np.zeros(series.shape, bool)
    for row, start in enumerate(np.random.default_rng(0).integers(8, 34, 15)):
        hidden[row, start : start + 8] = True
    holes = np.where(hidden, np.nan, series)
    keras.utils.set_random_seed(0)
    model = KVAE.for_series(holes)
    model.compile(keras.optimizers.Adam(0.02))
    model.fit(holes, epochs=300, batch_size=15, verbose=0)

    def rmse(guess):
        return np.sqrt(np.mean((guess[hidden] - series[hidden]) ** 2))

    linear = interpolated(np.nan_to_num(holes[..., 0]), ~hidden[..., 0])[..., None]
    assert rmse(model.impute(holes).smoothed.numpy()) < 0.5 * rmse(linear)
