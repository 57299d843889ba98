"""Detection of collapse in a Kalman VAE: the codes carry no information about the frames, and more
training does not help.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from kvae.model import KVAE
from seqvae.data import Sequences, unit_pixels

GRACE_STEPS = 500
"""A healthy model may look collapsed for this many training steps."""
_FRAMES_MOST = 1280  # frames that are examined
_CONSTANT, _SURELY_CONSTANT = 1e-2, 1e-5  # `codes_std` of a collapsed model: late, at any time
_LIMIT = 0.99  # `variance_share` of a model whose codes are noise


class CollapseError(RuntimeError):
    """Training has collapsed. The message lists the signs and what to do."""


class Health(NamedTuple):
    """Figures that show a collapse, computed on some sequences."""

    codes_std: float
    """Standard deviation of the encoder's means over all frames, in the dimension where it is
    largest.
    """
    dead_units: float
    """Share of units in the encoder's last hidden layer that are 0 for all frames; NaN without
    ReLU.
    """
    variance_share: float
    """Mean variance of q(a | x), divided by its limit."""
    gain: float
    """Mean log p(x | a) minus the log-likelihood of the mean frame, in nats per frame."""

    def signs(self) -> list[str]:
        """Describe the signs of a collapse.

        Returns:
            A phrase for each sign; empty if there is none.
        """
        found = {
            f"the codes are constant (standard deviation {self.codes_std:.1e})": self.codes_std
            < _CONSTANT,
            f"{self.dead_units:.0%} of the encoder's last hidden units are dead": self.dead_units
            > 0.9,
            f"the variance of q(a | x) is at its limit ({self.variance_share:.1%} of it)": (
                self.variance_share > _LIMIT
            ),
            f"log p(x|a) is no better than the mean frame's ({self.gain:+.2f} nats a frame)": (
                self.gain <= 0
            ),
        }
        return [sign for sign, present in found.items() if present]

    def collapsed(self, steps: int) -> bool:
        """Whether the model has collapsed for good.

        Args:
            steps: the training steps so far.

        Returns:
            True if the codes carry no information and will not recover.
        """
        if self.codes_std < _SURELY_CONSTANT:
            return True
        return steps >= GRACE_STEPS and (self.codes_std < _CONSTANT or self.gain <= 0)


class Examiner:
    """Computes a model's `Health`.

    Args:
        model: the model.
        sequences: sequences; some of their observed frames are used.
        mean_frame: mean of the training frames, pixels in [0, 1].
    """

    def __init__(self, model: KVAE, sequences: Sequences, mean_frame: np.ndarray):
        seen = np.argwhere(sequences.observed)
        rows, steps = seen[:: -(-len(seen) // _FRAMES_MOST)].T
        self._model = model
        self._frames = _shown(sequences, rows, steps, mean_frame)[None]  # [1, frames, ...]
        self._baseline = self._log_px_of(mean_frame)
        self._hidden = _hidden_units(model.frame_vae.encoder)

    def __call__(self) -> Health:
        """Compute the figures at the model's current weights.

        Returns:
            The figures.
        """
        q = self._model.encode(self._frames)
        mean, variance = q.mean().numpy()[0], q.variance().numpy()[0]
        log_px = self._model.decode(mean[None]).log_prob(self._frames).numpy().mean()
        return Health(
            float(mean.std(axis=0).max()),
            self._dead_units(),
            float(variance.mean()) / self._model.max_code_variance,
            float(log_px - self._baseline),
        )

    def _log_px_of(self, frame: np.ndarray) -> float:
        """Mean log-likelihood of the frames if the decoder's output were always `frame`."""
        clipped = np.clip(frame, 1e-4, 1 - 1e-4)
        pixels = frame if self._model.out_distr == "gaussian" else np.log(clipped / (1 - clipped))
        pixels = tf.constant(pixels[None], tf.float32)
        distribution = self._model.frame_vae.frame_distribution(pixels)
        return float(distribution.log_prob(self._frames[0]).numpy().mean())

    def _dead_units(self) -> float:
        if self._hidden is None:
            return float("nan")
        pixels = self._frames[0]
        input_shape = self._hidden.inputs[0].shape[1:]
        values = self._hidden.predict_on_batch(pixels.reshape(-1, *input_shape))
        alive = (np.asarray(values) > 0).any(axis=tuple(range(values.ndim - 1)))
        return float(1.0 - alive.mean())


class StopOnCollapse(keras.callbacks.Callback):
    """Callback for `KVAE.fit`: logs the figures of `Health` and stops a collapsed training.

    Args:
        sequences: frames [N, T, *image_shape] to examine, such as validation data.
        mean_frame: mean of the training frames, pixels in [0, 1]; None: mean of `sequences`.
        mask: [N, T], 1 = observed; None: all observed.

    Raises:
        CollapseError: at the end of an epoch; the model keeps its weights.
        ValueError: `sequences` are series, to which these figures do not apply.
    """

    def __init__(
        self,
        sequences: np.ndarray,
        mean_frame: np.ndarray | None = None,
        mask: np.ndarray | None = None,
    ):
        super().__init__()
        frames = np.asarray(sequences)
        if frames.ndim == 3:
            raise ValueError(
                "sequences: expected frames [N, T, H, W] or [N, T, H, W, C], got series "
                f"{list(frames.shape)}. Judge a model of series by numbers that you hide, see "
                "docs/your_series.md."
            )
        self._sequences = Sequences(frames, None if mask is None else np.asarray(mask, np.float32))
        self._mean_frame = mean_frame
        self._examine: Examiner | None = None
        self._steps = 0

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Prepare the examination.

        Args:
            logs: unused.
        """
        mean = self._sequences.mean_frame() if self._mean_frame is None else self._mean_frame
        model: Any = self.model
        self._examine, self._steps = Examiner(model, self._sequences, mean), 0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Count the training steps.

        Args:
            batch: unused.
            logs: unused.
        """
        self._steps += 1

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Examine the model.

        Args:
            epoch: the epoch, counted from 0.
            logs: the figures are added to it.

        Raises:
            CollapseError: training has collapsed.
        """
        assert self._examine is not None
        health = self._examine()
        if logs is not None:
            logs.update(health._asdict())
        if health.collapsed(self._steps):
            raise CollapseError(
                f"collapse in epoch {epoch + 1}: {'; '.join(health.signs())}. Use a smaller "
                "learning rate, KVAE.adapt before training, another seed, or activation='elu'."
            )


def _shown(
    sequences: Sequences, rows: np.ndarray, steps: np.ndarray, mean_frame: np.ndarray
) -> np.ndarray:
    """Frames in [0, 1], with missing pixels replaced by those of the mean frame."""
    frames = unit_pixels(sequences.frames[rows, steps])
    if sequences.pixel_mask is None:
        return frames
    return np.where(sequences.pixel_mask[rows, steps], frames, mean_frame)


def _hidden_units(encoder: keras.Layer) -> keras.Model | None:
    """The encoder up to its last layer of ReLU units."""
    layers = [
        layer
        for layer in getattr(encoder, "layers", [])
        if getattr(layer, "activation", None) is keras.activations.relu
    ]
    if not layers or not isinstance(encoder, keras.Model):
        return None
    return keras.Model(encoder.inputs[0], layers[-1].output)
