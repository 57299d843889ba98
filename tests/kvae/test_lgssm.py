"""Filter, smoother and bounds against a dense joint Gaussian in NumPy, and against samples."""

from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from kvae.lgssm import bounds, closed_loop, compiled, inference
from kvae.results import Mixed
from tests.references import dense_gaussian
from tests.references.tfp_lgssm import filter_and_smooth, ours
from tests.tolerances import FINITE_DIFFERENCES, FLOAT64, STANDARD_ERRORS

NOISE = inference.Covariances(transition=0.08, emission=0.03, initial=2.0)


@pytest.fixture(scope="module")
def system():
    alpha, (A, B, C), u, a, mask = dense_gaussian.random_system(np.random.default_rng(0))
    return Mixed(*map(tf.constant, (alpha, A, B, C, u))), tf.constant(a), tf.constant(mask)


@tf.function(autograph=False)
def everything(a, mask, mixed):
    system = ours(mixed, NOISE)
    run = closed_loop.Run(inference.filter_states(a, mask, system), mixed, _Of(system))
    states, backward = inference.smooth_states(run.filter_pass, system)
    bound = bounds.marginal_bound(a, mask, system, run.filter_pass, states, backward)
    return run.filtered(), run.smoothed(), bound, inference.log_likelihood(a, mask, system)


class _Of(NamedTuple):
    """In the place of a distribution."""

    system: inference.System


@tf.function(autograph=False)
def filtered_states(a, mask, mixed):
    system = ours(mixed, NOISE)
    return closed_loop.Run(inference.filter_states(a, mask, system), mixed, _Of(system)).filtered()


def dense(system, b, observed):
    mixed, a, _ = system
    A, B, C, u = (m.numpy()[b] for m in (mixed.A, mixed.B, mixed.C, mixed.u))
    eye = np.eye
    return dense_gaussian.posterior(
        a.numpy()[b],
        observed,
        A,
        B,
        C,
        u,
        NOISE.transition * eye(4),
        NOISE.emission * eye(2),
        NOISE.initial * eye(4),
    )


def test_filter_and_smoother_equal_the_dense_joint_gaussian(system):
    mixed, a, mask = system
    filtered, smoothed, _, log_likelihood = everything(a, mask, mixed)
    for b in range(3):
        observed = mask.numpy()[b] > 0.5
        mean, cov, log_p = dense(system, b, observed)
        np.testing.assert_allclose(smoothed.mean[b], mean, **FLOAT64)
        np.testing.assert_allclose(smoothed.cov[b], np.einsum("tnts->tns", cov), **FLOAT64)
        np.testing.assert_allclose(log_likelihood[b], log_p, **FLOAT64)
        np.testing.assert_allclose(tf.reduce_sum(filtered.log_likelihood[b]), log_p, **FLOAT64)
        for t in range(6):
            past = observed & (np.arange(6) <= t)
            mean, cov, _ = dense(system, b, past)
            np.testing.assert_allclose(filtered.mean[b, t], mean[t], **FLOAT64)
            np.testing.assert_allclose(filtered.cov[b, t], cov[t, :, t], **FLOAT64)
            mean, cov, _ = dense(system, b, past & (np.arange(6) < t))
            np.testing.assert_allclose(filtered.predicted_mean[b, t], mean[t], **FLOAT64)
            np.testing.assert_allclose(filtered.predicted_cov[b, t], cov[t, :, t], **FLOAT64)


@pytest.mark.parametrize("masked", [False, True])
def test_filter_and_smoother_equal_tfps(system, masked):
    mixed, a, mask = system
    mask = mask if masked else tf.ones_like(mask)
    filtered, smoothed, _, log_likelihood = everything(a, mask, mixed)
    theirs = tf.function(filter_and_smooth, autograph=False)(a, mask, mixed, NOISE)
    found = dict(
        log_likelihood=filtered.log_likelihood,
        mean=filtered.mean,
        cov=filtered.cov,
        predicted_mean=filtered.predicted_mean[:, 1:],
        predicted_cov=filtered.predicted_cov[:, 1:],
        smoothed_mean=smoothed.mean,
        smoothed_cov=smoothed.cov,
    )
    for name, value in theirs.items():
        np.testing.assert_allclose(found[name], value, err_msg=name, **FLOAT64)
    np.testing.assert_allclose(
        log_likelihood, tf.reduce_sum(theirs["log_likelihood"], 1), **FLOAT64
    )


@pytest.mark.slow
def test_the_compiled_log_likelihood_and_its_gradients_are_the_same(system):
    """By XLA, inside a graph that is not, each sequence weighted differently; a noise that all
    sequences share too."""
    mixed, a, mask = system
    weights = tf.constant([0.5, -2.0, 3.0], tf.float64)
    shared = tf.constant(0.08, tf.float64)

    @tf.function(autograph=False)
    def both(jit_compile):
        tensors = (a, mixed.A, mixed.B, mixed.C, mixed.u, shared)
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            model = ours(mixed, NOISE._replace(transition=shared))
            value = compiled.call(inference.log_likelihood, a, mask, model, jit_compile=jit_compile)
            total = tf.reduce_sum(weights * value)
        return value, tape.gradient(total, tensors)

    (value, gradients), (plain, plain_gradients) = both(True), both(False)
    np.testing.assert_allclose(value, plain, **FLOAT64)
    for xla, graph in zip(gradients, plain_gradients, strict=True):
        np.testing.assert_allclose(xla, graph, **FLOAT64)


def test_the_marginal_bound_is_the_log_likelihood_and_its_terms_are_exact(system):
    mixed, a, mask = system
    _, _, bound, log_likelihood = everything(a, mask, mixed)
    frames = mask.numpy().sum()
    np.testing.assert_allclose(bound.total, log_likelihood.numpy().sum() / frames, **FLOAT64)
    np.testing.assert_allclose(bound.total, tf.add_n(bound[1:]), **FLOAT64)
    entropy = 0.0
    for b in range(3):
        _, cov, _ = dense(system, b, mask.numpy()[b] > 0.5)
        entropy += 0.5 * np.linalg.slogdet(2 * np.pi * np.e * cov.reshape(24, 24))[1]
    np.testing.assert_allclose(bound.entropy, entropy / frames, **FLOAT64)


def test_the_marginal_terms_equal_the_mean_over_joint_posterior_samples(system):
    """Monte Carlo: E_q of the transition, emission and initial terms under the dense joint
    posterior."""
    mixed, a, mask = system
    _, _, bound, _ = everything(a, mask, mixed)
    rng, count = np.random.default_rng(1), 4000
    totals = np.zeros((3, count))
    for b in range(3):
        mean, cov, _ = dense(system, b, mask.numpy()[b] > 0.5)
        z = rng.multivariate_normal(mean.ravel(), cov.reshape(24, 24), size=count).reshape(
            count, 6, 4
        )
        one = Mixed(*(tf.repeat(m[b : b + 1], count, axis=0) for m in mixed))
        codes, seen = (
            tf.repeat(a[b : b + 1], count, axis=0),
            tf.repeat(mask[b : b + 1], count, axis=0),
        )
        totals[0] += bounds._transition(tf.constant(z), ours(one, NOISE)).numpy()
        totals[1] += bounds._emission(codes, tf.constant(z), seen, ours(one, NOISE)).numpy()
        totals[2] += bounds._initial(tf.constant(z), NOISE).numpy()
    totals /= mask.numpy().sum()
    for sampled, exact in zip(
        totals, (bound.transition, bound.emission, bound.initial), strict=True
    ):
        error = sampled.std() / np.sqrt(count)
        assert abs(sampled.mean() - float(exact)) < STANDARD_ERRORS * error


def test_the_sampled_bound_is_below_the_marginal_one_on_average(system):
    mixed, a, mask = system
    _, smoothed, bound, _ = everything(a, mask, mixed)

    @tf.function(autograph=False)
    def draw(seed):
        model = ours(mixed, NOISE)
        states, _ = inference.smooth_states(inference.filter_states(a, mask, model), model)
        z = bounds.draw_marginals(
            states, tf.random.stateless_normal([3, 6, 4], seed, dtype=tf.float64)
        )
        np.testing.assert_equal(z.shape, (3, 6, 4))
        return bounds.sampled_bound(a, mask, model, states, z), z, bounds.log_marginals(states, z)

    _, z, log_q = draw(tf.constant([7, 0]))
    np.testing.assert_allclose(log_q, smoothed.distribution().log_prob(z), **FLOAT64)

    samples = [draw(tf.constant([7, i]))[0] for i in range(300)]
    totals = np.array([float(s.total) for s in samples])
    assert totals.mean() < float(bound.total)
    for s in samples[:5]:
        np.testing.assert_allclose(
            s.total, s.transition + s.emission + s.initial + s.entropy, **FLOAT64
        )


def test_a_mask_of_ones_is_no_mask(system):
    mixed, a, _ = system
    with_mask = everything(a, tf.ones_like(a[..., 0]), mixed)
    filtered = filtered_states(a, None, mixed)
    for without, masked in zip(filtered, with_mask[0], strict=True):
        np.testing.assert_allclose(without, masked, **FLOAT64)


def test_gradients_equal_finite_differences(system):
    mixed, a, mask = system

    @tf.function(autograph=False)
    def value_and_gradients(A, C, B):
        with tf.GradientTape() as tape:
            tape.watch((A, B, C))
            moved = ours(mixed._replace(A=A, B=B, C=C), NOISE)
            total = tf.reduce_sum(inference.log_likelihood(a, mask, moved))
        return total, tape.gradient(total, (A, C, B))

    point = [mixed.A, mixed.C, mixed.B]
    _, gradients = value_and_gradients(*point)
    rng = np.random.default_rng(2)
    for which, gradient in enumerate(gradients):
        for _ in range(4):
            index = tuple(rng.integers(n) for n in gradient.shape)
            if which != 1 and index[1] == 0:
                assert gradient[index] == 0  # A_1 and B_1 are not used: z_1 comes from the prior
                continue
            values = []
            for sign in (1, -1):
                moved = [m.numpy().copy() for m in point]
                moved[which][index] += sign * 1e-5
                values.append(float(value_and_gradients(*map(tf.constant, moved))[0]))
            np.testing.assert_allclose(
                gradient[index], (values[0] - values[1]) / 2e-5, **FINITE_DIFFERENCES
            )
