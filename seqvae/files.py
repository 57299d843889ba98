"""Atomic writing of files: a file is complete or unchanged, never half written."""

import hashlib
import json
import os
import tokenize
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

NPZ_ERRORS = (
    OSError,
    EOFError,
    KeyError,
    ValueError,
    TypeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
    SyntaxError,
    tokenize.TokenError,
    OverflowError,
    MemoryError,
    RuntimeError,
)
"""What NumPy raises for an `.npz` or `.npy` file that is truncated, altered, of another format, or
lacks an array.
"""


def reason(error: Exception) -> str:
    """Say why a NumPy file cannot be read, without NumPy's advice to unpickle it.

    Args:
        error: one of `NPZ_ERRORS`.

    Returns:
        The reason, for an error message.
    """
    if "Object arrays" in str(error):
        return "an array holds Python objects"
    return "not a NumPy file" if "allow_pickle" in str(error) else str(error)


class DataError(ValueError):
    """A data file or array cannot be used; the message says what is wrong and what to do."""


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Context manager: write a file atomically.

    Yields a temporary path beside `path`. It is moved to `path` if the block succeeds and removed
    if it fails. A reader, or a run killed at any moment, finds the old file or the new one.

    Args:
        path: the file to write; its folder is made if missing.

    Yields:
        The temporary path.

    Raises:
        OSError: the folder cannot be made or written, or the disk is full; the message names
            `path`.
    """
    path = Path(path)
    # a random name: a process on another machine may write the same file
    part = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot write {path}: {error.strerror or error}. Nothing was changed there; free some "
            "space or choose another, writable folder",
        ) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as indented JSON, atomically.

    Args:
        path: the file to write.
        value: anything that JSON can represent.
    """
    with atomic_write(path) as part:
        part.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def save(path: str | Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a compressed `.npz` atomically. The same arrays give the same bytes.

    Args:
        path: the file to write.
        arrays: the arrays by name.
    """
    with atomic_write(path) as part, open(part, "wb") as file:
        np.savez_compressed(file, **arrays)  # pyright: ignore[reportArgumentType]


def array_digest(value: np.ndarray) -> str:
    """Compute a checksum (SHA-256) of an array's type, shape and values.

    Args:
        value: the array.

    Returns:
        The checksum in hexadecimal.
    """
    value = np.asarray(value)
    found = hashlib.sha256(f"{value.dtype.str} {value.shape} ".encode())
    found.update(np.ascontiguousarray(value).data)
    return found.hexdigest()
