"""From codes to motifs: a segmenter that is kept, what the motifs do, and how many there are."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from seqvae.data import save
from seqvae.files import NPZ_ERRORS


class Segmenter(NamedTuple):
    """Motifs as centres of codes [n_motifs, zdims]: a window belongs to the nearest. `apply` it to any session, `save` it."""

    centres: np.ndarray

    def apply(self, codes: np.ndarray) -> np.ndarray:
        """The motif of each code [n, zdims]: [n] int32."""
        codes = _checked("codes", codes, self.centres.shape[1])
        labels = [
            np.argmin(((part[:, None] - self.centres) ** 2).sum(-1), axis=1)
            for part in np.array_split(codes, len(codes) // 4096 + 1)
        ]
        return np.concatenate(labels).astype(np.int32)

    def save(self, path: str | Path) -> None:
        """Writes it to an `.npz`, whole or not at all."""
        save(path, {"centres": self.centres})

    @classmethod
    def load(cls, path: str | Path) -> "Segmenter":
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: there is no such file. ValueError: it is damaged, or no segmenter.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                centres = file["centres"]
        except FileNotFoundError:
            raise FileNotFoundError(f"{path}: no such segmenter.") from None
        except NPZ_ERRORS as error:
            raise ValueError(f"{path}: not a readable segmenter ({error}).") from error
        if centres.ndim != 2 or not np.isfinite(centres).all():
            raise ValueError(f"{path}: expected finite centres [n_motifs, zdims], got the shape {centres.shape}.")
        return cls(centres)


def segment(
    sessions: Mapping[str, np.ndarray], n_motifs: int, *, seed: int = 42
) -> tuple[Segmenter, dict[str, np.ndarray]]:
    """k-means over the codes [n, zdims] of all sessions; motifs are numbered by how often they occur, 0 the most frequent.

    Returns:
        The segmenter, and the motif of every window by session.

    Raises:
        ValueError: codes of different sizes, NaN, or fewer codes than motifs.
    """
    if not sessions:
        raise ValueError("sessions: expected at least one, got none.")
    size = np.asarray(next(iter(sessions.values()))).shape[-1]
    joined = np.concatenate([_checked(name, codes, size) for name, codes in sessions.items()])
    if not 1 <= n_motifs <= len(joined):
        raise ValueError(f"n_motifs: expected 1 to the number of codes, {len(joined)}, got {n_motifs!r}.")
    fitted = KMeans(n_motifs, n_init=15, random_state=seed).fit(joined)
    order = np.argsort(-np.bincount(fitted.labels_, minlength=n_motifs), kind="stable")
    segmenter = Segmenter(fitted.cluster_centers_[order].astype(np.float32))
    return segmenter, {name: segmenter.apply(codes) for name, codes in sessions.items()}


def usage(labels: np.ndarray, n_motifs: int) -> np.ndarray:
    """How many windows belong to each motif: [n_motifs], 0 for one that does not occur."""
    return np.bincount(_labels(labels, n_motifs), minlength=n_motifs)


def transitions(labels: np.ndarray | Iterable[np.ndarray], n_motifs: int) -> np.ndarray:
    """Where a motif goes when it ends: [n_motifs, n_motifs], rows sum to 1, or are 0 for a motif that never ends.

    labels: of one session, or of several: from one session to the next there is no transition.
    """
    counts = np.zeros((n_motifs, n_motifs))
    for session in [labels] if isinstance(labels, np.ndarray) else labels:
        session = _labels(session, n_motifs)
        np.add.at(counts, (session[:-1], session[1:]), 1.0)
    np.fill_diagonal(counts, 0.0)
    total = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)


def match_labels(labels: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """`labels` renumbered so that as many as possible equal `reference` (both [n]): the Hungarian method.

    Labels that have no partner in the reference keep numbers of their own, after the reference's.
    """
    if labels.shape != reference.shape or labels.ndim != 1:
        raise ValueError(f"labels: expected the reference's shape {reference.shape}, got {labels.shape}.")
    size = int(max(labels.max(), reference.max())) + 1
    agreement = np.zeros((size, size))
    np.add.at(agreement, (labels, reference), 1.0)
    rows, columns = linear_sum_assignment(-agreement)
    numbers = np.empty(size, labels.dtype)
    numbers[rows] = columns
    return numbers[labels]


def stability(
    sessions: Mapping[str, np.ndarray], numbers: Iterable[int], *, runs: int = 5, seed: int = 42
) -> dict[int, float]:
    """How well runs of `segment` from different seeds, each on a half of the codes, agree on all codes, by number of motifs.

    The mean adjusted Rand index over pairs of runs: 1 is the same motifs every time, 0 is chance.
    """
    if runs < 2:
        raise ValueError(f"runs: expected at least 2 to compare, got {runs!r}.")
    joined = np.concatenate([np.asarray(codes) for codes in sessions.values()])
    scores = {}
    for n_motifs in numbers:
        found = []
        for run in range(runs):
            half = np.random.default_rng([seed, run]).permutation(len(joined))[: len(joined) // 2]
            segmenter, _ = segment({"half": joined[half]}, n_motifs, seed=seed + run)
            found.append(segmenter.apply(joined))
        pairs = [(i, j) for i in range(runs) for j in range(i)]
        scores[n_motifs] = float(np.mean([adjusted_rand_score(found[i], found[j]) for i, j in pairs]))
    return scores


def _checked(name: str, codes: np.ndarray, size: int) -> np.ndarray:
    codes = np.asarray(codes)
    if codes.ndim != 2 or codes.shape[1] != size or not len(codes):
        raise ValueError(f"{name}: expected codes [n, {size}], got the shape {codes.shape}.")
    if not np.isfinite(codes).all():
        raise ValueError(f"{name}: codes hold NaN or infinity.")
    return codes


def _labels(labels: np.ndarray, n_motifs: int) -> np.ndarray:
    labels = np.asarray(labels)
    if (
        labels.ndim != 1
        or labels.dtype.kind not in "iu"
        or (len(labels) and not 0 <= labels.min() <= labels.max() < n_motifs)
    ):
        raise ValueError(f"labels: expected integers from 0 to {n_motifs - 1}, [n], got {labels.dtype} {labels.shape}.")
    return labels
