"""Sequences on disk and in memory, masks of what was observed, and batches of them for training."""

from seqvae.data.batches import Batches
from seqvae.data.masks import block_mask, random_mask
from seqvae.data.sequences import DataError, Sequences, load, save, shard_path

__all__ = ["Batches", "DataError", "Sequences", "block_mask", "load", "random_mask", "save", "shard_path"]
