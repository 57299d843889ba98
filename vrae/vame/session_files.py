"""The sessions of a run of the command: simulated, or files of a folder."""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seqvae.files import NPZ_ERRORS, reason
from vrae.vame.command_config import VAMESettings
from vrae.vame.keypoints import Pose
from vrae.vame.preprocessing import Preprocessing, preprocess
from vrae.vame.readers import KINDS, POSE_ENDINGS, read_pose
from vrae.vame.sessions import Session
from vrae.vame.simulation import simulate_poses

LISTS = ("exclude", "extra_features")
"""Keys that are comma-separated text in the command and tuples in a config."""
_AS_THEY_ARE = Preprocessing(
    pose_confidence=0.0, robust=False, savgol_filter=False, egocentric_data=True
)


class RunSessions(NamedTuple):
    """The sessions of a run."""

    sessions: Mapping[str, Session]
    """Sessions by name."""
    truth: Mapping[str, np.ndarray] | None
    """The true motif of every frame by session, or None."""
    have_gaps: bool = False
    """Whether tracking files have missing values."""


def read(s: VAMESettings) -> RunSessions:
    """Read the sessions of a run's settings.

    Args:
        s: the settings.

    Returns:
        The sessions.

    Raises:
        ValueError: the folder does not exist, has no such file, or a file cannot be used.
    """
    if s.dataset == "simulated":
        simulated = simulate_poses(
            s.sessions,
            s.frames,
            missing=s.missing,
            longest_missing=s.longest_missing,
            seed=s.seed,
        )
        keys: dict[str, Any] = {"low_confidence": s.low_confidence, "longest_gap": s.longest_gap}
        return RunSessions(
            {name: as_it_is(one.positions, **keys) for name, one in simulated.items()},
            {name: one.motifs for name, one in simulated.items()},
        )
    folder = Path(s.dataset)
    paths = sorted(path for path in folder.glob("*") if path.suffix in POSE_ENDINGS)
    if not paths:
        raise ValueError(
            f"--dataset: expected `simulated`, or a folder with {KINDS}, got {s.dataset!r}."
        )
    twice = {path.stem for path in paths if sum(path.stem == other.stem for other in paths) > 1}
    if twice:
        raise ValueError(
            f"--dataset: expected one file a session in {folder}, got several of "
            f"{', '.join(sorted(twice))}. Leave one kind of file there."
        )
    settings, sessions, truth, tracked = of_command(s), {}, {}, []
    for path in paths:
        plain = _plain(path) if path.suffix == ".npz" else {}
        if plain and "keypoints" not in plain:
            sessions[path.stem] = as_it_is(plain["positions"])
        else:
            pose = read_pose(path, individual=s.individual, fps=s.fps, skeleton=listed(s.skeleton))
            sessions[path.stem] = preprocess(pose, settings)
            tracked.append(sessions[path.stem])
        if "motifs" in plain:
            truth[path.stem] = _true_motifs(path, plain["motifs"], sessions[path.stem])
    if tracked and settings.centered_reference_keypoint is None and not settings.egocentric_data:
        _advise_alignment(tracked[0])
    gaps = any(np.isnan(session.values).any() for session in tracked)
    if truth and len(truth) < len(sessions):
        print(
            f"motifs: {len(truth)} of {len(sessions)} files have true motifs; the agreement with "
            f"them needs them in all. Missing in: {', '.join(sorted(set(sessions) - set(truth)))}."
        )
    return RunSessions(sessions, truth if len(truth) == len(sessions) else None, gaps)


def of_command(s: VAMESettings) -> Preprocessing:
    """Make the preprocessing of a command's settings.

    Args:
        s: the settings.

    Returns:
        The preprocessing.
    """
    given: dict[str, Any] = {f.name: getattr(s, f.name) for f in fields(Preprocessing)}
    given.update((key, listed(given[key])) for key in LISTS)
    return Preprocessing(**given)


def listed(text: str) -> tuple[str, ...]:
    """Split the items of "a,b".

    Args:
        text: the text.

    Returns:
        The items without blanks.
    """
    return tuple(item.strip() for item in text.split(",") if item.strip())


def as_it_is(positions: np.ndarray, **keys: Any) -> Session:
    """Make a session of features without preprocessing.

    Args:
        positions: [features, frames]. An even number of features is taken as x and y of keypoints.
        **keys: of `Preprocessing`, for the steps that are taken nevertheless.

    Returns:
        The session.
    """
    positions = np.asarray(positions, np.float64)
    if positions.ndim != 2 or len(positions) % 2 or not positions.size:
        return Session((), positions)
    names = tuple(f"keypoint {k}" for k in range(len(positions) // 2))
    pose = Pose(names, positions, np.ones((len(names), positions.shape[1])))
    return preprocess(pose, replace(_AS_THEY_ARE, **keys))


def _plain(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz."""
    try:
        with np.load(path, allow_pickle=False) as file:
            kept = ("positions", "motifs", "keypoints")
            found = {name: file[name] for name in kept if name in file.files}
            return {"positions": file["positions"]} | found
    except NPZ_ERRORS as error:
        raise ValueError(
            f"{path}: not a readable .npz with `positions` [features, frames] ({reason(error)})."
        ) from error


def _true_motifs(path: Path, motifs: np.ndarray, session: Session) -> np.ndarray:
    frames = session.values.shape[1]
    if motifs.shape != (frames,) or motifs.dtype.kind not in "iu":
        raise ValueError(
            f"{path}: motifs: expected [{frames}] whole numbers, one for each frame, got "
            f"{list(motifs.shape)} of {motifs.dtype}."
        )
    return motifs


def _advise_alignment(session: Session) -> None:
    assert session.pose is not None
    print(
        "positions are not aligned to the animal: motifs will depend on where it is. Give "
        "--centered_reference_keypoint and --orientation_reference_keypoint, of "
        f"{', '.join(session.pose.keypoints)}."
    )
