"""A batch distributed over replicas: which rows are local, and sums over all replicas.

A model computes the same on any number of replicas if it follows two rules. Its random draws come
from `seqvae.randomness`, which draws for the whole batch; and a term that is not a per-example mean
is computed from `all_rows`. Outside a replica, the functions here return their arguments.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple, cast

import keras
import tensorflow as tf


class Rows(NamedTuple):
    """The rows `first` to `first + count - 1` of a batch of `total` rows, int32 scalars.

    If a batch has fewer rows than there are replicas, some replicas have no row of their own (count
    0). They get a copy of another replica's row, which has no weight.
    """

    first: tf.Tensor
    """Index of the first local row in the batch."""
    count: tf.Tensor
    """Number of local rows."""
    total: tf.Tensor
    """Number of rows in the batch."""


_LOCAL: ContextVar[Rows | None] = ContextVar("local rows of the batch", default=None)


def local_rows() -> Rows | None:
    """The rows of this replica; None outside a replica."""
    return _LOCAL.get()


@contextmanager
def with_local_rows(rows: Rows) -> Iterator[None]:
    """Context manager: in the block, this replica has `rows`.

    Args:
        rows: the rows.
    """
    token = _LOCAL.set(rows)
    try:
        yield
    finally:
        _LOCAL.reset(token)


@contextmanager
def keras_rows(batch: dict) -> Iterator[dict]:
    """Context manager: set the rows of a replica in Keras' `fit` or `evaluate`.

    Rows of lower-numbered replicas come first.

    Args:
        batch: the rows that Keras passed to this replica, by name; there may be none.

    Yields:
        The batch, padded to at least one row (see `Rows`).
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
    """Append the given number of rows of ones, which are valid frames, masks and tokens."""
    return tf.concat(
        [value, tf.ones(tf.concat([[tf.maximum(rows, 0)], tf.shape(value)[1:]], 0), value.dtype)], 0
    )


def rows_of(replica: int | tf.Tensor, replicas: int, total: int | tf.Tensor) -> Rows:
    """Compute a replica's rows of a batch: nearly equal parts, in the order of the replicas.

    Args:
        replica: the replica, counted from 0.
        replicas: number of replicas.
        total: rows of the batch.

    Returns:
        The rows; integers if the arguments are integers.
    """
    start, end = total * replica // replicas, total * (replica + 1) // replicas
    first = tf.minimum(start, total - 1) if tf.is_tensor(start) else min(start, total - 1)
    # The type of the fields is declared as a tensor, although integers are returned for integers.
    return Rows(*cast(tuple[tf.Tensor, tf.Tensor, tf.Tensor], (first, end - start, total)))


def all_reduce_sum(values: list[tf.Tensor]) -> list[tf.Tensor]:
    """Sum each value over the replicas, in one message.

    Args:
        values: tensors of one type.

    Returns:
        The sums.
    """
    if local_rows() is None:
        return values
    flat = tf.concat([tf.reshape(value, [-1]) for value in values], 0)
    flat = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, flat)
    parts = tf.split(flat, [tf.size(value) for value in values], num=len(values))
    return [tf.reshape(part, tf.shape(value)) for part, value in zip(parts, values, strict=True)]


def apply_summed(
    optimizer: keras.optimizers.Optimizer, gradients: list[tf.Tensor], variables: list
) -> None:
    """Apply gradients that are already summed over the replicas.

    Keras would sum them itself after clipping each replica's gradients, which is a different
    computation.

    Args:
        optimizer: the optimiser.
        gradients: the summed gradients.
        variables: the variables.
    """
    if local_rows() is not None:
        inner = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
        inner._all_reduce_sum_gradients = list
    optimizer.apply(gradients, variables)


def share_of_batch(count: tf.Tensor) -> tf.Tensor:
    """Compute the local share of a batch: the weight of a mean over the local rows.

    Args:
        count: the frames, steps or sequences of the local rows.

    Returns:
        `count` divided by its sum over the replicas.
    """
    if local_rows() is None:
        return tf.ones_like(count)
    count = zero_if_copied(count)
    return count / all_reduce_sum([count])[0]


def zero_if_copied(value: tf.Tensor) -> tf.Tensor:
    """Set a sum over the local rows to 0 if the replica has only a copied row (see `Rows`).

    Args:
        value: a sum over the local rows.

    Returns:
        `value`, or 0.
    """
    rows = local_rows()
    return value if rows is None else tf.where(rows.count > 0, value, tf.zeros_like(value))


def divide_by_replicas(value: tf.Tensor) -> tf.Tensor:
    """Divide a value by the number of replicas, so that its sum over the replicas is the value.

    Args:
        value: the same on all replicas.

    Returns:
        `value / num_replicas`.
    """
    return (
        value
        if local_rows() is None
        else value / tf.distribute.get_replica_context().num_replicas_in_sync
    )


def all_rows(value: tf.Tensor) -> tf.Tensor:
    """Collect the rows of all replicas.

    Args:
        value: [local rows, ...].

    Returns:
        [rows of the batch, ...], in the batch's order.
    """
    rows = local_rows()
    if rows is None:
        return value
    first, count, total = rows
    around = [[first, total - first - count], *([0, 0] for _ in value.shape[1:])]
    return all_reduce_sum([tf.pad(value[:count], around)])[0]
