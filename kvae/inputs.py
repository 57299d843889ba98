"""The inputs of a `KVAE`: their conversion to tensors, and the checks of shapes and values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import tensorflow as tf

from kvae import arguments
from seqvae.checks import NOWHERE, Array, Place


class FrameInputs(NamedTuple):
    """Frames, or series, with what belongs to them."""

    frames: tf.Tensor
    """[B, T, *image_shape]; series as floats."""
    mask: tf.Tensor | None
    """[B, T] or as frames, for series [B, T, F], 1 = observed; None: all observed."""
    controls: tf.Tensor
    """[B, T, dim_u]."""
    dt: tf.Tensor | None
    """[B, T] int32, the steps since the frame before; None: 1."""


class CodeInputs(NamedTuple):
    """Codes with what belongs to them."""

    a: tf.Tensor
    """[B, T, dim_a]."""
    mask: tf.Tensor | None
    """[B, T] or as a, 1 = observed; None: all observed."""
    controls: tf.Tensor
    """[B, T, dim_u]."""
    dt: tf.Tensor | None
    """[B, T] int32, the steps since the code before; None: 1."""


@dataclass(frozen=True)
class Inputs:
    """The form of a model's inputs.

    Shapes and types are always checked; values in eager mode, and in a graph with a `place`, which
    only the input pipeline has.

    Attributes:
        image_shape: shape of a frame, or (F,) for series.
        dim_a: size of the codes.
        dim_u: size of the controls.
        dtype: type of the model's weights, which the results have; frames keep theirs.
    """

    image_shape: tuple[int, ...]
    dim_a: int
    dim_u: int
    dtype: str

    def frames(
        self,
        frames: Array,
        mask: Array | None = None,
        controls: Array | None = None,
        dt: Array | None = None,
        place: Place | None = None,
    ) -> FrameInputs:
        """Check frames and convert them to tensors.

        Args:
            frames: [B, T, *image_shape]; missing frames may be NaN.
            mask: [B, T] or as frames, 1 = observed; None: all observed, in series all but NaN.
            controls: [B, T, dim_u]; None: zero.
            dt: [B, T], the steps since the frame before; None: 1.
            place: where the batch comes from, for messages.

        Returns:
            The tensors.

        Raises:
            ValueError: a check failed.
        """
        given = arguments.check_frames(frames, self.image_shape)
        mask = arguments.check_mask(mask, given, self.dtype, place)
        mask = arguments.frame_mask(given, mask, self.dtype)
        if tf.executing_eagerly() or place is not None:
            arguments.check_frame_values(given, mask, place or NOWHERE)
            if len(self.image_shape) == 1:  # all numbers of a series may be NaN
                arguments.check_mask_values(mask, place or NOWHERE)
        return FrameInputs(given, mask, *self._with(given, controls, dt, place))

    def frames_of(self, batch: Mapping[str, Any], place: Place | None = None) -> FrameInputs:
        """As `frames`, of a batch.

        Args:
            batch: `frames`, and optionally `mask`, `controls` and `dt`.
            place: where the batch comes from, for messages.

        Returns:
            The tensors.

        Raises:
            ValueError: a check failed.
        """
        others = (batch.get(name) for name in ("mask", "controls", "dt"))
        return self.frames(batch["frames"], *others, place=place)

    def codes(
        self,
        a: Array,
        mask: Array | None = None,
        controls: Array | None = None,
        dt: Array | None = None,
    ) -> CodeInputs:
        """Check codes and convert them to tensors.

        Args:
            a: [B, T, dim_a]; missing codes may be NaN.
            mask: [B, T] or as a, 1 = observed; None: all observed, in eager mode all but NaN.
            controls: [B, T, dim_u]; None: zero.
            dt: [B, T], the steps since the code before; None: 1.

        Returns:
            The tensors.

        Raises:
            ValueError: a check failed.
        """
        given = arguments.check_codes(a, self.dim_a, self.dtype)
        mask = arguments.number_mask(given, arguments.check_mask(mask, given, self.dtype))
        return CodeInputs(given, mask, *self._with(given, controls, dt))

    def check_codes_of(self, batch: Mapping[str, Any], place: Place) -> None:
        """Check a batch of codes.

        Args:
            batch: `codes`, and optionally `variance`, `mask` and `controls`.
            place: where the batch comes from, for messages.

        Raises:
            ValueError: a check failed.
        """
        codes = arguments.check_codes(batch["codes"], self.dim_a, self.dtype, "codes")
        variance = batch.get("variance")
        if variance is not None:
            arguments.check_codes(variance, self.dim_a, self.dtype, "variance")
        mask = arguments.check_mask(batch.get("mask"), codes, self.dtype, place)
        arguments.check_codes_values(codes, mask, variance, place)
        self.controls(batch.get("controls"), codes, place)

    def controls(
        self, controls: Array | None, like: tf.Tensor, place: Place | None = None
    ) -> tf.Tensor:
        """Check controls and convert them to a tensor.

        Args:
            controls: [B, T, dim_u]; None: zero.
            like: [B, T, ...].
            place: where the batch comes from, for messages.

        Returns:
            [B, T, dim_u].

        Raises:
            ValueError: a check failed.
        """
        return arguments.check_controls(controls, like, self.dim_u, self.dtype, place)

    def _with(self, like, controls, dt, place=None) -> tuple[tf.Tensor, tf.Tensor | None]:
        dt = arguments.check_dt(dt, like, place or NOWHERE)
        return self.controls(controls, like, place), dt
