"""Devices of a training, and which rows of a batch each replica has."""

from seqvae.replicas.rows import (
    Rows,
    all_reduce_sum,
    all_rows,
    apply_summed,
    divided,
    keras_rows,
    local_rows,
    local_sum,
    rows_of,
    share_of_batch,
    with_local_rows,
)
from seqvae.replicas.strategy import Placement, WorkerLost, placement

__all__ = [
    "Placement",
    "Rows",
    "WorkerLost",
    "all_reduce_sum",
    "all_rows",
    "apply_summed",
    "divided",
    "keras_rows",
    "local_rows",
    "local_sum",
    "placement",
    "rows_of",
    "share_of_batch",
    "with_local_rows",
]
