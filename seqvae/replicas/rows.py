"""A batch spread over replicas: which of its rows are here, and what only the rows of all replicas
together give.

A model that keeps to two rules computes the same on any number of replicas: its noise comes from
`seqvae.randomness`, which draws for the whole batch, and a term that is no mean over rows is
computed from `all_rows`. Outside of a replica the functions here return what they are given.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple, cast

import keras
import tensorflow as tf


class Rows(NamedTuple):
    """Rows `first` to `first + count - 1` of a batch of `total` are here, int32 scalars. A replica
    without a row of its own (count 0, in a batch smaller than the number of replicas) is given a
    copy of another's, which counts nothing."""

    first: tf.Tensor
    count: tf.Tensor
    total: tf.Tensor


_HERE: ContextVar[Rows | None] = ContextVar("rows of the batch that are here", default=None)


def local_rows() -> Rows | None:
    """The rows that this replica has; None outside of one."""
    return _HERE.get()


@contextmanager
def with_local_rows(rows: Rows) -> Iterator[None]:
    """Within the block this replica has `rows`."""
    token = _HERE.set(rows)
    try:
        yield
    finally:
        _HERE.reset(token)


@contextmanager
def keras_rows(batch: dict) -> Iterator[dict]:
    """A block within which a replica of Keras' `fit` or `evaluate` has its rows: those it was
    handed, `batch`, after those of the replicas before it. The block's batch has at least one row,
    as `Rows` has it.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        yield batch
        return
    number = context.replica_id_in_sync_group
    rows = tf.shape(next(iter(batch.values())))[0]
    counts = tf.one_hot(number, context.num_replicas_in_sync) * tf.cast(rows, tf.float32)
    counts = tf.cast(context.all_reduce(tf.distribute.ReduceOp.SUM, counts), tf.int32)
    total = tf.reduce_sum(counts)
    first = tf.minimum(tf.reduce_sum(counts[:number]), total - 1)
    with with_local_rows(Rows(first, rows, total)):
        yield {name: _padded(value, 1 - rows) for name, value in batch.items()}


def _padded(value: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """value with so many rows of ones, valid frames, masks and tokens, after its own."""
    return tf.concat(
        [value, tf.ones(tf.concat([[tf.maximum(rows, 0)], tf.shape(value)[1:]], 0), value.dtype)], 0
    )


def rows_of(replica: int | tf.Tensor, replicas: int, total: int | tf.Tensor) -> Rows:
    """A replica's rows of a batch of `total`: as nearly equal parts as can be, in the order of the
    replicas."""
    start, end = total * replica // replicas, total * (replica + 1) // replicas
    first = tf.minimum(start, total - 1) if tf.is_tensor(start) else min(start, total - 1)
    return Rows(
        *cast(tuple[tf.Tensor, tf.Tensor, tf.Tensor], (first, end - start, total))
    )  # integers of integers


def all_reduce_sum(values: list[tf.Tensor]) -> list[tf.Tensor]:
    """Each of the values, all of one type, summed over the replicas, in one message."""
    if local_rows() is None:
        return values
    flat = tf.concat([tf.reshape(value, [-1]) for value in values], 0)
    flat = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, flat)
    parts = tf.split(flat, [tf.size(value) for value in values], num=len(values))
    return [tf.reshape(part, tf.shape(value)) for part, value in zip(parts, values, strict=True)]


def apply_summed(
    optimizer: keras.optimizers.Optimizer, gradients: list[tf.Tensor], variables: list
) -> None:
    """`optimizer.apply` of gradients that are summed over the replicas already. Keras would sum
    them itself, after it clips each replica's: another quantity."""
    if local_rows() is not None:
        inner = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
        inner._all_reduce_sum_gradients = list
    optimizer.apply(gradients, variables)


def share_of_batch(count: tf.Tensor) -> tf.Tensor:
    """What part of the batch's `count` (frames, steps, sequences) is here: the weight of a mean
    over what is here."""
    if local_rows() is None:
        return tf.ones_like(count)
    count = local_sum(count)
    return count / all_reduce_sum([count])[0]


def local_sum(value: tf.Tensor) -> tf.Tensor:
    """`value`, a sum over the rows here; 0 where they are only a copy."""
    rows = local_rows()
    return value if rows is None else tf.where(rows.count > 0, value, tf.zeros_like(value))


def divided(value: tf.Tensor) -> tf.Tensor:
    """The part of each replica in a sum that is to hold `value`, the same on all of them, once."""
    return (
        value
        if local_rows() is None
        else value / tf.distribute.get_replica_context().num_replicas_in_sync
    )


def all_rows(value: tf.Tensor) -> tf.Tensor:
    """value [rows here, ...] of every replica as one [rows of the batch, ...], in the batch's
    order."""
    rows = local_rows()
    if rows is None:
        return value
    first, count, total = rows
    around = [[first, total - first - count], *([0, 0] for _ in value.shape[1:])]
    return all_reduce_sum([tf.pad(value[:count], around)])[0]
