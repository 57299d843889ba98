"""A session: the features that a model takes, and the poses that plots show."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqvae.data import save
from seqvae.files import NPZ_ERRORS
from vrae.vame.keypoints import Pose


class Session(NamedTuple):
    """A session as a model takes it, and what its plots show.

    features: names of the rows of `values`; values: [F, frames] float64, NaN is missing.
    pose: all keypoints after the last step of preprocessing, aligned; placed: the same before the
    alignment; None: of an array, whose keypoints are not known.
    steps: the positions [K, 2, frames] after each step by its name, "tracked" the first; not saved.
    """

    features: tuple[str, ...]
    values: np.ndarray
    pose: Pose | None = None
    placed: Pose | None = None
    steps: dict[str, np.ndarray] | None = None


def save_session(path: str | Path, session: Session) -> None:
    """Writes a session that has poses to an `.npz`, whole or not at all."""
    pose, placed = session.pose, session.placed
    if pose is None or placed is None:
        raise ValueError("session: expected one of tracked keypoints, got one of an array.")
    arrays = {
        "features": np.array(session.features, str),
        "values": session.values,
        "keypoints": np.array(pose.keypoints, str),
        "aligned": pose.positions,
        "placed": placed.positions,
        "confidence": pose.confidence,
        "skeleton": np.array(pose.skeleton, str).reshape(-1, 2),
        "fps": np.array(np.nan if pose.fps is None else pose.fps),
    }
    save(path, arrays)


def load_session(path: str | Path) -> Session:
    """Reads what `save_session` wrote.

    Raises:
        FileNotFoundError: there is none. ValueError: damaged, or another file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        fps = float(arrays["fps"])
        edges = tuple((str(a), str(b)) for a, b in arrays["skeleton"])
        pose = Pose(
            tuple(map(str, arrays["keypoints"])),
            arrays["aligned"],
            arrays["confidence"],
            None if np.isnan(fps) else fps,
            edges,
        )
        features = tuple(map(str, arrays["features"]))
        return Session(features, arrays["values"], pose, pose._replace(positions=arrays["placed"]))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: no such session. Make it with vrae.vame.create_training."
        ) from None
    except NPZ_ERRORS as error:
        raise ValueError(
            f"{path}: not a session, or damaged ({error}). Make it again with "
            "vrae.vame.create_training."
        ) from error
