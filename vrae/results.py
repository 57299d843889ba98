"""What the variational recurrent auto-encoder returns."""

from typing import NamedTuple

import tensorflow as tf


class VRAETerms(NamedTuple):
    """The bound of a batch, scalars, in nats a sequence.

    elbo: log_px - kl, unweighted. log_px: log p(x | z) at a drawn z, summed over the steps that are
    there. kl: KL(q(z | x) || N(0, 1)). kl_paid: the same with `free_bits`: what the objective
    weighs.
    """

    elbo: tf.Tensor
    log_px: tf.Tensor
    kl: tf.Tensor
    kl_paid: tf.Tensor


class Imputed(NamedTuple):
    """What `VRAE.impute` and `VRAE.forecast` return, in the units of the sequences.

    mean: [B, T, features], observed numbers as they are, the others their posterior mean. samples:
    [num_samples, B, T, features], observed numbers as they are, the others drawn; None without.
    quantiles: [quantiles, B, T, features] of the samples; None without.
    """

    mean: tf.Tensor
    samples: tf.Tensor | None = None
    quantiles: tf.Tensor | None = None
