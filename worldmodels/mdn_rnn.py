"""`MDNRNN`: the memory of World Models as a Keras model, an LSTM with mixtures of Gaussians as
outputs.
"""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

import keras
import numpy as np
import tensorflow as tf

from seqvae import checks
from seqvae.checks import NOWHERE, Place, check_keys, require
from seqvae.data.masks import is_observed
from seqvae.model import SequenceModel
from seqvae.objectives import bounded, weighted_mean
from seqvae.randomness import Seed, fold, normal, stateless_seed
from seqvae.recurrent import run_layer, without_cudnn
from worldmodels import arguments, mixture, original
from worldmodels.arguments import Array
from worldmodels.cell import ForgetBias, forget_bias, glorot_of, swap_gates
from worldmodels.mixture import Mixture
from worldmodels.padding import are_episodes, episodes_as_batch
from worldmodels.results import (
    Dream,
    Imagined,
    Latents,
    MDNRNNTerms,
    MDNRNNTermsWithHeads,
    Predicted,
    PredictedWithHeads,
    RNNData,
    State,
)

if TYPE_CHECKING:
    from worldmodels.conv_vae import ConvVAE

_ONE_STEP = "z: sequences of one step; a next z to predict needs at least two."
_CODES = 2
"""Purpose of a random draw, for `fold`: codes from their means and variances. `mixture.noise` has 0
and 1."""
_LOGSTD_RANGE = -10.0, 10.0  # standard deviations of 5e-5 to 2e4


@keras.saving.register_keras_serializable(package="worldmodels")
class MDNRNN(SequenceModel):
    """The MDN-RNN of World Models.

    The model (Ha and Schmidhuber 2018, arXiv:1803.10122, appendix A.2)::

        h_t, c_t = LSTM([z_t, a_t], h_{t-1}, c_{t-1})
        p(z_{t+1}) = prod_d sum_k pi_dk N(z_d; mu_dk, sigma_dk),    (pi, mu, sigma) = dense(h_t)

    A batch of `fit` is one of:

    - a dict of `z` [B, T, z_size] (or `mean` and `logvar`, from which z is drawn in every step),
      `actions` [B, T, action_size], and optionally `mask`, `done`, `rewards` [B, T] and
      `sample_weight` [B];
    - an array [B, T, z_size + action_size], z first;
    - a pair of such inputs and the outputs z_{t+1} [B, T, z_size], as `ConvVAE.generate_rnn_data`
      returns them, also as lists of episodes of different lengths.

    `fit` and `evaluate` also take `Latents`, a list of dicts (one for each episode), or a dict of
    lists of episodes, where the lengths differ (`worldmodels.padded`).

    Args:
        z_size: size of a code.
        action_size: numbers in an action.
        rnn_size: units of the LSTM.
        num_mixtures: K, components of each mixture.
        predict_done: whether a head predicts the episode's end. Its logit is the first output, as
            the Doom variant's restart logit (with restart as one more action, action_size=2,
            rnn_size=512, its weights fit). Only this head uses `done` of a batch.
        predict_reward: whether a head predicts the reward. Only this head uses `rewards` of a
            batch.
        done_weight: weight of ending steps in the done term, 10 as in the Doom variant.
        seed: seed of the random draws in calls that do not pass one; None: Keras' global seed.
        dtype: a type or dtype policy.
        name: the model's name.

    Raises:
        ValueError: an argument is out of range.
    """

    input_name = "z"
    batch_keys: ClassVar = {
        "z": "[B, T, z_size], the codes of the frames.",
        "mean": "[B, T, z_size], with logvar in place of z: each step draws z again.",
        "logvar": "[B, T, z_size], the log-variance of z.",
        "actions": "[B, T, action_size].",
        "mask": "[B, T], 1 for a step, 0 in the padding after the last one.",
        "done": "[B, T], 1 where the episode ended with that frame, for the model's `done` head.",
        "rewards": "[B, T], the reward observed with each frame, for the model's reward head.",
        "next_z": "[B, T, z_size], the code after each step; without it, z one step later.",
    }
    alternatives = "z", "mean"
    term_names = MDNRNNTerms._fields

    def __init__(
        self,
        *,
        z_size: int = 32,
        action_size: int = 3,
        rnn_size: int = 256,
        num_mixtures: int = 5,
        predict_done: bool = False,
        predict_reward: bool = False,
        done_weight: float = 10.0,
        seed: int | None = None,
        dtype: str | keras.DTypePolicy | None = None,
        name: str = "mdn_rnn",
    ):
        arguments.check_sizes(1, z_size=z_size, rnn_size=rnn_size, num_mixtures=num_mixtures)
        arguments.check_sizes(0, action_size=action_size)
        arguments.check_at_least(0, done_weight=done_weight)
        if predict_done or predict_reward:
            self.term_names = MDNRNNTermsWithHeads._fields
        super().__init__(name=name, dtype=dtype, seed=seed)
        self._config = dict(
            z_size=z_size,
            action_size=action_size,
            rnn_size=rnn_size,
            num_mixtures=num_mixtures,
            predict_done=predict_done,
            predict_reward=predict_reward,
            done_weight=done_weight,
            seed=seed,
        )
        self.z_size, self.action_size, self.rnn_size, self.num_mixtures = (
            z_size,
            action_size,
            rnn_size,
            num_mixtures,
        )
        self.predict_done, self.predict_reward, self.done_weight = (
            predict_done,
            predict_reward,
            done_weight,
        )
        options = dict(dtype=self.dtype_policy)
        inputs, outputs = (
            z_size + action_size,
            3 * num_mixtures * z_size + int(predict_done) + int(predict_reward),
        )
        # As the original's get_variable: glorot_uniform for all weights and biases, with the LSTM's
        # two kernels as one matrix.
        kernel = glorot_of(inputs + 5 * rnn_size)
        self.lstm = keras.layers.LSTM(
            rnn_size,
            return_sequences=True,
            return_state=True,
            kernel_initializer=kernel,
            recurrent_initializer=kernel.clone(),
            bias_initializer=ForgetBias(8 * rnn_size),
            unit_forget_bias=False,
            name="lstm",
            **options,
        )
        self.head = keras.layers.Dense(
            outputs, bias_initializer=glorot_of(2 * outputs), name="head", **options
        )
        self.supports_masking = True  # `call` passes its mask to the LSTM
        self.lstm.build((None, None, inputs))
        self.head.build((None, None, rnn_size))
        self.built = True

    def get_config(self):
        """Return the arguments of the model.

        Returns:
            The arguments by name.
        """
        base = super().get_config()
        return {name: base[name] for name in ("name", "dtype")} | self._config

    def initial_state(self, batch: int | tf.Tensor) -> State:
        """Make a state of zeros.

        Args:
            batch: the batch size.

        Returns:
            The state.
        """
        return State(*(tf.zeros([batch, self.rnn_size], self.variable_dtype) for _ in range(2)))

    # --- predictions ---

    def call(
        self, inputs: Array | dict, state: State | None = None, mask: Array | None = None
    ) -> Predicted | PredictedWithHeads:
        """Predict the next code at every step.

        Args:
            inputs: [B, T, z_size + action_size], z first, or a batch as for `fit`. If it has `mean`
                instead of `z`, the means are used.
            state: before the first step; None: zeros.
            mask: [B, T], 1 = a step, 0 = padding, which may only follow the last step. The returned
                state is that after the last step.

        Returns:
            The predictions, and the state after the last step.

        Raises:
            ValueError: a shape is wrong.
        """
        # Keras passes a structure of Nones as the mask of a dict
        given = any(part is not None for part in tf.nest.flatten(mask))
        batch = self.batch_of(inputs) | ({"mask": mask} if given else {})
        batch = self._tensors(batch, reading=("z", "mean", "actions", "mask"))
        z = batch["z"] if "z" in batch else batch["mean"]
        if state is not None:
            state = self._state(state, tf.shape(z)[0])
        return self._predict(self._joined(z, batch), state, batch.get("mask"))

    def _predict(
        self, inputs, state: State | None = None, mask=None
    ) -> Predicted | PredictedWithHeads:
        hidden, h, c = run_layer(
            self.lstm,
            tf.cast(inputs, self.compute_dtype),
            initial_state=None
            if state is None
            else [tf.cast(part, self.compute_dtype) for part in state],
            mask=None if mask is None else is_observed(mask),
        )
        return self._outputs(
            hidden, State(*(tf.cast(part, self.variable_dtype) for part in (h, c)))
        )

    @staticmethod
    def _joined(z: tf.Tensor, batch: dict) -> tf.Tensor:
        return tf.concat([z, batch["actions"]], -1) if "actions" in batch else z

    def _state(self, state, count) -> State:
        if state is None:
            return self.initial_state(count)
        parts = zip(
            "hc", arguments.check_pair("state", state, "(h, c), [B, rnn_size] each"), strict=True
        )
        return State(
            *(self._last_axis(f"state.{name}", part, self.rnn_size, 2) for name, part in parts)
        )

    def _last_axis(self, name: str, value, size: int, rank: int = 1) -> tf.Tensor:
        return arguments.check_last_axis(name, value, size, self.variable_dtype, rank)

    def compute_mask(self, inputs: Any, previous_mask: Any):
        """Return None: the loss uses the batch's mask, not a mask of the outputs.

        Args:
            inputs: unused.
            previous_mask: unused.
        """
        return None

    def step(
        self, z: Array, action: Array, state: State | None = None
    ) -> Predicted | PredictedWithHeads:
        """Predict one step.

        Args:
            z: [B, z_size].
            action: [B, action_size].
            state: before the step; None: zeros.

        Returns:
            The results of `call` without the time axis.
        """
        z, action = (
            self._last_axis("z", z, self.z_size, 2),
            self._last_axis("action", action, self.action_size, 2),
        )
        return self._run(self._step, z, action, self._state(state, tf.shape(z)[0]))

    def sample(
        self,
        logmix: Array,
        mean: Array,
        logstd: Array,
        temperature: float = 1.0,
        *,
        seed: int | None = None,
        noise: tuple[Array, Array] | None = None,
    ) -> tf.Tensor:
        """Draw z from the mixtures, as the original does (`worldmodels.mixture.draw`).

        Args:
            logmix: [..., z_size, num_mixtures].
            mean: [..., z_size, num_mixtures].
            logstd: [..., z_size, num_mixtures].
            temperature: above 0; values below 1 reduce the randomness, values above 1 increase it.
            seed: seed of the draws; None: the model's next seed.
            noise: (uniform, standard normal) numbers [..., z_size] that replace the draws.

        Returns:
            z [..., z_size].

        Raises:
            ValueError: the temperature is not above 0, or shapes do not fit.
        """
        arguments.check_temperature(temperature)
        named = {"logmix": logmix, "mean": mean, "logstd": logstd}
        parts = Mixture(
            *(checks.tensor(n, value, self.variable_dtype) for n, value in named.items())
        )
        if not all(
            part.shape.rank and part.shape.is_compatible_with(parts.mean.shape) for part in parts
        ):
            raise ValueError(
                "logmix, mean, logstd: expected the same shape [..., z_size, num_mixtures], got "
                f"{', '.join(str(tuple(part.shape)) for part in parts)}."
            )
        return mixture.draw(
            parts,
            temperature,
            *self._noise(parts.mean.shape[:-1], tf.shape(parts.mean)[:-1], seed, noise),
        )

    def imagine(
        self,
        z: Array,
        action: Array,
        state: State | None = None,
        *,
        temperature: float = 1.0,
        seed: int | None = None,
        noise: tuple[Array, Array] | None = None,
    ) -> Imagined:
        """Simulate one step of a dream: the next z, and the heads' predictions.

        z is drawn as in `sample`.

        Args:
            z: [B, z_size].
            action: [B, action_size].
            state: the LSTM's state before the step; None: zeros.
            temperature: see `sample`.
            seed: seed of the draws; None: the model's next seed.
            noise: (uniform, standard normal) numbers [B, z_size] that replace the draws.

        Returns:
            The next code, the state and the predictions.

        Raises:
            ValueError: an argument is invalid.
        """
        arguments.check_temperature(temperature)
        z, action = (
            self._last_axis("z", z, self.z_size, 2),
            self._last_axis("action", action, self.action_size, 2),
        )
        shape = [tf.shape(z)[0], self.z_size]
        u, normal = self._noise([z.shape[0], self.z_size], shape, seed, noise)
        state = self._state(state, shape[0])
        scale = tf.cast(temperature, self.variable_dtype)
        return self._run(self._imagine, z, action, state, scale, u, normal)

    def _imagine(self, z, action, state, temperature, u, normal) -> Imagined:
        predicted = self._step(z, action, state)
        z = mixture.draw(Mixture(*predicted[:3]), temperature, u, normal)
        if isinstance(predicted, Predicted):
            return Imagined(z, predicted.state, None, None)
        return Imagined(z, predicted.state, predicted.done, predicted.reward)

    def dream(
        self,
        z0: Array,
        *,
        actions: Array | None = None,
        policy: Callable | None = None,
        steps: int | None = None,
        temperature: float = 1.0,
        state: State | None = None,
        vae: "ConvVAE | None" = None,
        seed: int | None = None,
        noise: tuple[Array, Array] | None = None,
    ) -> Dream:
        """Simulate the model on its own predictions (World Models, section "Dream").

        Args:
            z0: [B, z_size], the first codes.
            actions: [B, steps, action_size].
            policy: replaces `actions`: a function of z [B, z_size] and the state's h [B, rnn_size]
                that returns actions [B, action_size]; called `steps` times.
            steps: number of steps; optional with `actions`.
            temperature: see `sample`.
            state: the LSTM's state before z0; None: zeros.
            vae: a `ConvVAE` that decodes the codes to frames; None: no frames.
            seed: seed of the draws; None: the model's next seed.
            noise: (uniform, standard normal) numbers [B, steps, z_size] that replace the draws.

        Returns:
            Codes, actions and frames.

        Raises:
            ValueError: neither or both of actions and policy, or shapes that do not fit.
            FloatingPointError: a code is not finite.
        """
        arguments.check_temperature(temperature)
        z0 = self._last_axis("z0", z0, self.z_size, 2)
        if (actions is None) == (policy is None) or (policy is not None and steps is None):
            raise ValueError(
                "dream: expected either actions [B, steps, action_size], or policy and steps."
            )
        if vae is not None:
            arguments.check_callable("vae", getattr(vae, "decode", vae), "a ConvVAE")
        if policy is not None:
            arguments.check_callable("policy", policy, "a function of z and h that gives actions")
            arguments.check_sizes(1, steps=steps)
            given, length = None, steps
        else:
            given, length = self._dream_actions(actions, z0, steps)
        shape = [tf.shape(z0)[0], length, self.z_size]
        u, normal = self._noise(
            [z0.shape[0], steps if policy else None, self.z_size], shape, seed, noise
        )
        state = self._state(state, shape[0])
        scale = tf.cast(temperature, self.variable_dtype)
        if policy is not None:
            z, taken = self._dream_with(policy, z0, state, scale, u, normal)
        else:
            assert given is not None
            z, taken = self._run(self._dream, z0, given, state, scale, u, normal), given
        arguments.check_finite("dream", z=z)
        return Dream(z, taken, None if vae is None else vae.decode(z))

    def _dream_actions(
        self, actions, z0: tf.Tensor, steps: int | None
    ) -> tuple[tf.Tensor, int | tf.Tensor]:
        actions = self._last_axis("actions", actions, self.action_size, 3)
        if not actions.shape[:2].is_compatible_with([z0.shape[0], steps]):
            raise ValueError(
                f"actions: expected [{z0.shape[0]}, {steps or 'steps'}, {self.action_size}] to fit "
                f"z0 and steps, got {tuple(actions.shape)}."
            )
        return actions, tf.shape(actions)[1]

    def _dream(self, z0, actions, state, temperature, u, normal) -> tf.Tensor:
        def one(carried, now):
            z, state = carried
            action, u, normal = now
            predicted = self._step(z, action, state)
            return mixture.draw(Mixture(*predicted[:3]), temperature, u, normal), predicted.state

        time_major = tuple(tf.transpose(value, [1, 0, 2]) for value in (actions, u, normal))
        z, _ = tf.scan(one, time_major, (z0, state))
        return tf.concat([z0[:, None], tf.transpose(z, [1, 0, 2])], 1)

    def _dream_with(self, policy, z0, state, temperature, u, normal) -> tuple[tf.Tensor, tf.Tensor]:
        path, taken = [z0], []
        for t in range(u.shape[1]):
            taken.append(self._last_axis("policy", policy(path[-1], state.h), self.action_size, 2))
            z, state, *_ = self._run(
                self._imagine, path[-1], taken[-1], state, temperature, u[:, t], normal[:, t]
            )
            path.append(z)
        return tf.stack(path, 1), tf.stack(taken, 1)

    def _noise(self, static, shape, seed, noise) -> tuple[tf.Tensor, tf.Tensor]:
        """The given noise, or uniform and standard normal numbers of `shape`; `static` is the known
        part of the shape.
        """
        if noise is None:
            return mixture.noise(shape, stateless_seed(seed, self._seeds), self.variable_dtype)
        pair = arguments.check_pair("noise", noise, "of uniform and standard normal numbers")
        uniform, normal = parts = [
            checks.tensor("noise", part, self.variable_dtype) for part in pair
        ]
        if not all(part.shape.is_compatible_with(static) for part in parts):
            raise ValueError(
                f"noise: expected numbers of the shape {list(static)}, got "
                f"{[list(p.shape) for p in parts]}."
            )
        return uniform, normal

    def _step(self, z, action, state) -> Predicted | PredictedWithHeads:
        predicted = self._predict(tf.concat([z, action], -1)[:, None], state)
        squeezed = {
            name: None if value is None else value[:, 0]
            for name, value in predicted._asdict().items()
            if name != "state"
        }
        return predicted._replace(**squeezed)

    def _outputs(self, hidden, state: State) -> Predicted | PredictedWithHeads:
        outputs = tf.cast(self.head(hidden), self.variable_dtype)
        first, last = int(self.predict_done), tf.shape(outputs)[-1] - int(self.predict_reward)
        shape = tf.concat([tf.shape(outputs)[:-1], [self.z_size, 3 * self.num_mixtures]], 0)
        logits, mean, logstd = tf.split(tf.reshape(outputs[..., first:last], shape), 3, axis=-1)
        parts = tf.nn.log_softmax(logits), mean, bounded(logstd, *_LOGSTD_RANGE), state
        if not (self.predict_done or self.predict_reward):
            return Predicted(*parts)
        done = outputs[..., 0] if self.predict_done else None
        return PredictedWithHeads(*parts, done, outputs[..., -1] if self.predict_reward else None)

    # --- training ---

    def loss_terms(
        self, batch: dict, *, seed: Seed | None = None, training: bool = True
    ) -> MDNRNNTerms | MDNRNNTermsWithHeads:
        """Compute the terms of the loss.

        The inputs are z_t and the action at t; z_{t+1} is predicted.

        Args:
            batch: a dict of `z` [B, T, z_size], or `mean` and `logvar`, from which z is drawn;
                `actions` [B, T, action_size]; for episodes of different lengths `mask` [B, T]; for
                the heads `done` and `rewards` [B, T], observed with each frame. With `next_z` [B,
                T, z_size], the code after each step, all T steps are predicted, and `mask`, `done`
                and `rewards` are those of the predicted steps.
            seed: seed of the random draws; None: the model's next seed.
            training: unused: training and evaluation losses are identical.

        Returns:
            The terms, scalars.
        """
        del training  # unused: training and evaluation losses are identical
        batch = self._tensors(self.with_noise(self.batch_of(batch), seed))
        inputs, targets = self._joined(batch["z"], batch), self._predicted_steps(batch)
        predicted = self._predict(inputs if "next_z" in batch else inputs[:, :-1])
        weight = self._weights(batch)
        nll = -tf.reduce_mean(mixture.log_prob(Mixture(*predicted[:3]), targets["z"]), -1)
        nll = weighted_mean(nll, weight)
        if isinstance(predicted, Predicted):
            return MDNRNNTerms(nll)
        done, reward = (tf.zeros([], nll.dtype) for _ in range(2))
        if self.predict_done:
            cross_entropy = tf.nn.weighted_cross_entropy_with_logits(
                targets["done"], predicted.done, self.done_weight
            )
            done = weighted_mean(cross_entropy, weight)
        if self.predict_reward:
            reward = weighted_mean(0.5 * tf.square(predicted.reward - targets["rewards"]), weight)
        return MDNRNNTermsWithHeads(nll, done, reward)

    def _predicted_steps(self, batch: dict) -> dict:
        """The targets: `next_z` as z, or the steps after the first one."""
        if "next_z" in batch:
            return batch | {"z": batch["next_z"]}
        return {name: value[:, 1:] for name, value in batch.items() if name != "sample_weight"}

    def _weights(self, batch: dict, dtype=None) -> tf.Tensor:
        weights = self.frame_weights(batch, dtype)
        return weights if "next_z" in batch else weights[:, 1:]

    def with_noise(self, batch: dict, seed: Seed | None) -> dict:
        """Replace `mean` and `logvar` by a draw, `z`.

        Args:
            batch: the batch.
            seed: seed of the draw.

        Returns:
            The batch with `z`.
        """
        if "z" in batch or "mean" not in batch:
            return batch
        mean, logvar = (
            self._tensors(batch, reading=("mean", "logvar"))[name] for name in ("mean", "logvar")
        )
        noise = normal(tf.shape(mean), fold(stateless_seed(seed, self._seeds), _CODES), mean.dtype)
        rest = {name: value for name, value in batch.items() if name not in ("mean", "logvar")}
        return rest | {"z": mean + tf.exp(0.5 * logvar) * noise}

    def objective(self, terms: MDNRNNTerms | MDNRNNTermsWithHeads) -> tf.Tensor:
        """The loss: the sum of the terms.

        Args:
            terms: what `loss_terms` returns.

        Returns:
            A scalar.
        """
        return tf.add_n(list(terms))

    def count(self, batch: dict) -> tf.Tensor:
        """Count the predicted steps of a batch, each times its sequence's `sample_weight`.

        Args:
            batch: the batch.

        Returns:
            A scalar.
        """
        return tf.reduce_sum(self._weights(batch, tf.float32))

    # --- batches ---

    def batch_of(self, data: Any) -> dict:
        """Convert what a Keras data set yields to a batch.

        Args:
            data: a dict; an array [B, T, z_size + action_size], which becomes `z` and `actions`; or
                a pair, whose second part becomes `next_z`.

        Returns:
            The batch, a dict.
        """
        batch = super().batch_of(data)
        x = self._unpacked(data)[0]
        if isinstance(x, dict):
            return batch
        inputs = self._last_axis("inputs", batch["z"], self.z_size + self.action_size, 3)
        return batch | {"z": inputs[..., : self.z_size], "actions": inputs[..., self.z_size :]}  # pyright: ignore[reportArgumentType]

    def _keys_of_y(self, batch: dict, y) -> dict:
        if not isinstance(y, dict) and len(np.shape(y) if not tf.is_tensor(y) else y.shape) == 3:
            return {"next_z": y}
        return super()._keys_of_y(batch, y)

    def _checked_data(self, x, y, sample_weight) -> tuple:
        if y is None and isinstance(x, RNNData):
            x, y = x
        if y is None and isinstance(x, Latents):
            x = x._asdict()
        if y is None and are_episodes(x):
            x = episodes_as_batch(cast(Any, x))
        elif isinstance(x, list):
            x, y = self._padded(x, y), None
        return super()._checked_data(x, y, sample_weight)

    def _check_data(self, data, place: Place) -> None:
        super()._check_data(self.batch_of(data), place)

    def _has_input(self, batch: dict) -> bool:
        return "mean" in batch

    def _padded(self, inputs: Sequence, outputs: Any) -> dict:
        """A batch of episodes of different lengths: inputs [T, z_size + action_size] each, and
        optionally outputs.
        """
        episodes = {"inputs": (inputs, self.z_size + self.action_size)}
        if outputs is not None:
            episodes["outputs"] = outputs, self.z_size
        arrays = {}
        for name, (parts, size) in episodes.items():
            arrays[name] = [
                self._last_axis(f"{name}, episode {i}", part, size, 2)
                for i, part in enumerate(parts)
            ]
        lengths = [len(part) for part in arrays["inputs"]]
        if outputs is not None and [len(part) for part in arrays["outputs"]] != lengths:
            raise ValueError("outputs: expected as many episodes as inputs, of the same lengths.")
        padded = {
            name: np.stack(
                [np.pad(part, [(0, max(lengths) - len(part)), (0, 0)]) for part in parts]
            )
            for name, parts in arrays.items()
        }
        batch = {
            "z": padded["inputs"][..., : self.z_size],
            "actions": padded["inputs"][..., self.z_size :],
            "mask": np.arange(max(lengths)) < np.array(lengths)[:, None],
        }
        return batch | ({"next_z": padded["outputs"]} if outputs is not None else {})

    def check_batch(self, batch: dict, place: Place = NOWHERE) -> None:
        """Check a batch: shapes, masks of 1s and then 0s, finite numbers at steps, done 0 or 1.

        Args:
            batch: the batch.
            place: where it comes from, for messages.

        Raises:
            ValueError: a check failed.
        """
        tensors = self._tensors(batch)
        if "next_z" not in tensors:
            steps = next(iter(tensors.values()))
            require(tf.shape(steps)[1] > 1, _ONE_STEP)
        if "mask" in tensors:
            mask = tensors["mask"]
            arguments.check_mask_values(mask, mask if "next_z" in tensors else mask[:, 1:])
        for name, value in tensors.items():
            if name not in ("mask", "sample_weight"):
                checks.check_finite(name, value, place)
        if "done" in tensors:
            done = tensors["done"]
            require(
                tf.reduce_all((done == 0) | (done == 1)),
                "done: expected 1 (the episode ended) and 0 only.",
            )

    def serving_inputs(self) -> keras.layers.InputSpec:
        """The input of an exported model: [B, T, z_size + action_size], of any number and length.

        Returns:
            Its shape and type.
        """
        size = self.z_size + self.action_size
        return keras.layers.InputSpec(
            shape=(None, None, size), dtype=self.variable_dtype, name="inputs"
        )

    def export(self, filepath: str | os.PathLike, *args: Any, **options: Any) -> None:
        """Export the model as `keras.Model.export` does.

        The exported model returns a flat dict: `logmix`, `mean`, `logstd`, `state_h`, `state_c`,
        and `done` and `reward` if the model has these heads.

        Args:
            filepath: the folder or file to write.
            *args: as in Keras.
            **options: as in Keras.
        """
        options["input_signature"] = options.get("input_signature") or [self.serving_inputs()]
        with without_cudnn():
            _Served(self).export(filepath, *args, **options)

    def _tensors(self, batch: dict, reading: tuple[str, ...] | None = None) -> dict:
        """The batch as tensors of known types and shapes, 0 where a step is masked.

        reading: the only keys that are converted, with `mask`; None: all that training needs.
        """
        check_keys(batch, (*self.batch_keys, "sample_weight"))
        self._check_complete(batch, training=reading is None)
        sizes = dict.fromkeys(("z", "mean", "logvar", "next_z"), self.z_size)
        sizes |= {"actions": self.action_size, "mask": None, "done": None, "rewards": None}
        names = [
            name
            for name in sizes
            if name in batch and (reading is None or name in (*reading, "mask"))
        ]
        tensors = {
            name: arguments.check_steps(name, batch[name], sizes[name], self.variable_dtype)
            for name in names
        }
        arguments.check_same_steps(tensors)
        if reading is None and "next_z" not in tensors and tensors[names[0]].shape[1] == 1:
            raise ValueError(_ONE_STEP)
        if "mask" in tensors:
            step = is_observed(tensors["mask"])
            for name, value in tensors.items():
                if name != "mask":
                    known = step[..., None] if value.shape.rank == 3 else step  # pyright: ignore[reportArgumentType]
                    tensors[name] = tf.where(known, value, tf.zeros_like(value))
        return tensors | {name: value for name, value in batch.items() if name == "sample_weight"}

    def _check_complete(self, batch: dict, training: bool) -> None:
        needed = ["z"] if "z" in batch or "mean" not in batch else ["logvar"]
        needed += ["actions"] if self.action_size else []
        if training:
            needed += ["done"] * self.predict_done + ["rewards"] * self.predict_reward
        missing = [name for name in needed if name not in batch]
        if missing:
            raise ValueError(
                f"{', '.join(missing)}: missing in a batch of {', '.join(batch) or 'nothing'}. "
                f"This model takes z (or mean and logvar){', actions' if self.action_size else ''}"
                f"{', done' if self.predict_done else ''}"
                f"{', rewards' if self.predict_reward else ''}."
            )

    # --- the original project's weights ---

    def load_json(self, path: str | os.PathLike) -> None:
        """Set the weights to those in a file of `save_json` or of the original project.

        Args:
            path: the file, such as the original's `rnn.json`.

        Raises:
            ValueError: the file is not such a list of arrays, or is of another model; nothing is
                changed.
        """
        original.load(self, original.read_json(path), source=str(path))

    def save_json(self, path: str | os.PathLike) -> None:
        """Write the weights as the original project does.

        They are integers of 1/10000, in the original's order and layout.

        Args:
            path: the file.
        """
        original.write_json(path, original.arrays(self))

    def original_arrays(self) -> list[np.ndarray]:
        """Read the weights in the original's order and layout, see `worldmodels.original.load`.

        Returns:
            An array for each weight.
        """
        cell = self.lstm.cell
        kernel = np.concatenate([cell.kernel.numpy(), cell.recurrent_kernel.numpy()])
        bias = cell.bias.numpy() - forget_bias(self.rnn_size)
        return [
            self.head.kernel.numpy(),
            self.head.bias.numpy(),
            swap_gates(kernel),
            swap_gates(bias),
        ]

    def set_original_arrays(self, arrays: list[np.ndarray]) -> None:
        """Set the weights.

        Args:
            arrays: in the original's order and layout.
        """
        output_w, output_b, kernel, bias = arrays
        kernel, cell = swap_gates(kernel), self.lstm.cell
        self.head.kernel.assign(output_w)
        self.head.bias.assign(output_b)
        cell.kernel.assign(kernel[: -self.rnn_size])
        cell.recurrent_kernel.assign(kernel[-self.rnn_size :])
        cell.bias.assign(swap_gates(bias) + forget_bias(self.rnn_size))


class _Served(keras.Model):
    """The model with outputs that a SavedModel allows: a flat dict of tensors."""

    def __init__(self, model: MDNRNN):
        super().__init__(autocast=False, name=model.name, dtype=model.dtype_policy)
        self.model = model
        self.built = True

    def call(self, inputs) -> dict[str, tf.Tensor]:
        outputs = self.model(inputs)._asdict()
        state = outputs.pop("state")
        outputs |= {f"state_{name}": value for name, value in state._asdict().items()}
        return {name: value for name, value in outputs.items() if value is not None}
