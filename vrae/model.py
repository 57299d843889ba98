"""`VRAE`: the variational recurrent auto-encoder as a Keras model."""

from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from seqvae.checks import NOWHERE, Array, Place, check_keys, check_size
from seqvae.model import SequenceModel
from seqvae.objectives import bounded, gaussian_kl, weighted_mean
from seqvae.randomness import Seed, fold, normal, stateless_seed
from seqvae.replicas import all_rows
from vrae import arguments, likelihoods
from vrae.decoder import Decoder
from vrae.encoder import RNNS, Encoder
from vrae.results import VRAETerms

DECODERS = ("autoregressive", "latent")
_LOGVAR_RANGE = -20.0, 10.0


@keras.saving.register_keras_serializable(package="vrae")
class VRAE(SequenceModel):
    """The variational recurrent auto-encoder (Fabius and van Amersfoort 2014, arXiv:1412.6581): one
    code for a sequence.

        z ~ N(mu(h_T), diag exp(logvar(h_T))),  h_t = RNN(x_t, h_{t-1})                      encoder
        x_t ~ p(x_t | s_t),  s_t = RNN([z, x_{t-1}], s_{t-1}),  s_0 = tanh(W z + b)          decoder

    Sequences are [B, T, feature_size] floats, or [B, T] tokens for `categorical`; a mask [B, T] is
    1 where a step is, 0 in the padding after the end. A ragged tensor needs no mask. Padding does
    not change the result.

    A batch of `fit`, `evaluate` and `predict` has `sequences`, and where there are any `mask`,
    `condition` and `sample_weight` [B], the weight of each sequence in every mean. Of a pair
    (tokens, y) of `categorical` y is the mask: both are [B, T]. `fit(tokens, tokens)` with one
    array is read as `fit(tokens)`.

    Args:
        feature_size: features of a step, or the number of tokens.
        z_size: of the code. condition_size: of a vector (a label, one-hot) that is an input of
            encoder and decoder; 0: none.
        rnn: "lstm" or "gru"; rnn_size units, num_layers layers; bidirectional: the encoder's.
        attention: the encoder reads all its outputs, weighted, in place of the last states.
        encoder: None for the RNN above, or a Keras layer or model whose call takes inputs [B, T,
            feature_size + condition_size] (tokens one-hot) and `mask` [B, T] bool and returns mean
            and logvar, [B, z_size] each.
        decoder: "autoregressive": z and the last value are inputs of each step; "latent": z alone.
            Or a Keras layer or model whose call takes context [B, z_size + condition_size] and
            `steps`, an int32 scalar, and returns outputs [B, steps, feature_size]: means, or
            logits. Without an argument `steps` it writes a fixed number of steps, the most that
            sequences may have. Where the call has arguments `given` [B, steps, feature_size],
            `forcing` and `seed`, it is given true values and `teacher_forcing` in training
            (`vrae.decoder.Decoder`).
        segment_steps: a decoder of two levels: z, a code for each segment of this length, the steps
            (Roberts et al. 2018).
        likelihood: "gaussian" (variance `noise_var`: squared error), "bernoulli" or "categorical"
            (cross-entropy).
        teacher_forcing: in training, the probability that the true last value is an input in place
            of the decoder's own; the variable `teacher_forcing` may be changed between epochs.
        kl_weight: first value of the variable `kl_weight`, see `seqvae.objectives.annealing`.
        free_bits: nats of KL a dimension that cost nothing, of its mean over a batch (Kingma et al.
            2016).
        seed: of the noise where a call gives none.

    Raises:
        ValueError: an argument is out of range, or an encoder or decoder not of its contract.
    """

    input_name = "sequences"
    batch_keys: ClassVar = {
        "sequences": "[B, T, feature_size] floats, [B, T] tokens for `categorical`, or ragged",
        "mask": "[B, T], 1 where a step is, 0 in the padding after the end",
        "condition": "[B, condition_size] floats, where condition_size > 0",
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
        likelihood: str = "gaussian",
        noise_var: float = 1.0,
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
        _check(config)
        super().__init__(name=name, dtype=dtype, seed=seed)
        self._own = tuple(
            name for name in ("encoder", "decoder") if isinstance(config[name], keras.Layer)
        )
        self._config = {name: value for name, value in config.items() if name not in self._own}
        self.feature_size, self.z_size, self.condition_size = feature_size, z_size, condition_size
        self.likelihood = likelihoods.make(likelihood, feature_size, noise_var, self.variable_dtype)
        self._make_parts(encoder, decoder)
        self.kl_weight = self._constant("kl_weight", kl_weight)
        self.teacher_forcing = self._constant("teacher_forcing", teacher_forcing)
        self.built = True  # not by `build`, after which Keras lets no subclass add layers

    def _make_parts(self, encoder, decoder) -> None:
        options = {name: self._config[name] for name in ("rnn", "rnn_size", "num_layers")} | {
            "dtype": self.dtype_policy
        }
        input_size, context_size = (
            self.feature_size + self.condition_size,
            self.z_size + self.condition_size,
        )
        self._most_steps = None
        if encoder is None:
            both = {name: self._config[name] for name in ("bidirectional", "attention")}
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
        base = super().get_config()
        own = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self._own}
        return {name: base[name] for name in ("name", "dtype")} | self._config | own

    @classmethod
    def from_config(cls, config: dict):
        parts = {n: config[n] for n in ("encoder", "decoder") if isinstance(config.get(n), dict)}
        return cls(
            **config | {n: keras.saving.deserialize_keras_object(part) for n, part in parts.items()}
        )

    # --- verbs ---

    def encode(
        self,
        sequences: Array | tf.RaggedTensor,
        mask: Array | None = None,
        condition: Array | None = None,
    ) -> tfd.Distribution:
        """q(z | x): batch [B], event [z_size].

        Args:
            sequences: [B, T, feature_size] or tokens [B, T], or a ragged tensor of these. mask: [B,
                T]. condition: [B, condition_size].

        Raises:
            ValueError: a shape or value that is not as described.
        """
        mean, logvar = self._run(self._encode, *self._arguments(sequences, mask, condition))
        return tfd.MultivariateNormalDiag(mean, tf.exp(0.5 * logvar))

    def decode(self, z: Array, num_steps: int, condition: Array | None = None) -> tf.Tensor:
        """Free-running decoding of codes z [B, z_size]: means [B, num_steps, feature_size],
        probabilities for `bernoulli`, the most likely tokens [B, num_steps] for `categorical`.

        Raises:
            ValueError: a wrong shape, or more steps than a decoder of a fixed number writes.
        """
        num_steps = check_size("num_steps", num_steps)
        z = arguments.check_codes(z, self.z_size, self.variable_dtype)
        condition = self._condition(condition, z)
        arguments.check_steps(num_steps, self._most_steps)
        return self._run(self._decode, z, tf.constant(num_steps), condition)

    def reconstruct(
        self,
        sequences: Array | tf.RaggedTensor,
        mask: Array | None = None,
        condition: Array | None = None,
    ) -> tf.Tensor:
        """`decode` of the mean of `encode`, as many steps as the sequences have. Arguments and
        errors as for `encode`."""
        return self._run(self._reconstruct, *self._arguments(sequences, mask, condition))

    def generate(
        self, n: int, num_steps: int, condition: Array | None = None, *, seed: int | None = None
    ) -> tf.Tensor:
        """n sequences of num_steps steps from codes drawn from N(0, 1), as `decode` gives them.
        condition: [n, condition_size]."""
        n = check_size("n", n)
        z = normal([n, self.z_size], stateless_seed(seed, self._seeds), self.variable_dtype)
        return self.decode(z, num_steps, condition)

    def interpolate(
        self, first: Array, second: Array, n: int, num_steps: int, condition: Array | None = None
    ) -> tf.Tensor:
        """n sequences from codes on the line between those of two sequences [T, ...], both ends
        included. condition: [n, condition_size]; its first row is that of the two sequences."""
        n = check_size("n", n, least=2)
        one = None if condition is None else arguments.tensor("condition", condition)[:1]
        named = {"first": first, "second": second}
        ends = [
            self.encode(arguments.tensor(name, x)[None], None, one).mean()[0]
            for name, x in named.items()
        ]
        share = tf.linspace(tf.zeros([], self.variable_dtype), tf.ones([], self.variable_dtype), n)[
            :, None
        ]
        return self.decode((1.0 - share) * ends[0] + share * ends[1], num_steps, condition)

    def call(self, inputs: Array | tf.RaggedTensor | dict, mask: Any = None) -> tf.Tensor:
        """`reconstruct` of sequences, or of a dict of `sequences`, `mask` and `condition`."""
        return self._reconstruct(*self._arguments_of_batch(self.batch_with(inputs, mask)))

    # --- training ---

    def loss_terms(
        self,
        batch: Any,
        *,
        noise: Array | None = None,
        seed: Seed | None = None,
        training: bool = True,
    ) -> VRAETerms:
        """The terms for sequences, or a dict of `sequences` and where there are any `mask`,
        `condition` and `sample_weight`.

        In training true values are the decoder's inputs with the probability `teacher_forcing`,
        otherwise always, so that log_px is that of the model. noise: [B, z_size] in place of a
        draw.
        """
        batch = self.batch_of(batch)
        sequences, mask, condition = self._arguments_of_batch(batch)
        seed = stateless_seed(seed, self._seeds)
        mean, logvar = self._encode(sequences, mask, condition, training)
        if noise is None:
            noise = normal(tf.shape(mean), fold(seed, 0), mean.dtype)
        z = mean + tf.exp(0.5 * logvar) * tf.cast(noise, mean.dtype)
        clean = self._clean(sequences, mask)
        outputs = self._outputs(
            z,
            condition,
            tf.shape(sequences)[1],
            given=self.likelihood.inputs(clean),
            seed=fold(seed, 1),
            forcing=tf.convert_to_tensor(self.teacher_forcing) if training else 1.0,
            training=training,
        )
        weights = self._weights(batch, mean)
        log_px = tf.reduce_sum(mask * self.likelihood.distribution(outputs).log_prob(clean), axis=1)
        log_px = weighted_mean(log_px, weights)
        per_dimension = self._kl(mean, logvar, weights)
        kl = tf.reduce_sum(per_dimension)
        paid = tf.reduce_sum(tf.maximum(per_dimension, self._config["free_bits"]))
        return VRAETerms(log_px - kl, log_px, kl, paid)

    def objective(self, terms: VRAETerms) -> tf.Tensor:
        """The loss: -(log_px - kl_weight * kl_paid). The one place where terms are weighted."""
        return -(terms.log_px - tf.convert_to_tensor(self.kl_weight) * terms.kl_paid)

    def count(self, batch: dict) -> tf.Tensor:
        """The sequences of a batch, each times its `sample_weight`."""
        return tf.reduce_sum(tf.cast(self._weights(batch, batch["sequences"]), tf.float32))

    def check_batch(self, batch: dict, place: Place = NOWHERE) -> None:
        """Checks a batch: shapes; masks of 0 and 1 with padding at the end alone; values that are
        finite, in [0, 1] for `bernoulli`, tokens in range; a finite condition."""
        self._check_values(
            *self._shaped(batch["sequences"], batch.get("mask"), batch.get("condition")), place
        )

    def serving_inputs(self):
        """Sequences of any number and length, their masks, and conditions where the model takes
        them."""
        tokens, spec = self._config["likelihood"] == "categorical", keras.layers.InputSpec
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

    def _encode(
        self, sequences, mask, condition, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        inputs = self.likelihood.inputs(self._clean(sequences, mask))
        condition = tf.tile(condition[:, None], tf.stack([1, tf.shape(inputs)[1], 1]))
        options = arguments.accepted(self.encoder, training=training)
        mean, logvar = self.encoder(tf.concat([inputs, condition], -1), mask=mask > 0.5, **options)
        return tf.cast(mean, self.variable_dtype), bounded(
            tf.cast(logvar, self.variable_dtype), *_LOGVAR_RANGE
        )

    def _outputs(self, z, condition, steps, **options) -> tf.Tensor:
        """The decoder's outputs [B, steps, output_size]."""
        options = arguments.accepted(self.decoder, steps=steps, **options)
        outputs = tf.cast(
            self.decoder(tf.concat([z, condition], -1), **options), self.variable_dtype
        )
        return outputs if self._most_steps is None else outputs[:, :steps]

    def _decode(self, z, num_steps, condition) -> tf.Tensor:
        return self.likelihood.mode(self._outputs(z, condition, num_steps))

    def _reconstruct(self, sequences, mask, condition) -> tf.Tensor:
        mean, _ = self._encode(sequences, mask, condition)
        return self._decode(mean, tf.shape(sequences)[1], condition)

    def _weights(self, batch: dict, like) -> tf.Tensor:
        """The weight of each sequence [B]."""
        if "sample_weight" in batch:
            return tf.cast(batch["sample_weight"], self.variable_dtype)
        rows = like.nrows() if isinstance(like, tf.RaggedTensor) else tf.shape(like)[0]
        return tf.ones([rows], self.variable_dtype)

    def _kl(self, mean, logvar, weights) -> tf.Tensor:
        """KL(q(z | x) || N(0, 1)) of each dimension [z_size], its mean over the whole batch: free
        bits are of it."""
        weighted = weights[:, None] * gaussian_kl(mean, logvar)
        whole = tf.reduce_sum(all_rows(tf.concat([weighted, weights[:, None]], -1)), axis=0)
        return tf.math.divide_no_nan(whole[:-1], whole[-1])

    def _clean(self, sequences, mask) -> tf.Tensor:
        """0 in the padding, whatever is there, NaN or not."""
        there = mask > 0.5
        there = there if sequences.shape.rank == 2 else there[..., None]
        return tf.where(there, sequences, tf.zeros_like(sequences))

    def _arguments_of_batch(self, batch: dict) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        check_keys(batch, (*self.batch_keys, "sample_weight"))
        if "sequences" not in batch:
            raise ValueError(f"sequences: missing in a batch of {', '.join(batch) or 'nothing'}.")
        return self._arguments(batch["sequences"], batch.get("mask"), batch.get("condition"))

    def _arguments(self, sequences, mask, condition) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Sequences, mask and condition in their types; in eager mode their values are checked."""
        sequences, mask, condition = self._shaped(sequences, mask, condition)
        if tf.executing_eagerly():
            self._check_values(sequences, mask, condition, Place())
        tokens = self._config["likelihood"] == "categorical"
        return tf.cast(sequences, tf.int32 if tokens else self.variable_dtype), mask, condition

    def _shaped(self, sequences, mask, condition) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        if isinstance(sequences, tf.RaggedTensor):
            sequences, mask = _padded(sequences, mask)
        sequences = arguments.tensor("sequences", sequences)
        if self._config["likelihood"] == "categorical":
            arguments.check_shape("sequences", sequences, (None, None), "[B, T] tokens")
        else:
            shape = f"[B, T, {self.feature_size}]"
            arguments.check_shape("sequences", sequences, (None, None, self.feature_size), shape)
        arguments.check_steps(sequences.shape[1] or tf.shape(sequences)[1], self._most_steps)
        mask = arguments.check_mask(mask, sequences, self.variable_dtype)
        return sequences, mask, self._condition(condition, sequences)

    def _condition(self, condition, like) -> tf.Tensor:
        return arguments.check_condition(condition, self.condition_size, like, self.variable_dtype)

    def _check_values(self, sequences, mask, condition, place: Place) -> None:
        arguments.check_padding(mask, place)
        if self._config["likelihood"] == "categorical":
            arguments.check_tokens(sequences, mask, self.feature_size)
        elif sequences.dtype.is_floating:
            values = self._clean(sequences, mask)
            message = "NaN or infinity in a step of {}. Leave the sequence out, or fill it."
            arguments.check_finite("sequences", values, place, message)
        if self._config["likelihood"] == "bernoulli":
            arguments.check_probabilities(self._clean(sequences, mask))
        if self.condition_size:
            arguments.check_finite(
                "condition", condition, place, "NaN or infinity in {}; expected finite numbers."
            )


def _padded(ragged: tf.RaggedTensor, mask) -> tuple[tf.Tensor, tf.Tensor]:
    """Sequences and their mask."""
    if mask is not None:
        raise ValueError(
            "mask: expected None, a ragged tensor says itself where its sequences end."
        )
    lengths = ragged.row_lengths()
    return ragged.to_tensor(), tf.sequence_mask(lengths, tf.reduce_max(lengths))


def _check(config: dict) -> None:
    for name in ("feature_size", "z_size", "rnn_size", "num_layers"):
        check_size(name, config[name])
    check_size("condition_size", config["condition_size"], least=0)
    for name, choices in (("rnn", tuple(RNNS)), ("likelihood", likelihoods.NAMES)):
        arguments.check_choice(name, config[name], choices)
    if not isinstance(config["decoder"], keras.Layer):
        arguments.check_choice("decoder", config["decoder"], DECODERS, ", or a Keras layer")
    for name, least in (("kl_weight", 0), ("free_bits", 0), ("noise_var", 1e-12)):
        arguments.check_number(name, config[name], least)
    arguments.check_number("teacher_forcing", config["teacher_forcing"], 0, 1)
    steps = config["segment_steps"]
    if steps is not None:
        if not isinstance(config["decoder"], str):
            raise ValueError(
                f"segment_steps: expected None beside a decoder that is a layer, got {steps!r}."
            )
        if not isinstance(steps, int | np.integer) or steps < 1:
            raise ValueError(f"segment_steps: expected None or at least 1, got {steps!r}.")
