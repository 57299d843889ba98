"""Poses from DeepLabCut's files, and their alignment to the animal's own frame of reference."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from scipy.ndimage import label

from vrae.vame.renamed import renamed_keypoints


class Pose(NamedTuple):
    """Tracked keypoints of one animal."""

    keypoints: tuple[str, ...]
    """K names."""
    positions: np.ndarray
    """[2 K, frames] float64, x and y of each keypoint in pixels, NaN if it was not seen."""
    confidence: np.ndarray
    """[K, frames], 0 to 1."""
    fps: float | None = None
    """Frames per second; None: unknown."""
    skeleton: tuple[tuple[str, str], ...] = ()
    """Pairs of keypoints that a plot joins by lines."""
    extra: Mapping[str, np.ndarray] = MappingProxyType({})
    """Rows [frames] by name that can be features."""

    @property
    def points(self) -> np.ndarray:
        """The positions as [K, 2, frames]."""
        return self.positions.reshape(len(self.keypoints), 2, -1)

    def moved(self, points: np.ndarray) -> "Pose":
        """Replace the positions.

        Args:
            points: [K, 2, frames].

        Returns:
            The pose with these positions.
        """
        return self._replace(positions=points.reshape(2 * len(self.keypoints), -1))

    def missing(self) -> dict[str, float]:
        """Compute the share of frames in which each keypoint is missing.

        Returns:
            The shares by keypoint.
        """
        return dict(
            zip(self.keypoints, np.isnan(self.positions[::2]).mean(axis=1).tolist(), strict=True)
        )


@renamed_keypoints
def read_deeplabcut(
    path: str | Path, *, pose_confidence: float = 0.9, individual: str | None = None
) -> Pose:
    """Read a CSV of DeepLabCut.

    Its rows are `scorer`, (`individuals`,) `bodyparts`, `coords`, then one per frame.

    Args:
        path: the file.
        pose_confidence: a keypoint with a lower likelihood is missing (NaN) in that frame; so is an
            empty cell.
        individual: the animal, in a file of several.

    Returns:
        The pose.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not such a file; the message names the line.
    """
    path = Path(path)
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            header = _header(path, rows)
            keypoints, columns = _columns(path, header, individual)
            wanted = columns.ravel()
            values = np.array(
                [_numbers(path, rows.line_num, row, wanted) for row in rows], np.float64
            )
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a readable CSV file ({error}).") from error
    if not len(values):
        raise ValueError(f"{path}: no frame in it.")
    x, y, likelihood = values.reshape(-1, len(keypoints), 3).transpose(2, 1, 0)
    seen = likelihood >= pose_confidence  # NaN is not
    positions = np.stack([np.where(seen, x, np.nan), np.where(seen, y, np.nan)], axis=1)
    return Pose(keypoints, positions.reshape(2 * len(keypoints), -1), np.nan_to_num(likelihood))


@renamed_keypoints
def egocentric(
    pose: Pose,
    centered_reference_keypoint: str,
    orientation_reference_keypoint: str,
    *,
    longest_gap: int = 30,
) -> np.ndarray:
    """Transform positions to the animal's own frame of reference, as VAME does.

    `centered_reference_keypoint` is moved to 0, and the animal is rotated so that
    `orientation_reference_keypoint` lies on the negative y axis.

    Args:
        pose: the pose.
        centered_reference_keypoint: a keypoint.
        orientation_reference_keypoint: another keypoint.
        longest_gap: the largest number of consecutive frames for which a missing reference keypoint
            is interpolated linearly. In a longer gap all values are NaN. Other keypoints are not
            interpolated.

    Returns:
        [2 K - 3, frames] float64: x and y of each keypoint in its order, without the three that are
        0 (both of `centered_reference_keypoint`, x of `orientation_reference_keypoint`).

    Raises:
        ValueError: a keypoint does not exist, both are the same, or one is missing in every frame.
    """
    check_references(pose, centered_reference_keypoint, orientation_reference_keypoint)
    if longest_gap < 0:
        raise ValueError(
            f"longest_gap: expected a number of frames of at least 0, got {longest_gap!r}."
        )
    names = centered_reference_keypoint, orientation_reference_keypoint
    i, j = map(pose.keypoints.index, names)
    points = with_references(pose.points, i, j, longest_gap)
    turned = turned_to_the_body(points, i, j).reshape(len(pose.positions), -1)
    return np.delete(turned, [2 * i, 2 * i + 1, 2 * j], axis=0)


def check_references(
    pose: Pose, centered_reference_keypoint: str, orientation_reference_keypoint: str
) -> None:
    """Check that positions can be aligned by two keypoints.

    Args:
        pose: the pose.
        centered_reference_keypoint: a keypoint.
        orientation_reference_keypoint: another keypoint.

    Raises:
        ValueError: a keypoint does not exist, both are the same, or one is missing in every frame.
    """
    names = {
        "centered_reference_keypoint": centered_reference_keypoint,
        "orientation_reference_keypoint": orientation_reference_keypoint,
    }
    for name, keypoint in names.items():
        if keypoint not in pose.keypoints:
            raise ValueError(
                f"{name}: expected one of {', '.join(pose.keypoints)}, got {keypoint!r}."
            )
        if pose.missing()[keypoint] == 1.0:
            raise ValueError(
                f"{name}: {keypoint} is missing in every frame. Use a lower pose_confidence, or "
                "another keypoint."
            )
    if len(set(names.values())) == 1:
        keypoint = names["orientation_reference_keypoint"]
        raise ValueError(
            "orientation_reference_keypoint: expected another keypoint than "
            f"centered_reference_keypoint, got {keypoint!r} for both."
        )


def with_references(points: np.ndarray, i: int, j: int, longest_gap: int) -> np.ndarray:
    """Interpolate the reference keypoints over short gaps.

    Args:
        points: [K, 2, frames].
        i: index of the centered keypoint.
        j: index of the orientation keypoint.
        longest_gap: the largest number of frames of a gap.

    Returns:
        [K, 2, frames].
    """
    points = points.copy()
    # two keypoints at the same place have no direction
    points[j, :, (points[i] == points[j]).all(axis=0)] = np.nan
    for k in (i, j):
        points[k] = interpolate_gaps(points[k], longest_gap)
    return points


def turned_to_the_body(points: np.ndarray, i: int, j: int) -> np.ndarray:
    """Move keypoint i to 0, and rotate keypoint j onto the negative y axis.

    Args:
        points: [K, 2, frames].
        i: index of the centered keypoint.
        j: index of the orientation keypoint.

    Returns:
        [K, 2, frames].
    """
    points = points - points[i]
    distance = np.hypot(*points[j])
    x, y = points[j] / np.where(distance > 0, distance, np.nan)
    turned = np.stack(
        [x * points[:, 1] - y * points[:, 0], -x * points[:, 0] - y * points[:, 1]], axis=1
    )
    turned[j, 0] *= 0.0  # removes rounding errors, keeps NaN
    return turned


def direction(points: np.ndarray, i: int, j: int) -> np.ndarray:
    """Compute the vector from keypoint i to keypoint j.

    Args:
        points: [K, 2, frames].
        i: index of the first keypoint.
        j: index of the second keypoint.

    Returns:
        [2, frames].
    """
    return points[j] - points[i]


def interpolate_gaps(rows: np.ndarray, longest_gap: int) -> np.ndarray:
    """Interpolate linearly in short gaps; repeat the nearest value at both ends.

    Args:
        rows: [n, frames]; a frame with NaN in any row is missing.
        longest_gap: the largest number of frames of a gap.

    Returns:
        [n, frames].
    """
    seen, time = ~np.isnan(rows).any(axis=0), np.arange(rows.shape[1])
    if not seen.any():
        return rows
    gaps, _ = label(~seen)
    filled = np.stack([np.interp(time, time[seen], row[seen]) for row in rows])
    filled[:, (gaps > 0) & (np.bincount(gaps)[gaps] > longest_gap)] = np.nan
    return filled


def pose_of(keypoints: tuple[str, ...], points: np.ndarray, confidence: np.ndarray) -> Pose:
    """Make a pose from positions and confidence.

    A keypoint without a position gets confidence 0, and one with confidence 0 gets no position.

    Args:
        keypoints: K names.
        points: [K, 2, frames].
        confidence: [K, frames].

    Returns:
        The pose.

    Raises:
        ValueError: the shapes do not fit.
    """
    if len(keypoints) != len(points) or confidence.shape != points[:, 0].shape:
        raise ValueError(
            f"{len(keypoints)} keypoints, positions {points.shape}, confidence {confidence.shape}"
        )
    confidence = np.where(np.isnan(points).any(axis=1), 0.0, np.nan_to_num(confidence))
    points = np.where(confidence[:, None] > 0, points, np.nan)
    return Pose(keypoints, points.reshape(2 * len(keypoints), -1), confidence)


def chosen(path: Path, individuals: Sequence[str], individual: str | None) -> str:
    """Choose the animal to read from a file.

    Args:
        path: the file, for messages.
        individuals: the animals in the file.
        individual: the requested animal, or None.

    Returns:
        The animal.

    Raises:
        ValueError: there are several, and none of them was requested.
    """
    if len(individuals) > 1 and individual not in individuals:
        raise ValueError(
            f"individual: {path} holds {', '.join(individuals)}; expected one of them, got "
            f"{individual!r}."
        )
    return individuals[0] if len(individuals) == 1 else str(individual)


def _header(path: Path, rows) -> dict[str, list[str]]:
    """The rows before the first frame, by their names."""
    header = {}
    for row in rows:
        header[row[0].strip() if row else ""] = [cell.strip() for cell in row]
        if "coords" in header or len(header) > 4:
            break
    if not {"bodyparts", "coords"} <= set(header):
        raise ValueError(
            f"{path}: expected the rows scorer, bodyparts and coords of a DeepLabCut file at its "
            "beginning."
        )
    return header


def _columns(
    path: Path, header: dict[str, list[str]], individual: str | None
) -> tuple[tuple[str, ...], np.ndarray]:
    """The keypoints' names, and the columns [K, 3] of their x, y and likelihood."""
    parts, coords = header["bodyparts"], header["coords"]
    animals = header.get("individuals", [""] * len(parts))
    if len({len(parts), len(coords), len(animals)}) > 1:
        raise ValueError(
            f"{path}: the rows bodyparts and coords do not have the same number of cells."
        )
    animal = chosen(path, sorted(set(animals[1:])), individual)
    own = [k for k in range(1, len(parts)) if animals[k] == animal]
    keypoints = tuple(dict.fromkeys(parts[k] for k in own))
    places = {(parts[k], coords[k]): k for k in own}
    try:
        return keypoints, np.array(
            [[places[name, c] for c in ("x", "y", "likelihood")] for name in keypoints]
        )
    except KeyError as error:
        raise ValueError(f"{path}: no column {error.args[0][1]} of {error.args[0][0]}.") from None


def _numbers(path: Path, line: int, row: list[str], columns: np.ndarray) -> list[float]:
    try:
        return [float(row[k]) if row[k].strip() else np.nan for k in columns]
    except (ValueError, IndexError) as error:
        raise ValueError(
            f"{path}, line {line}: expected {columns.max() + 1} numbers ({error})."
        ) from error
