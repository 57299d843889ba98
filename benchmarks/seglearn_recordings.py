"""The recordings of seglearn's wheel as an .npz of plain arrays.

    pip download --no-deps seglearn==1.2.5                # its wheel holds the data; not installed
    python benchmarks/seglearn_recordings.py seglearn-1.2.5-py3-none-any.whl recordings.npz

The wheel has them as a pickle, which is a program: NumPy wrote an array of objects, whose numbers
can be had only by following it. It is followed here, once, in a process of its own, and may call
four functions, which make arrays; any other ends with an error.

The .npz: values [frames, 6] of all recordings one after the other; lengths, exercise, subject and
side of each recording; names of the exercises and of the columns. Measured at 50 Hz.
"""

import pickle
import sys
import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

MEMBER = "seglearn/data/watch_dataset.npy"
_ALLOWED = {
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),  # bytes of arrays, as Python 2 wrote them
}


class ArraysOnly(pickle.Unpickler):
    """Follows a pickle that makes arrays, and nothing else."""

    def find_class(self, module: str, name: str):
        """Look up a function that the pickle calls; called by `pickle.Unpickler`.

        Args:
            module: its module.
            name: its name.

        Returns:
            The function.

        Raises:
            ValueError: it is not one of those that make arrays.
        """
        module = module.replace("numpy.core.", "numpy._core.")  # NumPy 1's name of it
        if (module, name) not in _ALLOWED:
            raise ValueError(f"the pickle calls {module}.{name}, which makes no array.")
        return super().find_class(module, name)


def read(file: BinaryIO) -> dict[str, np.ndarray]:
    """Read the .npy that holds seglearn's dict.

    Args:
        file: the open file.

    Returns:
        The arrays by name.
    """
    npy.read_magic(file)
    npy.read_array_header_1_0(file)
    data = ArraysOnly(file).load()
    data = data.item() if isinstance(data, np.ndarray) else data
    return {
        "values": np.concatenate(data["X"]),
        "lengths": np.array([len(part) for part in data["X"]]),
        "exercise": np.asarray(data["y"], np.int64),
        "subject": np.asarray(data["subject"], np.int64),
        "side": np.asarray(data["side"], np.int64),
        "exercises": np.array(data["y_labels"], str),
        "columns": np.array(data["X_labels"], str),
    }


def main(wheel: str, out: str) -> None:
    """Run the script."""
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as file:
        arrays = read(file)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    np.savez(out, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
