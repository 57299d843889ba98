"""Checkpoints: each is one `.npz` of plain arrays, written atomically."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

from seqvae.files import NPZ_ERRORS, atomic_write, reason


class CheckpointError(RuntimeError):
    """A checkpoint cannot be read, or belongs to another configuration."""


class Checkpoints:
    """The checkpoints of one run.

    A checkpoint contains named arrays and a `position` (JSON: how far the run has got). The
    `signature` states what the run computes; a checkpoint with another signature is refused.

    Args:
        folder: the folder of the checkpoints.
        signature: values that JSON can represent.
        keep: how many of the newest checkpoints are kept.
    """

    def __init__(self, folder: str | Path, signature: dict, keep: int = 2):
        self.folder = Path(folder)
        self._signature = json.loads(json.dumps(signature))
        self._keep = keep

    def save(self, step: int, arrays: dict[str, np.ndarray], position: dict) -> Path:
        """Write a checkpoint, then remove old ones.

        Args:
            step: the global step, part of the file's name.
            arrays: the arrays by name.
            position: how far the run has got.

        Returns:
            The file's path.
        """
        arrays = arrays | {
            "__meta__": np.array(json.dumps({"signature": self._signature, "position": position}))
        }
        path = self.folder / f"step-{step:09d}.npz"
        with atomic_write(path) as part, open(part, "wb") as file:
            np.savez(file, **arrays, __sha256__=np.array(_digest(arrays)))  # pyright: ignore[reportArgumentType]
        for old in self._paths()[: -self._keep]:
            old.unlink()
        return path

    def load_latest(
        self, warn: Callable[[str], object] = print
    ) -> tuple[dict[str, np.ndarray], dict] | None:
        """Read the newest checkpoint that is not damaged.

        Args:
            warn: called with a message for each damaged checkpoint.

        Returns:
            Arrays and position; None if there is no checkpoint.

        Raises:
            CheckpointError: all checkpoints are damaged, or the newest readable one has another
                signature.
        """
        paths = self._paths()
        for path in reversed(paths):
            try:
                return self.load(path)
            except _Damaged as error:
                warn(f"{error} Trying the one before it.")
        if paths:
            raise CheckpointError(
                f"{self.folder}: none of the {len(paths)} checkpoints can be read. Start a new run."
            )
        return None

    def load(self, path: Path) -> tuple[dict[str, np.ndarray], dict]:
        """Read one checkpoint.

        Args:
            path: the file.

        Returns:
            Arrays and position.

        Raises:
            CheckpointError: it is damaged or has another signature.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            if str(arrays.pop("__sha256__")) != _digest(arrays):
                raise ValueError("its checksum differs from the stored one")
            meta = json.loads(str(arrays.pop("__meta__")))
        except (*NPZ_ERRORS, AttributeError) as error:
            raise _Damaged(f"{path}: damaged or no checkpoint ({reason(error)}).") from error
        differ = [
            f"{name}: {meta['signature'].get(name)!r} there, {self._signature.get(name)!r} here"
            for name in sorted(meta["signature"].keys() | self._signature.keys())
            if meta["signature"].get(name) != self._signature.get(name)
        ]
        if differ:
            raise CheckpointError(
                f"{path}: a checkpoint of another configuration ({'; '.join(differ)}). Resume with "
                "the flags that the run was started with, or choose another run_name."
            )
        return arrays, meta["position"]

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.npz"))


class _Damaged(CheckpointError):
    pass


def _digest(arrays: dict[str, np.ndarray]) -> str:
    """A checksum of names, types, shapes and values. The CRCs in the `.npz` do not cover the
    names.
    """
    found = hashlib.sha256()
    for name in sorted(arrays):
        value = np.ascontiguousarray(arrays[name])
        found.update(f"{name} {value.dtype.str} {value.shape} ".encode())
        found.update(value.data)
    return found.hexdigest()


def gather(variables: Sequence[keras.Variable], prefix: str) -> dict[str, np.ndarray]:
    """Read the values of Keras variables.

    Args:
        variables: the variables.
        prefix: the first part of each name.

    Returns:
        The values, by a name with prefix, position and path of the variable.
    """
    return {
        f"{prefix}/{i:04d}/{variable.path}": variable.numpy()
        for i, variable in enumerate(variables)
    }


def restore(
    variables: Sequence[keras.Variable], prefix: str, arrays: dict[str, np.ndarray]
) -> None:
    """Assign to Keras variables the values that `gather` returned, all of them or none.

    Args:
        variables: the variables, in the order passed to `gather`.
        prefix: the prefix passed to `gather`.
        arrays: the values by name; other names are ignored.

    Raises:
        CheckpointError: the values do not fit the variables.
    """
    saved = [arrays[name] for name in sorted(arrays) if name.startswith(f"{prefix}/")]
    shapes = [value.shape for value in saved]
    wanted = [tuple(variable.shape) for variable in variables]
    if shapes != wanted:
        raise CheckpointError(
            f"{prefix}: the checkpoint's {len(shapes)} arrays do not fit the {len(wanted)} "
            "variables here. It belongs to another model."
        )
    for variable, value in zip(variables, saved, strict=True):
        variable.assign(value)
