"""Averages over the batches of test data."""

from collections.abc import Iterable, Mapping

import tensorflow as tf


def weighted_means(
    parts: Iterable[tuple[Mapping[str, float | tf.Tensor], float | tf.Tensor]],
) -> dict[str, float]:
    """Average named figures over batches.

    Args:
        parts: for each batch its means by name, and its weight: the number of rows or frames that
            the means are over.

    Returns:
        The mean of each figure over all batches.
    """
    sums, total = {}, 0.0
    for figures, weight in parts:
        total += float(weight)
        for name, value in figures.items():
            sums[name] = sums.get(name, 0.0) + float(weight) * float(value)
    return {name: value / total for name, value in sums.items()}
