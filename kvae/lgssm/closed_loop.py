"""The state-space model with its dynamics network: filtering over gaps, bounds, streaming and
generation.

If a frame is missing, the input of the dynamics network is the filter's prediction C_t mu_{t|t-1}
instead of a_t. Network and filter therefore run together, step by step.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from kvae import masks
from kvae.dynamics import DynamicsNetwork, Matrices, mix
from kvae.lgssm import bounds, inference, kalman
from kvae.lgssm.distribution import MixedLGSSM
from kvae.lgssm.inference import Covariances, FilterPass, System
from kvae.lgssm.kalman import State, batch_last
from kvae.lgssm.products import matvec
from kvae.results import Filtered, LgssmBound, Mixed, Smoothed
from seqvae.randomness import fold

JIT_STEPS = 64
"""Sequences of at least this many steps are trained with log p(a) compiled by XLA, which then saves
more time than compilation takes. On a GPU it is always compiled: a plain graph launches some
hundred kernels per step.
"""


MOST_GROWTH = 1e8
"""Limit of the variances of A z_t after a missing frame, in units of the largest variance of z_1 or
of a step's noise: where a variance would exceed it, A is divided by a number above 1. The mixed A
of a trained model can be unstable, because in training the next observed frame corrects the state.
Over a long gap the variance would then grow until float32 cannot represent it.
"""


class Run(NamedTuple):
    """The filter's results for a batch of codes, and the distribution they belong to."""

    filter_pass: FilterPass
    """The filter's results."""
    mixed: Mixed
    """The mixture weights and the mixed matrices."""
    distribution: MixedLGSSM
    """p(z, a) given the mixture."""

    @property
    def system(self) -> System:
        """The model as `kvae.lgssm.inference` represents it."""
        return self.distribution.system

    def filtered(self) -> Filtered:
        """The filter's results as a public NamedTuple.

        Returns:
            The results.
        """
        major = inference.batch_major
        updated, predicted, _, log_likelihood = self.filter_pass
        mean, cov = major(updated.mean), major(updated.cov)
        return Filtered(
            mean,
            cov,
            major(predicted.mean),
            major(predicted.cov),
            major(log_likelihood),
            *self.mixed[:4],
            *self._codes(mean, cov),
        )

    def smoothed(self) -> Smoothed:
        """Run the Rauch-Tung-Striebel smoother.

        Returns:
            The results.
        """
        states, _ = inference.smooth_states(self.filter_pass, self.system)
        mean, cov = inference.batch_major(states.mean), inference.batch_major(states.cov)
        return Smoothed(mean, cov, *self.mixed[:4], *self._codes(mean, cov))

    def _codes(self, mean: tf.Tensor, cov: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and covariance of a_t for those of z_t."""
        return inference.codes_mean(mean, self.system), inference.codes_cov(cov, self.system)

    def draw(self, noise: tf.Tensor) -> tf.Tensor:
        """Draw paths of z from the posterior.

        Args:
            noise: [S, B, T, dim_z], standard normal.

        Returns:
            z [S, B, T, dim_z].
        """
        return inference.draw_states(
            self.filter_pass, inference.smoothing_gains(self.filter_pass, self.system), noise
        )


class StateSpace(NamedTuple):
    """The model of the codes at its current weights.

    In its methods codes `a` are [B, T, dim_a], `mask` is [B, T], [B, T, dim_a] (single numbers) or
    None, and `controls` are [B, T, dim_u].
    """

    matrices: Matrices
    """The K matrices A, B and C, and a_0."""
    network: DynamicsNetwork
    """The dynamics network."""
    covariances: Covariances
    """The noise covariances and the prior of z_1."""
    jit_compile: bool | None = None
    """Whether training has log p(a) compiled by XLA; None: on a GPU, and for sequences of at least
    `JIT_STEPS` steps.
    """

    def mixed(self, a: tf.Tensor, controls: tf.Tensor) -> Mixed:
        """Mix the matrices if all codes are known, by one pass of the dynamics network.

        Args:
            a: [B, T, dim_a].
            controls: [B, T, dim_u], used unless the network predicts its own.

        Returns:
            The mixture weights and the mixed matrices.
        """
        first = tf.broadcast_to(self.matrices.a_0, tf.shape(a[:, :1]))
        alpha, u = self.network(tf.concat([first, a[:, :-1]], 1))
        return Mixed(
            alpha, *(mix(alpha, m) for m in self.matrices[:3]), u=controls if u is None else u
        )

    def distribution(
        self, mixed: Mixed, mask: tf.Tensor | None = None, jit_compile: bool | None = None
    ) -> MixedLGSSM:
        """Make p(z, a) given the mixture.

        Args:
            mixed: the mixture.
            mask: [B, T] or [B, T, dim_a], 1 = observed; None: all observed.
            jit_compile: whether XLA compiles the distribution's methods.

        Returns:
            The distribution.
        """
        return MixedLGSSM(
            mixed.A,
            mixed.C,
            matvec(mixed.B, mixed.u),
            noise_transition=self.covariances.transition,
            noise_emission=self.covariances.emission,
            init_cov=self.covariances.initial,
            mask=None if mask is None else masks.of_frames(mask) < 0.5,
            missing=None if mask is None or mask.shape.rank == 2 else mask < 0.5,
            jit_compile=jit_compile,
        )

    def run(self, a: tf.Tensor, mask: tf.Tensor | None, controls: tf.Tensor) -> Run:
        """Run the Kalman filter; with a mask, step by step together with the dynamics network.

        Args:
            a: [B, T, dim_a].
            mask: [B, T] or [B, T, dim_a], 1 = observed; None: all observed.
            controls: [B, T, dim_u].

        Returns:
            The filter's results and the distribution.
        """
        if mask is not None:
            filter_pass, mixed = filter_with_gaps(
                a, mask, controls, self.matrices, self.network, self.covariances
            )
            return Run(filter_pass, mixed, self.distribution(mixed, mask))
        mixed = self.mixed(a, controls)
        distribution = self.distribution(mixed)
        return Run(distribution.filter_pass(a), mixed, distribution)

    def bound(
        self,
        a: tf.Tensor,
        mask: tf.Tensor | None,
        controls: tf.Tensor,
        kind: str,
        z: tf.Tensor | None,
        noise: tf.Tensor | None,
        per_sequence: bool = False,
    ) -> LgssmBound:
        """Compute the LGSSM's part of the bound, as `KVAE.lgssm_bound`.

        Args:
            a: [B, T, dim_a].
            mask: [B, T] or [B, T, dim_a], 1 = observed; None: all observed.
            controls: [B, T, dim_u].
            kind: "marginal" or "sampled".
            z: with "sampled": [B, T, dim_z] or [S, B, T, dim_z]; None: drawn with `noise`.
            noise: standard normal, of the shape of z.
            per_sequence: whether terms are returned per sequence.

        Returns:
            The bound and its terms in nats per observed frame: scalars, or [B].
        """
        filter_pass, _, distribution = self.run(a, mask, controls)
        system = distribution.system
        smoothed, backward = inference.smooth_states(filter_pass, system)
        mask = tf.ones_like(a[..., 0]) if mask is None else mask  # pyright: ignore[reportArgumentType]
        a = masks.zero_missing(a, mask)
        if kind == "marginal":
            return bounds.marginal_bound(
                a, mask, system, filter_pass, smoothed, backward, per_sequence
            )
        if z is None:
            assert noise is not None
            z = bounds.draw_marginals(smoothed, noise)
        return bounds.sampled_bound(a, mask, system, smoothed, z, per_sequence)

    def total_bounds(
        self,
        a: tf.Tensor,
        mask: tf.Tensor | None,
        controls: tf.Tensor,
        kind: str,
        noise: tf.Tensor | None,
        jit_compile: bool,
    ) -> tf.Tensor:
        """Compute each sequence's bound in nats, not divided by frames, as training needs it.

        Args:
            a: [B, T, dim_a].
            mask: [B, T] or [B, T, dim_a], 1 = observed; None: all observed.
            controls: [B, T, dim_u].
            kind: "marginal" or "sampled".
            noise: with "sampled": [B, T, dim_z] or [S, B, T, dim_z], standard normal.
            jit_compile: whether XLA compiles log p(a), if all codes are observed.

        Returns:
            [B].
        """
        if kind == "sampled":
            seen = tf.ones_like(a[..., 0]) if mask is None else masks.of_frames(mask)  # pyright: ignore[reportArgumentType]
            return self.bound(
                a, mask, controls, kind, None, noise, per_sequence=True
            ).total * tf.reduce_sum(seen, -1)
        if mask is not None:
            return tf.reduce_sum(self.run(a, mask, controls).filter_pass.log_likelihood, 0)
        return self.distribution(self.mixed(a, controls), jit_compile=jit_compile).log_prob(a)

    def compiles(self, steps: int | None) -> bool:
        """Whether training has log p(a) compiled by XLA.

        Args:
            steps: length of the sequences; None: unknown.

        Returns:
            `jit_compile`, or the default for this length and device.
        """
        if self.jit_compile is not None:
            return self.jit_compile
        long = steps is not None and steps >= JIT_STEPS
        return long or bool(tf.config.list_physical_devices("GPU"))


def _shrinkage(
    updated: State, A: tf.Tensor, seen: tf.Tensor, first: State, Q: kalman.Factors
) -> tf.Tensor:
    """The factor on A: below 1 if frame t is missing and a variance would exceed `MOST_GROWTH`.

    Args:
        updated: p(z_t | a_{1:t}).
        A: [dim_z, dim_z, B], into t + 1.
        seen: [B], or [1 or dim_a, B]: which numbers of frame t are observed.
        first: p(z_1).
        Q: the noise of a step.

    Returns:
        [B].
    """
    most = MOST_GROWTH * tf.reduce_max(tf.maximum(first.D, Q.D), 0)
    moved = kalman.product(A, updated.U)
    variance = tf.reduce_max(tf.reduce_sum(moved**2 * updated.D[None], 1), 0)
    seen = seen if seen.shape.rank == 1 else tf.reduce_max(seen, 0)
    limited = (seen < 0.5) & (variance > most)
    return tf.where(limited, tf.sqrt(most / tf.where(limited, variance, 1.0)), 1.0)


class _FilterCarry(NamedTuple):
    """What a step of the filter passes to the next: all of it belongs to the next frame."""

    following: State
    """The prediction p(z_t | a_{1:t-1})."""
    alpha: tf.Tensor
    """[B, K]."""
    u: tf.Tensor
    """[B, dim_u]."""
    network: tuple[tf.Tensor, ...]
    """The state of the dynamics network."""


def filter_with_gaps(
    a: tf.Tensor,
    mask: tf.Tensor,
    controls: tf.Tensor,
    matrices: Matrices,
    network: DynamicsNetwork,
    covariances: Covariances,
) -> tuple[FilterPass, Mixed]:
    """Run the Kalman filter and the dynamics network together, step by step.

    Args:
        a: [B, T, dim_a].
        mask: [B, T] or [B, T, dim_a], 1 = observed.
        controls: [B, T, dim_u], used unless the network predicts its own.
        matrices: the K matrices A, B and C, and a_0.
        network: the dynamics network.
        covariances: the noise covariances and the prior of z_1.

    Returns:
        The filter's results, and the mixture weights with the mixed matrices.
    """
    batch, a = tf.shape(a)[0], masks.zero_missing(a, mask)

    def next_alpha(code, state, given_u):
        (alpha, u), state = network.step(code, state)
        return alpha, (given_u if u is None else u), state

    def step(carry: _FilterCarry, inputs):
        a_t, seen, next_u = inputs
        predicted, C = carry.following, _mix_last(carry.alpha, matrices.C)
        updated, residual, spread = kalman.update(predicted, a_t, C * seen[:, None], R)
        network_input = seen * a_t + (1.0 - seen) * kalman.product_vector(C, predicted.mean)
        alpha, u, state = next_alpha(tf.transpose(network_input), carry.network, next_u)
        control_input = kalman.product_vector(_mix_last(alpha, matrices.B), tf.transpose(u))
        A = _mix_last(alpha, matrices.A)
        shrinkage = _shrinkage(updated, A, seen, first, Q)
        following = kalman.predict(updated, shrinkage * A, control_input, Q)
        carry = _FilterCarry(following, alpha, u, state)
        log_likelihood = kalman.log_density(residual, spread, seen)
        return carry, (updated, following, log_likelihood, shrinkage, alpha, u)

    a_0 = tf.broadcast_to(matrices.a_0, [batch, matrices.a_0.shape[0]])
    alpha, u, state = next_alpha(a_0, network.initial_state(batch), controls[:, 0])
    system = System(matrices.A[None], None, matrices.C[None], None, covariances)
    first = inference.first_state(batch, system)
    Q, R = inference.at_every_step(covariances, a.dtype)
    Q = kalman.with_batch(Q, first.D)
    elements = (batch_last(a), batch_last(masks.of_numbers(mask)), _next_time_major(controls))
    start = _FilterCarry(first, alpha, u, state)
    row = tf.zeros_like(a[:, 0, 0])
    updated, following, log_likelihood, shrinkage, *used = inference.scan(
        step, start, elements, (first, first, row, row, alpha, u)
    )
    alpha, u = (
        _time_major(tf.concat([f[None], x[:-1]], 0)) for f, x in zip((alpha, u), used, strict=True)
    )
    filter_pass = inference.filter_pass_of(first, updated, following, log_likelihood)
    A, B, C = (mix(alpha, m) for m in matrices[:3])
    shrinkage = tf.transpose(tf.concat([tf.ones_like(shrinkage[:1]), shrinkage[:-1]], 0))
    return filter_pass, Mixed(alpha, shrinkage[:, :, None, None] * A, B, C, u)


def _mix_last(alpha: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
    """`mix` with the batch last: [B, K], [K, n, m] -> [n, m, B]."""
    return tf.reduce_sum(matrices[..., None] * tf.transpose(alpha)[:, None, None], 0)  # pyright: ignore[reportArgumentType]


class StreamState(NamedTuple):
    """The state of a stream between two frames."""

    state: State
    """The filtered state of the last frame; before the first frame the prior."""
    begun: tf.Tensor
    """Whether a frame has been processed, a boolean scalar."""
    seen: tf.Tensor
    """Whether any number of the last frame was observed, [B], 1 or 0."""
    alpha: tf.Tensor
    """The mixture weights of the next frame, [B, K]."""
    u: tf.Tensor | None
    """The network's control of the next frame, [B, dim_u]; None if the caller passes controls."""
    network: tuple[tf.Tensor, ...]
    """The state of the dynamics network."""


def stream_start(states: StateSpace, batch: tf.Tensor) -> StreamState:
    """Make the state before the first frame.

    Args:
        states: the model.
        batch: the batch size.

    Returns:
        The state of the stream.
    """
    matrices, network = states.matrices, states.network
    a_0 = tf.broadcast_to(matrices.a_0, [batch, matrices.a_0.shape[0]])
    (alpha, u), state = network.step(a_0, network.initial_state(batch))
    first = _prior(states, batch)
    return StreamState(first, tf.zeros([], tf.bool), tf.ones_like(alpha[:, 0]), alpha, u, state)


def _prior(states: StateSpace, batch: tf.Tensor) -> State:
    """p(z_1)."""
    matrices = states.matrices
    system = System(matrices.A[None], None, matrices.C[None], None, states.covariances)
    return inference.first_state(batch, system)


def stream_step(
    states: StateSpace, carry: StreamState, a: tf.Tensor, seen: tf.Tensor, controls: tf.Tensor
) -> tuple[StreamState, State, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Process one frame as `filter_with_gaps` does.

    The prediction is made when the frame arrives, because its control is not known earlier.

    Args:
        states: the model.
        carry: the state of the stream.
        a: [B, dim_a].
        seen: [B] or [B, dim_a], 1 = observed.
        controls: [B, dim_u].

    Returns:
        The next state of the stream; the filtered state and its code [dim_a, B]; log p(a_t |
        a_{1:t-1}) [B]; alpha_t [B, K].
    """
    matrices, network = states.matrices, states.network
    a, seen = masks.zero_missing(a, seen), tf.transpose(masks.like(seen, a))
    Q, R = inference.at_every_step(states.covariances, a.dtype)
    Q = kalman.with_batch(Q, carry.state.D)
    u = controls if carry.u is None else carry.u
    A, prior = _mix_last(carry.alpha, matrices.A), _prior(states, tf.shape(a)[0])
    moved = kalman.predict(
        carry.state,
        _shrinkage(carry.state, A, carry.seen, prior, Q) * A,
        kalman.product_vector(_mix_last(carry.alpha, matrices.B), tf.transpose(u)),
        Q,
    )
    # before the first frame `carry.state` is the prior, which is the prediction itself
    predicted = State(
        *(tf.where(carry.begun, new, old) for new, old in zip(moved, carry.state, strict=True))
    )
    C, codes = _mix_last(carry.alpha, matrices.C), tf.transpose(a)
    updated, residual, spread = kalman.update(predicted, codes, C * seen[:, None], R)
    predicted_codes = kalman.product_vector(C, predicted.mean)
    network_input = seen * codes + (1.0 - seen) * predicted_codes
    (alpha, next_u), state = network.step(tf.transpose(network_input), carry.network)
    following = StreamState(
        updated, tf.ones([], tf.bool), tf.reduce_max(seen, 0), alpha, next_u, state
    )
    log_likelihood = kalman.log_density(residual, spread, seen)
    return following, updated, kalman.product_vector(C, updated.mean), log_likelihood, carry.alpha


def state_after(
    states: StateSpace,
    a: tf.Tensor,
    mask: tf.Tensor | None,
    controls: tf.Tensor,
    last: tf.Tensor | None = None,
) -> StreamState:
    """Compute the state of a stream after the last of some codes.

    Args:
        states: the model.
        a: [B, T, dim_a].
        mask: [B, T] or [B, T, dim_a], 1 = observed; None: all observed.
        controls: [B, T, dim_u].
        last: [B], the index of each sequence's last code; None: T - 1.

    Returns:
        The state of the stream.
    """
    mask = tf.ones_like(a[..., 0]) if mask is None else mask  # pyright: ignore[reportArgumentType]
    elements = [_time_major(value) for value in (a, mask, controls)]

    def step(t: tf.Tensor, before: StreamState) -> StreamState:
        carry = stream_step(states, before, *(value[t] for value in elements))[0]
        return carry if last is None else _in_rows(t <= last, carry, before)

    return _repeated(step, stream_start(states, tf.shape(a)[0]), tf.shape(a)[1])


def stream_missing(
    states: StateSpace, carry: StreamState, controls: tf.Tensor, count: tf.Tensor
) -> StreamState:
    """Process missing frames.

    Args:
        states: the model.
        carry: the state of the stream.
        controls: [B, dim_u], the controls of every one of these frames.
        count: the number of frames, a scalar.

    Returns:
        The next state of the stream.
    """
    missing = tf.zeros_like(controls[:, 0])
    code = tf.zeros([tf.shape(controls)[0], states.matrices.C.shape[1]], controls.dtype)

    def step(t: tf.Tensor, before: StreamState) -> StreamState:
        del t
        return stream_step(states, before, code, missing, controls)[0]

    return _repeated(step, carry, count)


def _repeated(
    step: Callable[[tf.Tensor, StreamState], StreamState], start: StreamState, count: tf.Tensor
) -> StreamState:
    """The state after `count` steps. `tf.while_loop` cannot carry None, so a `u` that is None is
    left out of the loop's variables.
    """
    present = [value is not None for value in tf.nest.flatten(start)]

    def packed(values) -> StreamState:
        given = iter(values)
        flat = [next(given) if is_present else None for is_present in present]
        return tf.nest.pack_sequence_as(start, flat)

    def flattened(state: StreamState) -> list[tf.Tensor]:
        return [value for value in tf.nest.flatten(state) if value is not None]

    def body(t, *values):
        return t + 1, *flattened(step(t, packed(values)))

    values = flattened(start)
    shapes = [tf.TensorShape([]), *(value.shape for value in values)]
    _, *values = tf.while_loop(lambda t, *_: t < count, body, [0, *values], shape_invariants=shapes)
    return packed(values)


def _in_rows(rows: tf.Tensor, new: StreamState, old: StreamState) -> StreamState:
    """The new state where `rows` [B] is true, the old one elsewhere."""

    def batch_first(one, other) -> Any:
        return None if one is None else tf.where(rows[:, None], one, other)

    return StreamState(
        State(*(tf.where(rows, *pair) for pair in zip(new.state, old.state, strict=True))),
        new.begun,
        tf.where(rows, new.seen, old.seen),
        batch_first(new.alpha, old.alpha),
        batch_first(new.u, old.u),
        tf.nest.map_structure(batch_first, new.network, old.network),
    )


def draw_future(
    states: StateSpace, carry: StreamState, controls: tf.Tensor, noise: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draw the future of a stream.

    The last state is drawn from its filtered distribution. Then the model's equations are
    simulated; the drawn codes are the inputs of the dynamics network.

    Args:
        states: the model.
        carry: the state of the stream.
        controls: [B, H, dim_u].
        noise: [S, B, H + 1, dim_z + dim_a], standard normal.

    Returns:
        z [S, B, H, dim_z], a [S, B, H, dim_a].
    """
    matrices, network = states.matrices, states.network
    samples, rows, dim_z = tf.shape(noise)[0], tf.shape(noise)[1], matrices.A.shape[-1]
    noise = tf.transpose(noise, [2, 0, 1, 3])
    noise = tf.reshape(noise, [tf.shape(noise)[0], samples * rows, noise.shape[-1]])
    controls = _tiled(_time_major(controls), samples, 1)
    u = controls[0] if carry.u is None else _tiled(carry.u, samples, 0)
    alpha, network_state = tf.nest.map_structure(
        lambda value: _tiled(value, samples, 0), (carry.alpha, carry.network)
    )
    mean, U, D = (_tiled(value, samples, value.shape.rank - 1) for value in carry.state)
    z = tf.transpose(
        mean + kalman.product_vector(U * tf.sqrt(D)[None], tf.transpose(noise[0, :, :dim_z]))
    )
    deviations = [
        tf.sqrt(tf.convert_to_tensor(value, z.dtype))
        for value in (states.covariances.transition, states.covariances.emission)
    ]

    def step(carry, inputs):
        z, alpha, u, network_state = carry
        noise, next_given = inputs
        z = matvec(mix(alpha, matrices.A), z)
        z += matvec(mix(alpha, matrices.B), u) + deviations[0] * noise[:, :dim_z]
        a = matvec(mix(alpha, matrices.C), z) + deviations[1] * noise[:, dim_z:]
        (alpha, learned), network_state = network.step(a, network_state)
        u = next_given if learned is None else learned
        return (z, alpha, u, network_state), (z, a)

    code = tf.zeros_like(noise[0, :, dim_z:])
    elements = noise[1:], tf.concat([controls[1:], controls[-1:]], 0)
    found = inference.scan(step, (z, alpha, u, network_state), elements, (z, code))

    def unflat(value):
        shape = tf.concat([tf.shape(value)[:1], [samples, rows], tf.shape(value)[2:]], 0)
        return tf.transpose(tf.reshape(value, shape), [1, 2, 0, 3])

    z, a = map(unflat, found)
    return z, a


def _tiled(value: tf.Tensor, count: tf.Tensor, axis: int) -> tf.Tensor:
    return tf.tile(value, tf.stack([count if i == axis else 1 for i in range(value.shape.rank)]))


class _Generated(NamedTuple):
    """The results of step t: z_t [B, dim_z], a_t [B, dim_a] and alpha_t [B, K]."""

    z: tf.Tensor
    a: tf.Tensor
    alpha: tf.Tensor


class _GenerateCarry(NamedTuple):
    """z_{t+1}, alpha_{t+1} and the network's state for the next step, and the results of step t."""

    z: tf.Tensor
    alpha: tf.Tensor
    network: tuple[tf.Tensor, ...]
    outputs: _Generated


def draw_noise(
    controls: tf.Tensor,
    dim_z: int,
    dim_a: int,
    covariances: Covariances,
    scale: tf.Tensor,
    held: tf.Tensor,
    seed: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draw transition and emission noise for `generate_states`.

    Args:
        controls: [B, T, dim_u], gives the batch size and the length.
        dim_z: the dimension of the states.
        dim_a: the dimension of the codes.
        covariances: the noise covariances.
        scale: factor on the noise, 0 or 1.
        held: number of first steps without emission noise.
        seed: [2] int32.

    Returns:
        Transition noise [B, T, dim_z] and emission noise [B, T, dim_a].
    """
    steps = tf.shape(controls)[:2]

    def draw(size, variance, purpose):
        shape = tf.concat([steps, [size]], 0)
        return (
            scale
            * tf.sqrt(tf.convert_to_tensor(variance, controls.dtype))
            * tf.random.stateless_normal(shape, fold(seed, purpose), dtype=controls.dtype)
        )

    free = tf.cast(tf.range(steps[1]) >= held, controls.dtype)[:, None]
    return draw(dim_z, covariances.transition, 0), free * draw(dim_a, covariances.emission, 1)


def generate_states(
    states: tf.Tensor,
    controls: tf.Tensor,
    step_noise: tf.Tensor,
    code_noise: tf.Tensor,
    matrices: Matrices,
    network: DynamicsNetwork,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Simulate the model, with the first t0 states fixed::

        z_t = A_t z_{t-1} + B_t u_t + noise,  a_t = C_t z_t + noise

    Args:
        states: [B, t0, dim_z], the fixed states.
        controls: [B, T, dim_u].
        step_noise: [B, T, dim_z], of the step into t.
        code_noise: [B, T, dim_a].
        matrices: the K matrices A, B and C, and a_0.
        network: the dynamics network.

    Returns:
        z [B, T, dim_z], a [B, T, dim_a], alpha [B, T, K].
    """
    batch, held = tf.shape(states)[0], tf.shape(states)[1]
    total = tf.shape(controls)[1]
    given = tf.pad(states[:, :total], [[0, 0], [0, tf.maximum(total - held, 0)], [0, 0]])  # pyright: ignore[reportArgumentType]

    def step(carry: _GenerateCarry, inputs):
        t, noise_a, next_given, next_u, next_noise = inputs
        a = matvec(mix(carry.alpha, matrices.C), carry.z) + noise_a
        (alpha, u), state = network.step(a, carry.network)
        u = next_u if u is None else u
        moved = matvec(mix(alpha, matrices.A), carry.z) + matvec(mix(alpha, matrices.B), u)
        z = tf.where(t + 1 < held, next_given, moved + next_noise)
        return _GenerateCarry(z, alpha, state, _Generated(carry.z, a, carry.alpha))

    a_0 = tf.broadcast_to(matrices.a_0, [batch, matrices.a_0.shape[0]])
    (alpha, _), state = network.step(a_0, network.initial_state(batch))
    elements = (
        tf.range(total),
        _time_major(code_noise),
        *map(_next_time_major, (given, controls, step_noise)),
    )
    start = _GenerateCarry(given[:, 0], alpha, state, _Generated(given[:, 0], a_0, alpha))
    outputs = tf.scan(step, elements, start).outputs
    return _time_major(outputs.z), _time_major(outputs.a), _time_major(outputs.alpha)


def _time_major(value: tf.Tensor) -> tf.Tensor:
    """[B, T, ...] <-> [T, B, ...]."""
    return tf.transpose(value, [1, 0, *range(2, value.shape.rank)])


def _next_time_major(value: tf.Tensor) -> tf.Tensor:
    """Time-major, with the value of t + 1 at index t; the last entry is not used."""
    return _time_major(tf.concat([value[:, 1:], value[:, -1:]], 1))
