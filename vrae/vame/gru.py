"""A bidirectional GRU that is fast on a CPU: Keras' layer and weights, with other loops over time.

All inputs are projected in one product before the loop, and the gradients of the weights are one
product each after it. (Keras computes a product per step, and accumulates gradients as large as the
weights.) The two directions are two loops that run in parallel. With a GPU, Keras' own call is
used: it runs in cuDNN (`seqvae.recurrent`).
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from seqvae.recurrent import cudnn_allowed


@keras.saving.register_keras_serializable(package="vame")
class BidirectionalGRU(keras.layers.Bidirectional):
    """`keras.layers.Bidirectional` of two GRUs with `return_sequences` and `return_state`."""

    def call(
        self,
        sequences: tf.Tensor,
        initial_state: Sequence[tf.Tensor] | None = None,
        steps: int | None = None,
    ):
        """Compute the layer.

        Args:
            sequences: [B, T, F], or [B, 1, F] if the input is the same at all steps.
            initial_state: [forward, backward], each [B, units]; None: zeros.
            steps: the number of steps, if sequences are [B, 1, F].

        Returns:
            Outputs [B, T, 2 * units], and the last states forward and backward [B, units].
        """
        # not in bfloat16: a training with cuDNN failed within nine steps (benchmarks/README.md)
        cudnn = cudnn_allowed() and sequences.dtype != tf.bfloat16
        by_keras = cudnn and tf.config.list_physical_devices("GPU")
        return (self.by_keras if by_keras else self.by_scan)(sequences, initial_state, steps)

    def by_keras(
        self,
        sequences: tf.Tensor,
        initial_state: Sequence[tf.Tensor] | None = None,
        steps: int | None = None,
    ):
        """Compute the layer by Keras.

        Args:
            sequences: as for `call`.
            initial_state: as for `call`.
            steps: as for `call`.

        Returns:
            As `call`.
        """
        sequences = sequences if steps is None else tf.repeat(sequences, steps, axis=1)
        return super().call(sequences, initial_state=initial_state)

    def by_scan(
        self,
        sequences: tf.Tensor,
        initial_state: Sequence[tf.Tensor] | None = None,
        steps: int | None = None,
    ):
        """Compute the layer by the loops of this module.

        Args:
            sequences: as for `call`.
            initial_state: as for `call`.
            steps: as for `call`.

        Returns:
            As `call`.
        """
        inputs = tf.transpose(sequences, [1, 0, 2])
        count = tf.shape(inputs)[0] if steps is None else tf.constant(steps)
        first = initial_state or (None, None)
        forward = _states(inputs, count, self.forward_layer.cell, first[0], _scan_forward)
        backward = _states(inputs, count, self.backward_layer.cell, first[1], _scan_backward)
        return tf.transpose(tf.concat([forward, backward], -1), [1, 0, 2]), forward[-1], backward[0]


def _states(inputs, count, cell: keras.layers.GRUCell, first, scan):
    """From inputs [T or 1, B, F] and the state before them ([B, units] or None) to the state after
    each of `count` steps.
    """
    kernel, recurrent, bias = (
        tf.cast(w, inputs.dtype) for w in (cell.kernel, cell.recurrent_kernel, cell.bias)
    )
    shape = tf.shape(inputs)
    if first is None:
        first = tf.zeros([shape[1], cell.units], inputs.dtype)
    projected = tf.nn.bias_add(
        tf.matmul(tf.reshape(inputs, [-1, kernel.shape[0]]), kernel), bias[0]
    )
    return scan(
        tf.reshape(projected, [inputs.shape[0] or shape[0], shape[1], 3 * cell.units]),
        count,
        first,
        recurrent,
        bias[1],
    )


@tf.custom_gradient
def _scan_forward(inputs, count, first, recurrent, bias) -> Any:
    after, recurrent_input = _scan(inputs, count, first, recurrent, bias)
    before = tf.concat([first[None], after[:-1]], 0)
    return after, _gradient(
        inputs, count, before, recurrent_input, recurrent, lambda i: count - 1 - i
    )


@tf.custom_gradient
def _scan_backward(inputs, count, first, recurrent, bias) -> Any:
    after, recurrent_input = (
        tf.reverse(x, [0]) for x in _scan(tf.reverse(inputs, [0]), count, first, recurrent, bias)
    )
    before = tf.concat([after[1:], first[None]], 0)
    return after, _gradient(inputs, count, before, recurrent_input, recurrent, lambda i: i)


def _scan(inputs, count, first, recurrent, bias):
    """From projected inputs [T or 1, B, 3 * units] (update, reset, candidate) to the state after
    every step [T, B, units], and the projection of the state before it [T, B, 3 * units].

    The loop runs in order, for the backward direction on reversed inputs: the converter to ONNX
    requires it.
    """
    units, given = recurrent.shape[0], None if inputs.shape[0] == 1 else _read(inputs)

    def step(i, h, *lists):
        recurrent_input = tf.nn.bias_add(tf.matmul(h, recurrent), bias)
        update, _, candidate = _gates(
            inputs[0] if given is None else given.read(i), recurrent_input
        )
        after = candidate + update * (h - candidate)
        return (
            i + 1,
            after,
            *(
                kept.write(i, value)
                for kept, value in zip(lists, (after, recurrent_input), strict=True)
            ),
        )

    lists = _list(count, inputs.dtype, units), _list(count, inputs.dtype, 3 * units)
    _, _, *lists = tf.while_loop(
        lambda i, *_: i < count,
        step,
        (0, first, *lists),
        parallel_iterations=1,
        maximum_iterations=count,
    )
    return [kept.stack() for kept in lists]


def _gates(x, recurrent_input):
    """Update, reset and candidate from projected inputs and states [..., 3 * units]."""
    units = recurrent_input.shape[-1] // 3
    update, reset = tf.split(
        tf.sigmoid(x[..., : 2 * units] + recurrent_input[..., : 2 * units]), 2, axis=-1
    )
    return update, reset, tf.tanh(x[..., 2 * units :] + reset * recurrent_input[..., 2 * units :])


def _gradient(inputs, count, before, recurrent_input, recurrent, place):
    """The gradient of `_scan`. It does not use lists of the loop, which a SavedModel could not
    store; the gates are computed again for all steps at once. before: the states before the
    steps. place: the position in time of the i-th step.
    """
    units = recurrent.shape[0]

    def gradient(d_after):
        update, reset, candidate = _gates(inputs, recurrent_input)
        by_candidate = (1.0 - update) * (1.0 - candidate * candidate)
        by_update = (before - candidate) * update * (1.0 - update)
        by_reset = by_candidate * recurrent_input[..., 2 * units :] * reset * (1.0 - reset)
        # d recurrent_input / d h, and so on
        by_recurrent_input = tf.concat([by_update, by_reset, by_candidate * reset], -1)
        by_input = tf.concat([by_update, by_reset, by_candidate], -1)
        d_states, updates, factors = _read(d_after), _read(update), _read(by_recurrent_input)

        def back(i, d_h, kept):
            t = place(i)
            d_h += d_states.read(t)
            d_recurrent_input = tf.concat([d_h, d_h, d_h], -1) * factors.read(t)
            return (
                i + 1,
                d_h * updates.read(t) + tf.matmul(d_recurrent_input, recurrent, transpose_b=True),
                kept.write(t, d_h),
            )

        start = 0, tf.zeros_like(before[0]), _list(count, inputs.dtype, units)
        _, d_first, kept = tf.while_loop(
            lambda i, *_: i < count, back, start, parallel_iterations=1, maximum_iterations=count
        )
        d_all = tf.concat([kept.stack()] * 3, -1)
        d_inputs, d_recurrent_inputs = (
            d_all * by_input,
            tf.reshape(d_all * by_recurrent_input, [-1, 3 * units]),
        )
        if inputs.shape[0] == 1:
            d_inputs = tf.reduce_sum(d_inputs, 0, keepdims=True)
        d_recurrent = tf.matmul(
            tf.reshape(before, [-1, units]), d_recurrent_inputs, transpose_a=True
        )
        return d_inputs, None, d_first, d_recurrent, tf.reduce_sum(d_recurrent_inputs, 0)

    return gradient


def _read(values) -> tf.TensorArray:
    return tf.TensorArray(
        values.dtype, tf.shape(values)[0], element_shape=values.shape[1:]
    ).unstack(values)


def _list(count, dtype, size: int) -> tf.TensorArray:
    return tf.TensorArray(dtype, count, element_shape=[None, size])
