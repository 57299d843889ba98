"""How good a trained Kalman VAE is: its imputation errors beside those of trivial baselines, and
the test ELBO."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from kvae.lgssm.products import matvec
from kvae.model import KVAE
from seqvae import baselines
from seqvae.data import Sequences, block_mask, random_mask, unit_pixels
from seqvae.training.evaluate import weighted_means

BLOCKS = tuple(range(1, 16, 2))
DROPS = tuple(round(0.1 * i, 1) for i in range(1, 11))
METHODS = ("smoothing", "filtering", "generation")
"""Of the model: from all observed frames, from those before, from the first t_init alone."""
BASELINES = ("mean frame", "last frame", "linear interpolation", "nearest training sequence")
_FAIR = {"smoothing": BASELINES, "filtering": BASELINES[:2], "generation": BASELINES[:2]}
"""The baselines that know no more than the method does."""
_LABELS = {"rmse": "RMSE", "log_likelihood": "log-likelihood at the one imputed code"}
_ERROR_RATES = (1e-4, 1e-3, 0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
_FAR = 10.0  # a code so many ranges of the encoded codes away from them has diverged
_DECODED_AT_ONCE = 1024  # frames; the decoder takes 130 KB a frame and layer
_NEIGHBOURS_MOST = 1000  # training sequences in which the nearest is sought


class FrameErrors(NamedTuple):
    """Errors on the missing frames, averages over them.

    wrong_pixels: the fraction of pixels on the other side of 0.5 (paper, section 5.1).
    rmse: root mean squared error of a pixel in [0, 1].
    log_likelihood: log p(x) of a whole frame. The model's is that of its decoder at the imputed
    code. A baseline's is that of the same kind of distribution about its frame, with the error rate
    (Bernoulli) or the variance (normal) that suits it best.
    """

    wrong_pixels: float
    rmse: float
    log_likelihood: float


class ImputationErrors(NamedTuple):
    """Errors on the missing frames whose truth is known.

    frames: by the name of a method or baseline.
    codes: of each method, root mean squared error of each dimension of a over the range of its
    encoded values there; NaN for a dimension that is constant.
    diverged: of each method, in how many sequences the states grew without limit over the gap. Such
    frames are judged as the mean frame.
    count: number of judged frames.
    """

    frames: dict[str, FrameErrors]
    codes: dict[str, list[float]]
    diverged: dict[str, int]
    count: int

    def as_dict(self) -> dict:
        """Plain numbers, for JSON; NaN is None."""
        return {
            "frames": {name: errors._asdict() for name, errors in self.frames.items()},
            "codes": {
                name: [x if np.isfinite(x) else None for x in errors]
                for name, errors in self.codes.items()
            },
            "diverged": self.diverged,
            "count": self.count,
        }


class Imputer:
    """A model and test sequences, encoded and generated once, then imputed under as many masks as
    wanted.

    Args:
        training: sequences that the mean frame and the nearest sequence are taken from; None: the
            mean frame is the test sequences', and there is no nearest sequence.
        t_init: frames that generation is given.
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
        self._encoded = np.concatenate([self._encode(part) for part in self._parts()])
        self._generated = np.concatenate([self._generate(part, t_init) for part in self._parts()])

    def errors(self, mask: np.ndarray, *, nearest: bool = False) -> ImputationErrors:
        """The errors where `mask` [N, T] is 0 and the truth is known.

        Args:
            nearest: seek the nearest training sequence too; this takes the longest.

        Raises:
            ValueError: nothing known is missing.
        """
        asked = self._asked(mask)
        if not asked.any():
            raise ValueError(
                "mask: no frame is missing, there is nothing to impute. 1 means observed, 0 "
                "missing."
            )
        codes = self._codes(mask)
        diverged = {name: self._diverged(a, asked) for name, a in codes.items()}
        others = self._neighbours() if nearest else None
        sums: dict[str, _Sums] = {}
        for part in self._parts():
            where = asked[part]
            if not where.any():
                continue
            truth = unit_pixels(self._data.images[part])[where]
            for name, a in codes.items():
                lost = diverged[name][part][where]
                guess, log_px = self._decode(a[part][where], truth, lost)
                sums.setdefault(name, _Sums()).add(truth, guess, log_px)
            for name, guess in self._baselines(part, mask, where, others):
                sums.setdefault(name, _Sums()).add(truth, guess)
        gaussian = self._model.out_distr == "gaussian"
        return ImputationErrors(
            {name: found.errors(gaussian) for name, found in sums.items()},
            {
                name: _normalised_rmse(a[asked], self._encoded[asked], diverged[name][asked])
                for name, a in codes.items()
            },
            {name: int(lost.any(axis=1).sum()) for name, lost in diverged.items()},
            int(asked.sum()),
        )

    def can_judge(self, mask: np.ndarray) -> bool:
        """Whether `mask` hides a frame whose truth is known."""
        return bool(self._asked(mask).any())

    def _asked(self, mask: np.ndarray) -> np.ndarray:
        return (mask < 0.5) & self._known

    def _parts(self) -> list[slice]:
        return [slice(i, i + self._size) for i in range(0, len(self._data), self._size)]

    def _seen(self, part: slice, mask: np.ndarray) -> np.ndarray:
        return self._known[part] & (mask[part] > 0.5)

    def _controls(self, part: slice):
        return None if self._data.controls is None else self._data.controls[part]

    def _encode(self, part: slice) -> np.ndarray:
        images = self._data.images[part]
        if np.issubdtype(images.dtype, np.floating):
            images = np.nan_to_num(images)
        return self._model.encode(images).mean().numpy()

    def _generate(self, part: slice, t_init: int) -> np.ndarray:
        controls = self._controls(part)
        first = None if controls is None else controls[:, :t_init]
        observed = self._known[part][:, :t_init].astype(np.float32)
        given = self._encoded[part][:, :t_init], observed, first
        states = self._model.smooth(*given, check_finite=False).mean
        return self._model.generate(
            self._data.steps, states=states, controls=controls, check_finite=False
        ).a.numpy()

    def _codes(self, mask: np.ndarray) -> dict[str, np.ndarray]:
        """The codes [N, T, dim_a] of each method."""
        found = []
        for part in self._parts():
            observed = self._seen(part, mask).astype(np.float32)
            given = self._encoded[part], observed, self._controls(part)
            both = (
                verb(*given, check_finite=False)
                for verb in (self._model.smooth, self._model.filter)
            )
            found.append([matvec(s.C, s.mean).numpy() for s in both])
        smoothed, filtered = (np.concatenate(codes) for codes in zip(*found, strict=True))
        return {"smoothing": smoothed, "filtering": filtered, "generation": self._generated}

    def _diverged(self, a: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """[N, T]: asked frames whose code is not finite, or far from all encoded ones."""
        known = self._encoded[self._known]
        low, high = known.min(axis=0), known.max(axis=0)
        room = _FAR * max(1.0, float((high - low).max()))
        inside = ((a > low - room) & (a < high + room)).all(axis=-1)  # False for NaN
        return asked & ~inside

    def _decode(
        self, a: np.ndarray, truth: np.ndarray, lost: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The frames of codes [M, dim_a], and log p [M] of the true ones; where the codes are lost
        those of the mean frame."""
        codes, found = np.where(lost[:, None], 0.0, a), []
        for i in range(0, len(codes), _DECODED_AT_ONCE):
            frames = self._model.decode(codes[None, i : i + _DECODED_AT_ONCE])
            log_px = frames.log_prob(truth[None, i : i + _DECODED_AT_ONCE])
            found.append((frames.mean().numpy()[0], log_px.numpy()[0]))
        guess, log_px = (np.concatenate(each) for each in zip(*found, strict=True))
        if lost.any():
            mean = np.broadcast_to(self._mean, truth[lost].shape)
            gaussian = self._model.out_distr == "gaussian"
            guess[lost] = mean
            log_px[lost] = _Sums().add(truth[lost], mean).errors(gaussian).log_likelihood
        return guess, log_px

    def _baselines(
        self, part: slice, mask: np.ndarray, where: np.ndarray, others: np.ndarray | None
    ) -> Iterator[tuple[str, np.ndarray]]:
        frames, seen = np.nan_to_num(unit_pixels(self._data.images[part])), self._seen(part, mask)
        yield "mean frame", np.broadcast_to(self._mean, frames.shape)[where]
        some = np.any(seen, axis=1)  # random masks may leave nothing of a sequence with gaps
        fills = {
            "last frame": baselines.last_observed,
            "linear interpolation": baselines.interpolated,
        }
        for name, fill in fills.items():
            yield name, self._filled(frames, seen, some, fill)[where]
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
        """What `fill` gives for the sequences where it is possible; the mean frame elsewhere."""
        guess = np.broadcast_to(self._mean, frames.shape).copy()
        if possible.any():
            guess[possible] = fill(frames[possible], seen[possible])
        return guess

    def _neighbours(self) -> np.ndarray | None:
        """The training frames, missing ones as the mean frame."""
        if self._training is None:
            return None
        frames = np.nan_to_num(unit_pixels(self._training.images))
        return np.where(_wide(self._training.observed, frames), frames, self._mean)


class _Sums:
    """Sums over frames, out of which their errors are made."""

    def __init__(self) -> None:
        self._count = self._wrong = self._squares = 0.0
        self._pixels = 0
        self._log_px: float | None = None
        self._rates = np.zeros(len(_ERROR_RATES))

    def add(
        self, truth: np.ndarray, guess: np.ndarray, log_px: np.ndarray | None = None
    ) -> "_Sums":
        """Adds frames [M, ...]; log_px [M]: where the guess has its own distribution."""
        self._count += len(truth)
        self._pixels = truth[0].size
        self._wrong += ((guess > 0.5) != (truth > 0.5)).sum()
        self._squares += ((guess - truth).astype(np.float64) ** 2).sum()
        if log_px is not None:
            self._log_px = (self._log_px or 0.0) + float(log_px.sum(dtype=np.float64))
            return self
        for i, rate in enumerate(_ERROR_RATES):
            p = (1 - rate) * guess + rate / 2
            self._rates[i] += (truth * np.log(p) + (1 - truth) * np.log1p(-p)).sum(dtype=float)
        return self

    def errors(self, gaussian: bool) -> FrameErrors:
        """The averages over all frames that were added."""
        square = self._squares / (self._count * self._pixels)
        if self._log_px is not None:
            log_px = self._log_px / self._count
        elif gaussian:
            log_px = -0.5 * self._pixels * (np.log(2 * np.pi * max(square, 1e-12)) + 1)
        else:
            log_px = self._rates.max() / self._count
        wrong = self._wrong / (self._count * self._pixels)
        return FrameErrors(float(wrong), float(np.sqrt(square)), float(log_px))


def where_worse(errors: ImputationErrors) -> list[str]:
    """Sentences that say which method is worse than a baseline that knows no more than it."""
    found = []
    for method, fair in _FAIR.items():
        mine = errors.frames[method]
        there = [name for name in fair if name in errors.frames]
        for measure, sign in (("rmse", 1), ("log_likelihood", -1)):
            value = getattr(mine, measure)
            worse = [
                f"{name} ({theirs:.4g})"
                for name in there
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
    """The errors over blocks of missing frames after the first `t_init`, and over the probability
    of dropping each; without the points where no known frame is hidden.

    Returns:
        {"block": {"x": [...], "diverged": {method: [...]}, "smoothing": {"wrong_pixels": [...],
        "rmse": [...], "log_likelihood": [...]}, ...}, "random": {...}}, the other names those of
        `METHODS` and `BASELINES`.
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
            for measure in FrameErrors._fields
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
    """The ELBO and its terms over all sequences, in nats per observed frame, with the noise of
    `seed`."""

    def parts():
        for i in range(0, len(sequences), batch_size):
            part = sequences.take(slice(i, i + batch_size))
            elbo = model.elbo(part.images, part.mask, part.controls, kind=kind, seed=[seed, i])
            terms = {
                "elbo" if name == "total" else name: value for name, value in elbo._asdict().items()
            }
            yield (
                terms,
                part.images.shape[0] * part.steps if part.mask is None else float(part.mask.sum()),
            )

    return weighted_means(parts())


def original_baseline(sequence: np.ndarray) -> float:
    """The original program's baseline on a sequence of frames [T, ...]: the largest fraction of
    pixels that differ among nine pairs of frames, the first of 0, 3, 6, the second of 9, 12, 15.

    Raises:
        ValueError: fewer than 10 frames.
    """
    on = unit_pixels(sequence) > 0.5
    if len(on) < 10:
        raise ValueError(f"sequence: expected at least 10 frames, got {len(on)}.")
    pairs = [(i, j) for i in (0, 3, 6) for j in (9, 12, 15) if j < len(on)]
    return max(float((on[i] != on[j]).mean()) for i, j in pairs)


def _wide(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    return values.reshape(*values.shape, *[1] * (like.ndim - values.ndim))


def _normalised_rmse(guess: np.ndarray, truth: np.ndarray, lost: np.ndarray) -> list[float]:
    """Of each dimension, without lost frames; NaN where the truth is constant."""
    span = np.ptp(truth, axis=0)
    if lost.all():
        return [float("nan")] * len(span)
    error = np.sqrt(np.mean((guess[~lost] - truth[~lost]) ** 2, axis=0))
    constant = span <= 1e-4 * max(1.0, float(np.abs(truth).max()))
    return [
        float("nan") if flat else float(e / s)
        for e, s, flat in zip(error, span, constant, strict=True)
    ]
