"""Models from `.keras` files of anyone's making."""

import struct
import zipfile
from pathlib import Path

import keras

from seqvae.files import NPZ_ERRORS

_ERRORS = (*NPZ_ERRORS, AttributeError, IndexError, AssertionError, ArithmeticError, struct.error, zipfile.LargeZipFile)


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
        raise ValueError(f"{path}: not a .keras file that can be read; it may be damaged ({reason}).") from error
    if not isinstance(model, kind):
        raise ValueError(f"{path}: expected a {kind.__name__}, it holds a {type(model).__name__}.")
    return model
