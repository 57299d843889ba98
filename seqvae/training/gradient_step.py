"""One step of gradient descent, the same for the GradientTape loop and for `fit`."""

from typing import NamedTuple

import tensorflow as tf

from seqvae import replicas

NOT_FINITE = "not finite: "


class Step(NamedTuple):
    """What a step computed: the loss, the model's unweighted terms, the gradients' global norm before clipping, and the
    weight of these in an average over batches."""

    loss: tf.Tensor
    terms: NamedTuple
    gradient_norm: tf.Tensor
    count: tf.Tensor


def gradient_step(
    model, batch, variables, optimizer, *, seed, clip_norm: float | None = None, jit_compile: bool = False
) -> Step:
    """Takes one step on `variables`, unless the loss or a gradient is not finite: then nothing is changed.

    The model gives `with_noise(batch, seed)`, `loss_terms(batch, seed=...)`, `objective(terms)` and `count(batch)`. On a
    replica (`seqvae.replicas`) all of it is that of the whole batch.

    Args:
        jit_compile: loss and gradients are compiled by XLA; noise, sums over replicas and the optimiser are not.

    Raises:
        tf.errors.InvalidArgumentError: on a replica, where something is not finite.
    """
    count = replicas.part_of_sum(model.count(batch))
    share = replicas.share(count)

    def differentiate(batch, share, seed):
        with tf.GradientTape() as tape:
            terms = model.loss_terms(batch, seed=seed)
            loss = model.objective(terms)
            loss *= tf.cast(share, loss.dtype)
        weights = [variable.value for variable in variables]
        return loss, terms, tape.gradient(loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    if jit_compile:
        differentiate = tf.function(differentiate, autograph=False, jit_compile=True)
    loss, terms, gradients = differentiate(model.with_noise(batch, seed), share, seed)
    figures = [
        loss,
        *(tf.cast(share, loss.dtype) * tf.cast(term, loss.dtype) for term in terms),
        tf.cast(count, loss.dtype),
    ]
    summed = replicas.sum_of([*gradients, *figures])
    gradients, (loss, *values, count) = summed[: len(gradients)], summed[len(gradients) :]
    norm = tf.linalg.global_norm(gradients)
    step = Step(loss, type(terms)(*values), norm, count)
    finite = tf.math.is_finite(loss) & tf.math.is_finite(norm)
    if clip_norm is not None:
        gradients, _ = tf.clip_by_global_norm(gradients, clip_norm, use_norm=norm)
    if replicas.here() is None:
        tf.cond(finite, lambda: optimizer.apply(gradients, variables), lambda: None)
        return step
    # tf.distribute cannot update variables within a branch
    report = tf.strings.format(NOT_FINITE + ", ".join(f"{name} {{}}" for name in names(step)), [loss, *values, norm])
    with tf.control_dependencies([tf.debugging.Assert(finite, [report])]):
        gradients = [tf.identity(gradient) for gradient in gradients]
    replicas.apply(optimizer, gradients, variables)
    return step


def names(step: Step) -> tuple[str, ...]:
    """Of the loss, the terms and the gradients' norm, in their order."""
    return "loss", *step.terms._fields, "gradient_norm"
