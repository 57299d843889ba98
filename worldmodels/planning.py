"""`Planner`: choice of actions by the cross-entropy method on the MDN-RNN, without a controller."""

import math
from functools import partial

import numpy as np
import tensorflow as tf

from seqvae import checks
from seqvae.randomness import fold
from worldmodels import arguments, mixture
from worldmodels.arguments import Array
from worldmodels.mdn_rnn import MDNRNN
from worldmodels.results import Plan, State

_LEAST_DEVIATION = 0.05  # of an action, so that the search does not stop before its last iteration


class Planner:
    """Planning of actions in the dream by the cross-entropy method.

    Sequences of actions are drawn from a normal distribution, clipped to [-1, 1], and dreamt. The
    distribution is then fitted to the best sequences; this is repeated. A sequence's score is the
    sum of its predicted rewards (1 for each step without a reward head). Each is multiplied by the
    probability that the dream has not ended up to and including that step, the product of
    1 - p(done). The done head is trained with ends weighted by `done_weight`; log(done_weight) is
    subtracted from its logit, so that p(done) is a probability.

    Args:
        rnn: the MDN-RNN.
        horizon: steps of a sequence.
        samples: sequences that are drawn in an iteration.
        elite: number of best sequences to which the distribution is fitted.
        iterations: number of draws and fits.
        hold: steps for which an action is held, which reduces the size of the search.
        temperature: temperature of the dreams, see `MDNRNN.sample`.

    Raises:
        ValueError: an argument is out of range.

    References:
        PETS, Chua et al. 2018, arXiv:1805.12114.
    """

    def __init__(
        self,
        rnn: MDNRNN,
        *,
        horizon: int = 20,
        samples: int = 256,
        elite: int = 32,
        iterations: int = 4,
        hold: int = 5,
        temperature: float = 1.0,
    ):
        sizes = dict(horizon=horizon, samples=samples, elite=elite, iterations=iterations)
        arguments.check_sizes(1, **sizes, hold=hold)
        arguments.check_temperature(temperature)
        arguments.check_sizes(1, action_size=rnn.action_size)
        if elite > samples:
            raise ValueError(f"elite: expected at most samples={samples}, got {elite}.")
        self._rnn, self._horizon, self._hold = rnn, horizon, hold
        self._samples, self._elite, self._iterations = samples, elite, iterations
        self._temperature = float(temperature)
        self._compiled = tf.function(partial(self._search), autograph=False)

    def plan(
        self,
        z: Array,
        state: State | None = None,
        *,
        first: Array | None = None,
        seed: int = 0,
    ) -> Plan:
        """Search for the next actions.

        Args:
            z: the current code, [z_size].
            state: the LSTM's state before z and its action, [1, rnn_size] each; not `Agent.state`
                after `act`, which has already processed z. None: zeros.
            first: initial means, [horizon, action_size], such as the last plan shifted by a step;
                None: zeros.
            seed: seed of the draws; the dreams of all sequences use the same draws.

        Returns:
            The actions and their score.

        Raises:
            ValueError: a shape does not fit.
            FloatingPointError: a score is not finite.
        """
        rnn, shape = self._rnn, (self._horizon, self._rnn.action_size)
        state = rnn.initial_state(1) if state is None else state
        first = np.zeros(shape) if first is None else first
        given = {"z": (z, (rnn.z_size,)), "first": (first, shape)}
        given |= {f"state.{n}": (part, (1, rnn.rnn_size)) for n, part in state._asdict().items()}
        tensors = []
        for name, (value, wanted) in given.items():
            value = checks.tensor(name, value, rnn.variable_dtype)
            if tuple(value.shape) != wanted:
                raise ValueError(
                    f"{name}: expected floats of the shape {list(wanted)}, got "
                    f"{tuple(value.shape)}."
                )
            tensors.append(value)
        actions, score = self._compiled(*tensors, tf.constant([seed, 3]))
        arguments.check_finite("plan", score=score)
        return Plan(actions.numpy(), float(score))

    def _search(self, z, mean, h, c, seed) -> tuple[tf.Tensor, tf.Tensor]:
        first = mean[:: self._hold]
        deviation, score = tf.ones_like(first), tf.zeros([], z.dtype)
        mean = first
        for i in range(self._iterations):
            iteration = fold(seed, i)
            shape = [self._samples, *first.shape]
            noise = tf.random.stateless_normal(shape, iteration, dtype=z.dtype)
            drawn = tf.clip_by_value(mean + deviation * noise, -1.0, 1.0)
            dream_seed = fold(iteration, self._horizon)
            scores = self._scores(z, State(h, c), self._held(drawn), dream_seed)
            best = tf.math.top_k(scores, self._elite)
            chosen = tf.gather(drawn, best.indices)
            mean = tf.reduce_mean(chosen, 0)
            deviation = tf.maximum(tf.math.reduce_std(chosen, 0), _LEAST_DEVIATION)
            score = tf.reduce_mean(best.values)
        return self._held(mean[None])[0], score

    def _held(self, actions) -> tf.Tensor:
        """Repeat each action for `hold` steps: [S, ceil(horizon / hold), n] -> [S, horizon, n]."""
        return tf.repeat(actions, self._hold, axis=1)[:, : self._horizon]

    def _scores(self, z, state: State, actions, seed) -> tf.Tensor:
        """Scores [samples] of sequences of actions [samples, horizon, action_size]."""
        count = self._samples
        weight = math.log(max(self._rnn.done_weight, 1e-6))

        def one(t, z, h, c, survival, score):
            of_one = mixture.noise([1, self._rnn.z_size], fold(seed, t), z.dtype)
            noise = tuple(tf.repeat(part, count, axis=0) for part in of_one)
            now = self._rnn.imagine(
                z, actions[:, t], State(h, c), temperature=self._temperature, noise=noise
            )
            reward = tf.ones_like(score) if now.reward is None else now.reward
            if now.done is not None:
                survival = survival * tf.sigmoid(weight - now.done)
            after = (  # the LSTM may lose the number of rows, which a loop must keep
                tf.ensure_shape(part, before.shape)
                for part, before in zip((now.z, *now.state), (z, h, c), strict=True)
            )
            return t + 1, *after, survival, score + survival * reward

        rows = [tf.repeat(part, count, axis=0) for part in (z[None], state.h, state.c)]
        ones = tf.ones([count], z.dtype)
        *_, score = tf.while_loop(
            lambda t, *_: t < self._horizon, one, (0, *rows, ones, tf.zeros_like(ones))
        )
        return score
