"""`MDNRNN`: the memory model of World Models, an LSTM that ends in mixtures of Gaussians, as a Keras model."""

import keras
import numpy as np
import tensorflow as tf

from seqvae.objectives import bounded, weighted_mean
from seqvae.randomness import fold, normal, stateless_seed
from seqvae.training import SequenceModel
from worldmodels import arguments, mixture, original
from worldmodels.cell import ForgetBias, forget_bias, glorot_of, swap_gates
from worldmodels.mixture import Mixture
from worldmodels.results import Dream, MDNRNNTerms, MDNRNNTermsMore, Predicted, PredictedMore, State

_LOGSTD_RANGE = -10.0, 10.0  # standard deviations of 5e-5 to 2e4


@keras.saving.register_keras_serializable(package="worldmodels")
class MDNRNN(SequenceModel):
    """The MDN-RNN of World Models (Ha and Schmidhuber 2018, arXiv:1803.10122, appendix A.2).

        h_t, c_t = LSTM([z_t, a_t], h_{t-1}, c_{t-1})
        p(z_{t+1}) = prod_d sum_k pi_dk N(z_d; mu_dk, sigma_dk),    (pi, mu, sigma) = dense(h_t)

    Args:
        z_size, action_size: of a step's inputs.
        rnn_size: units of the LSTM. num_mixtures: K.
        predict_done, predict_reward: heads for what the next frame brings; the done logit is the first output, as the Doom
            variant's restart logit (with restart as one more action, action_size=2, rnn_size=512, its weights fit).
        done_weight: of steps that end in the done term, 10 as in the Doom variant.
        seed: of the noise where a call gives none.
    """

    term_names = MDNRNNTerms._fields

    def __init__(
        self, *, z_size=32, action_size=3, rnn_size=256, num_mixtures=5, predict_done=False, predict_reward=False,
        done_weight=10.0, seed=None, dtype=None, name="mdn_rnn",
    ):  # fmt: skip
        arguments.check_at_least(1, z_size=z_size, rnn_size=rnn_size, num_mixtures=num_mixtures)
        arguments.check_at_least(0, action_size=action_size, done_weight=done_weight)
        if predict_done or predict_reward:
            self.term_names = MDNRNNTermsMore._fields
        super().__init__(name=name, dtype=dtype, seed=seed)
        self._config = dict(
            z_size=z_size, action_size=action_size, rnn_size=rnn_size, num_mixtures=num_mixtures,
            predict_done=predict_done, predict_reward=predict_reward, done_weight=done_weight, seed=seed,
        )  # fmt: skip
        self.z_size, self.action_size, self.rnn_size, self.num_mixtures = z_size, action_size, rnn_size, num_mixtures
        self.predict_done, self.predict_reward, self.done_weight = predict_done, predict_reward, done_weight
        options = dict(dtype=self.dtype_policy)
        inputs, outputs = z_size + action_size, 3 * num_mixtures * z_size + int(predict_done) + int(predict_reward)
        # glorot_uniform for everything, biases too, the LSTM's two kernels as one matrix: the original's get_variable
        kernel = glorot_of(inputs + 5 * rnn_size)
        self.lstm = keras.layers.LSTM(
            rnn_size, return_sequences=True, return_state=True, kernel_initializer=kernel,
            recurrent_initializer=kernel.clone(), bias_initializer=ForgetBias(8 * rnn_size), unit_forget_bias=False,
            name="lstm", **options,
        )  # fmt: skip
        self.head = keras.layers.Dense(outputs, bias_initializer=glorot_of(2 * outputs), name="head", **options)
        self.supports_masking = True  # `call` hands its mask to the LSTM
        self.lstm.build((None, None, inputs))
        self.head.build((None, None, rnn_size))
        self.built = True

    def get_config(self):
        base = super().get_config()
        return {name: base[name] for name in ("name", "dtype")} | self._config

    def initial_state(self, batch: int) -> State:
        """Zeros."""
        return State(*(tf.zeros([batch, self.rnn_size]) for _ in range(2)))

    # --- predictions ---

    def call(self, inputs, state: State | None = None, mask=None) -> Predicted | PredictedMore:
        """Predictions for inputs [B, T, z_size + action_size], z first.

        Args:
            state: before the first step; None is zeros.
            mask: [B, T], 1 = a step, 0 = padding, after the last step only: the state is then that after the last step.
        """
        inputs = arguments.check_last_axis("inputs", inputs, self.z_size + self.action_size, rank=3)
        state = State(*state) if state is not None else None
        mask = None if mask is None else tf.cast(mask, tf.bool)
        hidden, h, c = self.lstm(
            tf.cast(inputs, self.compute_dtype),
            initial_state=None if state is None else [tf.cast(part, self.compute_dtype) for part in state],
            mask=mask,
        )
        return self._outputs(hidden, State(tf.cast(h, tf.float32), tf.cast(c, tf.float32)))

    def compute_mask(self, inputs, previous_mask):
        return None  # what comes out of padding is not marked: the loss has the mask

    def step(self, z, action, state: State | None = None) -> Predicted | PredictedMore:
        """One step: z [B, z_size], action [B, action_size] -> `call`'s results without the axis of time."""
        z = arguments.check_last_axis("z", z, self.z_size, rank=2)
        action = arguments.check_last_axis("action", action, self.action_size, rank=2)
        return self._run(self._step, z, action, state or self.initial_state(z.shape[0]))

    def sample(self, logmix, mean, logstd, temperature: float = 1.0, *, seed=None, noise=None) -> tf.Tensor:
        """z [..., z_size] drawn from the mixtures, as the original draws it (`worldmodels.mixture.draw`).

        Args:
            temperature: above 0; below 1 surer, above 1 wilder.
            noise: (uniform, standard normal) numbers [..., z_size] to draw with, in place of a seed.
        """
        _check_temperature(temperature)
        parts = Mixture(*(tf.convert_to_tensor(part, tf.float32) for part in (logmix, mean, logstd)))
        u, normal = noise if noise is not None else self._noise(tf.shape(parts.mean)[:-1], seed)
        return mixture.draw(parts, temperature, tf.cast(u, tf.float32), tf.cast(normal, tf.float32))

    def dream(
        self, z0, *, actions=None, policy=None, steps: int | None = None, temperature: float = 1.0, state=None,
        vae=None, seed=None, noise=None,
    ) -> Dream:  # fmt: skip
        """Rolls the model forward on its own predictions from z0 [B, z_size] (World Models, section "Dream").

        Args:
            actions: [B, steps, action_size]; or policy: a function of z [B, z_size] and the state's h [B, rnn_size] that
                gives actions [B, action_size], called `steps` times.
            temperature: see `sample`.
            state: the LSTM's before z0; None is zeros.
            vae: a `ConvVAE`; with it the codes are decoded to frames.
            noise: (uniform, standard normal) numbers [B, steps, z_size] in place of a seed.

        Raises:
            ValueError: neither or both of actions and policy, or shapes that do not fit.
            FloatingPointError: a code is not finite.
        """
        _check_temperature(temperature)
        z0 = arguments.check_last_axis("z0", z0, self.z_size, rank=2)
        if (actions is None) == (policy is None) or (policy is not None and steps is None):
            raise ValueError("dream: expected either actions [B, steps, action_size], or policy and steps.")
        if actions is not None:
            actions = arguments.check_last_axis("actions", actions, self.action_size, rank=3)
            if actions.shape[0] != z0.shape[0] or steps not in (None, actions.shape[1]):
                raise ValueError(
                    f"actions: expected [{z0.shape[0]}, {steps or 'steps'}, {self.action_size}] to fit z0 and steps, got "
                    f"{tuple(actions.shape)}."
                )
            steps = actions.shape[1]
        shape = [z0.shape[0], steps, self.z_size]
        u, normal = self._noise(shape, seed) if noise is None else (tf.cast(n, tf.float32) for n in noise)
        state = self.initial_state(shape[0]) if state is None else State(*state)
        temperature = tf.constant(temperature, tf.float32)
        if policy is None:
            z = self._run(self._dream, z0, actions, state, temperature, u, normal)
        else:
            z, actions = self._dream_with(policy, z0, state, temperature, u, normal)
        arguments.check_finite("dream", z=z)
        return Dream(z, actions, None if vae is None else vae.decode(z))

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
            taken.append(arguments.check_last_axis("policy", policy(path[-1], state.h), self.action_size, rank=2))
            z, state = self._run(self._step_and_draw, path[-1], taken[-1], state, temperature, u[:, t], normal[:, t])
            path.append(z)
        return tf.stack(path, 1), tf.stack(taken, 1)

    def _step_and_draw(self, z, action, state, temperature, u, normal) -> tuple[tf.Tensor, State]:
        predicted = self._step(z, action, state)
        return mixture.draw(Mixture(*predicted[:3]), temperature, u, normal), predicted.state

    def _noise(self, shape, seed) -> tuple[tf.Tensor, tf.Tensor]:
        seed = stateless_seed(seed, self._seeds)
        return tf.random.stateless_uniform(shape, fold(seed, 0)), tf.random.stateless_normal(shape, fold(seed, 1))

    def _step(self, z, action, state) -> Predicted | PredictedMore:
        predicted = self.call(tf.concat([z, action], -1)[:, None], state)
        squeezed = {
            name: None if value is None else value[:, 0]
            for name, value in predicted._asdict().items()
            if name != "state"
        }
        return predicted._replace(**squeezed)

    def _outputs(self, hidden, state: State) -> Predicted | PredictedMore:
        outputs = tf.cast(self.head(hidden), tf.float32)
        first, last = int(self.predict_done), tf.shape(outputs)[-1] - int(self.predict_reward)
        shape = tf.concat([tf.shape(outputs)[:-1], [self.z_size, 3 * self.num_mixtures]], 0)
        logits, mean, logstd = tf.split(tf.reshape(outputs[..., first:last], shape), 3, axis=-1)
        parts = tf.nn.log_softmax(logits), mean, bounded(logstd, *_LOGSTD_RANGE), state
        if not (self.predict_done or self.predict_reward):
            return Predicted(*parts)
        done = outputs[..., 0] if self.predict_done else None
        return PredictedMore(*parts, done, outputs[..., -1] if self.predict_reward else None)

    # --- training ---

    def loss_terms(self, batch: dict, *, seed=None, training=True) -> MDNRNNTerms | MDNRNNTermsMore:
        """The terms for a dict of sequences: at each step z_t and the action are seen and z_{t+1} is predicted.

        Args:
            batch: `z` [B, T, z_size], or `mean` and `logvar`, from which z is drawn; `actions` [B, T, action_size]; where
                episodes are of different lengths `mask` [B, T]; for the heads `done` and `rewards` [B, T], what came with
                each frame.
        """
        del training  # there is nothing that only training does
        z = self._codes(batch, seed)
        actions = arguments.check_last_axis("actions", batch["actions"], self.action_size, rank=3)
        if z.shape[1] is not None and z.shape[1] < 2:
            raise ValueError("z: sequences of one step; a next z to predict needs at least two.")
        weight = tf.ones(tf.shape(z)[:2]) if batch.get("mask") is None else tf.cast(batch["mask"], tf.float32)
        weight = weight[:, 1:]
        predicted = self.call(tf.concat([z, actions], -1)[:, :-1])
        nll = -tf.reduce_mean(mixture.log_prob(Mixture(*predicted[:3]), z[:, 1:]), -1)
        nll = weighted_mean(nll, weight)
        if isinstance(predicted, Predicted):
            return MDNRNNTerms(nll)
        return MDNRNNTermsMore(
            nll, self._done_term(predicted.done, batch, weight), self._reward_term(predicted.reward, batch, weight)
        )

    def with_noise(self, batch: dict, seed) -> dict:
        """Of a batch of `mean` and `logvar` a draw, as `z`."""
        rest = {name: value for name, value in batch.items() if name not in ("mean", "logvar")}
        return rest | {"z": self._codes(batch, seed)}

    def objective(self, terms: MDNRNNTerms | MDNRNNTermsMore) -> tf.Tensor:
        """The loss: the sum of the terms."""
        return tf.add_n(list(terms))

    def count(self, batch: dict) -> tf.Tensor:
        """The predicted steps of a batch."""
        if "mask" in batch:
            return tf.reduce_sum(tf.cast(batch["mask"], tf.float32)[:, 1:])
        shape = tf.shape(batch["actions"])
        return tf.cast(shape[0] * (shape[1] - 1), tf.float32)

    def _codes(self, batch: dict, seed) -> tf.Tensor:
        if "z" in batch:
            return arguments.check_last_axis("z", batch["z"], self.z_size, rank=3)
        mean, logvar = (
            arguments.check_last_axis(name, batch[name], self.z_size, rank=3) for name in ("mean", "logvar")
        )
        noise = normal(tf.shape(mean), fold(stateless_seed(seed, self._seeds), 2))
        return mean + tf.exp(0.5 * logvar) * noise

    def _done_term(self, logit, batch, weight) -> tf.Tensor:
        if logit is None:
            return tf.zeros([])
        done = tf.cast(batch["done"], tf.float32)[:, 1:]
        cross_entropy = tf.nn.weighted_cross_entropy_with_logits(done, logit, self.done_weight)
        return weighted_mean(cross_entropy, weight)

    def _reward_term(self, reward, batch, weight) -> tf.Tensor:
        if reward is None:
            return tf.zeros([])
        return weighted_mean(0.5 * tf.square(reward - tf.cast(batch["rewards"], tf.float32)[:, 1:]), weight)

    # --- the original project's weights ---

    def load_json(self, path) -> None:
        """Sets the weights to those of a file that `save_json` or the original project wrote (`rnn.json`).

        Raises:
            ValueError: no such list of arrays, or arrays of another model; nothing is changed.
        """
        original.load(self, original.read_json(path), source=str(path))

    def save_json(self, path) -> None:
        """Writes the weights as the original project does: integers of 1/10000, in its order and its cell's layout."""
        original.write_json(path, original.arrays(self))

    def original_arrays(self) -> list[np.ndarray]:
        """The weights in the original's order and layout, see `worldmodels.original.load`."""
        cell = self.lstm.cell
        kernel = np.concatenate([cell.kernel.numpy(), cell.recurrent_kernel.numpy()])
        bias = cell.bias.numpy() - forget_bias(self.rnn_size)
        return [self.head.kernel.numpy(), self.head.bias.numpy(), swap_gates(kernel), swap_gates(bias)]

    def set_original_arrays(self, arrays: list[np.ndarray]) -> None:
        """Sets the weights from arrays in the original's order and layout."""
        output_w, output_b, kernel, bias = arrays
        kernel, cell = swap_gates(kernel), self.lstm.cell
        self.head.kernel.assign(output_w)
        self.head.bias.assign(output_b)
        cell.kernel.assign(kernel[: -self.rnn_size])
        cell.recurrent_kernel.assign(kernel[-self.rnn_size :])
        cell.bias.assign(swap_gates(bias) + forget_bias(self.rnn_size))


def _check_temperature(temperature) -> None:
    if not tf.is_tensor(temperature) and not temperature > 0:
        raise ValueError(f"temperature: expected a number above 0, got {temperature!r}.")
