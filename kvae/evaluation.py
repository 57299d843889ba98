"""How good a trained Kalman VAE is: the paper's imputation errors beside their baselines, and the
test ELBO."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from kvae.model import KVAE
from seqvae.data import Sequences, block_mask, random_mask
from seqvae.training.evaluate import weighted_means

BLOCKS = tuple(range(1, 16, 2))
DROPS = tuple(round(0.1 * i, 1) for i in range(1, 11))


class ImputationErrors(NamedTuple):
    """Fractions of wrong pixels on the missing frames: pixels on different sides of 0.5 (paper,
    section 5.1).

    smoothing, filtering, generation (from the first t_init frames alone); no_ball: the error of the
    background, every pixel as it is in most frames; original_baseline: the original's, the largest
    distance among nine pairs of frames of the first sequence (NaN below 10 frames).
    rmse_smoothing, rmse_filtering, rmse_generation: root mean squared error of a on the missing
    frames, over the range of the encoded a there.
    """

    smoothing: float
    filtering: float
    generation: float
    no_ball: float
    original_baseline: float
    rmse_smoothing: float
    rmse_filtering: float
    rmse_generation: float


class Imputer:
    """A model and test sequences, encoded and generated once, then imputed under as many masks as
    wanted."""

    def __init__(
        self, model: KVAE, sequences: Sequences, *, t_init: int = 4, batch_size: int = 256
    ):
        if not 1 <= t_init <= sequences.steps:
            raise ValueError(
                f"t_init: expected 1 to {sequences.steps} observed frames, got {t_init!r}."
            )
        self._model, self._data, self._size = model, sequences, batch_size
        self._known = (
            np.ones(sequences.images.shape[:2], bool)
            if sequences.mask is None
            else sequences.mask > 0.5
        )
        self._truth = _on(sequences.images)
        self._background = self._truth[self._known].mean(axis=0) > 0.5
        self._encoded = np.concatenate([self._encode(part) for part in self._parts()])
        self._generated = np.concatenate([self._generate(part, t_init) for part in self._parts()])
        # Whether a frame is missing or not changes nothing in these two: once for all masks.
        self._wrong_generated = self._wrong(
            self._generated, np.ones(self._known.shape, bool)
        ).reshape(self._known.shape)
        self._wrong_no_ball = _fraction(self._truth != self._background, 2)

    def errors(self, mask: np.ndarray) -> ImputationErrors:
        """The errors where `mask` [N, T] is 0 and the truth is known.

        Raises:
            ValueError: nothing known is missing.
        """
        asked = self._asked(mask)
        if not asked.any():
            raise ValueError(
                "mask: no frame is missing, there is nothing to impute. 1 means observed, 0 "
                "missing."
            )
        smoothed, filtered = (
            np.concatenate(codes)
            for codes in zip(
                *(self._states(part, mask[part]) for part in self._parts()), strict=True
            )
        )
        wrong = [self._wrong(codes, asked) for codes in (smoothed, filtered)]
        wrong += [self._wrong_generated[asked], self._wrong_no_ball[asked]]
        rmse = [
            _normalised_rmse(a[asked], self._encoded[asked])
            for a in (smoothed, filtered, self._generated)
        ]
        return ImputationErrors(
            *[*(float(w.mean()) for w in wrong), _original_baseline(self._truth[0]), *rmse]
        )

    def can_judge(self, mask: np.ndarray) -> bool:
        """Whether `mask` hides a frame whose truth is known."""
        return bool(self._asked(mask).any())

    def _asked(self, mask: np.ndarray) -> np.ndarray:
        return (mask < 0.5) & self._known

    def _parts(self) -> list[slice]:
        return [slice(i, i + self._size) for i in range(0, len(self._data), self._size)]

    def _observed(self, part: slice, mask: np.ndarray | None = None) -> np.ndarray:
        known = self._known[part].astype(np.float32)
        return known if mask is None else known * mask

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
        states = self._model.smooth(
            self._encoded[part][:, :t_init], self._observed(part)[:, :t_init], first
        ).mean
        return self._model.generate(self._data.steps, states=states, controls=controls).a.numpy()

    def _states(self, part: slice, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        arguments = self._encoded[part], self._observed(part, mask), self._controls(part)
        smoothed, filtered = self._model.smooth(*arguments), self._model.filter(*arguments)
        return tuple(
            tf.linalg.matvec(states.C, states.mean).numpy() for states in (smoothed, filtered)
        )

    def _wrong(self, a: np.ndarray, where: np.ndarray) -> np.ndarray:
        """The fraction of wrong pixels of each frame at `where` [N, T], decoded from a [N, T,
        dim_a]."""
        codes, truth, chunk = (
            a[where],
            self._truth[where],
            4 * self._size,
        )  # the decoder takes 130 KB a frame and layer
        found = []
        for i in range(0, len(codes), chunk):
            frames = self._model.decode(codes[None, i : i + chunk]).mean()[0].numpy()
            found.append(_fraction((frames > 0.5) != truth[i : i + chunk], 1))
        return np.concatenate(found)


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
        {"block": {"x": [...], "smoothing": [...], ...}, "random": {...}}, the names those of
        `ImputationErrors`.
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
    curves = {}
    for kind, pairs in masks.items():
        errors = [(x, imputer.errors(mask)) for x, mask in pairs if imputer.can_judge(mask)]
        curves[kind] = {"x": [x for x, _ in errors]}
        curves[kind] |= {
            name: [getattr(e, name) for _, e in errors] for name in ImputationErrors._fields
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


def _on(images: np.ndarray) -> np.ndarray:
    if images.dtype == np.uint8:
        return images > 127
    return images if images.dtype == bool else np.nan_to_num(images) > 0.5


def _fraction(wrong: np.ndarray, lead: int) -> np.ndarray:
    """The mean over all but the first `lead` axes."""
    return wrong.reshape(*wrong.shape[:lead], -1).mean(axis=-1)


def _original_baseline(sequence: np.ndarray) -> float:
    pairs = [(i, j) for i in (0, 3, 6) for j in (9, 12, 15) if j < len(sequence)]
    return max((float((sequence[i] != sequence[j]).mean()) for i, j in pairs), default=float("nan"))


def _normalised_rmse(guess: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(np.mean((guess - truth) ** 2)) / max(np.ptp(truth), 1e-12))
