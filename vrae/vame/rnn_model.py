"""VAME's model: a bidirectional GRU encodes a window of motion; others decode the window and
predict the steps after it.

Classes, arguments and outputs have VAME's names and order. Arrays are [batch, time, features].
"""

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from seqvae import checks, replicas
from seqvae.checks import NOWHERE, Array, Place, check_size
from seqvae.model import SequenceModel
from seqvae.objectives import KLWeight
from seqvae.randomness import Seed, fold, normal, stateless_seed
from vrae import arguments
from vrae.vame.config import Config
from vrae.vame.gru import BidirectionalGRU
from vrae.vame.losses import REDUCTIONS, gaussian
from vrae.vame.objective import Settings, VAMETerms, loss, part, terms

INPUT_NOISE = 1
"""Purpose of a random draw, for `fold`: the noise that is added to the windows. The codes are drawn
with the seed itself."""
_CHUNK = 4096  # windows of a series that are encoded at once; limits memory


class Reconstruction(NamedTuple):
    """Outputs of `RNN_VAE` without a future decoder."""

    prediction: tf.Tensor
    """[B, T, NUM_FEATURES], the reconstructed window."""
    z: tf.Tensor
    """[B, ZDIMS], the code."""
    mu: tf.Tensor
    """[B, ZDIMS], the mean of the code."""
    logvar: tf.Tensor
    """[B, ZDIMS], the log-variance of the code."""


class ReconstructionAndFuture(NamedTuple):
    """Outputs of `RNN_VAE` with a future decoder."""

    prediction: tf.Tensor
    """[B, T, NUM_FEATURES], the reconstructed window."""
    future: tf.Tensor
    """[B, FUTURE_STEPS, NUM_FEATURES], the predicted steps after it."""
    z: tf.Tensor
    """[B, ZDIMS], the code."""
    mu: tf.Tensor
    """[B, ZDIMS], the mean of the code."""
    logvar: tf.Tensor
    """[B, ZDIMS], the log-variance of the code."""


if TYPE_CHECKING:  # the base class of the layers that inherit the method
    _Layer = keras.layers.Layer
else:
    _Layer = object


class _Module(_Layer):
    """VAME's name of a layer's call."""

    def forward(self, *args, **options):
        """Call the layer.

        Args:
            *args: as for `call`.
            **options: as for `call`.

        Returns:
            As `call`.
        """
        return self(*args, **options)


@keras.saving.register_keras_serializable(package="vame")
class Encoder(_Module, keras.layers.Layer):
    """Two bidirectional GRU layers; the output is their four last states, joined.

    Args:
        NUM_FEATURES: features of a step.
        hidden_size_layer_1: units of both layers, each direction.
        hidden_size_layer_2: unused, as in VAME.
        dropout_encoder: dropout of the first layer's outputs in training.
        **kwargs: as for a Keras layer.
    """

    def __init__(
        self,
        NUM_FEATURES: int,
        hidden_size_layer_1: int,
        hidden_size_layer_2: int,
        dropout_encoder: float,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self._config = dict(
            NUM_FEATURES=NUM_FEATURES,
            hidden_size_layer_1=hidden_size_layer_1,
            hidden_size_layer_2=hidden_size_layer_2,
            dropout_encoder=dropout_encoder,
        )
        self.layer_0 = _bidirectional(
            hidden_size_layer_1, NUM_FEATURES, "layer_0", self.dtype_policy
        )
        self.layer_1 = _bidirectional(
            hidden_size_layer_1, 2 * hidden_size_layer_1, "layer_1", self.dtype_policy
        )
        self.dropout = keras.layers.Dropout(dropout_encoder, dtype=self.dtype_policy)
        self.built = True

    def call(self, inputs: tf.Tensor, training: bool = False):
        """Encode windows.

        Args:
            inputs: [B, T, NUM_FEATURES].
            training: whether dropout is applied.

        Returns:
            [B, 4 * hidden_size_layer_1]: forward and backward state of the first layer, then of the
            second.
        """
        outputs, *states = self.layer_0(inputs)
        _, *more = self.layer_1(self.dropout(outputs, training=training))
        return tf.concat([*states, *more], -1)

    def get_config(self):
        """Return the arguments.

        Returns:
            The arguments by name.
        """
        return super().get_config() | self._config


@keras.saving.register_keras_serializable(package="vame")
class Lambda(_Module, keras.layers.Layer):
    """Mean and log-variance of the code, and a draw of it in training; the name is VAME's.

    Args:
        ZDIMS: size of the code.
        hidden_size_layer_1: units of the encoder's layers, each direction.
        hidden_size_layer_2: unused, as in VAME.
        softplus: whether the log-variance is passed through softplus, so that the variance is at
            least 1, as in VAME.
        **kwargs: as for a Keras layer.
    """

    def __init__(
        self,
        ZDIMS: int,
        hidden_size_layer_1: int,
        hidden_size_layer_2: int,
        softplus: bool,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self._config = dict(
            ZDIMS=ZDIMS,
            hidden_size_layer_1=hidden_size_layer_1,
            hidden_size_layer_2=hidden_size_layer_2,
            softplus=softplus,
        )
        self._seeds = keras.random.SeedGenerator()
        self.hidden_to_mean = _linear(
            4 * hidden_size_layer_1, ZDIMS, "hidden_to_mean", self.dtype_policy
        )
        self.hidden_to_logvar = _linear(
            4 * hidden_size_layer_1, ZDIMS, "hidden_to_logvar", self.dtype_policy
        )
        self.built = True

    def call(
        self,
        hidden: tf.Tensor,
        training: bool = False,
        noise: tf.Tensor | None = None,
        seed: tf.Tensor | None = None,
    ):
        """Compute the code.

        Args:
            hidden: [B, 4 * hidden_size_layer_1].
            training: whether z is drawn; otherwise it is mu.
            noise: [B, ZDIMS], standard normal numbers that replace the draw.
            seed: seed of the draw; None: the layer's next seed.

        Returns:
            z, mu and logvar, [B, ZDIMS] each.
        """
        # the code has full precision: a mixed policy applies to the recurrent layers only
        mu, logvar = (
            tf.cast(layer(hidden), self.variable_dtype)
            for layer in (self.hidden_to_mean, self.hidden_to_logvar)
        )
        if self._config["softplus"] is True:
            logvar = tf.nn.softplus(logvar)
        if not training:
            return mu, mu, logvar
        if noise is None:
            noise = normal(tf.shape(mu), stateless_seed(seed, self._seeds), mu.dtype)
        return mu + tf.exp(0.5 * logvar) * tf.cast(noise, mu.dtype), mu, logvar

    def get_config(self):
        """Return the arguments.

        Returns:
            The arguments by name.
        """
        return super().get_config() | self._config


class _Decoder(_Module, keras.layers.Layer):
    """A bidirectional GRU with z as input at every step and linear maps of z as initial states,
    followed by a linear layer.

    batch_mixing: True computes what VAME's `view` does: the initial state for sample b is computed
    from other samples' z, forward from that of b // 2, backward from (B + b) // 2. Only weights
    trained by VAME need it.
    """

    def __init__(self, steps, ZDIMS, NUM_FEATURES, hidden_size, rnn_name, batch_mixing, **kwargs):
        super().__init__(**kwargs)
        self._steps, self._hidden, self._mixing, self._features = (
            steps,
            hidden_size,
            batch_mixing,
            NUM_FEATURES,
        )
        rnn = _bidirectional(hidden_size, ZDIMS, rnn_name, self.dtype_policy)
        setattr(self, rnn_name, rnn)
        self._rnn = rnn
        self.latent_to_hidden = _linear(
            ZDIMS, 2 * hidden_size, "latent_to_hidden", self.dtype_policy
        )
        self.hidden_to_output = _linear(
            2 * hidden_size, NUM_FEATURES, "hidden_to_output", self.dtype_policy
        )
        self.built = True

    def call(self, inputs, z):
        """Decode codes.

        Args:
            inputs: z repeated, [B, T, ZDIMS], or [B, 1, ZDIMS].
            z: [B, ZDIMS].

        Returns:
            [B, steps, NUM_FEATURES].
        """
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
    """Decodes the window: TEMPORAL_WINDOW / 2 steps.

    Args:
        TEMPORAL_WINDOW: twice the steps of a window.
        ZDIMS: size of the code.
        NUM_FEATURES: features of a step.
        hidden_size_rec: units, each direction.
        dropout_rec: without effect, as in VAME (its GRU has one layer).
        batch_mixing: whether initial states are computed as VAME's `view` does: for sample b from
            other samples' z, forward from that of b // 2, backward from (B + b) // 2. Only weights
            trained by VAME need it.
        **kwargs: as for a Keras layer.
    """

    def __init__(
        self,
        TEMPORAL_WINDOW: int,
        ZDIMS: int,
        NUM_FEATURES: int,
        hidden_size_rec: int,
        dropout_rec: float,
        *,
        batch_mixing: bool = False,
        **kwargs: Any,
    ):
        super().__init__(
            TEMPORAL_WINDOW // 2,
            ZDIMS,
            NUM_FEATURES,
            hidden_size_rec,
            "rnn_rec",
            batch_mixing,
            **kwargs,
        )
        self._config = dict(
            TEMPORAL_WINDOW=TEMPORAL_WINDOW,
            ZDIMS=ZDIMS,
            NUM_FEATURES=NUM_FEATURES,
            hidden_size_rec=hidden_size_rec,
            dropout_rec=dropout_rec,
            batch_mixing=batch_mixing,
        )

    def get_config(self):
        """Return the arguments.

        Returns:
            The arguments by name.
        """
        return super().get_config() | self._config


@keras.saving.register_keras_serializable(package="vame")
class Decoder_Future(_Decoder):
    """Predicts the FUTURE_STEPS steps after the window.

    Args:
        TEMPORAL_WINDOW: twice the steps of a window.
        ZDIMS: size of the code.
        NUM_FEATURES: features of a step.
        FUTURE_STEPS: number of steps.
        hidden_size_pred: units, each direction.
        dropout_pred: without effect, as in VAME.
        batch_mixing: see `Decoder`.
        **kwargs: as for a Keras layer.
    """

    def __init__(
        self,
        TEMPORAL_WINDOW: int,
        ZDIMS: int,
        NUM_FEATURES: int,
        FUTURE_STEPS: int,
        hidden_size_pred: int,
        dropout_pred: float,
        *,
        batch_mixing: bool = False,
        **kwargs: Any,
    ):
        super().__init__(
            FUTURE_STEPS, ZDIMS, NUM_FEATURES, hidden_size_pred, "rnn_pred", batch_mixing, **kwargs
        )
        self._config = dict(
            TEMPORAL_WINDOW=TEMPORAL_WINDOW,
            ZDIMS=ZDIMS,
            NUM_FEATURES=NUM_FEATURES,
            FUTURE_STEPS=FUTURE_STEPS,
            hidden_size_pred=hidden_size_pred,
            dropout_pred=dropout_pred,
            batch_mixing=batch_mixing,
        )

    def get_config(self):
        """Return the arguments.

        Returns:
            The arguments by name.
        """
        return super().get_config() | self._config


@keras.saving.register_keras_serializable(package="vame")
class RNN_VAE(_Module, SequenceModel):
    """VAME's variational auto-encoder (Luxem et al. 2022), with its arguments in their order.

    `compile("adam")` and `fit(windows)` train VAME's objective on windows [B, steps, NUM_FEATURES].
    The first TEMPORAL_WINDOW / 2 steps are encoded and reconstructed; with a future decoder the
    FUTURE_STEPS steps after them are predicted; later steps are not used. `predict` and the other
    methods need only the first part. A batch may have a `mask` [B, steps], 1 where a frame is
    observed, and `sample_weight` [B], the weight of each window. Batches are weighted by their
    windows in averages.

    The weight of the KL and the cluster term is `kl_weight`; VAME's annealing is
    `KLAnnealing(lambda epoch: kl_annealing(epoch + 1, kl_start, annealtime, "linear"))`.

    Args:
        TEMPORAL_WINDOW: twice the steps of a window (`2 * time_window`).
        ZDIMS: size of the code.
        NUM_FEATURES: features of a step.
        FUTURE_DECODER: whether the steps after the window are predicted.
        FUTURE_STEPS: number of these steps.
        hidden_size_layer_1: units of the encoder, each direction.
        hidden_size_layer_2: without effect, as in VAME.
        hidden_size_rec: units of the decoder, each direction.
        hidden_size_pred: units of the future decoder, each direction.
        dropout_encoder: dropout of the encoder's first layer's outputs in training.
        dropout_rec: without effect, as in VAME.
        dropout_pred: without effect, as in VAME.
        softplus: see `Lambda`.
        batch_mixing: see `Decoder`: VAME's own arithmetic, for weights it trained.
        beta: weight of the KL.
        kmeans_loss: number of singular values in the cluster term.
        kmeans_lambda: weight of the cluster term.
        mse_reconstruction_reduction: "sum" or "mean" of the window's squared error.
        mse_prediction_reduction: "sum" or "mean" of the squared error after the window.
        noise: whether noise is added to the input in training.
        missing_values: whether NaN is a missing value; otherwise it is an error.
        kl_weight: initial value of the variable of this name.
        seed: seed of the random draws in calls that do not pass one; None: Keras' global seed.
        dtype: a type or dtype policy.
        name: the model's name.

    Raises:
        ValueError: an argument is out of range, or FUTURE_STEPS is longer than the window.
    """

    input_name = "windows"
    batch_keys: ClassVar = {
        "windows": "[B, steps, NUM_FEATURES]: TEMPORAL_WINDOW / 2 steps and FUTURE_STEPS more",
        "mask": "[B, steps], 1 where a frame was observed, 0 where it is missing",
    }
    term_names = VAMETerms._fields

    def __init__(
        self,
        TEMPORAL_WINDOW: int,
        ZDIMS: int,
        NUM_FEATURES: int,
        FUTURE_DECODER: bool,
        FUTURE_STEPS: int,
        hidden_size_layer_1: int = 256,
        hidden_size_layer_2: int = 256,
        hidden_size_rec: int = 256,
        hidden_size_pred: int = 256,
        dropout_encoder: float = 0.0,
        dropout_rec: float = 0.0,
        dropout_pred: float = 0.0,
        softplus: bool = False,
        *,
        batch_mixing: bool = False,
        beta: float = Config.beta,
        kmeans_loss: int = Config.kmeans_loss,
        kmeans_lambda: float = Config.kmeans_lambda,
        mse_reconstruction_reduction: str = Config.mse_reconstruction_reduction,
        mse_prediction_reduction: str = Config.mse_prediction_reduction,
        noise: bool = Config.noise,
        missing_values: bool = Config.missing_values,
        kl_weight: float = 1.0,
        seed: int | None = None,
        dtype: str | keras.DTypePolicy | None = None,
        name: str = "rnn_vae",
    ):
        config = {
            k: v for k, v in locals().items() if k not in ("self", "dtype", "name", "__class__")
        }
        _check(config)
        super().__init__(dtype=dtype, name=name, seed=seed)
        self._config = config
        self.FUTURE_DECODER, self.seq_len = bool(FUTURE_DECODER), TEMPORAL_WINDOW // 2
        self._features, self._last_step = (
            NUM_FEATURES,
            self.seq_len + (FUTURE_STEPS if FUTURE_DECODER else 0),
        )
        self._settings = Settings(
            mse_reconstruction_reduction, mse_prediction_reduction, kmeans_loss, kmeans_lambda
        )
        self.beta, self._kl = beta, KLWeight()
        self.kl_weight.assign(kl_weight)
        policy = dict(dtype=self.dtype_policy)
        self.encoder = Encoder(
            NUM_FEATURES,
            hidden_size_layer_1,
            hidden_size_layer_2,
            dropout_encoder,
            name="encoder",
            **policy,
        )
        self.lmbda = Lambda(
            ZDIMS, hidden_size_layer_1, hidden_size_layer_2, softplus, name="lmbda", **policy
        )
        self.decoder = Decoder(
            TEMPORAL_WINDOW,
            ZDIMS,
            NUM_FEATURES,
            hidden_size_rec,
            dropout_rec,
            batch_mixing=batch_mixing,
            name="decoder",
            **policy,
        )
        if self.FUTURE_DECODER:
            self.decoder_future = Decoder_Future(
                TEMPORAL_WINDOW,
                ZDIMS,
                NUM_FEATURES,
                FUTURE_STEPS,
                hidden_size_pred,
                dropout_pred,
                batch_mixing=batch_mixing,
                name="decoder_future",
                **policy,
            )
        self.built = True

    @property
    def kl_weight(self) -> keras.Variable:
        """The weight of the KL and the cluster term, see `seqvae.objectives.KLAnnealing`. VAME's
        models have no such weight: it is not counted, and saved only with a compiled model.
        """
        return self._kl.variable

    def get_config(self):
        """Return the arguments of the model.

        Returns:
            The arguments by name.
        """
        base = super().get_config()
        return {name: base[name] for name in ("name", "dtype")} | self._config

    # --- verbs ---

    def call(
        self,
        seq: Array | dict,
        training: bool = False,
        noise: Array | None = None,
        seed: Seed | None = None,
        mask: Any = None,
    ) -> Reconstruction | ReconstructionAndFuture:
        """Reconstruct windows, and predict the steps after them if there is a future decoder.

        Args:
            seq: [B, TEMPORAL_WINDOW / 2, NUM_FEATURES], or a dict of `windows` and `mask` as for
                `fit`; steps after the window are not used.
            training: whether z is drawn; otherwise it is mu.
            noise: [B, ZDIMS], standard normal numbers that replace the draw.
            seed: seed of the draw; None: the model's next seed.
            mask: [B, steps]; None: the mask of the dict, if any.

        Returns:
            The reconstruction, the future, z, mu and logvar.
        """
        return self._forward(self._window(self.batch_with(seq, mask)), training, noise, seed)

    def encode(self, windows: Array, mask: Array | None = None) -> tfd.Distribution:
        """Compute q(z | x).

        Args:
            windows: [B, TEMPORAL_WINDOW / 2 or more steps, NUM_FEATURES].
            mask: [B, steps], 1 = observed; None: all observed.

        Returns:
            Batch [B], event [ZDIMS].

        Raises:
            ValueError: a shape or value is not as described; NaN, unless missing_values is True or
                the mask is 0 there.
        """

        def compute(x):
            return self.lmbda(self.encoder(x))[1:]

        mean, logvar = self._run(compute, self._window(_batch(windows, mask)))
        return tfd.MultivariateNormalDiag(mean, tf.exp(0.5 * logvar))

    def embed(self, windows: Array, mask: Array | None = None) -> np.ndarray:
        """Compute codes, the means of `encode`.

        Args:
            windows: [B, steps, NUM_FEATURES], or a series [frames, NUM_FEATURES], whose windows are
                all encoded.
            mask: [B, steps], for a series [frames]; None: all observed.

        Returns:
            [B, ZDIMS], for a series [frames - TEMPORAL_WINDOW / 2 + 1, ZDIMS], each by its first
            frame.

        Raises:
            ValueError: as for `encode`.
        """
        windows = checks.tensor("windows", windows, self.variable_dtype)
        if windows.shape.rank != 2:
            return self.encode(windows, mask).mean().numpy()
        arguments.check_windows(windows[None], self.seq_len, self._features)
        views = [_views(windows, self.seq_len)]
        if mask is not None:
            mask = arguments.check_mask(
                checks.tensor("mask", mask)[None], windows[None], self.variable_dtype
            )[0]
            views.append(_views(mask, self.seq_len))
        parts = range(0, len(views[0]), _CHUNK)
        return np.concatenate(
            [self.encode(*(view[i : i + _CHUNK] for view in views)).mean() for i in parts]
        )

    def reconstruct(self, windows: Array, mask: Array | None = None) -> tf.Tensor:
        """Reconstruct windows from the means of their codes.

        Args:
            windows: as for `encode`.
            mask: as for `encode`.

        Returns:
            [B, TEMPORAL_WINDOW / 2, NUM_FEATURES].

        Raises:
            ValueError: as for `encode`.
        """

        def compute(x):
            return self._forward(x, False, None, None).prediction

        return self._run(compute, self._window(_batch(windows, mask)))

    # --- training ---

    def loss_terms(
        self,
        batch: Any,
        *,
        noise: Array | None = None,
        seed: Seed | None = None,
        training: bool = True,
    ) -> VAMETerms:
        """Compute the unweighted terms of the objective.

        Args:
            batch: windows, or a dict of `windows` and optionally `mask` and `sample_weight`.
            noise: [B, ZDIMS], replaces the draw of z.
            seed: seed of the random draws; None: the model's next seed.
            training: whether z is drawn; otherwise it is its mean.

        Returns:
            The terms, scalars.

        Raises:
            ValueError: as for `encode`, or the steps that the future decoder predicts are missing.
        """
        batch = self.batch_of(batch)
        windows, mask = self._arguments(batch)
        self._check_future(windows)
        seed = stateless_seed(seed, self._seeds)
        window = part(windows, 0, self.seq_len, mask)
        following = (
            part(windows, self.seq_len, self._last_step, mask) if self.FUTURE_DECODER else None
        )
        x = window.x
        if training and self._config["noise"]:
            x = gaussian(x, True, self.seq_len, seed=fold(seed, INPUT_NOISE))
        count = self.count(batch)
        return terms(
            self._forward(x, training, noise, seed),
            window,
            following,
            self._settings,
            share=replicas.share_of_batch(count),
            batch_size=replicas.all_reduce_sum([replicas.zero_if_copied(count)])[0],
            weights=batch.get("sample_weight"),
        )

    def objective(self, terms: VAMETerms) -> tf.Tensor:
        """The loss: reconstruction + future + kl_weight * (beta * kl + cluster).

        Terms are weighted here and nowhere else.

        Args:
            terms: what `loss_terms` returns.

        Returns:
            A scalar.
        """
        return loss(terms, self.beta, tf.cast(self.kl_weight.value, terms.kl.dtype))

    def count(self, batch: dict) -> tf.Tensor:
        """Count the windows of a batch, each times its `sample_weight`.

        Args:
            batch: the batch.

        Returns:
            A scalar.
        """
        if "sample_weight" in batch:
            return tf.reduce_sum(tf.cast(batch["sample_weight"], tf.float32))
        return tf.cast(tf.shape(batch["windows"])[0], tf.float32)

    def check_batch(self, batch: dict, place: Place = NOWHERE) -> None:
        """Check a batch: shapes, masks of 0 and 1, and finite values, or NaN where allowed.

        Args:
            batch: the batch.
            place: where it comes from, for messages.

        Raises:
            ValueError: a check failed.
        """
        self._check_values(*self._shaped(batch), place)

    def serving_inputs(self):
        """The input of an exported model: any number of windows.

        Returns:
            Its shape and type by name.
        """
        shape = (None, self.seq_len, self._features)
        return {"windows": keras.layers.InputSpec(shape=shape, dtype=self.variable_dtype)}

    # --- inside ---

    def _forward(self, x, training, noise, seed) -> Reconstruction | ReconstructionAndFuture:
        z, mu, logvar = self.lmbda(
            self.encoder(x, training=training), training=training, noise=noise, seed=seed
        )
        inputs = z[:, None]  # the same at every step
        prediction = tf.cast(self.decoder(inputs, z), self.variable_dtype)
        if not self.FUTURE_DECODER:
            return Reconstruction(prediction, z, mu, logvar)
        future = tf.cast(self.decoder_future(inputs, z), self.variable_dtype)
        return ReconstructionAndFuture(prediction, future, z, mu, logvar)

    def _window(self, batch: dict) -> tf.Tensor:
        """The steps that are encoded, 0 where a value is missing."""
        windows, mask = self._arguments(batch)
        if mask is None and not self._config["missing_values"]:
            return windows[:, : self.seq_len]
        return part(windows, 0, self.seq_len, mask).x

    def _arguments(self, batch: dict) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Windows and mask in their type; in eager mode their values are checked."""
        checks.check_keys(batch, (*self.batch_keys, "sample_weight"))
        if "windows" not in batch:
            raise ValueError(f"windows: missing in a batch of {', '.join(batch) or 'nothing'}.")
        windows, mask = self._shaped(batch)
        if tf.executing_eagerly():
            self._check_values(windows, mask, Place())
        return windows, mask

    def _shaped(self, batch: dict) -> tuple[tf.Tensor, tf.Tensor | None]:
        windows = checks.tensor("windows", batch["windows"], self.variable_dtype)
        arguments.check_windows(windows, self.seq_len, self._features)
        steps, most = windows.shape[1], 2 * self.seq_len
        if steps is not None and steps > most:
            raise ValueError(
                f"windows: expected at most TEMPORAL_WINDOW = {most} steps, got {steps}. Later "
                "steps would not be used: cut the series into windows, or use embed."
            )
        mask = batch.get("mask")
        return windows, None if mask is None else arguments.check_mask(
            mask,
            windows,
            self.variable_dtype,
            single_numbers="Make the model with missing_values=True and set single missing numbers "
            "to NaN.",
        )

    def _check_values(self, windows, mask, place: Place) -> None:
        if mask is not None:
            checks.check_zeros_and_ones(mask, place)
            windows = tf.where(mask[..., None] < 0.5, tf.zeros_like(windows), windows)
        message = (
            "NaN or infinity in {}. Pass a mask that is 0 there, or missing_values=True "
            "where NaN is a missing value."
        )
        if self._config["missing_values"]:
            windows = tf.where(tf.math.is_nan(windows), tf.zeros_like(windows), windows)
            message = "infinity in {}; expected finite numbers, or NaN where a value is missing."
        checks.check_finite("windows", windows, place, message)

    def _check_future(self, windows: tf.Tensor) -> None:
        message = (
            f"windows: expected {self.seq_len} steps and the {self._last_step - self.seq_len} "
            "after them, which the future decoder predicts, got {}. Pass longer windows, or make "
            "the model with FUTURE_DECODER=False."
        )
        known = windows.shape[1]
        if known is None:
            steps = tf.shape(windows)[1]
            checks.require(steps >= self._last_step, message, steps)
        elif known < self._last_step:  # marked, because Keras rewrites the message in a graph
            error = ValueError(message.format(known))
            raise error if tf.executing_eagerly() else checks.marked(error)


def _batch(windows, mask) -> dict:
    return {"windows": windows} if mask is None else {"windows": windows, "mask": mask}


def _views(series: tf.Tensor, steps: int) -> np.ndarray:
    """All windows [n, steps, ...] of a series [frames, ...], without copying."""
    views = np.lib.stride_tricks.sliding_window_view(series.numpy(), steps, axis=0)
    return np.moveaxis(views, -1, 1)


def _check(config: dict) -> None:
    for name in (
        "ZDIMS",
        "NUM_FEATURES",
        "hidden_size_layer_1",
        "hidden_size_rec",
        "hidden_size_pred",
        "kmeans_loss",
    ):
        check_size(name, config[name])
    window, steps = config["TEMPORAL_WINDOW"], config["FUTURE_STEPS"]
    if not isinstance(window, int | np.integer) or window < 2 or window % 2:
        raise ValueError(
            "TEMPORAL_WINDOW: expected twice the steps of a window, an even number, got "
            f"{window!r}."
        )
    if config["FUTURE_DECODER"] and (
        not isinstance(steps, int | np.integer) or not 1 <= steps <= window // 2
    ):
        raise ValueError(
            f"FUTURE_STEPS: expected 1 to {window // 2}, the steps of a window, got {steps!r}."
        )
    dropout = config["dropout_encoder"]
    if not isinstance(dropout, int | float | np.number) or not 0 <= dropout < 1:
        raise ValueError(f"dropout_encoder: expected at least 0 and below 1, got {dropout!r}.")
    for name in ("beta", "kmeans_lambda", "kl_weight"):
        arguments.check_number(name, config[name], 0)
    for name in ("mse_reconstruction_reduction", "mse_prediction_reduction"):
        checks.check_choice(name, config[name], REDUCTIONS)


def _bidirectional(units: int, input_size: int, name: str, dtype) -> BidirectionalGRU:
    """A GRU in both directions with PyTorch's initial weights: U(-1, 1) / sqrt(units), biases
    too.
    """

    def gru(direction: str, **options):
        initial = _uniform(units**-0.5)
        return keras.layers.GRU(
            units,
            return_sequences=True,
            return_state=True,
            kernel_initializer=initial,
            recurrent_initializer=initial.clone(),
            bias_initializer=initial.clone(),
            name=direction,
            dtype=dtype,
            **options,
        )

    layer = BidirectionalGRU(
        gru("forward"), backward_layer=gru("backward", go_backwards=True), name=name, dtype=dtype
    )
    layer.build((None, None, input_size))
    return layer


def _linear(inputs: int, units: int, name: str, dtype) -> keras.layers.Dense:
    """A dense layer with PyTorch's initial weights: U(-1, 1) / sqrt(inputs), biases too."""
    initial = _uniform(inputs**-0.5)
    layer = keras.layers.Dense(
        units, kernel_initializer=initial, bias_initializer=initial.clone(), name=name, dtype=dtype
    )
    layer.build((None, inputs))
    return layer


def _uniform(limit: float) -> keras.initializers.Initializer:
    return keras.initializers.RandomUniform(-limit, limit)
