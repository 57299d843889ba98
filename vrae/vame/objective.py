"""VAME's objective for a batch of windows, used by `RNN_VAE.fit` and by VAME's `train` and
`test`.
"""

from typing import TYPE_CHECKING, NamedTuple, cast

import tensorflow as tf

from seqvae import replicas
from vrae.vame.losses import cluster_loss, kullback_leibler_loss, reconstruction_loss

if TYPE_CHECKING:
    from vrae.vame.rnn_model import Reconstruction, ReconstructionAndFuture


class VAMETerms(NamedTuple):
    """The terms of a batch of windows, scalars, without `beta` and `kl_weight`."""

    reconstruction: tf.Tensor
    """Squared error of the window, sum or mean over the batch."""
    future: tf.Tensor
    """Squared error of the steps after the window; 0 without a future decoder."""
    kl: tf.Tensor
    """KL(q(z | x) || N(0, 1)), mean over batch and dimensions."""
    cluster: tf.Tensor
    """`cluster_loss`, including its lambda."""


class Settings(NamedTuple):
    """Settings of the terms, under VAME's names."""

    mse_red: str
    """Reduction of the window's squared error, "sum" or "mean"."""
    mse_pred: str
    """Reduction of the squared error after the window, "sum" or "mean"."""
    kloss: int
    """Number of singular values in the cluster term."""
    klmbda: float
    """Lambda of the cluster term."""


class Part(NamedTuple):
    """Some steps of windows."""

    x: tf.Tensor
    """[B, steps, NUM_FEATURES], 0 where a value is missing."""
    seen: tf.Tensor
    """Of the same shape, 1 for observed values."""


def part(windows: tf.Tensor, first: int, last: int, mask: tf.Tensor | None = None) -> Part:
    """Select steps of windows.

    Args:
        windows: [B, T, F]; NaN is missing.
        first: the first step.
        last: the step after the last one.
        mask: [B, T], 0 for missing steps; None: all observed.

    Returns:
        The selected steps.
    """
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
    """Compute the terms of the whole batch, whose rows may be on several replicas.

    The sum over the replicas of each term times `share` is the term of the batch.

    Args:
        outputs: the outputs of `RNN_VAE` for the local rows.
        window: the true values of the window.
        following: the true values after the window, or None.
        settings: the settings of the terms.
        batch_size: number of windows of the batch; its root divides the cluster term.
        share: this replica's share of the batch (`replicas.share_of_batch`).
        weights: [B], weights of the windows; None: 1.

    Returns:
        The terms.
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
    """Compute the loss::

        reconstruction + future + kl_weight * (beta * kl + cluster)

    Args:
        found: the terms.
        beta: weight of the KL.
        kl_weight: weight of the KL and the cluster term.

    Returns:
        A scalar.
    """
    return (
        found.reconstruction
        + found.future
        + beta * kl_weight * found.kl
        + kl_weight * found.cluster
    )


def _squared_error(target: Part, output: tf.Tensor, reduction: str, share, weights) -> tf.Tensor:
    """The local rows' part of the batch's error divided by `share`; the caller multiplies by it."""
    seen = target.seen if weights is None else target.seen * weights[:, None, None]
    error = reconstruction_loss(target.x, output, reduction, seen)
    if replicas.local_rows() is None:
        return error
    local = (
        replicas.zero_if_copied(error)
        if reduction == "sum"
        else error * replicas.share_of_batch(tf.reduce_sum(seen))
    )
    return tf.math.divide_no_nan(local, tf.cast(share, local.dtype))
