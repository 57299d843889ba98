"""`WorldRollouts`: scores of controllers in a `gymnasium` environment."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from seqvae.physics.env_episodes import episode_seed
from seqvae.physics.pixel_world import PixelWorld
from seqvae.physics.workers import StepResult, Workers
from worldmodels import arguments
from worldmodels.agent import agent_step, check_parts
from worldmodels.controller import Controller
from worldmodels.conv_vae import ConvVAE
from worldmodels.mdn_rnn import MDNRNN
from worldmodels.results import State


class Job(NamedTuple):
    """A rollout of a member."""

    member: int
    """Index of the member."""
    rollout: int
    """Index of the rollout, which determines its seed."""


class WorldRollouts:
    """Rollouts of an `Agent` in an environment.

    Worker processes step the environments. ConvVAE, MDN-RNN and controllers compute the actions for
    the frames of all of them at once, in one compiled function. Rollout r of every controller has
    the same seed of the environment and the same draws of z. A worker process that dies is
    replaced, and its episodes begin again. Use it as a context, or call `close`.

    Args:
        world: the environment.
        vae: the ConvVAE.
        rnn: the MDN-RNN, or None.
        controller: the controller; the weights are arguments of each call.
        sample: whether z is drawn; otherwise it is the mean of q(z | x).
        max_steps: largest number of steps of a rollout; None: the environment's own limit.
        workers: number of processes.
        rows: number of episodes that are played at once.

    Raises:
        ValueError: the sizes of the parts, the frames and the actions do not fit.
        WorldError: in a call, the environment raised, or returned NaN or another shape; the message
            names it and its seed.
    """

    def __init__(
        self,
        world: PixelWorld,
        vae: ConvVAE,
        rnn: MDNRNN | None,
        controller: Controller,
        *,
        sample: bool = True,
        max_steps: int | None = None,
        workers: int = 1,
        rows: int = 64,
    ):
        arguments.check_sizes(1, workers=workers, rows=rows)
        if max_steps is not None:
            arguments.check_sizes(1, max_steps=max_steps)
        check_parts(vae, rnn, controller)
        env = world.make()
        self._low, self._high = env.low, env.high
        env.close()
        _check_world(world, env, vae, controller)
        self._vae, self._rnn, self._controller = vae, rnn, controller
        self._sample, self._max_steps, self._rows = sample, max_steps, rows
        self._workers = Workers(world, rows, workers)
        self._step = tf.function(
            partial(agent_step, vae, rnn, controller), autograph=False, reduce_retracing=True
        )

    def __enter__(self) -> "WorldRollouts":
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def close(self) -> None:
        """End the worker processes."""
        self._workers.close()

    def __call__(self, vectors: np.ndarray, count: int, seed: int) -> np.ndarray:
        """Scores of controllers, see `worldmodels.evolution.Rollouts`.

        Args:
            vectors: [P, size], the weights of P controllers.
            count: number of rollouts of each.
            seed: seed of the environments and of the draws.

        Returns:
            Scores [P, count].
        """
        scores = np.zeros((len(vectors), count))
        jobs = [Job(*divmod(i, count)) for i in range(len(vectors) * count)]
        for job, episode in self.episodes(vectors, jobs, seed, keep=lambda *row: row[2]):
            scores[job.member, job.rollout] = np.sum(episode)
        return scores

    def episodes(
        self,
        vectors: np.ndarray,
        jobs: Iterable[Job],
        seed: int,
        *,
        keep: Callable[..., Any] = lambda *row: row,
    ) -> Iterator[tuple[Job, list]]:
        """Play episodes.

        Args:
            vectors: [P, size], the members' weights.
            jobs: the members and their rollouts.
            seed: see `worldmodels.evolution.Rollouts`.
            keep: function that maps a row to what is kept of it; its arguments are the frame [H, W,
                C], the action, the reward of the step that led to the frame, and whether the
                episode ended at it. The action of the last row is not taken.

        Yields:
            Each job with its rows, when its episode has ended.
        """
        vectors = np.asarray(vectors, self._vae.variable_dtype)
        jobs = list(jobs)
        table = _Table(self._rows, self._vae, self._rnn, vectors, seed, self._sample)
        orders: dict[int, Any] = {}
        for row in range(min(self._rows, len(jobs))):
            orders[row] = table.begin(row, jobs.pop(0))
        while orders:
            answers = self._workers.call(orders)
            lost = [row for row, answer in answers.items() if answer is None]
            orders = {row: table.begin(row, table.jobs[row]) for row in lost if row in table.jobs}
            live = {row: answer for row, answer in answers.items() if answer is not None}
            actions = table.act(self._step, live) if live else {}
            for row, answer in live.items():
                rows = table.kept[row]
                rows.append(keep(answer.frame, actions[row], answer.reward, answer.ended))
                if not (answer.ended or answer.cut or len(rows) - 1 == self._max_steps):
                    orders[row] = np.clip(actions[row], self._low, self._high)
                    continue
                yield table.end(row)
                if jobs:
                    orders[row] = table.begin(row, jobs.pop(0))


class _Table:
    """The running episodes: a fixed number of rows, so that a row does not depend on the others."""

    def __init__(self, count, vae: ConvVAE, rnn, vectors: np.ndarray, seed: int, sample: bool):
        self.jobs: dict[int, Job] = {}
        self.kept: dict[int, list] = {}
        self._rngs: dict[int, np.random.Generator] = {}
        self._vectors, self._seed, self._sample = vectors, seed, sample
        dtype = vae.variable_dtype
        self._dtype, self._z_size = dtype, vae.z_size
        self._frames = np.zeros((count, *vae.image_shape), np.uint8)
        self._rows = np.zeros((count, vectors.shape[1]), dtype)
        self._first = np.ones(count, np.float32)
        size = (count, 0 if rnn is None else rnn.rnn_size)
        self._state = None if rnn is None else [np.zeros(size, dtype) for _ in range(2)]

    def begin(self, row: int, job: Job) -> int:
        """Start an episode in a row; return the seed of its environment."""
        self.jobs[row], self.kept[row] = job, []
        self._rngs[row] = np.random.default_rng([self._seed, job.rollout, 2])
        self._rows[row], self._first[row] = self._vectors[job.member], 1.0
        for part in self._state or ():
            part[row] = 0.0
        return episode_seed(self._seed, job.rollout)

    def end(self, row: int) -> tuple[Job, list]:
        """Remove the finished episode of a row; return its job and what was kept of it."""
        return self.jobs.pop(row), self.kept.pop(row)

    def act(self, step: Callable, answers: dict[int, StepResult]) -> dict[int, np.ndarray]:
        """Compute the actions for the frames of some rows, by row."""
        noise = np.zeros((len(self._frames), self._z_size))
        for row, answer in answers.items():
            self._frames[row] = answer.frame
            if self._sample:
                noise[row] = self._rngs[row].standard_normal(self._z_size)
        state = None if self._state is None else State(*map(tf.constant, self._state))
        _, actions, after = step(
            tf.constant(self._frames),
            tf.constant(noise, self._dtype),
            state,
            tf.constant(self._first),
            tf.constant(self._rows),
        )
        actions, rows = actions.numpy(), list(answers)
        if not np.isfinite(actions[rows]).all():
            row = next(row for row in rows if not np.isfinite(actions[row]).all())
            seed = episode_seed(self._seed, self.jobs[row].rollout)
            raise FloatingPointError(
                f"WorldRollouts: the action of member {self.jobs[row].member} is not finite in the "
                f"episode of seed {seed}. The weights hold NaN or infinity."
            )
        self._first[rows] = 0.0
        for part, new in zip(self._state or (), after or (), strict=True):
            part[rows] = new.numpy()[rows]
        return {row: actions[row] for row in rows}


def _check_world(world: PixelWorld, env: Any, vae: ConvVAE, controller: Controller) -> None:
    if env.image_shape != tuple(vae.image_shape):
        raise ValueError(
            f"world: expected frames {tuple(vae.image_shape)}, those of the ConvVAE, {world.env} "
            f"gives {env.image_shape}. Set size= (--size) to the ConvVAE's."
        )
    if env.action_size != controller.action_size:
        raise ValueError(
            f"controller: expected action_size={env.action_size}, that of {world.env}, got "
            f"{controller.action_size}."
        )
    if world.carracing != (controller.squash == "carracing"):
        wanted = "carracing" if world.carracing else "tanh"
        raise ValueError(
            f"controller: expected squash={wanted!r} for {world.env}, got {controller.squash!r}: "
            "its actions would be out of bounds."
        )
