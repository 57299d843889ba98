"""Filtering of one frame at a time, for example from a camera."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from kvae import arguments
from kvae.lgssm.closed_loop import StreamState, stream_missing, stream_start, stream_step
from seqvae.checks import Array, check_size

if TYPE_CHECKING:
    from kvae.model import KVAE


class Streamed(NamedTuple):
    """The filter's result for one frame of B sequences."""

    mean: tf.Tensor
    """[B, dim_z], mean of p(z_t | a_{1:t})."""
    cov: tf.Tensor
    """[B, dim_z, dim_z], its covariance."""
    a: tf.Tensor
    """[B, dim_a], the filtered code C_t mean."""
    log_likelihood: tf.Tensor
    """[B], log p(a_t | a_{1:t-1}); 0 if the frame is missing."""
    alpha: tf.Tensor
    """[B, K], the mixture weights."""


class Stream:
    """The Kalman filter of a Kalman VAE, one frame per call.

    After T frames its state is that of `KVAE.filter` over them. Each call uses the model's current
    weights::

        stream = model.stream()
        for frame in camera:                  # [H, W] or [H, W, C]; None if missing
            state = stream.step(frame)

    Args:
        model: the model.
        batch_size: number of parallel sequences; frames are then [batch_size, H, W] or [batch_size,
            H, W, C]. None: one sequence, whose frames have no batch axis.
    """

    def __init__(self, model: "KVAE", batch_size: int | None = None):
        self._model, self._batch = model, batch_size
        self._count = batch_size or 1
        self._carry: StreamState | None = None
        self._step: Any = tf.function(self._in_graph, autograph=False, reduce_retracing=True)

    def reset(self) -> None:
        """Start new sequences."""
        self._carry = None

    def step(
        self,
        frame: Array | None,
        mask: Array | None = None,
        controls: Array | None = None,
        *,
        dt: float = 1,
    ) -> Streamed:
        """Process the next frame.

        Args:
            frame: the frame; None: missing in all sequences.
            mask: 1 = observed: [B] for sequences, only with a batch_size; or for single pixels or
                numbers, of the shape of `frame`. None: all observed, in a series all but NaN.
            controls: [dim_u], with a batch_size [B, dim_u]: what acted on the step into this frame.
            dt: whole number of steps of the model since the frame before, the same for all
                sequences; the steps between are missing, with the controls of this frame. Not used
                for the first frame.

        Returns:
            The filter's result.

        Raises:
            ValueError: a wrong shape, a pixel that is not in [0, 1], or a dt that is not a whole
                number of at least 1, or is a million or more.
        """
        whole = isinstance(dt, float | np.floating) and float(dt).is_integer()
        dt = check_size("dt", int(dt) if whole else dt)
        if dt >= arguments.MOST_STEPS:
            raise ValueError(
                f"dt: expected fewer than {arguments.MOST_STEPS} steps, got {dt}. Divide the times "
                "by the length of a step."
            )
        model, shape = self._model, (self._count, 1)
        if frame is None:
            frames = tf.zeros([*shape, *model.image_shape], model.variable_dtype)
            seen = tf.zeros(shape, model.variable_dtype)
        else:
            frames = arguments.check_frames(self._with_axes(frame), model.image_shape)
            seen = tf.ones(shape, model.variable_dtype)
            if mask is not None:
                seen = arguments.check_mask(self._mask(mask), frames, model.variable_dtype)
            seen = arguments.frame_mask(frames, seen, model.variable_dtype)
            arguments.check_frame_values(frames, seen)
        given = None if controls is None else self._with_axes(controls)
        u = arguments.check_controls(given, frames, model.dim_u, model.variable_dtype)
        between = None if self._carry is None or dt == 1 else tf.constant(dt - 1)
        carry, result = self._step(self._carry, frames, seen, u, between)
        self._carry = carry
        return result

    def _mask(self, mask: Array) -> np.ndarray:
        """[B, 1], or [B, 1, ...] for a mask of pixels or numbers."""
        array = np.asarray(mask)
        one = array.ndim == (0 if self._batch is None else 1)
        return array.reshape(self._count, 1) if one else self._with_axes(array)

    def _with_axes(self, value: Array) -> np.ndarray:
        """The value with batch and time axes, [B, 1, ...]."""
        array = np.asarray(value)
        return array[None, None] if self._batch is None else array[:, None]

    def _in_graph(self, carry, frames, seen, u, between):
        model = self._model
        mean, _ = model.frame_vae.encode(frames, seen)
        states, seen = model._states, model.frame_vae.code_mask(seen)
        if carry is None:
            carry = stream_start(states, tf.shape(frames)[0])
        if between is not None:
            carry = stream_missing(states, carry, u[:, 0], between)
        carry, filtered, code, log_likelihood, alpha = stream_step(
            states, carry, mean[:, 0], seen[:, 0], u[:, 0]
        )
        return carry, Streamed(
            tf.transpose(filtered.mean),
            tf.transpose(filtered.cov, [2, 0, 1]),
            tf.transpose(code),
            log_likelihood,
            alpha,
        )
