"""Series as the model takes them: standardised, tokenised by Keras' layers. The names of
`seqvae.data.series`, which holds and cuts series, are here too."""

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
digits."""


def constant_features(train: Series) -> list[int]:
    """The features without a scale: they do not vary in the training series by more than a
    millionth of their largest value."""
    return np.flatnonzero(_deviations(train)[1]).tolist()


def _deviations(train: Series) -> tuple[np.ndarray, np.ndarray]:
    """The standard deviation of each feature, and whether it is constant. A constant feature has
    its largest value as its deviation (1 where all are 0), so that another value of it in new
    series stays of a size with the others."""
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
    """`mean` and `deviation` of each feature by the numbers that are observed: the argument
    `scaling` of a `VRAE`. The deviation of a constant feature (`constant_features`) is its largest
    value.

    Raises:
        ValueError: a feature without an observed number.
    """
    deviation, _ = _deviations(train)
    values = np.where(train.observed(), train.sequences, np.nan).astype(np.float64)
    return {"mean": np.nanmean(values, axis=(0, 1)).tolist(), "deviation": deviation.tolist()}


def standardiser(train: Series) -> keras.layers.Normalization:
    """Keras' layer that takes every feature to mean 0 and variance 1 (`scaling_of`);
    `invert=True` on a copy of its config goes back."""
    found = scaling_of(train)
    variance = np.square(found["deviation"]).astype(np.float32)
    return keras.layers.Normalization(mean=np.array(found["mean"], np.float32), variance=variance)


def standardised(series: Series, layer: keras.layers.Normalization) -> Series:
    """The series as the layer sees them, 0 in the padding."""
    made = np.asarray(layer(series.sequences))
    return series._replace(sequences=np.where(series.mask[..., None] > 0.5, made, 0.0))


def tokeniser(
    texts: Sequence[str], split: str = "character", max_tokens: int | None = None
) -> keras.layers.TextVectorization:
    """Keras' layer that knows the characters of some texts, or their words (`split="whitespace"`),
    the most frequent `max_tokens`. Token 0 is the end of a text, 1 whatever it does not know;
    `vocabulary_size()` is the `feature_size` of a `VRAE` with `likelihood="categorical"`.

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
    """Texts as tokens [N, T] int32, each with its end, a 0; `T` is the longest with its end."""
    tokens = np.pad(np.asarray(layer(list(texts)), np.int32), [(0, 0), (0, 1)])
    lengths = (tokens > 0).sum(axis=1, keepdims=True) + 1
    return Series(tokens, (np.arange(tokens.shape[1]) < lengths).astype(np.float32), labels)


def detokenised(tokens: np.ndarray, layer: keras.layers.TextVectorization) -> list[str]:
    """Tokens [N, T] as texts, up to the end of each."""
    words, joint = (
        np.array(layer.get_vocabulary()),
        "" if layer.get_config()["split"] == "character" else " ",
    )
    rows = (row[: np.argmin(np.append(row, 0))] for row in np.asarray(tokens))
    return [joint.join(words[row]) for row in rows]
