"""Sequences on disk and in memory, and masks of observed frames. `seqvae.data.batches` makes
batches.

This package does not import TensorFlow, so that the simulators start quickly.
"""

from seqvae.data.masks import block_mask, random_mask
from seqvae.data.sequences import Sequences, load, sequences_of, unit_pixels
from seqvae.data.shards import Shards, open_shards, part_of, shard_files, shard_path, write_shard
from seqvae.files import DataError, save

__all__ = [
    "DataError",
    "Sequences",
    "Shards",
    "block_mask",
    "load",
    "open_shards",
    "part_of",
    "random_mask",
    "save",
    "sequences_of",
    "shard_files",
    "shard_path",
    "unit_pixels",
    "write_shard",
]
