"""The decoder: an RNN that generates a sequence from its code, with or without the last value as an
input, optionally in segments.
"""

from typing import Any

import keras
import tensorflow as tf

from seqvae.randomness import uniform
from vrae.encoder import RNNS
from vrae.grids import features_of
from vrae.likelihoods import Likelihood
from vrae.patches import folded, middles, patches, unfolded


class Decoder(keras.layers.Layer):
    """p(x | z): RNN cells initialised from projections of z, which is also an input at every step.

    Args:
        context_size: size of the code and the condition together.
        likelihood: see `vrae.likelihoods`.
        rnn: "lstm" or "gru".
        rnn_size: units of a layer.
        num_layers: number of layers.
        autoregressive: whether the value of the previous step is an input too.
        segment_steps: None: no segments. Otherwise a conductor RNN generates a code for each
            segment of this length from z, and the cells restart from it (Roberts et al. 2018).
        patch: consecutive steps that are one output of the cells.
        positions: cosines of the relative time among the inputs; 0: none.
        **kwargs: as for a Keras layer.
    """

    def __init__(
        self,
        context_size: int,
        likelihood: Likelihood,
        *,
        rnn: str,
        rnn_size: int,
        num_layers: int,
        autoregressive: bool,
        segment_steps: int | None,
        patch: int = 1,
        positions: int = 0,
        **kwargs: Any,
    ):
        super().__init__(autocast=False, **kwargs)  # the layers inside cast
        _, cell, states = RNNS[rnn]
        self._likelihood = likelihood
        self._sizes = [rnn_size] * (states * num_layers)
        self._autoregressive, self._segment = autoregressive, segment_steps
        self._patch, self._positions = patch, positions
        options = dict(dtype=self.dtype_policy)
        self.conductor: Any = None
        if segment_steps is not None:
            self.conductor = cell(rnn_size, name="conductor", **options)
            self.conductor.build((None, context_size))
            self._conductor_states = states
            self.to_conductor = keras.layers.Dense(
                states * rnn_size, activation="tanh", name="to_conductor", **options
            )
            self.to_conductor.build((None, context_size))
            context_size += rnn_size
        self.cells = [cell(rnn_size, name=f"cell_{i}", **options) for i in range(num_layers)]
        first = context_size + patch * likelihood.input_size * autoregressive
        first += 1 + positions if positions else 0
        for i, each in enumerate(self.cells):
            each.build((None, first if i == 0 else rnn_size))
        self.to_states = keras.layers.Dense(
            sum(self._sizes), activation="tanh", name="to_states", **options
        )
        self.to_states.build((None, context_size))
        self.to_output = keras.layers.Dense(
            patch * likelihood.output_size, name="to_output", **options
        )
        self.to_output.build((None, rnn_size))
        self.built = True

    def call(
        self,
        context: tf.Tensor,
        steps: int | tf.Tensor,
        given: tf.Tensor | None = None,
        forcing: float | tf.Tensor = 1.0,
        seed: tf.Tensor | None = None,
        position: tf.Tensor | None = None,
        perturbation: tf.Tensor | None = None,
    ):
        """Generate the outputs of the likelihood.

        Args:
            context: [B, context_size].
            steps: number of steps.
            given: [B, steps, input_size], the true values; None: free-running, each output is the
                next step's input.
            forcing: probability of teacher forcing: that the next input is the true value instead
                of the output. It is drawn for every step (patch) and sequence.
            seed: [2] int32, seed of these draws.
            position: [B, steps], relative times; None: steps of equal length.
            perturbation: [B, steps, output_size], added to the outputs before they become inputs of
                the next step.

        Returns:
            [B, steps, output_size], in the variables' type.
        """
        count = patches(steps, self._patch)
        given, perturbation = (
            None if x is None else tf.transpose(folded(x, self._patch), [1, 0, 2])
            for x in (given, perturbation)
        )
        features = self._position_features(position, steps)
        outputs = self._scan(context, count, given, forcing, seed, features, perturbation)
        return unfolded(outputs, self._patch, steps)

    def _position_features(self, position, steps) -> tf.Tensor | None:
        """The features of the relative time of each patch, [patches, 1 or B, ...]."""
        if not self._positions:
            return None
        if position is None:
            position = tf.linspace(0.0, 1.0, steps)[None]
        middle = middles(tf.cast(position, self.compute_dtype), self._patch)
        return tf.transpose(features_of(middle, self._positions), [1, 0, 2])

    def _scan(self, context, steps, given, forcing, seed, features, perturbation) -> tf.Tensor:
        """Run the cells over patches; steps, given, features and perturbation are those of patches.

        Returns [B, patches, patch * output_size].
        """
        contexts = self._contexts(context, steps)
        batch, dtype = tf.shape(context)[0], self.variable_dtype
        width = self._patch * self._likelihood.input_size
        draws = tf.zeros([steps, batch, 1], dtype)
        if given is not None:
            draws = (
                tf.transpose(uniform([batch, steps, 1], seed, dtype), [1, 0, 2])
                if seed is not None
                else draws
            )
            forcing = tf.cast(forcing, dtype)
        if features is not None:
            features = tf.broadcast_to(features, [steps, batch, features.shape[2]])

        def step(t, states, value, outputs):
            now = contexts[t]
            if self._segment is not None:
                begins = tf.equal(t % self._segment, 0)
                states = [
                    tf.where(begins, new, old)
                    for new, old in zip(self._first_states(now), states, strict=True)
                ]
            inputs = now if features is None else tf.concat([now, features[t]], -1)
            if self._autoregressive:
                inputs = tf.concat([inputs, tf.cast(value, now.dtype)], -1)
            hidden, states = self._cells(inputs, states)
            if not self._autoregressive:
                return t + 1, states, value, outputs.write(t, hidden)
            output = tf.cast(self.to_output(hidden), dtype)
            if perturbation is not None:
                output += perturbation[t]
            value = self._next_inputs(output)
            if given is not None:
                value = tf.where(draws[t] < forcing, given[t], value)
            return t + 1, states, value, outputs.write(t, output)

        loop = tf.while_loop(
            lambda t, *_: t < steps,
            step,
            (
                0,
                self._first_states(contexts[0]),
                tf.zeros([batch, width], dtype),
                tf.TensorArray(dtype if self._autoregressive else self.compute_dtype, steps),
            ),
            parallel_iterations=1,
            maximum_iterations=steps,  # XLA's gradient needs it
        )
        outputs = tf.transpose(loop[3].stack(), [1, 0, 2])
        if self._autoregressive:
            return outputs
        outputs = tf.cast(self.to_output(outputs), dtype)  # all steps at once: faster
        return outputs if perturbation is None else outputs + tf.transpose(perturbation, [1, 0, 2])

    def _next_inputs(self, output) -> tf.Tensor:
        """The most likely values for a patch's outputs [B, ...], the next inputs of the cells."""
        each = tf.reshape(output, [-1, self._patch, self._likelihood.output_size])
        values = self._likelihood.inputs(self._likelihood.mode(each))
        return tf.reshape(values, [-1, self._patch * self._likelihood.input_size])

    def _contexts(self, context, steps) -> tf.Tensor:
        """The inputs of each step other than the last value, [steps, B, ...]."""
        context = tf.cast(context, self.compute_dtype)
        if self._segment is None:
            return tf.tile(context[None], [steps, 1, 1])
        segments = -(-steps // self._segment)
        states = tf.split(self.to_conductor(context), self._conductor_states, axis=-1)

        def one(states, _):
            return self.conductor(context, list(states))[1]

        codes = tf.scan(one, tf.range(segments), list(states))[0]  # [segments, B, rnn_size]
        per_step = tf.gather(codes, tf.range(steps) // self._segment)
        return tf.concat([tf.tile(context[None], [steps, 1, 1]), per_step], -1)

    def _first_states(self, context) -> list[tf.Tensor]:
        """The cells' states at the start of a sequence or segment."""
        return tf.split(self.to_states(context), self._sizes, axis=-1)

    def _cells(self, inputs, states):
        """Run all cells for one step: the last cell's output, and the new states."""
        after, each = [], len(states) // len(self.cells)
        for i, cell in enumerate(self.cells):
            inputs, now = cell(inputs, states[i * each : (i + 1) * each])
            after += now if isinstance(now, list | tuple) else [now]
        return inputs, after
