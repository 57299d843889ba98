"""`MixedLGSSM`: the linear Gaussian state-space model with matrices that change at every step, as a
TFP distribution.
"""

import functools
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import distributions as tfd
from tensorflow_probability.python.internal import parameter_properties

from kvae.lgssm import compiled, inference
from kvae.lgssm.inference import Covariances, FilterPass, System, batch_major
from seqvae.checks import Array, refuse_masked_array
from seqvae.randomness import Seed

_properties = tfp.util.ParameterProperties
_LEAST_RANKS = dict(
    A=3,
    C=3,
    control_input=2,
    offset=2,
    noise_transition=3,
    noise_emission=2,
    init_cov=2,
    init_mean=1,
    mask=1,
    missing=2,
)
"""For each argument that can have batch dimensions: the number of its other dimensions. An argument
of lower rank is shared by all sequences.
"""


class MixedLGSSM(tfd.LinearGaussianStateSpaceModel):
    """p(z_{1:T}, a_{1:T}) for given matrices, a `tfd.LinearGaussianStateSpaceModel`.

    The model (Fraccaro et al. 2017, section 2.1, eq. 1), for t = 1, ..., T::

        z_1 ~ N(init_mean, init_cov)
        z_t = A_t z_{t-1} + control_input_t + N(0, noise_transition_t)
        a_t = C_t z_t + offset_t + N(0, noise_emission_t)

    The distribution is conditional on the given mixture. A Kalman VAE computes A_t and C_t from the
    codes a_{1:t-1}, so `log_prob` of other codes is not the Kalman VAE's p(a).

    TFP's class provides the interface and the checks. Filter, smoother, likelihood, draws and
    moments come from `kvae.lgssm.inference`. They are accurate in float32 for noise variances from
    1e-6 to 1e3, and have gradients in eager mode, in graphs and under XLA. Differences from TFP's
    class:

    - Index t of A and control_input is the step into t, as in the paper; TFP's
      `transition_matrix(t)` is the step out of t.
    - `forward_filter`'s covariances also have the sample dimensions of x. Its last prediction is
      p(z_{T+1} | a_{1:T}) if A (and control_input, and a noise_transition that changes) have T + 1
      steps; with T steps, those of step T are used instead.
    - `posterior_sample` draws backwards (Fruehwirth-Schnatter 1994): one filter run for any number
      of samples.
    - `experimental_parallelize` is not offered: its gradients are wrong in TFP 0.25.
    - Draws depend only on the seed, in eager mode and in graphs, for any `jit_compile`. A function
      that the caller compiles by XLA draws other numbers, as with every TFP distribution.

    Masks are TFP's: bool, True = missing. A `mask` passed to a method replaces the one passed here.
    If a_t is observed, single numbers of it can be `missing`.

    Args:
        A: [..., T, dim_z, dim_z], or T + 1 steps. The first is not used.
        C: [..., T, dim_a, dim_z].
        control_input: [..., T, dim_z], or as many steps as A, or [dim_z]; None for zero. In the
            Kalman VAE, B_t u_t.
        offset: [..., T, dim_a] or [dim_a]; None for zero.
        noise_transition: a variance []; variances [dim_z]; a covariance [dim_z, dim_z], or [..., T,
            dim_z, dim_z] with T as in A or 1. It may be singular: variances may be 0.
        noise_emission: a variance []; variances [dim_a]; or [..., T, dim_a], T may be 1. Full
            covariances are not supported: if T == dim_a, variances of each step need a batch axis,
            [1, T, dim_a].
        init_cov: covariance of z_1: []; [dim_z]; or [..., dim_z, dim_z].
        init_mean: mean of z_1, [..., dim_z]; None for zero.
        mask: bool [..., T], True = missing; None: every a_t is observed.
        missing: bool [..., T, dim_a], True for the missing numbers of a_t; None: none.
        jit_compile: True: XLA compiles every method, in eager mode and in graphs. The first call
            takes some seconds longer, later calls are several times faster. Batch and length are
            padded to buckets, each compiled once. None or False: plain graphs; a `tf.function` that
            XLA compiles compiles them too.
        validate_args: as in TFP.
        allow_nan_stats: as in TFP.
        name: as in TFP.

    Raises:
        ValueError: a shape or a length does not fit, a mask is not bool, or, in eager mode, a noise
            is negative, not finite, not symmetric or not positive semi-definite; the message names
            the argument.
    """

    def __init__(
        self,
        A: Array,
        C: Array,
        control_input: Array | None = None,
        offset: Array | None = None,
        *,
        noise_transition: Array,
        noise_emission: Array,
        init_cov: Array,
        init_mean: Array | None = None,
        mask: Array | None = None,
        missing: Array | None = None,
        jit_compile: bool | None = None,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str = "MixedLGSSM",
    ):
        with tf.name_scope(name):
            parameters = dict(
                A=A,
                C=C,
                control_input=control_input,
                offset=offset,
                noise_transition=noise_transition,
                noise_emission=noise_emission,
                init_cov=init_cov,
                init_mean=init_mean,
            )
            parameters = _converted(parameters)
            parameters["mask"] = as_mask(mask)
            parameters["missing"] = as_mask(missing, "missing")
            _check(parameters)
            _check_variances(parameters)
            for key, value in parameters.items():
                setattr(self, f"_{key}", value)
            self._jit_compile = jit_compile
            steps, dtype = parameters["C"].shape[-3], parameters["A"].dtype
            super().__init__(
                num_timesteps=tf.shape(self._C)[-3] if steps is None else steps,
                transition_matrix=lambda t: _full(self._at(self._A, t + 1, -3)),
                transition_noise=lambda t: _normal(
                    self._control_input_at(t + 1), self._transition_at(t + 1)
                ),
                observation_matrix=lambda t: _full(self._at(self._C, t, -3)),
                observation_noise=lambda t: _normal(self._offset_at(t), self._emission_at(t)),
                initial_state_prior=_normal(
                    tf.zeros([self._A.shape[-1]], dtype) if init_mean is None else self._init_mean,
                    self._init_cov,
                ),
                mask=parameters["mask"],
                validate_args=validate_args,
                allow_nan_stats=allow_nan_stats,
                name=name,
            )
            self._parameters = self._no_dependency(
                parameters
                | dict(
                    jit_compile=jit_compile,
                    validate_args=validate_args,
                    allow_nan_stats=allow_nan_stats,
                    name=name,
                )
            )

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        del dtype, num_classes

        def event_ndims(self, name, ndims):
            value = getattr(self, f"_{name}")
            return (
                ndims
                if value is None or value.shape.rank >= ndims
                else parameter_properties.NO_EVENT_NDIMS
            )

        return {
            name: _properties(event_ndims=functools.partial(event_ndims, name=name, ndims=ndims))
            for name, ndims in _LEAST_RANKS.items()
        }

    # --- TFP's methods ---

    def _batch_shape(self):
        return functools.reduce(
            tf.broadcast_static_shape, [v.shape[: v.shape.rank - n] for v, n in self._batched()]
        )

    def _batch_shape_tensor(self):
        return _broadcast(*self._batched())

    def _event_shape_tensor(self):
        return tf.stack([self._num_timesteps, self._C.shape[-2]])

    def _get_mask(self, mask):
        return self._mask if mask is None else as_mask(mask)

    def log_prob(self, value: Array, name: str = "log_prob", **options: Any):
        """Compute log p(a_{1:T}), as TFP's method.

        Args:
            value: a, [..., T, dim_a].
            name: of the operation.
            **options: `mask`, bool [..., T], True = missing; None: the distribution's mask.

        Returns:
            [...].

        Raises:
            ValueError: a masked array, or a mask that is not bool.
        """
        refuse_masked_array("value", value)
        return super().log_prob(value, name=name, **options)

    def _log_prob(self, x, mask=None):
        batch, arguments = self._flat(x, self._get_mask(mask))
        return tf.reshape(self._run(inference.log_likelihood, *arguments), batch)

    def forward_filter(self, x: Array, mask: Array | None = None, final_step_only: bool = False):
        """Run the Kalman filter. The class lists the differences from TFP's method.

        Args:
            x: [..., T, dim_a].
            mask: bool [..., T], True = missing; None: the distribution's mask.
            final_step_only: whether only the values of step T are returned; log_likelihoods is then
                log p(a_{1:T}).

        Returns:
            As TFP's: log p(a_t | a_{1:t-1}); means and covariances of the filtered states, of the
            predicted states, and of the predicted codes.
        """
        return super().forward_filter(self._codes(x), self._get_mask(mask), final_step_only)

    def _forward_filter(self, x, mask=None, final_step_only=False):
        batch, arguments = self._flat(x, self._get_mask(mask))
        found = [_unflat(value, batch) for value in self._run(_filter, *arguments)]
        if not final_step_only:
            return found
        last = [
            value[..., -1, :] if i % 2 else value[..., -1, :, :]  # pyright: ignore[reportArgumentType]
            for i, value in enumerate(found[1:], 1)
        ]
        return [tf.reduce_sum(found[0], -1), *last]

    def posterior_marginals(self, x: Array, mask: Array | None = None):
        """Run the smoother: p(z_t | a_{1:T}).

        Args:
            x: [..., T, dim_a].
            mask: bool [..., T], True = missing; None: the distribution's mask.

        Returns:
            mean [..., T, dim_z] and covariance [..., T, dim_z, dim_z].
        """
        x, mask = self._codes(x), self._get_mask(mask)
        with self._name_and_control_scope("posterior_marginals", x, {"mask": mask}):
            batch, arguments = self._flat(x, mask)
            return tuple(_unflat(value, batch) for value in self._run(_smooth, *arguments))

    def posterior_sample(
        self,
        x: Array,
        sample_shape: int | Sequence[int] | tf.Tensor = (),
        mask: Array | None = None,
        seed: Seed | None = None,
        name: str | None = None,
    ):
        """Draw paths from p(z_{1:T} | a_{1:T}).

        Args:
            x: [..., T, dim_a].
            sample_shape: the shape of the draws.
            mask: bool [..., T], True = missing; None: the distribution's mask.
            seed: an integer, or a pair as TFP takes it.
            name: as in TFP.

        Returns:
            z [*sample_shape, ..., T, dim_z].
        """
        x, mask = self._codes(x), self._get_mask(mask)
        with self._name_and_control_scope(name or "posterior_sample", x, {"mask": mask}):
            batch, (a, mask, system) = self._flat(x, mask)
            shape = tf.reshape(tf.convert_to_tensor(sample_shape, tf.int32), [-1])
            states = tf.concat([tf.shape(a)[:2], [self._A.shape[-1]]], 0)
            noise = self._normal(tf.concat([[tf.reduce_prod(shape)], states], 0), _seed(seed))
            drawn = self._run(_draw, a, mask, system, noise)
            return tf.reshape(drawn, tf.concat([shape, batch, states[1:]], 0))

    def _joint_sample_n(self, n, seed=None):
        batch = tf.concat([tf.reshape(n, [1]), self.batch_shape_tensor()], 0)
        sizes = self._A.shape[-1], self._C.shape[-2]
        seeds = tfp.random.split_seed(_seed(seed), 2)
        rows = [tf.reduce_prod(batch), self._num_timesteps]
        noises = [
            self._normal(tf.stack([*rows, size]), seed)
            for size, seed in zip(sizes, seeds, strict=True)
        ]
        return tuple(
            _unflat(value, batch)
            for value in self._run(inference.draw_paths, self._system(batch), *noises)
        )

    def _mean(self):
        return self._moments()[0]

    def _variance(self):
        return tf.linalg.diag_part(self._moments()[1])

    def _moments(self):
        """Mean and covariance of every a_t: the filter's prediction with no observation."""
        batch = self.batch_shape_tensor()
        codes = tf.zeros(tf.concat([batch, self.event_shape_tensor()], 0), self.dtype)
        batch, arguments = self._flat(codes, tf.ones(tf.shape(codes)[:-1], tf.bool))  # all missing
        return [_unflat(value, batch) for value in self._run(_filter, *arguments)[-2:]]

    def latents_to_observations(self, latent_means: Array, latent_covs: Array):
        """Compute the distribution of a_t for z_t ~ N(m_t, P_t).

        Args:
            latent_means: m [..., T, dim_z].
            latent_covs: P [..., T, dim_z, dim_z].

        Returns:
            Mean C_t m_t + offset_t [..., T, dim_a] and covariance C_t P_t C_t' + R_t
            [..., T, dim_a, dim_a].
        """
        means = tf.convert_to_tensor(latent_means, dtype_hint=self.dtype)
        covs = tf.convert_to_tensor(latent_covs, dtype_hint=self.dtype)
        batch = _broadcast((means, 2), (covs, 3), *self._batched())
        system = self._system(batch)
        values = (
            inference.codes_mean(_flat(means, batch, 2), system),
            inference.codes_cov(_flat(covs, batch, 3), system),
        )
        return tuple(_unflat(value, batch) for value in values)

    # --- not in TFP's interface ---

    @property
    def system(self) -> System:
        """The model as `kvae.lgssm.inference` represents it, with all batch dimensions in one
        axis.
        """
        return self._system(self.batch_shape_tensor())

    def filter_pass(self, x: Array, mask: Array | None = None) -> FilterPass:
        """Run the Kalman filter; return the results as `kvae.lgssm.inference` represents them.

        Args:
            x: [B, T, dim_a].
            mask: bool [B, T], True = missing; None: the distribution's mask.

        Returns:
            The filter's results.
        """
        return inference.filter_states(*self._flat(self._codes(x), self._get_mask(mask))[1])

    def _run(self, function, *arguments):
        call = _in_buckets if self._jit_compile else compiled.call
        return call(function, *arguments)

    def _codes(self, x):
        refuse_masked_array("x", x)
        return tf.convert_to_tensor(x, dtype_hint=self.dtype, name="x")

    def _normal(self, shape, seed):
        return tf.random.stateless_normal(shape, seed, dtype=self.dtype)

    def _batched(self):
        """The arguments that have batch dimensions, each with the number of its other
        dimensions.
        """
        values = [
            (getattr(self, f"_{name}"), ndims)
            for name, ndims in _LEAST_RANKS.items()
            if name not in ("mask", "missing")
        ]
        return [
            (value, ndims)
            for value, ndims in values
            if value is not None and value.shape.rank >= ndims
        ]

    def _flat(self, x, mask):
        """The batch dimensions of the results; and x, the mask (1 = observed, [B, T] or [B, T,
        dim_a], or None) and the model with these dimensions in one axis.
        """
        masks = [(m, n) for m, n in ((mask, 1), (self._missing, 2)) if m is not None]
        batch = _broadcast((x, 2), *self._batched(), *masks)
        seen = None if mask is None else tf.cast(tf.logical_not(_flat(mask, batch, 1)), self.dtype)
        if self._missing is not None:
            numbers = tf.cast(tf.logical_not(_flat(self._missing, batch, 2)), self.dtype)
            seen = numbers if seen is None else tf.expand_dims(seen, -1) * numbers
        return batch, (_flat(x, batch, 2), seen, self._system(batch))

    def _system(self, batch) -> System:
        """The model with the dimensions `batch` in one axis."""

        def flat(name, ndims) -> Any:  # None only where the argument may be None
            value = getattr(self, f"_{name}")
            if value is None or value.shape.rank < ndims:
                return value
            # noise that all sequences share is not repeated: [1, ...]
            return (
                value[None]
                if value.shape.rank == ndims and name.startswith(("noise", "init"))
                else _flat(value, batch, ndims)
            )

        A, C = flat("A", 3), flat("C", 3)
        control_input, offset = (
            value if value is None or value.shape.rank == 3 else tf.zeros_like(like[..., 0]) + value
            for value, like in ((flat("control_input", 2), A), (flat("offset", 2), C))
        )
        covariances = Covariances(
            flat("noise_transition", 3),
            flat("noise_emission", 2),
            flat("init_cov", 2),
            flat("init_mean", 1),
        )
        return System(A, control_input, C, offset, covariances)

    def _at(self, value, t, axis):
        """`value` at step t, or at the last step if there is no step t."""
        return tf.gather(
            value, tf.minimum(t, tf.shape(value)[axis] - 1), axis=value.shape.rank + axis
        )

    def _control_input_at(self, t):
        if self._control_input is None:
            return tf.zeros([self._A.shape[-1]], self.dtype)
        return (
            self._control_input
            if self._control_input.shape.rank == 1
            else self._at(self._control_input, t, -2)
        )

    def _offset_at(self, t):
        if self._offset is None:
            return tf.zeros([self._C.shape[-2]], self.dtype)
        return self._offset if self._offset.shape.rank == 1 else self._at(self._offset, t, -2)

    def _transition_at(self, t):
        value = self._noise_transition
        return value if value.shape.rank < 3 else self._at(value, t, -3)

    def _emission_at(self, t):
        value = self._noise_emission
        return tf.linalg.diag(self._at(value, t, -2)) if value.shape.rank >= 2 else value


def _seed(seed) -> tf.Tensor:
    """[2] int32. An integer is used as it is; TFP would mix it with the state of TensorFlow's
    global generator.
    """
    if isinstance(seed, int | np.integer):
        return tf.constant([int(seed) & 0x7FFFFFFF, 0], tf.int32)
    return tfp.random.sanitize_seed(seed, salt="MixedLGSSM")


def as_mask(mask: Array | None, name: str = "mask") -> tf.Tensor | None:
    """Convert a TFP mask (True = missing) to a tensor.

    Args:
        mask: bool, or None.
        name: the argument's name, for the message.

    Returns:
        The mask as a tensor, or None.

    Raises:
        ValueError: it is not of type bool, as a mask with 1 for observed would be.
    """
    if mask is None:
        return None
    mask = tf.convert_to_tensor(mask, name=name)
    if mask.dtype != tf.bool:
        raise ValueError(
            f"{name}: expected bool, True = missing (TFP's masks), got {mask.dtype.name}. For a "
            "mask that is 1 where a step is observed pass mask < 0.5."
        )
    return mask


def _converted(parameters: dict) -> dict:
    """All arguments as tensors of one type: the float type of the first argument that has one, else
    float32.
    """
    types = [tf.as_dtype(value.dtype) for value in parameters.values() if hasattr(value, "dtype")]
    dtype = next((each for each in types if each.is_floating), tf.float32)
    return {
        name: None if value is None else _tensor(value, dtype, name)
        for name, value in parameters.items()
    }


def _tensor(value, dtype: tf.DType, name: str) -> tf.Tensor:
    refuse_masked_array(name, value)
    if hasattr(value, "dtype") and not tf.as_dtype(value.dtype).is_floating:  # integers
        return tf.cast(value, dtype)
    return tf.convert_to_tensor(value, dtype, name=name)


def _check_variances(given: dict) -> None:
    """Check in eager mode that the noise arguments are variances or covariances."""
    if not tf.executing_eagerly():
        return
    for name in ("noise_transition", "noise_emission", "init_cov"):
        value = given[name].numpy().astype(np.float64)
        full = name != "noise_emission" and value.ndim >= 2
        least = value.min(initial=0.0)
        if full and np.isfinite(value).all():
            if not np.allclose(
                value, np.swapaxes(value, -1, -2), rtol=1e-4, atol=1e-6 * np.abs(value).max()
            ):
                raise ValueError(f"{name}: expected a symmetric covariance, got one that is not.")
            least = np.linalg.eigvalsh(value).min() / max(np.abs(value).max(), 1e-300)
        if not np.isfinite(value).all() or least < (-1e-5 if full else 0.0):
            raise ValueError(
                f"{name}: expected variances of at least 0, or a positive semi-definite "
                f"covariance, got {value.tolist()!s:.80}."
            )


def _check(given: dict) -> None:
    """Check all shapes. XLA would read beyond the end of an argument that is too short, without
    an error.
    """
    A, C = given["A"], given["C"]
    if (
        A.shape.rank is None
        or A.shape.rank < 3
        or A.shape[-1] is None
        or A.shape[-1] != A.shape[-2]
    ):
        raise ValueError(f"A: expected the shape [..., T, dim_z, dim_z], got {_shape(A)}.")
    size, steps = A.shape[-1], C.shape[-3] if (C.shape.rank or 0) >= 3 else None
    if C.shape.rank is None or C.shape.rank < 3 or C.shape[-2] is None or C.shape[-1] != size:
        raise ValueError(
            f"C: expected the shape [..., T, dim_a, {size}] (dim_z={size} as in A), got "
            f"{_shape(C)}."
        )
    width, moves = C.shape[-2], A.shape[-3]
    if moves is not None and steps is not None and moves not in (steps, steps + 1):
        raise ValueError(f"A: expected {steps} or {steps + 1} steps, T or T + 1 of C, got {moves}.")
    forms = {
        "control_input": [[size], [(moves, steps), size]],
        "offset": [[width], [(steps,), width]],
        "noise_transition": [[], [size], [size, size], [(1, moves, steps), size, size]],
        "noise_emission": [[], [width], [(1, steps), width]],
        "init_cov": [[], [size], [size, size]],
        "init_mean": [[size]],
        "mask": [[(steps,)]],
        "missing": [[(steps,), width]],
    }
    if given["noise_emission"].shape.rank == 2 and given["noise_emission"].shape == (width, width):
        # if T == dim_a, a covariance of a_t cannot be distinguished from variances of each step
        raise ValueError(
            f"noise_emission: expected a variance [], variances [{width}], or of each step [B, T, "
            f"{width}] (B may be 1), got [{width}, {width}]. Full covariances of a_t are not "
            "supported; for variances of each step add an axis [None]."
        )
    for name, shapes in forms.items():
        value = given[name]
        if value is not None and not any(
            _fits(value.shape, shape, shape is shapes[-1]) for shape in shapes
        ):
            wanted = " or ".join(f"[{', '.join(_axis(n) for n in shape)}]" for shape in shapes)
            raise ValueError(
                f"{name}: expected the shape {wanted}, the last with batch dimensions before it if "
                f"any, got {_shape(value)}."
            )
    batches = [v.shape[: v.shape.rank - n] for v, n in ((A, 3), (C, 3))]
    try:
        functools.reduce(tf.broadcast_static_shape, batches)
    except ValueError:
        raise ValueError(
            f"C: expected batch dimensions that broadcast with those of A, {batches[0]}, got "
            f"{batches[1]}."
        ) from None


def _fits(shape: tf.TensorShape, wanted: list, batched: bool) -> bool:
    """Whether a shape is `wanted`, in which a tuple lists the allowed sizes of an axis. If
    `batched`, it may have more dimensions before these.
    """
    if shape.rank is None or shape.rank < len(wanted) or (shape.rank > len(wanted) and not batched):
        return False
    last = shape[shape.rank - len(wanted) :]
    return all(
        n is None or (n in w or None in w if isinstance(w, tuple) else n == w)
        for n, w in zip(last, wanted, strict=True)
    )


def _axis(size) -> str:
    return (
        " or ".join(sorted({"T" if n is None else str(n) for n in size}))
        if isinstance(size, tuple)
        else str(size)
    )


def _shape(value: tf.Tensor) -> list:
    """The static shape for messages."""
    return value.shape.as_list() if value.shape.rank is not None else ["unknown"]


def _full(matrix: tf.Tensor) -> tf.linalg.LinearOperator:
    return tf.linalg.LinearOperatorFullMatrix(matrix)


def _normal(mean: tf.Tensor, cov: tf.Tensor) -> tfd.Distribution:
    """N(mean, cov) for cov a scalar, variances, or a matrix that may be singular."""
    if cov.shape.rank < 2:
        return tfd.MultivariateNormalDiag(mean, tf.sqrt(cov) * tf.ones_like(mean))
    factors = inference.kalman.factored(
        tf.transpose(cov, [*range(cov.shape.rank)[-2:], *range(cov.shape.rank - 2)])
    )
    scale = factors.deviations
    scale = tf.transpose(scale, [*range(2, cov.shape.rank), 0, 1])
    return tfd.MultivariateNormalLinearOperator(mean, _full(scale))


def _broadcast(*values: tuple[tf.Tensor, int]) -> tf.Tensor:
    """The common batch dimensions of all values, each given with the number of its other
    dimensions.
    """
    static = functools.reduce(
        tf.broadcast_static_shape, [value.shape[: value.shape.rank - n] for value, n in values]
    )
    if static.is_fully_defined():
        return tf.constant(static.as_list(), tf.int32)  # pyright: ignore[reportArgumentType]
    batches = [tf.shape(value)[: value.shape.rank - n] for value, n in values]
    rank = max(value.shape.rank - n for value, n in values)
    batches = [tf.pad(batch, [[rank - tf.size(batch), 0]], constant_values=1) for batch in batches]
    # tf.broadcast_dynamic_shape has no counterpart in ONNX
    return functools.reduce(lambda one, other: tf.where(one == 1, other, one), batches)


def _flat(value: tf.Tensor, batch: tf.Tensor, ndims: int) -> tf.Tensor:
    """[..., event] -> [prod(batch), event], broadcast to the batch."""
    event = value.shape[value.shape.rank - ndims :]
    known = tf.get_static_value(batch)
    if (
        known is not None
        and len(known) == 1
        and value.shape[: value.shape.rank - ndims].as_list() == list(known)
    ):
        return value
    sizes = tf.shape(value)[value.shape.rank - ndims :]
    flat = tf.reshape(
        tf.broadcast_to(value, tf.concat([batch, sizes], 0)),
        tf.concat([[tf.reduce_prod(batch)], sizes], 0),
    )
    return tf.ensure_shape(flat, [None, *event])


def _unflat(value: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
    """[prod(batch), event] -> [*batch, event]."""
    return tf.reshape(value, tf.concat([batch, tf.shape(value)[1:]], 0))


def _filter(a, mask, system):
    filter_pass = inference.filter_states(a, mask, system)
    moments = [
        batch_major(m)
        for state in (filter_pass.updated, filter_pass.following)
        for m in (state.mean, state.cov)
    ]
    predicted = batch_major(filter_pass.predicted.mean), batch_major(filter_pass.predicted.cov)
    codes = inference.codes_mean(predicted[0], system), inference.codes_cov(predicted[1], system)
    return (batch_major(filter_pass.log_likelihood), *moments, *codes)


def _smooth(a, mask, system):
    states, _ = inference.smooth_states(inference.filter_states(a, mask, system), system)
    return batch_major(states.mean), batch_major(states.cov)


def _draw(a, mask, system, noise):
    filter_pass = inference.filter_states(a, mask, system)
    return inference.draw_states(filter_pass, inference.smoothing_gains(filter_pass, system), noise)


def _in_buckets(function, *arguments):
    """`compiled.call` by XLA, with batch and length padded by missing sequences and steps."""
    system = next(value for value in arguments if isinstance(value, System))
    shape = tf.shape(system.C)
    batch, steps = (shape[i] if size is None else size for i, size in enumerate(system.C.shape[:2]))
    if function is not inference.draw_paths and arguments[1] is None:
        arguments = (arguments[0], tf.ones_like(arguments[0][..., 0]), *arguments[2:])
    sizes = compiled.bucket(batch), compiled.bucket(steps)
    if function is _draw:  # A = 0 after T, so that z_T does not depend on the padded steps
        arguments = [
            v._replace(A=_without_last_move(v.A, steps)) if v is system else v for v in arguments
        ]
    padded = [
        _padded_system(value, *sizes, steps)
        if isinstance(value, System)
        else _padded(value, *sizes)
        for value in arguments
    ]
    found = compiled.call(function, *padded, jit_compile=True)
    if function is inference.log_likelihood:
        return found[:batch]
    if function is _draw:
        return found[:, :batch, :steps]
    return tuple(value[:batch, :steps] for value in found)


def _without_last_move(A: tf.Tensor, steps) -> tf.Tensor:
    """A with T + 1 steps, of which the last is 0."""
    return tf.concat([A[:, :steps], tf.zeros_like(A[:, :1])], 1)


def _padded(value: tf.Tensor, batch, steps) -> tf.Tensor:
    """[B, T, ...], or draws [S, B, T, dim_z]."""
    return compiled.padded(
        value, {1: batch, 2: steps} if value.shape.rank == 4 else {0: batch, 1: steps}
    )


def _padded_system(system: System, batch, steps, before) -> System:
    """The model with explicit values of A, control_input and Q for step T + 1, padded with
    zeros.
    """

    def written_out(value):
        return tf.concat([value[:, :1], inference.shifted(value, before)], 1)

    def pad(value, **axes):
        sizes = {"batch": batch, "steps": steps, "moves": steps + 1}
        return compiled.padded(
            value, {axis: sizes[name] for name, axis in axes.items() if value.shape[axis] != 1}
        )

    Q, R, initial, mean = cast(tuple[Any, ...], system.covariances)  # tensors here
    both, move = dict(batch=0, steps=1), dict(batch=0, moves=1)
    Q = Q if Q.shape.rank < 4 or Q.shape[1] == 1 else written_out(Q)
    covariances = Covariances(
        pad(Q, **move) if Q.shape.rank == 4 else Q,
        pad(R, **both) if R.shape.rank == 3 else R,
        pad(initial, batch=0) if initial.shape.rank == 3 else initial,
        pad(mean, batch=0) if mean is not None and mean.shape.rank == 2 else mean,
    )
    moves, codes = {0: batch, 1: steps + 1}, {0: batch, 1: steps}
    A = compiled.padded(written_out(system.A), moves)
    control_input = (
        None
        if system.control_input is None
        else compiled.padded(written_out(system.control_input), moves)
    )
    return System(
        A,
        control_input,
        compiled.padded(system.C, codes),
        compiled.padded(system.offset, codes),
        covariances,
    )
