"""VAME's losses, their annealing, and its noise, with VAME's arguments in their order."""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from seqvae.checks import Array
from seqvae.objectives import weighted_mean
from seqvae.randomness import normal

REDUCTIONS = ("sum", "mean")


def reconstruction_loss(
    x: tf.Tensor, x_tilde: tf.Tensor, reduction: str, mask: tf.Tensor | None = None
) -> tf.Tensor:
    """Compute the squared error, summed over batch, time and features, or averaged.

    Args:
        x: the true values.
        x_tilde: the outputs, of the same shape.
        reduction: "sum" or "mean".
        mask: 1 for observed values, 0 for missing ones; broadcastable to x. None: all observed.

    Returns:
        A scalar.

    Raises:
        ValueError: another reduction.
    """
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction: expected one of {', '.join(REDUCTIONS)}, got {reduction!r}.")
    error = tf.square(x - x_tilde)
    weight = (
        tf.ones_like(error)
        if mask is None
        else tf.broadcast_to(tf.cast(mask, error.dtype), tf.shape(error))
    )
    return tf.reduce_sum(weight * error) if reduction == "sum" else weighted_mean(error, weight)


def future_reconstruction_loss(
    x: tf.Tensor, x_tilde: tf.Tensor, reduction: str, mask: tf.Tensor | None = None
) -> tf.Tensor:
    """Compute `reconstruction_loss` of the steps after the window.

    Args:
        x: the true values.
        x_tilde: the outputs, of the same shape.
        reduction: "sum" or "mean".
        mask: as for `reconstruction_loss`.

    Returns:
        A scalar.
    """
    return reconstruction_loss(x, x_tilde, reduction, mask)


def cluster_loss(
    H: Array,
    kloss: int,
    lmbda: float,
    batch_size: int | tf.Tensor,
    weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """Compute VAME's k-means term.

    It is lmbda times the sum of the roots of the `kloss` largest singular values of H^T H /
    batch_size, which are the singular values of H divided by sqrt(batch_size). They are computed
    from the eigenvalues of H's smaller Gram matrix, so that the gradient is finite if a singular
    value is 0.

    Args:
        H: [ZDIMS, batch], the codes.
        kloss: number of singular values.
        lmbda: weight of the term.
        batch_size: number of windows of the batch.
        weights: [batch], weights of the codes; None: 1.

    Returns:
        A scalar.

    Raises:
        ValueError: kloss is less than 1.
    """
    if kloss < 1:
        raise ValueError(f"kloss: expected an integer of at least 1, got {kloss!r}.")
    H = tf.convert_to_tensor(H)
    if weights is not None:
        H *= tf.sqrt(tf.cast(weights, H.dtype))
    root = (
        tf.sqrt(tf.cast(batch_size, H.dtype)) if tf.is_tensor(batch_size) else math.sqrt(batch_size)
    )
    total = tf.reduce_sum(_singular_values(H)[: int(kloss)])
    return (
        tf.math.divide_no_nan(lmbda * total, root) if tf.is_tensor(root) else lmbda / root * total
    )


@tf.custom_gradient
def _singular_values(H) -> Any:
    """Singular values of H [m, n] in descending order. Their gradient is d s_i / d H = u_i v_i^T,
    with u_i = H v_i / s_i if s_i is not 0.
    """
    wide = tf.transpose(H) if H.shape[0] > (H.shape[1] or H.shape[0] + 1) else H
    # float64: in TF32, a GPU's default for float32, small eigenvalues are lost in rounding errors
    exact = tf.cast(wide, tf.float64)
    gram = tf.matmul(exact, exact, transpose_b=True)
    squares, vectors = tf.linalg.eigh(tf.cast(gram, H.dtype))
    squares, vectors = tf.reverse(squares, [0]), tf.reverse(vectors, [1])
    values = tf.sqrt(tf.maximum(squares, 0.0))
    rows = wide.shape[0]
    assert rows is not None
    # the rounding error of a zero eigenvalue is about the largest eigenvalue times the machine
    # epsilon
    noise = tf.cast(rows, H.dtype) * np.finfo(H.dtype.as_numpy_dtype).eps * squares[0]

    def gradient(upstream):
        inverse = tf.where(
            squares > noise,
            tf.math.rsqrt(tf.maximum(squares, noise + 1e-30)),
            tf.zeros_like(squares),
        )
        d_wide = tf.matmul(
            vectors * (upstream * inverse), tf.matmul(vectors, wide, transpose_a=True)
        )
        return tf.transpose(d_wide) if wide is not H else d_wide

    return tf.where(squares > noise, values, tf.zeros_like(values)), gradient


def kullback_leibler_loss(
    mu: tf.Tensor, logvar: tf.Tensor, weights: tf.Tensor | None = None
) -> tf.Tensor:
    """Compute KL(q(z|x) || N(0, 1)), averaged over batch and dimensions as in VAME.

    The formula is that of Kingma and Welling 2014, appendix B.

    Args:
        mu: [batch, ZDIMS].
        logvar: [batch, ZDIMS].
        weights: [batch], weights of the codes; None: 1.

    Returns:
        A scalar, in nats.
    """
    each = 1.0 + logvar - tf.square(mu) - tf.exp(logvar)
    if weights is not None:
        weights = tf.broadcast_to(tf.cast(weights, each.dtype)[:, None], tf.shape(each))
    return -0.5 * weighted_mean(each, weights)


def kl_annealing(epoch: int, kl_start: int, annealtime: int, function: str) -> float:
    """Compute the weight of the KL and the cluster term: 0 up to `kl_start`, then rising to 1.

    Args:
        epoch: the epoch, counted from 1.
        kl_start: the last epoch with weight 0.
        annealtime: epochs of the rise.
        function: "linear", or "sigmoid": 1 / (1 + exp(-0.9 (epoch - annealtime))).

    Returns:
        The weight.

    Raises:
        ValueError: another function, or annealtime is less than 1.
    """
    if function not in ("linear", "sigmoid"):
        raise ValueError(f"anneal_function: expected one of linear, sigmoid, got {function!r}.")
    if annealtime < 1:
        raise ValueError(f"annealtime: expected an integer of at least 1, got {annealtime!r}.")
    if epoch <= kl_start:
        return 0.0
    if function == "linear":
        return min(1.0, (epoch - kl_start) / annealtime)
    return 1.0 / (1.0 + math.exp(-0.9 * (epoch - annealtime)))


def gaussian(
    ins: tf.Tensor,
    is_training: bool,
    seq_len: int,
    std_n: float = 0.8,
    *,
    noise: tf.Tensor | None = None,
    seed: tuple[int, int] | tf.Tensor = (0, 0),
) -> tf.Tensor:
    """Add normal noise to each feature, proportional to its standard deviation over time.

    Args:
        ins: [B, T, F].
        is_training: False: no noise.
        seq_len: unused: T is that of `ins`.
        std_n: factor on the standard deviation.
        noise: [B, T, F], standard normal numbers that replace the draws.
        seed: [2] int32, seed of the draws.

    Returns:
        [B, T, F].
    """
    del seq_len
    if not is_training:
        return ins
    steps = tf.cast(tf.shape(ins)[1], ins.dtype)
    deviation = tf.math.reduce_std(ins, axis=1, keepdims=True) * tf.sqrt(steps / (steps - 1.0))
    if noise is None:
        noise = normal(tf.shape(ins), seed, ins.dtype)
    return ins + tf.cast(noise, ins.dtype) * std_n * deviation
