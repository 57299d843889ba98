"""Weights of the original project (hardmaru/WorldModelsExperiments, TensorFlow 1): its JSON files
and its order of variables.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from seqvae.files import atomic_write

SCALE = 10_000.0  # its files contain integers: weights times this


class Convertible(Protocol):
    """A model with the original's weights: a `ConvVAE` or an `MDNRNN`."""

    def original_arrays(self) -> list[np.ndarray]:
        """Read the weights in the original's order.

        Returns:
            An array for each weight.
        """
        ...

    def set_original_arrays(self, arrays: list[np.ndarray]) -> None:
        """Set the weights.

        Args:
            arrays: in the original's order and shapes.
        """
        ...


def load(model: Convertible, arrays: Sequence[Any], *, source: str = "arrays") -> None:
    """Set the weights of a model to arrays in the original's order.

    For a ConvVAE: kernel and bias of enc_conv1 ... enc_conv4, enc_fc_mu, enc_fc_log_var, dec_fc,
    dec_deconv1 ... dec_deconv4. For an MDNRNN: output_w, output_b, then kernel [inputs + units, 4
    units] and bias of the LSTM with gates i, j, f, o, where 1 is added to f at run time, not in the
    bias.

    Args:
        model: a `ConvVAE` or an `MDNRNN`.
        arrays: the arrays.
        source: where they come from, for messages.

    Raises:
        ValueError: another number of arrays, other shapes, or values that are not finite; the
            message lists all of them, and nothing is changed.
    """
    wanted = [array.shape for array in model.original_arrays()]
    if len(arrays) != len(wanted):
        raise ValueError(
            f"{source}: {len(arrays)} arrays, the model has {len(wanted)}. These are weights of "
            "another kind of model."
        )
    arrays = [np.asarray(array, np.float32) for array in arrays]
    problems = [
        f"array {i} is {list(array.shape)}, the model's is {list(shape)}"
        for i, (array, shape) in enumerate(zip(arrays, wanted, strict=True))
        if array.shape != shape
    ]
    problems += [
        f"array {i} is not finite" for i, array in enumerate(arrays) if not np.isfinite(array).all()
    ]
    if problems:
        raise ValueError(
            f"{source}: these weights do not fit the model; build it with their sizes.\n  "
            + "\n  ".join(problems)
        )
    model.set_original_arrays(arrays)


def arrays(model: Convertible) -> list[np.ndarray]:
    """Read the weights of a model in the original's order, as `load` takes them.

    Args:
        model: a `ConvVAE` or an `MDNRNN`.

    Returns:
        An array for each weight.
    """
    return model.original_arrays()


def read_list(path: str | os.PathLike) -> list:
    """Read the list in a JSON file of the original project.

    Args:
        path: the file.

    Returns:
        The list, not empty.

    Raises:
        ValueError: the file is truncated, is not JSON, or does not contain a list.
    """
    path = Path(path)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path}: not a readable JSON file, it may be truncated ({error})."
        ) from error
    if not isinstance(found, list) or not found:
        raise ValueError(
            f"{path}: expected a list of arrays, as the original project's save_json writes it."
        )
    return found


def read_json(path: str | os.PathLike) -> list[np.ndarray]:
    """Read the arrays in a file of the original's `save_json`: nested lists of integers of 1/10000.

    Args:
        path: the file.

    Returns:
        The arrays, float32.

    Raises:
        ValueError: the file is truncated, is not JSON, or does not contain such a list.
    """
    lists = read_list(path)
    found = []
    for i, values in enumerate(lists):
        try:
            array = np.array(values)
        except ValueError as error:
            raise ValueError(f"{path}: array {i} has rows of different lengths.") from error
        if array.dtype.kind not in "iuf":
            raise ValueError(f"{path}: array {i} holds something else than numbers.")
        with np.errstate(over="ignore"):  # `load` refuses infinite values
            found.append((array / SCALE).astype(np.float32))
    return found


def write_json(path: str | os.PathLike, arrays: list[np.ndarray]) -> None:
    """Write arrays as the original does, byte for byte, atomically.

    Args:
        path: the file.
        arrays: the arrays.

    Raises:
        ValueError: a value is not finite.
    """
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError(f"{path}: weights that are not finite cannot be written as integers.")
    # float32 to float64 first: 10000 times a half-precision weight would overflow.
    integers = [
        np.round(SCALE * np.asarray(array, np.float64)).astype(np.int64).tolist()
        for array in arrays
    ]
    with atomic_write(path) as part:
        part.write_text(_lines(integers), encoding="utf-8")


def _lines(values) -> str:
    """json.dumps(values, indent=0), one number per line, about ten times faster."""
    inner = values if not isinstance(values[0], list) else [_lines(value) for value in values]
    return "[\n" + ",\n".join(map(str, inner)) + "\n]"
