"""One step of gradient descent, used by the GradientTape loop and by `fit`."""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from seqvae import replicas

NOT_FINITE = "not finite: "
"""Marks the message of a failed assertion, so that the loop recognises it."""

_LOSS_SCALE = 2.0**8
"""The first loss scale. Keras' default of 2**15 overflows in the first steps, because gradients
here are sums over pixels and time.
"""


class Step(NamedTuple):
    """What a step computed."""

    loss: tf.Tensor
    """The loss, a scalar."""
    terms: NamedTuple
    """The model's unweighted terms, scalars."""
    gradient_norm: tf.Tensor
    """The global norm of the gradients before clipping, without an optimiser's loss scale."""
    count: tf.Tensor
    """The weight of these values in an average over batches."""


def gradient_step(
    model: keras.Model,
    batch: dict,
    variables: list | None,
    optimizer: keras.optimizers.Optimizer,
    *,
    seed: tf.Tensor,
    clip_norm: float | None = None,
    jit_compile: bool = False,
) -> Step:
    """Take one step of gradient descent.

    If the loss or a gradient is not finite, no weight is changed, and a `LossScaleOptimizer` lowers
    its scale. On a replica (`seqvae.replicas`) all results are those of the whole batch.

    Args:
        model: has `with_noise(batch, seed)`, `loss_terms(batch, seed=...)`, `objective(terms)`,
            `count(batch)` and Keras' `losses`, the regularisers.
        batch: the batch; on a replica its rows here.
        variables: the variables to train; None: all trainable variables of the model.
        optimizer: built for `variables`.
        seed: [2] int32, seed of the random draws.
        clip_norm: the largest global norm of the gradients; None: no clipping.
        jit_compile: whether XLA compiles the loss and the gradients. Random draws, sums over
            replicas and the optimiser are not compiled by XLA.

    Returns:
        The loss, the terms, the gradient norm and the count.

    Raises:
        tf.errors.InvalidArgumentError: under a `tf.distribute` strategy, if the loss or a gradient
            is not finite.
    """
    count = replicas.zero_if_copied(model.count(batch))
    share = replicas.share_of_batch(count)
    scale = tf.cast(optimizer.scale_loss(tf.ones([])), tf.float32)

    def differentiate(batch, share, scale, seed) -> tuple[tf.Tensor, Any, Any]:
        with tf.GradientTape() as tape:
            terms = model.loss_terms(batch, seed=seed)
            loss = model.objective(terms)
            loss = loss * tf.cast(share, loss.dtype) + replicas.divide_by_replicas(
                regularisation(model, loss.dtype)
            )
            target = loss * tf.cast(scale, loss.dtype)
        weights = [variable.value for variable in variables or model.trainable_variables]
        return (
            loss,
            terms,
            tape.gradient(target, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO),
        )

    if jit_compile:
        differentiate = tf.function(differentiate, autograph=False, jit_compile=True)
    loss, terms, gradients = differentiate(model.with_noise(batch, seed), share, scale, seed)
    figures = [
        loss,
        *(tf.cast(share, loss.dtype) * tf.cast(term, loss.dtype) for term in terms),
        tf.cast(count, loss.dtype),
    ]
    summed = replicas.all_reduce_sum([*gradients, *figures])
    gradients, (loss, *values, count) = summed[: len(gradients)], summed[len(gradients) :]
    norm = tf.linalg.global_norm(gradients)
    norm /= tf.cast(scale, norm.dtype)
    step = Step(loss, type(terms)(*values), norm, count)
    if clip_norm is not None:
        # tf.clip_by_global_norm does not fit: the gradients include the optimiser's loss scale,
        # the norm does not
        kept = clip_norm / tf.maximum(norm, clip_norm)
        gradients = [gradient * tf.cast(kept, gradient.dtype) for gradient in gradients]
    _apply(optimizer, gradients, variables or model.trainable_variables, step)
    return step


def loss_scaled(
    optimizer: keras.optimizers.Optimizer, policy: keras.DTypePolicy
) -> keras.optimizers.Optimizer:
    """Add a loss scale to an optimiser if gradients are float16, where small ones become 0.

    Args:
        optimizer: the optimiser.
        policy: the model's dtype policy.

    Returns:
        The optimiser, or a `LossScaleOptimizer` around it.
    """
    if policy.name != "mixed_float16" or isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer
    return keras.optimizers.LossScaleOptimizer(
        optimizer, initial_scale=_LOSS_SCALE, name="loss_scale_optimizer"
    )


def regularisation(model: keras.Model, dtype: tf.DType | str) -> tf.Tensor:
    """Sum the model's regularisers and the losses that its layers added in their last call.

    Args:
        model: the model.
        dtype: of the result.

    Returns:
        A scalar.
    """
    added = [tf.cast(loss, dtype) for loss in model.losses]
    return tf.add_n(added) if added else tf.zeros([], dtype)


def _apply(optimizer, gradients, variables, step: Step) -> None:
    finite = tf.math.is_finite(step.loss) & tf.math.is_finite(step.gradient_norm)
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        # It skips a step whose gradients are not finite and lowers its scale. It does not check
        # the loss: a loss that is not finite is passed on as a NaN gradient.
        first = tf.where(finite, gradients[0], tf.constant(float("nan"), gradients[0].dtype))
        replicas.apply_summed(optimizer, [first, *gradients[1:]], variables)
    elif not tf.distribute.has_strategy():
        tf.cond(finite, lambda: optimizer.apply(gradients, variables), lambda: None)
    else:  # tf.distribute cannot update variables within a branch
        values = [step.loss, *step.terms, step.gradient_norm]
        report = tf.strings.format(
            NOT_FINITE + ", ".join(f"{name} {{}}" for name in names(step)), values
        )
        with tf.control_dependencies([tf.debugging.Assert(finite, [report])]):
            gradients = [tf.identity(gradient) for gradient in gradients]
        replicas.apply_summed(optimizer, gradients, variables)


def names(step: Step) -> tuple[str, ...]:
    """List the names of a step's figures.

    Args:
        step: the step.

    Returns:
        The names of the loss, the terms and the gradient norm, in this order.
    """
    return "loss", *step.terms._fields, "gradient_norm"
