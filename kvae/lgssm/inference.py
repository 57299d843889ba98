"""Filter, smoother, log-likelihood and draws of the linear Gaussian state-space model with known
matrices.

Pure functions of tensors; arguments and results are batch-major [B, T, ...], intermediate values
are [..., T, B]. Index t is the paper's (Fraccaro et al. 2017, section 2.1): A_t maps z_{t-1} to
z_t. The public interface is `kvae.lgssm.MixedLGSSM`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from kvae import masks
from kvae.lgssm import kalman
from kvae.lgssm.kalman import Factors, State, batch_last
from kvae.lgssm.products import matvec, sandwich


class Covariances(NamedTuple):
    """Q, R, and mean and covariance of z_1. Each field may have any of the listed shapes."""

    transition: tf.Tensor | float
    """Q: a scalar; [dim_z], the variances; [dim_z, dim_z]; or [B, T, dim_z, dim_z], where B and T
    may be 1.
    """
    emission: tf.Tensor | float
    """R: a scalar; [dim_a], the variances; or [B, T, dim_a], where B and T may be 1."""
    initial: tf.Tensor | float
    """The covariance of z_1: a scalar; [dim_z]; [dim_z, dim_z]; or [B, dim_z, dim_z]."""
    initial_mean: tf.Tensor | None = None
    """The mean of z_1: None for zero; [dim_z]; or [B, dim_z]."""


class System(NamedTuple):
    """A batch of models.

    The first step of `A` and `control_input` is not used. If they have T + 1 steps, the last one
    gives the prediction after T.
    """

    A: tf.Tensor
    """[B, T or T + 1, dim_z, dim_z]."""
    control_input: tf.Tensor | None
    """[B, T or T + 1, dim_z], added to z on the step into t (B_t u_t); or None."""
    C: tf.Tensor
    """[B, T, dim_a, dim_z]."""
    offset: tf.Tensor | None
    """[B, T, dim_a], added to C_t z_t; or None."""
    covariances: Covariances
    """The noise covariances and the prior of z_1."""


class FilterPass(NamedTuple):
    """The filter's results, [..., T, B]."""

    updated: State
    """p(z_t | a_{1:t})."""
    predicted: State
    """p(z_t | a_{1:t-1})."""
    following: State
    """p(z_{t+1} | a_{1:t}); at T computed with A_T if there is no A_{T+1}."""
    log_likelihood: tf.Tensor
    """[T, B], log p(a_t | a_{1:t-1})."""


class Backward(NamedTuple):
    """The conditionals p(z_t | z_{t+1}, a_{1:t}), [..., T, B], with covariance U diag(D) U'."""

    gain: tf.Tensor
    """The gain on z_{t+1} minus its prediction; 0 at T."""
    U: tf.Tensor
    """Unit upper triangular."""
    D: tf.Tensor
    """Positive."""


def filter_states(a: tf.Tensor, mask: tf.Tensor | None, system: System) -> FilterPass:
    """Run the Kalman filter (paper, section 2.1).

    Args:
        a: [B, T, dim_a].
        mask: [B, T] or, for single numbers, [B, T, dim_a], 1 = observed; None: all observed.
        system: the model.

    Returns:
        The filter's results.
    """
    first, inputs, advance = _steps(a, mask, system)

    def step(predicted, inputs):
        updated, residual, spread, following = advance(predicted, *inputs)
        return following, (updated, following, residual, spread)

    code = tf.zeros_like(inputs[0][0])
    updated, following, *errors = scan(step, first, inputs, (first, first, code, code))
    return filter_pass_of(first, updated, following, _log_likelihood(errors, mask))


def log_likelihood(a: tf.Tensor, mask: tf.Tensor | None, system: System) -> tf.Tensor:
    """Compute log p(a_{1:T}) of the observed codes by the filter, without storing its states.

    Args:
        a: [B, T, dim_a].
        mask: [B, T] or [B, T, dim_a], 1 = observed; None: all observed.
        system: the model.

    Returns:
        [B].
    """
    first, inputs, advance = _steps(a, mask, system)

    def step(predicted, inputs):
        _, residual, spread, following = advance(predicted, *inputs)
        return following, (residual, spread)

    code = tf.zeros_like(inputs[0][0])
    return tf.reduce_sum(_log_likelihood(scan(step, first, inputs, (code, code)), mask), 0)


def _log_likelihood(errors, mask) -> tf.Tensor:
    """[T, B] from the residuals and their variances [T, dim_a, B]."""
    seen = 1.0 if mask is None else tf.transpose(masks.of_numbers(mask), [2, 1, 0])
    residual, spread = (tf.transpose(value, [1, 0, 2]) for value in errors)
    return kalman.log_density(residual, spread, seen)


def scan(step: Callable, carry: Any, elements: Any, like: Any, reverse: bool = False):
    """Run a loop over steps and stack what each step returns.

    `tf.scan` also stacks the carry, which costs as much per step as several operations. The loop
    runs in order even when it could run in parallel: the converter to ONNX requires it.

    Args:
        step: maps (carry, elements_t) to (carry, result_t).
        carry: the first carry.
        elements: a nest of tensors [T, ...].
        like: a nest of tensors with the shapes and types of result_t.
        reverse: whether the loop runs from the last step to the first.

    Returns:
        The results as a nest of tensors [T, ...].
    """
    flat = tf.nest.flatten(elements)
    steps = flat[0].shape[0] or tf.shape(flat[0])[0]
    flat = [tf.reverse(x, [0]) for x in flat] if reverse else flat
    read = [tf.TensorArray(x.dtype, steps, element_shape=x.shape[1:]).unstack(x) for x in flat]
    kept = [tf.TensorArray(x.dtype, steps, element_shape=x.shape) for x in tf.nest.flatten(like)]

    def body(i, carry, kept):
        carry, found = step(
            carry, tf.nest.pack_sequence_as(elements, [array.read(i) for array in read])
        )
        written = [array.write(i, x) for array, x in zip(kept, tf.nest.flatten(found), strict=True)]
        return i + 1, carry, written

    _, _, kept = tf.while_loop(
        lambda i, *_: i < steps, body, (0, carry, kept), maximum_iterations=steps
    )
    kept = [array.stack() for array in kept]
    return tf.nest.pack_sequence_as(like, [tf.reverse(x, [0]) for x in kept] if reverse else kept)


def smooth_states(filter_pass: FilterPass, system: System) -> tuple[State, Backward]:
    """Run the Rauch-Tung-Striebel smoother on the filter's results (paper, section 2.1).

    The smoothed covariance ::

        P_{t|T} = Cov(z_t | z_{t+1}, a_{1:t}) + G_t P_{t+1|T} G_t'

    is stored as U diag(D) U' too. Both terms are positive, so nothing is subtracted, and G_t, which
    can be large, does not amplify the rounding errors of a full matrix.

    Args:
        filter_pass: the filter's results.
        system: the model.

    Returns:
        p(z_t | a_{1:T}), [..., T, B], and the conditionals p(z_t | z_{t+1}, a_{1:t}).
    """
    backward = smoothing_gains(filter_pass, system)

    def step(later: State, inputs):
        filtered_mean, next_mean, gain, U, D = inputs
        mean = filtered_mean + kalman.product_vector(gain, later.mean - next_mean)
        state = State(mean, *kalman.add(kalman.product(gain, later.U), later.D, U, D))
        return state, state

    elements = tuple(
        map(time_first, (filter_pass.updated.mean, filter_pass.following.mean, *backward))
    )
    last = State(*(value[..., -1, :] for value in filter_pass.updated))  # pyright: ignore[reportArgumentType]
    return State(*map(time_last, scan(step, last, elements, last, reverse=True))), backward


def smoothing_gains(filter_pass: FilterPass, system: System) -> Backward:
    """Compute p(z_t | z_{t+1}, a_{1:t}) for every t; at T, p(z_T | a_{1:T}).

    Args:
        filter_pass: the filter's results.
        system: the model.

    Returns:
        The conditionals.
    """
    steps = tf.shape(filter_pass.log_likelihood)[0]
    A, transition = shifted(system.A, steps), transition_factors(system.covariances, system.A.dtype)
    transition = transition.each(lambda value: value if is_fixed(value) else _next(value, steps))
    gain, U, D = kalman.smoothing_gain(
        filter_pass.updated, tf.transpose(A, [2, 3, 1, 0]), transition
    )
    follows = tf.range(tf.shape(D)[-2])[:, None] < tf.shape(D)[-2] - 1  # False at T
    updated = filter_pass.updated
    return Backward(
        tf.where(follows, gain, 0.0),
        tf.where(follows, U, updated.U),
        tf.where(follows, D, updated.D),
    )


def draw_states(filter_pass: FilterPass, backward: Backward, noise: tf.Tensor) -> tf.Tensor:
    """Draw paths from p(z_{1:T} | a_{1:T}) by backward sampling (Fruehwirth-Schnatter 1994).

    z_T is drawn from the filtered distribution, then each z_t from p(z_t | z_{t+1}, a_{1:t}).

    Args:
        filter_pass: the filter's results.
        backward: the conditionals.
        noise: [S, B, T, dim_z], standard normal.

    Returns:
        z [S, B, T, dim_z].
    """
    spread = backward.U * tf.sqrt(backward.D)[None]
    noise = tf.transpose(noise, [2, 3, 0, 1])  # [T, dim_z, S, B]
    steps = tuple(
        map(
            time_first,
            (filter_pass.updated.mean, filter_pass.following.mean, backward.gain, spread),
        )
    )

    def step(later, inputs):
        (mean, next_mean, gain, spread), noise = inputs
        gain, spread = gain[:, :, None], spread[:, :, None]
        moved = kalman.product_vector(gain, later - next_mean[:, None]) + kalman.product_vector(
            spread, noise
        )
        z = mean[:, None] + moved
        return z, z

    last = tf.zeros_like(noise[0])
    drawn = scan(step, last, (steps, noise), last, reverse=True)
    return tf.transpose(drawn, [2, 3, 0, 1])


def draw_paths(
    system: System, state_noise: tf.Tensor, code_noise: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draw states and codes from the prior.

    Args:
        system: the model.
        state_noise: [B, T, dim_z], standard normal.
        code_noise: [B, T, dim_a], standard normal.

    Returns:
        z [B, T, dim_z] and a [B, T, dim_a].
    """
    first = first_state(tf.shape(state_noise)[0], system)
    start = first.mean + kalman.product_vector(
        first.U * tf.sqrt(first.D)[None], tf.transpose(state_noise[:, 0])
    )
    noise = tf.transpose(state_noise, [2, 1, 0])
    steps = tf.shape(noise)[1]
    deviations = transition_factors(system.covariances, system.A.dtype).deviations
    if deviations.shape.rank == 4:
        noise = kalman.product_vector(deviations[:, :, :steps], noise)
    else:
        noise *= deviations
    moves = time_first(noise)
    if system.control_input is not None:
        moves += batch_last(system.control_input[:, :steps])
    # the loop starts from z_0 = 0, so the first move is z_1 itself
    moves = tf.concat([start[None], moves[1:]], 0)

    def step(z, inputs):
        A, move = inputs
        z = kalman.product_vector(A, z) + move
        return z, z

    z = scan(step, tf.zeros_like(start), (batch_last(system.A[:, :steps]), moves), start)
    z = tf.transpose(z, [2, 0, 1])
    emission = emission_variances(system.covariances, system.A.dtype)
    spread = (
        tf.sqrt(emission)
        if emission.shape.rank == 0
        else tf.sqrt(tf.transpose(emission, [2, 1, 0]))
    )
    return z, codes_mean(z, system) + spread * code_noise


def codes_mean(z: tf.Tensor, system: System) -> tf.Tensor:
    """Compute the codes' mean C_t z_t + offset_t.

    Args:
        z: [B, T, dim_z].
        system: the model.

    Returns:
        [B, T, dim_a].
    """
    mean = matvec(system.C, z)
    return mean if system.offset is None else mean + system.offset


def codes_cov(cov: tf.Tensor, system: System) -> tf.Tensor:
    """Compute the codes' covariance C_t P_t C_t' + R_t.

    Args:
        cov: P [B, T, dim_z, dim_z].
        system: the model.

    Returns:
        [B, T, dim_a, dim_a].
    """
    emission = emission_variances(system.covariances, system.A.dtype)
    spread = emission if emission.shape.rank == 0 else tf.transpose(emission, [2, 1, 0])
    moved = sandwich(system.C, cov)
    return tf.linalg.set_diag(moved, tf.linalg.diag_part(moved) + spread)


def first_state(batch: tf.Tensor, system: System) -> State:
    """Make the prior p(z_1).

    Args:
        batch: the batch size.
        system: the model.

    Returns:
        The state, [..., B].
    """
    covariances, size = system.covariances, system.A.shape[-1]
    mean = tf.zeros([size, batch], system.A.dtype)
    if covariances.initial_mean is not None:
        given = covariances.initial_mean
        mean += given[:, None] if given.shape.rank == 1 else tf.transpose(given)
    return kalman.first_state(mean, _factors(covariances.initial, system.A.dtype))


def filter_pass_of(
    first: State, updated: State, following: State, log_likelihood: tf.Tensor
) -> FilterPass:
    """Collect the filter's results from the outputs of a scan.

    Args:
        first: p(z_1), [..., B].
        updated: p(z_t | a_{1:t}), [T, ..., B].
        following: p(z_{t+1} | a_{1:t}), [T, ..., B].
        log_likelihood: [T, B].

    Returns:
        The filter's results.
    """
    predicted = State(
        *(tf.concat([f[None], x[:-1]], 0) for f, x in zip(first, following, strict=True))
    )
    states = [State(*map(time_last, state)) for state in (updated, predicted, following)]
    return FilterPass(*states, log_likelihood=log_likelihood)


def _steps(a: tf.Tensor, mask: tf.Tensor | None, system: System):
    """p(z_1), the filter's inputs at each step [T, ..., B], and the function that takes a step
    with them.
    """
    first, steps = first_state(tf.shape(a)[0], system), tf.shape(a)[1]
    if system.offset is not None:
        a -= system.offset
    C = system.C
    if mask is not None:
        a, C = masks.zero_missing(a, mask), C * masks.of_numbers(mask)[..., None]  # pyright: ignore[reportArgumentType]
    control_input = system.control_input
    if control_input is None:
        control_input = tf.zeros_like(system.A[..., 0])  # pyright: ignore[reportArgumentType]
    inputs = tuple(map(batch_last, (a, C, shifted(system.A, steps), shifted(control_input, steps))))
    noises = (  # U and D of Q, and R
        *transition_factors(system.covariances, a.dtype),
        emission_variances(system.covariances, a.dtype),
    )
    fixed = [is_fixed(value) for value in noises]
    constant: list[Any] = [
        without_time(value) if value is not None and is_constant else None
        for value, is_constant in zip(noises, fixed, strict=True)
    ]
    if fixed[0] and fixed[1]:
        constant[:2] = kalman.with_batch(Factors(*constant[:2]), first.D)
    # step t uses R of t, and Q of the step into t + 1
    moving = [
        time_first(x if i == 2 else _next(x, steps))
        for i, x in enumerate(noises)
        if x is not None and not fixed[i]
    ]

    def advance(predicted, a, C, A_next, control_input_next, *moving):
        rest = iter(moving)
        U, D, R = (constant[i] if fixed[i] else next(rest) for i in range(3))
        noise = Factors(U, D) if fixed[1] else kalman.with_batch(Factors(U, D), predicted.D)
        updated, residual, spread = kalman.update(predicted, a, C, R)
        return updated, residual, spread, kalman.predict(updated, A_next, control_input_next, noise)

    return first, (*inputs, *moving), advance


def transition_factors(covariances: Covariances, dtype: tf.DType | str) -> Factors:
    """Factor the transition noise Q.

    Args:
        covariances: the noise covariances.
        dtype: of the result.

    Returns:
        U [dim_z, dim_z, T, B], or None if Q is diagonal, and D [dim_z, T, B] or a scalar. T and B
        may be 1.
    """
    Q = tf.convert_to_tensor(covariances.transition, dtype)
    if Q.shape.rank == 4:
        return _positive(kalman.factored(tf.transpose(Q, [2, 3, 1, 0])))
    factors = _factors(Q, dtype)
    return factors if Q.shape.rank == 0 else factors.each(lambda value: value[..., None])  # pyright: ignore[reportArgumentType]


def _factors(cov, dtype) -> Factors:
    """The factors of a covariance: a scalar, [n], [n, n] or [B, n, n]; the batch is last."""
    cov = tf.convert_to_tensor(cov, dtype)
    if cov.shape.rank < 2:
        return _positive(Factors(None, cov[:, None] if cov.shape.rank else cov))
    if cov.shape.rank == 2:
        return _positive(kalman.factored(tf.expand_dims(cov, -1)))
    return _positive(kalman.factored(tf.transpose(cov, [1, 2, 0])))


def _positive(factors: Factors) -> Factors:
    """The factors with `LEAST_VARIANCE` added to D."""
    return factors._replace(D=factors.D + kalman.LEAST_VARIANCE)


def emission_variances(covariances: Covariances, dtype: tf.DType | str) -> tf.Tensor:
    """The variances of the emission noise R.

    Args:
        covariances: the noise covariances.
        dtype: of the result.

    Returns:
        A scalar or [dim_a, T, B]. T and B may be 1.
    """
    R = tf.convert_to_tensor(covariances.emission, dtype) + kalman.LEAST_VARIANCE
    if R.shape.rank == 0:
        return R
    return R[:, None, None] if R.shape.rank == 1 else tf.transpose(R, [2, 1, 0])


def at_every_step(covariances: Covariances, dtype: tf.DType | str) -> tuple[Factors, tf.Tensor]:
    """Q and R of noise that is the same at all steps.

    Args:
        covariances: the noise covariances.
        dtype: of the result.

    Returns:
        The factors of Q and the variances R, [..., B].
    """
    return transition_factors(covariances, dtype).each(without_time), without_time(
        emission_variances(covariances, dtype)
    )


def is_fixed(value: tf.Tensor | None) -> bool:
    """Whether a noise is the same at all steps.

    Args:
        value: None, a scalar, or [..., T, B].

    Returns:
        True for None, a scalar, or T = 1.
    """
    return value is None or value.shape.rank == 0 or value.shape[-2] == 1


def without_time(value: tf.Tensor) -> tf.Tensor:
    """Remove the time axis of a noise that is the same at all steps.

    Args:
        value: a scalar, or [..., 1, B].

    Returns:
        A scalar, or [..., B].
    """
    return value if value.shape.rank == 0 else value[..., 0, :]  # pyright: ignore[reportArgumentType]


def shifted(value: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
    """Shift values by one step: index t gets the value of t + 1, or the last value.

    Args:
        value: [B, T or T + 1, ...].
        steps: T.

    Returns:
        [B, T, ...].
    """
    return tf.concat([value[:, 1:], value[:, -1:]], 1)[:, :steps]


def _next(value: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
    """`shifted` for [..., T or T + 1, B]."""
    return tf.concat([value[..., 1:, :], value[..., -1:, :]], -2)[..., :steps, :]  # pyright: ignore[reportArgumentType]


def time_first(value: tf.Tensor) -> tf.Tensor:
    """Move the time axis to the front.

    Args:
        value: [..., T, B].

    Returns:
        [T, ..., B].
    """
    rank = value.shape.rank
    return tf.transpose(value, [rank - 2, *range(rank - 2), rank - 1])


def time_last(value: tf.Tensor) -> tf.Tensor:
    """Move the time axis before the batch.

    Args:
        value: [T, ..., B].

    Returns:
        [..., T, B].
    """
    rank = value.shape.rank
    return tf.transpose(value, [*range(1, rank - 1), 0, rank - 1])


def batch_major(value: tf.Tensor) -> tf.Tensor:
    """Move batch and time to the front.

    Args:
        value: [..., T, B].

    Returns:
        [B, T, ...].
    """
    rank = value.shape.rank
    return tf.transpose(value, [rank - 1, rank - 2, *range(rank - 2)])
