"""The filter over missing frames and the generator, against TFP's filter and against plain NumPy
loops."""

import numpy as np
import pytest
import tensorflow as tf

from kvae import KVAE
from kvae.results import Filtered
from tests.references import dense_gaussian
from tests.references.tfp_lgssm import filter_and_smooth
from tests.tolerances import FLOAT64


def make(**options):
    tf.keras.utils.set_random_seed(3)
    model = KVAE(
        (8, 8),
        num_filters=(2,),
        alpha_units=5,
        dim_u=2,
        init_kf_matrices=0.5,
        dtype="float64",
        **options,
    )
    rng = np.random.default_rng(4)
    model.A.assign(model.A.numpy() + 0.1 * rng.normal(size=model.A.shape))
    model.a_0.assign(rng.normal(size=2))
    return model


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    mask = np.ones((3, 7))
    mask[0, 2:5] = 0
    mask[1, 6] = 0
    mask[2, [0, 1, 3]] = 0
    return rng.normal(size=(3, 7, 2)), mask, rng.normal(size=(3, 7, 2))


def test_gaps_equal_tfps_mask_where_the_matrices_do_not_depend_on_the_codes(data):
    """K = 1: alpha is 1 whatever was seen, so TFP's own masked filter is the oracle."""
    a, mask, u = data
    model = make(K=1)
    ours = model.filter(a, mask, u)
    mixed = model._states.mixed(tf.constant(a), tf.constant(u))
    theirs = tf.function(filter_and_smooth, autograph=False)(
        tf.constant(a), tf.constant(mask), mixed, model._covariances
    )
    for name in ("log_likelihood", "mean", "cov"):
        np.testing.assert_allclose(getattr(ours, name), theirs[name], err_msg=name, **FLOAT64)
    for name in ("predicted_mean", "predicted_cov"):
        np.testing.assert_allclose(
            getattr(ours, name)[:, 1:], theirs[name], err_msg=name, **FLOAT64
        )
    smoothed = model.smooth(a, mask, u)
    np.testing.assert_allclose(smoothed.mean, theirs["smoothed_mean"], **FLOAT64)
    np.testing.assert_allclose(smoothed.cov, theirs["smoothed_cov"], **FLOAT64)


@pytest.mark.parametrize(
    "options", [dict(alpha_rnn=True), dict(alpha_rnn=False, fifo_size=3, learn_u=True)]
)
def test_the_scan_equals_a_plain_loop(data, options):
    """The dynamics network hears C_t mu_{t|t-1} at missing frames: NumPy's dense posterior, one
    step at a time."""
    a, mask, u = data
    model = make(**options)
    result = model.filter(a, mask, u)
    A, B, C = (w.numpy() for w in (model.A, model.B, model.C))
    inputs = np.broadcast_to(model.a_0.numpy(), (3, 2))
    state = model.dynamics.initial_state(3)
    eye, used = np.eye, [[], [], [], []]
    for t in range(7):
        (alpha, learned), state = model.dynamics.step(tf.constant(inputs), state)
        used[0].append(np.einsum("bk,kij->bij", alpha, A))
        used[1].append(np.einsum("bk,kij->bij", alpha, B))
        used[2].append(np.einsum("bk,kij->bij", alpha, C))
        used[3].append(u[:, t] if learned is None else learned.numpy())
        At, Bt, Ct, ut = (np.stack(m, 1) for m in used)
        inputs = np.empty((3, 2))
        for b in range(3):
            noise = 0.08 * eye(4), 0.03 * eye(2), 20.0 * eye(4)
            past = (mask[b, : t + 1] > 0.5) & (np.arange(t + 1) < t)
            predicted, _, _ = dense_gaussian.posterior(
                a[b, : t + 1], past, At[b], Bt[b], Ct[b], ut[b], *noise
            )
            inputs[b] = a[b, t] if mask[b, t] else Ct[b, t] @ predicted[t]
            mean, _, _ = dense_gaussian.posterior(
                a[b, : t + 1], mask[b, : t + 1] > 0.5, At[b], Bt[b], Ct[b], ut[b], *noise
            )
            np.testing.assert_allclose(result.mean[b, t], mean[t], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(result.alpha[:, t], alpha, **FLOAT64)


@pytest.mark.parametrize(
    "options",
    [dict(), dict(alpha_rnn=False, fifo_size=2), dict(alpha_rnn=False, learn_u=True), dict(K=1)],
)
def test_a_mask_of_ones_changes_nothing(data, options):
    """The scan, step by step, against the network over the whole sequence and the filter after
    it."""
    a, _, u = data
    model = make(**options)
    for name, ours, theirs in zip(
        Filtered._fields, model.filter(a, np.ones((3, 7)), u), model.filter(a, None, u), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, err_msg=name, **FLOAT64)


def test_generation_holds_the_given_states_and_then_follows_the_equations(data):
    _, _, u = data
    model = make()
    states = np.random.default_rng(7).normal(size=(3, 3, 4))
    made = model.generate(7, states=states, controls=u)
    np.testing.assert_allclose(made.z[:, :3], states, **FLOAT64)
    A, B, C = (np.einsum("btk,kij->btij", made.alpha, w) for w in (model.A, model.B, model.C))
    z, a = made.z.numpy(), made.a.numpy()
    np.testing.assert_allclose(a, np.einsum("btij,btj->bti", C, z), **FLOAT64)
    for t in range(3, 7):
        step = np.einsum("bij,bj->bi", A[:, t], z[:, t - 1]) + np.einsum(
            "bij,bj->bi", B[:, t], u[:, t]
        )
        np.testing.assert_allclose(z[:, t], step, **FLOAT64)
    first = np.broadcast_to(model.a_0.numpy(), (3, 1, 2))
    alpha, _ = model.dynamics(tf.constant(np.concatenate([first, a[:, :-1]], 1)))
    np.testing.assert_allclose(made.alpha, alpha, **FLOAT64)


def test_stochastic_generation_has_the_models_noise_and_follows_its_seed():
    model = make(K=1)
    states = np.zeros((4000, 1, 4))
    one, same, other = (
        model.generate(3, states=states, stochastic=True, seed=s) for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.z, same.z)
    assert np.abs(one.z.numpy() - other.z.numpy()).max() > 0.1
    np.testing.assert_allclose(one.z.numpy()[:, 1].var(axis=0), 0.08, rtol=6 * np.sqrt(2 / 4000))
    residual = one.a.numpy() - np.einsum("kij,btj->bti", model.C, one.z)
    np.testing.assert_allclose(residual[:, 0], 0.0, atol=1e-12)  # of the given state
    np.testing.assert_allclose(residual[:, 1:].var(axis=(0, 1)), 0.03, rtol=6 * np.sqrt(2 / 8000))
