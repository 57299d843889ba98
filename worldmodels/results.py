"""What the models return. Every field's shape is given; None only where it says so."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf


class ConvVAETerms(NamedTuple):
    """The loss of a batch and its parts, scalars.

    worldmodels: reconstruction is the squared error summed over a frame's pixels and channels, [0,
    1] each; kl is KL(q(z|x) || N(0, 1)) in nats, no less than kl_tolerance * z_size for any frame;
    means over the frames.
    course: reconstruction is 10 times the mean squared error of a pixel; kl is the mean over the
    z_size dimensions.
    total: their sum.
    """

    reconstruction: tf.Tensor
    kl: tf.Tensor
    total: tf.Tensor


class RNNData(NamedTuple):
    """What an MDN-RNN learns from: at step t it sees z_t and the action, and predicts z_{t+1}.

    inputs: [N, T - 1, z_size + action_size]; outputs: [N, T - 1, z_size]. Lists of such arrays, one
    an episode, where the episodes are not equally long.
    """

    inputs: np.ndarray | list[np.ndarray]
    outputs: np.ndarray | list[np.ndarray]


class Latents(NamedTuple):
    """q(z | x) of every frame, so that z can be drawn anew whenever it is used.

    mean, logvar: [N, T, z_size]; actions: [N, T, action_size]. Lists where the episodes are not
    equally long.
    """

    mean: np.ndarray | list[np.ndarray]
    logvar: np.ndarray | list[np.ndarray]
    actions: np.ndarray | list[np.ndarray]


class State(NamedTuple):
    """The LSTM's state: output h and cell c, [B, rnn_size] each."""

    h: tf.Tensor
    c: tf.Tensor


class Predicted(NamedTuple):
    """p(z_{t+1} | z_1..t, a_1..t) at every step, see `Mixture`, and the state after the last
    step."""

    logmix: tf.Tensor
    mean: tf.Tensor
    logstd: tf.Tensor
    state: State


class PredictedWithHeads(NamedTuple):
    """`Predicted`, and for the next frame: `done`, the logit that the episode ends with it;
    `reward`, the mean of what it brings; [B, T] each, None where the model has no such head."""

    logmix: tf.Tensor
    mean: tf.Tensor
    logstd: tf.Tensor
    state: State
    done: tf.Tensor | None
    reward: tf.Tensor | None


class Imagined(NamedTuple):
    """One step of a dream.

    z: [B, z_size], drawn from p(z_{t+1}); state: the LSTM's after the step; done, reward: [B], as
    in `PredictedWithHeads`, None where the model has no such head.
    """

    z: tf.Tensor
    state: State
    done: tf.Tensor | None
    reward: tf.Tensor | None


class Dream(NamedTuple):
    """What the model imagined.

    z: [B, steps + 1, z_size], z0 first; actions: [B, steps, action_size]; frames: [B, steps + 1, H,
    W, C] in (0, 1), None where no ConvVAE was given.
    """

    z: tf.Tensor
    actions: tf.Tensor
    frames: tf.Tensor | None


class Plan(NamedTuple):
    """What a `Planner` found.

    actions: [horizon, action_size], from now on; score: the mean predicted score of the last
    iteration's elite.
    """

    actions: np.ndarray
    score: float


class MDNRNNTerms(NamedTuple):
    """z: negative log-likelihood of z, in nats per dimension and step (negative where the densities
    are above 1)."""

    z: tf.Tensor


class MDNRNNTermsWithHeads(NamedTuple):
    """z as in `MDNRNNTerms`; done: cross-entropy in nats a step, steps that end weighted by
    `done_weight`; reward: half the squared error. 0 where the model has no such head."""

    z: tf.Tensor
    done: tf.Tensor
    reward: tf.Tensor
