"""What the course text's Keras ConvVAE offers, under its names, and the RMSprop it was trained with."""

import os
import shutil
import tempfile
from pathlib import Path

import h5py
import keras
import numpy as np

from seqvae.files import whole_file
from worldmodels import original
from worldmodels.results import Latents, RNNData


class CourseMethods:
    """`train`, `set_weights`, `save_weights` and `generate_rnn_data` of the course's ConvVAE class."""

    def train(self, data, validation_split: float = 0.2, *, epochs: int = 1, batch_size: int = 32, verbose="auto"):
        """Trains on frames [N, H, W, C] and stops early: when val_loss has not fallen by 1e-4 for 5 epochs.

        The last `validation_split` of the frames, unshuffled, are kept for val_loss. Compiles the model with the optimiser
        of its architecture unless it is compiled. The course's constant of 1 epoch never lets the early stop act: give more.

        Returns:
            Keras' history.
        """
        data = self._checked(data).numpy()
        if not self.compiled:
            self.compile(optimizer=self.optimizer_of_architecture())
        stop = keras.callbacks.EarlyStopping(monitor="val_loss", min_delta=1e-4, patience=5, verbose=1, mode="min")
        return self.fit(
            {"frames": data}, shuffle=True, epochs=epochs, batch_size=batch_size, validation_split=validation_split,
            callbacks=[stop], verbose=verbose,
        )  # fmt: skip

    def set_weights(self, filepath) -> None:
        """Loads the weights in a file of `save_weights`, or one that Keras 2 wrote for the course's model.

        A list of arrays keeps Keras' own meaning.

        Raises:
            ValueError: the file is damaged, or of another model.
        """
        if not isinstance(filepath, str | os.PathLike):
            super().set_weights(filepath)
            return
        path = Path(filepath)
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file of weights.")
        before = self.get_weights()
        try:
            arrays = _read_keras_2(path)
            if arrays is None:
                _load_keras_3(super().load_weights, path)
        except (OSError, KeyError, ValueError) as error:
            super().set_weights(before)  # Keras loads layer by layer
            raise ValueError(f"{path}: damaged, or weights of another model ({error}).") from error
        if arrays is not None:
            original.load(self, arrays, source=str(path))

    def save_weights(self, filepath, overwrite: bool = True) -> None:
        """Writes the weights to an .h5 file of any name, whole or not at all; folders on the way are made.

        Raises:
            ValueError: the name does not end in .h5, or the file is there and `overwrite` is False.
        """
        path = Path(filepath)
        if path.suffix != ".h5":
            raise ValueError(f"filepath: expected a name that ends in .h5, got {path.name!r}.")
        if path.exists() and not overwrite:
            raise ValueError(f"filepath: {path} is there already; give overwrite=True or another name.")
        with whole_file(path) as part:
            named = part.with_name(part.stem + ".weights.h5")  # the only ending that Keras 3 writes
            super().save_weights(named)
            os.replace(named, part)

    def generate_rnn_data(self, obs_data, action_data, *, sample: bool = True, seed: int | None = None):
        """What the MDN-RNN learns from, for episodes of frames [T, H, W, C] with actions [T] or [T, action_size].

        The course's method pairs frame t with the t-th number of the flattened actions, which is wrong for more than one
        number a step; here each frame keeps its own action, of any width.

        Args:
            sample: False returns `Latents`, mean and log-variance, in place of one draw of z.

        Returns:
            `RNNData`, or `Latents`.

        Raises:
            ValueError: the actions do not match the frames, or an episode has one step.
        """
        actions = _check_episodes(obs_data, action_data)
        codes = [self.encode(frames) for frames in obs_data]
        if not sample:
            means, scales = ([getattr(q, part)().numpy() for q in codes] for part in ("mean", "stddev"))
            return Latents(_stack(means), _stack([2.0 * np.log(s) for s in scales]), _stack(actions))
        rng = np.random.default_rng(seed)
        z = [q.mean().numpy() + q.stddev().numpy() * rng.standard_normal(q.mean().shape, np.float32) for q in codes]
        inputs = [np.concatenate([z_t[:-1], a[:-1]], axis=-1) for z_t, a in zip(z, actions, strict=True)]
        return RNNData(_stack(inputs), _stack([z_t[1:] for z_t in z]))


@keras.saving.register_keras_serializable(package="worldmodels")
class RMSprop(keras.optimizers.RMSprop):
    """RMSprop as Keras 2 computes it, g / (sqrt(v) + epsilon); Keras 3 has epsilon in the root.

    With the small gradients of a mean loss the two differ by far more than rounding. No momentum, not centred.
    """

    def update_step(self, gradient, variable, learning_rate):
        ops = keras.ops
        gradient = ops.cast(gradient, variable.dtype)
        velocity = self._velocities[self._get_variable_index(variable)]
        self.assign(velocity, self.rho * velocity + (1.0 - self.rho) * ops.square(gradient))
        step = ops.cast(learning_rate, variable.dtype) * gradient / (ops.sqrt(velocity) + self.epsilon)
        self.assign_sub(variable, step)


def _check_episodes(obs_data, action_data) -> list[np.ndarray]:
    """The actions, [T, action_size] float32 an episode."""
    if len(obs_data) != len(action_data) or not len(obs_data):
        raise ValueError(
            f"action_data: {len(action_data)} episodes of actions for {len(obs_data)} of frames; expected one each."
        )
    actions = []
    for i, (frames, action) in enumerate(zip(obs_data, action_data, strict=True)):
        action = np.asarray(action, np.float32)
        action = action[:, None] if action.ndim == 1 else action
        if action.ndim != 2 or len(action) != len(frames):
            raise ValueError(
                f"action_data: episode {i} has {len(frames)} frames and actions of the shape {action.shape}; expected one "
                "action a frame, [T] or [T, action_size]."
            )
        if len(frames) < 2:
            raise ValueError(f"obs_data: episode {i} has one step; a next frame to predict needs at least two.")
        actions.append(action)
    if len({action.shape[1] for action in actions}) > 1:
        raise ValueError("action_data: the episodes have actions of different widths.")
    return actions


def _stack(parts: list[np.ndarray]) -> np.ndarray | list[np.ndarray]:
    return np.stack(parts) if len({len(part) for part in parts}) == 1 else parts


def _read_keras_2(path: Path) -> list[np.ndarray] | None:
    """The arrays of an .h5 file in Keras 2's format, in the order its layers were made; None for another format."""
    with h5py.File(path, "r") as file:
        if "layer_names" not in file.attrs:
            return None
        names = [(layer, weight) for layer in _text(file.attrs["layer_names"])
                 for weight in _text(file[layer].attrs["weight_names"])]  # fmt: skip
        return [np.array(file[layer][weight]) for layer, weight in names]


def _text(names) -> list[str]:
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _load_keras_3(load_weights, path: Path) -> None:
    """Keras 3 reads only names that end in .weights.h5: others are read through a copy."""
    if path.name.endswith(".weights.h5"):
        load_weights(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.weights.h5"
        shutil.copyfile(path, copy)
        load_weights(copy)
