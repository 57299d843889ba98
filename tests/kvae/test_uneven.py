"""Frames at uneven times (`dt`): the results are those of the even grid with missing frames, and of
a model with the product of the matrices of all steps between two frames."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kvae import KVAE
from kvae.lgssm import MixedLGSSM
from tests.tolerances import FLOAT32, FLOAT64, STANDARD_ERRORS

DT = np.array([[5, 1, 3, 1, 2], [1, 2, 1, 1, 1]])  # the first column is not used
AT = np.cumsum(DT * [0, 1, 1, 1, 1], axis=1)
STEPS = AT.max() + 1
ROWS = np.arange(2)[:, None]


def randomised(model, seed=0):
    rng = np.random.default_rng(seed)
    for weight in [*model.variable_groups["lgssm"], *model.variable_groups["dynamics"]]:
        weight.assign_add(0.2 * rng.normal(size=weight.shape))
    return model


@pytest.fixture(scope="module")
def series():
    """A model of series with controls that mixes matrices, series at uneven times, and the grid."""
    model = randomised(KVAE((2,), out_distr="gaussian", encoder="identity", dim_a=2, alpha_units=3))
    rng = np.random.default_rng(1)
    values, controls = rng.normal(size=(2, 5, 2)), rng.normal(size=(2, 5, 1))
    values[1, 2, 0] = np.nan
    grid = np.full((2, STEPS, 2), np.nan)
    grid[ROWS, AT] = values
    return model, values, controls, grid


def held(controls):
    """The controls of a frame at every step since the frame before it."""
    on_grid = np.zeros((2, STEPS, 1))
    for i, places in enumerate(AT):
        for step in range(STEPS):
            on_grid[i, step] = controls[i, min(np.searchsorted(places, step), 4)]
    return on_grid


def close(found, expected):
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(one, other, **FLOAT32)


def test_the_verbs_equal_those_on_the_even_grid(series):
    model, values, controls, grid = series
    u = held(controls)
    expected = tf.nest.map_structure(lambda x: x.numpy()[ROWS, AT], model.impute(grid, None, u))
    close(model.impute(values, None, controls, dt=DT), expected)
    codes, of_grid = (model.encode(x).mean() for x in (values, grid))
    for verb in (model.filter, model.smooth):
        expected = tf.nest.map_structure(lambda x: x.numpy()[ROWS, AT], verb(of_grid, None, u))
        close(verb(codes, None, controls, dt=DT), expected)
    score, of_grid = model.score(values, None, controls, dt=DT), model.score(grid, None, u)
    close(score.total, of_grid.total.numpy()[ROWS, AT])
    close(score[3], of_grid[3])
    arguments = dict(kind="marginal", per_sequence=True)
    close(
        model.elbo(values, None, controls, dt=DT, **arguments),
        model.elbo(grid, None, u, **arguments),
    )


@pytest.mark.slow
def test_draws_have_the_moments_of_the_smoother(series):
    model, values, controls, _ = series
    drawn = model.posterior_sample(values, None, controls, dt=DT, num_samples=4000, seed=0).a
    expected = model.impute(values, None, controls, dt=DT)
    deviation = np.sqrt(np.diagonal(expected.a_smoothed_cov, axis1=-2, axis2=-1))
    assert drawn.shape == (4000, 2, 5, 2)
    off = np.abs(drawn.numpy().mean(axis=0) - expected.a_smoothed) / deviation
    assert off.max() < STANDARD_ERRORS / np.sqrt(4000)
    samples = model.impute(values, None, controls, dt=DT, num_samples=3, seed=0).samples
    assert samples.shape == (3, 2, 5, 2)


@pytest.mark.slow
def test_forecasts_begin_at_the_last_frame_of_each_sequence(series):
    model, values, controls, grid = series
    future = np.random.default_rng(3).normal(size=(2, 3, 1))
    u, arguments = held(controls), dict(num_samples=2, decode=False, seed=0)
    given = np.concatenate([controls, future], axis=1)
    found = model.forecast(values, 3, controls=given, dt=DT, **arguments).a
    for i, (row, last) in enumerate(zip(grid, AT[:, -1], strict=True)):
        both = [np.concatenate([u[i, : last + 1], future[i]])] * 2  # the draws depend on the rows
        expected = model.forecast(
            np.stack([row[: last + 1]] * 2), 3, controls=np.stack(both), **arguments
        )
        close(found[:, i], expected.a[:, i])


def test_a_stream_takes_dt(series):
    model, values, controls, _ = series
    codes = model.encode(values[:1]).mean()
    expected = model.filter(codes, ~np.isnan(values[:1]), controls[:1], dt=DT[:1])
    stream = model.stream()
    for t, step in enumerate(DT[0]):
        found = stream.step(values[0, t], controls=controls[0, t], dt=step)  # NumPy's integer
        close(found.mean, expected.mean[:, t])
        close(found.cov, expected.cov[:, t])
    one, other = (model.stream() for _ in range(2))
    for dt in (1, 2):
        close(one.step(values[0, dt], dt=dt).mean, other.step(values[0, dt], dt=float(dt)).mean)
    with pytest.raises(ValueError, match=r"dt: expected an integer of at least 1, got 0\.5"):
        stream.step(values[0, 0], dt=0.5)
    with pytest.raises(ValueError, match="dt: expected fewer than 1000000 steps, got 10000000000"):
        stream.step(values[0, 0], dt=10**10)


def test_a_gap_is_the_product_of_its_steps(series):
    """K=1: one transition A^n with the noise of n steps, in a model written by hand."""
    _, values, _, _ = series
    model = KVAE((2,), out_distr="gaussian", encoder="identity", dim_a=2, K=1, dtype="float64")
    randomised(model, 3)
    A, Q = model.A.numpy()[0], 0.08 * np.eye(4)
    A_n, Q_n = np.tile(np.eye(4), (2, 5, 1, 1)), np.zeros((2, 5, 4, 4))
    for place, n in np.ndenumerate(DT):
        for _ in range(n):
            A_n[place], Q_n[place] = A @ A_n[place], A @ Q_n[place] @ A.T + Q
    C = np.tile(model.C.numpy()[0], (2, 5, 1, 1))
    by_hand = MixedLGSSM(
        A_n, C, None, noise_transition=Q_n, noise_emission=0.03, init_cov=20.0,
        missing=np.isnan(values),
    )  # fmt: skip
    expected = by_hand.log_prob(np.nan_to_num(values))
    found = model.elbo(values, dt=DT, per_sequence=True).total * 5
    np.testing.assert_allclose(found, expected, **FLOAT64)


@pytest.mark.slow
def test_videos_and_training_take_dt():
    model = randomised(KVAE((8, 8), num_filters=(2,), alpha_units=3, use_vae=False, sample_z=True))
    rng = np.random.default_rng(2)
    grid = (rng.random((2, STEPS, 8, 8)) > 0.5).astype(np.uint8) * 255
    mask = np.zeros((2, STEPS))
    mask[ROWS, AT] = 1
    mask[0, 3] = 0
    frames, seen = grid[ROWS, AT], mask[ROWS, AT]
    expected = model.loss_terms({"frames": grid, "mask": mask}, training=False)
    batch = {"frames": frames, "mask": seen, "dt": DT}
    close(model.loss_terms(batch, training=False), expected)
    close(model(batch).smoothed, model.impute(grid, mask).smoothed.numpy()[ROWS, AT])
    model.compile(keras.optimizers.Adam(0.01))
    losses = model.fit(batch, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("dt", "message"),
    [
        (DT > 1, r"dt: expected whole numbers, got bool\. A mask is the argument `mask`"),
        (DT[:, :4], r"dt: expected the shape \[2, 5\] .* got \[2, 4\]"),
        (DT * 0.5, r"dt: expected whole numbers .* value in sequence 0.*kvae.lgssm.discretise"),
        (DT * 200_000, "dt: expected fewer than 1000000 steps in a sequence, more in sequence 0"),
        (DT * [[1], [0]], r"dt: expected whole numbers of at least 1.* value in sequence 1"),
    ],
)
def test_steps_that_fit_no_grid_are_refused(series, dt, message):
    model, values, *_ = series
    with pytest.raises(ValueError, match=message):
        model.impute(values, dt=dt)
    with pytest.raises(ValueError, match=message):
        model.compile("adam")
        model.fit({"frames": values.astype(np.float32), "dt": dt}, verbose=0)


def test_so_many_steps_that_a_call_takes_minutes_are_named(monkeypatch, series):
    monkeypatch.setattr("kvae.arguments._MANY_STEPS", 50)
    model, values, *_ = series
    with pytest.warns(UserWarning, match=r"dt: a sequence takes 70 steps .* Divide the times by"):
        model.filter(np.nan_to_num(values), dt=10 * DT)


def test_codes_have_even_steps(series):
    model, values, *_ = series
    model.compile("adam")
    with pytest.raises(ValueError, match="dt: expected frames beside it, got codes, dt"):
        model.fit({"codes": np.nan_to_num(values).astype(np.float32), "dt": DT}, verbose=0)
