"""Tracked keypoints in the netCDF of `movement`: arrays with named dimensions, in HDF5 (netCDF-4)
or in the classic format that xarray writes by SciPy. Neither needs more than h5py and SciPy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seqvae.files import NPZ_ERRORS
from vrae.vame.keypoints import Pose, chosen, pose_of


class Variables(NamedTuple):
    """arrays: values by name with the names of their dimensions; labels: those along a dimension;
    fps: the attribute, or None."""

    arrays: Mapping[str, tuple[tuple[str, ...], np.ndarray]]
    labels: Mapping[str, list[str]]
    fps: Any


_LABELS = ("keypoints", "individuals", "space")
_ARRAYS = ("position", "confidence")


def of_hdf5(path: Path, file: Any, individual: str | None) -> Pose:
    """The pose of an open HDF5 file."""
    arrays = {
        name: (tuple(text(scale[0].name).split("/")[-1] for scale in dims), file[name][()])
        for name in _ARRAYS
        if name in file and (dims := file[name].dims)
    }
    labels = {name: [text(label) for label in file[name][()]] for name in _LABELS}
    return _pose(path, Variables(arrays, labels, file.attrs.get("fps")), individual)


def read_classic(path: Path, individual: str | None) -> Pose:
    """The pose of a classic netCDF file.

    Raises:
        ValueError: a damaged file, or one without these arrays.
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
            f"movement, or damaged ({error}). Save it again by movement."
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
    """An array at the given place of some dimensions, the others in the wanted order."""
    names, values = list(dimensions), np.asarray(values, np.float64)
    for name, index in place.items():
        values = np.take(values, index, axis=names.index(name))
        names.remove(name)
    return values.transpose([names.index(name) for name in wanted])


def text(value: Any) -> str:
    """Bytes or a string as a string."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
