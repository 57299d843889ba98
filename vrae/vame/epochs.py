"""An epoch of VAME's training and of its test, with VAME's arguments in their order."""

import functools
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import cast

import keras
import numpy as np
import tensorflow as tf

from seqvae import replicas
from seqvae.checks import Array
from seqvae.randomness import fold
from seqvae.replicas import Placement
from vrae.vame.losses import (
    gaussian,
    kl_annealing,
)
from vrae.vame.objective import Settings, VAMETerms, loss, part, terms
from vrae.vame.optimizers import ReduceLROnPlateau
from vrae.vame.rnn_model import INPUT_NOISE, RNN_VAE


def train(
    train_loader: Iterable,
    epoch: int,
    model: RNN_VAE,
    optimizer: keras.optimizers.Optimizer,
    anneal_function: str,
    BETA: float,
    kl_start: int,
    annealtime: int,
    seq_len: int,
    future_decoder: bool,
    future_steps: int,
    scheduler: ReduceLROnPlateau | None,
    mse_red: str,
    mse_pred: str,
    kloss: int,
    klmbda: float,
    bsize: int,
    noise: bool,
    *,
    seed: int = 0,
    draws: Sequence[Array] | None = None,
    placement: Placement | None = None,
) -> tuple[float, float, float, float, float, float, int]:
    """Train for an epoch.

    Args:
        train_loader: windows [B, NUM_FEATURES, 2 seq_len], as VAME stores them; NaN is missing.
        epoch: the epoch, counted from 1.
        model: the model.
        optimizer: the optimiser.
        anneal_function: see `kl_annealing`.
        BETA: weight of the KL.
        kl_start: see `kl_annealing`.
        annealtime: see `kl_annealing`.
        seq_len: steps of a window.
        future_decoder: whether the steps after the window are predicted.
        future_steps: number of these steps.
        scheduler: called with the mean loss of the epoch (VAME: that of the last batch), or None.
        mse_red: reduction of the window's squared error, "sum" or "mean".
        mse_pred: reduction of the squared error after the window, "sum" or "mean".
        kloss: number of singular values in the cluster term.
        klmbda: weight of the cluster term.
        bsize: windows in a batch.
        noise: True adds `gaussian` noise to the input.
        seed: seed of z and of the noise.
        draws: [B, ZDIMS] standard normal numbers for each batch, which replace the draws.
        placement: the replicas that share each step. With several workers, each gets its rows of
            the batches of `bsize`.

    Returns:
        The weight of the KL; means over the batches of the loss, the weighted cluster term, the KL
        and the two squared errors (the second is 0 without a future decoder); the number of
        batches.

    Raises:
        ValueError: there is no batch.
    """
    weight = kl_annealing(epoch, kl_start, annealtime, anneal_function)
    optimizer.build(model.trainable_variables)
    placement = placement or _current_placement(tf.distribute.get_strategy())
    options = (
        placement,
        optimizer,
        future_decoder,
        mse_red,
        mse_pred,
        kloss,
        klmbda,
        bsize,
        seq_len,
        future_steps,
        noise,
    )
    step = compiled(model, _train_step, options)
    sums, count, scalar = np.zeros(5), 0, partial(tf.constant, dtype=model.variable_dtype)
    for count, windows in enumerate(train_loader, 1):
        batch = [_batch(windows, model)]
        if draws is not None:
            batch.append(tf.convert_to_tensor(draws[count - 1], model.variable_dtype))
        total = tf.constant(bsize if placement.workers > 1 else len(windows))
        seeds = tf.constant([seed, epoch * 1_000_003 + count], tf.int32)
        sums += step(batch, total, scalar(weight), scalar(BETA), seeds).numpy()
    if not count:
        raise ValueError(
            "train_loader: no batch in it. Fewer windows than a batch? Use a smaller batch_size."
        )
    total, cluster, kl, rec, future = sums / count
    if scheduler is not None:
        scheduler.step(total)
    return weight, total, weight * cluster, kl, rec, future, count


def test(
    test_loader: Iterable,
    model: RNN_VAE,
    BETA: float,
    kl_weight: float,
    seq_len: int,
    mse_red: str,
    kloss: int,
    klmbda: float,
    future_decoder: bool,
    bsize: int,
) -> tuple[float, float, float]:
    """Evaluate a model on batches of windows.

    Args:
        test_loader: windows [B, NUM_FEATURES, 2 seq_len].
        model: the model.
        BETA: weight of the KL.
        kl_weight: weight of the KL and the cluster term.
        seq_len: steps of a window.
        mse_red: reduction of the squared error, "sum" or "mean".
        kloss: number of singular values in the cluster term.
        klmbda: weight of the cluster term.
        future_decoder: unused.
        bsize: windows in a batch.

    Returns:
        The mean squared error, the mean loss without that of the future, and the weighted sum of
        the cluster term.

    Raises:
        ValueError: there is no batch.
    """
    del future_decoder
    step = compiled(model, _test_step, (mse_red, kloss, klmbda, bsize, seq_len))
    sums, count = np.zeros(3), 0
    for count, windows in enumerate(test_loader, 1):  # noqa: B007
        weight = tf.constant(kl_weight, model.variable_dtype)
        sums += step(
            _batch(windows, model), weight, tf.constant(BETA, model.variable_dtype)
        ).numpy()
    if not count:
        raise ValueError(
            "test_loader: no batch in it. Fewer windows than a batch? Use a smaller batch_size."
        )
    return sums[0] / count, sums[1] / count, kl_weight * sums[2]


@functools.cache
def _current_placement(strategy: tf.distribute.Strategy) -> Placement:
    """The placement of a strategy, always the same object: compiled steps are cached by it."""
    return Placement(strategy)


def compiled(model: RNN_VAE, make: Callable, options: tuple = ()):
    """Compile `make(model, *options)` once; the model caches the function for later calls.

    Args:
        model: the model.
        make: makes the function from the model and the options.
        options: hashable options.

    Returns:
        The compiled function.
    """
    steps = model.__dict__.setdefault("_compiled_steps", {})
    key = make, options
    if key not in steps:
        # partial: TensorFlow counts traces by function, and would warn after ten models that are
        # traced once each
        steps[key] = tf.function(
            partial(make(model, *options)), autograph=False, reduce_retracing=True
        )
    return steps[key]


def _test_step(model, mse_red, kloss, klmbda, bsize, seq_len):
    settings = Settings(mse_red, mse_red, kloss, klmbda)

    def step(windows, weight, beta):
        window = part(windows, 0, seq_len)
        found = terms(model(window.x), window, None, settings, batch_size=bsize, share=1.0)
        return tf.stack([found.reconstruction, loss(found, beta, weight), found.cluster])

    return step


def _train_step(
    model,
    placement,
    optimizer,
    future_decoder,
    mse_red,
    mse_pred,
    kloss,
    klmbda,
    bsize,
    seq_len,
    future_steps,
    noise,
):
    variables, settings = model.trainable_variables, Settings(mse_red, mse_pred, kloss, klmbda)

    def step(batch, total, weight, beta, seed):
        return placement.run(on_replica, batch, total, weight, beta, seed)

    def on_replica(batch, weight, beta, seed):
        windows, drawn = batch if len(batch) == 2 else (*batch, None)
        window = part(windows, 0, seq_len)
        following = part(windows, seq_len, seq_len + future_steps) if future_decoder else None
        x = window.x
        if noise is True:
            x = gaussian(x, True, seq_len, seed=fold(seed, INPUT_NOISE))
        share = replicas.share_of_batch(tf.cast(tf.shape(windows)[0], windows.dtype))
        with tf.GradientTape() as tape:
            outputs = model(x, training=True, noise=drawn, seed=seed)
            found = terms(outputs, window, following, settings, batch_size=bsize, share=share)
            total = share * loss(found, beta, weight)
        weights = [v.value for v in variables]
        gradients = tape.gradient(
            total, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        found = VAMETerms(*(share * term for term in found))
        summed = replicas.all_reduce_sum(
            [
                *cast(list[tf.Tensor], gradients),
                total,
                found.cluster,
                found.kl,
                found.reconstruction,
                found.future,
            ]
        )
        replicas.apply_summed(optimizer, summed[: len(gradients)], variables)
        return tf.stack(summed[len(gradients) :])

    return step


def _batch(windows, model) -> tf.Tensor:
    """[B, F, 2T] -> [B, 2T, F] in the type of the model's variables."""
    return tf.transpose(tf.cast(tf.convert_to_tensor(windows), model.variable_dtype), [0, 2, 1])
