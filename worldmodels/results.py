"""Results of the models' methods. Fields are never None unless their documentation says so."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf


class ConvVAETerms(NamedTuple):
    """The loss of a batch and its parts, scalars."""

    reconstruction: tf.Tensor
    """Architecture "worldmodels": squared error summed over a frame's pixels and channels, each in
    [0, 1], averaged over frames. "course": 10 times the mean squared error of a pixel.
    """
    kl: tf.Tensor
    """"worldmodels": KL(q(z|x) || N(0, 1)) in nats, at least kl_tolerance * z_size for each frame,
    averaged over frames. "course": the mean over the z_size dimensions.
    """
    total: tf.Tensor
    """reconstruction + kl."""


class RNNData(NamedTuple):
    """Training data of an MDN-RNN: the inputs are z_t and the action, the output is z_{t+1}."""

    inputs: np.ndarray | list[np.ndarray]
    """[N, T - 1, z_size + action_size]; a list of arrays if the episodes differ in length."""
    outputs: np.ndarray | list[np.ndarray]
    """[N, T - 1, z_size]; a list of arrays if the episodes differ in length."""


class Latents(NamedTuple):
    """q(z | x) of every frame, so that z can be drawn again at each use."""

    mean: np.ndarray | list[np.ndarray]
    """[N, T, z_size]; a list of arrays if the episodes differ in length."""
    logvar: np.ndarray | list[np.ndarray]
    """[N, T, z_size], log-variance; a list of arrays if the episodes differ in length."""
    actions: np.ndarray | list[np.ndarray]
    """[N, T, action_size]; a list of arrays if the episodes differ in length."""


class State(NamedTuple):
    """The LSTM's state."""

    h: tf.Tensor
    """[B, rnn_size], the output."""
    c: tf.Tensor
    """[B, rnn_size], the cell."""


class Predicted(NamedTuple):
    """p(z_{t+1} | z_1..t, a_1..t) at every step, and the state after the last step."""

    logmix: tf.Tensor
    """[B, T, z_size, num_mixtures], log of the components' weights."""
    mean: tf.Tensor
    """[B, T, z_size, num_mixtures], means."""
    logstd: tf.Tensor
    """[B, T, z_size, num_mixtures], log of the standard deviations."""
    state: State
    """The state after the last step."""


class PredictedWithHeads(NamedTuple):
    """`Predicted`, and the heads' predictions for the next frame."""

    logmix: tf.Tensor
    """As in `Predicted`."""
    mean: tf.Tensor
    """As in `Predicted`."""
    logstd: tf.Tensor
    """As in `Predicted`."""
    state: State
    """As in `Predicted`."""
    done: tf.Tensor | None
    """[B, T], logit that the episode ends with the next frame; None without this head."""
    reward: tf.Tensor | None
    """[B, T], mean of the next frame's reward; None without this head."""


class Imagined(NamedTuple):
    """One step of a dream."""

    z: tf.Tensor
    """[B, z_size], drawn from p(z_{t+1})."""
    state: State
    """The LSTM's state after the step."""
    done: tf.Tensor | None
    """[B], as in `PredictedWithHeads`; None without this head."""
    reward: tf.Tensor | None
    """[B], as in `PredictedWithHeads`; None without this head."""


class Dream(NamedTuple):
    """A dream: codes, actions and frames."""

    z: tf.Tensor
    """[B, steps + 1, z_size], z0 first."""
    actions: tf.Tensor
    """[B, steps, action_size]."""
    frames: tf.Tensor | None
    """[B, steps + 1, H, W, C] in (0, 1); None without a ConvVAE."""


class Plan(NamedTuple):
    """Result of a `Planner`."""

    actions: np.ndarray
    """[horizon, action_size], from the current step on."""
    score: float
    """Mean predicted score of the elite in the last iteration."""


class MDNRNNTerms(NamedTuple):
    """The term of the loss of an MDN-RNN without heads."""

    z: tf.Tensor
    """Negative log-likelihood of z, in nats per dimension and step (negative if densities exceed
    1).
    """


class MDNRNNTermsWithHeads(NamedTuple):
    """The terms of the loss of an MDN-RNN with heads."""

    z: tf.Tensor
    """As in `MDNRNNTerms`."""
    done: tf.Tensor
    """Cross-entropy in nats per step, where ending steps are weighted by `done_weight`; 0 without
    this head.
    """
    reward: tf.Tensor
    """Half the squared error of the reward; 0 without this head."""
