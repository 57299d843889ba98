"""One step of gradient descent, the same for the GradientTape loop and for `fit`."""

from typing import NamedTuple

import tensorflow as tf


class Step(NamedTuple):
    """What a step computed: the loss, the model's unweighted terms, and the gradients' global norm before clipping."""

    loss: tf.Tensor
    terms: NamedTuple
    gradient_norm: tf.Tensor


def gradient_step(model, batch, variables, optimizer, *, seed, clip_norm: float | None = None) -> Step:
    """Takes one step on `variables`, unless the loss or a gradient is not finite: then nothing is changed.

    The model gives `loss_terms(batch, seed=...)` and `objective(terms)`.
    """
    with tf.GradientTape() as tape:
        terms = model.loss_terms(batch, seed=seed)
        loss = model.objective(terms)
    weights = [variable.value for variable in variables]
    gradients = tape.gradient(loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    norm = tf.linalg.global_norm(gradients)
    if clip_norm is not None:
        gradients, _ = tf.clip_by_global_norm(gradients, clip_norm, use_norm=norm)
    tf.cond(
        tf.math.is_finite(loss) & tf.math.is_finite(norm),
        lambda: optimizer.apply(gradients, variables),
        lambda: None,
    )
    return Step(loss, terms, norm)
