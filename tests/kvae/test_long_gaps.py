"""Over a long gap an unstable mixed A must not drive the states out of float32's range, and a model
that stays in bounds must not change by it."""

import numpy as np
import pytest
import tensorflow as tf

from kvae import KVAE
from kvae.lgssm import closed_loop
from tests.tolerances import SAME_FLOAT32, VARIANCE_RELATIVE


def make(growth, dtype="float32"):
    """A model whose three matrices turn the state and multiply it by `growth` or more."""
    model = KVAE((8, 8), num_filters=(2,), alpha_units=3, dtype=dtype)
    rng = np.random.default_rng(0)
    turns = [np.linalg.qr(rng.normal(size=(4, 4)))[0] for _ in range(3)]
    model.A.assign(np.stack([growth * (1 + 0.1 * k) * turn for k, turn in enumerate(turns)]))
    model.B.assign(np.zeros((3, 4, 1)))
    model.C.assign(rng.normal(size=(3, 2, 4)))
    for weight in model.dynamics.weights:
        weight.assign(0.1 * rng.normal(size=weight.shape))
    return model


def gap(steps):
    """Codes, and a mask with a gap of all steps but five before and five after it."""
    mask = np.ones((3, steps))
    mask[:, 5:-5] = 0
    return np.random.default_rng(1).normal(size=(3, steps, 2)), mask


@pytest.mark.slow
def test_an_unstable_model_stays_finite_over_a_long_gap(monkeypatch):
    a, mask = gap(160)
    model = make(3.0)
    found = model.filter(a, mask), model.smooth(a, mask)  # they raise if a number is not finite
    precise = make(3.0, "float64").filter(a, mask)
    for pair in ((found[0].cov, precise.cov), (found[0].A, precise.A)):
        mine, other = (x.numpy().astype(np.float64) for x in pair)
        largest = np.abs(other).max(axis=(-2, -1), keepdims=True)
        assert (np.abs(mine - other) / largest).max() < VARIANCE_RELATIVE
    variance = tf.linalg.diag_part(found[0].predicted_cov).numpy()
    assert 0.5 < variance.max() / (20 * closed_loop.MOST_GROWTH) < 1.01
    monkeypatch.setattr(closed_loop, "MOST_GROWTH", np.inf)
    with pytest.raises(FloatingPointError, match="not finite"):
        make(3.0).smooth(a, mask)


def test_the_smoother_takes_the_same_shrunk_matrices():
    """The filter's prediction is the returned A applied to the filtered state, also in the gap."""
    a, mask = gap(80)
    found = make(3.0, "float64").filter(a, mask)
    A, mean, cov = (x.numpy() for x in (found.A[:, 1:], found.mean[:, :-1], found.cov[:, :-1]))
    predicted = A @ cov @ A.swapaxes(-1, -2) + 0.08 * np.eye(4)
    np.testing.assert_allclose(found.predicted_cov[:, 1:], predicted, rtol=1e-6, atol=1e-6)
    expected = np.einsum("btij,btj->bti", A, mean)
    np.testing.assert_allclose(found.predicted_mean[:, 1:], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_a_stable_model_and_short_gaps_are_unchanged(monkeypatch):
    def results():
        stable, unstable = make(0.8), make(3.0)
        return [
            *stable.smooth(*gap(60)),
            *stable.filter(*gap(60)),
            *unstable.smooth(*gap(20)),
            unstable.lgssm_bound(*gap(20)).total,
        ]

    found = results()
    monkeypatch.setattr(closed_loop, "MOST_GROWTH", np.inf)
    for mine, other in zip(found, results(), strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.slow
def test_a_stream_equals_the_filter_over_a_long_gap():
    model = make(3.0, "float64")
    frames, (_, mask) = np.random.default_rng(2).random((1, 70, 8, 8)), gap(70)
    expected, stream = model.filter(model.encode(frames).mean(), mask[:1]), model.stream()
    for t, seen in enumerate(mask[0]):
        state = stream.step(frames[0, t] if seen else None)
        for mine, other in (
            (state.mean[0], expected.mean[0, t]),
            (state.cov[0], expected.cov[0, t]),
        ):
            largest = np.abs(other).max()
            np.testing.assert_allclose(mine / largest, other / largest, **SAME_FLOAT32)
