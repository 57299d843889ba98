"""Evaluation on test series: the bound, the use of the latent variables, and simple methods on the
same series.
"""

import math

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from seqvae.data.batches import Batches
from seqvae.training.evaluate import weighted_means
from vrae.baselines import (
    Principal,
    are_classes,
    nearest_neighbour_accuracy,
    on_one_length,
    squared_error,
)
from vrae.data import Series
from vrae.model import VRAE
from vrae.runs import codes_of, parts_of, reconstructions

_ACTIVE = 0.01  # variance of a dimension's mean above which the dimension is in use
_MOST = 2000
"""The largest number of training series for the simple methods, which limits memory."""


def evaluate(
    model: VRAE, series: Series, *, seed: int = 0, batch_size: int = 256
) -> dict[str, float]:
    """Compute the bound of test series.

    Args:
        model: the model.
        series: the test series.
        seed: seed of the draws of z, one per series.
        batch_size: series computed at a time.

    Returns:
        Means of the terms over the series, by name.
    """
    arrays = series.batch() if model.get_config()["positions"] else series._replace(times=None)
    arrays = arrays if isinstance(arrays, dict) else arrays.batch()
    batches = Batches(arrays, batch_size, shuffle=False).epoch(0)
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
    times: np.ndarray | None = None,
    seed: int = 0,
    batch_size: int = 256,
) -> dict[str, float]:
    """Measure how much information the latent variables carry about sequences.

    Args:
        model: the model.
        sequences: [N, T, ...].
        mask: [N, T], or None.
        condition: [N, condition_size], or None.
        times: [N, T], the times of the steps for a model with positions; None: even steps.
        seed: seed of the draws of z, one per sequence.
        batch_size: sequences computed at a time.

    Returns:
        `kl`: mean KL(q(z | x) || N(0, 1)), nats. `active_units`: number of dimensions whose mean
        has a variance over the sequences above 0.01 (Burda et al. 2016). `mutual_information`: of x
        and z under q, nats: kl minus KL(q(z) || N(0, 1)), where q(z) is the mixture of all
        posteriors (Hoffman and Johnson 2016). `mutual_information_bound`: log N, which it cannot
        exceed.
    """
    parts = []
    for i in range(0, len(sequences), batch_size):
        rows = slice(i, i + batch_size)
        own_mask, own_condition, own_times = (
            None if value is None else value[rows] for value in (mask, condition, times)
        )
        parts.append(model.encode(sequences[rows], own_mask, own_condition, times=own_times))
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
        "mutual_information_bound": math.log(len(mean)),
    }


def about_usage(
    figures: dict[str, float], z_size: int, *, autoregressive: bool = False
) -> list[str]:
    """Describe the figures of `latent_usage` in sentences.

    Args:
        figures: the figures.
        z_size: size of the code.
        autoregressive: whether the decoder is autoregressive.

    Returns:
        Sentences; the last one says so if z carries no information.
    """
    information, bound = figures["mutual_information"], figures["mutual_information_bound"]
    active = int(figures["active_units"])
    said = f"{max(0.0, information):.2f} nats of mutual information with the series"
    if information > 0.95 * bound:
        said = (
            f"at least {bound:.2f} nats of mutual information with the series (the logarithm of "
            f"their number, {round(math.exp(bound))}: the estimate cannot be more)"
        )
    first = f"{active} of {z_size} numbers of z in use, {said}"
    return [first, *_about_collapse(active, figures["kl"], autoregressive)]


def _about_collapse(active: int, kl: float, autoregressive: bool) -> list[str]:
    if active:
        return []
    if kl > 0.5:
        return [
            f"z carries no information although {kl:.1f} nats of KL are paid: its posterior is the "
            "same for every series. Train longer, with a smaller kl_weight, or scale the data."
        ]
    if autoregressive:
        return [
            "z is ignored (posterior collapse): the decoder is autoregressive. Use decoder=latent, "
            "teacher_forcing below 1, annealing=auto, or free_bits=0.1."
        ]
    return [
        "z is ignored (posterior collapse). Use annealing=auto or free_bits=0.1, a smaller "
        "kl_weight or noise_var, or more steps."
    ]


def compared(model: VRAE, train: Series, test: Series) -> dict:
    """Compare the model with simple methods: squared errors, and nearest-neighbour accuracies.

    Args:
        model: the model.
        train: the training series.
        test: the test series.

    Returns:
        The squared error of an observed test number in training deviations, of the model, of
        principal components and of the mean. If labels are classes, also the accuracy of the
        nearest neighbour on the code, on principal components of its size and on the values.
    """
    scaling = model.get_config()["scaling"]
    mean, deviation = (
        (np.array(scaling[name], np.float32) for name in ("mean", "deviation"))
        if scaling
        else (0.0, 1.0)
    )
    reconstructed = (reconstructions(model, test) - mean) / deviation
    train = train.take(slice(0, _MOST))
    plain_train, plain_test = (
        s._replace(sequences=((s.sequences - mean) / deviation * s.mask[..., None]))
        for s in (train, test)
    )
    pca = Principal(plain_train, model.z_size)
    figures: dict = {
        "squared_error": squared_error(plain_test, reconstructed),
        "pca_squared_error": squared_error(plain_test, pca.reconstruction(plain_test)),
        "mean_squared_error": squared_error(plain_test, np.zeros_like(reconstructed)),
    }
    if are_classes(train.labels) and train.labels is not None and test.labels is not None:
        length = min(512, train.mask.shape[1])
        rows = {
            "z": [codes_of(model, s) for s in (train, test)],
            "pca": [pca.codes(s) for s in (plain_train, plain_test)],
            "values": [
                on_one_length(s, length).reshape(len(s.mask), -1) for s in (plain_train, plain_test)
            ],
        }
        figures["nearest_neighbour_accuracy"] = {
            name: nearest_neighbour_accuracy(a, train.labels, b, test.labels)
            for name, (a, b) in rows.items()
        }
    return figures


def coverage(
    model: VRAE,
    series: Series,
    *,
    share: float = 0.1,
    levels: tuple[float, ...] = (0.5, 0.8, 0.9, 0.95),
    num_samples: int = 100,
    seed: int = 0,
) -> dict:
    """Hide observed numbers, impute them, and measure how often the intervals contain them.

    Args:
        model: a model with missing=True.
        series: the test series.
        share: share of the observed numbers that is hidden.
        levels: levels of the intervals.
        num_samples: draws per number.
        seed: seed of the hidden numbers and of the draws.

    Returns:
        `coverage`: for each level, the share of hidden numbers inside the interval.
        `absolute_error` of the model's mean, of linear interpolation and of the feature's mean, in
        units.

    Raises:
        ValueError: the model does not take missing numbers.
    """
    if not model.missing:
        raise ValueError("coverage: expected a model with missing=True, got missing=False.")
    rng = np.random.default_rng(seed)
    observed = series.observed()
    hidden = observed & (rng.random(observed.shape) < share)
    hidden[~(observed & ~hidden).any(axis=(1, 2))] = False  # every series keeps a number
    lacking = series._replace(sequences=np.where(hidden, np.nan, series.sequences))
    edges = [q for level in levels for q in ((1 - level) / 2, (1 + level) / 2)]
    means, bounds = [], []
    for _, batch in parts_of(model, lacking):
        found = model.impute(**batch, num_samples=num_samples, quantiles=edges, seed=seed)
        means.append(found.mean.numpy())
        bounds.append(np.asarray(found.quantiles))
    mean, bound = np.concatenate(means), np.concatenate(bounds, axis=1)
    truth = series.sequences[hidden]
    inside = {
        level: float(np.mean((bound[2 * i][hidden] <= truth) & (truth <= bound[2 * i + 1][hidden])))
        for i, level in enumerate(levels)
    }
    feature_mean = np.nanmean(np.where(lacking.observed(), lacking.sequences, np.nan), axis=(0, 1))
    simple = {
        "model": mean,
        "linear_interpolation": _interpolated(lacking),
        "mean": np.broadcast_to(feature_mean, observed.shape),
    }
    return {
        "coverage": inside,
        "absolute_error": {
            name: float(np.mean(np.abs(filled[hidden] - truth))) for name, filled in simple.items()
        },
    }


def _interpolated(series: Series) -> np.ndarray:
    """Missing numbers interpolated linearly within their series; 0 for a feature without
    numbers.
    """
    filled, observed = series.sequences.copy(), series.observed()
    for i, k in np.ndindex(len(filled), filled.shape[2]):
        seen = np.flatnonzero(observed[i, :, k])
        if len(seen):
            filled[i, :, k] = np.interp(np.arange(filled.shape[1]), seen, filled[i, seen, k])
        else:
            filled[i, :, k] = 0.0
    return filled


def _log_mean_density(point: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> float:
    """The log-density of the mixture of all posteriors at one point [z_size]."""
    scaled = (point - mean) / deviation
    each = (
        -0.5 * (scaled**2).sum(-1)
        - np.log(deviation).sum(-1)
        - 0.5 * mean.shape[1] * np.log(2 * np.pi)
    )
    return float(np.logaddexp.reduce(each) - np.log(len(mean)))
