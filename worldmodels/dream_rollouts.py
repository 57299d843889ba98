"""`DreamRollouts`: scores of controllers in the MDN-RNN's dream, for a whole population at once."""

import numpy as np
import tensorflow as tf

from seqvae.randomness import fold
from worldmodels import arguments, mixture
from worldmodels.controller import Controller
from worldmodels.mdn_rnn import MDNRNN
from worldmodels.results import State
from worldmodels.starts import Source, starts_of

_SEGMENT = 32  # steps in one call; between two calls, rows that have ended are dropped


class DreamRollouts:
    """Rollouts in the dream of `DreamEnv`.

    All members and rollouts are one batch in one compiled function. The reward is that of the
    reward head, or 1 for each step without this head. A rollout ends if the logit of the done head
    is above 0, or after `max_steps`. (Ha and Schmidhuber 2018, arXiv:1803.10122, section "Learning
    Inside of a Dream".)

    Args:
        rnn: the MDN-RNN. If its action_size is one above the controller's, its last action is the
            restart flag, see `Agent`.
        starts: source of the first codes, see `DreamEnv`.
        controller: gives sizes, inputs and squash; the weights are arguments of each call.
        temperature: temperature of the draws, see `MDNRNN.sample`.
        max_steps: largest number of steps of a rollout.
        rows: largest number of rollouts that are computed at once; it limits the memory. The
            rollouts of one member are never split.
    """

    def __init__(
        self,
        rnn: MDNRNN,
        starts: Source,
        controller: Controller,
        *,
        temperature: float = 1.0,
        max_steps: int = 1000,
        rows: int = 2048,
    ):
        arguments.check_temperature(temperature)
        arguments.check_sizes(1, max_steps=max_steps, rows=rows)
        self._restarts = controller.check_fits(rnn)
        self._rnn, self._controller = rnn, controller
        self._starts = starts_of(starts, rnn.z_size)
        self._temperature, self._max_steps, self._rows = float(temperature), max_steps, rows
        signature = self._signature()
        self._scan = tf.function(self._segment, input_signature=signature, autograph=False)

    def __call__(self, vectors: np.ndarray, count: int, seed: int) -> np.ndarray:
        """Scores of controllers, see `worldmodels.evolution.Rollouts`.

        Args:
            vectors: [P, size], the weights of P controllers.
            count: number of rollouts of each.
            seed: seed of the first codes and of the draws.

        Returns:
            Scores [P, count].

        Raises:
            FloatingPointError: a code of the dream is not finite.
        """
        return self._batches(vectors, count, seed)[0]

    def lengths(self, vectors: np.ndarray, count: int, seed: int) -> np.ndarray:
        """Lengths of rollouts.

        Args:
            vectors: [P, size], the weights of P controllers.
            count: number of rollouts of each.
            seed: seed of the first codes and of the draws.

        Returns:
            Numbers of steps [P, count].
        """
        return self._batches(vectors, count, seed)[1]

    def _batches(self, vectors: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores and lengths [P, count], computed for at most `rows` rollouts at once."""
        vectors = np.asarray(vectors)
        members = max(1, self._rows // count)
        parts = [
            self._batch(vectors[i : i + members], count, seed)
            for i in range(0, len(vectors), members)
        ]
        scores, lengths = map(np.concatenate, zip(*parts, strict=True))
        return scores, lengths

    def _batch(self, vectors: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores and lengths [P, count], in one batch."""
        total, dtype = len(vectors) * count, self._rnn.variable_dtype
        rng = np.random.default_rng([seed, 0])
        first = np.stack([self._starts.draw(rng) for _ in range(count)]).astype(dtype)
        zeros = np.zeros((total, self._rnn.rnn_size), dtype)
        carried = [np.tile(first, (len(vectors), 1)), zeros, zeros]
        vectors = vectors.astype(dtype)
        scores, lengths, rows = np.zeros(total), np.zeros(total, np.int64), np.arange(total)
        for step in range(0, self._max_steps, _SEGMENT):
            member, rollout = np.divmod(rows, count)
            last = min(step + _SEGMENT, self._max_steps)
            found = self._scan(
                *map(tf.constant, (vectors[member], *carried, rollout.astype(np.int32))),
                tf.constant([step, last, count]),
                tf.constant([seed, 1]),
            )
            *carried, going, rewards, steps = (part.numpy() for part in found)
            scores[rows] += rewards
            lengths[rows] += steps
            fine = np.isfinite(carried[0]).all(-1) & np.isfinite(rewards)
            if not fine.all():
                row = rows[int(np.argmin(fine))]
                raise FloatingPointError(
                    f"DreamRollouts: z or the reward is not finite before step {last} for member "
                    f"{row // count} in rollout {row % count}. The weights hold NaN, or the model "
                    "diverges: train it further, or lower temperature."
                )
            rows, carried = rows[going], [part[going] for part in carried]
            if not len(rows):
                break
        shape = len(vectors), count
        return scores.reshape(shape), lengths.reshape(shape)

    def _signature(self) -> list[tf.TensorSpec]:
        rnn, dtype = self._rnn, self._rnn.variable_dtype
        widths = self._controller.size, rnn.z_size, rnn.rnn_size, rnn.rnn_size
        rows = [tf.TensorSpec([None, width], dtype) for width in widths]
        return [*rows, *(tf.TensorSpec([size], tf.int32) for size in (None, 3, 2))]

    def _segment(self, vectors, z, h, c, rollout, times, seed) -> tuple:
        """Simulate steps times[0] to times[1] - 1 of rows [B].

        Rows that end are simulated further, but get no more rewards. times[2] is the number of
        rollouts of a member; rows of the same rollout have the same draws.
        """
        step, last, count = tf.unstack(times)
        rewards = tf.zeros_like(z[:, 0])
        steps = tf.zeros_like(rollout)
        alive = tf.ones_like(rollout, tf.bool)

        def one(t, z, h, c, alive, rewards, steps):
            u, normal = (tf.gather(part, rollout) for part in self._noise(seed, t, count))
            actions = self._controller(z, h, c, vectors=vectors)
            if self._restarts:
                flag = tf.fill([tf.shape(z)[0], 1], tf.cast(t == 0, z.dtype))
                actions = tf.concat([actions, flag], -1)
            now = self._rnn.imagine(
                z, actions, State(h, c), temperature=self._temperature, noise=(u, normal)
            )
            reward = tf.ones_like(rewards) if now.reward is None else now.reward
            rewards += tf.where(alive, reward, tf.zeros_like(reward))
            steps += tf.cast(alive, steps.dtype)
            alive = alive if now.done is None else alive & (now.done <= 0)
            return t + 1, now.z, *now.state, alive, rewards, steps

        _, *found = tf.while_loop(
            lambda t, z, h, c, alive, *_: (t < last) & tf.reduce_any(alive),
            one,
            (step, z, h, c, alive, rewards, steps),
        )
        return tuple(found)

    def _noise(self, seed, step, count) -> tuple[tf.Tensor, tf.Tensor]:
        """Uniform and standard normal numbers [count, z_size] of a step."""
        shape = [count, self._rnn.z_size]
        return mixture.noise(shape, fold(seed, step), self._rnn.variable_dtype)
