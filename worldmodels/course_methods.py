"""Methods of the course text's Keras ConvVAE for frames of any size, and its RMSprop."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import keras
import numpy as np
import tensorflow as tf

from seqvae import checks
from seqvae.randomness import stateless_seed
from worldmodels import original
from worldmodels.arguments import Array
from worldmodels.results import Latents, RNNData

if TYPE_CHECKING:  # the base class of the models that inherit these methods
    from seqvae.model import SequenceModel as _Model
else:
    _Model = object


class CourseMethods(_Model):
    """`train`, `set_weights` and `generate_rnn_data` of the course's ConvVAE class."""

    def train(
        self,
        data: Array,
        validation_split: float = 0.2,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        verbose: str | int = "auto",
    ) -> keras.callbacks.History:
        """Train on frames, with early stopping if val_loss has not fallen by 1e-4 for 5 epochs.

        The model is compiled with the optimiser of its architecture unless it is compiled already.
        With one epoch, the course's constant, early stopping cannot trigger.

        Args:
            data: frames [N, H, W, C].
            validation_split: the share of the last frames, in their order, used for val_loss.
            epochs: number of epochs.
            batch_size: frames in a batch.
            verbose: as in Keras.

        Returns:
            Keras' history.
        """
        data = self._frames(data).numpy()
        if not self.compiled:
            self.compile(optimizer=self.optimizer_of_architecture())
        stop = keras.callbacks.EarlyStopping(
            monitor="val_loss", min_delta=1e-4, patience=5, verbose=1, mode="min"
        )
        return self.fit(
            {"frames": data},
            shuffle=True,
            epochs=epochs,
            batch_size=batch_size,
            validation_split=validation_split,
            callbacks=[stop],
            verbose=verbose,
        )

    def set_weights(self, filepath: str | os.PathLike | list[np.ndarray]) -> None:
        """Load weights from a file of `save_weights`, or of Keras 2's for the course's model.

        Args:
            filepath: the file; or a list of arrays, as in Keras.

        Raises:
            FileNotFoundError: the file does not exist.
            ValueError: the file is damaged, or of another model.
        """
        if not isinstance(filepath, str | os.PathLike):
            super().set_weights(filepath)
            return
        path = Path(filepath)
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file of weights.")
        try:
            arrays = _read_keras_2(path)
            if arrays is None:
                self.load_weights(path)
        except (OSError, KeyError, ValueError) as error:
            raise ValueError(f"{path}: damaged, or weights of another model ({error}).") from error
        if arrays is not None:
            original.load(self, arrays, source=str(path))

    def generate_rnn_data(
        self,
        obs_data: Sequence[Array],
        action_data: Sequence[Array],
        *,
        sample: bool = True,
        seed: int | None = None,
    ) -> RNNData | Latents:
        """Make training data for the MDN-RNN from episodes.

        The course's method pairs frame t with the t-th number of the flattened actions, which is
        wrong for more than one number per step. Here each frame keeps its own action, of any width.

        Args:
            obs_data: episodes of frames [T, H, W, C].
            action_data: episodes of actions [T] or [T, action_size].
            sample: False: return `Latents`, mean and log-variance, instead of one draw of z.
            seed: seed of the draws; None: the model's next seed.

        Returns:
            `RNNData`, which `MDNRNN.fit` takes, or `Latents`.

        Raises:
            ValueError: the actions do not match the frames, or an episode has one step.
        """
        actions = _check_episodes(obs_data, action_data, self.variable_dtype)
        codes = [[value.numpy() for value in self.encoded(frames)] for frames in obs_data]
        if not sample:
            return Latents(
                _stack([mean for mean, _ in codes]),
                _stack([logvar for _, logvar in codes]),
                _stack(actions),
            )
        rng = np.random.default_rng(
            stateless_seed(None, self._seeds).numpy().astype(np.uint32) if seed is None else seed
        )
        z = [
            mean + np.exp(0.5 * logvar) * rng.standard_normal(mean.shape).astype(mean.dtype)
            for mean, logvar in codes
        ]
        inputs = [
            np.concatenate([z_t[:-1], a[:-1]], axis=-1) for z_t, a in zip(z, actions, strict=True)
        ]
        return RNNData(_stack(inputs), _stack([z_t[1:] for z_t in z]))


@keras.saving.register_keras_serializable(package="worldmodels")
class RMSprop(keras.optimizers.RMSprop):
    """RMSprop as in Keras 2: g / (sqrt(v) + epsilon); Keras 3 adds epsilon inside the root.

    With the small gradients of a mean loss the difference is much larger than rounding errors.
    Without momentum, not centred.
    """

    def update_step(self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor):
        """Update a variable; called by Keras.

        Args:
            gradient: its gradient.
            variable: the variable.
            learning_rate: the learning rate.
        """
        ops = keras.ops
        gradient = ops.cast(gradient, variable.dtype)
        velocity = self._velocities[self._get_variable_index(variable)]
        self.assign(velocity, self.rho * velocity + (1.0 - self.rho) * ops.square(gradient))
        step = (
            ops.cast(learning_rate, variable.dtype) * gradient / (ops.sqrt(velocity) + self.epsilon)
        )
        self.assign_sub(variable, step)


def _check_episodes(obs_data: Sequence, action_data: Sequence, dtype: str) -> list[np.ndarray]:
    """Check the episodes; return the actions, [T, action_size] per episode."""
    for name, episodes in (("obs_data", obs_data), ("action_data", action_data)):
        if not hasattr(episodes, "__len__") or isinstance(episodes, str | dict):
            raise ValueError(f"{name}: expected a list of episodes, got {type(episodes).__name__}.")
    if len(obs_data) != len(action_data) or not len(obs_data):
        raise ValueError(
            f"action_data: {len(action_data)} episodes of actions for {len(obs_data)} of frames; "
            "expected one each."
        )
    actions = []
    for i, (frames, action) in enumerate(zip(obs_data, action_data, strict=True)):
        action = checks.tensor(f"action_data, episode {i}", action, dtype).numpy()
        action = action[:, None] if action.ndim == 1 else action
        if not hasattr(frames, "__len__") or action.ndim != 2 or len(action) != len(frames):
            raise ValueError(
                f"action_data: episode {i} has {_count(frames)} frames and actions of the shape "
                f"{action.shape}; expected one action a frame, [T] or [T, action_size]."
            )
        if len(frames) < 2:
            raise ValueError(
                f"obs_data: episode {i} has one step; a next frame to predict needs at least two."
            )
        actions.append(action)
    if len({action.shape[1] for action in actions}) > 1:
        raise ValueError("action_data: the episodes have actions of different widths.")
    return actions


def _count(frames) -> int | str:
    return len(frames) if hasattr(frames, "__len__") else "no"


def _stack(parts: list[np.ndarray]) -> np.ndarray | list[np.ndarray]:
    return np.stack(parts) if len({len(part) for part in parts}) == 1 else parts


def _read_keras_2(path: Path) -> list[np.ndarray] | None:
    """The arrays of an .h5 file in Keras 2's format, in the order in which its layers were made;
    None for another format.
    """
    with h5py.File(path, "r") as file:
        if "layer_names" not in file.attrs:
            return None
        names = [
            (layer, weight)
            for layer in _text(file.attrs["layer_names"])
            for weight in _text(file[layer].attrs["weight_names"])
        ]
        return [np.array(file[layer][weight]) for layer, weight in names]


def _text(names) -> list[str]:
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]
