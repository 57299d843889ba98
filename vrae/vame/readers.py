"""Reading of files of tracked keypoints, whose kind is recognised by the content, not by the name.
Errors say which kind a file is.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from seqvae.files import NPZ_ERRORS, reason
from vrae.vame import hdf5_poses, movement_poses
from vrae.vame.features import split_pair
from vrae.vame.keypoints import Pose, read_deeplabcut

KINDS = (
    "DeepLabCut's .csv or .h5, SLEAP's analysis .h5, movement's .nc, or .npz with `positions` "
    "[2 K, frames]"
)
POSE_ENDINGS = (".csv", ".h5", ".hdf5", ".nc", ".npz")
"""Suffixes of the files of a folder that are read."""

_HDF5, _NETCDF3, _ZIP = b"\x89HDF\r\n\x1a\n", b"CDF", b"PK\x03\x04"
_OTHERS = (
    (0, b"\x80", "a pickle, such as DeepLabCut's .pickle: use the .h5 or .csv beside it"),
    (4, b"ftyp", "a video"),
    (0, b"RIFF", "a video"),
    (0, b"\x1a\x45\xdf\xa3", "a video"),
    (0, b"MATLAB 5.0", "a MATLAB file: save its positions as .npz"),
    (0, b"{", "JSON, such as OpenPose's: save its positions as .npz"),
    (0, b"[", "JSON, such as OpenPose's: save its positions as .npz"),
    (0, b"\x93NUMPY", "a NumPy .npy without names: save it as .npz with `positions`"),
    (0, b"\x1f\x8b", "compressed by gzip: decompress it first"),
)
"""Position and value of bytes at the beginning of a file, and what such a file is."""


def read_pose(
    path: str | Path,
    *,
    individual: str | None = None,
    fps: float | None = None,
    skeleton: tuple[str, ...] | tuple[tuple[str, str], ...] = (),
) -> Pose:
    """Read all tracked positions of one animal, of any confidence.

    Args:
        path: DeepLabCut's .csv or .h5, SLEAP's analysis .h5, a netCDF of `movement`, or an .npz
            with `positions` [2 K, frames] and optionally `keypoints` [K], `confidence` [K, frames],
            `fps`, `skeleton` [n, 2] and further rows [frames].
        individual: the animal, in a file of several.
        fps: frames per second; None: those of the file, if known.
        skeleton: pairs of keypoints, ("nose", "tail") or "nose-tail"; empty: those of the file.

    Returns:
        The pose.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: another kind of file, a damaged one, or several animals and no `individual`; the
            message says what it is.
    """
    path = Path(path)
    if fps is not None and not fps > 0:
        raise ValueError(f"fps: expected above 0, got {fps!r}.")
    pose = _reader(path)(path, individual)
    if not pose.positions.shape[1]:
        raise ValueError(f"{path}: no frame in it.")
    pairs = _pairs(skeleton or pose.skeleton, pose.keypoints)
    return pose._replace(fps=fps or pose.fps, skeleton=pairs)


def _reader(path: Path) -> Callable[[Path, str | None], Pose]:
    try:
        with open(path, "rb") as file:
            beginning = file.read(4096)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file.") from None
    except IsADirectoryError:
        raise ValueError(f"{path}: expected a file, got a folder. Name a file in it.") from None
    if beginning.startswith(_HDF5):
        return hdf5_poses.read
    if beginning.startswith(_NETCDF3):
        return movement_poses.read_classic
    if beginning.startswith(_ZIP):
        return _read_npz
    for place, mark, what in _OTHERS:
        if beginning[place:].startswith(mark):
            raise ValueError(f"{path}: expected {KINDS}. This is {what}.")
    _check_table(path, beginning)
    return lambda path, individual: read_deeplabcut(
        path, pose_confidence=0.0, individual=individual
    )


def _check_table(path: Path, beginning: bytes) -> None:
    """Check that a text is DeepLabCut's, which its own reader checks further."""
    first = beginning.decode("utf-8", "replace").splitlines()[:1]
    cells = first[0].split(",") if first else []
    if "frame_idx" in cells and "track" in cells:
        raise ValueError(
            f"{path}: expected {KINDS}. This is SLEAP's .csv: export Analysis HDF5 in its place."
        )
    if not cells or cells == [""]:
        raise ValueError(f"{path}: expected {KINDS}. This file is empty.")


def _read_npz(path: Path, individual: str | None) -> Pose:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        positions = np.asarray(arrays.pop("positions"), np.float64)
    except NPZ_ERRORS as error:
        raise ValueError(
            f"{path}: not a readable .npz with `positions` [features, frames] ({reason(error)})."
        ) from error
    if positions.ndim != 2 or len(positions) % 2:
        raise ValueError(
            f"{path}: positions: expected [2 K, frames], x and y of each keypoint, got the shape "
            f"{positions.shape}."
        )
    count, frames = len(positions) // 2, positions.shape[1]
    names = arrays.pop("keypoints", np.array([f"keypoint {k}" for k in range(count)]))
    keypoints = tuple(str(name) for name in names)
    confidence = np.asarray(arrays.pop("confidence", np.ones((count, frames))), np.float64)
    if len(keypoints) != count or confidence.shape != (count, frames):
        raise ValueError(
            f"{path}: expected keypoints [{count}] and confidence [{count}, {frames}], got "
            f"[{len(keypoints)}] and {list(confidence.shape)}."
        )
    fps = arrays.pop("fps", None)
    edges = arrays.pop("skeleton", np.empty((0, 2), str))
    rows = {
        name: row
        for name, row in arrays.items()
        if row.shape == (frames,) and row.dtype.kind in "fiub"
    }
    if set(arrays) - set(rows):
        print(
            f"{path}: ignored: {', '.join(sorted(set(arrays) - set(rows)))}. Expected one number "
            f"per frame ({frames})."
        )
    return Pose(
        keypoints,
        positions,
        np.where(np.isnan(positions[::2]), 0.0, confidence),
        None if fps is None else float(fps),
        tuple((str(a), str(b)) for a, b in edges),
        rows,
    )


def _pairs(skeleton, keypoints: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pairs = []
    for given in skeleton:
        pair = split_pair(given, keypoints) if isinstance(given, str) else tuple(given)
        if pair is None or len(pair) != 2 or not set(pair) <= set(keypoints):
            raise ValueError(
                f"skeleton: expected pairs of {', '.join(keypoints)}, got {given!r}. Write "
                "KEYPOINT-KEYPOINT."
            )
        pairs.append(pair)
    return tuple(pairs)
