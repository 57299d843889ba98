"""`Controller`: the linear policy of World Models, with one set of weights or a population of
them.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from seqvae import checks
from seqvae.checks import Array
from seqvae.files import NPZ_ERRORS, DataError, atomic_write, reason, save
from seqvae.presets import Presets, find_preset, write_card
from worldmodels import arguments
from worldmodels.original import read_list

INPUTS = {"z": ("z",), "zh": ("z", "h"), "zch": ("z", "c", "h")}
"""The inputs of a controller in the original's order: c comes before h."""

THRESHOLD = 0.3333  # the original's, of Take Cover's two buttons
_CONFIG = ("z_size", "rnn_size", "action_size", "inputs", "squash", "bias")
_FILE = "controller.npz"
_DECIMALS = 4  # of the numbers in the original's files


class Controller:
    """The linear controller of World Models.

    The model (Ha and Schmidhuber 2018, arXiv:1803.10122, section "Controller (C) Model")::

        a_t = squash(W [z_t, h_t] + b)

    h_t is the MDN-RNN's output before it processes z_t, see `Agent`. The default has the 867
    weights of the paper's CarRacing agent, `take_cover` the 1,088 of its Doom agent. Initial
    weights are 0, as in the original's evolution.

    Inputs may be arrays or tensors. Arrays are processed by NumPy, without TensorFlow; tensors also
    in a graph, such as a `tf.function`.

    Args:
        z_size: size of a code.
        rnn_size: units of the LSTM; not used if `inputs` is "z".
        action_size: numbers in an action.
        inputs: "z", "zh" or "zch": the inputs of the linear map, in this order.
        squash: "tanh": tanh of every number, -1 to 1. "carracing", 3 numbers: steering tanh(x), gas
            (tanh(x) + 1) / 2, brake max(tanh(x), 0).
        bias: whether there is a b.

    Raises:
        ValueError: an argument is out of range.
    """

    presets: ClassVar = Presets()
    """The trained controllers in the package: the titles of their cards by name."""

    def __init__(
        self,
        *,
        z_size: int = 32,
        rnn_size: int = 256,
        action_size: int = 3,
        inputs: str = "zh",
        squash: str = "carracing",
        bias: bool = True,
    ):
        arguments.check_sizes(1, z_size=z_size, rnn_size=rnn_size, action_size=action_size)
        checks.check_choice("inputs", inputs, INPUTS)
        checks.check_choice("squash", squash, _SQUASH)
        if squash == "carracing" and action_size != 3:
            raise ValueError(
                "action_size: expected 3 (steering, gas, brake) with squash='carracing', got "
                f"{action_size}. Use squash='tanh' for other actions."
            )
        self.z_size, self.rnn_size, self.action_size = z_size, rnn_size, action_size
        self.inputs, self.squash, self.bias = inputs, squash, bias
        self._vector = np.zeros(self.size)

    @classmethod
    def take_cover(cls) -> "Controller":
        """Make the original's controller of Doom's Take Cover.

        It has 1,088 weights on [z, c, h], no bias, and one action in (-1, 1); `buttons` converts
        actions to buttons.

        Returns:
            The controller.
        """
        return cls(z_size=64, rnn_size=512, action_size=1, inputs="zch", squash="tanh", bias=False)

    @property
    def input_size(self) -> int:
        """Number of inputs of the linear map."""
        return sum(self._widths())

    @property
    def size(self) -> int:
        """Number of weights."""
        return (self.input_size + self.bias) * self.action_size

    @property
    def vector(self) -> np.ndarray:
        """All weights, [size] float64, in the original's order: the biases [action_size], then the
        matrix [input_size, action_size] row by row. It is a copy; assign to it to set the
        weights.
        """
        return self._vector.copy()

    @vector.setter
    def vector(self, vector: Array) -> None:
        self._vector = self._checked_vector("vector", vector)

    def __call__(
        self,
        z: Array,
        h: Array | None = None,
        c: Array | None = None,
        *,
        vectors: Array | None = None,
    ) -> Any:
        """Compute actions from codes and states of the MDN-RNN.

        Args:
            z: [..., z_size].
            h: [..., rnn_size], if `inputs` names it; otherwise unused.
            c: [..., rnn_size], if `inputs` names it; otherwise unused.
            vectors: as in `act`.

        Returns:
            Actions [..., action_size].

        Raises:
            ValueError: a part is missing, or has another shape.
            FloatingPointError: arrays with NaN, or weights with NaN.
        """
        given = {"z": z, "h": h, "c": c}
        parts = []
        for name, width in zip(INPUTS[self.inputs], self._widths(), strict=True):
            value = given[name]
            if value is None:
                raise ValueError(
                    f"{name}: expected floats of the shape [..., {width}], got none. A controller "
                    f"with inputs={self.inputs!r} reads {', '.join(INPUTS[self.inputs])}."
                )
            value = _floats(value)
            _check_width(name, value, width)
            parts.append(value)
        tensors = any(map(tf.is_tensor, parts))
        return self.act((keras.ops if tensors else np).concatenate(parts, axis=-1), vectors=vectors)

    def act(self, inputs: Array, *, vectors: Array | None = None) -> Any:
        """Compute actions from joined inputs, such as the observations of a `DreamEnv`.

        Args:
            inputs: [..., input_size].
            vectors: weights that replace the controller's: [size], or [P, size] for a population of
                P, each with its own inputs [P, input_size] or [P, B, input_size].

        Returns:
            Actions [..., action_size], in the type of the inputs (float32 for integers).

        Raises:
            ValueError: inputs or vectors of another shape.
            FloatingPointError: arrays with NaN, or weights with NaN.
        """
        x = _floats(inputs)
        _check_width("inputs", x, self.input_size)
        weights = self._vector if vectors is None else _floats(vectors)
        self._check_vectors(x, weights)
        tensors = tf.is_tensor(x) or tf.is_tensor(weights)
        ops: Any = keras.ops if tensors else np
        dtype = keras.backend.standardize_dtype(x.dtype)
        weights = ops.cast(weights, dtype) if tensors else weights.astype(dtype, copy=False)
        bias = weights[..., : self.action_size] if self.bias else None
        many = len(weights.shape) == 2
        shape = (*([-1] if many else []), self.input_size, self.action_size)
        matrix = ops.reshape(weights[..., self.action_size * self.bias :], shape)
        one_row = many and len(x.shape) == 2  # [P, input_size]: one row for each member
        linear = ops.matmul(x[:, None] if one_row else x, matrix)
        if bias is not None:
            linear = linear + (bias[:, None] if many else bias)
        actions = _SQUASH[self.squash](ops, ops.tanh(linear[:, 0] if one_row else linear))
        if not tensors:
            arguments.check_finite("controller", actions=actions)
        return actions

    @staticmethod
    def buttons(actions: Array, threshold: float = THRESHOLD) -> np.ndarray:
        """Convert actions to Take Cover's buttons.

        Args:
            actions: numbers of any shape.
            threshold: the absolute value above which a button is pressed.

        Returns:
            int64, in the shape of the actions: -1 (left), 0 (none) or 1 (right).
        """
        actions = np.asarray(actions)
        return (actions > threshold).astype(np.int64) - (actions < -threshold)

    def check_fits(self, rnn: Any) -> bool:
        """Check that the sizes are those of an MDN-RNN.

        Args:
            rnn: the MDN-RNN.

        Returns:
            Whether the last action of the MDN-RNN is the restart flag: its action_size is one above
            the controller's, as in the original's model of Doom.

        Raises:
            ValueError: the sizes do not fit.
        """
        if self.z_size != rnn.z_size:
            raise ValueError(
                f"controller: expected z_size={rnn.z_size}, that of the MDN-RNN, got "
                f"{self.z_size}. Build it with this z_size."
            )
        if rnn.action_size - self.action_size not in (0, 1):
            raise ValueError(
                f"controller: expected action_size={rnn.action_size}, that of the MDN-RNN (or one "
                f"less, where its last action is the restart flag), got {self.action_size}."
            )
        if self.inputs != "z" and self.rnn_size != rnn.rnn_size:
            raise ValueError(
                f"controller: expected rnn_size={rnn.rnn_size}, that of the MDN-RNN, got "
                f"{self.rnn_size}. Build it with this rnn_size."
            )
        return rnn.action_size > self.action_size

    # --- files ---

    def save(self, path: str | os.PathLike) -> None:
        """Write sizes and weights to an `.npz` without rounding.

        Args:
            path: the file.
        """
        config = {name: getattr(self, name) for name in _CONFIG}
        save(os.fspath(path), {"config": np.array(json.dumps(config)), "vector": self._vector})

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Controller":
        """Read a controller that `save` wrote.

        Args:
            path: the file.

        Returns:
            The controller.

        Raises:
            DataError: there is no such file, or it holds no controller.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                config, vector = json.loads(str(file["config"])), file["vector"]
            controller = cls(**config)
            controller.vector = vector
        except NPZ_ERRORS as error:
            raise DataError(
                f"{path}: expected a controller that Controller.save wrote ({reason(error)}). For "
                "the original project's files build a Controller and call load_json."
            ) from error
        return controller

    @classmethod
    def from_preset(cls, preset: str | os.PathLike) -> "Controller":
        """Read a trained controller.

        Args:
            preset: a name of `presets`, or a folder of `save_to_preset`.

        Returns:
            The controller.

        Raises:
            ValueError: no such preset, or a damaged one.
        """
        return cls.load(find_preset(preset, cls, _FILE) / _FILE)

    def save_to_preset(self, folder: str | os.PathLike, card: str = "") -> None:
        """Write the controller to a folder, as `from_preset` reads it.

        Args:
            folder: the folder, which is made.
            card: Markdown about the agent, its training, scores and limits.
        """
        self.save(Path(folder) / _FILE)
        write_card(folder, card)

    def load_json(self, path: str | os.PathLike) -> float | None:
        """Set the weights to those in a file of the original project or of `save_json`.

        Args:
            path: the file, such as the original's `carracing.cma.16.64.best.json`.

        Returns:
            The mean score in the file; None if there is none.

        Raises:
            ValueError: another file format, or another number of weights; nothing is changed.
        """
        found = read_list(path)
        rest = found[1:]
        fine = isinstance(found[0], list) and all(map(_is_number, found[0]))
        if not fine or len(rest) > 1 or not all(map(_is_number, rest)):
            raise ValueError(
                f"{path}: expected [weights] or [weights, score], as the original project writes "
                "its controllers. Take the file that ends in .best.json or its log's .json."
            )
        self._vector = self._checked_vector(str(path), found[0])
        return float(rest[0]) if rest else None

    def save_json(self, path: str | os.PathLike, score: float | None = None) -> None:
        """Write the weights as the original project does, rounded to four decimals.

        `numpy.save(path, controller.vector)` stores them exactly.

        Args:
            path: the file.
            score: the agent's mean score, which is stored too.
        """
        found = [np.round(self._vector, _DECIMALS).tolist(), *([] if score is None else [score])]
        with atomic_write(path) as part:
            part.write_text(json.dumps(found, indent=0, separators=(",", ": ")), encoding="utf-8")

    def _widths(self) -> list[int]:
        return [self.z_size if name == "z" else self.rnn_size for name in INPUTS[self.inputs]]

    def _about_size(self) -> str:
        bias = f"{self.action_size} biases + " if self.bias else ""
        return f"{self.size} ({bias}{self.input_size} x {self.action_size})"

    def _checked_vector(self, name: str, vector) -> np.ndarray:
        vector = np.array(vector, np.float64)
        if vector.shape != (self.size,):
            count = f"{vector.size} numbers" if vector.ndim == 1 else f"shape {vector.shape}"
            raise ValueError(
                f"{name}: expected {self._about_size()} weights, got {count}. Build the controller "
                "with the z_size, rnn_size, action_size, inputs and bias of these weights."
            )
        if not np.isfinite(vector).all():
            raise ValueError(f"{name}: expected finite weights, got NaN or infinity.")
        return vector

    def _check_vectors(self, inputs, vectors) -> None:
        shape, rank = tuple(vectors.shape), len(inputs.shape)
        fits = len(shape) in (1, 2) and shape[-1] == self.size
        if fits and len(shape) == 2:
            rows = {inputs.shape[0], shape[0]} - {None}
            fits = rank in (2, 3) and len(rows) < 2
        if not fits:
            raise ValueError(
                f"vectors: expected [{self.size}], or [P, {self.size}] with inputs [P, "
                f"{self.input_size}] or [P, B, {self.input_size}], got {shape} with "
                f"{tuple(inputs.shape)}."
            )


def _carracing(ops: Any, actions):
    steering, gas, brake = (actions[..., i] for i in range(3))
    return ops.stack([steering, (gas + 1.0) / 2.0, ops.clip(brake, 0.0, 1.0)], axis=-1)


_SQUASH: dict[str, Callable] = {"carracing": _carracing, "tanh": lambda ops, actions: actions}


def _floats(value) -> Any:
    if tf.is_tensor(value):
        return value if value.dtype.is_floating else tf.cast(value, tf.float32)
    value = np.asarray(value)
    return value if value.dtype in (np.float32, np.float64) else value.astype(np.float32)


def _check_width(name: str, value, width: int) -> None:
    if not value.shape or value.shape[-1] not in (width, None):
        raise ValueError(
            f"{name}: expected floats of the shape [..., {width}], got {tuple(value.shape)}."
        )


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
