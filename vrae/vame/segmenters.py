"""Segmenters, which turn the codes of a session into motifs and are saved in a file: k-means, or a
hidden Markov model.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from hmmlearn.base import ConvergenceMonitor
from hmmlearn.hmm import GaussianHMM
from sklearn.cluster import KMeans

from seqvae.data import save
from seqvae.files import NPZ_ERRORS, reason

Progress = Callable[[str], None]
"""Called with a line about a fit that takes long."""


class FitOptions(NamedTuple):
    """Options of fitting a segmenter."""

    n_init_kmeans: int = 15
    """Initialisations of k-means."""
    hmm_n_iter: int = 100
    """The largest number of EM iterations."""
    hmm_min_duration: int = 3
    """Windows that a state of a hidden Markov model lasts at least."""
    time_window: int = 0
    """Frames of a window, which allow a hidden Markov model to have a switch state; 0: no switch
    state.
    """
    progress: Progress = lambda line: None
    """Called with a line about what is being fitted."""


_MANY_CODES, _FIRST_CODES = 40_000, 10_000  # of many codes, only some initialise the EM
_PART = 4096  # codes whose products are computed at once
_INITIALISATIONS = 5  # of the EM, which finds a local maximum; the first starts from k-means
_FLOOR = 1e-3  # lower limit of a state's variances, as a share of the codes' mean variance
_STAYS = 0.9  # initial probability of staying in a state for one more window


class KMeansSegmenter(NamedTuple):
    """Motifs as centres of codes: a window belongs to the nearest centre."""

    centres: np.ndarray
    """[n_motifs, zdims]."""

    @classmethod
    def fit(
        cls, sessions: Sequence[np.ndarray], n_motifs: int, seed: int, options: FitOptions
    ) -> "KMeansSegmenter":
        """Fit scikit-learn's k-means, the best of `n_init_kmeans` initialisations.

        Args:
            sessions: codes [n, zdims] of each session.
            n_motifs: number of motifs.
            seed: seed of the initialisations.
            options: the options.

        Returns:
            The segmenter.
        """
        joined, n_init = np.concatenate(sessions), options.n_init_kmeans
        options.progress(
            f"k-means of {len(joined)} codes, {n_motifs} motifs, {n_init} initialisations"
        )
        return cls(KMeans(n_motifs, n_init=n_init, random_state=seed).fit(joined).cluster_centers_)

    def apply(self, codes: np.ndarray, observed: np.ndarray | None = None) -> np.ndarray:
        """Find the motif of each code.

        Args:
            codes: [n, zdims].
            observed: [n] bool; where False the motif is -1. None: all True.

        Returns:
            [n] int32.
        """
        codes = checked_codes("codes", codes, self.centres.shape[1])
        labels = np.concatenate(
            [
                np.argmin(((part[:, None] - self.centres) ** 2).sum(-1), axis=1)
                for part in np.array_split(codes, len(codes) // _PART + 1)
            ]
        )
        return np.where(checked_observed("observed", observed, codes), labels, -1).astype(np.int32)

    def reordered(self, order: np.ndarray) -> "KMeansSegmenter":
        """Renumber the motifs.

        Args:
            order: motif i was order[i].

        Returns:
            The segmenter.
        """
        return KMeansSegmenter(self.centres[order])

    def save(self, path: str | Path) -> None:
        """Write the segmenter to an `.npz`, atomically.

        Args:
            path: the file.
        """
        save(path, self._asdict())


class HMMSegmenter(NamedTuple):
    """Motifs as states of a hidden Markov model with Gaussian codes and full covariances.

    The labels of a session are its most likely sequence of states. A window that crosses the end of
    a motif contains two motifs. Such windows form a state of their own, through which most changes
    of motif pass. This switch state, if there is one, is the last state and is not a motif: the
    windows of each visit are divided equally between the motifs before and after it, so that a
    window belongs to the motif at its centre.
    """

    start: np.ndarray
    """[states], initial probabilities."""
    transitions: np.ndarray
    """[states, states]."""
    means: np.ndarray
    """[states, zdims]."""
    covariances: np.ndarray
    """[states, zdims, zdims]."""
    n_motifs: np.ndarray
    """An integer: the number of states without the switch state."""
    min_duration: np.ndarray = np.array(1)
    """An integer: windows that a state lasts at least, unless a session ends."""

    @classmethod
    def fit(
        cls, sessions: Sequence[np.ndarray], n_motifs: int, seed: int, options: FitOptions
    ) -> "HMMSegmenter":
        """Fit the model by hmmlearn's EM: the most likely of `_INITIALISATIONS` (5) fits.

        No transition is counted between sessions. With a time_window, a model with one more state
        is fitted first. It is kept if it has a `switch_state`; otherwise a model with only the
        motifs' states is fitted.

        Args:
            sessions: codes [n, zdims] of each session.
            n_motifs: number of motifs.
            seed: seed of the initialisations.
            options: the options.

        Returns:
            The segmenter.

        Raises:
            ValueError: the model cannot be fitted to these codes.
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
            return None  # too few codes for one more state
        state = switch_state(
            [found._states(codes) for codes in sessions], n_motifs + 1, options.time_window
        )
        if state is None:
            return None
        order = np.append(np.delete(np.arange(n_motifs + 1), state), state)
        return found._replace(n_motifs=np.array(n_motifs))._of_states(order)

    @classmethod
    def _of_motifs(cls, sessions, n_motifs: int, seed: int, options: FitOptions) -> "HMMSegmenter":
        """Fit a model whose states are all motifs."""
        joined, lengths = np.concatenate(sessions), [len(codes) for codes in sessions]
        about = (
            f"hidden Markov model of {n_motifs} states, initialisation {{}} of {_INITIALISATIONS}"
        )
        try:
            fits = [
                _fitted(joined, lengths, n_motifs, seed + i, i > 0, options, about.format(i + 1))
                for i in range(_INITIALISATIONS)
            ]
        except (ValueError, np.linalg.LinAlgError) as error:
            raise ValueError(_fit_error(joined, n_motifs, error)) from error
        best, _ = max(fits, key=lambda fit: fit[1])
        start, transitions, means, covariances = best.of_states()
        counts = np.array(n_motifs), np.array(options.hmm_min_duration)
        return cls(start, transitions, means, covariances, *counts)

    def apply(self, codes: np.ndarray, observed: np.ndarray | None = None) -> np.ndarray:
        """Find the motif of each code of one session.

        Windows before and after a gap are labelled like those of two sessions.

        Args:
            codes: [n, zdims].
            observed: [n] bool; where False the motif is -1. None: all True.

        Returns:
            [n] int32.
        """
        codes = checked_codes("codes", codes, self.means.shape[1])
        observed = checked_observed("observed", observed, codes)
        labels = np.full(len(codes), -1, np.int32)
        for run in runs_of(observed):
            labels[run] = _shared_switches(self._states(codes[run]), int(self.n_motifs))
        return labels

    def reordered(self, order: np.ndarray) -> "HMMSegmenter":
        """Renumber the motifs.

        Args:
            order: motif i was order[i].

        Returns:
            The segmenter.
        """
        return self._of_states(np.append(order, np.arange(len(order), len(self.start))))

    def _states(self, codes: np.ndarray) -> np.ndarray:
        """The most likely sequence of states (Viterbi), [n]."""
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
        """Write the segmenter to an `.npz`, atomically.

        Args:
            path: the file.
        """
        save(path, self._asdict())


def _parts(count: int) -> list[slice]:
    """Rows 0 to count in parts whose products fit into the cache."""
    return [slice(first, first + _PART) for first in range(0, count, _PART)]


def chained(transitions: np.ndarray, min_duration: int) -> np.ndarray:
    """Build the transitions of states that are chains of steps.

    Each of the n states becomes `min_duration` steps. Only the last step is repeated or left, to
    the first step of another state, so that a state lasts at least `min_duration` windows (Rabiner
    1989, "A tutorial on hidden Markov models", section IV.D, with ordinary states).

    Args:
        transitions: [n, n], from a last step.
        min_duration: number of steps of a state.

    Returns:
        [n * min_duration, n * min_duration].
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
    """Faster GaussianHMM of hmmlearn with a least duration of states and other initial values.

    The variances also have a lower limit. hmmlearn's states are here the steps of chains of
    `min_duration`, see `chained`; the steps of a chain share one mean and one covariance.

    The first transitions stay in a state with a probability of 0.9, and all first states are
    equally likely. hmmlearn draws both from a Dirichlet distribution of the concentration
    1 / states, where most transitions are almost impossible: on 20,000 codes of 15 states its EM
    was 5 to 8 % less likely after 10 iterations, even from the true means
    (`benchmarks/vame_hmm.py`).

    hmmlearn limits only the first covariances; a state of equal codes would get a
    singular covariance. Densities and the statistics of the covariances are computed by matrix
    products: the same numbers several times faster. With more than 40,000 codes, k-means of about
    10,000 of them gives the first means; k-means of all would take longer than the EM.

    Attributes:
        floor: added to the diagonals of the covariances.
        min_duration: length of the chains.
        from_centre: whether the first means are drawn near the mean of all codes (0.1 standard
            deviations), in place of k-means' centres. A motif that repeats itself is a circle of
            codes, and the circles of all motifs may lie around one point: k-means finds their
            phases, and the EM stays there.
    """

    floor = 0.0
    min_duration = 1
    from_centre = False

    def of_states(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Parameters of the n states without their chains.

        Returns:
            Start [n], transitions [n, n], means [n, size] and covariances [n, size, size].
        """
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
        # a session may begin in any step of a chain
        self.startprob_ = np.repeat(of_states, self.min_duration)


class _Monitor(ConvergenceMonitor):
    """Reports the progress every ten iterations."""

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
    """A model fitted by EM from one initialisation, and its log-likelihood."""
    floor = _FLOOR * joined.var(axis=0).mean() + 1e-12
    # "scaling" is twice as fast as "log", but underflows for far outliers
    for implementation in ("scaling", "log"):
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


def _fit_error(codes: np.ndarray, n_states: int, error: Exception) -> str:
    """Why a model cannot be fitted to codes, and what to do."""
    distinct, size = len(np.unique(codes, axis=0)), np.abs(codes).max()
    why = "a state lost all its codes"
    if distinct < 10 * n_states:
        why = f"{len(codes)} codes, of which {distinct} differ, are too few for the states"
    if size > 1e100:
        why = f"they are as large as {size:.0e}"
    return (
        f"n_motifs: a hidden Markov model of {n_states} states does not fit these codes: {why} "
        f"({error}). Use fewer motifs, or k-means."
    )


def switch_state(sessions: Sequence[np.ndarray], n_states: int, time_window: int) -> int | None:
    """Find the state of windows that cross a change of motif.

    Most other states change to it most often when they end, and most of its visits lie between two
    different states. Its visits are shorter than `time_window` windows, because no more windows
    contain the same change; those of most other states are not shorter (medians).

    Args:
        sessions: the states [n] of each session's windows.
        n_states: number of states.
        time_window: frames of a window.

    Returns:
        The state; None if there is none.
    """
    moves = np.zeros((n_states, n_states))  # counts, from row to column
    durations, between = ([[] for _ in range(n_states)] for _ in range(2))
    for session in map(bouts, sessions):
        states = [state for state, _ in session]
        for state, windows in session:
            durations[state].append(windows.stop - windows.start)
        for before, state, after in zip(states, states[1:], states[2:], strict=False):
            between[state].append(before != after)
        np.add.at(moves, (states[:-1], states[1:]), 1.0)
    # for each state the number of states that change to it most often
    sources = (moves > 0.5 * moves.sum(axis=1, keepdims=True)).sum(axis=0)
    state = int(np.argmax(sources))
    if sources[state] <= (n_states - 1) / 2 or not between[state] or np.mean(between[state]) <= 0.5:
        return None
    medians = np.array([np.median(visits) if visits else np.nan for visits in durations])
    return (
        state if medians[state] < time_window <= np.nanmedian(np.delete(medians, state)) else None
    )


def _shared_switches(states: np.ndarray, n_motifs: int) -> np.ndarray:
    """Motifs [n]: the windows of each visit to the switch state are divided between the motifs
    before and after it.
    """
    motifs = np.flatnonzero(states < n_motifs)
    if not len(motifs):
        return np.full(len(states), -1)  # only a change of motif: no motif can be assigned
    nearest = np.searchsorted(
        (motifs[1:] + motifs[:-1] + 1) // 2, np.arange(len(states)), side="right"
    )
    return states[motifs[nearest]]


def bouts(labels: np.ndarray) -> list[tuple[int, slice]]:
    """Split labels into stretches of equal labels.

    Args:
        labels: [n].

    Returns:
        The label of each stretch and its windows, in order.
    """
    ends = np.flatnonzero(np.diff(labels)) + 1
    return [
        (int(labels[i]), slice(int(i), int(j)))
        for i, j in zip([0, *ends], [*ends, len(labels)], strict=True)
        if i < j
    ]


def runs_of(observed: np.ndarray) -> list[slice]:
    """Find the stretches of True.

    Args:
        observed: [n] bool.

    Returns:
        The stretches, in order.
    """
    return [run for label, run in bouts(observed.astype(int)) if label]


Segmenter = KMeansSegmenter | HMMSegmenter
SEGMENTERS = {"kmeans": KMeansSegmenter, "hmm": HMMSegmenter}
"""The segmenters by VAME's names."""


def load_segmenter(path: str | Path) -> Segmenter:
    """Read a segmenter that `save` wrote.

    Args:
        path: the file.

    Returns:
        The segmenter.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is damaged, or not a segmenter.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such segmenter.") from None
    except NPZ_ERRORS as error:
        raise ValueError(f"{path}: not a readable segmenter ({reason(error)}).") from error
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
    """Whether the arrays are finite and have consistent shapes."""
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
    """Check which windows have a motif.

    Args:
        name: the argument's name.
        observed: [n] bool; None: all True.
        codes: [n, zdims].

    Returns:
        [n] bool.

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
    """Check codes.

    Args:
        name: the argument's name.
        codes: [n, size].
        size: size of a code.

    Returns:
        The codes as float64.

    Raises:
        ValueError: another shape, no code, NaN or infinity.
    """
    codes = np.asarray(codes)
    if codes.ndim != 2 or codes.shape[1] != size or not len(codes):
        raise ValueError(f"{name}: expected codes [n, {size}], got the shape {codes.shape}.")
    if not np.isfinite(codes).all():
        raise ValueError(f"{name}: codes hold NaN or infinity.")
    return codes.astype(np.float64)
