"""What turns the codes of a session into motifs, and is kept in a file: k-means, or a hidden Markov
model."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from hmmlearn.base import ConvergenceMonitor
from hmmlearn.hmm import GaussianHMM
from sklearn.cluster import KMeans

from seqvae.data import save
from seqvae.files import NPZ_ERRORS

Progress = Callable[[str], None]
"""Called with a line about a fit that takes long."""


class FitOptions(NamedTuple):
    """How segmenters are fitted.

    n_init_kmeans: beginnings of k-means. hmm_n_iter: at most so many iterations of the EM.
    hmm_min_duration: the windows that a state of a hidden Markov model lasts at least. time_window:
    the frames of a window, with which a hidden Markov model may have a switch state; 0: it has
    none. progress: is told what is being fitted.
    """

    n_init_kmeans: int = 15
    hmm_n_iter: int = 100
    hmm_min_duration: int = 3
    time_window: int = 0
    progress: Progress = lambda line: None


_MANY_CODES, _FIRST_CODES = 40_000, 10_000  # of many, k-means of some is the beginning of the EM
_PART = 4096  # codes whose products are computed at once
_BEGINNINGS = 5  # of the EM, which ends in the nearest maximum; the first is k-means
_FLOOR = 1e-3  # of a state's variances, as a share of the mean variance of the codes
_STAYS = 0.9  # first probability that a state lasts one window more


class KMeansSegmenter(NamedTuple):
    """Motifs as centres of codes [n_motifs, zdims]: a window belongs to the nearest."""

    centres: np.ndarray

    @classmethod
    def fit(
        cls, sessions: Sequence[np.ndarray], n_motifs: int, seed: int, options: FitOptions
    ) -> "KMeansSegmenter":
        """scikit-learn's k-means, the best of `n_init_kmeans` beginnings."""
        joined, n_init = np.concatenate(sessions), options.n_init_kmeans
        options.progress(f"k-means of {len(joined)} codes, {n_motifs} motifs, {n_init} beginnings")
        return cls(KMeans(n_motifs, n_init=n_init, random_state=seed).fit(joined).cluster_centers_)

    def apply(self, codes: np.ndarray, observed: np.ndarray | None = None) -> np.ndarray:
        """The motif of each code [n, zdims]: [n] int32; -1 where `observed` [n] is False."""
        codes = checked_codes("codes", codes, self.centres.shape[1])
        labels = np.concatenate(
            [
                np.argmin(((part[:, None] - self.centres) ** 2).sum(-1), axis=1)
                for part in np.array_split(codes, len(codes) // 4096 + 1)
            ]
        )
        return np.where(checked_observed("observed", observed, codes), labels, -1).astype(np.int32)

    def reordered(self, order: np.ndarray) -> "KMeansSegmenter":
        """The same motifs with new numbers: motif i was order[i]."""
        return KMeansSegmenter(self.centres[order])

    def save(self, path: str | Path) -> None:
        """Writes it to an `.npz`, whole or not at all."""
        save(path, self._asdict())


class HMMSegmenter(NamedTuple):
    """Motifs as states of a hidden Markov model whose codes are Gaussian with full covariances: a
    session's labels are its most likely course of states.

    A window that lies over the end of a motif holds two of them, and such windows make a state of
    their own, through which most changes of motif pass. This switch state, where there is one, is
    the state after the motifs' states and is no motif: the windows of each visit are shared by the
    motifs before and after it, half each, so that a window belongs to the motif of its centre.

    start: [states]; transitions: [states, states], from a state that has lasted min_duration
    windows; means: [states, zdims]; covariances: [states, zdims, zdims]; n_motifs: an integer, the
    states less the switch state; min_duration: an integer, the windows that a state lasts at least,
    unless a session ends.
    """

    start: np.ndarray
    transitions: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    n_motifs: np.ndarray
    min_duration: np.ndarray = np.array(1)

    @classmethod
    def fit(
        cls, sessions: Sequence[np.ndarray], n_motifs: int, seed: int, options: FitOptions
    ) -> "HMMSegmenter":
        """hmmlearn's EM, the most likely of 3 beginnings; no transition is counted from one session
        to the next.

        With a time_window one state more is fitted first. If there is a `switch_state` it is kept;
        otherwise the motifs' states are fitted alone.
        """
        found = (
            cls._with_switch_state(sessions, n_motifs, seed, options)
            if options.time_window > 1
            else None
        )
        return found or cls._of_motifs(sessions, n_motifs, seed, options)

    @classmethod
    def _with_switch_state(
        cls, sessions, n_motifs: int, seed: int, options: FitOptions
    ) -> "HMMSegmenter | None":
        try:
            found = cls._of_motifs(sessions, n_motifs + 1, seed, options)
        except ValueError:
            return None  # too few codes for one state more
        state = switch_state(
            [found._states(codes) for codes in sessions], n_motifs + 1, options.time_window
        )
        if state is None:
            return None
        order = np.append(np.delete(np.arange(n_motifs + 1), state), state)
        return found._replace(n_motifs=np.array(n_motifs))._of_states(order)

    @classmethod
    def _of_motifs(cls, sessions, n_motifs: int, seed: int, options: FitOptions) -> "HMMSegmenter":
        """All of its states are motifs."""
        joined, lengths = np.concatenate(sessions), [len(codes) for codes in sessions]
        about = f"hidden Markov model of {n_motifs} states, beginning {{}} of {_BEGINNINGS}"
        try:
            fits = [
                _fitted(joined, lengths, n_motifs, seed + i, i > 0, options, about.format(i + 1))
                for i in range(_BEGINNINGS)
            ]
        except (ValueError, np.linalg.LinAlgError) as error:
            raise ValueError(_cause(joined, n_motifs, error)) from error
        best, _ = max(fits, key=lambda fit: fit[1])
        start, transitions, means, covariances = best.of_states()
        counts = np.array(n_motifs), np.array(options.hmm_min_duration)
        return cls(start, transitions, means, covariances, *counts)

    def apply(self, codes: np.ndarray, observed: np.ndarray | None = None) -> np.ndarray:
        """The motif of each code [n, zdims] of one session: [n] int32; -1 where `observed` [n] is
        False. The windows before and after such a gap are labelled as those of two sessions."""
        codes = checked_codes("codes", codes, self.means.shape[1])
        observed = checked_observed("observed", observed, codes)
        labels = np.full(len(codes), -1, np.int32)
        for run in runs_of(observed):
            labels[run] = _shared_switches(self._states(codes[run]), int(self.n_motifs))
        return labels

    def reordered(self, order: np.ndarray) -> "HMMSegmenter":
        """The same motifs with new numbers: motif i was order[i]."""
        return self._of_states(np.append(order, np.arange(len(order), len(self.start))))

    def _states(self, codes: np.ndarray) -> np.ndarray:
        """The most likely course of states, [n]."""
        duration = int(self.min_duration)
        model = FastGaussianHMM(len(self.start) * duration, covariance_type="full")
        model.min_duration = duration
        model.startprob_ = np.repeat(self.start / duration, duration)
        model.transmat_ = chained(self.transitions, duration)
        model.means_ = np.repeat(self.means, duration, axis=0)
        model.covars_ = np.repeat(self.covariances, duration, axis=0)
        return model.predict(codes) // duration

    def _of_states(self, order: np.ndarray) -> "HMMSegmenter":
        return self._replace(
            start=self.start[order],
            transitions=self.transitions[np.ix_(order, order)],
            means=self.means[order],
            covariances=self.covariances[order],
        )

    def save(self, path: str | Path) -> None:
        """Writes it to an `.npz`, whole or not at all."""
        save(path, self._asdict())


def _parts(count: int) -> list[slice]:
    """Rows 0 to count in parts whose products fit into the cache."""
    return [slice(first, first + _PART) for first in range(0, count, _PART)]


def chained(transitions: np.ndarray, min_duration: int) -> np.ndarray:
    """Transitions [n * min_duration, n * min_duration] of states that are chains.

    Each of the n states becomes `min_duration` steps, of which only the last is repeated or left,
    to the first of another state: a state lasts at least so many windows (Rabiner 1989, "A tutorial
    on hidden Markov models", section IV.D, by means of ordinary states).

    transitions: [n, n] from a last step.
    """
    states, last = np.arange(len(transitions)), min_duration - 1
    chain = np.zeros((len(states), min_duration) * 2)
    chain[:, last, :, 0] = transitions
    chain[states, last, states, 0] = 0.0
    chain[states, last, states, last] = np.diagonal(transitions)
    for step in range(last):
        chain[states, step, states, step + 1] = 1.0
    return chain.reshape(len(states) * min_duration, -1)


class FastGaussianHMM(GaussianHMM):
    """hmmlearn's, whose states may have a least duration, with a better beginning, and faster.

    floor: is added to the diagonals of the covariances. hmmlearn has a floor only for the first
    ones, and a state of equal codes would get a singular one.

    min_duration: hmmlearn's states are the steps of chains of this length, see `chained`, and the
    steps of a chain have one mean and one covariance.

    The first transitions stay in a state with a probability of 0.9, and the first state is any.
    hmmlearn draws both from a Dirichlet distribution of the concentration 1 / states, where most
    transitions are almost impossible: on 20,000 codes of 15 states its EM was 5 to 8 % less likely
    after 10 iterations, even if it began at the true means (`benchmarks/vame_hmm.py`).

    from_centre: the first means are drawn near the mean of all codes (0.1 standard deviations), not
    k-means' centres. A motif that repeats itself is a circle of codes, and the circles of all
    motifs may lie around one point: k-means finds their phases, and the EM stays there.

    Densities and the statistics of the covariances are matrix products: the same numbers several
    times faster. Of more than 40,000 codes about 10,000 give the first means by k-means, which
    takes longer than the EM otherwise.
    """

    floor = 0.0
    min_duration = 1
    from_centre = False

    def of_states(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Start [n], transitions [n, n], means [n, size] and covariances [n, size, size] of the n
        states."""
        duration = self.min_duration
        between = self.transmat_[duration - 1 :: duration]  # from last steps
        transitions = between[:, ::duration].copy()
        np.fill_diagonal(transitions, np.diagonal(between[:, duration - 1 :: duration]))
        start = self.startprob_.reshape(-1, duration).sum(axis=1)
        return start, transitions, self.means_[::duration], self._covars_[::duration]

    def _init(self, X, lengths=None):
        sample = X[:: -(-len(X) // _FIRST_CODES)] if len(X) > _MANY_CODES else X
        duration, wanted = self.min_duration, self.init_params
        states = self.n_components // duration
        if "m" in wanted:
            self.means_ = np.repeat(self._first_means(sample, states), duration, axis=0)
        self.init_params = "".join(set(wanted) & {"c"})
        super()._init(sample, None)
        self.init_params = wanted
        if "s" in wanted:
            self.startprob_ = np.full(self.n_components, 1 / self.n_components)
        if "t" in wanted:
            stays = _STAYS if states > 1 else 1.0
            first = np.full((states, states), (1 - stays) / max(1, states - 1))
            np.fill_diagonal(first, stays)
            self.transmat_ = chained(first, duration)

    def _first_means(self, sample: np.ndarray, states: int) -> np.ndarray:
        if self.from_centre:
            draws = np.random.RandomState(self.random_state).standard_normal(
                (states, sample.shape[1])
            )
            return sample.mean(axis=0) + 0.1 * sample.std(axis=0) * draws
        found = KMeans(states, n_init=10, random_state=self.random_state).fit(sample)
        return found.cluster_centers_

    def _compute_log_likelihood(self, X):
        means, covariances = (x[:: self.min_duration] for x in (self.means_, self._covars_))
        roots = np.linalg.cholesky(covariances)
        inverses = np.linalg.inv(roots)  # [states, size, size]
        states, size, _ = inverses.shape
        whiten = inverses.transpose(2, 0, 1).reshape(size, states * size)
        offset = np.einsum("kij,kj->ki", inverses, means).ravel()
        logs = np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(axis=1)
        found = np.empty((len(X), states))
        for rows in _parts(len(X)):
            whitened = (X[rows] @ whiten - offset).reshape(-1, states, size)
            found[rows] = np.square(whitened).sum(axis=-1)
        densities = -0.5 * (found + size * np.log(2 * np.pi)) - logs
        return np.repeat(densities, self.min_duration, axis=1)

    def _accumulate_sufficient_statistics(self, stats, X, lattice, posteriors, *lattices):
        params = self.params
        self.params = params.replace("c", "").replace("m", "")  # hmmlearn's own sums are slow
        try:
            super()._accumulate_sufficient_statistics(stats, X, lattice, posteriors, *lattices)
        finally:
            self.params = params
        duration = self.min_duration
        shared = posteriors.reshape(len(X), -1, duration).sum(axis=-1)  # of a chain's steps
        products = 0.0
        for rows in _parts(len(X)):
            squares = (X[rows, :, None] * X[rows, None, :]).reshape(-1, X.shape[1] ** 2)
            products = products + shared[rows].T @ squares
        sums = {"post": shared.sum(axis=0), "obs": shared.T @ X, "obs*obs.T": products}
        for name, of_states in sums.items():
            steps = np.repeat(of_states, duration, axis=0)
            stats[name] += steps.reshape(stats[name].shape)

    def _do_mstep(self, stats):
        super()._do_mstep(stats)
        symmetric = (self._covars_ + self._covars_.transpose(0, 2, 1)) / 2
        self._covars_ = symmetric + self.floor * np.eye(symmetric.shape[-1])
        of_states = self.startprob_.reshape(-1, self.min_duration).mean(axis=1)
        self.startprob_ = np.repeat(of_states, self.min_duration)  # a session begins anywhere


class _Monitor(ConvergenceMonitor):
    """Tells the progress every ten iterations."""

    def __init__(self, model: GaussianHMM, progress: Progress, about: str):
        super().__init__(model.tol, model.n_iter, verbose=False)
        self._progress, self._about = progress, about

    def report(self, log_prob):
        if self.iter % 10 == 0:
            self._progress(f"{self._about}, iteration {self.iter + 1} of at most {self.n_iter}")
        self.history.append(log_prob)
        self.iter += 1


def _fitted(
    joined: np.ndarray,
    lengths: list[int],
    n_states: int,
    seed: int,
    from_centre: bool,
    options: FitOptions,
    about: str,
) -> tuple["FastGaussianHMM", float]:
    """A model by EM from one beginning, and its log-likelihood."""
    floor = _FLOOR * joined.var(axis=0).mean() + 1e-12
    for implementation in (
        "scaling",
        "log",
    ):  # the first is twice as fast, and far outliers underflow in it
        model = FastGaussianHMM(
            n_states * options.hmm_min_duration,
            covariance_type="full",
            n_iter=options.hmm_n_iter,
            random_state=seed,
            min_covar=floor,
            covars_prior=0,
            implementation=implementation,
        )
        model.floor, model.min_duration = floor, options.hmm_min_duration
        model.from_centre = from_centre
        model.monitor_ = _Monitor(model, options.progress, about)
        try:
            return model.fit(joined, lengths), model.score(joined, lengths)
        except ValueError as error:
            if implementation == "log" or "underflow" not in str(error):
                raise
    raise AssertionError("unreachable")


def _cause(codes: np.ndarray, n_states: int, error: Exception) -> str:
    """Why a model does not fit codes, and the cure."""
    distinct, size = len(np.unique(codes, axis=0)), np.abs(codes).max()
    why = "a state lost all its codes"
    if distinct < 10 * n_states:
        why = f"{len(codes)} codes, of which {distinct} differ, are too few for the states"
    if size > 1e100:
        why = f"they are as large as {size:.0e}"
    return (
        f"n_motifs: a hidden Markov model of {n_states} states does not fit these codes: {why} "
        f"({error}). Use fewer motifs, "
        "or k-means."
    )


def switch_state(sessions: Sequence[np.ndarray], n_states: int, time_window: int) -> int | None:
    """The state that windows over a change of motif have in common, if there is one.

    It is the state to which most of the other states go most often when they end, and most of its
    visits lie between two different states. Its visits are shorter than `time_window` windows, for
    only so many hold the same change; those of most other states are not. (Medians.)

    sessions: the states [n] of each session's windows.
    """
    moves, durations, between = (
        np.zeros((n_states, n_states)),
        [[] for _ in range(n_states)],
        [[] for _ in range(n_states)],
    )
    for session in map(bouts, sessions):
        states = [state for state, _ in session]
        for state, windows in session:
            durations[state].append(windows.stop - windows.start)
        for before, state, after in zip(states, states[1:], states[2:], strict=False):
            between[state].append(before != after)
        np.add.at(moves, (states[:-1], states[1:]), 1.0)
    goes_there = (moves > 0.5 * moves.sum(axis=1, keepdims=True)).sum(axis=0)
    state = int(np.argmax(goes_there))
    if (
        goes_there[state] <= (n_states - 1) / 2
        or not between[state]
        or np.mean(between[state]) <= 0.5
    ):
        return None
    medians = np.array([np.median(visits) if visits else np.nan for visits in durations])
    return (
        state if medians[state] < time_window <= np.nanmedian(np.delete(medians, state)) else None
    )


def _shared_switches(states: np.ndarray, n_motifs: int) -> np.ndarray:
    """Motifs [n]: the windows of each visit to a state that is no motif belong half to the motif
    before, half to the next."""
    motifs = np.flatnonzero(states < n_motifs)
    if not len(motifs):
        return np.full(len(states), -1)  # nothing but a change of motif: no motif is seen
    nearest = np.searchsorted(
        (motifs[1:] + motifs[:-1] + 1) // 2, np.arange(len(states)), side="right"
    )
    return states[motifs[nearest]]


def bouts(labels: np.ndarray) -> list[tuple[int, slice]]:
    """Stretches of equal labels [n], in order: the label of each and its windows."""
    ends = np.flatnonzero(np.diff(labels)) + 1
    return [
        (int(labels[i]), slice(int(i), int(j)))
        for i, j in zip([0, *ends], [*ends, len(labels)], strict=True)
        if i < j
    ]


def runs_of(observed: np.ndarray) -> list[slice]:
    """The stretches [i, j) of `observed` [n] that are True."""
    return [run for label, run in bouts(observed.astype(int)) if label]


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
    if "start" in arrays:  # earlier files: no switch state, no least duration
        arrays.setdefault("n_motifs", np.array(len(np.atleast_1d(arrays["start"]))))
        arrays.setdefault("min_duration", np.array(1))
    for kind in SEGMENTERS.values():
        if set(arrays) == set(kind._fields):
            found = kind(**arrays)
            if _fits(found):
                return found
    shapes = {name: array.shape for name, array in arrays.items()}
    raise ValueError(f"{path}: not a segmenter, or not of finite numbers; it holds {shapes}.")


def _fits(segmenter: Segmenter) -> bool:
    """Whether the arrays are finite numbers of shapes that go together."""
    arrays = segmenter._asdict()
    n_motifs, duration = (arrays.pop(name, None) for name in ("n_motifs", "min_duration"))
    if any(array.dtype.kind != "f" or not np.isfinite(array).all() for array in arrays.values()):
        return False
    if isinstance(segmenter, KMeansSegmenter):
        return segmenter.centres.ndim == 2 and segmenter.centres.size > 0
    start, transitions, means, covariances = (array.shape for array in arrays.values())
    n, size = means if len(means) == 2 else (0, 0)
    motifs_fit = (
        n_motifs.shape == () and n_motifs.dtype.kind in "iu" and max(1, n - 1) <= n_motifs <= n
    )
    duration_fits = duration.shape == () and duration.dtype.kind in "iu" and duration >= 1
    return (
        n > 0
        and motifs_fit
        and duration_fits
        and (start, transitions, covariances) == ((n,), (n, n), (n, size, size))
    )


def checked_observed(name: str, observed: np.ndarray | None, codes: np.ndarray) -> np.ndarray:
    """Which windows have a motif, [n] bool; None: all.

    Raises:
        ValueError: another shape or type.
    """
    observed = np.ones(len(codes), bool) if observed is None else np.asarray(observed)
    if observed.shape != (len(codes),) or observed.dtype != bool:
        raise ValueError(
            f"{name}: expected a bool for each of the {len(codes)} codes, got {observed.dtype} "
            f"{observed.shape}."
        )
    return observed


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
