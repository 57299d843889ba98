"""Held-out figures: the bound of test series, and how much the latent variables are used."""

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from seqvae.data.batches import Batches
from seqvae.training.evaluate import weighted_means
from vrae.data import Series
from vrae.model import VRAE

_ACTIVE = 0.01


def evaluate(
    model: VRAE, series: Series, *, seed: int = 0, batch_size: int = 256
) -> dict[str, float]:
    """The bound of test series, means over the sequences, with one draw of z each."""
    batches = Batches(series.batch(), batch_size, shuffle=False).epoch(0)
    return weighted_means(
        (
            model.test_terms(batch, tf.constant([seed, i], tf.int32))._asdict(),
            float(model.count(batch)),
        )
        for i, batch in enumerate(batches)
    )


def latent_usage(
    model: VRAE,
    sequences: np.ndarray,
    mask: np.ndarray | None = None,
    condition: np.ndarray | None = None,
    *,
    seed: int = 0,
    batch_size: int = 256,
) -> dict[str, float]:
    """How much information the latent variables hold about sequences [N, T, ...].

    kl: mean KL(q(z | x) || N(0, 1)), nats. active_units: dimensions whose mean varies over the
    sequences by more than 0.01 (Burda et al. 2016). mutual_information: of x and z under q, nats:
    kl less KL(q(z) || N(0, 1)), by one draw of z for each sequence and the mixture of all their
    posteriors (Hoffman and Johnson 2016); at most log N.
    """
    parts = []
    for i in range(0, len(sequences), batch_size):
        here = slice(i, i + batch_size)
        parts.append(
            model.encode(
                sequences[here], *(None if v is None else v[here] for v in (mask, condition))
            )
        )
    mean, deviation = (
        np.concatenate([getattr(q, name)().numpy() for q in parts]) for name in ("mean", "stddev")
    )
    standard = tfd.MultivariateNormalDiag(tf.zeros_like(mean[0]), tf.ones_like(mean[0]))
    posterior = tfd.MultivariateNormalDiag(mean, deviation)
    kl = float(np.mean(posterior.kl_divergence(standard)))
    z = mean + deviation * np.random.default_rng(seed).standard_normal(mean.shape, np.float32)
    own = np.asarray(posterior.log_prob(z))
    aggregate = np.array([_log_mean_density(point, mean, deviation) for point in z])
    return {
        "kl": kl,
        "active_units": float((mean.var(axis=0) > _ACTIVE).sum()),
        "mutual_information": float(np.mean(own - aggregate)),
    }


def _log_mean_density(point: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> float:
    """log of the mixture of all posteriors, at one point [z_size]."""
    scaled = (point - mean) / deviation
    each = (
        -0.5 * (scaled**2).sum(-1)
        - np.log(deviation).sum(-1)
        - 0.5 * mean.shape[1] * np.log(2 * np.pi)
    )
    return float(np.logaddexp.reduce(each) - np.log(len(mean)))
