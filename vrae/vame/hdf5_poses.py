"""Tracked keypoints in HDF5: .h5 files of DeepLabCut and SLEAP, and netCDF-4 files of movement."""

from pathlib import Path
from typing import Any

import numpy as np

from vrae.vame.keypoints import Pose, chosen, pose_of
from vrae.vame.movement_poses import of_hdf5, text
from vrae.vame.plain_pickle import read_plain

_H5PY_ERRORS = (
    OSError,
    KeyError,
    RuntimeError,
    TypeError,
    AttributeError,
    MemoryError,
    UnicodeDecodeError,
)
"""What h5py raises for a damaged file."""
_ERRORS = (*_H5PY_ERRORS, ValueError, IndexError, OverflowError)
"""What h5py and NumPy raise for a file that is damaged or has another layout."""

_OTHERS = {
    "a SLEAP project (.slp), which holds labels: export Analysis HDF5 from it": {
        "frames",
        "instances",
        "metadata",
    },
    "a Keras model": {"model_weights"},
    "NWB: convert it by movement, and save its netCDF": {"specifications", "acquisition"},
    "a MATLAB file: save its positions as .npz": {"#refs#"},
}


def read(path: Path, individual: str | None) -> Pose:
    """Read a pose from an HDF5 file.

    Args:
        path: the file.
        individual: the animal, in a file of several.

    Returns:
        The pose.

    Raises:
        ValueError: another kind of file, or a damaged one.
    """
    import h5py

    try:
        file: Any = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path}: damaged HDF5, it may be truncated ({error}).") from error
    with file:
        try:
            reader, about = _kind(path, file)
        except _H5PY_ERRORS as error:
            raise ValueError(f"{path}: damaged HDF5 ({error}).") from error
        try:
            return reader(path, file, individual)
        except _ERRORS as error:
            if str(error).startswith("individual:"):
                raise
            raise ValueError(
                f"{path}: {about} that is damaged or has another layout ({error}). Export it again."
            ) from error


def _kind(path: Path, file: Any):
    names = set(file)
    if {"tracks", "node_names"} <= names:
        return _read_sleap, "a file of SLEAP"
    if {"position", "keypoints"} <= names:
        return of_hdf5, "a file of movement"
    for group in file.values():
        if hasattr(group, "keys") and "table" in group:
            return _read_deeplabcut, "a file of DeepLabCut"
        if hasattr(group, "keys") and "block0_values" in group:
            raise ValueError(
                f"{path}: expected DeepLabCut's .h5. This is one that pandas wrote with "
                "format='fixed': write it with format='table', or as .csv."
            )
    what = next((what for what, marks in _OTHERS.items() if marks <= names), None)
    what = what or f"HDF5 with {', '.join(sorted(names)[:6]) or 'nothing in it'}"
    raise ValueError(
        f"{path}: expected DeepLabCut's .h5, SLEAP's analysis .h5 or movement's .nc. This is "
        f"{what}."
    )


def _read_deeplabcut(path: Path, file: Any, individual: str | None) -> Pose:
    """Read pandas' format="table": rows with one array per type of number, and the names of their
    columns pickled in attributes.
    """
    group = next(group for group in file.values() if "table" in group)
    table = group["table"]
    columns: dict[tuple[str, ...], np.ndarray] = {}
    for name in table.dtype.names:
        if name.startswith("values_block_"):
            names = read_plain(bytes(table.attrs[f"{name}_kind"]))
            values = np.asarray(table[name], np.float64).reshape(len(table), -1)
            columns |= dict(zip(map(tuple, names), values.T, strict=True))
    # scorer, (individual,) keypoint, coordinate
    animals = sorted({names[1] for names in columns if len(names) == 4})
    animal = chosen(path, animals, individual)
    own = {
        names[-2:]: values
        for names, values in columns.items()
        if len(names) == 3 or names[1] == animal
    }
    keypoints = tuple(dict.fromkeys(name for name, _ in own))
    x, y, confidence = (
        np.stack([own[name, coordinate] for name in keypoints])
        for coordinate in ("x", "y", "likelihood")
    )
    return pose_of(keypoints, np.stack([x, y], axis=1), confidence)


def _read_sleap(path: Path, file: Any, individual: str | None) -> Pose:
    """Read tracks [animals, 2, K, frames]; names are bytes."""
    keypoints, animals = _names(file["node_names"]), _names(file["track_names"])
    animals = animals or [f"track_{i}" for i in range(len(file["tracks"]))]
    animal = animals.index(chosen(path, animals, individual))
    points = np.asarray(file["tracks"][animal], np.float64).transpose(1, 0, 2)
    confidence = np.ones(points[:, 0].shape)
    if "point_scores" in file:
        confidence = np.asarray(file["point_scores"][animal], np.float64)
    edges = file["edge_names"][()] if "edge_names" in file else ()
    skeleton = tuple((text(a), text(b)) for a, b in edges)
    return pose_of(tuple(keypoints), points, confidence)._replace(skeleton=skeleton)


def _names(dataset: Any) -> list[str]:
    return [text(name) for name in np.ravel(dataset[()])]
