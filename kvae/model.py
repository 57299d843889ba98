"""`KVAE`: the Kalman variational auto-encoder as a Keras model."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import distributions as tfd

from kvae import arguments, masks
from kvae.dynamics import DynamicsNetwork, Matrices
from kvae.frame_vae import KEPT, STATES, FrameVAE
from kvae.inputs import Inputs
from kvae.lgssm import MixedLGSSM, bounds, kalman
from kvae.lgssm.closed_loop import StateSpace, draw_future, draw_noise, generate_states, state_after
from kvae.lgssm.inference import Covariances
from kvae.lgssm.products import matvec
from kvae.lgssm.uneven import at_frames, on_steps
from kvae.results import (
    CodeTerms,
    Elbo,
    Filtered,
    Forecast,
    Generated,
    Imputed,
    ImputedWithSamples,
    LgssmBound,
    LossTerms,
    PosteriorSample,
    Scores,
    Smoothed,
)
from kvae.series_vae import ScaledSeries, SeriesVAE
from kvae.stream import Stream
from seqvae.checks import NOWHERE, Array, Place, check_size
from seqvae.data.masks import is_observed
from seqvae.model import SequenceModel
from seqvae.objectives import KLWeight, weighted_mean
from seqvae.randomness import Seed, fold, normal, stateless_seed

_PIXELS_AT_ONCE = 2**20
"""Pixels of the frames that a method computes at a time: about half a gigabyte with 32 filters."""
_NETWORKS = ("encoder", "decoder", "dynamics")
"""Arguments that are the caller's own networks."""
_INTERVAL = (0.05, 0.5, 0.95)
"""Default probabilities of the quantiles of `impute`."""
_PATHS, _PIXELS, _FIRST_STATE = range(3)
"""Purposes of the random draws of methods, for `fold`."""


@keras.saving.register_keras_serializable(package="kvae")
class KVAE(SequenceModel):
    """The Kalman variational auto-encoder (Fraccaro et al. 2017, arXiv:1710.05741).

    The model::

        a_t | x_t ~ N(mu(x_t), diag var(x_t))                     q, encoder (section 3.1)
        alpha_t = f(a_0, ..., a_{t-1})                            dynamics network (section 3.2)
        z_1 ~ N(0, init_cov I)                                    (section 2.1, eq. 1)
        z_t = A_t z_{t-1} + B_t u_t + N(0, noise_transition I)    (section 2.1, eq. 1)
        a_t = C_t z_t + N(0, noise_emission I)                    (section 2.1, eq. 1)
        x_t | a_t ~ Bernoulli or N(., noise_pixel_var)            decoder (section 3)

    with A_t = sum_k alpha_t[k] A[k], and B_t and C_t likewise (section 3.2).

    Frames are [B, T, *image_shape], uint8, bool, or floats in [0, 1]. Series are [B, T, F], any
    floats, NaN where a number is missing. Masks are 1 for observed and 0 for missing: [B, T], or
    [B, T, *image_shape] for single pixels and numbers; of codes [B, T], or [B, T, dim_a]. Controls
    are [B, T, dim_u]; u_t acts on the step into frame t, and is zero by default. Frames at uneven
    times have `dt` [B, T], the whole number of steps since the frame before. The steps between are
    missing frames, and u_t acts on each step since the frame before. Results are returned at the
    given frames only. Methods are compiled on their first call for a kind of input.

    Args:
        image_shape: (H, W) or (H, W, C); H and W multiples of 2 ** len(num_filters) with `conv`.
            (F,): series of F numbers, see `for_series`.
        out_distr: distribution of a pixel, "bernoulli" or "gaussian"; "gaussian" for series.
        conv: whether the encoder and the decoder are convolutional; otherwise they are dense.
        activation: activation of their hidden layers, a name or function that
            `keras.activations.get` accepts.
        kernel_initializer: initialiser of their kernels, a name that Keras accepts. The original's
            is "glorot_uniform", with which more units die in the first steps.
        filter_size: size of the convolutions.
        num_filters: filters of each convolution.
        vae_num_units: units of each dense layer, without `conv`.
        num_layers: number of dense layers, without `conv`.
        noise_pixel_var: variance of a "gaussian" pixel: a number, "learned", or "learned_diagonal",
            one weight for each pixel or number.
        ll_keep_prob: in training, the share of the frames, drawn at random, that are decoded; their
            log p(x|a) is divided by it. Below 1, steps are faster and gradients noisier.
        use_vae: False: a plain auto-encoder, a_t = mu(x_t).
        dim_a: dimension of the codes.
        dim_z: dimension of the states.
        dim_u: dimension of the controls.
        K: number of mixed matrices.
        noise_emission: the variance R: a number, which is fixed; "learned", one weight for all
            numbers of a; or "learned_diagonal", one weight for each. Learned variances start at the
            default. The initial value is also the upper limit of the variance of q(a | x).
        noise_transition: the variance Q: a number, "learned" or "learned_diagonal", as for
            `noise_emission`.
        init_cov: the variance of z_1: a number, "learned" or "learned_diagonal", as for
            `noise_emission`.
        alpha_rnn: True: the dynamics network is an LSTM; False: dense layers on the last
            `fifo_size` codes.
        alpha_units: units of the LSTM or of each dense layer.
        alpha_layers: number of dense layers, without `alpha_rnn`.
        alpha_activation: activation of the dense layers, without `alpha_rnn`.
        fifo_size: number of codes that the dense layers take, without `alpha_rnn`.
        learn_u: whether the dynamics network also predicts the controls.
        init_kf_matrices: standard deviation of the initial B and C; the initial A is the identity.
        scale_reconstruction: weight of log p(x|a) in the objective; reported terms are unweighted.
        sample_z: decode C_t E[z_t | a_{1:T}] instead of the encoder's a_t.
        bound: the LGSSM's part of the objective, "marginal" (log p(a), exact) or "sampled" (the
            original's).
        jit_compile: whether XLA compiles the state-space model (not the convolutions): several
            times faster, after some seconds of compilation for every new shape. True: always. None:
            only in training, on a GPU or for sequences of at least 64 steps.
        encoder: a Keras layer or model that replaces the encoder. It maps frames [N, H, W, C] in
            [0, 1] (C is 1 for (H, W)) to mean and raw variance of a, [N, dim_a] each or joined; the
            variance is noise_emission * sigmoid(raw). Without `use_vae` it returns only the mean.
            For series its input is [N, 2 F]: the scaled numbers and which are observed. "identity",
            for series: the scaled numbers are the codes.
        decoder: a Keras layer or model that replaces the decoder: a [N, dim_a] to logits or means
            of the frames [N, H, W, C], or [N, F].
        dynamics: a Keras RNN cell that replaces the LSTM's.
        seed: seed of the random draws in calls that do not pass one; None: Keras' global seed.
        dtype: a type or dtype policy.
        name: the model's name.
    """

    input_name = "frames"
    masks_numbers = True
    batch_keys: ClassVar = {
        "frames": "[B, T, *image_shape], uint8, bool or floats in [0, 1], of series any floats. "
        "May be NaN where the mask is 0; series need no mask, NaN is missing.",
        "mask": "[B, T] or [B, T, *image_shape], 1 = observed, 0 = missing.",
        "controls": "[B, T, dim_u], u_t acts on the step into frame t.",
        "codes": "[B, T, dim_a], in place of frames: trains the state-space model alone.",
        "variance": "[B, T, dim_a], of the codes: each step draws from N(codes, variance).",
        "dt": "[B, T], whole numbers of at least 1, the steps since the frame before; only with "
        "frames.",
    }
    alternatives = "frames", "codes"
    term_names = LossTerms._fields

    def __init__(
        self,
        image_shape: Sequence[int],
        *,
        out_distr: str = "bernoulli",
        conv: bool = True,
        activation: str | dict | Callable = "relu",
        kernel_initializer: str = "he_normal",
        filter_size: int = 3,
        num_filters: Sequence[int] | str = (32, 32, 32),
        vae_num_units: int = 25,
        num_layers: int = 2,
        noise_pixel_var: float | str = 0.1,
        ll_keep_prob: float = 1.0,
        use_vae: bool = True,
        dim_a: int = 2,
        dim_z: int = 4,
        dim_u: int = 1,
        K: int = 3,
        noise_emission: float | str = 0.03,
        noise_transition: float | str = 0.08,
        init_cov: float | str = 20.0,
        alpha_rnn: bool = True,
        alpha_units: int = 50,
        alpha_layers: int = 2,
        alpha_activation: str | dict | Callable = "relu",
        fifo_size: int = 1,
        learn_u: bool = False,
        init_kf_matrices: float = 0.05,
        scale_reconstruction: float = 0.3,
        sample_z: bool = False,
        bound: str = "marginal",
        jit_compile: bool | None = None,
        encoder: keras.Layer | str | None = None,
        decoder: keras.Layer | None = None,
        dynamics: keras.Layer | None = None,
        seed: int | None = None,
        dtype: str | keras.DTypePolicy | None = None,
        name: str = "kvae",
    ):
        config = {
            k: v for k, v in locals().items() if k not in ("self", "dtype", "name", "__class__")
        }
        super().__init__(name=name, dtype=dtype, seed=seed)
        self._config = config = arguments.check_config(config)
        self.image_shape, self.bound, self._jit = (
            config["image_shape"],
            config["bound"],
            jit_compile,
        )
        self.out_distr = config["out_distr"]
        self.dim_a, self.dim_z, self.dim_u, self.K = dim_a, dim_z, dim_u, K
        options = (
            "out_distr",
            "conv",
            "activation",
            "kernel_initializer",
            "filter_size",
            "num_filters",
            "vae_num_units",
            "num_layers",
            "noise_pixel_var",
            "use_vae",
            "dim_a",
            *_NETWORKS[:2],
        )
        self._inputs = Inputs(self.image_shape, dim_a, dim_u, self.variable_dtype)
        self.frame_vae = self._kind_of_frames()(
            self.image_shape,
            **{name: config[name] for name in options},
            noise_emission=self.max_code_variance,
            dtype=self.dtype_policy,
            name="vae",
        )
        self.dynamics = DynamicsNetwork(
            dim_a=dim_a,
            dim_u=dim_u,
            K=K,
            alpha_rnn=alpha_rnn,
            alpha_units=alpha_units,
            alpha_layers=alpha_layers,
            alpha_activation=config["alpha_activation"],
            fifo_size=fifo_size,
            learn_u=learn_u,
            cell=dynamics,
            dtype=self.variable_dtype,
            name="dynamics",
        )
        self._kl = KLWeight()
        self._make_weights()
        self.built = True  # not by `build`: after it, Keras does not let a subclass add layers

    @classmethod
    def for_series(cls, series: np.ndarray, **options: Any) -> "KVAE":
        """Make an untrained model of series of any scale.

        It stores the mean and the standard deviation of each feature of `series` and scales by
        them::

            model = KVAE.for_series(series)
            model.compile(keras.optimizers.Adam(0.01))
            model.fit(series, epochs=100)
            filled = model.impute(series).smoothed
            next_week = model.forecast(series, 7)

        By default the scaled numbers are the codes (`encoder="identity"`): a Kalman filter and
        smoother with learned matrices and noises, whose bound is log p(series). K=3 mixes several
        matrices, for dynamics that change, and needs long or many series: with few, the model
        becomes overconfident. `encoder=None` adds a variational auto-encoder of dense layers, for
        many features with few causes. For series of different lengths see `kvae.series.padded`, for
        uneven times `kvae.series.on_grid` or the argument `dt` of methods.

        Args:
            series: [N, T, F], NaN where a number is missing.
            **options: arguments of `KVAE` that replace these defaults: learned noises, one variance
                for each number; K=1; dim_z of 2 F, at least 4; log p(x|a) weighted as in the bound.

        Returns:
            The model.

        Raises:
            ValueError: the shape of `series`, or an option, is wrong.
        """
        try:
            series = np.ma.filled(np.ma.asarray(series, np.float64), np.nan)
        except ValueError as error:
            raise ValueError(
                f"series: expected one array [N, T, F] of numbers ({error}). Join series of "
                "different lengths by kvae.series.padded(series)."
            ) from error
        if series.ndim != 3:
            raise ValueError(
                f"series: expected the shape [N, T, F] (series, steps, features), got "
                f"{list(series.shape)}. Add axes to a single series: series[None, :, None]."
            )
        features = series.shape[-1]
        identity = options.get("encoder", arguments.IDENTITY) == arguments.IDENTITY
        defaults: dict[str, Any] = dict(
            out_distr="gaussian",
            encoder=arguments.IDENTITY,
            K=1,
            dim_a=features if identity else min(features, 2),
            dim_z=max(4, 2 * features) if identity else 4,
            noise_transition="learned_diagonal",
            noise_emission="learned_diagonal",
            init_cov="learned_diagonal",
            init_kf_matrices=0.5,
            scale_reconstruction=1.0,
        ) | ({} if identity else {"noise_pixel_var": "learned_diagonal"})
        model = cls((features,), **defaults | options)
        model.adapt(series)
        return model

    @property
    def _of_series(self) -> bool:
        return len(self.image_shape) == 1

    def _kind_of_frames(self) -> type[FrameVAE]:
        if not self._of_series:
            return FrameVAE
        return ScaledSeries if self._config["encoder"] == arguments.IDENTITY else SeriesVAE

    def _make_weights(self) -> None:
        normal = keras.initializers.RandomNormal(stddev=self._config["init_kf_matrices"])
        identity = keras.initializers.Constant(tf.eye(self.dim_z))
        weight = dict(dtype=self.variable_dtype, autocast=False)
        self.A = self.add_weight(
            shape=(self.K, self.dim_z, self.dim_z), initializer=identity, name="A", **weight
        )
        self.B = self.add_weight(
            shape=(self.K, self.dim_z, self.dim_u), initializer=normal, name="B", **weight
        )
        self.C = self.add_weight(
            shape=(self.K, self.dim_a, self.dim_z), initializer=normal.clone(), name="C", **weight
        )
        self.a_0 = self.add_weight(shape=(self.dim_a,), initializer="zeros", name="a_0", **weight)
        sizes = dict(noise_transition=self.dim_z, noise_emission=self.dim_a, init_cov=self.dim_z)
        self._raw_noises = {
            name: self._add_noise(name, size)
            for name, size in sizes.items()
            if isinstance(self._config[name], str)
        }
        self.dynamics.build()

    def _add_noise(self, name: str, size: int):
        """Add the weight of a learned noise; its softplus is the variance."""
        shape = (size,) if self._config[name] == "learned_diagonal" else ()
        start = keras.initializers.Constant(
            tfp.math.softplus_inverse(arguments.initial_value(name, self._config[name]))
        )
        return self.add_weight(
            shape=shape,
            initializer=start,
            name=f"raw_{name}",
            dtype=self.variable_dtype,
            autocast=False,
        )

    @property
    def _covariances(self) -> Covariances:
        """The noises at the current weights: scalars, or variances of each number."""
        return Covariances(
            *(self._variance(name) for name in ("noise_transition", "noise_emission", "init_cov"))
        )

    def _variance(self, name: str):
        if name in self._raw_noises:
            return tf.nn.softplus(tf.convert_to_tensor(self._raw_noises[name]))
        return tf.constant(self._config[name], self.variable_dtype)

    def get_config(self):
        """Return the arguments of the model.

        Returns:
            The arguments by name; networks are serialised.
        """
        base = super().get_config()
        networks = {
            name: keras.saving.serialize_keras_object(self._config[name])
            for name in _NETWORKS
            if self._config[name] is not None
        }
        return {name: base[name] for name in ("name", "dtype")} | self._config | networks

    @classmethod
    def from_config(cls, config: dict):
        """Make a model from what `get_config` returned.

        Args:
            config: the arguments by name.

        Returns:
            The model.
        """
        given = {name: config[name] for name in _NETWORKS if isinstance(config.get(name), dict)}
        return cls(
            **config
            | {name: keras.saving.deserialize_keras_object(part) for name, part in given.items()}
        )

    @property
    def max_code_variance(self) -> float:
        """The upper limit of the variances of q(a | x)."""
        return arguments.initial_value("noise_emission", self._config["noise_emission"])

    @property
    def kl_weight(self) -> keras.Variable:
        """The weight of the negative KL, lgssm - log q(a|x), in the objective: 1 unless
        `KLAnnealing` sets it.
        """
        return self._kl.variable

    @property
    def variable_groups(self) -> dict[str, list]:
        """Trainable variables by part: `vae` (encoder and decoder), `lgssm` (A, B, C, a_0, learned
        noises), `dynamics`.
        """
        return {
            "vae": self.frame_vae.trainable_variables,
            "lgssm": [self.A, self.B, self.C, self.a_0, *self._raw_noises.values()],
            "dynamics": self.dynamics.trainable_variables,
        }

    # --- frames and codes ---

    def adapt(self, frames: np.ndarray, mask: np.ndarray | None = None) -> None:
        """Set the decoder's last bias to the mean pixel, or for series the scaling of each number.

        Call it once, before training: large first gradients can otherwise make units of the encoder
        die for good (`benchmarks/kvae_collapse.py`). `for_series` calls it.

        Args:
            frames: [B, T, *image_shape]. The mean is that of the observed frames, per channel.
            mask: [B, T] or [B, T, *image_shape], 1 = observed; None: all observed.

        Raises:
            ValueError: an argument is invalid, or the caller's own decoder has no layer `pixels`.
        """
        given, known, *_ = self._inputs.frames(frames, mask)
        seen = np.ones_like(frames, bool)
        if known is not None:
            seen &= is_observed(masks.like(known, given)).numpy()
        self.frame_vae.adapt(np.asarray(frames), seen)

    def encode(
        self, frames: Array, mask: Array | None = None, *, batch_size: int | None = None
    ) -> tfd.Distribution:
        """Compute q(a_t | x_t) for each frame (section 3.1).

        Missing frames are encoded as black ones; their codes are meaningless. With
        encoder="identity" the codes of missing numbers are NaN.

        Args:
            frames: [B, T, *image_shape]; missing frames may be NaN.
            mask: [B, T] or [B, T, *image_shape], 1 = observed; None: all observed.
            batch_size: sequences computed at a time; None: as many as need about half a gigabyte.

        Returns:
            Batch [B, T], event [dim_a]; a point mass for the plain auto-encoder.

        Raises:
            ValueError: an argument is invalid.
        """
        frames, mask, *_ = self._inputs.frames(frames, mask)
        mean, variance = self._in_batches(self.frame_vae.encode, batch_size, frames, mask)
        if mask is not None and self._config["encoder"] == arguments.IDENTITY:
            # NaN: `filter` and `smooth` of these codes treat them as missing, too
            nan = tf.constant(np.nan, mean.dtype)
            mean = tf.where(is_observed(masks.like(mask, mean)), mean, nan)
        return self.frame_vae.code_distribution(mean, variance)

    def decode(self, a: Array, *, batch_size: int | None = None) -> tfd.Distribution:
        """Compute p(x_t | a_t) (section 3).

        Args:
            a: [B, T, dim_a].
            batch_size: sequences computed at a time; None: as many as need about half a gigabyte.

        Returns:
            Batch [B, T], event image_shape.

        Raises:
            ValueError: the shape is wrong.
        """
        a = arguments.check_codes(a, self.dim_a, self.variable_dtype)
        pixels = self._in_batches(self.frame_vae.decode, batch_size, a)
        return self.frame_vae.frame_distribution(pixels)

    def _in_batches(self, method, batch_size: int | None, *given: tf.Tensor | None) -> Any:
        """Call `method` on tensors [B, T, ...], some rows at a time: the layers' memory does not
        grow with B.
        """
        if batch_size is not None:
            check_size("batch_size", batch_size)
        first = given[0]
        assert first is not None
        count, steps = first.shape[:2]
        if not tf.executing_eagerly() or count is None or steps is None:
            return self._run(method, *given)
        pixels = steps * int(np.prod(self.image_shape[:2]))
        size = batch_size or max(1, _PIXELS_AT_ONCE // pixels)
        parts = []
        for i in range(0, count, size):
            others = [None if v is None else v[i : i + size] for v in given[1:]]
            # converted part by part, because as uint8 they take a quarter of the memory; after the
            # conversion, frames of all types share a trace
            frames = self.frame_vae.floats(first[i : i + size])
            parts.append(self._run(method, frames, *others))
        if len(parts) == 1:
            return parts[0]
        return tf.nest.map_structure(lambda *of_parts: tf.concat(of_parts, 0), *parts)

    # --- states ---

    def filter(
        self,
        a: Array,
        mask: Array | None = None,
        controls: Array | None = None,
        *,
        dt: Array | None = None,
        check_finite: bool = True,
    ) -> Filtered:
        """Run the Kalman filter over codes (section 2.1): p(z_t | a_{1:t}) and p(z_t | a_{1:t-1}).

        Missing codes are not used and may be NaN; the input of the dynamics network is then C_t
        mu_{t|t-1}.

        Args:
            a: [B, T, dim_a].
            mask: [B, T], or [B, T, dim_a] for single numbers, 1 = observed; None: all but NaN.
            controls: [B, T, dim_u]; None: zero.
            dt: [B, T], whole numbers of at least 1: the steps of the model since the frame before;
                the first one is not used. None: 1.
            check_finite: False: results that are not finite are returned instead of raising
                FloatingPointError.

        Returns:
            The filtered states.

        Raises:
            ValueError: a wrong shape, or a mask without an observed frame.
            FloatingPointError: a result is not finite; the message names the tensor and the time
                step.
        """
        *given, at = self._on_steps(*self._inputs.codes(a, mask, controls, dt))

        def compute(a, mask, controls) -> Filtered:
            return self._states.run(a, mask, controls).filtered()

        result = at_frames(self._run(compute, *given, jit_compile=self._jit), at)
        return arguments.check_finite("filter", result, check_finite)

    def smooth(
        self,
        a: Array,
        mask: Array | None = None,
        controls: Array | None = None,
        *,
        dt: Array | None = None,
        check_finite: bool = True,
    ) -> Smoothed:
        """Run the Rauch-Tung-Striebel smoother over codes (section 2.1): p(z_t | a_{1:T}).

        Args:
            a: [B, T, dim_a].
            mask: [B, T], or [B, T, dim_a] for single numbers, 1 = observed; None: all but NaN.
            controls: [B, T, dim_u]; None: zero.
            dt: as for `filter`.
            check_finite: as for `filter`.

        Returns:
            The smoothed states.

        Raises:
            ValueError: as for `filter`.
            FloatingPointError: as for `filter`.
        """
        *given, at = self._on_steps(*self._inputs.codes(a, mask, controls, dt))
        result = at_frames(self._run(self._smooth, *given, jit_compile=self._jit), at)
        return arguments.check_finite("smooth", result, check_finite)

    def _smooth(self, a, mask, controls) -> Smoothed:
        return self._states.run(a, mask, controls).smoothed()

    def state_space(
        self, a: Array, mask: Array | None = None, controls: Array | None = None
    ) -> MixedLGSSM:
        """Make p(z, a), given the mixture weights computed from codes, as a TFP distribution.

        It has the current weights and the given mask. The matrices depend on these codes, so
        `log_prob` of other codes is not this model's p(a).

        Args:
            a: [B, T, dim_a].
            mask: [B, T], or [B, T, dim_a] for single numbers, 1 = observed; None: all but NaN.
            controls: [B, T, dim_u]; None: zero.

        Returns:
            Batch [B], event [T, dim_a].

        Raises:
            ValueError: as for `filter`.
        """
        *given, _ = self._inputs.codes(a, mask, controls)

        def compute(a, mask, controls) -> MixedLGSSM:
            states = self._states
            if mask is None:
                return states.distribution(states.mixed(a, controls), jit_compile=self._jit)
            return states.run(a, mask, controls).distribution.copy(jit_compile=self._jit)

        return self._run(compute, *given)

    def lgssm_bound(
        self,
        a: Array,
        mask: Array | None = None,
        controls: Array | None = None,
        *,
        kind: str | None = None,
        z: Array | None = None,
        seed: Seed | None = None,
        per_sequence: bool = False,
        num_samples: int | None = None,
    ) -> LgssmBound:
        """Compute the LGSSM's part of the ELBO for codes (section 3.1), per observed frame.

        Args:
            a: [B, T, dim_a].
            mask: [B, T], or [B, T, dim_a] for single numbers, 1 = observed; None: all but NaN.
            controls: [B, T, dim_u]; None: zero.
            kind: "marginal" or "sampled"; None: the model's `bound`.
            z: [B, T, dim_z], the states at which "sampled" is computed, only for "sampled"; None:
                drawn from the smoothed marginals.
            seed: seed of the draws; None: the model's next seed.
            per_sequence: whether the results are [B], each per observed frame of its sequence.
            num_samples: number of draws of z in the importance-weighted bound (Burda et al. 2016,
                arXiv:1509.00519, eq. 8); only for "sampled", as "marginal" is exact.

        Returns:
            The bound and its terms in nats.

        Raises:
            ValueError: an argument is invalid.
            FloatingPointError: a result is not finite.
        """
        kind = arguments.check_choice("kind", kind or self.bound, arguments.BOUNDS)
        arguments.check_num_samples(num_samples)
        if num_samples is not None and (kind == "marginal" or z is not None):
            raise ValueError(
                "num_samples: expected None for kind='marginal', which is exact, and where z is "
                "given. Use kind='sampled' without z."
            )
        if kind == "marginal" and z is not None:
            raise ValueError(
                "z: expected None for kind='marginal', which integrates over the states. Use "
                "kind='sampled'."
            )
        if z is not None:
            z = arguments.check_codes(z, self.dim_z, self.variable_dtype, "z")
        seed = stateless_seed(seed, self._seeds)
        *given, _ = self._inputs.codes(a, mask, controls)
        result = self._run(self._bound, *given, kind, z, seed, bool(per_sequence), num_samples)
        return arguments.check_finite("lgssm_bound", result)

    def _bound(
        self, a, mask, controls, kind, z, seed, per_sequence=False, num_samples=None
    ) -> LgssmBound:
        noise = self._state_noise(a, kind, seed, num_samples)
        return self._states.bound(a, mask, controls, kind, z, noise, per_sequence)

    def _on_steps(self, a, mask, controls, dt) -> tuple:
        """Codes, mask and controls at all steps, and the step of each frame; None without dt."""
        return (a, mask, controls, None) if dt is None else tuple(on_steps(a, mask, controls, dt))

    @property
    def _states(self) -> StateSpace:
        matrices = Matrices(
            *(tf.convert_to_tensor(weight) for weight in (self.A, self.B, self.C, self.a_0))
        )
        return StateSpace(matrices, self.dynamics, self._covariances, self._jit)

    def _total_bound(self, a, mask, controls, noise, weights) -> tf.Tensor:
        """The bound per observed frame, as training needs it; weights: of sequences [B], or None.
        Plain graph or XLA, depending on the length of the sequences.
        """
        bounds = self._in_graph(
            self._total_bounds, a, mask, controls, noise, self._states.compiles(a.shape[1])
        )
        frames = tf.reduce_sum(
            tf.ones_like(a[..., 0]) if mask is None else masks.of_frames(mask), -1
        )
        if weights is not None:
            bounds, frames = weights * bounds, weights * frames
        return tf.math.divide_no_nan(tf.reduce_sum(bounds), tf.reduce_sum(frames))

    def _total_bounds(self, a, mask, controls, noise, jit_compile) -> tf.Tensor:
        return self._states.total_bounds(a, mask, controls, self.bound, noise, jit_compile)

    def _in_graph(self, method, *arguments):
        """Run a method in a graph even in eager mode: a scan run eagerly takes seconds."""
        return self._run(method, *arguments) if tf.executing_eagerly() else method(*arguments)

    def _state_noise(self, a, kind: str, seed, num_samples=None) -> tf.Tensor | None:
        """The noise with which "sampled" draws its states."""
        shape = tf.concat([tf.shape(a)[:2], [self.dim_z]], 0)
        shape = shape if num_samples is None else tf.concat([[num_samples], shape], 0)
        return normal(shape, seed, a.dtype) if kind == "sampled" else None

    def stream(self, batch_size: int | None = None) -> Stream:
        """Make a filter that processes one frame at a time, see `kvae.stream`.

        Args:
            batch_size: number of parallel sequences; None: one, without a batch axis.

        Returns:
            The filter.
        """
        if batch_size is not None:
            check_size("batch_size", batch_size)
        return Stream(self, batch_size)

    # --- sequences ---

    def _code_mask(self, mask: tf.Tensor | None) -> tf.Tensor | None:
        """The mask of codes for a mask of frames, of pixels or of the numbers of series."""
        return None if mask is None else self.frame_vae.code_mask(mask)

    def impute(
        self,
        frames: Array,
        mask: Array | None = None,
        controls: Array | None = None,
        *,
        dt: Array | None = None,
        check_finite: bool = True,
        batch_size: int | None = None,
        num_samples: int | None = None,
        quantiles: Sequence[float] | None = None,
        seed: Seed | None = None,
    ) -> Imputed | ImputedWithSamples:
        """Fill missing frames from those before and after (section 4), with intervals on request.

        Args:
            frames: [B, T, *image_shape]; missing frames may be NaN.
            mask: [B, T] or [B, T, *image_shape], 1 = observed; None: all observed, in series all
                but NaN.
            controls: [B, T, dim_u]; None: zero.
            dt: as for `filter`.
            check_finite: as for `filter`.
            batch_size: sequences computed at a time; None: as many as need about half a gigabyte.
            num_samples: S, number of draws of the frames from their posterior
                (`posterior_sample`), with the noise of normal pixels; None: no draws. Memory grows
                with it.
            quantiles: Q probabilities of the draws' quantiles, only with num_samples: (0.05, 0.95)
                are the ends of a 90 % interval. None: (0.05, 0.5, 0.95).
            seed: seed of the draws; None: the model's next seed.

        Returns:
            The filled frames and their codes; with num_samples `ImputedWithSamples`.

        Raises:
            ValueError: an argument is invalid, or a quantile is outside [0, 1].
            FloatingPointError: a result is not finite.
        """
        arguments.check_num_samples(num_samples)
        if num_samples is None and quantiles is not None:
            raise ValueError(
                "quantiles: expected num_samples with it, such as num_samples=200, got none: the "
                "quantiles are those of draws."
            )
        probabilities = arguments.check_quantiles(_INTERVAL if quantiles is None else quantiles)
        given = self._inputs.frames(frames, mask, controls, dt)
        result = self._in_batches(self._impute, batch_size, *given)
        arguments.check_finite("impute", result, check_finite)
        if num_samples is None:
            return result
        seed = stateless_seed(seed, self._seeds)
        draws = self.posterior_sample(
            **given._asdict(), num_samples=num_samples, decode=False, seed=fold(seed, _PATHS)
        )
        samples = self._drawn_frames(draws.a, fold(seed, _PIXELS))
        ends = _quantiles(samples, probabilities)
        return ImputedWithSamples(**result._asdict(), samples=samples, quantiles=ends)

    def _impute(self, frames, mask, controls, dt) -> Imputed:
        mean, _ = self.frame_vae.encode(frames, mask)
        mask = self._code_mask(mask)
        *given, at = self._on_steps(mean, mask, controls, dt)
        jit = self._jit if dt is None else None  # the number of steps depends on dt's values
        states = self._run(self._filter_and_smooth, *given, jit_compile=jit)
        filtered, smoothed = at_frames(states, at)
        a_filtered, a_smoothed = filtered.a_mean, smoothed.a_mean
        known = mean
        if mask is not None:
            known = tf.where(is_observed(masks.like(mask, mean)), mean, a_smoothed)
        decoded = [self.frame_vae.mean_frames(a) for a in (a_smoothed, a_filtered, known)]
        states = mean, a_smoothed, a_filtered, smoothed.mean, filtered.mean, smoothed.alpha
        return Imputed(*[*decoded, *states, smoothed.a_cov, filtered.a_cov])

    def _filter_and_smooth(self, *arguments) -> tuple[Filtered, Smoothed]:
        run = self._states.run(*arguments)
        return run.filtered(), run.smoothed()

    def score(
        self,
        frames: Array,
        mask: Array | None = None,
        controls: Array | None = None,
        *,
        dt: Array | None = None,
    ) -> Scores:
        """Measure how well each frame fits those before it::

            log p(x_t | a_t) + log p(a_t | a_{1:t-1}),  a_t the encoder's mean

        The first term is low if a frame differs from the training frames, the second if the motion
        does not lead to it. The sum is not log p(x_t | x_{1:t-1}), which has no closed form, but it
        ranks frames in the same way if q(a_t | x_t) is narrow; with encoder="identity" both are
        equal. Compare scores of one model only.

        Args:
            frames: [B, T, *image_shape]; missing frames may be NaN.
            mask: [B, T] or [B, T, *image_shape], 1 = observed; None: all observed, in series all
                but NaN.
            controls: [B, T, dim_u]; None: zero.
            dt: as for `filter`.

        Returns:
            The scores in nats.

        Raises:
            ValueError: an argument is invalid.
            FloatingPointError: a result is not finite.
        """
        given = self._inputs.frames(frames, mask, controls, dt)

        def compute(frames, mask, controls, dt) -> Scores:
            a, _ = self.frame_vae.encode(frames, mask)
            code_mask = self._code_mask(mask)
            *given, at = self._on_steps(a, code_mask, controls, dt)
            log_pa = at_frames(self._states.run(*given).filtered().log_likelihood, at)
            log_px = self.frame_vae.log_px(frames, mask, a, 1.0, tf.constant([0, 0]))
            seen = tf.ones_like(log_pa) if code_mask is None else masks.of_frames(code_mask)
            log_px *= seen
            total = log_px + log_pa
            mean = tf.math.divide_no_nan(tf.reduce_sum(total, -1), tf.reduce_sum(seen, -1))
            return Scores(total, log_px, log_pa, mean)

        return arguments.check_finite("score", self._in_batches(compute, None, *given))

    def generate(
        self,
        num_steps: int,
        *,
        states: Array | None = None,
        batch_size: int | None = None,
        stochastic: bool = False,
        controls: Array | None = None,
        decode: bool = True,
        seed: Seed | None = None,
        check_finite: bool = True,
    ) -> Generated:
        """Simulate the model from given states, or from the prior (section 5.1).

        To continue given frames, use `forecast`. Without noise and over many more frames than the
        training sequences have, the mean may converge to a state without motion, and frames fade or
        stand still; with `stochastic` the motion continues.

        Args:
            num_steps: number of frames, including the t0 given ones.
            states: [B, t0, dim_z], the first t0 states, such as `smooth(...).mean`. None: z_1 is
                drawn from p(z_1), which is wide.
            batch_size: B if states is None; None: 1.
            stochastic: whether transition and emission noise is added, except to the frames of
                given states; otherwise every step is its mean.
            controls: [B, num_steps, dim_u]; None: zero.
            decode: False: only codes and states, no frames.
            seed: seed of the draws; None: the model's next seed.
            check_finite: as for `filter`.

        Returns:
            The generated sequences.

        Raises:
            ValueError: an argument is invalid.
            FloatingPointError: a result is not finite.
        """
        check_size("num_steps", num_steps)
        if batch_size is not None and states is not None:
            raise ValueError(
                f"batch_size: expected None beside states, which have their own, got {batch_size}."
            )
        count = check_size("batch_size", 1 if batch_size is None else batch_size)
        seed = stateless_seed(seed, self._seeds)
        fixed = 0  # number of first steps whose states are given
        if states is None:
            first = normal([count, 1, self.dim_z], fold(seed, _FIRST_STATE), self.variable_dtype)
            states = tf.sqrt(self._variance("init_cov")) * first
        else:
            states = arguments.check_codes(states, self.dim_z, self.variable_dtype, "states")
            fixed = kalman.size_of(states, 1)
        like = tf.ensure_shape(
            tf.zeros([tf.shape(states)[0], num_steps]), [states.shape[0], num_steps]
        )
        controls = self._inputs.controls(controls, like)

        def compute(states, controls, noise_scale, fixed, seed) -> tuple[tf.Tensor, ...]:
            sizes = self.dim_z, self.dim_a
            noise = draw_noise(controls, *sizes, self._covariances, noise_scale, fixed, seed)
            return generate_states(states, controls, *noise, self._states.matrices, self.dynamics)

        noise_scale = tf.constant(float(stochastic), self.variable_dtype)
        z, a, alpha = self._run(compute, states, controls, noise_scale, tf.constant(fixed), seed)
        result = Generated(self._mean_frames(a) if decode else None, a, z, alpha)
        return arguments.check_finite("generate", result, check_finite)

    def forecast(
        self,
        frames: Array,
        num_steps: int,
        *,
        mask: Array | None = None,
        controls: Array | None = None,
        dt: Array | None = None,
        num_samples: int = 100,
        quantiles: Sequence[float] = (0.05, 0.5, 0.95),
        decode: bool = True,
        seed: Seed | None = None,
    ) -> Forecast:
        """Predict the frames that follow: draws, their mean and quantiles.

        The last state is drawn from p(z_T | a_{1:T}), where a are the encoder's means of the
        observed frames. Each draw continues with the model's equations (section 2.1, eq. 1; section
        3.2), and its mixture depends on its own codes. Quantiles are prediction intervals: (0.05,
        0.95) is the model's 90 % interval, with the precision that `num_samples` draws allow.

        Args:
            frames: [B, T, *image_shape]; missing frames may be NaN.
            num_steps: H, the number of frames after the last of `frames`.
            mask: [B, T] or [B, T, *image_shape], 1 = observed; None: all observed, in series all
                but NaN.
            controls: [B, T + num_steps, dim_u]; None: zero.
            dt: as for `filter`, of the T frames. The predicted frames are one step apart.
            num_samples: S, the number of draws; memory and decoding time grow with it.
            quantiles: Q probabilities.
            decode: False: only codes and states, no frames.
            seed: seed of the draws; None: the model's next seed.

        Returns:
            The draws and their moments.

        Raises:
            ValueError: a wrong shape, or a quantile outside [0, 1].
            FloatingPointError: a result is not finite: the states grow without limit.
        """
        check_size("num_steps", num_steps)
        arguments.check_num_samples(num_samples, optional=False)
        probabilities = arguments.check_quantiles(quantiles)
        frames, mask, _, dt = self._inputs.frames(frames, mask, None, dt)
        count, steps = (kalman.size_of(frames, axis) for axis in (0, 1))
        like = tf.zeros([count, steps + num_steps])
        controls = self._inputs.controls(controls, like)
        seed = stateless_seed(seed, self._seeds)
        shape = [count, num_samples, num_steps + 1, self.dim_z + self.dim_a]
        noise = normal(shape, fold(seed, _PATHS), self.variable_dtype)

        def compute(codes, mask, controls, dt, noise) -> tuple[tf.Tensor, tf.Tensor]:
            states, steps = self._states, tf.shape(codes)[1]
            a, mask, past, at = self._on_steps(codes, mask, controls[:, :steps], dt)
            carry = state_after(states, a, mask, past, None if at is None else at[:, -1])
            return draw_future(
                states, carry, controls[:, steps:], tf.transpose(noise, [1, 0, 2, 3])
            )

        codes, _ = self._in_batches(self.frame_vae.encode, None, frames, mask)
        z, a = self._run(compute, codes, self._code_mask(mask), controls, dt, noise)
        moments = [
            tf.reduce_mean(a, 0),
            tfp.stats.covariance(a, sample_axis=0, event_axis=-1),
            _quantiles(a, probabilities),
        ]
        of_frames = [None, None, None]
        if decode:
            drawn = self._drawn_frames(a, fold(seed, _PIXELS))
            of_frames = [drawn, tf.reduce_mean(drawn, 0), _quantiles(drawn, probabilities)]
        result = Forecast(a, z, *moments, *of_frames)
        return arguments.check_finite("forecast", result)

    def _drawn_frames(self, a: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """[S, B, H, *image_shape] for codes [S, B, H, dim_a]: draws of normal pixels, probabilities
        of Bernoulli pixels.
        """
        shape = tf.concat([tf.shape(a)[:3], self.image_shape], 0)
        flat = tf.reshape(a, [-1, *a.shape[2:]])
        found = self.frame_vae.frame_distribution(
            self._in_batches(self.frame_vae.decode, None, flat)
        )
        mean = tf.reshape(found.mean(), shape)
        if self.out_distr != "gaussian":
            return mean
        deviation = tf.reshape(found.stddev(), shape)
        return mean + deviation * normal(shape, seed, mean.dtype)

    def _mean_frames(self, a: tf.Tensor) -> tf.Tensor:
        """The decoder's means [..., T, *image_shape] at codes [..., T, dim_a]."""
        flat = tf.reshape(a, [-1, *a.shape[-2:]])
        frames = self._in_batches(self.frame_vae.mean_frames, None, flat)
        return tf.reshape(frames, tf.concat([tf.shape(a)[:-1], self.image_shape], 0))

    def posterior_sample(
        self,
        frames: Array,
        mask: Array | None = None,
        controls: Array | None = None,
        *,
        dt: Array | None = None,
        num_samples: int = 1,
        decode: bool = True,
        seed: Seed | None = None,
    ) -> PosteriorSample:
        """Draw paths of states, codes and frames given the observed frames.

        `impute` returns their means.

        z_{1:T} is drawn from p(z_{1:T} | a_{1:T}) by backward sampling, where a are the encoder's
        means of the observed frames; then a_t from p(a_t | z_t), also where a frame is observed. A
        seed gives the same draws for any `jit_compile` of the model; a function that the caller
        compiles by XLA draws other numbers.

        Args:
            frames: [B, T, *image_shape]; missing frames may be NaN.
            mask: [B, T] or [B, T, *image_shape], 1 = observed; None: all observed, in series all
                but NaN.
            controls: [B, T, dim_u]; None: zero.
            dt: as for `filter`.
            num_samples: S, the number of draws.
            decode: False: only codes and states, no frames.
            seed: seed of the draws; None: the model's next seed.

        Returns:
            The draws.

        Raises:
            ValueError: an argument is invalid.
            FloatingPointError: a result is not finite.
        """
        arguments.check_num_samples(num_samples, optional=False)
        frames, mask, controls, dt = self._inputs.frames(frames, mask, controls, dt)
        seed = stateless_seed(seed, self._seeds)
        mean, _ = self._in_batches(self.frame_vae.encode, None, frames, mask)
        a, mask, controls, at = self._on_steps(mean, self._code_mask(mask), controls, dt)
        shape = tf.concat([[num_samples], tf.shape(a)[:2]], 0)
        noises = (
            normal(tf.concat([shape, [size]], 0), fold(seed, i), mean.dtype)
            for i, size in enumerate((self.dim_z, self.dim_a))
        )

        def compute(a, mask, controls, state_noise, code_noise) -> tuple[tf.Tensor, tf.Tensor]:
            run = self._states.run(a, mask, controls)
            z = run.draw(state_noise)
            deviation = tf.sqrt(self._variance("noise_emission"))
            return z, matvec(run.mixed.C, z) + deviation * code_noise

        paths = self._run(compute, a, mask, controls, *noises, jit_compile=self._jit)
        z, a = at_frames(paths, at, axis=2)
        result = PosteriorSample(self._mean_frames(a) if decode else None, a, z)
        return arguments.check_finite("posterior_sample", result)

    def elbo(
        self,
        frames: Array,
        mask: Array | None = None,
        controls: Array | None = None,
        *,
        dt: Array | None = None,
        kind: str | None = None,
        seed: Seed | None = None,
        per_sequence: bool = False,
        num_samples: int | None = None,
    ) -> Elbo:
        """Compute the evidence lower bound (section 3.1), per observed frame, with one draw of a.

        Args:
            frames: [B, T, *image_shape]; missing frames may be NaN.
            mask: [B, T] or [B, T, *image_shape], 1 = observed; None: all observed, in series all
                but NaN.
            controls: [B, T, dim_u]; None: zero.
            dt: as for `filter`.
            kind: "marginal" or "sampled"; None: the model's `bound`.
            seed: seed of the draws; None: the model's next seed.
            per_sequence: whether the results are [B], each per observed frame of its sequence.
            num_samples: number of draws of a, and with "sampled" of z, in the importance-weighted
                bound (Burda et al. 2016, arXiv:1509.00519, eq. 8). Time and memory grow with it.

        Returns:
            The bound and its terms in nats.

        Raises:
            ValueError: an argument is invalid.
            FloatingPointError: a result is not finite.
        """
        kind = arguments.check_choice("kind", kind or self.bound, arguments.BOUNDS)
        arguments.check_num_samples(num_samples)
        given = self._inputs.frames(frames, mask, controls, dt)
        given = given._replace(frames=self.frame_vae.floats(given.frames))
        seed = stateless_seed(seed, self._seeds)

        def compute(frames, mask, controls, dt, kind, seed, per_sequence, num_samples) -> Elbo:
            if num_samples is not None:
                frames, mask, controls, dt = _repeated((frames, mask, controls, dt), num_samples)
            terms = self._elbo_of_each(frames, mask, controls, dt, kind, seed)
            seen = None if mask is None else masks.of_frames(mask)
            count = tf.ones_like(terms.total) if seen is None else tf.reduce_sum(seen, -1)
            if num_samples is not None:
                steps = count if seen is not None else tf.cast(tf.shape(frames)[1], count.dtype)
                terms, count = _importance_weighted(terms, count, steps, num_samples)
            if per_sequence:
                return terms
            return Elbo(*(tf.reduce_sum(count * term) / tf.reduce_sum(count) for term in terms))

        result = self._run(compute, *given, kind, seed, bool(per_sequence), num_samples)
        return arguments.check_finite("elbo", result)

    def _elbo_of_each(self, frames, mask, controls, dt, kind, seed) -> Elbo:
        """The ELBO of each sequence [B], per observed frame."""
        frame_mask, mask = mask, self._code_mask(mask)
        a, log_px, log_qa = self._frame_log_probs(frames, frame_mask, mask, controls, dt, 1.0, seed)
        seen = tf.ones_like(log_px) if mask is None else masks.of_frames(mask)
        log_px, log_qa = (
            tf.math.divide_no_nan(tf.reduce_sum(seen * term, -1), tf.reduce_sum(seen, -1))
            for term in (log_px, log_qa)
        )
        a, mask, controls, _ = self._on_steps(a, mask, controls, dt)
        bound = self._bound(a, mask, controls, kind, None, fold(seed, STATES), per_sequence=True)
        return Elbo(log_px - log_qa + bound.total, log_px, log_qa, *bound)

    # --- training ---

    def call(self, inputs: Array | dict, mask: Any = None) -> Imputed:
        """Compute `impute` of a batch.

        Args:
            inputs: frames, or a dict of `frames`, `mask`, `controls` and `dt`.
            mask: [B, T] or [B, T, *image_shape], 1 = observed; None: the mask of the dict, if any.

        Returns:
            The filled frames and their codes.
        """
        batch = self.batch_with(inputs, mask)
        self.require_keys(batch)
        if "frames" not in batch:
            raise ValueError(
                f"frames: missing in a batch of {', '.join(batch)}; imputation needs the frames "
                "themselves."
            )
        return self._impute(*self._inputs.frames_of(batch))

    def loss_terms(
        self, batch: Any, *, seed: Seed | None = None, training: bool = True
    ) -> LossTerms | CodeTerms:
        """Compute the unweighted terms of the objective.

        A batch with `codes` and `variance` [B, T, dim_a], the result of `encode`, has only the
        LGSSM's term: the state-space model can be trained without the convolutions
        (`kvae.data.encoded`).

        Args:
            batch: a dict of `frames` and optionally `mask`, `controls`, `dt` and `sample_weight`.
            seed: seed of the random draws; None: the model's next seed.
            training: whether the networks are in training mode.

        Returns:
            The terms in nats per observed frame.
        """
        if "state_noise" not in batch:  # otherwise `with_noise` returned it
            batch = self.batch_of(batch)
            self.require_keys(batch)
        seed = stateless_seed(seed, self._seeds)
        weights = batch.get("sample_weight")
        weights = None if weights is None else tf.cast(weights, self.variable_dtype)
        if "codes" in batch:
            batch = self.with_noise(batch, seed)
            a, mask, controls, _ = self._inputs.codes(
                batch["codes"], batch.get("mask"), batch.get("controls")
            )
            return CodeTerms(
                self._total_bound(a, mask, controls, batch.get("state_noise"), weights)
            )
        frames, mask, controls, dt = self._inputs.frames_of(batch)
        code_mask = self._code_mask(mask)
        keep_prob = self._config["ll_keep_prob"] if training else 1.0
        a, log_px, log_qa = self._frame_log_probs(
            frames, mask, code_mask, controls, dt, keep_prob, seed, training
        )
        counted = None if code_mask is None else masks.of_frames(code_mask)
        if weights is not None:
            counted = weights[:, None] * (tf.ones_like(log_px) if counted is None else counted)
        log_px, log_qa = weighted_mean(log_px, counted), weighted_mean(log_qa, counted)
        a, code_mask, controls, _ = self._on_steps(a, code_mask, controls, dt)
        noise = self._state_noise(a, self.bound, fold(seed, STATES))
        bound = self._total_bound(a, code_mask, controls, noise, weights)
        return LossTerms(log_px - log_qa + bound, log_px, log_qa, bound)

    def check_batch(self, batch: dict, place: Place = NOWHERE) -> None:
        """Check a batch of frames or of codes: shapes, pixels, masks, controls, dt.

        Args:
            batch: the batch.
            place: where it comes from, for messages.

        Raises:
            ValueError: a check failed.
        """
        if "frames" in batch:
            self._inputs.frames_of(batch, place)
        elif batch.get("dt") is not None:
            raise ValueError(
                f"dt: expected frames beside it, got {', '.join(batch)}. Codes have even steps."
            )
        else:
            self._inputs.check_codes_of(batch, place)

    def _has_input(self, batch: dict) -> bool:
        return "codes" in batch

    def frame_weights(self, batch: dict, dtype: tf.DType | str | None = None) -> tf.Tensor:
        """Compute each frame's weight: 1 if any number is observed, times `sample_weight`.

        Args:
            batch: the batch.
            dtype: of the result; None: the type of the model's weights.

        Returns:
            [B, T].
        """
        if "frames" in batch and (self._of_series or batch.get("mask") is not None):
            mask = self._code_mask(self._inputs.frames_of(batch).mask)
            batch = {name: value for name, value in batch.items() if name != "mask"}
            batch |= {} if mask is None else {"mask": masks.of_frames(mask)}
        return super().frame_weights(batch, dtype)

    def serving_inputs(self):
        """The inputs of an exported model: frames of any number and length, and their masks.

        Returns:
            The shapes and types by name.
        """
        shape = (None, None)
        return {
            "frames": keras.layers.InputSpec(
                shape=(*shape, *self.image_shape), dtype=self.variable_dtype
            ),
            "mask": keras.layers.InputSpec(shape=shape, dtype=self.variable_dtype),
        }

    def with_noise(self, batch: dict, seed: tf.Tensor) -> dict:
        """Replace `codes` and `variance` by a draw, and add the noise of the "sampled" bound.

        The draw is from N(codes, variance).

        Args:
            batch: the batch; one of frames is returned unchanged.
            seed: [2] int32.

        Returns:
            The batch with the draws.
        """
        if "codes" not in batch or "state_noise" in batch:
            return batch
        codes = tf.cast(batch["codes"], self.variable_dtype)
        if "variance" in batch:
            variance = tf.cast(batch["variance"], self.variable_dtype)
            codes += tf.sqrt(variance) * normal(tf.shape(codes), seed, codes.dtype)
        noise = self._state_noise(codes, self.bound, fold(seed, STATES))
        rest = {name: value for name, value in batch.items() if name != "variance"}
        return rest | {"codes": codes} | ({} if noise is None else {"state_noise": noise})

    def objective(self, terms: LossTerms | CodeTerms) -> tf.Tensor:
        """The loss: -(scale_reconstruction * log_px + kl_weight * (lgssm - log_qa)).

        For codes it is -lgssm. Terms are weighted here and nowhere else.

        Args:
            terms: what `loss_terms` returns.

        Returns:
            A scalar.
        """
        if isinstance(terms, CodeTerms):
            return -terms.lgssm
        weight = tf.cast(self.kl_weight.value, terms.elbo.dtype)
        return -(
            self._config["scale_reconstruction"] * terms.log_px
            + weight * (terms.lgssm - terms.log_qa)
        )

    def _frame_log_probs(
        self, frames, mask, code_mask, controls, dt, keep_prob, seed, training=False
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Codes drawn from q(a | x), log p(x | a) and log q(a | x) [B, T]."""
        a, log_qa = self.frame_vae.draw_codes(frames, mask, seed, training)
        decoded = a
        if self._config["sample_z"]:
            *given, at = self._on_steps(a, code_mask, controls, dt)
            decoded = at_frames(self._in_graph(self._smooth, *given).a_mean, at)
        log_px = self.frame_vae.log_px(frames, mask, decoded, keep_prob, fold(seed, KEPT), training)
        return a, log_px, log_qa


def _repeated(values: Any, count: int) -> Any:
    """Tensors [B, ...], or None, of a nest -> [count * B, ...]."""

    def repeat(value):
        if value is None:
            return None
        return tf.tile(value, [count] + [1] * (value.shape.rank - 1))

    return tf.nest.map_structure(repeat, values)


def _importance_weighted(terms: Elbo, count: tf.Tensor, steps: tf.Tensor, num_samples: int):
    """The importance-weighted bound of draws (Burda et al. 2016, eq. 8).

    terms and count: of each draw of each sequence [S * B]; steps: observed frames, [S * B] or a
    scalar. Returns terms and count [B].
    """
    terms, count, steps = tf.nest.map_structure(
        lambda value: tf.reshape(value, [num_samples, -1]) if value.shape.rank else value,
        (terms, count, steps),
    )
    steps = steps[0] if steps.shape.rank else steps
    total = tf.math.divide_no_nan(bounds.log_mean_exp(terms.total * steps), steps)
    return Elbo(total, *(tf.reduce_mean(term, 0) for term in terms[1:])), count[0]


def _quantiles(draws: tf.Tensor, probabilities: np.ndarray) -> tf.Tensor:
    """[Q, ...] of draws [S, ...]."""
    return tfp.stats.percentile(draws, 100.0 * probabilities, axis=0, interpolation="linear")
