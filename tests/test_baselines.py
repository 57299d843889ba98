"""The baselines against loops over single steps."""

import numpy as np
import pytest

from seqvae import baselines

RNG = np.random.default_rng(0)
SERIES = RNG.normal(size=(6, 9, 2, 3))
SEEN = RNG.random((6, 9)) < 0.4
SEEN[:, 5] = True
SEEN[0] = True
SEEN[1] = [False] * 8 + [True]


def test_the_last_observed_step_is_held():
    found = baselines.last_observed(SERIES, SEEN)
    for one, seen, filled in zip(SERIES, SEEN, found, strict=True):
        held = one[np.flatnonzero(seen)[0]]
        for t in range(9):
            held = one[t] if seen[t] else held
            np.testing.assert_array_equal(filled[t], held)


def test_interpolation_is_numpys():
    found = baselines.interpolated(SERIES, SEEN)
    at = np.arange(9)
    for one, seen, filled in zip(SERIES, SEEN, found, strict=True):
        for i in np.ndindex(2, 3):
            line = np.interp(at, at[seen], one[seen][(slice(None), *i)])
            np.testing.assert_allclose(filled[(slice(None), *i)], line, atol=1e-12)


def test_the_nearest_series_is_found_by_the_steps_that_both_have():
    others, their = RNG.normal(size=(11, 9, 2, 3)), RNG.random((11, 9)) < 0.8
    found = baselines.nearest(SERIES, SEEN, others, their)
    for one, seen, index in zip(SERIES, SEEN, found, strict=True):
        errors = [
            ((one - other)[both] ** 2).mean() if (both := seen & known).any() else np.inf
            for other, known in zip(others, their, strict=True)
        ]
        assert index == np.argmin(errors)


def test_nan_in_steps_that_are_not_observed_does_not_change_the_nearest_series():
    others, their = RNG.normal(size=(11, 9, 2, 3)), RNG.random((11, 9)) < 0.8
    found = baselines.nearest(
        np.where(SEEN[..., None, None], SERIES, np.nan),
        SEEN,
        np.where(their[..., None, None], others, np.nan),
        their,
    )
    np.testing.assert_array_equal(found, baselines.nearest(SERIES, SEEN, others, their))


def test_a_series_without_any_observed_step_is_refused():
    seen = SEEN.copy()
    seen[3] = False
    for fill in (baselines.last_observed, baselines.interpolated):
        with pytest.raises(ValueError, match=r"observed: nothing is observed in series 3\. Leave"):
            fill(SERIES, seen)
    with pytest.raises(ValueError, match="observed: a series shares no observed step with any"):
        baselines.nearest(SERIES, seen, SERIES, SEEN)
