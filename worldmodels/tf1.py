"""The TensorFlow 1 program of the course text "CNN-VAE" under its own names: the class `ConvVAE`.

It is an interface to `worldmodels.ConvVAE`, which is `.model`. The document's graph tensors are
computed for given frames: `run(x)` returns mu, logvar, sigma, epsilon, z, y and the losses under
their names; `train_op(x)` takes a training step.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

import worldmodels
from seqvae import checks
from seqvae.training.gradient_step import gradient_step
from worldmodels import arguments, original
from worldmodels.arguments import Array
from worldmodels.original import SCALE


class Values(NamedTuple):
    """The values of the document's tensors for frames x [N, 64, 64, 3].

    The losses are None unless `is_training`.
    """

    mu: tf.Tensor
    """[N, z_size], the mean."""
    logvar: tf.Tensor
    """[N, z_size], the log-variance."""
    sigma: tf.Tensor
    """[N, z_size], the standard deviation."""
    epsilon: tf.Tensor
    """[N, z_size], the standard normal draw."""
    z: tf.Tensor
    """[N, z_size], mu + sigma * epsilon."""
    y: tf.Tensor
    """[N, 64, 64, 3], the reconstruction from z."""
    r_loss: tf.Tensor | None
    """The reconstruction loss, a scalar, or None."""
    kl_loss: tf.Tensor | None
    """The KL loss, a scalar, or None."""
    loss: tf.Tensor | None
    """The sum of both, a scalar, or None."""


class Losses(NamedTuple):
    """The losses of a training step, scalars, computed before the step."""

    loss: tf.Tensor
    """The sum of the others."""
    r_loss: tf.Tensor
    """The reconstruction loss."""
    kl_loss: tf.Tensor
    """The KL loss."""


class ConvVAE:
    """The document's TensorFlow class, for frames [N, 64, 64, 3], uint8 or floats in [0, 1].

    Args:
        z_size: size of the code.
        batch_size: size of the batches of `train_op`; other methods take any number of frames.
        learning_rate: Adam's learning rate.
        kl_tolerance: floor of a frame's KL, nats per dimension of z.
        is_training: whether the optimiser and the losses exist: `optimizer`, `lr`, `global_step`,
            `train_op`.
        reuse: must be False: weights belong to a model, not to a variable scope.
        gpu_mode: False keeps the model on the CPU; True lets TensorFlow choose, a GPU if there is
            one.

    Raises:
        ValueError: reuse is True, gpu_mode is True without a GPU, or a size is out of range.
    """

    def __init__(
        self,
        z_size: int = 32,
        batch_size: int = 1,
        learning_rate: float = 0.0001,
        kl_tolerance: float = 0.5,
        is_training: bool = False,
        reuse: bool = False,
        gpu_mode: bool = False,
    ):
        arguments.check_sizes(1, batch_size=batch_size)
        arguments.check_at_least(0, learning_rate=learning_rate)
        if reuse:
            raise ValueError(
                "reuse: expected False, weights belong to a model here and not to a variable "
                "scope. Use the same object, or copy weights: "
                "other.model.set_weights(this.model.get_weights())."
            )
        if gpu_mode and not tf.config.list_logical_devices("GPU"):
            raise ValueError("gpu_mode: expected False, TensorFlow finds no GPU on this machine.")
        self.z_size, self.batch_size, self.learning_rate = z_size, batch_size, learning_rate
        self.kl_tolerance, self.is_training, self.reuse, self.gpu_mode = (
            kl_tolerance,
            is_training,
            reuse,
            gpu_mode,
        )
        self._build_graph()

    def _build_graph(self) -> None:
        with self._device():
            self.model = worldmodels.ConvVAE(z_size=self.z_size, kl_tolerance=self.kl_tolerance)
            if self.is_training:
                self.optimizer = keras.optimizers.Adam(
                    self.learning_rate, epsilon=1e-8, name="adam"
                )
                self.optimizer.build(self.model.trainable_variables)
                self.lr, self.global_step = self.optimizer.learning_rate, self.optimizer.iterations

    def _device(self):
        return tf.device(None if self.gpu_mode else "/cpu:0")

    def __getattr__(self, name: str):
        if name in ("optimizer", "lr", "global_step"):
            raise AttributeError(f"{name}: only a model with is_training=True has one.")
        raise AttributeError(f"{type(self).__name__} has no {name}.")

    # --- values ---

    def encode(self, x: Array) -> np.ndarray:
        """Draw codes from q(z | x).

        Args:
            x: frames [N, 64, 64, 3].

        Returns:
            z [N, z_size], different in every call.
        """
        return self.run(x).z.numpy()

    def encode_mu_logvar(self, x: Array) -> tuple[np.ndarray, np.ndarray]:
        """Compute mean and log-variance of q(z | x).

        Args:
            x: frames [N, 64, 64, 3].

        Returns:
            Mean and log-variance, [N, z_size] each.
        """
        with self._device():
            mu, logvar = self.model.encoded(x)
        return mu.numpy(), logvar.numpy()

    def decode(self, z: Array) -> np.ndarray:
        """Decode codes.

        Args:
            z: [N, z_size].

        Returns:
            Frames [N, 64, 64, 3] in (0, 1).
        """
        with self._device():
            return self.model.decode(z).numpy()

    def run(self, x: Array, seed: int | None = None) -> Values:
        """Compute the values of the document's tensors, with one draw of epsilon.

        Args:
            x: frames [N, 64, 64, 3].
            seed: seed of the draw; None: Keras' global seed.

        Returns:
            The values.
        """
        with self._device():
            mu, logvar = self.model.encoded(x)
            epsilon = keras.random.normal(mu.shape, dtype=mu.dtype.name, seed=seed)
            sigma = tf.exp(logvar / 2.0)
            z = mu + sigma * epsilon
            losses = self.model.loss_terms(x, epsilon) if self.is_training else (None, None, None)
            return Values(mu, logvar, sigma, epsilon, z, self.model.decode(z), *losses)

    # --- training ---

    def train_op(self, x: tf.Tensor | np.ndarray | Sequence, seed: int | None = None) -> Losses:
        """Take one step of Adam.

        Args:
            x: frames [batch_size, 64, 64, 3].
            seed: seed of the draw of z; None: the model's next seed.

        Returns:
            The losses before the step.

        Raises:
            ValueError: the model is not `is_training`, or x has another number of frames.
        """
        if not self.is_training:
            raise ValueError("train_op: expected a model with is_training=True.")
        self.model.check_batch({"frames": x})
        if len(x) != self.batch_size:
            raise ValueError(f"x: expected batch_size={self.batch_size} frames, got {len(x)}.")
        pair = self.model._seeds.next() if seed is None else tf.constant([seed, 0], tf.int32)
        with self._device():
            step = self.model._run(self._step, tf.convert_to_tensor(x), tf.cast(pair, tf.int32))
        return Losses(step.terms.total, step.terms.reconstruction, step.terms.kl)

    def _step(self, frames, seed):
        variables = self.model.trainable_variables
        return gradient_step(self.model, {"frames": frames}, variables, self.optimizer, seed=seed)

    # --- weights ---

    def get_model_params(self) -> tuple[list[list], list[tuple[int, ...]], list[str]]:
        """Read the weights in the document's form.

        Returns:
            (parameters, shapes, names): parameters are nested lists of integers, weights times
            10000.
        """
        arrays = original.arrays(self.model)
        params = [
            np.round(SCALE * np.asarray(array, np.float64)).astype(np.int64).tolist()
            for array in arrays
        ]
        names = [f"conv_vae/{variable.path}:0" for variable in self.model.trainable_variables]
        return params, [array.shape for array in arrays], names

    def set_model_params(self, params: list) -> None:
        """Set the weights.

        Args:
            params: the parameters that `get_model_params` returns.

        Raises:
            ValueError: another number of arrays or other shapes; nothing is changed.
        """
        arrays = [
            checks.tensor(f"params, array {i}", p, "float64").numpy() for i, p in enumerate(params)
        ]
        original.load(self.model, [array / SCALE for array in arrays], source="params")

    def get_random_model_params(self, stdev: float = 0.5) -> list[np.ndarray]:
        """Draw parameters from a Cauchy distribution, for `set_model_params`.

        Args:
            stdev: scale of the distribution.

        Returns:
            An array for each weight.
        """
        rng = np.random.default_rng()
        return [stdev * rng.standard_cauchy(array.shape) for array in original.arrays(self.model)]

    def set_random_params(self, stdev: float = 0.5) -> None:
        """Set the weights to `get_random_model_params(stdev)`.

        Args:
            stdev: scale of the distribution.
        """
        self.set_model_params(self.get_random_model_params(stdev))

    def load_json(self, jsonfile: str | os.PathLike = "vae.json") -> None:
        """Set the weights to those of a file of `save_json` or of the original project.

        Args:
            jsonfile: the file.
        """
        self.model.load_json(jsonfile)

    def save_json(self, jsonfile: str | os.PathLike = "vae.json") -> None:
        """Write the weights as the original project does.

        Args:
            jsonfile: the file.
        """
        self.model.save_json(jsonfile)

    def save_model(self, model_save_path: str | os.PathLike) -> None:
        """Write the weights to vae.weights.h5 in a folder; it is not a TensorFlow 1 checkpoint.

        Args:
            model_save_path: the folder.
        """
        self.model.save_weights(Path(model_save_path) / "vae.weights.h5")

    def load_checkpoint(self, checkpoint_path: str | os.PathLike) -> None:
        """Read the weights that `save_model` wrote.

        Args:
            checkpoint_path: the folder.
        """
        self.model.set_weights(Path(checkpoint_path) / "vae.weights.h5")
