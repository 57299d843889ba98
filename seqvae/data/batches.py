"""Batches for training. Their order depends only on the seed and the epoch, so a resumed run gets
the same batches.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from seqvae.data.sequences import Sequences
from seqvae.replicas import rows_of


class Batches:
    """Batches of sequences that are kept in memory once, in the type they were stored in.

    Args:
        sequences: `Sequences`, or a mapping of names to arrays [N, T, ...].
        batch_size: sequences in a batch; the last batch of an epoch may be smaller.
        seed: seed of the order.
        shuffle: whether every epoch has a new order, drawn from (`seed`, epoch).

    Raises:
        ValueError: batch_size is less than 1.
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
        """The number of sequences in a batch; the last of an epoch may be smaller.

        Args:
            step: the batch, counted from 0.

        Returns:
            The number of sequences.
        """
        return min(self._size, self._count - step * self._size)

    def epoch(self, epoch: int, skip: int = 0, part: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
        """Make the batches of an epoch.

        Args:
            epoch: the epoch, counted from 0.
            skip: number of batches at the start of the epoch to leave out.
            part: (i, n): only the rows of worker i of n in each batch (`seqvae.replicas.rows_of`).

        Returns:
            A data set of dicts with the mapping's names, or for `Sequences` with `frames`
            [b, T, H, W(, C)] in the stored type and, if present, `mask` [b, T] and `controls`
            [b, T, dim_u].
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
        # Autotuning has nothing to choose here, and its thread delays the end of every epoch by
        # seconds.
        options = tf.data.Options()
        options.autotune.enabled = False
        return batches.with_options(options)

    def _gather(self, indices: tf.Tensor) -> dict[str, tf.Tensor]:
        return {name: tf.gather(tensor, indices) for name, tensor in self._tensors.items()}


class StepBatches(Batches):
    """Batches in blocks with a fixed number of steps, which take the place of epochs.

    Each pass uses every series once, in a new order; a block may end in the middle of a pass. All
    batches have the same size: `batch_size`, or the number of series if that is smaller.

    Args:
        series: arrays [N, ...] by name.
        batch_size: series in a batch.
        steps: steps of a block.
        seed: seed of the order.
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
        """The number of series in a batch.

        Args:
            step: the batch, counted from 0.

        Returns:
            The number of series.
        """
        return self._size

    def epoch(self, epoch: int, skip: int = 0, part: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
        """Make the batches of a block.

        Args:
            epoch: the block, counted from 0.
            skip: number of batches at the start of the block to leave out.
            part: (i, n): only the rows of worker i of n in each batch (`seqvae.replicas.rows_of`).

        Returns:
            The batches, dicts of tensors.
        """
        first, count, _ = rows_of(*part, self._size)
        chosen = self._order(epoch)[skip:, first : first + max(count, 1)]
        batches = tf.data.Dataset.from_tensor_slices(chosen).map(
            self._gather, num_parallel_calls=1, deterministic=True
        )
        options = tf.data.Options()
        options.autotune.enabled = False  # as in `Batches`
        return batches.prefetch(2).with_options(options)

    def _order(self, epoch: int) -> np.ndarray:
        """The rows of each step of a block, [steps, size]."""
        block = self._steps * self._size  # series of a block
        begin = epoch * block
        passes = range(begin // self._count, (begin + block - 1) // self._count + 1)
        rows = np.concatenate(
            [np.random.default_rng([self._seed, n]).permutation(self._count) for n in passes]
        )
        offset = begin - passes[0] * self._count
        return rows[offset : offset + block].reshape(self._steps, self._size)
