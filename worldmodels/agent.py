"""`Agent`: ConvVAE, MDN-RNN and controller as one policy."""

from functools import partial

import numpy as np
import tensorflow as tf

from seqvae.checks import Array
from worldmodels import arguments
from worldmodels.controller import Controller
from worldmodels.conv_vae import ConvVAE
from worldmodels.mdn_rnn import MDNRNN
from worldmodels.results import State


class Agent:
    """The agent of World Models: ConvVAE, MDN-RNN and controller.

    The policy (Ha and Schmidhuber 2018, arXiv:1803.10122, section "Agent Model")::

        z_t ~ q(z | x_t);    a_t = C(z_t, h_t, c_t);    h_{t+1}, c_{t+1} = M(z_t, a_t, h_t, c_t)

    As in the original, the input of the controller is the MDN-RNN's state before it processes z_t
    and a_t: zeros at the first frame of an episode. A step is one compiled function, traced once
    for single frames and once for batches.

    Args:
        vae: the ConvVAE.
        rnn: the MDN-RNN; may be None for a controller with inputs="z". If its action_size is one
            above the controller's, its last action is a restart flag, 1 at the first step of an
            episode, as in the original's Doom model.
        controller: the controller.
        sample: True: z is drawn, as in the original also at test time; False: z is the mean.
        seed: seed of these draws.

    Raises:
        ValueError: the sizes of the parts do not fit.
    """

    def __init__(
        self,
        vae: ConvVAE,
        rnn: MDNRNN | None,
        controller: Controller,
        *,
        sample: bool = True,
        seed: int | None = None,
    ):
        check_parts(vae, rnn, controller)
        self.vae, self.rnn, self.controller, self.sample = vae, rnn, controller, sample
        self._rng = np.random.default_rng(seed)
        self._z = self._state = self._first = None
        self._step = tf.function(
            partial(agent_step, vae, rnn, controller), autograph=False, reduce_retracing=True
        )

    @property
    def z(self) -> np.ndarray | None:
        """The codes of the last frames, [B, z_size]; None before the first."""
        return None if self._z is None else self._z.numpy()

    @property
    def state(self) -> State | None:
        """The MDN-RNN's state for the next action, [B, rnn_size] each; None before the first frame
        and without an MDN-RNN.
        """
        return self._state

    def reset(self, done: Array | None = None, *, seed: int | None = None) -> None:
        """Start new episodes: the MDN-RNN's state is set to zeros.

        Args:
            done: [B], True for the rows of the batch that start a new episode. None: all rows, and
                the number of frames may change.
            seed: new seed of the draws; None: their sequence continues.

        Raises:
            ValueError: `done` does not fit the last frames.
        """
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        if done is None:
            self._z = self._state = self._first = None
            return
        done = np.asarray(done, bool)
        count = 0 if self._first is None else len(self._first)
        if done.shape != (count,):
            raise ValueError(
                f"done: expected [{count}], one for each of the last frames, got {done.shape}. "
                "Call reset() to begin all episodes again."
            )
        assert self._first is not None
        self._first = np.where(done, np.float32(1.0), self._first)
        if self._state is not None:
            self._state = State(
                *(tf.where(done[:, None], tf.zeros_like(part), part) for part in self._state)
            )

    def act(self, frames: Array) -> np.ndarray:
        """Compute the actions for the next frames.

        Args:
            frames: one frame [H, W, C] or B frames [B, H, W, C], uint8, bool, or floats in [0, 1].

        Returns:
            [action_size] or [B, action_size], in the type of the codes.

        Raises:
            ValueError: frames of another shape, or another number of frames than since the last
                `reset`.
            FloatingPointError: an action or a state is not finite.
        """
        frames, single = self._checked(frames)
        count = int(frames.shape[0] or 0)
        if self._first is None:
            self._first = np.ones(count, np.float32)
            self._state = None if self.rnn is None else self.rnn.initial_state(count)
        elif len(self._first) != count:
            raise ValueError(
                f"frames: expected {len(self._first)} as since the last reset, got {count}. Call "
                "reset() before another number of episodes."
            )
        shape, dtype = (count, self.vae.z_size), self.vae.variable_dtype
        noise = self._rng.standard_normal(shape) if self.sample else np.zeros(shape)
        self._z, actions, self._state = self._step(
            frames,
            tf.constant(noise, dtype),
            self._state,
            tf.constant(self._first),
            tf.constant(self.controller.vector, dtype),
        )
        self._first = np.zeros(count, np.float32)
        actions = actions.numpy()
        arguments.check_finite("act", actions=actions, state=self._state and self._state.h)
        return actions[0] if single else actions

    def _checked(self, frames) -> tuple[tf.Tensor, bool]:
        """Frames [B, H, W, C], and whether a single frame was given."""
        if not tf.is_tensor(frames):
            frames = np.asarray(frames)
        single = len(frames.shape) == 3
        frames = arguments.check_frames(
            frames[None] if single else frames, self.vae.image_shape, self.vae.variable_dtype
        )
        if frames.shape.rank != 4:
            raise ValueError(
                "frames: expected one frame [H, W, C] or frames [B, H, W, C], got "
                f"{tuple(frames.shape)}."
            )
        if frames.dtype.is_floating:
            arguments.check_pixels(frames)
        return frames, single


def agent_step(
    vae: ConvVAE,
    rnn: MDNRNN | None,
    controller: Controller,
    frames: tf.Tensor,
    noise: tf.Tensor,
    state: State | None,
    first: tf.Tensor,
    vectors: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, State | None]:
    """Compute one step of agents, see `Agent`.

    Args:
        vae: the ConvVAE.
        rnn: the MDN-RNN, or None.
        controller: the controller; its weights are not used.
        frames: [B, H, W, C].
        noise: [B, z_size], standard normal; 0 gives the mean of q(z | x).
        state: the MDN-RNN's state before the step, [B, rnn_size] each; None without an MDN-RNN.
        first: [B], 1 in the first step of an episode.
        vectors: the controllers' weights, [size] or [B, size].

    Returns:
        Codes [B, z_size], actions [B, action_size], and the next state.
    """
    mean, logvar = vae.encoded(frames)
    z = mean + tf.exp(0.5 * logvar) * noise
    parts = {} if state is None else {n: tf.cast(v, z.dtype) for n, v in state._asdict().items()}
    actions = controller(z, **parts, vectors=vectors)
    if rnn is None:
        return z, actions, None
    taken = actions
    if rnn.action_size > controller.action_size:
        taken = tf.concat([actions, tf.cast(first, actions.dtype)[:, None]], -1)
    return z, actions, rnn.step(z, taken, state).state


def check_parts(vae: ConvVAE, rnn: MDNRNN | None, controller: Controller) -> None:
    """Check that the sizes of an agent's parts fit.

    Args:
        vae: the ConvVAE.
        rnn: the MDN-RNN, or None.
        controller: the controller.

    Raises:
        ValueError: they do not fit.
    """
    if controller.z_size != vae.z_size:
        raise ValueError(
            f"controller: expected z_size={vae.z_size}, that of the ConvVAE, got "
            f"{controller.z_size}. Build it with this z_size."
        )
    if rnn is None:
        if controller.inputs != "z":
            raise ValueError(
                "rnn: expected an MDNRNN, got None. Only a controller with inputs='z' needs none."
            )
        return
    if rnn.z_size != vae.z_size:
        raise ValueError(
            f"rnn: expected z_size={vae.z_size}, that of the ConvVAE, got {rnn.z_size}. Take the "
            "MDN-RNN that was trained on the codes of this ConvVAE."
        )
    controller.check_fits(rnn)
