"""Batches by steps: the same number of steps whatever the number of series."""

import numpy as np
import tensorflow as tf

from seqvae.data.batches import Batches
from seqvae.replicas import rows_of


class StepBatches(Batches):
    """Batches in blocks of steps that stand in for epochs. Every pass over the series has each of
    them once, in an order of its own; a block may end in the middle of a pass. Batches are full,
    and no larger than the set.

    Args:
        steps: of a block.
    """

    def __init__(self, series: dict[str, np.ndarray], batch_size: int, steps: int, seed: int = 0):
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
