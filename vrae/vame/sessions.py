"""A session: the features for a model, and the poses for plots."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqvae.data import save
from seqvae.files import NPZ_ERRORS, reason
from vrae.vame.keypoints import Pose


class Session(NamedTuple):
    """A session as a model takes it, and its poses."""

    features: tuple[str, ...]
    """Names of the rows of `values`."""
    values: np.ndarray
    """[F, frames] float64, NaN is missing."""
    pose: Pose | None = None
    """All keypoints after preprocessing, aligned; None for an array with unknown keypoints."""
    placed: Pose | None = None
    """As `pose`, before the alignment."""
    steps: dict[str, np.ndarray] | None = None
    """The positions [K, 2, frames] after each step, by its name, starting with "tracked"; not
    saved.
    """


def save_session(path: str | Path, session: Session) -> None:
    """Write a session with poses to an `.npz`, atomically.

    Args:
        path: the file.
        session: the session.

    Raises:
        ValueError: the session has no poses.
    """
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
    """Read a session that `save_session` wrote.

    Args:
        path: the file.

    Returns:
        The session.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is damaged, or another file.
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
            f"{path}: not a session, or damaged ({reason(error)}). Make it again with "
            "vrae.vame.create_training."
        ) from error
