"""The Kalman VAE's view of `seqvae play`: frames that are hidden, and what the model fills in."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kvae.config import KVAESettings
from kvae.data import Missing, training_and_test
from kvae.model import KVAE
from seqvae.baselines import last_observed
from seqvae.commands import saved_config
from seqvae.data import Sequences, load
from seqvae.physics import WORLDS, record
from seqvae.play.messages import picture, rounded, whole
from seqvae.play.views import NoModelError
from seqvae.presets import packaged_presets
from seqvae.saved_models import load_model

READS_DATA = True
METHODS = ("smoothed", "filtered", "generated")
_PRESET = "box"
_SEQUENCES = 20  # that the page offers
_MOST_STEPS = 40  # frames of a sequence that are shown
_NINETY = math.sqrt(-2.0 * math.log(1.0 - 0.9))
"""Radius of the ellipse of two standard normal numbers that holds 90 %."""
_NEW = 20_000  # added to the seed of a world's sequences: no run is trained on them


def recognises(folder: Path) -> bool:
    """Whether a folder is a run of the command `kvae`.

    Args:
        folder: the folder.

    Returns:
        Whether its config.json has the settings of a Kalman VAE.
    """
    path = folder / "config.json"
    return path.is_file() and {"dim_a", "dim_z", "kf_update_steps"} <= set(saved_config(path))


def open_view(folder: Path | None, data: str, seed: int) -> "ImputationView":
    """Load a Kalman VAE and the sequences to try it on.

    Args:
        folder: of a run; None: the model of a ball in a box that ships.
        data: an `.npz` of videos; "": the test sequences of the run, or new ones of its world.
        seed: of which sequences are new.

    Returns:
        The view.

    Raises:
        NoModelError: nothing ships.
        ValueError: the run is not finished, damaged, or of series; or the data do not fit.
    """
    if folder is None:
        if _PRESET not in packaged_presets(KVAE):
            raise NoModelError(
                "No Kalman VAE ships with this version. Train one: `seqvae kvae --preset=demo "
                "--run_name=mine`, then `seqvae play logs/mine_kvae`."
            )
        model, name, source = KVAE.from_preset(_PRESET), f"the preset {_PRESET}", _PRESET
        test = None
    else:
        settings = KVAESettings(**saved_config(folder / "config.json", KVAESettings))
        if settings.csv or settings.npz:
            raise ValueError(
                f"{folder}: a run on series of numbers. This page shows Kalman VAEs of videos; the "
                "run's report.html shows its series."
            )
        if not (folder / "model.keras").is_file():
            raise ValueError(
                f"{folder}: no model.keras, the run has not ended. Resume it: seqvae kvae "
                f"--log_dir={folder.parent} --run_name={settings.run_name} --resume."
            )
        model, name = load_model(folder / "model.keras", KVAE), str(folder)
        source, test = settings.dataset, None
        if not data and source not in WORLDS:
            _, test = training_and_test(source, settings.data_dir, Missing(seed=settings.seed))
    if data:
        source, test = data, load(data)
    if test is None:
        arrays = record(WORLDS[source], sequences=_SEQUENCES, seed=_NEW + seed)
        test = Sequences(arrays["images"], controls=arrays.get("controls"))
    return ImputationView(model, test, name, source)  # pyright: ignore[reportArgumentType]


class ImputationView:
    """A Kalman VAE and sequences of frames.

    It has no state: the page says which frames are hidden.

    Args:
        model: the model.
        sequences: of its frames; the first ones, and their first frames, are shown.
        name: of the model, for the page.
        source: of the sequences, for the page.

    Raises:
        ValueError: the frames do not fit the model.
    """

    def __init__(self, model: KVAE, sequences: Sequences, name: str, source: str):
        if sequences.image_shape != model.image_shape:
            raise ValueError(
                f"{source}: expected frames {model.image_shape}, those of the model, got "
                f"{sequences.image_shape}. Convert the videos to this size: seqvae from-videos."
            )
        self._model, self._name, self._source = model, name, source
        self._steps = min(sequences.steps, _MOST_STEPS)
        self._whole_steps = sequences.steps
        begun = np.flatnonzero(sequences.observed[:, : self._steps].any(axis=1))
        if not len(begun):
            raise ValueError(f"{source}: expected an observed frame among the first {self._steps}.")
        sequences = sequences.take(begun[:_SEQUENCES])
        self._frames = sequences.frames[:, : self._steps]
        self._known = sequences.observed[:, : self._steps]
        pixels = sequences.pixel_mask
        self._pixels = None if pixels is None else pixels[:, : self._steps]
        controls = sequences.controls
        self._controls = None if controls is None else controls[:, : self._steps]
        self._spread = tf.function(self._spread_of, autograph=False)

    def about(self) -> dict[str, Any]:
        """What the page needs to build the view."""
        return {
            "name": self._name,
            "source": self._source,
            "sequences": len(self._frames),
            "steps": self._steps,
            "whole_steps": self._whole_steps,
            "shape": list(self._model.image_shape),
            "codes": self._model.dim_a,
        }

    def session(self) -> "ImputationView":
        """The view itself, which has no state."""
        return self

    def warm_up(self) -> None:
        """Impute once: the functions are compiled then."""
        self.answer({"sequence": 0, "hidden": []})

    def answer(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Impute.

        Args:
            message: `sequence`, and `hidden`, the numbers of the frames that are hidden.

        Returns:
            Pixels, deviations, codes and errors, see kvae.js.

        Raises:
            ValueError: the message is invalid, or no frame is left.
        """
        i = whole(message, "sequence", len(self._frames))
        seen = self._known[i].copy()
        hidden = message.get("hidden")
        if not isinstance(hidden, list):
            raise ValueError(f"hidden: expected a list of frames, got {hidden!r}.")
        for frame in hidden:
            seen[whole({"hidden": frame}, "hidden", self._steps)] = False
        if not seen.any():
            raise ValueError("Leave at least one frame.")
        return self._imputed(i, seen)

    def _imputed(self, i: int, seen: np.ndarray) -> dict[str, Any]:
        begun = _first_run(seen)
        masks = np.stack([seen, begun]).astype(np.float32)
        if self._pixels is not None:
            masks = masks.reshape(*masks.shape, *[1] * (self._pixels[i].ndim - 1)) * self._pixels[i]
        controls = None if self._controls is None else np.stack([self._controls[i]] * 2)
        found = self._model.impute(np.stack([self._frames[i]] * 2), masks, controls)
        # filtering without any later frame is generation from the last state
        frames = [found.smoothed[0], found.filtered[0], found.filtered[1]]
        codes = tf.stack([found.a_smoothed[0], found.a_filtered[0], found.a_filtered[1]])
        cov = tf.stack([found.a_smoothed_cov[0], found.a_filtered_cov[0], found.a_filtered_cov[1]])
        spread = self._spread(codes, cov).numpy()
        shown = {name: np.asarray(frame) for name, frame in zip(METHODS, frames, strict=True)}
        return {
            "true": picture(_bytes(self._frames[i])),
            "known": self._known[i].tolist(),
            "seen": seen.tolist(),
            "begun": begun.tolist(),
            "rows": {
                name: {"frames": picture(_bytes(frame)), "spread": picture(_bytes(2.0 * part))}
                for (name, frame), part in zip(shown.items(), spread, strict=True)
            },
            "plane": self._plane(found.a_encoded[0].numpy(), codes.numpy(), cov.numpy()),
            "errors": self._errors(i, seen, shown),
        }

    def _spread_of(self, codes: tf.Tensor, cov: tf.Tensor) -> tf.Tensor:
        """Standard deviation of each pixel, by the unscented transform (Julier and Uhlmann 1997).

        Codes are [methods, T, dim_a], the result is [methods, T, *image_shape]. The deviation is
        that of 2 dim_a decoded sigma points: a few frames in place of many random draws.
        """
        offsets = math.sqrt(self._model.dim_a) * tf.linalg.cholesky(cov)
        offsets = tf.transpose(offsets, [3, 0, 1, 2])  # a column of the root for each point
        points = tf.concat([codes + offsets, codes - offsets], 0)
        frames = self._model.decode(tf.reshape(points, [-1, *codes.shape[1:]])).mean()
        shape = [2 * self._model.dim_a, len(METHODS), *frames.shape[1:]]
        return tf.math.reduce_std(tf.reshape(frames, shape), axis=0)

    def _plane(self, encoded: np.ndarray, codes: np.ndarray, cov: np.ndarray) -> dict[str, Any]:
        """Points and half axes of 90 % ellipses in the plane of the first two numbers of a; a code
        of one number is shown over time.
        """
        if encoded.shape[-1] == 1:
            time = np.arange(self._steps, dtype=float)
            encoded = np.stack([time, encoded[:, 0]], -1)
            codes = np.stack([np.broadcast_to(time, codes.shape[:2]), codes[..., 0]], -1)
            cov = np.pad(cov, [(0, 0), (0, 0), (1, 0), (1, 0)])
        values, vectors = np.linalg.eigh(cov[..., :2, :2])
        axes = _NINETY * vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]
        return {
            "encoded": rounded(encoded[:, :2]),
            "codes": {name: rounded(c[:, :2]) for name, c in zip(METHODS, codes, strict=True)},
            "axes": {name: rounded(a) for name, a in zip(METHODS, axes, strict=True)},
        }

    def _errors(
        self, i: int, seen: np.ndarray, shown: Mapping[str, np.ndarray]
    ) -> list[tuple[str, float]]:
        """Root mean squared error of a pixel on the hidden frames that are known, by method."""
        judged = self._known[i] & ~seen
        if not judged.any():
            return []
        true = _floats(self._frames[i])
        known = np.ones_like(true, bool) if self._pixels is None else self._pixels[i]
        last = last_observed(np.nan_to_num(true)[None], seen[None])[0]
        methods = {**shown, "last observed frame": last}
        return [
            (name, float(np.sqrt(np.square((frames - true)[judged][known[judged]]).mean())))
            for name, frames in methods.items()
        ]


def _first_run(seen: np.ndarray) -> np.ndarray:
    """The first run of observed frames, [T] bool."""
    places = np.flatnonzero(seen)
    gaps = np.flatnonzero(~seen[places[0] :])
    stop = places[0] + gaps[0] if len(gaps) else len(seen)
    kept = np.zeros_like(seen)
    kept[places[0] : stop] = True
    return kept


def _floats(frames: np.ndarray) -> np.ndarray:
    return frames / np.float32(255.0) if frames.dtype == np.uint8 else frames.astype(np.float32)


def _bytes(frames: np.ndarray) -> np.ndarray:
    """Pixels as uint8; unknown ones (NaN) are black."""
    if frames.dtype == np.uint8:
        return frames
    return np.round(255.0 * np.clip(np.nan_to_num(frames.astype(np.float32)), 0.0, 1.0))
