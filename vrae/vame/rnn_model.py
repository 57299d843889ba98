"""VAME's model: a bidirectional GRU reads a window of motion into one code; others write the window, and what follows it.

Classes, arguments and outputs have VAME's names and order. Arrays are [batch, time, features].
"""

from typing import NamedTuple

import keras
import tensorflow as tf

from seqvae.randomness import normal, stateless_seed
from vrae.vame.gru import BidirectionalGRU


class Reconstruction(NamedTuple):
    """What `RNN_VAE` gives without a future decoder: prediction [B, T, NUM_FEATURES]; z, mu, logvar [B, ZDIMS]."""

    prediction: tf.Tensor
    z: tf.Tensor
    mu: tf.Tensor
    logvar: tf.Tensor


class ReconstructionAndFuture(NamedTuple):
    """What `RNN_VAE` gives with one: prediction [B, T, NUM_FEATURES], future [B, FUTURE_STEPS, NUM_FEATURES]; z, mu, logvar
    [B, ZDIMS]."""

    prediction: tf.Tensor
    future: tf.Tensor
    z: tf.Tensor
    mu: tf.Tensor
    logvar: tf.Tensor


@keras.saving.register_keras_serializable(package="vame")
class Encoder(keras.layers.Layer):
    """Two bidirectional GRU layers of `hidden_size_layer_1` units; the four last states side by side.

    hidden_size_layer_2: not used, in VAME neither. dropout_encoder: of the first layer's outputs, in training.
    """

    def __init__(self, NUM_FEATURES, hidden_size_layer_1, hidden_size_layer_2, dropout_encoder, **kwargs):
        super().__init__(**kwargs)
        self._config = dict(
            NUM_FEATURES=NUM_FEATURES, hidden_size_layer_1=hidden_size_layer_1, hidden_size_layer_2=hidden_size_layer_2,
            dropout_encoder=dropout_encoder,
        )  # fmt: skip
        self.layer_0 = _bidirectional(hidden_size_layer_1, NUM_FEATURES, "layer_0", self.dtype_policy)
        self.layer_1 = _bidirectional(hidden_size_layer_1, 2 * hidden_size_layer_1, "layer_1", self.dtype_policy)
        self.dropout = keras.layers.Dropout(dropout_encoder, dtype=self.dtype_policy)
        self.built = True

    def call(self, inputs, training=False):
        """[B, T, NUM_FEATURES] -> [B, 4 * hidden_size_layer_1]: forward, backward of the first layer, then of the second."""
        outputs, *states = self.layer_0(inputs)
        _, *more = self.layer_1(self.dropout(outputs, training=training))
        return tf.concat([*states, *more], -1)

    def get_config(self):
        return super().get_config() | self._config


@keras.saving.register_keras_serializable(package="vame")
class Lambda(keras.layers.Layer):
    """The code's mean and log-variance, and a draw of it in training. No `keras.layers.Lambda`: VAME's name.

    softplus: log-variance through softplus, so that the variance is at least 1, as VAME has it.
    """

    def __init__(self, ZDIMS, hidden_size_layer_1, hidden_size_layer_2, softplus, **kwargs):
        super().__init__(**kwargs)
        self._config = dict(
            ZDIMS=ZDIMS, hidden_size_layer_1=hidden_size_layer_1, hidden_size_layer_2=hidden_size_layer_2,
            softplus=softplus,
        )  # fmt: skip
        self._seeds = keras.random.SeedGenerator()
        self.hidden_to_mean = _linear(4 * hidden_size_layer_1, ZDIMS, "hidden_to_mean", self.dtype_policy)
        self.hidden_to_logvar = _linear(4 * hidden_size_layer_1, ZDIMS, "hidden_to_logvar", self.dtype_policy)
        self.built = True

    def call(self, hidden, training=False, noise=None, seed=None):
        """[B, 4 * hidden_size_layer_1] -> z, mu, logvar [B, ZDIMS]; z is mu unless training.

        noise: [B, ZDIMS] standard normal numbers in place of drawn ones.
        """
        # the code in full precision: a mixed policy is for the recurrent layers
        mu, logvar = (
            tf.cast(layer(hidden), self.variable_dtype) for layer in (self.hidden_to_mean, self.hidden_to_logvar)
        )
        if self._config["softplus"] is True:
            logvar = tf.nn.softplus(logvar)
        if not training:
            return mu, mu, logvar
        if noise is None:
            noise = normal(tf.shape(mu), stateless_seed(seed, self._seeds))
        return mu + tf.exp(0.5 * logvar) * tf.cast(noise, mu.dtype), mu, logvar

    def get_config(self):
        return super().get_config() | self._config


class _Decoder(keras.layers.Layer):
    """A bidirectional GRU that hears z at every step and starts from a linear picture of z; a linear layer on top.

    batch_mixing: True computes what VAME's `view` does: the state that starts the output of sample b is made from other
    samples' z, forward from that of b // 2, backward from (B + b) // 2. Only weights that VAME trained need it.
    """

    def __init__(self, steps, ZDIMS, NUM_FEATURES, hidden_size, rnn_name, batch_mixing, **kwargs):
        super().__init__(**kwargs)
        self._steps, self._hidden, self._mixing, self._features = steps, hidden_size, batch_mixing, NUM_FEATURES
        rnn = _bidirectional(hidden_size, ZDIMS, rnn_name, self.dtype_policy)
        setattr(self, rnn_name, rnn)
        self._rnn = rnn
        self.latent_to_hidden = _linear(ZDIMS, 2 * hidden_size, "latent_to_hidden", self.dtype_policy)
        self.hidden_to_output = _linear(2 * hidden_size, NUM_FEATURES, "hidden_to_output", self.dtype_policy)
        self.built = True

    def call(self, inputs, z):
        """inputs: z repeated [B, T, ZDIMS], or [B, 1, ZDIMS]; z: [B, ZDIMS] -> [B, steps, NUM_FEATURES]."""
        hidden = self.latent_to_hidden(z)
        if self._mixing:
            states = tf.unstack(tf.reshape(hidden, [2, tf.shape(z)[0], self._hidden]))
        else:
            states = tf.split(hidden, 2, axis=-1)
        steps = self._steps if inputs.shape[1] == 1 else None
        outputs, *_ = self._rnn(inputs[:, : self._steps], initial_state=list(states), steps=steps)
        return self.hidden_to_output(outputs)


@keras.saving.register_keras_serializable(package="vame")
class Decoder(_Decoder):
    """Writes the window: TEMPORAL_WINDOW / 2 steps. dropout_rec: without effect, in VAME too (its GRU has one layer)."""

    def __init__(
        self, TEMPORAL_WINDOW, ZDIMS, NUM_FEATURES, hidden_size_rec, dropout_rec, *, batch_mixing=False, **kwargs
    ):  # fmt: skip
        super().__init__(TEMPORAL_WINDOW // 2, ZDIMS, NUM_FEATURES, hidden_size_rec, "rnn_rec", batch_mixing, **kwargs)
        self._config = dict(
            TEMPORAL_WINDOW=TEMPORAL_WINDOW, ZDIMS=ZDIMS, NUM_FEATURES=NUM_FEATURES, hidden_size_rec=hidden_size_rec,
            dropout_rec=dropout_rec, batch_mixing=batch_mixing,
        )  # fmt: skip

    def get_config(self):
        return super().get_config() | self._config


@keras.saving.register_keras_serializable(package="vame")
class Decoder_Future(_Decoder):
    """Writes the FUTURE_STEPS steps after the window. dropout_pred: without effect, in VAME too."""

    def __init__(
        self, TEMPORAL_WINDOW, ZDIMS, NUM_FEATURES, FUTURE_STEPS, hidden_size_pred, dropout_pred, *, batch_mixing=False,
        **kwargs,
    ):  # fmt: skip
        super().__init__(FUTURE_STEPS, ZDIMS, NUM_FEATURES, hidden_size_pred, "rnn_pred", batch_mixing, **kwargs)
        self._config = dict(
            TEMPORAL_WINDOW=TEMPORAL_WINDOW, ZDIMS=ZDIMS, NUM_FEATURES=NUM_FEATURES, FUTURE_STEPS=FUTURE_STEPS,
            hidden_size_pred=hidden_size_pred, dropout_pred=dropout_pred, batch_mixing=batch_mixing,
        )  # fmt: skip

    def get_config(self):
        return super().get_config() | self._config


@keras.saving.register_keras_serializable(package="vame")
class RNN_VAE(keras.Model):
    """VAME's variational auto-encoder (Luxem et al. 2022), with its arguments in its order.

    Args:
        TEMPORAL_WINDOW: twice the steps of a window (`2 * time_window`).
        ZDIMS: size of the code. NUM_FEATURES: of a step.
        FUTURE_DECODER, FUTURE_STEPS: whether what follows the window is predicted too, and how many steps of it.
        hidden_size_layer_1, hidden_size_rec, hidden_size_pred: units of the encoder and the two decoders, each direction.
        hidden_size_layer_2, dropout_rec, dropout_pred: without effect, in VAME too.
        dropout_encoder: of the encoder's first layer's outputs, in training.
        softplus: see `Lambda`. batch_mixing: see `Decoder`: VAME's own arithmetic, for weights it trained.

    Raises:
        ValueError: an argument is out of range, or FUTURE_STEPS is longer than the window.
    """

    def __init__(
        self, TEMPORAL_WINDOW, ZDIMS, NUM_FEATURES, FUTURE_DECODER, FUTURE_STEPS, hidden_size_layer_1=256,
        hidden_size_layer_2=256, hidden_size_rec=256, hidden_size_pred=256, dropout_encoder=0.0, dropout_rec=0.0,
        dropout_pred=0.0, softplus=False, *, batch_mixing=False, dtype=None, name="rnn_vae",
    ):  # fmt: skip
        config = {k: v for k, v in locals().items() if k not in ("self", "dtype", "name", "__class__")}
        _check(config)
        super().__init__(dtype=dtype, name=name)
        self._config = config
        self.FUTURE_DECODER, self.seq_len = bool(FUTURE_DECODER), TEMPORAL_WINDOW // 2
        policy = dict(dtype=self.dtype_policy)
        self.encoder = Encoder(
            NUM_FEATURES, hidden_size_layer_1, hidden_size_layer_2, dropout_encoder, name="encoder", **policy
        )
        self.lmbda = Lambda(ZDIMS, hidden_size_layer_1, hidden_size_layer_2, softplus, name="lmbda", **policy)
        self.decoder = Decoder(
            TEMPORAL_WINDOW, ZDIMS, NUM_FEATURES, hidden_size_rec, dropout_rec, batch_mixing=batch_mixing,
            name="decoder", **policy,
        )  # fmt: skip
        if self.FUTURE_DECODER:
            self.decoder_future = Decoder_Future(
                TEMPORAL_WINDOW, ZDIMS, NUM_FEATURES, FUTURE_STEPS, hidden_size_pred, dropout_pred,
                batch_mixing=batch_mixing, name="decoder_future", **policy,
            )  # fmt: skip
        self.built = True

    def call(self, seq, training=False, noise=None, seed=None) -> Reconstruction | ReconstructionAndFuture:
        """seq [B, TEMPORAL_WINDOW / 2, NUM_FEATURES] -> its reconstruction, the future where there is a decoder for it, z,
        mu and logvar. In training z is drawn, with `noise` [B, ZDIMS] or `seed`; otherwise z is mu."""
        z, mu, logvar = self.lmbda(self.encoder(seq, training=training), training=training, noise=noise, seed=seed)
        inputs = z[:, None]  # the same at every step
        prediction = tf.cast(self.decoder(inputs, z), self.variable_dtype)
        if not self.FUTURE_DECODER:
            return Reconstruction(prediction, z, mu, logvar)
        future = tf.cast(self.decoder_future(inputs, z), self.variable_dtype)
        return ReconstructionAndFuture(prediction, future, z, mu, logvar)

    def get_config(self):
        base = super().get_config()
        return {name: base[name] for name in ("name", "dtype")} | self._config


def _check(config: dict) -> None:
    for name in ("ZDIMS", "NUM_FEATURES", "hidden_size_layer_1", "hidden_size_rec", "hidden_size_pred"):
        if config[name] < 1:
            raise ValueError(f"{name}: expected an integer of at least 1, got {config[name]!r}.")
    window, steps = config["TEMPORAL_WINDOW"], config["FUTURE_STEPS"]
    if window < 2 or window % 2:
        raise ValueError(f"TEMPORAL_WINDOW: expected twice the steps of a window, an even number, got {window!r}.")
    if config["FUTURE_DECODER"] and not 1 <= steps <= window // 2:
        raise ValueError(f"FUTURE_STEPS: expected 1 to {window // 2}, the steps of a window, got {steps!r}.")
    if not 0 <= config["dropout_encoder"] < 1:
        raise ValueError(f"dropout_encoder: expected at least 0 and below 1, got {config['dropout_encoder']!r}.")


def _bidirectional(units: int, input_size: int, name: str, dtype) -> BidirectionalGRU:
    """A GRU in both directions, its first weights drawn as PyTorch draws them: U(-1, 1) / sqrt(units), biases too."""

    def gru(direction: str, **options):
        initial = _uniform(units**-0.5)
        return keras.layers.GRU(
            units, return_sequences=True, return_state=True, kernel_initializer=initial,
            recurrent_initializer=initial.clone(), bias_initializer=initial.clone(), name=direction, dtype=dtype, **options,
        )  # fmt: skip

    layer = BidirectionalGRU(gru("forward"), backward_layer=gru("backward", go_backwards=True), name=name, dtype=dtype)
    layer.build((None, None, input_size))
    return layer


def _linear(inputs: int, units: int, name: str, dtype) -> keras.layers.Dense:
    """A dense layer, its first weights drawn as PyTorch draws them: U(-1, 1) / sqrt(inputs), biases too."""
    initial = _uniform(inputs**-0.5)
    layer = keras.layers.Dense(
        units, kernel_initializer=initial, bias_initializer=initial.clone(), name=name, dtype=dtype
    )
    layer.build((None, inputs))
    return layer


def _uniform(limit: float) -> keras.initializers.Initializer:
    return keras.initializers.RandomUniform(-limit, limit)
