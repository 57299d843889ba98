"""Reading of untrusted `.keras` files, and weights in `.h5` files of any name."""

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
    UnboundLocalError,  # Keras raises it after the true error, for damaged weights in a folder
)


def load_model(path: str | Path, kind: type[keras.Model]) -> keras.Model:
    """Load a model from a `.keras` file without running code from the file.

    Args:
        path: the file.
        kind: the class that the model must have.

    Returns:
        The model, of class `kind`.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is damaged, or contains something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file.")
    return read_model(path, kind)


def read_model(path: str | Path, kind: type[keras.Model]) -> keras.Model:
    """Load a model from anything that Keras reads, without running code from it.

    Args:
        path: a `.keras` file, a folder of `save_model(..., zipped=False)`, or `hf://user/name`.
        kind: the class that the model must have.

    Returns:
        The model, of class `kind`.

    Raises:
        ValueError: it cannot be read, or contains something else.
    """
    try:
        model = keras.models.load_model(path)
    except _ERRORS as error:
        first = error.__context__ if isinstance(error, UnboundLocalError) else error
        reason = (str(first).strip().splitlines() or [type(first).__name__])[0]
        if str(path).startswith("hf://"):
            raise ValueError(f"{path}: cannot be loaded ({reason}).") from error
        what = ".keras file" if str(path).endswith(".keras") else "saved model"
        raise ValueError(
            f"{path}: not a {what} that can be read; it may be damaged ({reason})."
        ) from error
    if not isinstance(model, kind):
        raise ValueError(f"{path}: expected a {kind.__name__}, got a {type(model).__name__}.")
    return model


def save_weights(write: Callable, path: Path, overwrite: bool = True, **options: Any) -> None:
    """Write weights atomically; missing folders are made.

    Args:
        write: Keras' own `save_weights`.
        path: a name that ends in .h5, or in .weights.json.
        overwrite: whether an existing file is replaced.
        **options: passed to `write`.

    Raises:
        ValueError: the name has another ending, or the file exists and `overwrite` is False.
    """
    if path.name.endswith(".weights.json"):  # Keras' format of several files
        write(path, overwrite=overwrite, **options)
        return
    if path.suffix != ".h5":
        raise ValueError(f"filepath: expected a name that ends in .h5, got {path.name!r}.")
    if path.exists() and not overwrite:
        raise ValueError(
            f"filepath: {path} exists already. Pass overwrite=True, or choose another name."
        )
    with atomic_write(path) as part:
        named = part.with_name(part.stem + ".weights.h5")  # the only ending that Keras 3 writes
        write(named, **options)
        os.replace(named, part)


def load_weights(read: Callable, path: Path, **options: Any) -> None:
    """Read weights from a file with any name that ends in .h5.

    Keras accepts only names that end in .weights.h5; other names are read through a copy.

    Args:
        read: Keras' own `load_weights`.
        path: the file.
        **options: passed to `read`.

    Raises:
        FileNotFoundError: the file does not exist.
    """
    if path.suffix != ".h5" or path.name.endswith(".weights.h5"):
        read(path, **options)
        return
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of weights.")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.weights.h5"
        shutil.copyfile(path, copy)
        read(copy, **options)
