"""Models from `.keras` files of anyone's making, and weights in `.h5` files of any name."""

import os
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from seqvae.files import NPZ_ERRORS, atomic_write

_ERRORS = (
    *NPZ_ERRORS,
    AttributeError,
    IndexError,
    AssertionError,
    ArithmeticError,
    struct.error,
    zipfile.LargeZipFile,
)


def load_model(path: str | Path, kind: type[keras.Model]) -> keras.Model:
    """The model of class `kind` in a `.keras` file. No code of the file is run.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file.")
    try:
        model = keras.models.load_model(path)
    except _ERRORS as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{path}: not a .keras file that can be read; it may be damaged ({reason})."
        ) from error
    if not isinstance(model, kind):
        raise ValueError(f"{path}: expected a {kind.__name__}, it holds a {type(model).__name__}.")
    return model


def save_weights(write: Callable, path: Path, overwrite: bool = True, **options: Any) -> None:
    """Writes weights by Keras' own `write`, whole or not at all; folders on the way are made.

    Raises:
        ValueError: the name does not end in .h5, or the file is there and `overwrite` is False.
    """
    if path.name.endswith(".weights.json"):  # Keras' format of several files
        write(path, overwrite=overwrite, **options)
        return
    if path.suffix != ".h5":
        raise ValueError(f"filepath: expected a name that ends in .h5, got {path.name!r}.")
    if path.exists() and not overwrite:
        raise ValueError(f"filepath: {path} is there already; give overwrite=True or another name.")
    with atomic_write(path) as part:
        named = part.with_name(part.stem + ".weights.h5")  # the only ending that Keras 3 writes
        write(named, **options)
        os.replace(named, part)


def load_weights(read: Callable, path: Path, **options: Any) -> None:
    """Reads weights by Keras' own `read`, which takes only names that end in .weights.h5: others
    through a copy."""
    if path.suffix != ".h5" or path.name.endswith(".weights.h5"):
        read(path, **options)
        return
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of weights.")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.weights.h5"
        shutil.copyfile(path, copy)
        read(copy, **options)
