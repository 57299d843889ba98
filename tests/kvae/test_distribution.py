"""`MixedLGSSM` against TFP's own class in float64, and as TFP's tools see it."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_probability import distributions as tfd

from kvae.lgssm import MixedLGSSM
from tests.references.tfp_plain import plain
from tests.tolerances import FINITE_DIFFERENCES, FLOAT64, STANDARD_ERRORS

pytestmark = pytest.mark.eager

B, T, Z, D = 2, 5, 3, 2
NAMES = (
    "A",
    "C",
    "control_input",
    "offset",
    "noise_transition",
    "noise_emission",
    "init_cov",
    "init_mean",
)


def arrays(seed=0, steps=T, extra=0):
    """Arguments of every kind: covariances, variances that change, offsets; a mask; values x [4, B,
    T, D]."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(steps + extra, Z, Z))
    made = dict(
        A=np.eye(Z) + 0.3 * rng.normal(size=(B, steps + extra, Z, Z)),
        C=rng.normal(size=(B, steps, D, Z)),
        control_input=rng.normal(size=(B, steps + extra, Z)),
        offset=rng.normal(size=(steps, D)),
        noise_transition=0.1 * root @ root.transpose(0, 2, 1) + 0.01 * np.eye(Z),
        noise_emission=rng.uniform(0.1, 1.0, (steps, D)),
        init_cov=np.cov(rng.normal(size=(Z, 9))),
        init_mean=rng.normal(size=(B, Z)),
    )
    return made, rng.random((B, steps)) < rng.random(), rng.normal(size=(4, B, steps, D))


def tensors(made, dtype="float64"):
    return {name: tf.constant(value, dtype) for name, value in made.items()}


def ours(made, mask=None, **options):
    return MixedLGSSM(
        **(tensors(made) if not tf.is_tensor(made["A"]) else made), mask=mask, **options
    )


def results(model, x):
    """The values of every method that draws nothing, by name. Covariances without sample dimensions
    get them."""
    filtered, (mean, cov) = model.forward_filter(x), model.posterior_marginals(x)
    codes = model.latents_to_observations(mean, cov + tf.zeros_like(mean)[..., None])
    found = dict(log_prob=model.log_prob(x), mean=model.mean(), variance=model.variance())
    found |= filtered._asdict() | dict(
        smoothed_mean=mean, smoothed_cov=cov, codes_mean=codes[0], codes_cov=codes[1]
    )
    batch = tf.shape(x)[:-2]
    for name, value in found.items():
        if name.endswith("cov") or name.endswith("covs"):
            found[name] = tf.broadcast_to(value, tf.concat([batch, tf.shape(value)[-3:]], 0))
    return found


def total(found):
    """A sum that weighs every number of the results differently."""
    parts = []
    for value in found.values():
        flat = tf.reshape(value, [-1])
        parts.append(tf.reduce_sum(flat * tf.cos(tf.cast(tf.range(tf.size(flat)), flat.dtype))))
    return tf.add_n(parts)


def values_and_gradients(make):
    def compute(given, mask, x):
        with tf.GradientTape() as tape:
            tape.watch((given, x))
            found = results(make(given, mask), x)
            loss = total(found)
        return found, tape.gradient(loss, (given, x))

    return compute


theirs = tf.function(
    values_and_gradients(lambda given, mask: plain(**given, mask=mask)),
    autograph=False,
    reduce_retracing=True,
)


def compare(found, expected):
    (values, gradients), (their_values, their_gradients) = found, expected
    for name, value in their_values.items():
        np.testing.assert_allclose(values[name], value, err_msg=name, **FLOAT64)
    for name in NAMES:
        gradient, their = gradients[0][name], their_gradients[0][name]
        if name in (
            "noise_transition",
            "init_cov",
        ):  # TFP's Cholesky reads one triangle, ours another
            gradient, their = (0.5 * (g + tf.linalg.matrix_transpose(g)) for g in (gradient, their))
        np.testing.assert_allclose(
            gradient, their, err_msg=name, rtol=1e-6, atol=1e-6 * np.abs(their).max()
        )
    np.testing.assert_allclose(gradients[1], their_gradients[1], **FLOAT64)


def assert_tfps(made, mask, x):
    given, mask, x = tensors(made), tf.constant(mask), tf.constant(x)
    # Always a graph: outside of one TFP's gradients stop at its tf.vectorized_map.
    expected = theirs.get_concrete_function(given, mask, x)(given, mask, x)
    compare(values_and_gradients(ours)(given, mask, x), expected)


@pytest.mark.slow
def test_every_value_and_gradient_equals_tfps_with_the_matrices_after_the_last_step():
    """The fast test: the prediction after the last step needs the matrices of the next."""
    assert_tfps(*arrays(2, extra=1))


@pytest.mark.slow
@settings(max_examples=3, deadline=None, derandomize=True)
@given(st.integers(0, 2**31))
def test_every_value_and_gradient_equals_tfps_in_eager_mode(seed):
    assert_tfps(*arrays(seed))


@pytest.mark.slow
@pytest.mark.parametrize("jit", [None, True])
def test_every_value_and_gradient_equals_tfps_in_a_function(jit):
    made, mask, x = arrays(1)
    given, x, mask = tensors(made), tf.constant(x), tf.constant(mask)
    compute = tf.function(values_and_gradients(ours), autograph=False, jit_compile=jit)
    compare(compute(given, mask, x), theirs(given, mask, x))


SIMPLE = [
    dict(noise_transition=0.08, noise_emission=0.03, init_cov=20.0),
    dict(
        noise_transition=np.array([0.1, 0.0, 0.2]),
        noise_emission=np.array([0.3, 0.1]),
        init_cov=np.array([1.0, 0.0, 2.0]),
    ),
    dict(noise_transition=0.0, noise_emission=0.1, init_cov=np.eye(Z)),
    dict(
        noise_transition=np.ones((Z, Z)), noise_emission=0.0, init_cov=np.ones((Z, Z)) + np.eye(Z)
    ),
]


@pytest.mark.parametrize("noises", SIMPLE)
@pytest.mark.slow
def test_noises_of_every_form_and_their_gradients_by_finite_differences(noises):
    made, mask, x = arrays(3)
    noises = {name: np.asarray(value, np.float64) for name, value in noises.items()}
    fixed = {name: tf.constant(made[name]) for name in ("A", "C", "control_input")}
    full = dict(
        noise_transition=np.tile(
            np.diag(noises["noise_transition"] * np.ones(Z))
            if noises["noise_transition"].ndim < 2
            else noises["noise_transition"],
            (T, 1, 1),
        ),
        noise_emission=np.tile(noises["noise_emission"] * np.ones(D), (T, 1)),
        init_cov=np.diag(noises["init_cov"] * np.ones(Z))
        if noises["init_cov"].ndim < 2
        else noises["init_cov"],
    )

    def loss(noises):
        model = MixedLGSSM(**fixed, **noises, mask=mask)
        mean, cov = model.posterior_marginals(x)
        return (
            tf.reduce_sum(model.log_prob(x))
            + tf.reduce_sum(mean)
            + tf.reduce_sum(tf.linalg.diag_part(cov))
        )

    np.testing.assert_allclose(loss(noises), loss(full), **FLOAT64)
    given = tensors(noises)
    with tf.GradientTape() as tape:
        tape.watch(given)
        value = loss(given)
    gradients = tape.gradient(value, given)
    for name, noise in noises.items():
        assert np.isfinite(gradients[name]).all()
        direction = np.where(noise > 0, 1.0, 0.0) if noise.ndim < 2 else np.eye(len(noise))
        if not direction.any() or (noises["noise_emission"] == 0).all():
            continue  # a variance of 0 has a derivative on one side only
        sides = [float(loss(noises | {name: noise + sign * 1e-5 * direction})) for sign in (1, -1)]
        if noise.ndim == 2 and np.linalg.matrix_rank(noise) < len(noise):
            continue
        slope = (sides[0] - sides[1]) / 2e-5
        np.testing.assert_allclose(np.sum(gradients[name] * direction), slope, **FINITE_DIFFERENCES)


def test_draws_have_the_moments_of_the_prior_and_the_posterior():
    made, mask, x = arrays(4)
    model, count = ours(made, mask), 20000
    states, cov = model.posterior_marginals(x[0])
    for draws, mean, variance in (
        (model.sample(count, seed=1), model.mean(), model.variance()),
        (model.posterior_sample(x[0], count, seed=1), states, tf.linalg.diag_part(cov)),
    ):
        error = np.abs(tf.reduce_mean(draws, 0) - mean) / np.sqrt(variance / count)
        assert error.max() < STANDARD_ERRORS
        np.testing.assert_allclose(
            tf.math.reduce_variance(draws, 0) / variance, 1.0, atol=6 * np.sqrt(2 / count)
        )


@pytest.mark.slow
def test_joint_draws_follow_tfps_joint_posterior():
    """The lag-one covariances of the paths, against those of TFP's draws."""
    made, mask, x = arrays(5)
    given = tensors(made)
    draw = tf.function(
        lambda: plain(**given, mask=tf.constant(mask)).posterior_sample(x[0], 20000, seed=2),
        autograph=False,
    )
    lagged = []
    for draws in (draw().numpy(), ours(made, mask).posterior_sample(x[0], 20000, seed=1).numpy()):
        draws = draws - draws.mean(0)
        lagged.append(np.einsum("sbti,sbtj->btij", draws[:, :, 1:], draws[:, :, :-1]) / len(draws))
    scale = np.abs(lagged[0]).max()
    np.testing.assert_allclose(lagged[0], lagged[1], atol=0.06 * scale)


def test_an_integer_of_numpy_is_a_seed_too():
    model = ours(*arrays(6)[:2])
    np.testing.assert_array_equal(model.sample(seed=np.int64(3)), model.sample(seed=3))


@pytest.mark.slow
def test_draws_are_differentiable_and_follow_the_seed():
    made, mask, x = arrays(6)
    given = tensors(made)

    def draws(control_input):
        model = ours(given | {"control_input": control_input}, mask)
        return tf.reduce_sum(model.sample(seed=3)) + tf.reduce_sum(
            model.posterior_sample(x, 2, seed=3)
        )

    with tf.GradientTape() as tape:
        tape.watch(given["control_input"])
        value = draws(given["control_input"])
    gradient = tape.gradient(value, given["control_input"])
    step = np.zeros((B, T, Z))
    step[1, 2, 0] = 1e-5
    slope = (
        float(draws(given["control_input"] + step)) - float(draws(given["control_input"] - step))
    ) / 2e-5
    np.testing.assert_allclose(gradient[1, 2, 0], slope, **FINITE_DIFFERENCES)


@pytest.mark.graph
@pytest.mark.slow
def test_long_sequences_by_xla_have_gradients_in_eager_mode():
    """A tape around a loop that XLA compiled fails by itself (TensorList crossing the XLA/TF
    boundary)."""
    made, mask, x = arrays(7, steps=70)
    given = tensors({name: made[name] for name in ("A", "C")} | {"noise_transition": 0.1})
    found = []
    for jit_compile in (None, True):
        with tf.GradientTape() as tape:
            tape.watch(given)
            model = MixedLGSSM(
                **given, noise_emission=0.1, init_cov=1.0, mask=mask, jit_compile=jit_compile
            )
            value = model.log_prob(x)
        found.append((value, tape.gradient(value, given)))
    np.testing.assert_allclose(found[0][0], found[1][0], **FLOAT64)
    for name in given:
        scale = np.abs(found[0][1][name]).max()
        np.testing.assert_allclose(found[0][1][name], found[1][1][name], rtol=0, atol=1e-8 * scale)
    assert found[0][1]["noise_transition"].shape == ()


@pytest.mark.slow
def test_xla_on_request_gives_the_same():
    made, mask, x = arrays(8, steps=17)
    plain_model, compiled = ours(made, mask), ours(made, mask, jit_compile=True)
    expected = results(plain_model, x)
    for name, value in results(compiled, x).items():
        np.testing.assert_allclose(value, expected[name], err_msg=name, **FLOAT64)
    np.testing.assert_allclose(plain_model.sample(3, seed=1), compiled.sample(3, seed=1), **FLOAT64)


@pytest.mark.graph
@pytest.mark.slow
def test_draws_by_xla_do_not_read_the_padding():
    made, mask, x = arrays(8, steps=17)
    drawn = (
        ours(made, mask, jit_compile=jit).posterior_sample(x, 3, seed=1) for jit in (None, True)
    )
    np.testing.assert_allclose(*drawn, **FLOAT64)


def test_float32_and_float64():
    made, mask, x = arrays(9)
    single = MixedLGSSM(**tensors(made, "float32"), mask=mask)
    assert single.dtype == single.log_prob(x.astype(np.float32)).dtype == tf.float32
    np.testing.assert_allclose(
        single.log_prob(x.astype(np.float32)), ours(made, mask).log_prob(x), rtol=1e-4
    )
    assert ours(made).log_prob(x).dtype == tf.float64


# --- as TFP's tools see it ---


@pytest.mark.slow
def test_slices_copies_and_batches():
    made, mask, x = arrays(10)
    model, expected = ours(made, mask), ours(made, mask).log_prob(x)
    assert (model.batch_shape, model.event_shape) == ((B,), (T, D))
    np.testing.assert_allclose(model[1].log_prob(x[:, 1]), expected[:, 1], **FLOAT64)
    np.testing.assert_allclose(
        model[:, None].log_prob(x[:, :, None]), expected[..., None], **FLOAT64
    )
    simple = MixedLGSSM(
        made["A"], made["C"], noise_transition=0.1, noise_emission=0.1, init_cov=1.0
    )
    np.testing.assert_allclose(simple[:1].log_prob(x[:, :1]), simple.log_prob(x)[:, :1], **FLOAT64)
    np.testing.assert_allclose(
        model.copy(offset=None).copy(offset=made["offset"]).log_prob(x), expected, **FLOAT64
    )
    np.testing.assert_allclose(
        tfd.Independent(model, 1).log_prob(x), tf.reduce_sum(expected, -1), **FLOAT64
    )
    reshaped = tfd.BatchReshape(model, [B, 1])
    np.testing.assert_allclose(reshaped.log_prob(x[:, :, None]), expected[..., None], **FLOAT64)
    joint = tfd.JointDistributionSequential(
        [tfd.Normal(tf.zeros([], tf.float64), 1.0), lambda s: ours(made, mask)]
    )
    drawn = joint.sample(seed=1)
    np.testing.assert_allclose(
        joint.log_prob(drawn) - joint.model[0].log_prob(drawn[0]),
        model.log_prob(drawn[1]),
        **FLOAT64,
    )


@pytest.mark.slow
def test_it_crosses_functions_conditions_loops_and_saved_models(tmp_path):
    made, mask, x = arrays(11)
    model, expected = ours(made, mask), ours(made, mask).log_prob(x)
    crossed = tf.function(
        lambda m, flag: tf.cond(flag, lambda: m, lambda: m.copy()), autograph=False
    )
    for flag in (True, False):
        np.testing.assert_allclose(
            crossed(model, tf.constant(flag)).log_prob(x), expected, **FLOAT64
        )
    _, looped = tf.while_loop(lambda i, m: i < 2, lambda i, m: (i + 1, m.copy()), (0, model))
    np.testing.assert_allclose(looped.log_prob(x), expected, **FLOAT64)

    class Module(tf.Module):
        @tf.function(autograph=False)
        def log_prob(self, m, x):
            return m.log_prob(x)

        @tf.function(autograph=False)
        def same(self, m):
            return m

    module = Module()
    module.log_prob(model, x)
    module.same(model)
    tf.saved_model.save(module, str(tmp_path))
    again = tf.saved_model.load(str(tmp_path))
    np.testing.assert_allclose(again.log_prob(model, x), expected, **FLOAT64)
    assert type(again.same(model)) is MixedLGSSM


@pytest.mark.slow
def test_one_trace_serves_every_batch_and_length():
    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec([None, None, *s], tf.float64) for s in ([Z, Z], [D, Z], [D])
        ],
    )
    def compute(A, C, x):
        model = MixedLGSSM(A, C, noise_transition=0.1, noise_emission=0.2, init_cov=1.0)
        return (
            model.log_prob(x),
            model.posterior_marginals(x)[0],
            model.sample(2, seed=1),
            model.mean(),
        )

    for batch, steps in ((1, 1), (2, 4)):
        made, _, x = arrays(12, steps=steps)
        A, C, x = made["A"][:batch], made["C"][:batch], x[0, :batch]
        log_prob, mean, sample, prior = compute(A, C, x)
        model = MixedLGSSM(A, C, noise_transition=0.1, noise_emission=0.2, init_cov=1.0)
        np.testing.assert_allclose(log_prob, model.log_prob(x), **FLOAT64)
        np.testing.assert_allclose(mean, model.posterior_marginals(x)[0], **FLOAT64)
        np.testing.assert_allclose(prior, model.mean(), **FLOAT64)
        assert sample.shape == (2, batch, steps, D)


@pytest.mark.graph
@pytest.mark.slow
def test_sizes_and_forms_that_change_from_call_to_call_do_not_meet():
    """Relaxed to unknown sizes, a trace would know neither the size of the state nor whether the
    noise changes."""
    rng = np.random.default_rng(14)
    calls = (
        (1, 4, 3, 2, 1),
        (2, 5, 2, 1, 5),
        (3, 4, 3, 2, 4),
        (4, 3, 3, 2, 1),
        (5, 6, 2, 1, 1),
        (2, 2, 4, 3, 1),
    )
    for batch, steps, dim_z, dim_a, changing in calls:
        made = dict(
            A=tf.constant(rng.normal(size=(batch, steps, dim_z, dim_z))),
            C=tf.constant(rng.normal(size=(batch, steps, dim_a, dim_z))),
            noise_transition=tf.linalg.diag(tf.constant(rng.uniform(0.1, 1.0, (changing, dim_z)))),
            noise_emission=0.2,
            init_cov=tf.constant(1.0, tf.float64),
        )
        x = rng.normal(size=(batch, steps, dim_a))
        inside = tf.function(lambda made=made, x=x: MixedLGSSM(**made).log_prob(x), autograph=False)
        np.testing.assert_allclose(MixedLGSSM(**made).log_prob(x), inside(), **FLOAT64)


def test_masks_of_a_call_replace_those_of_the_model_and_nan_is_not_read():
    made, mask, x = arrays(13)
    other = ~mask
    other[:, 0] = False
    np.testing.assert_allclose(
        ours(made, mask).log_prob(x, mask=other), ours(made, other).log_prob(x), **FLOAT64
    )
    holes = np.where(other[..., None], np.nan, x)
    np.testing.assert_allclose(
        ours(made, other).log_prob(holes), ours(made, other).log_prob(x), **FLOAT64
    )


GOOD = {
    "A": np.ones((B, T, Z, Z)),
    "C": np.ones((B, T, D, Z)),
    "noise_transition": 0.1,
    "noise_emission": 0.1,
    "init_cov": 1.0,
}
REFUSED = [
    (
        dict(A=np.ones((T, Z, 2))),
        r"A: expected the shape \[..., T, dim_z, dim_z\], got \[5, 3, 2\]",
    ),
    (dict(A=np.ones((Z, Z))), r"A: expected the shape \[..., T, dim_z, dim_z\], got \[3, 3\]"),
    (
        dict(C=np.ones((T, D, 4))),
        r"C: expected the shape \[..., T, dim_a, 3\] \(dim_z=3 as in A\), got \[5, 2, 4\]",
    ),
    (dict(A=np.ones((7, Z, Z))), "A: expected 5 or 6 steps, T or T [+] 1 of C, got 7"),
    (dict(A=np.ones((4, Z, Z))), "A: expected 5 or 6 steps, T or T [+] 1 of C, got 4"),
    (
        dict(C=np.ones((3, T, D, Z))),
        r"C: expected batch dimensions that broadcast with those of A, \(2,\), got \(3,\)",
    ),
    (dict(control_input=np.ones((4, Z))), r"control_input: expected the shape .*got \[4, 3\]"),
    (dict(offset=np.ones((T, Z))), r"offset: expected the shape .*got \[5, 3\]"),
    (
        dict(noise_transition=np.ones(2)),
        r"noise_transition: expected the shape \[\] or \[3\] or \[3, 3\] or .*got \[2\]",
    ),
    (
        dict(noise_emission=np.eye(D)),
        r"noise_emission: .*Full covariances of a_t are not supported",
    ),
    (dict(noise_emission=-1.0), "noise_emission: expected variances of at least 0"),
    (dict(noise_emission=np.nan), "noise_emission: expected variances of at least 0"),
    (
        dict(noise_transition=np.array([1.0, -1.0, 1.0])[:Z]),
        "noise_transition: expected variances of at least 0",
    ),
    (dict(noise_transition=np.eye(Z) - 2.0 * np.eye(Z)[0]), "noise_transition: expected"),
    (dict(init_cov=np.eye(Z) + np.eye(Z, k=1)), "init_cov: expected a symmetric covariance"),
    (dict(noise_emission=np.ones((4, D))), r"noise_emission: expected the shape .*got \[4, 2\]"),
    (dict(init_cov=np.ones(2)), r"init_cov: expected the shape .*got \[2\]"),
    (dict(init_mean=np.ones(2)), r"init_mean: expected the shape .*got \[2\]"),
    (dict(mask=np.zeros((B, 4), bool)), r"mask: expected the shape .*got \[2, 4\]"),
    (
        dict(mask=np.ones((B, T), np.float32)),
        "mask: expected bool, True = missing .* got float32. .*mask < 0.5",
    ),
    (dict(mask=np.ones((B, T), np.int32)), "mask: expected bool, True = missing .* got int32"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=range(len(REFUSED)))
def test_wrong_arguments_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        MixedLGSSM(**(GOOD | options))


def test_a_float_mask_of_a_call_is_refused():
    model = MixedLGSSM(**GOOD)
    for method in (
        model.log_prob,
        model.forward_filter,
        model.posterior_marginals,
        model.posterior_sample,
    ):
        with pytest.raises(ValueError, match="mask: expected bool, True = missing"):
            method(np.zeros((B, T, D)), mask=np.ones((B, T)))


def test_integer_matrices_are_read_as_floats():
    A, C, y = np.array([[[1, 1], [0, 1]]] * 3), np.array([[[1, 0]]] * 3), np.ones((3, 1))
    ours = MixedLGSSM(A, C, noise_transition=0.1, noise_emission=np.array([0.5]), init_cov=1.0)
    floats = MixedLGSSM(
        A * 1.0, C * 1.0, noise_transition=0.1, noise_emission=np.array([0.5]), init_cov=1.0
    )
    np.testing.assert_allclose(ours.log_prob(y), floats.log_prob(y), **FLOAT64)
