"""The dynamics network (paper, section 3.2): alpha_t = f(a_0, ..., a_{t-1}), and optionally the
controls.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from seqvae.recurrent import run_layer


class Matrices(NamedTuple):
    """The K matrices that are mixed, and the code before the first frame."""

    A: tf.Tensor
    """[K, dim_z, dim_z], transition."""
    B: tf.Tensor
    """[K, dim_z, dim_u], control."""
    C: tf.Tensor
    """[K, dim_a, dim_z], emission."""
    a_0: tf.Tensor
    """[dim_a]."""


def mix(alpha: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
    """Mix matrices (paper, section 3.2)::

        sum_k alpha[..., k] matrices[k]

    It is computed in float64: a GPU multiplies float32 in TF32 (`kvae.lgssm.products`), and an
    elementwise product needs K times the memory.

    Args:
        alpha: [..., K].
        matrices: [K, n, m].

    Returns:
        [..., n, m].
    """
    flat = tf.reshape(matrices, [tf.shape(matrices)[0], -1])
    mixed = tf.linalg.matmul(tf.cast(alpha, tf.float64), tf.cast(flat, tf.float64))
    shape = tf.concat([tf.shape(alpha)[:-1], tf.shape(matrices)[1:]], 0)
    return tf.reshape(tf.cast(mixed, alpha.dtype), shape)


class DynamicsNetwork(keras.layers.Layer):
    """An LSTM, or an MLP on the last `fifo_size` codes, followed by a softmax over the K matrices.

    `step` and `call` compute the same values; `step` is used when the next input depends on the
    filter. With K = 1 and without learned controls there are no weights.

    Args:
        dim_a: dimension of the codes.
        dim_u: dimension of the controls.
        K: number of matrices.
        alpha_rnn: True: an LSTM; False: an MLP.
        alpha_units: units of the LSTM or of each layer of the MLP. With `learn_u` there are twice
            as many: alpha is computed from the first half, u from the second.
        alpha_layers: layers of the MLP.
        alpha_activation: activation of the MLP.
        fifo_size: number of codes that the MLP takes.
        learn_u: whether the network also predicts the controls.
        cell: a Keras RNN cell that replaces the LSTM's; with `learn_u` its output is split in
            halves.
        dtype: a type or dtype policy.
        name: the layer's name.
    """

    def __init__(
        self,
        *,
        dim_a: int,
        dim_u: int,
        K: int,
        alpha_rnn: bool,
        alpha_units: int,
        alpha_layers: int,
        alpha_activation: str | dict | Callable,
        fifo_size: int,
        learn_u: bool,
        cell: keras.Layer | None = None,
        dtype: str | keras.DTypePolicy | None,
        name: str,
    ):
        super().__init__(name=name, dtype=dtype)
        self._dim_a, self._K, self._fifo = dim_a, K, fifo_size
        self._rnn = alpha_rnn or cell is not None
        self._trivial = K == 1 and not learn_u
        self._units = alpha_units if cell is None else _units_of(cell, self._trivial, learn_u)
        self._width = 2 * self._units if learn_u else self._units
        self.lstm: Any = None
        self.rnn: Any = None
        if cell is not None:
            self.rnn = keras.layers.RNN(cell, return_sequences=True, name="rnn", dtype=dtype)
        elif alpha_rnn:
            self.rnn = self.lstm = keras.layers.LSTM(
                self._width, return_sequences=True, name="lstm", dtype=dtype
            )
        self.hidden = [
            keras.layers.Dense(
                self._width, activation=alpha_activation, name=f"hidden_{i}", dtype=dtype
            )
            for i in range(1, alpha_layers + 1)
            if not self._rnn
        ]
        self.mix = keras.layers.Dense(K, activation="softmax", name="alpha", dtype=dtype)
        self.control = keras.layers.Dense(dim_u, name="u", dtype=dtype) if learn_u else None

    def build(self, input_shape: tuple | None = None):
        """Make the weights.

        Args:
            input_shape: unused.
        """
        if self.built or self._trivial:
            self.built = True
            return
        if self.rnn is not None:
            self.rnn.build((None, None, self._dim_a))
        for layer, size in zip(
            self.hidden, (self._dim_a * self._fifo, *[self._width] * len(self.hidden)), strict=False
        ):
            layer.build((None, size))
        self.mix.build((None, self._units))
        if self.control is not None:
            self.control.build((None, self._width - self._units))
        self.built = True

    def initial_state(self, batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Make the state before a_0: zeros.

        Args:
            batch: the batch size.

        Returns:
            The state of the RNN cell, or the FIFO [batch, dim_a, fifo_size].
        """
        if not self._rnn:
            return (tf.zeros([batch, self._dim_a, self._fifo], self.compute_dtype),)
        state = self.rnn.cell.get_initial_state(batch_size=batch)
        return tuple(tf.cast(part, self.compute_dtype) for part in tf.nest.flatten(state))

    def step(self, a: tf.Tensor, state: tuple[tf.Tensor, ...]):
        """Process one code.

        Args:
            a: [batch, dim_a].
            state: the state before.

        Returns:
            (alpha [batch, K], u [batch, dim_u] or None), and the next state.
        """
        if self._trivial:
            return self._ones(tf.shape(a)[:1]), state
        if self._rnn:
            cell = self.rnn.cell
            nested = (
                list(state)
                if self.lstm is not None
                else tf.nest.pack_sequence_as(cell.state_size, state)
            )
            hidden, nested = cell(a, nested)
            return self._heads(hidden), tuple(tf.nest.flatten(nested))
        (fifo,) = state
        fifo = tf.concat([fifo[:, :, 1:], a[:, :, None]], 2)
        return self._heads(self._dense(fifo)), (fifo,)

    def call(self, a: tf.Tensor):
        """Process a sequence of codes.

        Args:
            a: codes a_0, ..., a_{T-1} [batch, T, dim_a].

        Returns:
            alpha [batch, T, K], u [batch, T, dim_u] or None.
        """
        if self._trivial:
            return self._ones(tf.shape(a)[:2])
        if self._rnn:
            return self._heads(run_layer(self.rnn, a))
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
        u = None if self.control is None else self.control(hidden[..., self._units :])  # pyright: ignore[reportArgumentType]
        return self.mix(hidden[..., : self._units]), u  # pyright: ignore[reportArgumentType]

    def _ones(self, shape: tf.Tensor):
        return tf.ones(tf.concat([shape, [1]], 0), self.compute_dtype), None


def _units_of(cell, trivial: bool, learn_u: bool) -> int:
    """The number of a given cell's outputs that alpha is computed from; checks the cell."""
    if not hasattr(cell, "state_size") or not isinstance(getattr(cell, "output_size", None), int):
        raise ValueError(
            "dynamics: expected a Keras RNN cell, such as keras.layers.GRUCell(32), with "
            f"state_size, output_size and get_initial_state, got {type(cell).__name__}."
        )
    for each in [cell, *getattr(cell, "cells", [])]:
        if getattr(each, "dropout", 0) or getattr(each, "recurrent_dropout", 0):
            raise ValueError(
                "dynamics: expected a cell without dropout; the state-space model takes no noise "
                "from its network."
            )
    if trivial:
        raise ValueError(
            "dynamics: expected None with K=1 and learn_u=False, where there is nothing to mix."
        )
    if learn_u and cell.output_size % 2:
        raise ValueError(
            "dynamics: expected a cell with an even number of outputs with learn_u, half of them "
            f"for u, got {cell.output_size}."
        )
    return cell.output_size // 2 if learn_u else cell.output_size
