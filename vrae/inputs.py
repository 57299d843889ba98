"""The inputs of a `VRAE`: their conversion to tensors, and the checks of their values."""

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from seqvae import checks
from seqvae.checks import Place
from seqvae.data.masks import is_observed
from vrae import arguments
from vrae.grids import of_numbers, of_steps, to_the_end


@dataclass(frozen=True)
class Inputs:
    """The form of a model's inputs.

    Attributes:
        feature_size: features of a step, or the number of tokens.
        condition_size: size of the condition; 0: none.
        positions: as for `VRAE`; times are used if it is above 0.
        missing: whether numbers may be missing.
        likelihood: as for `VRAE`.
        most_steps: the most steps of a sequence; None: any number.
        dtype: the type of masks, times and conditions.
    """

    feature_size: int
    condition_size: int
    positions: int
    missing: bool
    likelihood: str | dict
    most_steps: int | None
    dtype: str

    @property
    def _tokens(self) -> bool:
        return self.likelihood == "categorical"

    def tensors(
        self, sequences: Any, mask: Any, condition: Any, times: Any
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Convert inputs to tensors of known rank.

        Args:
            sequences: as for `VRAE`.
            mask: as for `VRAE`, or None.
            condition: as for `VRAE`, or None.
            times: [B, T], or None.

        Returns:
            Sequences [B, T, feature_size] or tokens [B, T], mask, condition and times.

        Raises:
            ValueError: a shape or type is wrong.
        """
        if isinstance(sequences, tf.RaggedTensor):
            sequences, mask = _padded(sequences, mask)
        if arguments.is_list_of_series(sequences, self._tokens):
            sequences, mask = arguments.padded_list(sequences, mask, self._tokens)
        sequences = checks.tensor("sequences", sequences)
        if self._tokens:
            arguments.check_shape("sequences", sequences, (None, None), "[B, T] tokens")
        else:
            if self.feature_size == 1 and sequences.shape.rank == 2:
                sequences = tf.expand_dims(sequences, -1)
            shape = f"[B, T, {self.feature_size}]"
            arguments.check_shape("sequences", sequences, (None, None, self.feature_size), shape)
        arguments.check_steps(sequences.shape[1] or tf.shape(sequences)[1], self.most_steps)
        mask = arguments.check_mask(mask, sequences, self.dtype, self.missing)
        times = arguments.check_times(times, sequences, self.dtype, self.positions)
        return sequences, mask, self.condition(condition, sequences), times

    def condition(self, condition: Any, like: tf.Tensor) -> tf.Tensor:
        """Convert a condition.

        Args:
            condition: vectors or labels, or None.
            like: a tensor [B, ...] of the same batch.

        Returns:
            [B, condition_size].

        Raises:
            ValueError: a shape or label is wrong.
        """
        return arguments.check_condition(condition, self.condition_size, like, self.dtype)

    def observed(self, sequences: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Find the observed numbers.

        Args:
            sequences: [B, T, feature_size].
            mask: [B, T] or [B, T, feature_size], 1 = observed.

        Returns:
            [B, T, feature_size] bool.
        """
        observed = tf.broadcast_to(is_observed(of_numbers(mask)), tf.shape(sequences))
        # `broadcast_to` loses the static shape
        observed = tf.ensure_shape(observed, sequences.shape)
        if self.missing and sequences.dtype.is_floating:
            observed &= tf.math.logical_not(tf.math.is_nan(sequences))
        return observed

    def check_values(
        self,
        sequences: tf.Tensor,
        mask: tf.Tensor,
        condition: tf.Tensor,
        times: tf.Tensor,
        place: Place,
    ) -> None:
        """Check the values of what `tensors` returned.

        Args:
            sequences: the sequences.
            mask: the mask.
            condition: the condition.
            times: the times.
            place: where the batch comes from, for messages.

        Raises:
            ValueError: a check failed.
        """
        checks.check_zeros_and_ones(mask, place)
        if self._tokens:
            arguments.check_some_observed(mask, place)
            arguments.check_tokens(sequences, mask, self.feature_size)
        else:
            self._check_numbers(sequences, mask, place)
        if self.positions:
            arguments.check_rising(times, to_the_end(of_steps(mask)), place)
        if self.condition_size:
            checks.check_finite(
                "condition", condition, place, "NaN or infinity in {}; expected finite numbers."
            )

    def _check_numbers(self, sequences, mask, place: Place) -> None:
        observed = self.observed(sequences, mask)
        arguments.check_some_observed(tf.cast(observed, mask.dtype), place)
        values = tf.where(observed, sequences, tf.zeros_like(sequences))
        if sequences.dtype.is_floating:
            message = "NaN or infinity in a step of {}. "
            message += (
                "Only NaN is a missing number: replace infinity by it."
                if self.missing
                else "Make the model with missing=True, or set the mask to 0 where a step is "
                "missing."
            )
            checks.check_finite("sequences", values, place, message)
        if self.likelihood == "bernoulli":
            arguments.check_probabilities(values)
        if isinstance(self.likelihood, dict):
            arguments.check_columns(self.likelihood, values, observed)


def _padded(ragged: tf.RaggedTensor, mask) -> tuple[tf.Tensor, tf.Tensor]:
    """Sequences and their mask."""
    if mask is not None:
        raise ValueError(
            "mask: expected None, a ragged tensor already states where its sequences end."
        )
    lengths = ragged.row_lengths()
    return ragged.to_tensor(), tf.sequence_mask(lengths, tf.reduce_max(lengths))
