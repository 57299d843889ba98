"""Distributions of a sequence's numbers given the decoder's outputs, p(x_t | z), and the form in
which a value enters a network.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

NAMES = ("gaussian", "student_t", "bernoulli", "categorical")
NOISES = ("fixed", "feature", "step")
_DEGREES = 4.0
"""Degrees of freedom of the Student-t: the variance is finite and the tails are heavy."""
_RATE = 10.0
"""A learned log-variance is 10 times its weight, so it changes ten times as fast as other weights:
from 1 to its floor within some hundred steps of Adam.
"""


class Variance(keras.layers.Layer):
    """The variance of each feature: `floor` plus a fixed, learned or predicted part.

    Args:
        features: number of features.
        kind: "fixed", "feature" (learned) or "step" (an output of the decoder).
        start: the initial variance.
        floor: the smallest variance, if it is not fixed.
        **kwargs: as for a Keras layer.
    """

    def __init__(self, features: int, kind: str, start: float, floor: float, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        self.kind, self._start, self._floor = kind, start, floor
        self.outputs = features if kind == "step" else 0
        self.log_part: Any = None
        if kind == "feature":
            self.log_part = self.add_weight(
                shape=(features,), initializer="zeros", name="log_part", autocast=False
            )
        self.built = True

    def call(self, outputs: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
        """Compute the variance.

        Args:
            outputs: [B, T, features], outputs of the decoder for "step".
            like: [B, T, features], gives the type.

        Returns:
            The variance, broadcastable to `like`.
        """
        if self.kind == "fixed":
            return tf.constant(self._start, like.dtype)
        free = max(self._start - self._floor, 1e-6)
        logs = (
            tf.clip_by_value(outputs, -15.0, 10.0)
            if self.kind == "step"
            else _RATE * tf.convert_to_tensor(self.log_part)
        )
        return tf.cast(self._floor + free * tf.exp(logs), like.dtype)


class Gaussian:
    """Real values, normal around the decoder's means; x is [B, T, features].

    -log p is the squared error divided by twice the variance, plus the logarithm of the deviation.

    Args:
        feature_size: number of features.
        variance: the variance.
        dtype: type of the networks' inputs.
    """

    def __init__(self, feature_size: int, variance: Variance, dtype: str):
        self.feature_size = self.input_size = feature_size
        self.output_size = feature_size + variance.outputs
        self.variance, self._dtype = variance, dtype

    def distribution(self, outputs: tf.Tensor) -> tfd.Distribution:
        """Make p(x_t | z).

        Args:
            outputs: [B, T, output_size].

        Returns:
            Batch [B, T], event [features].
        """
        return tfd.Independent(self._each(outputs), 1)

    def _each(self, outputs) -> tfd.Distribution:
        mean, others = self._parts(outputs)
        return tfd.Normal(mean, tf.sqrt(self.variance(others, mean)))

    def _parts(self, outputs) -> tuple[tf.Tensor, tf.Tensor]:
        return outputs[..., : self.feature_size], outputs[..., self.feature_size :]

    def log_prob(self, outputs: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """Compute the log-probability of each number.

        Args:
            outputs: [B, T, output_size].
            x: [B, T, features].

        Returns:
            [B, T, features].
        """
        return self._each(outputs).log_prob(tf.cast(x, outputs.dtype))

    def sample(self, outputs: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draw values.

        Args:
            outputs: [B, T, output_size].
            seed: [2] int32.

        Returns:
            [B, T, features].
        """
        return self._each(outputs).sample(seed=seed)

    def inputs(self, x: tf.Tensor) -> tf.Tensor:
        """Convert values to inputs of a network.

        Args:
            x: [B, T, features].

        Returns:
            [B, T, input_size].
        """
        return tf.cast(x, self._dtype)

    def mode(self, outputs: tf.Tensor) -> tf.Tensor:
        """Compute the most likely values.

        Args:
            outputs: [B, T, output_size].

        Returns:
            [B, T, features].
        """
        return self._parts(outputs)[0]


class StudentT(Gaussian):
    """Real values with outliers: a Student-t distribution with 4 degrees of freedom.

    Its scale is the root of the variance.
    """

    def _each(self, outputs) -> tfd.Distribution:
        mean, others = self._parts(outputs)
        scale = tf.sqrt(self.variance(others, mean))
        return tfd.StudentT(tf.constant(_DEGREES, mean.dtype), mean, scale)


class Bernoulli:
    """Values of 0 or 1, or probabilities in between; x is [B, T, features].

    Args:
        feature_size: number of features.
        dtype: type of the networks' inputs.
    """

    def __init__(self, feature_size: int, dtype: str):
        self.feature_size = self.input_size = self.output_size = feature_size
        self._dtype = dtype

    def distribution(self, outputs: tf.Tensor) -> tfd.Distribution:
        """Make p(x_t | z).

        Args:
            outputs: [B, T, features], logits.

        Returns:
            Batch [B, T], event [features].
        """
        return tfd.Independent(tfd.Bernoulli(logits=outputs, dtype=outputs.dtype), 1)

    def log_prob(self, outputs: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """Compute the log-probability of each number.

        Args:
            outputs: [B, T, features], logits.
            x: [B, T, features].

        Returns:
            [B, T, features].
        """
        return tfd.Bernoulli(logits=outputs, dtype=outputs.dtype).log_prob(
            tf.cast(x, outputs.dtype)
        )

    def sample(self, outputs: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draw values.

        Args:
            outputs: [B, T, features], logits.
            seed: [2] int32.

        Returns:
            [B, T, features].
        """
        return tfd.Bernoulli(logits=outputs, dtype=outputs.dtype).sample(seed=seed)

    def inputs(self, x: tf.Tensor) -> tf.Tensor:
        """Convert values to inputs of a network.

        Args:
            x: [B, T, features].

        Returns:
            [B, T, features].
        """
        return tf.cast(x, self._dtype)

    def mode(self, outputs: tf.Tensor) -> tf.Tensor:
        """Compute the probabilities of 1.

        Args:
            outputs: [B, T, features], logits.

        Returns:
            [B, T, features].
        """
        return tf.sigmoid(outputs)


class Categorical:
    """Tokens: x is [B, T], integers from 0 to feature_size - 1; the loss is the cross-entropy.

    Args:
        feature_size: number of tokens.
        dtype: type of the networks' inputs.
    """

    def __init__(self, feature_size: int, dtype: str):
        self.feature_size = self.input_size = self.output_size = feature_size
        self._dtype = dtype

    def distribution(self, outputs: tf.Tensor) -> tfd.Distribution:
        """Make p(x_t | z).

        Args:
            outputs: [B, T, feature_size], logits.

        Returns:
            Batch [B, T], a scalar event.
        """
        return tfd.Categorical(logits=outputs, dtype=tf.int32)

    def log_prob(self, outputs: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """Compute the log-probability of each token.

        Args:
            outputs: [B, T, feature_size], logits.
            x: [B, T].

        Returns:
            [B, T].
        """
        return self.distribution(outputs).log_prob(tf.cast(x, tf.int32))

    def sample(self, outputs: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draw tokens.

        Args:
            outputs: [B, T, feature_size], logits.
            seed: [2] int32.

        Returns:
            [B, T].
        """
        return self.distribution(outputs).sample(seed=seed)

    def inputs(self, x: tf.Tensor) -> tf.Tensor:
        """Convert tokens to one-hot vectors.

        Args:
            x: [B, T].

        Returns:
            [B, T, feature_size].
        """
        return tf.one_hot(tf.cast(x, tf.int32), self.feature_size, dtype=self._dtype)

    def mode(self, outputs: tf.Tensor) -> tf.Tensor:
        """Find the most likely tokens.

        Args:
            outputs: [B, T, feature_size], logits.

        Returns:
            [B, T].
        """
        return tf.argmax(outputs, -1, output_type=tf.int32)


class Columns:
    """Columns of different kinds, independent given z; x is [B, T, columns].

    The classes of a categorical column are numbers as floats. A column of n classes has n outputs
    and enters the networks one-hot.

    Args:
        parts: the likelihood of each column.
    """

    def __init__(self, parts: Sequence[Any]):
        self.parts = list(parts)
        self.feature_size = len(self.parts)
        self.input_size = sum(part.input_size for part in self.parts)
        self.output_size = sum(part.output_size for part in self.parts)

    def _each(self, outputs: tf.Tensor):
        """The number, the likelihood and the outputs of each column."""
        pieces = tf.split(outputs, [part.output_size for part in self.parts], axis=-1)
        return zip(range(len(self.parts)), self.parts, pieces, strict=True)

    def log_prob(self, outputs: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """Compute the log-probability of each number.

        Args:
            outputs: [B, T, output_size].
            x: [B, T, columns].

        Returns:
            [B, T, columns].
        """
        columns = tf.split(x, len(self.parts), axis=-1)
        values = [
            tf.expand_dims(part.log_prob(out, tf.squeeze(columns[i], -1)), -1)
            if isinstance(part, Categorical)
            else part.log_prob(out, columns[i])
            for i, part, out in self._each(outputs)
        ]
        return tf.concat(values, -1)

    def sample(self, outputs: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draw values.

        Args:
            outputs: [B, T, output_size].
            seed: [2] int32.

        Returns:
            [B, T, columns].
        """
        values = [
            self._column(part, part.sample(out, tf.random.fold_in(seed, i)), outputs)
            for i, part, out in self._each(outputs)
        ]
        return tf.concat(values, -1)

    def inputs(self, x: tf.Tensor) -> tf.Tensor:
        """Convert values to inputs of a network.

        Args:
            x: [B, T, columns].

        Returns:
            [B, T, input_size].
        """
        columns = tf.split(x, len(self.parts), axis=-1)
        values = [
            part.inputs(tf.squeeze(x, -1) if isinstance(part, Categorical) else x)
            for x, part in zip(columns, self.parts, strict=True)
        ]
        return tf.concat(values, -1)

    def mode(self, outputs: tf.Tensor) -> tf.Tensor:
        """Compute the most likely values.

        Args:
            outputs: [B, T, output_size].

        Returns:
            [B, T, columns].
        """
        values = [
            self._column(part, part.mode(out), outputs) for _, part, out in self._each(outputs)
        ]
        return tf.concat(values, -1)

    @staticmethod
    def _column(part, value: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
        """[B, T, 1] of the type of `like`."""
        whole = tf.expand_dims(value, -1) if isinstance(part, Categorical) else value
        return tf.cast(whole, like.dtype)


Likelihood = Gaussian | Bernoulli | Categorical | Columns


def columns_of(likelihood: Mapping) -> list[tuple[str, str | int]]:
    """Read the kinds of columns from a dict.

    Args:
        likelihood: for each column "gaussian", "student_t", "bernoulli", or the number of its
            classes.

    Returns:
        Name and kind of each column.

    Raises:
        ValueError: another kind.
    """
    columns = []
    for name, kind in likelihood.items():
        integer = isinstance(kind, int) and not isinstance(kind, bool)
        if not (integer and kind >= 2) and kind not in ("gaussian", "student_t", "bernoulli"):
            raise ValueError(
                f"likelihood: column {name!r}: expected gaussian, student_t, bernoulli, or the "
                f"number of classes of a categorical column, at least 2, got {kind!r}."
            )
        columns.append((str(name), kind))
    return columns


def make(
    kind: str | Mapping, feature_size: int, dtype: str, noise: str, variance: float, floor: float
) -> Likelihood:
    """Make a likelihood.

    Args:
        kind: one of `NAMES`, or a dict as for `columns_of`.
        feature_size: features of a step, or the number of tokens.
        dtype: type of the networks' inputs.
        noise: one of `NOISES`.
        variance: the initial variance.
        floor: the smallest variance, if it is not fixed.

    Returns:
        The likelihood.
    """

    def one(kind: str | int, size: int, name: str) -> Any:
        if isinstance(kind, int):
            return Categorical(kind, dtype)
        if kind in ("gaussian", "student_t"):
            family = Gaussian if kind == "gaussian" else StudentT
            layer = Variance(size, noise, variance, floor, dtype=dtype, name=name)
            return family(size, layer, dtype)
        return {"bernoulli": Bernoulli, "categorical": Categorical}[kind](size, dtype)

    if isinstance(kind, str):
        return one(kind, feature_size, "variance")
    return Columns([one(k, 1, f"variance_{i}") for i, (_, k) in enumerate(columns_of(kind))])


def variances(likelihood: Likelihood) -> list[Variance]:
    """List the layers with a likelihood's weights.

    Args:
        likelihood: the likelihood.

    Returns:
        The layers.
    """
    parts = likelihood.parts if isinstance(likelihood, Columns) else [likelihood]
    return [part.variance for part in parts if isinstance(part, Gaussian)]
