"""Results of the methods of the variational recurrent auto-encoder."""

from typing import NamedTuple

import tensorflow as tf


class VRAETerms(NamedTuple):
    """The bound of a batch, scalars, in nats per sequence."""

    elbo: tf.Tensor
    """log_px - kl, unweighted."""
    log_px: tf.Tensor
    """log p(x | z) at a drawn z, summed over the observed steps."""
    kl: tf.Tensor
    """KL(q(z | x) || N(0, 1))."""
    kl_paid: tf.Tensor
    """The KL with `free_bits`, which the objective weights."""


class Imputed(NamedTuple):
    """The result of `VRAE.impute` and `VRAE.forecast`, in the units of the sequences."""

    mean: tf.Tensor
    """[B, T, features], observed numbers unchanged, others replaced by their posterior mean."""
    samples: tf.Tensor | None = None
    """[num_samples, B, T, features], observed numbers unchanged, others drawn; None without
    draws.
    """
    quantiles: tf.Tensor | None = None
    """[quantiles, B, T, features], quantiles of the samples; None without draws."""
