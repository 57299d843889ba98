"""Evaluation of a trained Kalman VAE: imputation errors beside those of trivial baselines, and the
test ELBO.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp, ndtr
from scipy.stats import norm

from kvae.model import KVAE
from seqvae import baselines
from seqvae.data import Sequences, block_mask, random_mask, unit_pixels
from seqvae.data.masks import is_observed
from seqvae.training.evaluate import weighted_means

BLOCKS = tuple(range(1, 16, 2))
DROPS = tuple(round(0.1 * i, 1) for i in range(1, 11))
METHODS = ("smoothing", "filtering", "generation")
"""The model's methods. They use all observed frames, those up to the imputed one, or only the first
t_init frames.
"""
BASELINES = ("mean frame", "last frame", "linear interpolation", "nearest training sequence")
_FAIR = {"smoothing": BASELINES, "filtering": BASELINES[:2], "generation": BASELINES[:2]}
"""For each method, the baselines that use no more observed frames than it does."""
_LABELS = {"rmse": "RMSE", "log_likelihood": "log-likelihood"}
LEVELS = (0.5, 0.8, 0.9, 0.95)
"""The levels of the intervals whose coverage is measured."""
_ERROR_RATES = (1e-4, 1e-3, 0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
_FAR = 10.0  # a code has diverged at this distance, in ranges of the encoded codes
_DECODED_AT_ONCE = 1024  # frames; the decoder needs 130 KB per frame and layer
_NEIGHBOURS_MOST = 1000  # training sequences among which the nearest is searched


class FrameErrors(NamedTuple):
    """Errors on the missing frames, averaged over them."""

    wrong_pixels: float
    """Fraction of pixels on the wrong side of 0.5 (paper, section 5.1)."""
    rmse: float
    """Root mean squared error of a pixel in [0, 1]."""
    log_likelihood: float
    """log p(x_t | the observed frames) of a whole frame, in nats; NaN without draws. For the model:
    the log of the mean of p(x_t | a_t) over draws of a_t from its posterior, in expectation a
    lower bound. For a baseline: that of the same kind of distribution around its frame, with the
    best error rate (Bernoulli) or variance (normal).
    """


class Codes(NamedTuple):
    """The Gaussian distribution of each a_t according to a method."""

    mean: np.ndarray
    """[N, T, dim_a]."""
    cov: np.ndarray
    """[N, T, dim_a, dim_a], including the emission noise."""


class ImputationErrors(NamedTuple):
    """Errors on the missing frames whose truth is known."""

    frames: dict[str, FrameErrors]
    """Errors of the frames, by the name of a method or baseline."""
    codes: dict[str, list[float]]
    """For each method: root mean squared error of each dimension of a, divided by the range of its
    encoded values; NaN for a constant dimension.
    """
    coverage: dict[str, list[float]]
    """For each method: the share of codes inside its intervals of `LEVELS`, over all numbers of a.
    The code of a frame is a draw from q(a_t | x_t), as in the model: the encoder's means have
    less noise and are inside more often.
    """
    pixel_coverage: dict[str, list[float]]
    """For each method: the share of the pixels inside its intervals of `LEVELS`, of the normal
    distribution with the mean and variance of its draws. Empty without draws, and for Bernoulli
    pixels, for which intervals are not meaningful.
    """
    coverage_over_gap: dict[str, list[float]]
    """For each method: the coverage at level 0.9 by the number of frames since the last observed
    one, from 1 on; NaN where there is no frame.
    """
    diverged: dict[str, int]
    """For each method: the number of sequences whose states diverged over the gap. Their frames are
    evaluated as the mean frame.
    """
    count: int
    """Number of evaluated frames."""

    def as_dict(self) -> dict:
        """Convert to plain numbers for JSON; NaN becomes None in lists, and a NaN measure of
        frames is left out.

        Returns:
            The errors by name.
        """
        return {
            "frames": {
                name: {k: v for k, v in errors._asdict().items() if np.isfinite(v)}
                for name, errors in self.frames.items()
            },
            "codes": _finite_or_none(self.codes),
            "coverage": {
                "levels": LEVELS,
                "codes": _finite_or_none(self.coverage),
                "pixels": _finite_or_none(self.pixel_coverage),
            },
            "coverage_over_gap": _finite_or_none(self.coverage_over_gap),
            "diverged": self.diverged,
            "count": self.count,
        }


def _finite_or_none(lists: dict[str, list[float]]) -> dict[str, list[float | None]]:
    return {name: [x if np.isfinite(x) else None for x in values] for name, values in lists.items()}


class Imputer:
    """A model and test sequences, encoded once and imputed under any number of masks.

    Args:
        model: the model.
        sequences: the test sequences.
        training: sequences for the mean frame and the nearest sequence; None: the mean frame is
            that of the test sequences, and there is no nearest sequence.
        t_init: number of first frames that generation starts from.
        batch_size: sequences computed at a time.

    Raises:
        ValueError: t_init is out of range.
    """

    def __init__(
        self,
        model: KVAE,
        sequences: Sequences,
        *,
        training: Sequences | None = None,
        t_init: int = 4,
        batch_size: int = 64,
    ):
        if not 1 <= t_init <= sequences.steps:
            raise ValueError(
                f"t_init: expected 1 to {sequences.steps} observed frames, got {t_init!r}."
            )
        self._model, self._data, self._size = model, sequences, batch_size
        self._training = training and training.take(slice(0, _NEIGHBOURS_MOST))
        self._known = sequences.observed
        self._mean = (self._training or sequences).mean_frame()
        encoded = [self._encode(part) for part in self._parts()]
        self._encoded, self._variance = map(np.concatenate, zip(*encoded, strict=True))
        self._generated = _joined([self._generate(part, t_init) for part in self._parts()])

    def errors(
        self, mask: np.ndarray, *, nearest: bool = False, draws: int = 0, seed: int = 0
    ) -> ImputationErrors:
        """Compute the errors on frames where `mask` is 0 and the truth is known.

        Args:
            mask: [N, T], 1 = observed.
            nearest: whether to include the nearest training sequence, the slowest baseline.
            draws: draws of a_t per frame for the log-likelihoods; 0: these are NaN.
            seed: seed of the draws.

        Returns:
            The errors.

        Raises:
            ValueError: no known frame is missing.
        """
        hidden = self._hidden(mask)
        if not hidden.any():
            raise ValueError(
                "mask: no frame is missing, there is nothing to impute. 1 means observed, 0 "
                "missing."
            )
        codes = self._codes(mask)
        diverged_of = {name: self._diverged(found, hidden) for name, found in codes.items()}
        others = self._neighbours() if nearest else None
        rng = np.random.default_rng(seed)
        sums: dict[str, _Sums] = {}
        for part in self._parts():
            where = hidden[part]
            if not where.any():
                continue
            truth, shown = self._truth(part, where)
            for name, found in codes.items():
                diverged = diverged_of[name][part][where]
                a = Codes(*(np.where(_wide(diverged, x := v[part][where]), 0.0, x) for v in found))
                sums.setdefault(name, _Sums(draws > 0)).add(
                    truth, shown, *self._guesses(a, truth, shown, diverged, draws, rng)
                )
            for name, guess in self._baselines(part, mask, where, others):
                sums.setdefault(name, _Sums(draws > 0)).add(truth, shown, guess)
        covered = {name: self._covered(found) for name, found in codes.items()}
        scored = {name: hidden & ~diverged for name, diverged in diverged_of.items()}
        gap = _frames_since_seen(is_observed(mask) & self._known)
        return ImputationErrors(
            {name: found.errors(self._gaussian) for name, found in sums.items()},
            {
                name: _normalised_rmse(
                    found.mean[hidden], self._encoded[hidden], diverged_of[name][hidden]
                )
                for name, found in codes.items()
            },
            {name: _means(inside[scored[name]], len(LEVELS)) for name, inside in covered.items()},
            {name: share for name in codes if (share := sums[name].coverage())},
            {
                name: _means_over(gap, inside[..., LEVELS.index(0.9)], scored[name])
                for name, inside in covered.items()
            },
            {name: int(found.any(axis=1).sum()) for name, found in diverged_of.items()},
            int(hidden.sum()),
        )

    def can_judge(self, mask: np.ndarray) -> bool:
        """Whether a mask hides a frame whose truth is known.

        Args:
            mask: [N, T], 1 = observed.

        Returns:
            True if `errors` can be computed.
        """
        return bool(self._hidden(mask).any())

    def _hidden(self, mask: np.ndarray) -> np.ndarray:
        return (mask < 0.5) & self._known

    def _parts(self) -> list[slice]:
        return [slice(i, i + self._size) for i in range(0, len(self._data), self._size)]

    def _seen(self, part: slice, mask: np.ndarray) -> np.ndarray:
        return self._known[part] & is_observed(mask[part])

    def _controls(self, part: slice):
        return None if self._data.controls is None else self._data.controls[part]

    def _truth(self, part: slice, where: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Frames [M, ...] in [0, 1], and which of their pixels are known (None: all); the others
        are 0."""
        truth = unit_pixels(self._data.frames[part])[where]
        if self._data.pixel_mask is None:
            return truth, None
        shown = self._data.pixel_mask[part][where]
        return np.where(shown, truth, 0.0), shown

    def _encode(self, part: slice) -> tuple[np.ndarray, np.ndarray]:
        """Means and variances of q(a_t | x_t), of the visible pixels."""
        frames = self._data.frames[part]
        if np.issubdtype(frames.dtype, np.floating):
            frames = np.nan_to_num(frames)
        shown = None if self._data.pixel_mask is None else self._data.pixel_mask[part]
        q = self._model.encode(frames, shown)
        return q.mean().numpy(), q.variance().numpy()

    def _generate(self, part: slice, t_init: int) -> Codes:
        """The generated codes, with the covariances of the filter that uses only the first
        frames.
        """
        controls = self._controls(part)
        first = None if controls is None else controls[:, :t_init]
        encoded = self._encoded[part]
        observed = self._known[part].astype(np.float32)
        states = self._model.smooth(
            encoded[:, :t_init], observed[:, :t_init], first, check_finite=False
        ).mean
        a = self._model.generate(
            self._data.steps, states=states, controls=controls, check_finite=False
        ).a
        observed[:, t_init:] = 0.0
        cov = self._model.filter(encoded, observed, controls, check_finite=False).a_cov
        return Codes(a.numpy(), cov.numpy())

    def _codes(self, mask: np.ndarray) -> dict[str, Codes]:
        """The codes of each method."""
        smoothed, filtered = [], []
        for part in self._parts():
            observed = self._seen(part, mask).astype(np.float32)
            given = self._encoded[part], observed, self._controls(part)
            for verb, found in ((self._model.smooth, smoothed), (self._model.filter, filtered)):
                states = verb(*given, check_finite=False)
                found.append(Codes(states.a_mean.numpy(), states.a_cov.numpy()))
        return {
            "smoothing": _joined(smoothed),
            "filtering": _joined(filtered),
            "generation": self._generated,
        }

    def _covered(self, codes: Codes) -> np.ndarray:
        """[N, T, levels]: the probability that a draw from q(a_t | x_t) is inside the interval of
        each level, averaged over the numbers of a.
        """
        variance = np.diagonal(codes.cov, axis1=-2, axis2=-1)
        spread = np.sqrt(np.maximum(self._variance, 1e-12))
        distance = codes.mean - self._encoded
        inside = []
        with np.errstate(invalid="ignore"):  # diverged codes are left out by the caller
            for level in LEVELS:
                half = norm.ppf(0.5 + level / 2) * np.sqrt(variance)
                inside.append(ndtr((distance + half) / spread) - ndtr((distance - half) / spread))
        return np.stack(inside).mean(axis=-1).transpose(1, 2, 0)

    def _diverged(self, codes: Codes, hidden: np.ndarray) -> np.ndarray:
        """[N, T]: hidden frames whose code is not finite, far from all encoded codes, or of
        huge variance.
        """
        known = self._encoded[self._known]
        low, high = known.min(axis=0), known.max(axis=0)
        margin = _FAR * max(1.0, float((high - low).max()))
        a, variance = codes.mean, np.diagonal(codes.cov, axis1=-2, axis2=-1)
        inside = (a > low - margin) & (a < high + margin) & (variance < margin**2)  # NaN: False
        inside = inside.all(axis=-1)
        return hidden & ~inside

    def _guesses(
        self,
        a: Codes,
        truth: np.ndarray,
        shown: np.ndarray | None,
        diverged: np.ndarray,
        draws: int,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Decode codes [M, ...]; with draws, also compute `_posterior` of the true frames.

        Diverged codes are replaced by the mean frame.
        """
        guess = np.concatenate([self._decoded(part).mean()[0] for part in _chunks(a.mean)])
        if not draws:
            log_px = inside = None
        else:
            log_px, inside = self._posterior(a, truth, shown, draws, rng)
        if diverged.any():
            mean = np.broadcast_to(self._mean, truth[diverged].shape)
            guess[diverged] = mean
            if log_px is not None:
                of_diverged = None if shown is None else shown[diverged]
                sums = _Sums().add(truth[diverged], of_diverged, mean)
                log_px[diverged] = sums.errors(self._gaussian).log_likelihood
            inside = None if inside is None else inside[~diverged]
        return guess, log_px, inside

    @property
    def _gaussian(self) -> bool:
        return self._model.out_distr == "gaussian"

    def _posterior(
        self,
        a: Codes,
        truth: np.ndarray,
        shown: np.ndarray | None,
        draws: int,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """For true frames [M, ...], from draws of a_t: log of the mean of p(x_t | a_t) [M], of the
        known pixels; and of normal pixels the share [M, levels] of the known ones inside the
        intervals of `LEVELS`."""
        root = np.linalg.cholesky(a.cov.astype(np.float64) + 1e-9 * np.eye(a.mean.shape[-1]))
        noise = rng.standard_normal((draws, *a.mean.shape))
        drawn = (a.mean + np.einsum("mij,smj->smi", root, noise)).astype(np.float32)
        known = np.ones(truth.shape, bool) if shown is None else shown
        found = [
            self._posterior_of_chunk(codes, true, seen)
            for codes, true, seen in zip(
                _chunks(drawn.swapaxes(0, 1)), _chunks(truth), _chunks(known), strict=True
            )
        ]
        log_px, inside = zip(*found, strict=True)
        return np.concatenate(log_px), np.concatenate(inside) if self._gaussian else None

    def _posterior_of_chunk(
        self, codes: np.ndarray, truth: np.ndarray, known: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """`_posterior` of draws [m, draws, dim_a] for frames [m, ...]."""
        pixels = tuple(range(1, truth.ndim))
        log_px, mean, square = [], 0.0, 0.0
        for drawn in codes.swapaxes(0, 1):
            x = self._decoded(drawn)
            if known.all():
                log_px.append(x.log_prob(truth[None]).numpy()[0])
            else:
                of_pixel = x.distribution.log_prob(truth[None]).numpy()[0]
                log_px.append(np.where(known, of_pixel, 0.0).sum(axis=pixels))
            mean = mean + x.mean().numpy()[0] / codes.shape[1]
            square = square + np.square(x.mean().numpy()[0]) / codes.shape[1]
        log_mean = logsumexp(np.stack(log_px).astype(np.float64), axis=0) - np.log(len(log_px))
        if not self._gaussian:
            return log_mean, None
        variance = np.maximum(square - np.square(mean), 0.0) + x.variance().numpy()[0]
        off = np.abs(truth - mean) / np.sqrt(variance)
        each = [(known & (off < norm.ppf(0.5 + level / 2))).sum(axis=pixels) for level in LEVELS]
        return log_mean, np.stack(each, axis=1) / np.maximum(known.sum(axis=pixels), 1)[:, None]

    def _decoded(self, codes: np.ndarray):
        """p(x | a) of codes [M, dim_a], batch [1, M]."""
        return self._model.decode(codes[None])

    def _baselines(
        self, part: slice, mask: np.ndarray, where: np.ndarray, others: np.ndarray | None
    ) -> Iterator[tuple[str, np.ndarray]]:
        frames = self._data.take(part).complete(self._mean)  # unobserved: the mean frame
        seen = self._seen(part, mask)
        yield "mean frame", np.broadcast_to(self._mean, frames.shape)[where]
        possible = np.any(seen, axis=1)  # a random mask may hide all known frames of a sequence
        fills = {
            "last frame": baselines.last_observed,
            "linear interpolation": baselines.interpolated,
        }
        for name, fill in fills.items():
            yield name, self._filled(frames, seen, possible, fill)[where]
        if others is not None and self._training is not None:
            known = self._training.observed
            shared = seen.astype(np.float32) @ known.T.astype(np.float32)

            def by_others(frames, seen):
                return others[baselines.nearest(frames, seen, others, known)]

            guess = self._filled(frames, seen, np.any(shared, axis=1), by_others)
            yield "nearest training sequence", guess[where]

    def _filled(
        self,
        frames: np.ndarray,
        seen: np.ndarray,
        possible: np.ndarray,
        fill: Callable[[np.ndarray, np.ndarray], np.ndarray],
    ) -> np.ndarray:
        """The result of `fill` for the sequences where it is possible; the mean frame elsewhere."""
        guess = np.broadcast_to(self._mean, frames.shape).copy()
        if possible.any():
            guess[possible] = fill(frames[possible], seen[possible])
        return guess

    def _neighbours(self) -> np.ndarray | None:
        """The training frames, missing ones as the mean frame."""
        if self._training is None:
            return None
        return self._training.complete(self._mean)


class _Sums:
    """Sums over frames from which their errors are computed."""

    def __init__(self, likelihoods: bool = True) -> None:
        self._likelihoods = likelihoods
        self._count = self._wrong = self._squares = 0.0
        self._pixels = 0
        self._log_px: float | None = None
        self._inside: list[np.ndarray] = []
        self._rates = np.zeros(len(_ERROR_RATES))

    def add(
        self,
        truth: np.ndarray,
        shown: np.ndarray | None,
        guess: np.ndarray,
        log_px: np.ndarray | None = None,
        inside: np.ndarray | None = None,
    ) -> "_Sums":
        """Add frames [M, ...]; shown: their known pixels, None: all.

        log_px [M]: log-likelihoods of a guess with its own distribution; None: that of the best
        error rate or variance is used. inside [m, levels]: shares of pixels in its intervals.
        """
        if inside is not None:
            self._inside.append(inside)
        if shown is not None:
            truth, guess = truth[shown], guess[shown]
            self._count += len(shown)
        else:
            self._count += len(truth)
        self._pixels += truth.size
        self._wrong += ((guess > 0.5) != (truth > 0.5)).sum()
        self._squares += ((guess - truth).astype(np.float64) ** 2).sum()
        if log_px is not None:
            self._log_px = (self._log_px or 0.0) + float(log_px.sum(dtype=np.float64))
        elif self._likelihoods:
            for i, rate in enumerate(_ERROR_RATES):
                p = (1 - rate) * guess + rate / 2
                self._rates[i] += (truth * np.log(p) + (1 - truth) * np.log1p(-p)).sum(dtype=float)
        return self

    def coverage(self) -> list[float]:
        """The mean of `inside` over the frames; empty if none was added."""
        return np.concatenate(self._inside).mean(axis=0).tolist() if self._inside else []

    def errors(self, gaussian: bool) -> FrameErrors:
        """The averages over all frames that were added."""
        square = self._squares / self._pixels
        if not self._likelihoods:
            log_px = float("nan")
        elif self._log_px is not None:
            log_px = self._log_px / self._count
        elif gaussian:
            of_frame = self._pixels / self._count
            log_px = -0.5 * of_frame * (np.log(2 * np.pi * max(square, 1e-12)) + 1)
        else:
            log_px = self._rates.max() / self._count
        wrong = self._wrong / self._pixels
        return FrameErrors(float(wrong), float(np.sqrt(square)), float(log_px))


def worse_than_baselines(errors: ImputationErrors) -> list[str]:
    """List the methods that are worse than a baseline with the same observed frames.

    Args:
        errors: the errors.

    Returns:
        A sentence for each method and measure that is worse.
    """
    found = []
    for method, fair in _FAIR.items():
        present = [name for name in fair if name in errors.frames]
        for measure, sign in (("rmse", 1), ("log_likelihood", -1)):
            value = getattr(errors.frames[method], measure)
            worse = [
                f"{name} ({theirs:.4g})"
                for name in present
                if sign * value > sign * (theirs := getattr(errors.frames[name], measure))
            ]
            if worse:
                label = _LABELS[measure]
                found.append(f"{method} is WORSE in {label} ({value:.4g}) than {', '.join(worse)}")
    return found


def imputation_curves(
    imputer: Imputer,
    sequences: Sequences,
    *,
    t_init: int = 4,
    seed: int = 0,
    blocks: Sequence[int] = BLOCKS,
    drops: Sequence[float] = DROPS,
) -> dict:
    """Compute errors over the length of a block of missing frames, and over the drop probability.

    Both kinds of mask keep the first `t_init` frames. Masks that hide no known frame are left out.

    Args:
        imputer: the model and the test sequences.
        sequences: the same test sequences.
        t_init: number of first frames that are observed.
        seed: seed of the random masks.
        blocks: lengths of the block.
        drops: probabilities that a frame is missing.

    Returns:
        {"block": {"x": [...], "diverged": {method: [...]}, "smoothing": {"wrong_pixels": [...],
        "rmse": [...]}, ...}, "random": {...}}, where the other names are those of `METHODS` and
        `BASELINES`.
    """
    count, steps = len(sequences), sequences.steps
    blocks = [length for length in blocks if t_init + length <= steps]
    masks = {
        "block": [
            (length, block_mask(count, steps, start=t_init, length=length)) for length in blocks
        ],
        "random": [
            (p, random_mask(count, steps, start=t_init, drop_prob=p, seed=seed))
            for p in drops
            if t_init < steps
        ],
    }
    return {kind: _curves(imputer, pairs) for kind, pairs in masks.items()}


def _curves(imputer: Imputer, pairs: list[tuple[float, np.ndarray]]) -> dict:
    found = [(x, imputer.errors(mask)) for x, mask in pairs if imputer.can_judge(mask)]
    curves: dict = {"x": [x for x, _ in found]}
    curves["diverged"] = {name: [e.diverged[name] for _, e in found] for name in METHODS}
    for name in found[0][1].frames if found else ():
        curves[name] = {
            measure: [getattr(e.frames[name], measure) for _, e in found]
            for measure in ("wrong_pixels", "rmse")
        }
    return curves


def evaluate_elbo(
    model: KVAE,
    sequences: Sequences,
    *,
    batch_size: int = 64,
    kind: str = "marginal",
    seed: int = 0,
) -> dict:
    """Compute the ELBO and its terms over all sequences.

    Args:
        model: the model.
        sequences: the sequences.
        batch_size: sequences computed at a time.
        kind: "marginal" or "sampled".
        seed: seed of the random draws.

    Returns:
        The terms by name, in nats per observed frame.
    """

    def parts():
        for i in range(0, len(sequences), batch_size):
            part = sequences.take(slice(i, i + batch_size))
            mask = part.batch_mask
            elbo = model.elbo(part.frames, mask, part.controls, kind=kind, seed=[seed, i])
            terms = {
                "elbo" if name == "total" else name: value for name, value in elbo._asdict().items()
            }
            yield terms, float(part.observed.sum())

    return weighted_means(parts())


def original_baseline(sequence: np.ndarray) -> float:
    """Compute the original program's baseline for a sequence.

    It is the largest fraction of pixels that differ within nine pairs of frames: the first of 0, 3,
    6, the second of 9, 12, 15.

    Args:
        sequence: [T, ...].

    Returns:
        The fraction.

    Raises:
        ValueError: there are fewer than 10 frames.
    """
    on = unit_pixels(sequence) > 0.5
    if len(on) < 10:
        raise ValueError(f"sequence: expected at least 10 frames, got {len(on)}.")
    pairs = [(i, j) for i in (0, 3, 6) for j in (9, 12, 15) if j < len(on)]
    return max(float((on[i] != on[j]).mean()) for i, j in pairs)


def _wide(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    return values.reshape(*values.shape, *[1] * (like.ndim - values.ndim))


def _normalised_rmse(guess: np.ndarray, truth: np.ndarray, diverged: np.ndarray) -> list[float]:
    """The error of each dimension, without diverged frames; NaN if the truth is constant."""
    span = np.ptp(truth, axis=0)
    if diverged.all():
        return [float("nan")] * len(span)
    error = np.sqrt(np.mean((guess[~diverged] - truth[~diverged]) ** 2, axis=0))
    constant = span <= 1e-4 * max(1.0, float(np.abs(truth).max()))
    return [
        float("nan") if flat else float(e / s)
        for e, s, flat in zip(error, span, constant, strict=True)
    ]


def _chunks(values: np.ndarray) -> list[np.ndarray]:
    """Parts of the values that are small enough to be decoded at once."""
    return [values[i : i + _DECODED_AT_ONCE] for i in range(0, len(values), _DECODED_AT_ONCE)]


def _joined(parts: list[Codes]) -> Codes:
    return Codes(*map(np.concatenate, zip(*parts, strict=True)))


def _frames_since_seen(seen: np.ndarray) -> np.ndarray:
    """[N, T]: frames since the last observed one; before the first, since the start."""
    steps = np.arange(seen.shape[1])
    return steps - np.maximum.accumulate(np.where(seen, steps, -1), axis=1)


def _means(values: np.ndarray, count: int) -> list[float]:
    """Means over the first axis of [M, count]; NaN if M is 0."""
    return values.mean(axis=0).tolist() if len(values) else [float("nan")] * count


def _means_over(gap: np.ndarray, values: np.ndarray, where: np.ndarray) -> list[float]:
    """The mean of the values at each number of frames since an observed one, from 1 on."""
    longest = int(gap[where].max()) if where.any() else 0
    at = (values[where & (gap == length)] for length in range(1, longest + 1))
    return [float(found.mean()) if len(found) else float("nan") for found in at]
