"""The Kalman VAE's state-space model as a distribution, draws, values per sequence, learned noises,
eager gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kvae import KVAE
from kvae.lgssm import MixedLGSSM
from tests.tolerances import FINITE_DIFFERENCES, FLOAT32, FLOAT64, SAME_FLOAT32

pytestmark = pytest.mark.eager

SMALL = dict(num_filters=(2,), alpha_units=3)
A = np.random.default_rng(0).normal(size=(3, 5, 2))
MASK = np.ones((3, 5))
MASK[0, 2:4], MASK[2, 1] = 0, 0
FRAMES = (np.random.default_rng(1).random((3, 5, 4, 4)) > 0.7).astype(np.float32)


def make(**options):
    keras.utils.set_random_seed(1)
    return KVAE((4, 4), **(SMALL | dict(dtype="float64", init_kf_matrices=0.5) | options))


@pytest.fixture(scope="module")
def model():
    return make()


@pytest.mark.parametrize("mask", [None, MASK], ids=["known", "gaps"])
def test_the_distribution_of_the_codes_gives_the_verbs_results(model, mask):
    found, filtered, smoothed = (
        model.state_space(A, mask),
        model.filter(A, mask),
        model.smooth(A, mask),
    )
    assert isinstance(found, MixedLGSSM) and (found.batch_shape, found.event_shape) == (
        (3,),
        (5, 2),
    )
    np.testing.assert_allclose(
        found.log_prob(A), tf.reduce_sum(filtered.log_likelihood, 1), **FLOAT64
    )
    mean, cov = found.posterior_marginals(A)
    np.testing.assert_allclose(mean, smoothed.mean, **FLOAT64)
    np.testing.assert_allclose(cov, smoothed.cov, **FLOAT64)
    for result in (filtered, smoothed):
        np.testing.assert_allclose(result.distribution().mean(), result.mean, **FLOAT64)
        np.testing.assert_allclose(result.distribution().covariance(), result.cov, **FLOAT64)
    kept = [value for value in vars(model).values() if isinstance(value, MixedLGSSM)]
    assert not kept  # made again for every call, from the present weights


def test_posterior_paths_follow_their_seed(model):
    one, same = (model.posterior_sample(FRAMES, MASK, num_samples=2, seed=1) for _ in range(2))
    assert (one.frames.shape, one.a.shape, one.z.shape) == (
        (2, 3, 5, 4, 4),
        (2, 3, 5, 2),
        (2, 3, 5, 4),
    )
    np.testing.assert_array_equal(one.z, same.z)


@pytest.mark.parametrize("kind", ["marginal", pytest.param("sampled", marks=pytest.mark.slow)])
def test_values_per_sequence_average_to_the_batchs(model, kind):
    weights = MASK.sum(1) / MASK.sum()
    for verb, data in ((model.lgssm_bound, A), (model.elbo, FRAMES)):
        each, whole = (
            verb(data, MASK, kind=kind, seed=3, per_sequence=each) for each in (True, False)
        )
        assert each.total.shape == (3,)
        np.testing.assert_allclose([weights @ term.numpy() for term in each], whole, **FLOAT64)


@pytest.mark.slow
def test_importance_weighted_bounds_rise_to_the_exact_one(model):
    exact = model.lgssm_bound(A, MASK, kind="marginal").total
    few, many = (
        model.lgssm_bound(A, MASK, kind="sampled", num_samples=n, seed=1).total for n in (1, 3000)
    )
    assert few < many < exact + 0.05
    elbo = model.elbo(FRAMES, MASK, num_samples=1, seed=4)
    np.testing.assert_allclose(elbo.total, elbo.log_px - elbo.log_qa + elbo.lgssm, **FLOAT64)
    several = model.elbo(FRAMES, MASK, num_samples=4, seed=4)
    assert several.total > several.log_px - several.log_qa + several.lgssm


def test_wrong_numbers_of_draws_are_refused(model):
    for call in (
        lambda n: model.elbo(FRAMES, num_samples=n),
        lambda n: model.posterior_sample(FRAMES, num_samples=n),
    ):
        with pytest.raises(
            ValueError, match="num_samples: expected an integer of at least 1, got 0"
        ):
            call(0)
    with pytest.raises(
        ValueError, match="num_samples: expected None for kind='marginal', which is exact"
    ):
        model.lgssm_bound(A, kind="marginal", num_samples=2)


@pytest.mark.parametrize("form", ["learned", "learned_diagonal"])
@pytest.mark.slow
def test_learned_noises_have_the_right_gradients(form):
    model = make(noise_transition=form, noise_emission=form, init_cov=form)
    raw = list(model._raw_noises.values())
    assert [v.shape for v in raw] == ([()] * 3 if form == "learned" else [(4,), (2,), (4,)])
    assert all(any(v is w for w in model.variable_groups["lgssm"]) for v in raw)
    np.testing.assert_allclose(
        [float(np.mean(v)) for v in model._covariances[:3]], [0.08, 0.03, 20.0], rtol=1e-6
    )
    for mask in (None, MASK):
        batch = {"codes": A} | ({} if mask is None else {"mask": mask})

        def loss(batch=batch):
            return model.objective(model.loss_terms(batch, seed=0))

        with tf.GradientTape() as tape:
            value = loss()
        for variable, gradient in zip(
            raw, tape.gradient(value, [v.value for v in raw]), strict=True
        ):
            assert gradient.shape == variable.shape
            start, sides = variable.numpy(), []
            for sign in (1, -1):
                variable.assign(start + sign * 1e-5)
                sides.append(float(loss()))
            variable.assign(start)
            np.testing.assert_allclose(
                np.sum(gradient), (sides[0] - sides[1]) / 2e-5, **FINITE_DIFFERENCES
            )


@pytest.mark.slow
def test_long_sequences_train_in_eager_mode():
    model = make(dtype="float32", noise_transition="learned")
    codes = np.random.default_rng(2).normal(size=(2, 66, 2)).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = model.objective(model.loss_terms({"codes": codes}, seed=0))
    np.testing.assert_allclose(-loss, model.lgssm_bound(codes).total, **FLOAT32)
    gradients = tape.gradient(
        loss, [v.value for v in model.variable_groups["lgssm"] if v is not model.B]
    )
    assert all(np.isfinite(g).all() for g in gradients)
    np.testing.assert_allclose(
        model.objective(model.loss_terms({"codes": codes}, seed=0)), loss, **SAME_FLOAT32
    )
