"""Evaluation on test episodes: the ConvVAE's reconstructions, and the MDN-RNN's predictions beside
two baselines.
"""

import math
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from seqvae.data import Shards
from seqvae.data.batches import Batches
from seqvae.data.streams import ShardBatches
from seqvae.randomness import fold
from seqvae.training.evaluate import weighted_means
from worldmodels.conv_vae import ConvVAE
from worldmodels.mdn_rnn import MDNRNN

_BATCH = 100
_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


def evaluate_vae(vae: ConvVAE, episodes: Shards, seed: int = 0) -> dict[str, float]:
    """Evaluate a ConvVAE on all frames.

    Args:
        vae: the model.
        episodes: episodes with `frames`.
        seed: seed of the random draws.

    Returns:
        Means over all frames of the terms of the loss, of the KL without its floor (`kl_nats`, nats
        per frame), and of the mean squared error of a pixel of `reconstruct` (`pixel_mse`).
    """
    return weighted_means(
        (_vae_figures(vae, batch, tf.constant([seed, i], tf.int32)), len(batch["frames"]))
        for i, batch in enumerate(
            ShardBatches(episodes, _BATCH, {"frames": "frames"}, shuffle=False, group=1).epoch(0)
        )
    )


def _vae_figures(vae: ConvVAE, batch: dict, seed: tf.Tensor) -> dict[str, tf.Tensor]:
    frames = batch["frames"]
    q, terms = vae.encode(frames), vae.test_terms(batch, seed)
    error = tf.square(vae.reconstruct(frames) - tf.cast(frames, vae.variable_dtype) / 255.0)
    standard = type(q)(tf.zeros_like(q.loc), tf.ones_like(q.loc))
    return terms._asdict() | {
        "kl_nats": tf.reduce_mean(q.kl_divergence(standard)),
        "pixel_mse": tf.reduce_mean(error),
    }


def mean_frame_error(episodes: Shards) -> float:
    """Compute the mean squared error of a pixel of the episodes' own mean frame.

    Args:
        episodes: episodes with `frames`.

    Returns:
        The variance of a pixel in [0, 1] over all frames, averaged over the pixels.
    """
    count, total, squares = 0, np.zeros(()), np.zeros(())
    for i in range(len(episodes)):
        frames = episodes.read(i, ("frames",))["frames"].astype(np.float64) / 255.0
        count, total = count + len(frames), total + frames.sum(axis=0)
        squares = squares + np.square(frames).sum(axis=0)
    return float((squares / count - np.square(total / count)).mean())


def evaluate_rnn(rnn: MDNRNN, batches: Batches | ShardBatches, seed: int = 0) -> dict[str, float]:
    """Evaluate an MDN-RNN on all predicted steps.

    Args:
        rnn: the model.
        batches: the batches of the test episodes.
        seed: seed of the random draws.

    Returns:
        Means over all predicted steps of the terms of the loss; `z` is the negative log-likelihood
        in nats per dimension.
    """
    seeds = tf.constant([seed, 1], tf.int32)
    return weighted_means(
        (rnn.test_terms(batch, fold(seeds, i))._asdict(), rnn.count(batch))
        for i, batch in enumerate(batches.epoch(0))
    )


def baselines(train: Shards, test: Shards, seed: int = 0) -> dict[str, float]:
    """Evaluate two baselines without a network on the next codes of test episodes.

    "gaussian": z_{t+1} ~ N(mean, variance of the training codes), independently per dimension.
    "last_frame": z_{t+1} ~ N(z_t + mean, variance of the training codes' differences).

    Args:
        train: encoded training episodes.
        test: encoded test episodes.
        seed: seed of the draws of z.

    Returns:
        The negative log-likelihood of each baseline by name, nats per dimension.
    """
    mean, variance = _moments(_drawn(train, seed))
    step_mean, step_variance = _moments(np.diff(codes, axis=0) for codes in _drawn(train, seed))
    score, count = np.zeros(2), 0
    for codes in _drawn(test, seed + 1):
        after, step = codes[1:], np.diff(codes, axis=0)
        score += (
            _gaussian_nll(after - mean, variance),
            _gaussian_nll(step - step_mean, step_variance),
        )
        count += after.size
    return dict(zip(("gaussian", "last_frame"), (score / count).tolist(), strict=True))


def _moments(parts: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance per dimension of rows [T, z_size], given in parts."""
    count, total, squares = 0, np.zeros(()), np.zeros(())
    for part in parts:
        count, total, squares = count + len(part), total + part.sum(0), squares + (part**2).sum(0)
    mean = total / count
    return mean, np.maximum(squares / count - mean**2, 1e-12)


def _drawn(episodes: Shards, seed: int) -> Iterable[np.ndarray]:
    """Each episode's codes [T, z_size] float64, drawn from q(z | x)."""
    for i in range(len(episodes)):
        arrays = episodes.read(i, ("mean", "logvar"))
        mean, logvar = (arrays[name].astype(np.float64) for name in ("mean", "logvar"))
        yield mean + np.exp(0.5 * logvar) * np.random.default_rng([seed, i]).standard_normal(
            mean.shape
        )


def _gaussian_nll(difference: np.ndarray, variance: np.ndarray) -> float:
    return float((0.5 * difference**2 / variance + 0.5 * np.log(variance) + _HALF_LOG_2PI).sum())
