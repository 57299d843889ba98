"""What turns the codes of a session into motifs, and is kept in a file: k-means, or a hidden Markov model."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from hmmlearn.hmm import GaussianHMM
from sklearn.cluster import KMeans

from seqvae.data import save
from seqvae.files import NPZ_ERRORS

_BEGINNINGS = 3  # of the EM, which ends in the nearest maximum


class KMeansSegmenter(NamedTuple):
    """Motifs as centres of codes [n_motifs, zdims]: a window belongs to the nearest."""

    centres: np.ndarray

    @classmethod
    def fit(cls, sessions: Sequence[np.ndarray], n_motifs: int, seed: int) -> "KMeansSegmenter":
        """scikit-learn's k-means, the best of 15 beginnings."""
        return cls(KMeans(n_motifs, n_init=15, random_state=seed).fit(np.concatenate(sessions)).cluster_centers_)

    def apply(self, codes: np.ndarray) -> np.ndarray:
        """The motif of each code [n, zdims]: [n] int32."""
        codes = checked_codes("codes", codes, self.centres.shape[1])
        labels = [
            np.argmin(((part[:, None] - self.centres) ** 2).sum(-1), axis=1)
            for part in np.array_split(codes, len(codes) // 4096 + 1)
        ]
        return np.concatenate(labels).astype(np.int32)

    def reordered(self, order: np.ndarray) -> "KMeansSegmenter":
        """The same motifs with new numbers: motif i was order[i]."""
        return KMeansSegmenter(self.centres[order])

    def save(self, path: str | Path) -> None:
        """Writes it to an `.npz`, whole or not at all."""
        save(path, self._asdict())


class HMMSegmenter(NamedTuple):
    """Motifs as states of a hidden Markov model whose codes are Gaussian with full covariances: a session's labels are its
    most likely course of states. start: [n_motifs], transitions: [n_motifs, n_motifs], means: [n_motifs, zdims], covariances:
    [n_motifs, zdims, zdims]."""

    start: np.ndarray
    transitions: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    @classmethod
    def fit(cls, sessions: Sequence[np.ndarray], n_motifs: int, seed: int) -> "HMMSegmenter":
        """hmmlearn's EM, the most likely of 3 beginnings; no transition is counted from one session to the next."""
        joined, lengths = np.concatenate(sessions), [len(codes) for codes in sessions]
        models = [
            GaussianHMM(n_motifs, covariance_type="full", n_iter=100, random_state=seed + i) for i in range(_BEGINNINGS)
        ]
        try:
            likelihoods = [model.fit(joined, lengths).score(joined, lengths) for model in models]
        except (ValueError, np.linalg.LinAlgError) as error:
            raise ValueError(
                f"n_motifs: a hidden Markov model of {n_motifs} states does not fit these codes ({error}). Use fewer motifs."
            ) from error
        best = models[int(np.argmax(likelihoods))]
        return cls(best.startprob_, best.transmat_, best.means_, best.covars_)

    def apply(self, codes: np.ndarray) -> np.ndarray:
        """The motif of each code [n, zdims] of one session: [n] int32."""
        model = GaussianHMM(len(self.start), covariance_type="full")
        model.startprob_, model.transmat_, model.means_, model.covars_ = self
        return model.predict(checked_codes("codes", codes, self.means.shape[1])).astype(np.int32)

    def reordered(self, order: np.ndarray) -> "HMMSegmenter":
        """The same motifs with new numbers: motif i was order[i]."""
        start, transitions, means, covariances = self
        return HMMSegmenter(start[order], transitions[np.ix_(order, order)], means[order], covariances[order])

    def save(self, path: str | Path) -> None:
        """Writes it to an `.npz`, whole or not at all."""
        save(path, self._asdict())


Segmenter = KMeansSegmenter | HMMSegmenter
SEGMENTERS = {"kmeans": KMeansSegmenter, "hmm": HMMSegmenter}
"""By VAME's names."""


def load_segmenter(path: str | Path) -> Segmenter:
    """Reads what a segmenter's `save` wrote.

    Raises:
        FileNotFoundError: there is no such file. ValueError: it is damaged, or no segmenter.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such segmenter.") from None
    except NPZ_ERRORS as error:
        raise ValueError(f"{path}: not a readable segmenter ({error}).") from error
    for kind in SEGMENTERS.values():
        if set(arrays) == set(kind._fields):
            found = kind(**arrays)
            if _fits(found):
                return found
    shapes = {name: array.shape for name, array in arrays.items()}
    raise ValueError(f"{path}: not a segmenter, or not of finite numbers; it holds {shapes}.")


def _fits(segmenter: Segmenter) -> bool:
    """Whether the arrays are finite numbers of shapes that go together."""
    if any(array.dtype.kind != "f" or not np.isfinite(array).all() for array in segmenter):
        return False
    if isinstance(segmenter, KMeansSegmenter):
        return segmenter.centres.ndim == 2 and segmenter.centres.size > 0
    start, transitions, means, covariances = (array.shape for array in segmenter)
    n, size = means if len(means) == 2 else (0, 0)
    return n > 0 and (start, transitions, covariances) == ((n,), (n, n), (n, size, size))


def checked_codes(name: str, codes: np.ndarray, size: int) -> np.ndarray:
    """Codes [n, size] as float64.

    Raises:
        ValueError: another shape, none, NaN or infinity; the message names them.
    """
    codes = np.asarray(codes)
    if codes.ndim != 2 or codes.shape[1] != size or not len(codes):
        raise ValueError(f"{name}: expected codes [n, {size}], got the shape {codes.shape}.")
    if not np.isfinite(codes).all():
        raise ValueError(f"{name}: codes hold NaN or infinity.")
    return codes.astype(np.float64)
