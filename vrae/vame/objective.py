"""VAME's objective of a batch of windows, the same for `RNN_VAE.fit` and for VAME's `train` and
`test`."""

from typing import TYPE_CHECKING, NamedTuple, cast

import tensorflow as tf

from seqvae import replicas
from vrae.vame.losses import cluster_loss, kullback_leibler_loss, reconstruction_loss

if TYPE_CHECKING:
    from vrae.vame.rnn_model import Reconstruction, ReconstructionAndFuture


class VAMETerms(NamedTuple):
    """The terms of a batch of windows, scalars, without `beta` and `kl_weight`.

    reconstruction, future: squared errors of the window and of what follows it, sums or means over
    the batch (future: 0 without a future decoder). kl: KL(q(z | x) || N(0, 1)), mean over batch and
    dimensions. cluster: `cluster_loss`, with its lambda.
    """

    reconstruction: tf.Tensor
    future: tf.Tensor
    kl: tf.Tensor
    cluster: tf.Tensor


class Settings(NamedTuple):
    """What the terms depend on, under VAME's names: the reductions of the two squared errors, "sum"
    or "mean"; how many singular values the cluster term counts, and its lambda."""

    mse_red: str
    mse_pred: str
    kloss: int
    klmbda: float


class Part(NamedTuple):
    """Steps of windows: x [B, steps, NUM_FEATURES], 0 where a value is missing; seen, of the same
    shape, 1 where none is."""

    x: tf.Tensor
    seen: tf.Tensor


def part(windows: tf.Tensor, first: int, last: int, mask: tf.Tensor | None = None) -> Part:
    """Steps first to last - 1 of windows [B, T, F]. NaN is missing, and so are the steps where a
    mask [B, T] is 0."""
    x = windows[:, first:last]
    missing = tf.math.is_nan(x)
    if mask is not None:
        missing |= mask[:, first:last, None] < 0.5
    return Part(tf.where(missing, tf.zeros_like(x), x), tf.cast(tf.logical_not(missing), x.dtype))


def terms(
    outputs: "Reconstruction | ReconstructionAndFuture",
    window: Part,
    following: Part | None,
    settings: Settings,
    *,
    batch_size: int | tf.Tensor,
    share: float | tf.Tensor,
    weights: tf.Tensor | None = None,
) -> VAMETerms:
    """The terms of the whole batch, of which rows may be on other replicas: each times `share`,
    summed over the replicas, is its value.

    Args:
        outputs: of `RNN_VAE` for the rows here. window: what they reconstruct. following: what they
            predict, if anything.
        batch_size: the cluster term is divided by its root. share: of this replica in the batch
            (`replicas.share_of_batch`).
        weights: [B], of each window; None: 1.
    """
    rec = _squared_error(window, outputs.prediction, settings.mse_red, share, weights)
    future = tf.zeros_like(rec)
    if following is not None:
        predicted = cast("ReconstructionAndFuture", outputs).future
        future = _squared_error(following, predicted, settings.mse_pred, share, weights)
    z, mu, logvar = tf.split(replicas.all_rows(tf.concat(outputs[-3:], -1)), 3, axis=-1)
    weights = None if weights is None else replicas.all_rows(weights)
    cluster = cluster_loss(tf.transpose(z), settings.kloss, settings.klmbda, batch_size, weights)
    return VAMETerms(rec, future, kullback_leibler_loss(mu, logvar, weights), cluster)


def loss(found: VAMETerms, beta: float | tf.Tensor, kl_weight: float | tf.Tensor) -> tf.Tensor:
    """reconstruction + future + kl_weight * (beta * kl + cluster)."""
    return (
        found.reconstruction
        + found.future
        + beta * kl_weight * found.kl
        + kl_weight * found.cluster
    )


def _squared_error(target: Part, made: tf.Tensor, reduction: str, share, weights) -> tf.Tensor:
    seen = target.seen if weights is None else target.seen * weights[:, None, None]
    error = reconstruction_loss(target.x, made, reduction, seen)
    if replicas.local_rows() is None:
        return error
    here = (
        replicas.local_sum(error)
        if reduction == "sum"
        else error * replicas.share_of_batch(tf.reduce_sum(seen))
    )
    return tf.math.divide_no_nan(here, tf.cast(share, here.dtype))
