"""Sequences on disk and in memory, and masks of what was observed. Batches for training: `seqvae.data.batches`.

Nothing here imports TensorFlow, so that the simulators start at once.
"""

from seqvae.data.masks import block_mask, random_mask
from seqvae.data.sequences import DataError, Sequences, load, save, shard_path

__all__ = ["DataError", "Sequences", "block_mask", "load", "random_mask", "save", "shard_path"]
