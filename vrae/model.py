"""`VRAE`: the variational recurrent auto-encoder as a Keras model."""

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from seqvae.objectives import gaussian_kl
from seqvae.randomness import fold, normal, stateless_seed
from seqvae.replicas import all_rows
from seqvae.training import SequenceModel
from vrae import likelihoods
from vrae.decoder import Decoder
from vrae.encoder import RNNS, Encoder
from vrae.results import VRAETerms

DECODERS = ("autoregressive", "latent")


@keras.saving.register_keras_serializable(package="vrae")
class VRAE(SequenceModel):
    """The variational recurrent auto-encoder (Fabius and van Amersfoort 2014, arXiv:1412.6581): one code for a sequence.

        z ~ N(mu(h_T), diag exp(logvar(h_T))),  h_t = RNN(x_t, h_{t-1})                      encoder
        x_t ~ p(x_t | s_t),  s_t = RNN([z, x_{t-1}], s_{t-1}),  s_0 = tanh(W z + b)          decoder

    Sequences are [B, T, feature_size] floats, or [B, T] tokens for `categorical`; a mask [B, T] is 1 where a step is, 0 in
    the padding after the end. A ragged tensor needs no mask. A padded sequence gives what it gives alone.

    Args:
        feature_size: numbers of a step, or the number of tokens.
        z_size: of the code. condition_size: of a vector (a label, one-hot) that encoder and decoder are told; 0: none.
        rnn: "lstm" or "gru"; rnn_size units, num_layers layers; bidirectional: the encoder's.
        attention: the encoder reads all its outputs, weighted, in place of the last states.
        decoder: "autoregressive": hears z and its own last value; "latent": z alone.
        segment_steps: a decoder of two levels: z, a code for every so many steps, the steps (Roberts et al. 2018).
        likelihood: "gaussian" (variance `noise_var`: squared error), "bernoulli" or "categorical" (cross-entropy).
        teacher_forcing: in training, the probability that the true last value is heard in place of its own; the variable
            `teacher_forcing` may be changed between epochs.
        kl_weight: first value of the variable `kl_weight`, see `seqvae.objectives.annealing`.
        free_bits: nats of KL a dimension that cost nothing, of its mean over a batch (Kingma et al. 2016).
        seed: of the noise where a call gives none.
    """

    term_names = VRAETerms._fields

    def __init__(
        self, feature_size, *, z_size=20, condition_size=0, rnn="lstm", rnn_size=128, num_layers=1, bidirectional=True,
        attention=False, decoder="autoregressive", segment_steps=None, likelihood="gaussian", noise_var=1.0,
        teacher_forcing=1.0, kl_weight=1.0, free_bits=0.0, seed=None, dtype=None, name="vrae",
    ):  # fmt: skip
        config = {k: v for k, v in locals().items() if k not in ("self", "dtype", "name", "__class__")}
        _check(config)
        super().__init__(name=name, dtype=dtype, seed=seed)
        self._config = config
        self.feature_size, self.z_size, self.condition_size = feature_size, z_size, condition_size
        self.likelihood = likelihoods.make(likelihood, feature_size, noise_var)
        options = dict(rnn=rnn, rnn_size=rnn_size, num_layers=num_layers, dtype=self.dtype_policy)
        self.encoder = Encoder(
            feature_size + condition_size, z_size=z_size, bidirectional=bidirectional, attention=attention, name="encoder",
            **options,
        )  # fmt: skip
        self.decoder = Decoder(
            z_size + condition_size, self.likelihood, segment_steps=segment_steps,
            autoregressive=decoder == "autoregressive", name="decoder", **options,
        )  # fmt: skip
        constant = dict(shape=(), trainable=False, dtype="float32")
        self.kl_weight = self.add_weight(
            initializer=keras.initializers.Constant(kl_weight), name="kl_weight", **constant
        )
        self.teacher_forcing = self.add_weight(
            initializer=keras.initializers.Constant(teacher_forcing), name="teacher_forcing", **constant
        )
        self.built = True

    def get_config(self):
        base = super().get_config()
        return {name: base[name] for name in ("name", "dtype")} | self._config

    # --- verbs ---

    def encode(self, sequences, mask=None, condition=None) -> tfd.Distribution:
        """q(z | x): batch [B], event [z_size]."""
        mean, logvar = self._run(self._encode, *self._arguments(sequences, mask, condition))
        return tfd.MultivariateNormalDiag(mean, tf.exp(0.5 * logvar))

    def decode(self, z, num_steps: int, condition=None) -> tf.Tensor:
        """What the decoder writes from codes z [B, z_size] when it hears itself: means [B, num_steps, feature_size],
        probabilities for `bernoulli`, the likeliest tokens [B, num_steps] for `categorical`."""
        if num_steps < 1:
            raise ValueError(f"num_steps: expected an integer of at least 1, got {num_steps!r}.")
        z = tf.cast(tf.convert_to_tensor(z), tf.float32)
        if z.shape.rank != 2 or z.shape[-1] != self.z_size:
            raise ValueError(f"z: expected codes [B, {self.z_size}], got the shape {tuple(z.shape)}.")
        return self._run(self._decode, z, tf.constant(num_steps), self._condition(condition, z.shape[0]))

    def reconstruct(self, sequences, mask=None, condition=None) -> tf.Tensor:
        """`decode` of the mean of `encode`, as many steps as the sequences have."""
        sequences, mask, condition = self._arguments(sequences, mask, condition)
        return self._run(self._reconstruct, sequences, mask, condition)

    def generate(self, n: int, num_steps: int, condition=None, *, seed=None) -> tf.Tensor:
        """n sequences of any length from codes drawn from N(0, 1), as `decode` gives them."""
        if n < 1:
            raise ValueError(f"n: expected an integer of at least 1, got {n!r}.")
        return self.decode(
            tf.random.stateless_normal([n, self.z_size], stateless_seed(seed, self._seeds)), num_steps, condition
        )

    def interpolate(self, first, second, n: int, num_steps: int, condition=None) -> tf.Tensor:
        """n sequences from codes on the line between those of two sequences [T, ...], both ends included."""
        if n < 2:
            raise ValueError(f"n: expected an integer of at least 2, got {n!r}.")
        one = None if condition is None else tf.convert_to_tensor(condition)[:1]
        ends = [self.encode(tf.convert_to_tensor(part)[None], None, one).mean()[0] for part in (first, second)]
        share = tf.linspace(0.0, 1.0, n)[:, None]
        return self.decode((1.0 - share) * ends[0] + share * ends[1], num_steps, condition)

    def call(self, inputs) -> tf.Tensor:
        """`reconstruct` of sequences, or of a dict of `sequences`, `mask` and `condition`."""
        batch = inputs if isinstance(inputs, dict) else {"sequences": inputs}
        return self._reconstruct(*self._arguments(batch["sequences"], batch.get("mask"), batch.get("condition")))

    # --- training ---

    def loss_terms(self, batch, *, noise=None, seed=None, training=True) -> VRAETerms:
        """The terms for sequences, or a dict of `sequences` and where there are any `mask` and `condition`.

        In training the decoder hears true values with the probability `teacher_forcing`, otherwise always, so that log_px is
        that of the model. noise: [B, z_size] in place of a draw.
        """
        batch = batch if isinstance(batch, dict) else {"sequences": batch}
        sequences, mask, condition = self._arguments(batch["sequences"], batch.get("mask"), batch.get("condition"))
        seed = stateless_seed(seed, self._seeds)
        mean, logvar = self._encode(sequences, mask, condition)
        if noise is None:
            noise = normal(tf.shape(mean), fold(seed, 0))
        z = mean + tf.exp(0.5 * logvar) * noise
        forcing = tf.convert_to_tensor(self.teacher_forcing) if training else tf.constant(1.0)
        given = self.likelihood.inputs(self._clean(sequences, mask))
        outputs = self.decoder(
            tf.concat([z, condition], -1), steps=tf.shape(sequences)[1], given=given, forcing=forcing, seed=fold(seed, 1)
        )  # fmt: skip
        log_px = self.likelihood.distribution(outputs).log_prob(self._clean(sequences, mask))
        log_px = tf.reduce_mean(tf.reduce_sum(mask * log_px, axis=1))
        per_dimension = tf.reduce_mean(all_rows(gaussian_kl(mean, logvar)), axis=0)  # free bits are of the whole batch
        kl = tf.reduce_sum(per_dimension)
        paid = tf.reduce_sum(tf.maximum(per_dimension, self._config["free_bits"]))
        return VRAETerms(log_px - kl, log_px, kl, paid)

    def objective(self, terms: VRAETerms) -> tf.Tensor:
        """The loss: -(log_px - kl_weight * kl_paid). The one place where terms are weighted."""
        return -(terms.log_px - tf.convert_to_tensor(self.kl_weight) * terms.kl_paid)

    def count(self, batch: dict) -> tf.Tensor:
        """The sequences of a batch."""
        sequences = batch["sequences"]
        ragged = isinstance(sequences, tf.RaggedTensor)
        return tf.cast(sequences.nrows() if ragged else tf.shape(sequences)[0], tf.float32)

    def train_step(self, data):
        return super().train_step(_as_dict(data))

    def test_step(self, data):
        return super().test_step(_as_dict(data))

    # --- inside ---

    def _encode(self, sequences, mask, condition) -> tuple[tf.Tensor, tf.Tensor]:
        inputs = self.likelihood.inputs(self._clean(sequences, mask))
        told = tf.repeat(condition[:, None], tf.shape(inputs)[1], axis=1)
        return self.encoder(tf.cast(tf.concat([inputs, told], -1), self.compute_dtype), mask)

    def _decode(self, z, num_steps, condition) -> tf.Tensor:
        return self.likelihood.likeliest(self.decoder(tf.concat([z, condition], -1), steps=num_steps))

    def _reconstruct(self, sequences, mask, condition) -> tf.Tensor:
        mean, _ = self._encode(sequences, mask, condition)
        return self._decode(mean, tf.shape(sequences)[1], condition)

    def _clean(self, sequences, mask) -> tf.Tensor:
        """0 in the padding, whatever is there, NaN or not."""
        there = mask > 0.5
        there = there if sequences.shape.rank == 2 else there[..., None]
        return tf.where(there, sequences, tf.zeros_like(sequences))

    def _arguments(self, sequences, mask, condition) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        tokens = self._config["likelihood"] == "categorical"
        if isinstance(sequences, tf.RaggedTensor):
            sequences, mask = self._padded(sequences, mask)
        sequences = tf.convert_to_tensor(sequences)
        rank, last = (2, None) if tokens else (3, self.feature_size)
        if sequences.shape.rank not in (rank, None) or (last and sequences.shape[-1] not in (last, None)):
            wanted = "[B, T] tokens" if tokens else f"[B, T, {self.feature_size}]"
            raise ValueError(f"sequences: expected {wanted}, got the shape {tuple(sequences.shape)}.")
        sequences = tf.cast(sequences, tf.int32 if tokens else tf.float32)
        if mask is None:
            mask = tf.ones(tf.shape(sequences)[:2])
        mask = tf.cast(tf.convert_to_tensor(mask), tf.float32)
        if not mask.shape.is_compatible_with(sequences.shape[:2]):
            raise ValueError(f"mask: expected the shape {tuple(sequences.shape[:2])}, got {tuple(mask.shape)}.")
        if tf.executing_eagerly():
            self._check_values(sequences, mask, tokens)
        return sequences, mask, self._condition(condition, tf.shape(sequences)[0])

    def _padded(self, ragged: tf.RaggedTensor, mask) -> tuple[tf.Tensor, tf.Tensor]:
        if mask is not None:
            raise ValueError("mask: expected None, a ragged tensor says itself where its sequences end.")
        lengths = ragged.row_lengths()
        return ragged.to_tensor(), tf.sequence_mask(lengths, tf.reduce_max(lengths))

    def _check_values(self, sequences, mask, tokens: bool) -> None:
        there = mask.numpy()
        if not np.isin(there, (0, 1)).all() or (np.diff(there, axis=1) > 0).any() or not there[:, :1].all():
            raise ValueError(
                "mask: expected 1 for the steps of each sequence, at least one, and 0 for the padding after them."
            )
        values = self._clean(sequences, mask).numpy()
        if tokens and (values.min() < 0 or values.max() >= self.feature_size):
            raise ValueError(
                f"sequences: tokens from {values.min()} to {values.max()}, expected 0 to {self.feature_size - 1}."
            )
        if not np.isfinite(values).all():
            raise ValueError("sequences: NaN or infinity in a step. Leave the sequence out, or fill it.")
        if self._config["likelihood"] == "bernoulli" and (values.min() < 0 or values.max() > 1):
            raise ValueError(f"sequences: values from {values.min():g} to {values.max():g}, expected [0, 1].")

    def _condition(self, condition, batch) -> tf.Tensor:
        if condition is None:
            if self.condition_size:
                raise ValueError(f"condition: expected vectors [B, {self.condition_size}], got none.")
            return tf.zeros([batch, 0])
        condition = tf.cast(tf.convert_to_tensor(condition), tf.float32)
        if condition.shape.rank != 2 or condition.shape[-1] != self.condition_size:
            raise ValueError(f"condition: expected [B, {self.condition_size}], got the shape {tuple(condition.shape)}.")
        return condition


def _as_dict(data) -> dict:
    """What `fit` hands over: sequences, (sequences, mask), or a dict."""
    sequences, mask, _ = keras.utils.unpack_x_y_sample_weight(data)
    if isinstance(sequences, dict):
        return sequences
    return {"sequences": sequences} if mask is None else {"sequences": sequences, "mask": mask}


def _check(config: dict) -> None:
    for name in ("feature_size", "z_size", "rnn_size", "num_layers"):
        if config[name] < 1:
            raise ValueError(f"{name}: expected an integer of at least 1, got {config[name]!r}.")
    for name, choices in (("rnn", tuple(RNNS)), ("decoder", DECODERS), ("likelihood", likelihoods.NAMES)):
        if config[name] not in choices:
            raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {config[name]!r}.")
    for name, least in (("condition_size", 0), ("kl_weight", 0), ("free_bits", 0), ("noise_var", 1e-12)):
        if config[name] < least:
            raise ValueError(f"{name}: expected at least {least:g}, got {config[name]!r}.")
    if not 0.0 <= config["teacher_forcing"] <= 1.0:
        raise ValueError(f"teacher_forcing: expected 0 to 1, got {config['teacher_forcing']!r}.")
    if config["segment_steps"] is not None and config["segment_steps"] < 1:
        raise ValueError(f"segment_steps: expected None or at least 1, got {config['segment_steps']!r}.")
