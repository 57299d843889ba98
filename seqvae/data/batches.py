"""Batches for training: the order depends on the seed and the epoch alone, so a resumed run sees
the same."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from seqvae.data.sequences import Sequences
from seqvae.replicas import rows_of


class Batches:
    """Sequences held once in memory, in the type they were stored in, and handed out in batches.

    Args:
        sequences: `Sequences`, or a mapping of names to arrays [N, T, ...].
        shuffle: a new order every epoch, drawn from (`seed`, epoch). The last batch may be smaller.
    """

    def __init__(
        self,
        sequences: Sequences | Mapping,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
    ):
        if batch_size < 1:
            raise ValueError(f"batch_size: expected an integer of at least 1, got {batch_size!r}.")
        if isinstance(sequences, Sequences):
            sequences = sequences.batch()
        self._count = len(next(iter(sequences.values())))
        self._size = batch_size
        self._seed = seed
        self._shuffle = shuffle
        with tf.device("CPU"):
            self._tensors = {name: tf.constant(value) for name, value in sequences.items()}

    def __len__(self) -> int:
        """Batches per epoch."""
        return -(-self._count // self._size)

    def rows(self, step: int) -> int:
        """Sequences in the batch of a step: the last of an epoch may be smaller."""
        return min(self._size, self._count - step * self._size)

    def epoch(self, epoch: int, skip: int = 0, part: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
        """The batches of an epoch, less its first `skip`: dicts of the mapping's names, or for
        `Sequences` of `frames` [b, T, H, W(, C)] in the stored type and, where they have them,
        `mask` [b, T] and `controls` [b, T, dim_u].

        part: (i, n) gives of each batch the rows of the i-th of n workers
            (`seqvae.replicas.rows_of`).
        """
        order = np.arange(self._count)
        if self._shuffle:
            order = np.random.default_rng([self._seed, epoch]).permutation(self._count)
        order = tf.constant(order)

        def batch(step: tf.Tensor) -> dict[str, tf.Tensor]:
            start = step * self._size
            first, count, _ = rows_of(*part, tf.minimum(self._size, self._count - start))
            return self._gather(order[start + first : start + first + tf.maximum(count, 1)])

        steps = tf.data.Dataset.range(skip, len(self), output_type=tf.int32)
        batches = steps.map(batch, num_parallel_calls=1, deterministic=True).prefetch(2)
        # Nothing is left to tune, and the tuner's thread holds up the end of every epoch by
        # seconds.
        options = tf.data.Options()
        options.autotune.enabled = False
        return batches.with_options(options)

    def _gather(self, indices: tf.Tensor) -> dict[str, tf.Tensor]:
        return {name: tf.gather(tensor, indices) for name, tensor in self._tensors.items()}


class StepBatches(Batches):
    """Batches in blocks of steps that stand in for epochs. Every pass over the series has each of
    them once, in an order of its own; a block may end in the middle of a pass. Batches are full,
    and no larger than the set.

    Args:
        steps: of a block.
    """

    def __init__(
        self, series: Mapping[str, np.ndarray], batch_size: int, steps: int, seed: int = 0
    ):
        count = len(next(iter(series.values())))
        super().__init__(series, min(batch_size, count), seed=seed)
        self._steps = steps

    def __len__(self) -> int:
        return self._steps

    def rows(self, step: int) -> int:
        return self._size

    def epoch(self, epoch: int, skip: int = 0, part: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
        first, count, _ = rows_of(*part, self._size)
        chosen = self._order(epoch)[skip:, first : first + max(count, 1)]
        batches = tf.data.Dataset.from_tensor_slices(chosen).map(
            self._gather, num_parallel_calls=1, deterministic=True
        )
        options = tf.data.Options()
        options.autotune.enabled = False
        return batches.prefetch(2).with_options(options)

    def _order(self, epoch: int) -> np.ndarray:
        """The rows of each step of a block [steps, size], from the seed and the block's number."""
        need = self._steps * self._size
        begin = epoch * need
        passes = range(begin // self._count, (begin + need - 1) // self._count + 1)
        rows = np.concatenate(
            [np.random.default_rng([self._seed, n]).permutation(self._count) for n in passes]
        )
        offset = begin - passes[0] * self._count
        return rows[offset : offset + need].reshape(self._steps, self._size)
