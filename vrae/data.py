"""Standardisation and tokenisation of series by Keras' layers. The names of `seqvae.data.series`
are also available here.
"""

from collections.abc import Sequence

import keras
import numpy as np

from seqvae.data.series import (
    Series,
    as_series,
    in_windows,
    pad,
    read_npz,
    split_by_time,
    windows,
)

__all__ = [
    "Series",
    "as_series",
    "constant_features",
    "detokenised",
    "in_windows",
    "pad",
    "read_npz",
    "scaling_of",
    "split_by_time",
    "standardised",
    "standardiser",
    "tokenised",
    "tokeniser",
    "windows",
]

_CONSTANT = 1e-6
"""A feature varies if its deviation is above this share of its largest value: float32 has seven
digits.
"""


def constant_features(train: Series) -> list[int]:
    """Find the constant features: they vary by at most a millionth of their largest value.

    Args:
        train: the training series.

    Returns:
        Indices of the features.
    """
    return np.flatnonzero(_deviations(train)[1]).tolist()


def _deviations(train: Series) -> tuple[np.ndarray, np.ndarray]:
    """The standard deviation of each feature, and whether it is constant. The deviation of a
    constant feature is its largest value (1 if all values are 0), so that another value in new
    series has a size comparable to other features.
    """
    observed = train.observed()
    values = np.where(observed, train.sequences, np.nan).reshape(-1, train.sequences.shape[-1])
    if not observed.any(axis=(0, 1)).all():
        empty = np.flatnonzero(~observed.any(axis=(0, 1)))
        names = ", ".join(train.feature_names()[i] for i in empty)
        raise ValueError(
            f"{names}: expected at least one observed number in the training series, got none. "
            "Drop the column (--drop)."
        )
    values = values.astype(np.float64)
    largest, deviation = np.nanmax(np.abs(values), axis=0), np.nanstd(values, axis=0)
    constant = deviation <= _CONSTANT * largest
    return np.where(constant, np.where(largest > 0, largest, 1.0), deviation), constant


def scaling_of(train: Series) -> dict[str, list[float]]:
    """Compute mean and deviation of each feature: the argument `scaling` of a `VRAE`.

    The deviation of a constant feature (`constant_features`) is its largest value.

    Args:
        train: the training series.

    Returns:
        `mean` and `deviation`, a number per feature each.

    Raises:
        ValueError: a feature without an observed number.
    """
    deviation, _ = _deviations(train)
    values = np.where(train.observed(), train.sequences, np.nan).astype(np.float64)
    return {"mean": np.nanmean(values, axis=(0, 1)).tolist(), "deviation": deviation.tolist()}


def standardiser(train: Series) -> keras.layers.Normalization:
    """Make Keras' layer that scales every feature to mean 0 and variance 1 (`scaling_of`).

    A copy of its config with `invert=True` undoes it.

    Args:
        train: the training series.

    Returns:
        The layer.
    """
    found = scaling_of(train)
    variance = np.square(found["deviation"]).astype(np.float32)
    return keras.layers.Normalization(mean=np.array(found["mean"], np.float32), variance=variance)


def standardised(series: Series, layer: keras.layers.Normalization) -> Series:
    """Standardise series.

    Args:
        series: the series.
        layer: what `standardiser` returned.

    Returns:
        The standardised series, 0 in the padding.
    """
    scaled = np.asarray(layer(series.sequences))
    return series._replace(sequences=np.where(series.is_step()[..., None], scaled, 0.0))


def tokeniser(
    texts: Sequence[str], split: str = "character", max_tokens: int | None = None
) -> keras.layers.TextVectorization:
    """Make Keras' layer that converts texts to tokens.

    Token 0 is the end of a text, 1 an unknown character or word. `vocabulary_size()` is the
    `feature_size` of a `VRAE` with `likelihood="categorical"`.

    Args:
        texts: the texts whose vocabulary is used.
        split: "character" or "whitespace" (words).
        max_tokens: size of the vocabulary, the most frequent ones; None: all.

    Returns:
        The layer.

    Raises:
        ValueError: no texts, or another `split`.
    """
    if split not in ("character", "whitespace"):
        raise ValueError(f"split: expected character or whitespace, got {split!r}.")
    if not any(texts):
        raise ValueError("texts: expected at least one that is not empty.")
    layer = keras.layers.TextVectorization(max_tokens, standardize=None, split=split)
    layer.adapt(list(texts))
    return layer


def tokenised(
    texts: Sequence[str], layer: keras.layers.TextVectorization, labels: np.ndarray | None = None
) -> Series:
    """Convert texts to tokens.

    Args:
        texts: the texts.
        layer: what `tokeniser` returned.
        labels: [N], or None.

    Returns:
        Tokens [N, T] int32, each text followed by a 0, its end; T is that of the longest text.
    """
    tokens = np.pad(np.asarray(layer(list(texts)), np.int32), [(0, 0), (0, 1)])
    lengths = (tokens > 0).sum(axis=1, keepdims=True) + 1
    return Series(tokens, (np.arange(tokens.shape[1]) < lengths).astype(np.float32), labels)


def detokenised(tokens: np.ndarray, layer: keras.layers.TextVectorization) -> list[str]:
    """Convert tokens to texts.

    Args:
        tokens: [N, T].
        layer: what `tokeniser` returned.

    Returns:
        The texts, up to the end of each.
    """
    words = np.array(layer.get_vocabulary())
    separator = "" if layer.get_config()["split"] == "character" else " "
    rows = (row[: np.argmin(np.append(row, 0))] for row in np.asarray(tokens))  # up to the first 0
    return [separator.join(words[row]) for row in rows]
