"""Series of any length as padded arrays: from lists, texts, CSV and `.npz`; standardised, tokenised
by Keras' layers."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from seqvae.files import NPZ_ERRORS


class Series(NamedTuple):
    """sequences: [N, T, features] float32, 0 in the padding, or [N, T] tokens; mask: [N, T], 1
    where a step is; labels: [N] numbers to colour pictures by, None without."""

    sequences: np.ndarray
    mask: np.ndarray
    labels: np.ndarray | None = None

    def batch(self) -> dict[str, np.ndarray]:
        """The series under the keys of a batch."""
        return {"sequences": self.sequences, "mask": self.mask}

    def take(self, indices: slice | Sequence[int] | np.ndarray) -> "Series":
        """The sequences at `indices`."""
        labels = None if self.labels is None else self.labels[indices]
        return Series(self.sequences[indices], self.mask[indices], labels)

    def split(self, test_fraction: float, seed: int) -> tuple["Series", "Series"]:
        """Training and test sequences, drawn apart at random; at least one of each."""
        count = len(self.sequences)
        if count < 2:
            raise ValueError(
                "sequences: one cannot be split into training and test data. Cut it into windows."
            )
        order = np.random.default_rng([seed, count]).permutation(count)
        test = min(max(1, round(test_fraction * count)), count - 1)
        return self.take(np.sort(order[test:])), self.take(np.sort(order[:test]))


def pad(sequences: Sequence[np.ndarray], labels: np.ndarray | None = None) -> Series:
    """Sequences [T_i, features] of different lengths as one array and its mask.

    Raises:
        ValueError: none, an empty one, different numbers of features, or NaN.
    """
    if not len(sequences):
        raise ValueError("sequences: expected at least one, got none.")
    arrays = [np.asarray(s, np.float32) for s in sequences]
    features = arrays[0].shape[-1] if arrays[0].ndim == 2 else 0
    for i, array in enumerate(arrays):
        if array.ndim != 2 or array.shape[1] != features or not len(array):
            raise ValueError(
                f"sequences: number {i} has the shape {array.shape}, expected [steps, "
                f"{features or 'features'}]."
            )
        if not np.isfinite(array).all():
            raise ValueError(f"sequences: number {i} holds NaN or infinity.")
    steps = max(map(len, arrays))
    made = np.zeros((len(arrays), steps, features), np.float32)
    mask = np.zeros((len(arrays), steps), np.float32)
    for i, array in enumerate(arrays):
        made[i, : len(array)], mask[i, : len(array)] = array, 1.0
    return Series(made, mask, labels)


def windows(series: np.ndarray, steps: int, stride: int | None = None) -> Series:
    """One long series [T, features] cut into windows of `steps`, a new one every `stride` (default:
    `steps`)."""
    stride = stride or steps
    if not 1 <= steps <= len(series) or stride < 1:
        raise ValueError(
            f"steps: expected 1 to the series' {len(series)} steps, and a stride of at least 1, "
            f"got {steps}, {stride}."
        )
    return pad([series[i : i + steps] for i in range(0, len(series) - steps + 1, stride)])


def read_csv(path: str | Path) -> Series:
    """A CSV with a header: a column `sequence` says to which series a row belongs, a column `label`
    (optional) is its number to colour pictures by, every other column is a feature. Without
    `sequence` the file is one series.

    Raises:
        FileNotFoundError, ValueError: no such file; no rows, a value that is no number; the message
            says where.
    """
    path = Path(path)
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a readable CSV file in UTF-8 ({error}).") from error
    if len(rows) < 2:
        raise ValueError(f"{path}: expected a line of names and at least one of numbers.")
    names = [name.strip() for name in rows[0]]
    features = [i for i, name in enumerate(names) if name not in ("sequence", "label")]
    groups, labels = {}, {}
    for number, row in enumerate(rows[1:], 2):
        try:
            values = [float(row[i]) for i in features]
            key = row[names.index("sequence")] if "sequence" in names else ""
            label = float(row[names.index("label")]) if "label" in names else None
        except (ValueError, IndexError) as error:
            raise ValueError(
                f"{path}, line {number}: expected {len(names)} values, numbers, got {row} "
                f"({error})."
            ) from error
        groups.setdefault(key, []).append(values)
        labels.setdefault(key, label)
    try:
        return pad(
            [np.array(g) for g in groups.values()],
            np.array(list(labels.values())) if "label" in names else None,
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_npz(path: str | Path) -> Series:
    """An `.npz` with `sequences` [N, T, features], and where there are any `mask` [N, T] and
    `labels` [N].

    Raises:
        FileNotFoundError, ValueError: no such file; damaged, without `sequences`, or arrays that do
            not fit.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {
                name: file[name] for name in ("sequences", "mask", "labels") if name in file.files
            }
        sequences = arrays["sequences"]
    except KeyError:
        raise ValueError(f"{path}: no array `sequences` [N, T, features] in it.") from None
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file.") from None
    except NPZ_ERRORS as error:
        raise ValueError(
            f"{path}: not a readable .npz file, it may be truncated ({error})."
        ) from error
    mask = arrays.get("mask", np.ones(sequences.shape[:2]))
    if sequences.ndim != 3 or mask.shape != sequences.shape[:2]:
        raise ValueError(
            f"{path}: sequences {sequences.shape} and mask {mask.shape}, expected [N, T, features] "
            "and [N, T]."
        )
    lengths = (mask > 0.5).sum(axis=1).astype(int)
    try:
        return pad([s[:n] for s, n in zip(sequences, lengths, strict=True)], arrays.get("labels"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def standardiser(train: Series) -> keras.layers.Normalization:
    """Keras' layer that takes every feature to mean 0 and variance 1, by the steps that are there;
    `invert=True` on a copy of its config goes back."""
    steps = train.sequences[train.mask > 0.5]
    return keras.layers.Normalization(
        mean=steps.mean(axis=0), variance=np.maximum(steps.var(axis=0), 1e-12)
    )


def standardised(series: Series, layer: keras.layers.Normalization) -> Series:
    """The series as the layer sees them, 0 in the padding."""
    return series._replace(sequences=np.asarray(layer(series.sequences)) * series.mask[..., None])


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
