"""The encoder: RNN layers that read a sequence into the mean and log-variance of its code."""

from typing import Any

import keras
import tensorflow as tf

RNNS = {
    "lstm": (keras.layers.LSTM, keras.layers.LSTMCell, 2),
    "gru": (keras.layers.GRU, keras.layers.GRUCell, 1),
}
"""By name: the layer, its cell, the tensors of its state."""


class Encoder(keras.layers.Layer):
    """q(z | x): RNN layers, then the last layer's final states, or an attention over all its
    outputs (`attention`).

    Padding after a sequence's end changes nothing.
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
        **kwargs: Any,
    ):
        super().__init__(autocast=False, **kwargs)  # the layers inside cast
        self.supports_masking = True
        self._bidirectional, self._attention = bidirectional, attention
        width = rnn_size * (2 if bidirectional else 1)
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
            layer.build((None, None, input_size if i == 0 else width))
            self.layers_.append(layer)
        self.score: Any = _dense(width, 1, "score", self.dtype_policy) if attention else None
        self.mean = _dense(width, z_size, "mean", self.dtype_policy)
        self.logvar = _dense(width, z_size, "logvar", self.dtype_policy)
        self.built = True

    def call(self, inputs: tf.Tensor, mask: tf.Tensor):
        """inputs [B, T, input_size], mask [B, T] -> mean and log-variance [B, z_size], in the
        variables' type."""
        inputs, steps = tf.cast(inputs, self.compute_dtype), tf.cast(mask, tf.bool)
        for layer in self.layers_:
            inputs, *states = layer(inputs, mask=steps)
        if self._attention:
            scores = self.score(inputs)[..., 0] + (1.0 - tf.cast(mask, inputs.dtype)) * tf.constant(
                -1e4, inputs.dtype
            )
            weights = tf.nn.softmax(scores) * tf.cast(mask, inputs.dtype)
            read = tf.einsum("bt,btc->bc", weights, inputs)
        elif self._bidirectional:
            read = tf.concat(
                [states[0], states[len(states) // 2]], -1
            )  # the outputs h; an LSTM's c stays inside
        else:
            read = states[0]
        return tuple(
            tf.cast(layer(read), self.variable_dtype) for layer in (self.mean, self.logvar)
        )

    def compute_mask(self, inputs: Any, previous_mask: Any):
        return None  # a code has no steps


def _dense(inputs: int, units: int, name: str, dtype, **options) -> keras.layers.Dense:
    layer = keras.layers.Dense(units, name=name, dtype=dtype, **options)
    layer.build((None, inputs))
    return layer
