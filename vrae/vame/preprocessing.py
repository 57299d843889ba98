"""Preprocessing: from tracked positions to the features of a model, by VAME's keys."""

from dataclasses import dataclass

import numpy as np
from scipy.signal import savgol_filter
from scipy.stats import iqr

from vrae.vame.features import extra_feature
from vrae.vame.keypoints import (
    Pose,
    check_references,
    direction,
    interpolate_gaps,
    turned_to_the_body,
    with_references,
)
from vrae.vame.sessions import Session

_LOW_CONFIDENCE = ("missing", "interpolate")


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """The steps from tracked positions to features, in their order. Each step is optional.

    Attributes:
        pose_confidence: a keypoint with a lower likelihood has low confidence in that frame; 0:
            none has (VAME: 0.99).
        low_confidence: "missing": keypoints of low confidence, and outliers, are missing values.
            "interpolate": they are interpolated linearly over gaps of up to `longest_gap` frames.
        longest_gap: the largest number of frames of a gap that is interpolated; reference keypoints
            are always interpolated.
        egocentric_data: whether positions are aligned already.
        centered_reference_keypoint: see `egocentric`; None: no alignment.
        orientation_reference_keypoint: see `egocentric`; None: no alignment.
        exclude: keypoints that are left out of the features.
        robust: whether outliers are removed. Only for aligned positions: others change with the
            animal's place.
        iqr_factor: a keypoint is an outlier if a coordinate is more than this number of
            interquartile ranges from its mean.
        savgol_filter: whether positions are smoothed by a Savitzky-Golay filter.
        savgol_length: frames of the filter.
        savgol_order: order of its polynomial.
        scale_by_body_size: whether positions are divided by the median distance of the reference
            keypoints.
        extra_features: features besides the positions, see `extra_feature`.

    Raises:
        ValueError: a value is out of range.
    """

    pose_confidence: float = 0.9
    low_confidence: str = "missing"
    longest_gap: int = 30
    egocentric_data: bool = False
    centered_reference_keypoint: str | None = None
    orientation_reference_keypoint: str | None = None
    exclude: tuple[str, ...] = ()
    robust: bool = True
    iqr_factor: float = 4.0
    savgol_filter: bool = True
    savgol_length: int = 5
    savgol_order: int = 2
    scale_by_body_size: bool = False
    extra_features: tuple[str, ...] = ()

    def __post_init__(self):
        if not 0.0 <= self.pose_confidence <= 1.0:
            raise ValueError(f"pose_confidence: expected 0 to 1, got {self.pose_confidence!r}.")
        if self.low_confidence not in _LOW_CONFIDENCE:
            raise ValueError(
                f"low_confidence: expected one of {', '.join(_LOW_CONFIDENCE)}, got "
                f"{self.low_confidence!r}."
            )
        if self.longest_gap < 0:
            raise ValueError(
                f"longest_gap: expected a number of frames of at least 0, got {self.longest_gap!r}."
            )
        if not self.iqr_factor > 0:
            raise ValueError(f"iqr_factor: expected above 0, got {self.iqr_factor!r}.")
        if self.savgol_length < 1 or self.savgol_length % 2 == 0:
            raise ValueError(
                f"savgol_length: expected an odd number of frames, got {self.savgol_length!r}."
            )
        if not 0 <= self.savgol_order < self.savgol_length:
            raise ValueError(
                f"savgol_order: expected 0 to savgol_length - 1 = {self.savgol_length - 1}, got "
                f"{self.savgol_order!r}."
            )
        given = [name for name in self.references.values() if name is not None]
        if len(given) == 1:
            raise ValueError(
                "centered_reference_keypoint, orientation_reference_keypoint: expected the names "
                f"of two keypoints, or neither, got {self.centered_reference_keypoint!r} and "
                f"{self.orientation_reference_keypoint!r}."
            )
        if self.scale_by_body_size and not given:
            raise ValueError(
                "scale_by_body_size: expected centered_reference_keypoint and "
                "orientation_reference_keypoint, whose distance is the size of the body, got "
                "neither. Name them."
            )

    @property
    def references(self) -> dict[str, str | None]:
        """The two reference keypoints by the names of their keys."""
        return {
            "centered_reference_keypoint": self.centered_reference_keypoint,
            "orientation_reference_keypoint": self.orientation_reference_keypoint,
        }

    @property
    def aligns(self) -> bool:
        """Whether positions are transformed to the animal's own frame of reference."""
        return self.centered_reference_keypoint is not None and not self.egocentric_data


def preprocess(pose: Pose, settings: Preprocessing) -> Session:
    """Make a session from tracked positions.

    Args:
        pose: all tracked positions, of any confidence.
        settings: the steps.

    Returns:
        The session.

    Raises:
        ValueError: the pose lacks a keypoint or a feature, or a reference keypoint is missing in
            every frame.
    """
    _check_names("exclude", settings.exclude, pose.keypoints)
    points = pose.points.copy()
    steps = {"tracked": points}
    low = ~(pose.confidence >= settings.pose_confidence)  # NaN is low
    points = steps["confident"] = _without(points, low, settings)
    placed = points
    if settings.aligns:
        i, j = _indices(pose.moved(points), settings)
        points = placed = with_references(points, i, j, settings.longest_gap)
        points = steps["aligned"] = turned_to_the_body(points, i, j)
    if settings.robust and (settings.aligns or settings.egocentric_data):
        points = steps["without outliers"] = _without(points, _outliers(points, settings), settings)
    if settings.savgol_filter:
        points = steps["smoothed"] = _in_runs(points, settings)
        placed = _in_runs(placed, settings)
    if settings.scale_by_body_size:
        size = _body_size(placed, *_indices(pose, settings))
        points = steps["scaled"] = points / size
    aligned, placed = pose.moved(points), pose.moved(placed)
    names, values = _features(aligned, settings)
    for name in settings.extra_features:
        extra = extra_feature(name, placed, settings.references)
        names, values = (*names, name), np.concatenate([values, extra[None]])
    return Session(names, values, aligned, placed, steps)


def _features(pose: Pose, settings: Preprocessing) -> tuple[tuple[str, ...], np.ndarray]:
    """x and y of the keypoints, without the three that alignment sets to 0."""
    zero = set()
    if settings.aligns:
        centre, ahead = settings.references.values()
        zero = {f"{centre} x", f"{centre} y", f"{ahead} x"}
    names = [f"{keypoint} {axis}" for keypoint in pose.keypoints for axis in "xy"]
    kept = [
        row
        for row, name in enumerate(names)
        if name not in zero and pose.keypoints[row // 2] not in settings.exclude
    ]
    return tuple(names[row] for row in kept), pose.positions[kept]


def _without(points: np.ndarray, which: np.ndarray, settings: Preprocessing) -> np.ndarray:
    """Positions [K, 2, frames] where those of `which` [K, frames] are missing or interpolated."""
    kept = np.where(which[:, None], np.nan, points)
    if settings.low_confidence == "missing":
        return kept
    return np.stack([interpolate_gaps(keypoint, settings.longest_gap) for keypoint in kept])


def _indices(pose: Pose, settings: Preprocessing) -> tuple[int, int]:
    centre, ahead = settings.references.values()
    check_references(pose, str(centre), str(ahead))
    return pose.keypoints.index(str(centre)), pose.keypoints.index(str(ahead))


def _outliers(points: np.ndarray, settings: Preprocessing) -> np.ndarray:
    """[K, frames] bool, True for outliers."""
    if np.isnan(points).all():
        return np.zeros(points[:, 0].shape, bool)
    with np.errstate(invalid="ignore"):
        spread = iqr(points, axis=-1, nan_policy="omit", keepdims=True)
        distance = np.abs(points - _mean(points))
        # a spread of 0 means that more than half of the values are equal: no outlier can be found
        return ((distance > settings.iqr_factor * spread) & (spread > 0)).any(axis=1)


def _mean(points: np.ndarray) -> np.ndarray:
    count = np.maximum(1, (~np.isnan(points)).sum(axis=-1, keepdims=True))
    return np.nansum(points, axis=-1, keepdims=True) / count


def _in_runs(points: np.ndarray, settings: Preprocessing) -> np.ndarray:
    """Savitzky-Golay over each stretch of frames in which a keypoint is observed. Stretches shorter
    than the filter are unchanged.
    """
    length, order = settings.savgol_length, settings.savgol_order
    smoothed = points.copy()
    for keypoint in smoothed:
        seen = ~np.isnan(keypoint).any(axis=0)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], seen, [False]])))
        for first, last in edges.reshape(-1, 2):
            if last - first >= length:
                keypoint[:, first:last] = savgol_filter(keypoint[:, first:last], length, order)
    return smoothed


def _body_size(points: np.ndarray, i: int, j: int) -> float:
    """The median distance of two keypoints."""
    sizes = np.hypot(*direction(points, i, j))
    size = float(np.median(sizes[~np.isnan(sizes)])) if not np.isnan(sizes).all() else 0.0
    if not size > 0:
        raise ValueError(
            "scale_by_body_size: expected a distance of the reference keypoints above 0, got "
            f"{size}. Use other reference keypoints."
        )
    return size


def _check_names(argument: str, names: tuple[str, ...], known: tuple[str, ...]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{argument}: expected some of {', '.join(known)}, got {name!r}.")
