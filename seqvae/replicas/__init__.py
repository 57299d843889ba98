"""Devices of a training, and which rows of a batch each replica has."""

from seqvae.replicas.rows import (
    Rows,
    all_reduce_sum,
    all_rows,
    apply_summed,
    divide_by_replicas,
    keras_rows,
    local_rows,
    rows_of,
    share_of_batch,
    with_local_rows,
    zero_if_copied,
)
from seqvae.replicas.strategy import Placement, WorkerLost, placement

__all__ = [
    "Placement",
    "Rows",
    "WorkerLost",
    "all_reduce_sum",
    "all_rows",
    "apply_summed",
    "divide_by_replicas",
    "keras_rows",
    "local_rows",
    "placement",
    "rows_of",
    "share_of_batch",
    "with_local_rows",
    "zero_if_copied",
]
