"""Tracked keypoints in the netCDF of `movement`: arrays with named dimensions, in HDF5 (netCDF-4)
or in the classic format that xarray writes by SciPy. Only h5py and SciPy are needed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seqvae.files import NPZ_ERRORS, reason
from vrae.vame.keypoints import Pose, chosen, pose_of


class Variables(NamedTuple):
    """The variables of a file."""

    arrays: Mapping[str, tuple[tuple[str, ...], np.ndarray]]
    """By name, the dimensions' names and the values."""
    labels: Mapping[str, list[str]]
    """The labels along a dimension, by its name."""
    fps: Any
    """The attribute fps, or None."""


_LABELS = ("keypoints", "individuals", "space")
_ARRAYS = ("position", "confidence")


def of_hdf5(path: Path, file: Any, individual: str | None) -> Pose:
    """Read a pose from an open HDF5 file.

    Args:
        path: the file's path, for messages.
        file: the open file.
        individual: the animal, in a file of several.

    Returns:
        The pose.
    """
    arrays = {
        name: (tuple(text(scale[0].name).split("/")[-1] for scale in dims), file[name][()])
        for name in _ARRAYS
        if name in file and (dims := file[name].dims)
    }
    labels = {name: [text(label) for label in file[name][()]] for name in _LABELS}
    return _pose(path, Variables(arrays, labels, file.attrs.get("fps")), individual)


def read_classic(path: Path, individual: str | None) -> Pose:
    """Read a pose from a classic netCDF file.

    Args:
        path: the file.
        individual: the animal, in a file of several.

    Returns:
        The pose.

    Raises:
        ValueError: the file is damaged, or lacks the arrays.
    """
    from scipy.io import netcdf_file

    try:
        with netcdf_file(path, "r", mmap=False) as file:
            found = file.variables
            arrays = {
                name: (found[name].dimensions, np.array(found[name][:]))
                for name in _ARRAYS
                if name in found
            }
            labels = {
                name: [
                    b"".join(letters).rstrip(b"\0").decode("utf-8") for letters in found[name][:]
                ]
                for name in _LABELS
            }
            variables = Variables(arrays, labels, getattr(file, "fps", None))
        return _pose(path, variables, individual)
    except (*NPZ_ERRORS, IndexError) as error:
        if str(error).startswith("individual:"):
            raise
        raise ValueError(
            f"{path}: netCDF without the `position`, `keypoints`, `individuals` and `space` of "
            f"movement, or damaged ({reason(error)}). Save it again by movement."
        ) from error


def _pose(path: Path, variables: Variables, individual: str | None) -> Pose:
    animals = variables.labels["individuals"]
    place = {"individuals": animals.index(chosen(path, animals, individual))}
    points = _ordered(*variables.arrays["position"], place, ("keypoints", "space", "time"))
    space = variables.labels["space"]
    points = points[:, [space.index("x"), space.index("y")]]
    confidence = np.ones(points[:, 0].shape)
    if "confidence" in variables.arrays:
        confidence = _ordered(*variables.arrays["confidence"], place, ("keypoints", "time"))
    fps = [float(value) for value in np.ravel(np.asarray(variables.fps)) if value is not None]
    found = pose_of(tuple(variables.labels["keypoints"]), points, confidence)
    return found._replace(fps=fps[0] if fps and fps[0] > 0 else None)


def _ordered(
    dimensions: tuple[str, ...],
    values: np.ndarray,
    place: Mapping[str, int],
    wanted: tuple[str, ...],
) -> np.ndarray:
    """Select an index along some dimensions, and put the others in the wanted order."""
    names, values = list(dimensions), np.asarray(values, np.float64)
    for name, index in place.items():
        values = np.take(values, index, axis=names.index(name))
        names.remove(name)
    return values.transpose([names.index(name) for name in wanted])


def text(value: Any) -> str:
    """Convert bytes or a string to a string.

    Args:
        value: bytes in UTF-8, or a string.

    Returns:
        The string.
    """
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
