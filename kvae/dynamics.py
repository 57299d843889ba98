"""The dynamics network (paper, section 3.2): alpha_t = f(a_0, ..., a_{t-1}), and the controls where they are learned."""

import keras
import tensorflow as tf


class DynamicsNetwork(keras.layers.Layer):
    """An LSTM, or an MLP on a FIFO of the last `fifo_size` codes, then a softmax over the K matrices.

    It has a step and a scan over known codes; both give the same. K = 1 without learned controls has no weights.
    With `learn_u` the hidden layer doubles: the first half gives alpha, the second u.
    """

    def __init__(
        self,
        *,
        dim_a,
        dim_u,
        K,
        alpha_rnn,
        alpha_units,
        alpha_layers,
        alpha_activation,
        fifo_size,
        learn_u,
        dtype,
        name,
    ):
        super().__init__(name=name, dtype=dtype)
        self._dim_a, self._K, self._fifo, self._rnn = dim_a, K, fifo_size, alpha_rnn
        self._units = alpha_units
        self._trivial = K == 1 and not learn_u
        width = 2 * alpha_units if learn_u else alpha_units
        self._width = width
        self.lstm = keras.layers.LSTM(width, return_sequences=True, name="lstm", dtype=dtype) if alpha_rnn else None
        self.hidden = [
            keras.layers.Dense(width, activation=alpha_activation, name=f"hidden_{i}", dtype=dtype)
            for i in range(1, alpha_layers + 1)
            if not alpha_rnn
        ]
        self.mix = keras.layers.Dense(K, activation="softmax", name="alpha", dtype=dtype)
        self.control = keras.layers.Dense(dim_u, name="u", dtype=dtype) if learn_u else None

    def build(self, input_shape=None):
        if self.built or self._trivial:
            self.built = True
            return
        if self.lstm is not None:
            self.lstm.build((None, None, self._dim_a))
        for layer, size in zip(
            self.hidden, (self._dim_a * self._fifo, *[self._width] * len(self.hidden)), strict=False
        ):
            layer.build((None, size))
        self.mix.build((None, self._units))
        if self.control is not None:
            self.control.build((None, self._width - self._units))
        self.built = True

    def initial_state(self, batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """The state before a_0: the LSTM's h and c, or the FIFO [batch, dim_a, fifo_size], of zeros."""
        if self._rnn:
            return tf.zeros([batch, self._width], self.compute_dtype), tf.zeros(
                [batch, self._width], self.compute_dtype
            )
        return (tf.zeros([batch, self._dim_a, self._fifo], self.compute_dtype),)

    def step(self, a: tf.Tensor, state: tuple[tf.Tensor, ...]):
        """One code a [batch, dim_a] -> (alpha [batch, K], u [batch, dim_u] or None), new state."""
        if self._trivial:
            return self._ones(tf.shape(a)[:1]), state
        if self._rnn:
            hidden, state = self.lstm.cell(a, list(state))
            return self._heads(hidden), tuple(state)
        (fifo,) = state
        fifo = tf.concat([fifo[:, :, 1:], a[:, :, None]], 2)
        return self._heads(self._dense(fifo)), (fifo,)

    def call(self, a: tf.Tensor):
        """Codes a_0, ..., a_{T-1} [batch, T, dim_a] -> alpha [batch, T, K], u [batch, T, dim_u] or None."""
        if self._trivial:
            return self._ones(tf.shape(a)[:2])
        if self._rnn:
            return self._heads(self.lstm(a))
        steps = tf.shape(a)[1]
        padded = tf.pad(a, [[0, 0], [self._fifo - 1, 0], [0, 0]])
        windows = tf.stack([padded[:, i : i + steps] for i in range(self._fifo)], -1)
        return self._heads(self._dense(windows))

    def _dense(self, fifo: tf.Tensor) -> tf.Tensor:
        hidden = tf.reshape(fifo, tf.concat([tf.shape(fifo)[:-2], [self._dim_a * self._fifo]], 0))
        hidden = tf.ensure_shape(hidden, [*fifo.shape[:-2], self._dim_a * self._fifo])
        for layer in self.hidden:
            hidden = layer(hidden)
        return hidden

    def _heads(self, hidden: tf.Tensor):
        u = None if self.control is None else self.control(hidden[..., self._units :])
        return self.mix(hidden[..., : self._units]), u

    def _ones(self, shape: tf.Tensor):
        return tf.ones(tf.concat([shape, [1]], 0), self.compute_dtype), None
