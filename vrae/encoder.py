"""The encoder: RNN layers that map a sequence to the mean and log-variance of its code."""

from typing import Any

import keras
import tensorflow as tf

from seqvae.recurrent import run_layer
from vrae.grids import features_of
from vrae.patches import begins, folded, middles

RNNS = {
    "lstm": (keras.layers.LSTM, keras.layers.LSTMCell, 2),
    "gru": (keras.layers.GRU, keras.layers.GRUCell, 1),
}
"""By name: the layer, its cell, the number of tensors in its state."""


POOLINGS = ("last", "mean", "position")
_HEADS = 8
"""With pooling="position": number of weighted sums of the states that are joined."""


class Encoder(keras.layers.Layer):
    """q(z | x): RNN layers, then a summary of the last layer's outputs.

    The summary is the final states, an attention over all outputs (`attention`), their mean, or
    sums with weights that depend on the relative time (`pooling`). Padding does not change the
    result.

    Args:
        input_size: features of a step.
        z_size: size of the code.
        rnn: "lstm" or "gru".
        rnn_size: units of a layer.
        num_layers: number of layers.
        bidirectional: whether the layers run in both directions.
        attention: whether the summary is an attention over all outputs.
        pooling: "last", "mean" or "position", without attention.
        patch: consecutive steps that are one input of the RNN.
        positions: cosines of the relative time among the inputs; 0: none.
        logvar_start: initial value of the log-variance.
        **kwargs: as for a Keras layer.
    """

    def __init__(
        self,
        input_size: int,
        *,
        z_size: int,
        rnn: str,
        rnn_size: int,
        num_layers: int,
        bidirectional: bool,
        attention: bool,
        pooling: str = "last",
        patch: int = 1,
        positions: int = 0,
        logvar_start: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(autocast=False, **kwargs)  # the layers inside cast
        self.supports_masking = True
        self._bidirectional, self._attention = bidirectional, attention
        self._pooling, self._patch, self._positions = pooling, patch, positions
        width = rnn_size * (2 if bidirectional else 1)
        first = patch * input_size + (1 + positions if positions else 0)
        self.layers_ = []
        for i in range(num_layers):
            layer = RNNS[rnn][0](
                rnn_size,
                return_sequences=True,
                return_state=True,
                name=f"rnn_{i}",
                dtype=self.dtype_policy,
            )
            if bidirectional:
                layer = keras.layers.Bidirectional(layer, name=f"both_{i}", dtype=self.dtype_policy)
            layer.build((None, None, first if i == 0 else width))
            self.layers_.append(layer)
        self.score: Any = _dense(width, 1, "score", self.dtype_policy) if attention else None
        self.weighting: Any = None
        if pooling == "position":
            self.weighting = [
                _dense(1 + positions, 32, "weighting_0", self.dtype_policy, activation="tanh"),
                _dense(32, _HEADS, "weighting_1", self.dtype_policy, activation="tanh"),
            ]
            width *= _HEADS
        self.width = width  # of the summary
        self.mean = _dense(width, z_size, "mean", self.dtype_policy)
        start = keras.initializers.Constant(logvar_start)
        self.logvar = _dense(width, z_size, "logvar", self.dtype_policy, bias_initializer=start)
        self.built = True

    def call(self, inputs: tf.Tensor, mask: tf.Tensor, position: tf.Tensor | None = None):
        """Compute mean and log-variance of the code.

        Args:
            inputs: [B, T, input_size].
            mask: [B, T] bool, True up to the end of each sequence.
            position: [B, T], relative times; needed with `positions`.

        Returns:
            Mean and log-variance, [B, z_size] each, in the variables' type.
        """
        pooled = self.pooled(inputs, mask, position)
        return tuple(
            tf.cast(layer(pooled), self.variable_dtype) for layer in (self.mean, self.logvar)
        )

    def pooled(
        self, inputs: tf.Tensor, mask: tf.Tensor, position: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Compute the summary from which the code is computed.

        Args:
            inputs: [B, T, input_size].
            mask: [B, T].
            position: [B, T], relative times; needed with `positions`.

        Returns:
            [B, width].
        """
        inputs = tf.cast(inputs, self.compute_dtype)
        if self._patch > 1:  # the last patch of a sequence may extend beyond its end
            inputs *= tf.expand_dims(tf.cast(mask, inputs.dtype), -1)
        inputs = folded(inputs, self._patch)
        steps = begins(tf.cast(mask, tf.bool), self._patch)
        where = None
        if position is not None and self._positions:
            middle = middles(tf.cast(position, self.compute_dtype), self._patch)
            where = features_of(middle, self._positions)
            inputs = tf.concat([inputs, where], -1)
        states = []
        for layer in self.layers_:
            inputs, *states = run_layer(layer, inputs, mask=steps)
        valid = tf.cast(steps, inputs.dtype)
        if self._attention:
            scores = self.score(inputs)[..., 0] + (1.0 - valid) * tf.constant(-1e4, inputs.dtype)
            return tf.einsum("bt,btc->bc", tf.nn.softmax(scores) * valid, inputs)
        if self._pooling == "last":
            # the outputs h of both directions, without an LSTM's c
            ends = [states[0], states[len(states) // 2]] if self._bidirectional else states[:1]
            return tf.concat(ends, -1)
        share = valid / tf.reduce_sum(valid, 1, keepdims=True)
        if self._pooling == "mean":
            return tf.einsum("bt,btc->bc", share, inputs)
        weights = where
        for layer in self.weighting:
            weights = layer(weights)
        summary = tf.einsum("bt,bth,btc->bhc", share, weights, inputs)
        return tf.reshape(summary, [-1, summary.shape[1] * summary.shape[2]])

    def compute_mask(self, inputs: Any, previous_mask: Any):
        """Return None: a code has no steps.

        Args:
            inputs: unused.
            previous_mask: unused.
        """
        return None


def _dense(inputs: int, units: int, name: str, dtype, **options) -> keras.layers.Dense:
    layer = keras.layers.Dense(units, name=name, dtype=dtype, **options)
    layer.build((None, inputs))
    return layer
