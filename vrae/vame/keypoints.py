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
    """keypoints: K names; positions: [2 K, frames] float64, x and y of each keypoint in pixels, NaN
    where it was not seen confidently; confidence: [K, frames], 0 to 1.

    fps: frames a second, None if it is not known. skeleton: the pairs of keypoints that a plot
    joins. extra: rows [frames] by name that can be features.
    """

    keypoints: tuple[str, ...]
    positions: np.ndarray
    confidence: np.ndarray
    fps: float | None = None
    skeleton: tuple[tuple[str, str], ...] = ()
    extra: Mapping[str, np.ndarray] = MappingProxyType({})

    @property
    def points(self) -> np.ndarray:
        """The positions as [K, 2, frames]."""
        return self.positions.reshape(len(self.keypoints), 2, -1)

    def moved(self, points: np.ndarray) -> "Pose":
        """The same with other positions [K, 2, frames]."""
        return self._replace(positions=points.reshape(2 * len(self.keypoints), -1))

    def missing(self) -> dict[str, float]:
        """The share of frames in which each keypoint is missing."""
        return dict(
            zip(self.keypoints, np.isnan(self.positions[::2]).mean(axis=1).tolist(), strict=True)
        )


@renamed_keypoints
def read_deeplabcut(
    path: str | Path, *, pose_confidence: float = 0.9, individual: str | None = None
) -> Pose:
    """Reads a CSV of DeepLabCut: rows `scorer`, (`individuals`,) `bodyparts`, `coords`, then a row
    a frame.

    Args:
        pose_confidence: a keypoint whose likelihood is below it is missing (NaN) in that frame; so
            is an empty cell.
        individual: which one, in a file of several animals.

    Raises:
        FileNotFoundError: there is none. ValueError: not such a file; the message names the line.
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
    """Positions in the animal's own frame of reference, as VAME aligns them:
    `centered_reference_keypoint` is moved to 0, and the animal is turned so that
    `orientation_reference_keypoint` lies on the negative y axis.

    Args:
        longest_gap: the greatest number of frames in a row for which a reference keypoint is
            interpolated where it is missing, on the line between the frames before and after. In a
            longer gap all values are NaN. Other keypoints are not interpolated.

    Returns:
        [2 K - 3, frames] float64: x and y of each keypoint in its order, without the three that are
        then 0 (both of `centered_reference_keypoint`, x of `orientation_reference_keypoint`).

    Raises:
        ValueError: no such keypoint, the same for both, or one that is missing in every frame.
    """
    check_references(pose, centered_reference_keypoint, orientation_reference_keypoint)
    if longest_gap < 0:
        raise ValueError(
            f"longest_gap: expected a number of frames of at least 0, got {longest_gap!r}."
        )
    points, names = (
        pose.points.copy(),
        (
            centered_reference_keypoint,
            orientation_reference_keypoint,
        ),
    )
    i, j = map(pose.keypoints.index, names)
    points = with_references(points, i, j, longest_gap)
    turned = turned_to_the_body(points, i, j).reshape(len(pose.positions), -1)
    return np.delete(turned, [2 * i, 2 * i + 1, 2 * j], axis=0)


def check_references(
    pose: Pose, centered_reference_keypoint: str, orientation_reference_keypoint: str
) -> None:
    """Whether positions can be aligned by two keypoints.

    Raises:
        ValueError: no such keypoint, the same for both, or one that is missing in every frame.
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
            f"centered_reference_keypoint, got {keypoint!r} "
            "for both."
        )


def with_references(points: np.ndarray, i: int, j: int, longest_gap: int) -> np.ndarray:
    """Positions [K, 2, frames] whose reference keypoints i and j are interpolated over short
    gaps."""
    points = points.copy()
    points[j, :, (points[i] == points[j]).all(axis=0)] = (
        np.nan
    )  # two points in one place have no direction
    for k in (i, j):
        points[k] = bridged(points[k], longest_gap)
    return points


def turned_to_the_body(points: np.ndarray, i: int, j: int) -> np.ndarray:
    """Positions [K, 2, frames] with keypoint i at 0 and keypoint j on the negative y axis."""
    points = points - points[i]
    distance = np.hypot(*points[j])
    x, y = points[j] / np.where(distance > 0, distance, np.nan)
    turned = np.stack(
        [x * points[:, 1] - y * points[:, 0], -x * points[:, 0] - y * points[:, 1]], axis=1
    )
    turned[j, 0] *= 0.0  # it is 0 but for rounding, or NaN
    return turned


def direction(points: np.ndarray, i: int, j: int) -> np.ndarray:
    """From keypoint i to keypoint j of positions [K, 2, frames]: [2, frames]."""
    return points[j] - points[i]


def bridged(rows: np.ndarray, longest_gap: int) -> np.ndarray:
    """Rows [n, frames] with linear interpolation in every gap of up to `longest_gap` frames; at
    both ends the nearest value is held."""
    seen, time = ~np.isnan(rows).any(axis=0), np.arange(rows.shape[1])
    if not seen.any():
        return rows
    gaps, _ = label(~seen)
    filled = np.stack([np.interp(time, time[seen], row[seen]) for row in rows])
    filled[:, (gaps > 0) & (np.bincount(gaps)[gaps] > longest_gap)] = np.nan
    return filled


def pose_of(keypoints: tuple[str, ...], points: np.ndarray, confidence: np.ndarray) -> Pose:
    """The pose of positions [K, 2, frames] and their confidence [K, frames]. A keypoint without a
    position has no confidence, and one without confidence no position."""
    if len(keypoints) != len(points) or confidence.shape != points[:, 0].shape:
        raise ValueError(
            f"{len(keypoints)} keypoints, positions {points.shape}, confidence {confidence.shape}"
        )
    confidence = np.where(np.isnan(points).any(axis=1), 0.0, np.nan_to_num(confidence))
    points = np.where(confidence[:, None] > 0, points, np.nan)
    return Pose(keypoints, points.reshape(2 * len(keypoints), -1), confidence)


def chosen(path: Path, individuals: Sequence[str], individual: str | None) -> str:
    """The animal that is read from a file of several.

    Raises:
        ValueError: there are several, and none of them was named.
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
