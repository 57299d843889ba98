"""`VRAE`: the variational recurrent auto-encoder as a Keras model."""

import math
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import distributions as tfd

from seqvae import checks
from seqvae.checks import NOWHERE, Array, Place, check_keys, check_size
from seqvae.data.masks import is_observed
from seqvae.model import SequenceModel
from seqvae.objectives import bounded, gaussian_kl, weighted_mean
from seqvae.randomness import Seed, fold, normal, stateless_seed, uniform
from seqvae.replicas import all_rows
from vrae import arguments, likelihoods, model_arguments, recipe
from vrae.augmentation import mixed, warped
from vrae.data import Series, as_series
from vrae.decoder import Decoder
from vrae.encoder import Encoder
from vrae.grids import (
    Steps,
    cosine_coefficients,
    interpolated,
    of_numbers,
    of_steps,
    relative,
    since_observed,
    to_the_end,
    waves,
)
from vrae.inputs import Inputs
from vrae.results import Imputed, VRAETerms

_LOGVAR_RANGE = -20.0, 10.0
_CODES, _DECODER, _AUGMENTATION, _HIDDEN = range(4)
"""Purposes of random draws, for `fold`."""
_MIXING, _WARP = range(2)
"""Purposes of the random draws of an augmentation."""
Sequences = Array | tf.RaggedTensor | list
"""Series as a caller may pass them."""


@keras.saving.register_keras_serializable(package="vrae")
class VRAE(SequenceModel):
    """The variational recurrent auto-encoder (Fabius and van Amersfoort 2014, arXiv:1412.6581).

    A sequence has one code z::

        z ~ N(mu(h_T), diag exp(logvar(h_T))),  h_t = RNN(x_t, h_{t-1})                      encoder
        x_t ~ p(x_t | s_t),  s_t = RNN([z, x_{t-1}], s_{t-1}),  s_0 = tanh(W z + b)          decoder

    Sequences are [B, T, feature_size] floats ([B, T] is accepted for one feature), [B, T] tokens
    for `categorical`, or a list of arrays [T_i, feature_size]. A mask [B, T] is 1 where a step is
    observed, 0 where it is missing and in the padding after the end. A ragged tensor or a list
    needs no mask. Padding does not change the result. With `missing=True`, single numbers may be
    missing too: NaN, or 0 in a mask [B, T, feature_size].

    A batch of `fit`, `evaluate` and `predict` has `sequences`, and optionally `mask`, `times`,
    `condition` and `sample_weight` [B], the weight of each sequence in every mean. In a pair
    (tokens, y) with `categorical`, y is the mask: both are [B, T]. `fit(tokens, tokens)` with one
    array means `fit(tokens)`.

    The default arguments are close to the model of 2014 (an LSTM in both directions replaces its
    plain RNN, and z is an input at every step). `for_series` chooses the arguments for given
    series.

    Args:
        feature_size: features of a step, or the number of tokens.
        z_size: size of the code.
        condition_size: size of a vector that is an input of encoder and decoder, or the number of
            classes of integer labels [B]; 0: none.
        rnn: "lstm" or "gru".
        rnn_size: units of a layer.
        num_layers: layers of the encoder and of the decoder.
        bidirectional: whether the encoder runs in both directions.
        attention: whether the code is computed from all outputs of the encoder, weighted, instead
            of its last states.
        encoder: None: the RNN above. Otherwise a Keras layer or model whose call takes inputs [B,
            T, feature_size + condition_size] (tokens one-hot) and `mask` [B, T] bool and returns
            mean and logvar, [B, z_size] each.
        decoder: "autoregressive": z and the last value are inputs of each step; "latent": only z.
            Otherwise a Keras layer or model whose call takes context [B, z_size + condition_size]
            and `steps`, an int32 scalar, and returns outputs [B, steps, feature_size]: means, or
            logits. Without an argument `steps` it returns a fixed number of steps, the most that
            sequences may have. If the call has arguments `given` [B, steps, feature_size],
            `forcing` and `seed`, they are true values and `teacher_forcing` in training
            (`vrae.decoder.Decoder`).
        segment_steps: None, or a decoder with two levels: z, a code for each segment of this
            length, the steps (Roberts et al. 2018).
        likelihood: "gaussian" (variance `noise_var`: squared error), "student_t" (outliers),
            "bernoulli" or "categorical" (cross-entropy). Or a dict of the columns in their order,
            with one of the first three, or the number of classes, for each column name, as in
            {"speed": "gaussian", "gear": 5}.
        noise_var: variance of a value around the decoder's mean, in standardised units, or its
            initial value.
        noise: "fixed"; "feature": learned, one variance per feature; "step": an output of the
            decoder for each step.
        noise_floor: the smallest learned variance.
        missing: whether numbers may be missing. The encoder's inputs are then the numbers (0 where
            missing), which of them are observed, and how long ago each feature was last observed.
        hidden: share of the observed numbers that is hidden from the encoder in training and
            predicted by the decoder.
        patch: consecutive steps that are one input and one output of the RNNs.
        positions: cosines of the relative time (0 to 1) among the inputs of encoder and decoder; 0:
            none. `times` [B, T], for irregular steps, need at least 1.
        pooling: "last": the code is computed from the last states; "mean": from the mean of all
            states; "position": from sums of all states with weights that depend on the relative
            time.
        cosines: number of coefficients of a linear path in parallel with the networks: from the
            first coefficients of a sequence's cosine transform to the mean of z, and from z to
            coefficients that are added to the output. The model then includes principal components
            of smooth series. 0: none.
        logvar_start: initial value of the encoder's log-variance.
        mixing: in training, the probability that a sequence is replaced by a random linear mixture
            of the batch's sequences, with their mean and covariance.
        warp: in training, the standard deviation of a smooth random change of the sequences' speed.
        scaling: {"mean": [...], "deviation": [...]} of each feature, by which the model
            standardises sequences. Bounds are those of the standardised values. None: 0 and 1.
        teacher_forcing: in training, the probability that the true last value is the input instead
            of the decoder's own; the variable `teacher_forcing` may be changed between epochs.
        kl_weight: initial value of the variable `kl_weight`, see `seqvae.objectives.annealing`.
        free_bits: lower limit, in nats, of each dimension's KL in the objective, applied to its
            mean over a batch (Kingma et al. 2016).
        seed: seed of the random draws in calls that do not pass one; None: Keras' global seed.
        dtype: a type or dtype policy.
        name: the model's name.

    Raises:
        ValueError: an argument is out of range, or an encoder or decoder does not satisfy its
            contract.
    """

    input_name = "sequences"
    batch_keys: ClassVar = {
        "sequences": "[B, T, feature_size] floats, [B, T] tokens for `categorical`, or ragged",
        "mask": "[B, T], 1 where a step was observed; [B, T, feature_size] with missing=True",
        "times": "[B, T], the time of each step, where positions > 0; without: 0, 1, 2, ...",
        "condition": "[B, condition_size] floats or labels [B], where condition_size > 0",
    }
    term_names = VRAETerms._fields

    def __init__(
        self,
        feature_size: int,
        *,
        z_size: int = 20,
        condition_size: int = 0,
        rnn: str = "lstm",
        rnn_size: int = 128,
        num_layers: int = 1,
        bidirectional: bool = True,
        attention: bool = False,
        encoder: keras.Layer | None = None,
        decoder: str | keras.Layer = "autoregressive",
        segment_steps: int | None = None,
        likelihood: str | dict = "gaussian",
        noise_var: float = 1.0,
        noise: str = "fixed",
        noise_floor: float = 0.001,
        missing: bool = False,
        hidden: float = 0.0,
        patch: int = 1,
        positions: int = 0,
        pooling: str = "last",
        cosines: int = 0,
        logvar_start: float = 0.0,
        mixing: float = 0.0,
        warp: float = 0.0,
        scaling: dict | None = None,
        teacher_forcing: float = 1.0,
        kl_weight: float = 1.0,
        free_bits: float = 0.0,
        seed: int | None = None,
        dtype: str | keras.DTypePolicy | None = None,
        name: str = "vrae",
    ):
        config = {
            k: v for k, v in locals().items() if k not in ("self", "dtype", "name", "__class__")
        }
        model_arguments.check(config)
        super().__init__(name=name, dtype=dtype, seed=seed)
        self._own = tuple(
            name for name in ("encoder", "decoder") if isinstance(config[name], keras.Layer)
        )
        self._config = {name: value for name, value in config.items() if name not in self._own}
        self.feature_size, self.z_size, self.condition_size = feature_size, z_size, condition_size
        self.missing = missing
        self._tokens = likelihood == "categorical"
        self.likelihood = likelihoods.make(
            likelihood, feature_size, self.variable_dtype, noise, noise_var, noise_floor
        )
        self.variances = likelihoods.variances(self.likelihood)
        self._mean, self._deviation = model_arguments.scaling(config["scaling"], feature_size)
        self._make_parts(encoder, decoder)
        self._inputs = Inputs(
            feature_size,
            condition_size,
            positions,
            missing,
            likelihood,
            self._most_steps,
            self.variable_dtype,
        )
        self.kl_weight = self._constant("kl_weight", kl_weight)
        self.teacher_forcing = self._constant("teacher_forcing", teacher_forcing)
        self.built = True  # not by `build`: after it, Keras does not let a subclass add layers

    def _make_parts(self, encoder, decoder) -> None:
        shared = ("rnn", "rnn_size", "num_layers", "patch", "positions")
        options = {name: self._config[name] for name in shared} | {"dtype": self.dtype_policy}
        input_size = self.likelihood.input_size + self.condition_size
        input_size += 2 * self.feature_size if self.missing else 0
        context_size = self.z_size + self.condition_size
        self._most_steps = None
        if encoder is None:
            own = ("bidirectional", "attention", "pooling", "logvar_start")
            both = {name: self._config[name] for name in own}
            encoder = Encoder(input_size, z_size=self.z_size, name="encoder", **both, **options)
        else:
            arguments.check_encoder(encoder, input_size, self.z_size, self.variable_dtype)
        if isinstance(decoder, str):
            decoder = Decoder(
                context_size,
                self.likelihood,
                segment_steps=self._config["segment_steps"],
                autoregressive=decoder == "autoregressive",
                name="decoder",
                **options,
            )
        else:
            size = self.likelihood.output_size
            self._most_steps = arguments.check_decoder(
                decoder, context_size, size, self.variable_dtype
            )
        self.encoder, self.decoder = encoder, decoder
        if self._config["cosines"]:
            self._make_linear_path()

    def _make_linear_path(self) -> None:
        """Make the two matrices of the path by the cosine transform."""
        start = keras.initializers.RandomNormal(stddev=0.01, seed=self._config["seed"])
        count = self._config["cosines"]
        options = dict(initializer=start, dtype=self.variable_dtype, autocast=False)
        size = count * self.feature_size
        self.from_cosines = self.add_weight(
            shape=(size, self.z_size), name="from_cosines", **options
        )
        self.to_cosines = self.add_weight(shape=(self.z_size, size), name="to_cosines", **options)

    def _constant(self, name: str, value: float) -> keras.Variable:
        return self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(value),
            trainable=False,
            dtype=self.variable_dtype,
            autocast=False,
            name=name,
        )

    def get_config(self):
        """Return the arguments of the model.

        Returns:
            The arguments by name; a user's encoder and decoder are serialised.
        """
        base = super().get_config()
        own = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self._own}
        return {name: base[name] for name in ("name", "dtype")} | self._config | own

    @classmethod
    def from_config(cls, config: dict):
        """Make a model from what `get_config` returned.

        Args:
            config: the arguments by name.

        Returns:
            The model.
        """
        parts = {n: config[n] for n in ("encoder", "decoder") if isinstance(config.get(n), dict)}
        return cls(
            **config | {n: keras.saving.deserialize_keras_object(part) for n, part in parts.items()}
        )

    @classmethod
    def for_series(
        cls,
        sequences: Any,
        mask: Any = None,
        *,
        held_out: float = 0.0,
        trial_steps: int = recipe.TRIAL_STEPS,
        verbose: bool = True,
        **options: Any,
    ) -> "VRAE":
        """Make a model for given series by the rules of `vrae.recipe.choose`, not yet trained.

        The rules choose sizes, likelihood, scaling and the treatment of missing numbers. Train the
        model by `vrae.recipe.train` or `fit`.

        Args:
            sequences: [N, T, features], [N, T] of one feature, a list of arrays [T_i, features], or
                a `vrae.data.Series`; NaN means missing. Give training series only.
            mask: [N, T], 1 = observed; None: all steps.
            held_out: share of the series, such as 0.2, on which `warp` and `noise_floor` are
                chosen by three trial models that are trained on the others
                (`vrae.recipe.chosen_on_held_out`). 0: both are fixed.
            trial_steps: training steps of a trial model.
            verbose: whether the rules are printed.
            **options: arguments of the model that replace the chosen ones.

        Returns:
            The model.

        Raises:
            ValueError: series or options are not as described, or `held_out` with one series.
        """
        series = sequences if isinstance(sequences, Series) else as_series(sequences, mask)
        arguments.check_number("held_out", held_out, 0, 1)
        choice = recipe.choose(series, options)
        if held_out:
            trial = recipe.chosen_on_held_out(
                series,
                choice.options,
                cls,
                keep=options,
                share=held_out,
                steps=check_size("trial_steps", trial_steps),
                seed=options.get("seed") or 0,
            )
            choice = trial.applied(choice)
        if verbose:
            print("\n".join(choice.rules))
        return cls(series.sequences.shape[2], **choice.options)

    # --- verbs ---

    def encode(
        self,
        sequences: Sequences,
        mask: Array | None = None,
        condition: Array | None = None,
        *,
        times: Array | None = None,
    ) -> tfd.Distribution:
        """Compute q(z | x).

        Args:
            sequences: [B, T, feature_size] or tokens [B, T], a ragged tensor, or a list of arrays.
            mask: [B, T], 1 = observed; None: all steps.
            condition: [B, condition_size], or labels [B].
            times: [B, T]; None: 0, 1, 2, ...

        Returns:
            Batch [B], event [z_size].

        Raises:
            ValueError: a shape or value is not as described.
        """
        given = self._arguments(sequences, mask, condition, times)

        def compute(sequences, mask, condition, times):
            return self._encode(self._steps(sequences, mask, times), condition)

        mean, logvar = self._run(compute, *given)
        return tfd.MultivariateNormalDiag(mean, tf.exp(0.5 * logvar))

    def decode(
        self,
        z: Array,
        num_steps: int,
        condition: Array | None = None,
        *,
        temperature: float | None = None,
        seed: Seed | None = None,
    ) -> tf.Tensor:
        """Decode codes, free-running: each output is the next step's input.

        Args:
            z: [B, z_size].
            num_steps: number of steps.
            condition: [B, condition_size], or labels [B].
            temperature: for `categorical`: tokens are drawn from the probabilities to the power
                1 / temperature; None: the most likely tokens.
            seed: seed of the draws; None: the model's next seed.

        Returns:
            Means [B, num_steps, feature_size], probabilities for `bernoulli`, tokens [B, num_steps]
            for `categorical`.

        Raises:
            ValueError: a wrong shape, or more steps than a decoder with a fixed number returns.
        """
        num_steps = check_size("num_steps", num_steps)
        z = arguments.check_codes(z, self.z_size, self.variable_dtype)
        condition = self._inputs.condition(condition, z)
        arguments.check_steps(num_steps, self._most_steps)
        if temperature is None:

            def compute(z, num_steps, condition):
                outputs = self._even_outputs(z, num_steps, condition)
                return self._in_units(self.likelihood.mode(outputs))

            return self._run(compute, z, tf.constant(num_steps), condition)
        if not self._tokens:
            raise ValueError(
                "temperature: expected None, the likelihood is not categorical. Use `impute` for "
                "samples of numbers."
            )
        arguments.check_number("temperature", temperature, 1e-3)

        def draw(z, num_steps, condition, temperature, seed):
            # the largest of logits + temperature * Gumbel noise is a draw
            shape = [tf.shape(z)[0], num_steps, self.feature_size]
            noise = -tf.math.log(-tf.math.log(uniform(shape, seed, z.dtype) * (1 - 2e-7) + 1e-7))
            options = dict(perturbation=temperature * noise)
            return self.likelihood.mode(self._even_outputs(z, num_steps, condition, **options))

        scale = tf.constant(temperature, self.variable_dtype)
        given = z, tf.constant(num_steps), condition, scale
        return self._run(draw, *given, stateless_seed(seed, self._seeds))

    def reconstruct(
        self,
        sequences: Sequences,
        mask: Array | None = None,
        condition: Array | None = None,
        *,
        times: Array | None = None,
    ) -> tf.Tensor:
        """Decode the mean of `encode`.

        Args:
            sequences: as for `encode`.
            mask: as for `encode`.
            condition: as for `encode`.
            times: as for `encode`.

        Returns:
            As `decode`, with the steps of the sequences.

        Raises:
            ValueError: as for `encode`.
        """
        return self._run(self._reconstruct, *self._arguments(sequences, mask, condition, times))

    def _reconstruct(self, sequences, mask, condition, times) -> tf.Tensor:
        steps = self._steps(sequences, mask, times)
        return self._in_units(self.likelihood.mode(self._at_mean(steps, condition)))

    def pooled(
        self,
        sequences: Sequences,
        mask: Array | None = None,
        condition: Array | None = None,
        *,
        times: Array | None = None,
    ) -> tf.Tensor:
        """Compute the summary of the encoder's states from which the code is computed.

        It has more numbers than z and is not regularised.

        Args:
            sequences: as for `encode`.
            mask: as for `encode`.
            condition: as for `encode`.
            times: as for `encode`.

        Returns:
            [B, width].

        Raises:
            ValueError: as for `encode`, or the encoder is the user's own layer.
        """
        if not isinstance(self.encoder, Encoder):
            raise ValueError(
                "encoder: expected the default encoder, got a custom layer, whose states are "
                "unknown."
            )
        given = self._arguments(sequences, mask, condition, times)

        def compute(sequences, mask, condition, times):
            inputs, options = self._encoder_inputs(self._steps(sequences, mask, times), condition)
            return tf.cast(self.encoder.pooled(inputs, **options), self.variable_dtype)

        return self._run(compute, *given)

    def impute(
        self,
        sequences: Sequences,
        mask: Array | None = None,
        condition: Array | None = None,
        *,
        times: Array | None = None,
        num_samples: int = 0,
        quantiles: Array = (),
        seed: int | None = None,
    ) -> Imputed:
        """Fill missing numbers up to the end of each sequence; observed numbers are unchanged.

        Args:
            sequences: as for `encode`.
            mask: as for `encode`.
            condition: as for `encode`.
            times: as for `encode`.
            num_samples: number of draws of z and of the values; 0: the mean is the decoder's at the
                mean of z.
            quantiles: probabilities in [0, 1] of quantiles of the draws.
            seed: seed of the draws; None: the model's next seed.

        Returns:
            The filled sequences.

        Raises:
            ValueError: as for `encode`; tokens; quantiles without draws.
        """
        if self._tokens:
            raise ValueError("impute: expected a likelihood of numbers, got categorical.")
        levels = _levels(quantiles, num_samples)
        given = self._arguments(sequences, mask, condition, times)
        if not num_samples:

            def compute(sequences, mask, condition, times):
                steps = self._steps(sequences, mask, times)
                mode = self._in_units(self.likelihood.mode(self._at_mean(steps, condition)))
                return tf.where(is_observed(steps.observed), sequences, mode)

            return Imputed(self._run(compute, *given))

        def draw(sequences, mask, condition, times, seed):
            """A drawn sequence, and the decoder's mean at the same z."""
            steps = self._steps(sequences, mask, times)
            mean, logvar = self._encode(steps, condition)
            z = mean + tf.exp(0.5 * logvar) * normal(tf.shape(mean), fold(seed, _CODES), mean.dtype)
            outputs = self._free_outputs(z, steps, condition)
            found = (
                self.likelihood.sample(outputs, fold(seed, _DECODER)),
                self.likelihood.mode(outputs),
            )
            observed = is_observed(steps.observed)
            return [tf.where(observed, sequences, self._in_units(values)) for values in found]

        count = check_size("num_samples", num_samples)
        base = stateless_seed(seed, self._seeds)
        drawn = [self._run(draw, *given, fold(base, i)) for i in range(count)]
        samples = tf.stack([values for values, _ in drawn])
        mean = tf.reduce_mean(tf.stack([means for _, means in drawn]), 0)
        found = tfp.stats.percentile(samples, 100.0 * levels, axis=0) if len(levels) else None
        return Imputed(mean, samples, found)

    def forecast(
        self,
        sequences: Sequences,
        num_steps: int,
        mask: Array | None = None,
        condition: Array | None = None,
        *,
        num_samples: int = 0,
        quantiles: Array = (),
        seed: int | None = None,
    ) -> Imputed:
        """Predict the steps after the end of each sequence.

        The sequences are extended by missing numbers, which `impute` fills.

        Steps have equal length. A model can predict only what its training sequences contained at
        those relative times.

        Args:
            sequences: as for `encode`.
            num_steps: number of steps to predict.
            mask: as for `encode`.
            condition: as for `encode`.
            num_samples: as for `impute`.
            quantiles: as for `impute`.
            seed: as for `impute`.

        Returns:
            The predicted steps [B, num_steps, features].

        Raises:
            ValueError: as for `impute`, or a model that does not take missing numbers.
        """
        if not self.missing:
            raise ValueError("forecast: expected a model with missing=True, got missing=False.")
        num_steps = check_size("num_steps", num_steps)
        sequences, mask, condition, _ = self._arguments(sequences, mask, condition, None)
        step = of_steps(mask)
        lengths = tf.cast(tf.reduce_sum(to_the_end(step), 1), tf.int32)
        longer = tf.range(tf.shape(sequences)[1] + num_steps)[None]
        new = tf.pad(sequences, [[0, 0], [0, num_steps], [0, 0]])
        is_old = tf.pad(is_observed(of_numbers(mask)), [[0, 0], [0, num_steps], [0, 0]])
        new = tf.where(is_old, new, tf.constant(np.nan, new.dtype))
        valid = tf.cast(longer < lengths[:, None] + num_steps, self.variable_dtype)
        found = self.impute(
            new, valid, condition, num_samples=num_samples, quantiles=quantiles, seed=seed
        )
        at = lengths[:, None] + tf.range(num_steps)[None]
        mean, *others = (None if x is None else _gathered_steps(x, at) for x in found)
        assert mean is not None
        return Imputed(mean, *others)

    def log_likelihood(
        self,
        sequences: Sequences,
        mask: Array | None = None,
        condition: Array | None = None,
        *,
        times: Array | None = None,
        num_samples: int = 50,
        seed: int | None = None,
    ) -> tf.Tensor:
        """Estimate log p(x) of each sequence, of standardised values.

        The estimate is the importance-weighted bound::

            log 1/K sum_k p(x | z_k) p(z_k) / q(z_k | x)

        It is at least the ELBO on average (Burda et al. 2016).

        Args:
            sequences: as for `encode`.
            mask: as for `encode`.
            condition: as for `encode`.
            times: as for `encode`.
            num_samples: K, the number of draws of z.
            seed: seed of the draws; None: the model's next seed.

        Returns:
            [B], nats.

        Raises:
            ValueError: as for `encode`.
        """
        given = self._arguments(sequences, mask, condition, times)
        count = check_size("num_samples", num_samples)
        base = stateless_seed(seed, self._seeds)

        def log_weight(sequences, mask, condition, times, seed):
            """log p(x, z) / q(z | x) [B] at a drawn z."""
            steps = self._steps(sequences, mask, times)
            mean, logvar = self._encode(steps, condition)
            noise = normal(tf.shape(mean), seed, mean.dtype)
            z = mean + tf.exp(0.5 * logvar) * noise
            each = self._log_px(steps, z, condition)
            return each + 0.5 * tf.reduce_sum(noise**2 - z**2 + logvar, 1)

        weights = [self._run(log_weight, *given, fold(base, i)) for i in range(count)]
        return tf.reduce_logsumexp(tf.stack(weights), 0) - math.log(count)

    def generate(
        self,
        n: int,
        num_steps: int,
        condition: Array | None = None,
        *,
        temperature: float | None = None,
        seed: int | None = None,
    ) -> tf.Tensor:
        """Decode codes drawn from N(0, 1).

        Args:
            n: number of sequences.
            num_steps: number of steps.
            condition: [n, condition_size], or labels [n].
            temperature: as for `decode`.
            seed: seed of the draws; None: the model's next seed.

        Returns:
            n sequences, as `decode` returns them.

        Raises:
            ValueError: as for `decode`.
        """
        n = check_size("n", n)
        base = stateless_seed(seed, self._seeds)
        z = normal([n, self.z_size], fold(base, _CODES), self.variable_dtype)
        return self.decode(
            z, num_steps, condition, temperature=temperature, seed=fold(base, _DECODER)
        )

    def interpolate(
        self, first: Array, second: Array, n: int, num_steps: int, condition: Array | None = None
    ) -> tf.Tensor:
        """Decode codes on the line between the codes of two sequences, both ends included.

        Args:
            first: [T, ...], the first sequence.
            second: [T, ...], the second sequence.
            n: number of codes.
            num_steps: number of steps.
            condition: [n, condition_size]; the first row is that of the two sequences.

        Returns:
            n sequences, as `decode` returns them.

        Raises:
            ValueError: as for `encode`.
        """
        n = check_size("n", n, least=2)
        one = None if condition is None else checks.tensor("condition", condition)[:1]
        named = {"first": first, "second": second}
        ends = [
            self.encode(checks.tensor(name, x)[None], None, one).mean()[0]
            for name, x in named.items()
        ]
        share = tf.linspace(tf.zeros([], self.variable_dtype), tf.ones([], self.variable_dtype), n)[
            :, None
        ]
        return self.decode((1.0 - share) * ends[0] + share * ends[1], num_steps, condition)

    def call(self, inputs: Any, mask: Any = None) -> tf.Tensor:
        """Compute `reconstruct` of a batch.

        Args:
            inputs: sequences, or a dict of `sequences`, `mask`, `times` and `condition`.
            mask: [B, T]; None: the mask of the dict, if any.

        Returns:
            The reconstructed sequences.
        """
        return self._reconstruct(*self._arguments_of_batch(self.batch_with(inputs, mask)))

    # --- training ---

    def _log_px(self, steps: Steps, z, condition, **options) -> tf.Tensor:
        """log p(x | z) [B] of the observed numbers, by default with teacher forcing."""
        given = self.likelihood.inputs(steps.values)
        count = tf.shape(steps.valid)[1]
        outputs = self._outputs(
            z, condition, count, steps.position, steps.valid, given=given, **options
        )
        each = steps.observed * self.likelihood.log_prob(outputs, steps.values)
        return tf.reduce_sum(each, axis=list(range(1, each.shape.rank)))

    def loss_terms(
        self,
        batch: Any,
        *,
        noise: Array | None = None,
        seed: Seed | None = None,
        training: bool = True,
    ) -> VRAETerms:
        """Compute the terms of the bound.

        In training, the decoder's inputs are true values with the probability `teacher_forcing`,
        and `mixing`, `warp` and `hidden` are applied. Otherwise the inputs are always true values,
        so that log_px is the model's.

        Args:
            batch: sequences, or a dict of `sequences` and optionally `mask`, `times`, `condition`
                and `sample_weight`.
            noise: [B, z_size], replaces the draw of z.
            seed: seed of the random draws; None: the model's next seed.
            training: whether this is a training step.

        Returns:
            The terms, scalars.
        """
        batch = self.batch_of(batch)
        sequences, mask, condition, times = self._arguments_of_batch(batch)
        seed = stateless_seed(seed, self._seeds)
        steps = self._steps(sequences, mask, times)
        encoded = steps
        if training:
            steps = self._augmented(steps, fold(seed, _AUGMENTATION))
            encoded = self._partly_hidden(steps, fold(seed, _HIDDEN))
        mean, logvar = self._encode(encoded, condition, training)
        if noise is None:
            noise = normal(tf.shape(mean), fold(seed, _CODES), mean.dtype)
        z = mean + tf.exp(0.5 * logvar) * tf.cast(noise, mean.dtype)
        each = self._log_px(
            steps,
            z,
            condition,
            seed=fold(seed, _DECODER),
            forcing=tf.convert_to_tensor(self.teacher_forcing) if training else 1.0,
            training=training,
        )
        weights = self._weights(batch, mean)
        log_px = weighted_mean(each, weights)
        per_dimension = self._kl(mean, logvar, weights)
        kl = tf.reduce_sum(per_dimension)
        kl_paid = tf.reduce_sum(tf.maximum(per_dimension, self._config["free_bits"]))
        return VRAETerms(log_px - kl, log_px, kl, kl_paid)

    def objective(self, terms: VRAETerms) -> tf.Tensor:
        """The loss: -(log_px - kl_weight * kl_paid).

        Terms are weighted here and nowhere else.

        Args:
            terms: what `loss_terms` returns.

        Returns:
            A scalar.
        """
        return -(terms.log_px - tf.convert_to_tensor(self.kl_weight) * terms.kl_paid)

    def count(self, batch: dict) -> tf.Tensor:
        """Count the sequences of a batch, each times its `sample_weight`.

        Args:
            batch: the batch.

        Returns:
            A scalar.
        """
        return tf.reduce_sum(tf.cast(self._weights(batch, batch["sequences"]), tf.float32))

    def check_batch(self, batch: dict, place: Place = NOWHERE) -> None:
        """Check a batch.

        Checked are shapes; masks of 0 and 1 with something observed in every sequence; observed
        values: finite, in [0, 1] for `bernoulli`, tokens and classes in range; increasing times; a
        finite condition.

        Args:
            batch: the batch.
            place: where it comes from, for messages.

        Raises:
            ValueError: a check failed.
        """
        given = self._inputs.tensors(*(batch.get(name) for name in _KEYS))
        self._inputs.check_values(*given, place)

    def serving_inputs(self):
        """The inputs of an exported model: sequences, masks and conditions.

        Returns:
            The shapes and types by name.
        """
        tokens, spec = self._tokens, keras.layers.InputSpec
        shape, dtype = (None, None), self.variable_dtype
        inputs = {
            "sequences": spec(shape=shape, dtype="int32")
            if tokens
            else spec(shape=(*shape, self.feature_size), dtype=dtype),
            "mask": spec(shape=shape, dtype=dtype),
        }
        if self.condition_size:
            inputs["condition"] = spec(shape=(None, self.condition_size), dtype=dtype)
        return inputs

    # --- inside ---

    def _checked_data(self, x: Any, y, sample_weight) -> tuple:
        """Convert lists of series to padded arrays and [B, T] of one feature to [B, T, 1], then
        check the data as the base class does. With both ranks, the rank in Keras' traced step would
        be unknown.
        """
        if isinstance(x, dict):
            return super()._checked_data(self._one_form(x), None if y is x else y, sample_weight)
        as_list = arguments.is_list_of_series(x, self._tokens)
        if as_list or self._is_flat(x):
            y = None if y is x else y
            x = self._one_form({"sequences": x})
            x = x if as_list else x["sequences"]
        return super()._checked_data(x, y, sample_weight)

    def _one_form(self, batch: dict) -> dict:
        """The batch with sequences as one array with all axes."""
        x: Any = batch.get("sequences")
        if arguments.is_list_of_series(x, self._tokens):
            x, mask = arguments.padded_list(x, batch.get("mask"), self._tokens)
            return batch | {"sequences": x, "mask": mask}
        return batch | {"sequences": x[..., None]} if self._is_flat(x) else batch

    def _is_flat(self, x: Any) -> bool:
        """Whether x is an array [B, T] of one feature."""
        array = isinstance(x, np.ndarray | tf.Tensor)
        return array and not self._tokens and self.feature_size == 1 and len(x.shape) == 2

    def _steps(self, sequences, mask, times) -> Steps:
        """The sequences in the form of the networks' inputs."""
        step_mask = of_steps(mask)
        valid = to_the_end(step_mask)
        position, interval = relative(times, valid)
        if self._tokens:
            values = tf.where(is_observed(step_mask), sequences, tf.zeros_like(sequences))
            return Steps(values, step_mask, valid, position, interval, times)
        observed = self._inputs.observed(sequences, mask)
        scaled = sequences
        if self._mean is not None and self._deviation is not None:
            scaled = (sequences - tf.constant(self._mean, sequences.dtype)) / tf.constant(
                self._deviation, sequences.dtype
            )
        values = tf.where(observed, scaled, tf.zeros_like(scaled))
        return Steps(
            values, tf.cast(observed, self.variable_dtype), valid, position, interval, times
        )

    def _in_units(self, values: tf.Tensor) -> tf.Tensor:
        """Standardised values converted to the units of the sequences."""
        if self._mean is None or self._deviation is None:
            return values
        mean, deviation = (tf.constant(x, values.dtype) for x in (self._mean, self._deviation))
        return values * deviation + mean

    def _augmented(self, steps: Steps, seed) -> Steps:
        """The sequences after `mixing` and `warp`."""
        if self._config["mixing"]:
            steps = mixed(steps, self._config["mixing"], fold(seed, _MIXING))
        if self._config["warp"]:
            steps = warped(steps, self._config["warp"], fold(seed, _WARP))
        return steps

    def _partly_hidden(self, steps: Steps, seed) -> Steps:
        """The encoder's sequences: observed numbers without the share `hidden`."""
        if not self._config["hidden"]:
            return steps
        draw = uniform(tf.shape(steps.observed), seed, steps.observed.dtype)
        kept = steps.observed * tf.cast(draw >= self._config["hidden"], steps.observed.dtype)
        return steps._replace(observed=kept, values=steps.values * kept)

    def _encode(
        self, steps: Steps, condition, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        inputs, options = self._encoder_inputs(steps, condition)
        options = arguments.accepted(self.encoder, training=training, **options)
        mean, logvar = self.encoder(inputs, **options)
        mean = tf.cast(mean, self.variable_dtype)
        if self._config["cosines"]:
            mean += self._code_of_cosines(steps)
        return mean, bounded(tf.cast(logvar, self.variable_dtype), *_LOGVAR_RANGE)

    def _encoder_inputs(self, steps: Steps, condition) -> tuple[tf.Tensor, dict]:
        """The inputs [B, T, ...] of the encoder, and its other arguments."""
        values = self.likelihood.inputs(steps.values)
        parts = [values, tf.tile(condition[:, None], tf.stack([1, tf.shape(values)[1], 1]))]
        if self.missing:
            parts[0] = self._zero_where_missing(values, steps.observed)
            parts[1:1] = [steps.observed, since_observed(steps)]
            mask = steps.valid
        else:
            mask = steps.observed if self._tokens else tf.reduce_max(steps.observed, 2)
        inputs = tf.concat(parts, -1)
        position = steps.position
        if not self.missing and isinstance(self.encoder, Encoder):
            inputs, mask, position = arguments.compacted(inputs, mask, position)
        return inputs, {"mask": is_observed(mask), "position": position}

    def _zero_where_missing(self, values, observed) -> tf.Tensor:
        """values [B, T, input_size] with zeros for missing classes: a missing number is stored as
        0, which one-hot encoding would turn into the first class.
        """
        if self.likelihood.input_size == self.feature_size:
            return values
        sizes = [part.input_size for part in getattr(self.likelihood, "parts", [])]
        return values * tf.repeat(observed, sizes, axis=2)

    def _code_of_cosines(self, steps: Steps) -> tf.Tensor:
        """The linear path from the cosine transform to the mean of z."""
        grid = waves(steps.valid, steps.position, self._config["cosines"])
        found = cosine_coefficients(interpolated(steps), grid, steps.valid)
        size = self._config["cosines"] * self.feature_size
        return tf.reshape(found, [-1, size]) @ tf.convert_to_tensor(self.from_cosines)

    def _outputs(self, z, condition, steps, position, valid, **given) -> tf.Tensor:
        """The decoder's outputs [B, steps, output_size]."""
        options = arguments.accepted(self.decoder, steps=steps, position=position, **given)
        outputs = tf.cast(
            self.decoder(tf.concat([z, condition], -1), **options), self.variable_dtype
        )
        outputs = outputs if self._most_steps is None else outputs[:, :steps]
        if "perturbation" in given and "perturbation" not in options:
            outputs += given["perturbation"]  # a user's decoder may not take it
        count = self._config["cosines"]
        if not count:
            return outputs
        found = tf.reshape(
            z @ tf.convert_to_tensor(self.to_cosines), [-1, count, self.feature_size]
        )
        added = tf.einsum("btk,bkf->btf", waves(valid, position, count), found)
        rest = self.likelihood.output_size - self.feature_size  # variances of steps
        return outputs + (tf.pad(added, [[0, 0], [0, 0], [0, rest]]) if rest else added)

    def _even_outputs(self, z, num_steps, condition, **options) -> tf.Tensor:
        """The decoder's outputs for num_steps steps of equal length."""
        valid = tf.ones([tf.shape(z)[0], num_steps], self.variable_dtype)
        times = tf.range(tf.cast(num_steps, valid.dtype), dtype=valid.dtype)[None] * valid
        position = relative(times, valid)[0]
        return self._outputs(z, condition, num_steps, position, valid, **options)

    def _at_mean(self, steps: Steps, condition) -> tf.Tensor:
        """Free-running outputs at the mean of z."""
        mean, _ = self._encode(steps, condition)
        return self._free_outputs(mean, steps, condition)

    def _free_outputs(self, z, steps: Steps, condition) -> tf.Tensor:
        """Free-running outputs at z for the steps of sequences."""
        count = tf.shape(steps.valid)[1]
        return self._outputs(z, condition, count, steps.position, steps.valid)

    def _weights(self, batch: dict, like) -> tf.Tensor:
        """The weight of each sequence [B]."""
        if "sample_weight" in batch:
            return tf.cast(batch["sample_weight"], self.variable_dtype)
        rows = like.nrows() if isinstance(like, tf.RaggedTensor) else tf.shape(like)[0]
        return tf.ones([rows], self.variable_dtype)

    def _kl(self, mean, logvar, weights) -> tf.Tensor:
        """KL(q(z | x) || N(0, 1)) of each dimension [z_size], averaged over the whole batch: free
        bits apply to this mean.
        """
        weighted = weights[:, None] * gaussian_kl(mean, logvar)
        sums = tf.reduce_sum(all_rows(tf.concat([weighted, weights[:, None]], -1)), axis=0)
        return tf.math.divide_no_nan(sums[:-1], sums[-1])

    def _arguments_of_batch(self, batch: dict) -> Any:
        check_keys(batch, (*self.batch_keys, "sample_weight"))
        if "sequences" not in batch:
            raise ValueError(f"sequences: missing in a batch of {', '.join(batch) or 'nothing'}.")
        return self._arguments(*(batch.get(name) for name in _KEYS))

    def _arguments(self, sequences, mask, condition, times) -> tuple[tf.Tensor, ...]:
        """Sequences, mask, condition and times in their types; in eager mode their values are
        checked.
        """
        sequences, mask, condition, times = self._inputs.tensors(sequences, mask, condition, times)
        if tf.executing_eagerly():
            self._inputs.check_values(sequences, mask, condition, times, NOWHERE)
        kind = tf.int32 if self._tokens else self.variable_dtype
        return tf.cast(sequences, kind), mask, condition, times


_KEYS = ("sequences", "mask", "condition", "times")


def _gathered_steps(x: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    """Steps `at` [B, S] of x [..., B, T, features]."""
    if x.shape.rank == 3:
        return tf.gather(x, at, batch_dims=1)
    return tf.stack([tf.gather(each, at, batch_dims=1) for each in x])


def _levels(quantiles: Array, num_samples: int) -> np.ndarray:
    """The quantiles' probabilities as an array."""
    levels = np.atleast_1d(np.asarray(quantiles, np.float64))
    if len(levels) and not num_samples:
        raise ValueError("quantiles: expected num_samples with them, at least 1, got 0.")
    if levels.ndim != 1 or not ((levels >= 0) & (levels <= 1)).all():
        raise ValueError(f"quantiles: expected numbers from 0 to 1, got {quantiles!r}.")
    return levels
