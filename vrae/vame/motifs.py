"""From codes to motifs: segmentation, usage, transitions, communities, and the choice of their
number.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import SpectralClustering
from sklearn.metrics import adjusted_rand_score

from vrae.vame.segmenters import (
    SEGMENTERS,
    FitOptions,
    Segmenter,
    checked_codes,
    checked_observed,
    runs_of,
)


def segment(
    sessions: Mapping[str, np.ndarray],
    n_motifs: int,
    *,
    algorithm: str = "kmeans",
    seed: int = 42,
    observed: Mapping[str, np.ndarray] | None = None,
    **options: Any,
) -> tuple[Segmenter, dict[str, np.ndarray]]:
    """Find motifs in the codes of all sessions, numbered by frequency, 0 the most frequent.

    Args:
        sessions: codes [n, zdims] by session.
        n_motifs: number of motifs.
        algorithm: "kmeans", or "hmm" (hidden Markov model), as in VAME.
        seed: seed of the algorithm.
        observed: by session, bool [n], True for windows with enough observed values; others have no
            motif: -1.
        **options: of `FitOptions`: n_init_kmeans, hmm_n_iter, hmm_min_duration, time_window (with
            it a hidden Markov model may have a switch state, see `HMMSegmenter`), progress.

    Returns:
        The segmenter, to `apply` to other sessions and to `save`; and the motif of every window by
        session.

    Raises:
        ValueError: codes of different sizes, NaN, fewer codes than motifs, or a least duration
            below 1.
    """
    fit_options = FitOptions(**options)
    if fit_options.hmm_min_duration < 1:
        raise ValueError(
            f"hmm_min_duration: expected at least 1, got {fit_options.hmm_min_duration!r}."
        )
    if algorithm not in SEGMENTERS:
        raise ValueError(f"algorithm: expected one of {', '.join(SEGMENTERS)}, got {algorithm!r}.")
    if not sessions:
        raise ValueError("sessions: expected at least one, got none.")
    size = np.asarray(next(iter(sessions.values()))).shape[-1]
    codes = {name: checked_codes(name, session, size) for name, session in sessions.items()}
    seen = {
        name: checked_observed(f"observed, {name}", (observed or {}).get(name), codes[name])
        for name in codes
    }
    runs = [codes[name][run] for name in codes for run in runs_of(seen[name])]
    total = sum(map(len, runs))
    if not 1 <= n_motifs <= total:
        raise ValueError(
            f"n_motifs: expected 1 to the number of observed codes, {total}, got {n_motifs!r}."
        )
    found = SEGMENTERS[algorithm].fit(runs, n_motifs, seed, fit_options)
    counts = sum(usage(found.apply(codes[name], seen[name]), n_motifs) for name in codes)
    found = found.reordered(np.argsort(-counts, kind="stable"))
    return found, {name: found.apply(codes[name], seen[name]) for name in codes}


def usage(labels: np.ndarray, n_motifs: int) -> np.ndarray:
    """Count the windows of each motif; -1, no motif, is not counted.

    Args:
        labels: [n].
        n_motifs: number of motifs.

    Returns:
        [n_motifs].
    """
    labels = _labels(labels, n_motifs)
    return np.bincount(labels[labels >= 0], minlength=n_motifs)


def transitions(labels: np.ndarray | Iterable[np.ndarray], n_motifs: int) -> np.ndarray:
    """Compute the probabilities of the next motif.

    Args:
        labels: [n] of one session, or several of them. Between sessions and over gaps (-1) there is
            no transition.
        n_motifs: number of motifs.

    Returns:
        [n_motifs, n_motifs]; rows sum to 1, or are 0 for a motif that never ends.
    """
    counts = _moves([labels] if isinstance(labels, np.ndarray) else labels, n_motifs)
    total = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)


def communities(
    labels: np.ndarray | Iterable[np.ndarray], n_motifs: int, n_communities: int, *, seed: int = 42
) -> np.ndarray:
    """Join motifs that often follow each other to behaviours.

    A repetitive behaviour passes through several motifs, its phases. Communities are scikit-learn's
    spectral clustering of how often two motifs are neighbours in time (von Luxburg 2007, "A
    tutorial on spectral clustering"), numbered by their windows, 0 the most. (VAME cuts a tree of
    merged motifs.) `behaviours` labels windows by communities.

    Args:
        labels: [n] of one session, or several of them.
        n_motifs: number of motifs.
        n_communities: number of communities.
        seed: seed of the clustering.

    Returns:
        [n_motifs] int32, the community of each motif; -1 for a motif that never occurs.

    Raises:
        ValueError: fewer motifs occur than n_communities.
    """
    sessions = [labels] if isinstance(labels, np.ndarray) else list(labels)
    counts = np.asarray(sum(usage(session, n_motifs) for session in sessions))
    occur = np.flatnonzero(counts)
    if not 1 <= n_communities <= len(occur):
        raise ValueError(
            f"n_communities: expected 1 to the number of motifs that occur, {len(occur)}, got "
            f"{n_communities!r}."
        )
    moves = _moves(sessions, n_motifs)
    # a tiny flow between all motifs: the graph must be connected
    affinity = (moves + moves.T)[np.ix_(occur, occur)] + 1e-6
    if n_communities < len(occur):
        clusters = SpectralClustering(
            n_communities, affinity="precomputed", random_state=seed
        ).fit_predict(affinity)
    else:
        clusters = np.arange(len(occur))
    order = np.argsort(
        -np.bincount(clusters, weights=counts[occur], minlength=n_communities), kind="stable"
    )
    found = np.full(n_motifs, -1, np.int32)
    found[occur] = np.argsort(order)[clusters]
    return found


def behaviours(labels: np.ndarray, communities: np.ndarray) -> np.ndarray:
    """Label windows by the communities of their motifs.

    Args:
        labels: [n], motifs.
        communities: [n_motifs], what `communities` returned.

    Returns:
        [n] int32; -1 stays -1.
    """
    labels = _labels(labels, len(communities))
    return np.where(labels < 0, -1, communities[labels]).astype(np.int32)


def match_labels(labels: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Renumber labels so that as many as possible equal a reference, by the Hungarian method.

    Labels without a partner in the reference get numbers after the reference's; -1 stays -1.

    Args:
        labels: [n].
        reference: [n].

    Returns:
        [n], the renumbered labels.

    Raises:
        ValueError: the shapes differ.
    """
    if labels.shape != reference.shape or labels.ndim != 1:
        raise ValueError(
            f"labels: expected the reference's shape {reference.shape}, got {labels.shape}."
        )
    size = int(max(labels.max(), reference.max())) + 1
    agreement = np.zeros((size, size))
    both = (labels >= 0) & (reference >= 0)
    np.add.at(agreement, (labels[both], reference[both]), 1.0)
    rows, columns = linear_sum_assignment(-agreement)
    numbers = np.empty(size, labels.dtype)
    numbers[rows] = columns
    return np.where(labels < 0, -1, numbers[labels])


def stability(
    sessions: Mapping[str, np.ndarray], numbers: Iterable[int], *, runs: int = 5, seed: int = 42
) -> dict[int, float]:
    """Measure how well segmentations with different seeds agree.

    Each is fitted to half of the codes and applied to all of them.

    Args:
        sessions: codes [n, zdims] by session.
        numbers: numbers of motifs to try.
        runs: segmentations for each number.
        seed: the first seed.

    Returns:
        For each number the mean adjusted Rand index over pairs of runs: 1 means the same motifs
        every time, 0 chance.

    Raises:
        ValueError: fewer than 2 runs.
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
        scores[n_motifs] = float(
            np.mean([adjusted_rand_score(found[i], found[j]) for i, j in pairs])
        )
    return scores


def _moves(sessions: Iterable[np.ndarray], n_motifs: int) -> np.ndarray:
    """How often each motif was followed by each other one: [n_motifs, n_motifs]."""
    counts = np.zeros((n_motifs, n_motifs))
    for session in sessions:
        session = _labels(session, n_motifs)
        seen = (session[:-1] >= 0) & (session[1:] >= 0)
        np.add.at(counts, (session[:-1][seen], session[1:][seen]), 1.0)
    np.fill_diagonal(counts, 0.0)
    return counts


def _labels(labels: np.ndarray, n_motifs: int) -> np.ndarray:
    labels = np.asarray(labels)
    if (
        labels.ndim != 1
        or labels.dtype.kind not in "iu"
        or (len(labels) and not -1 <= labels.min() <= labels.max() < n_motifs)
    ):
        raise ValueError(
            f"labels: expected integers from 0 to {n_motifs - 1}, or -1, [n], got {labels.dtype} "
            f"{labels.shape}."
        )
    return labels
