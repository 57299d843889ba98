"""How a sequence's values are distributed around what the decoder says: p(x_t | z), and how a value
enters a network."""

import tensorflow as tf
from tensorflow_probability import distributions as tfd


class Gaussian:
    """Real values with a fixed variance: the squared error, divided by twice the variance. x is [B,
    T, features]."""

    def __init__(self, feature_size: int, variance: float, dtype: str):
        self.feature_size = self.output_size = feature_size
        self._deviation, self._dtype = variance**0.5, dtype

    def distribution(self, outputs: tf.Tensor) -> tfd.Distribution:
        return tfd.Independent(tfd.Normal(outputs, tf.constant(self._deviation, outputs.dtype)), 1)

    def inputs(self, x: tf.Tensor) -> tf.Tensor:
        return tf.cast(x, self._dtype)

    def mode(self, outputs: tf.Tensor) -> tf.Tensor:
        return outputs


class Bernoulli:
    """Values of 0 or 1, or probabilities in between. x is [B, T, features]."""

    def __init__(self, feature_size: int, dtype: str):
        self.feature_size = self.output_size = feature_size
        self._dtype = dtype

    def distribution(self, outputs: tf.Tensor) -> tfd.Distribution:
        return tfd.Independent(tfd.Bernoulli(logits=outputs, dtype=outputs.dtype), 1)

    def inputs(self, x: tf.Tensor) -> tf.Tensor:
        return tf.cast(x, self._dtype)

    def mode(self, outputs: tf.Tensor) -> tf.Tensor:
        return tf.sigmoid(outputs)


class Categorical:
    """Tokens: x is [B, T] integers from 0 to feature_size - 1; the loss is their cross-entropy."""

    def __init__(self, feature_size: int, dtype: str):
        self.feature_size = self.output_size = feature_size
        self._dtype = dtype

    def distribution(self, outputs: tf.Tensor) -> tfd.Distribution:
        return tfd.Categorical(logits=outputs, dtype=tf.int32)

    def inputs(self, x: tf.Tensor) -> tf.Tensor:
        return tf.one_hot(tf.cast(x, tf.int32), self.feature_size, dtype=self._dtype)

    def mode(self, outputs: tf.Tensor) -> tf.Tensor:
        return tf.argmax(outputs, -1, output_type=tf.int32)


NAMES = ("gaussian", "bernoulli", "categorical")


def make(
    name: str, feature_size: int, variance: float, dtype: str
) -> Gaussian | Bernoulli | Categorical:
    """The likelihood of that name; dtype: of what enters a network."""
    if name == "gaussian":
        return Gaussian(feature_size, variance, dtype)
    return {"bernoulli": Bernoulli, "categorical": Categorical}[name](feature_size, dtype)
