"""Features beside positions: speeds, distances, angular velocity, and rows of the user's own."""

from collections.abc import Mapping

import numpy as np

from vrae.vame.keypoints import Pose, direction

_KINDS = "speed:KEYPOINT, distance:KEYPOINT-KEYPOINT, angular_velocity"


def extra_feature(name: str, pose: Pose, references: Mapping[str, str | None]) -> np.ndarray:
    """The feature of a name, [frames] float64; NaN where a keypoint that it needs is missing.

    Args:
        name: "speed:nose" is the distance that a keypoint moves in a frame; "distance:nose-tail"
            that of two keypoints; "angular_velocity" the radians that the direction from the
            centered to the orientation keypoint turns in a frame; any other is a row of
            `pose.extra`.
        pose: positions that are not aligned.
        references: the reference keypoints.

    Raises:
        ValueError: there is no such feature.
    """
    kind, _, about = name.partition(":")
    if name in pose.extra:
        return np.asarray(pose.extra[name], np.float64)
    if kind == "speed" and about in pose.keypoints:
        return speed(pose.points[pose.keypoints.index(about)])
    if kind == "distance" and (pair := split_pair(about, pose.keypoints)):
        return np.hypot(*direction(pose.points, *map(pose.keypoints.index, pair)))
    if name == "angular_velocity":
        return angular_velocity(pose, references)
    rows = "".join(f", {row}" for row in pose.extra)
    raise ValueError(
        f"extra_features: expected {_KINDS}{rows}, with the keypoints "
        f"{', '.join(pose.keypoints)}, got {name!r}."
    )


def speed(points: np.ndarray) -> np.ndarray:
    """Distance a frame of positions [2, frames], by central differences: [frames]."""
    return np.hypot(*np.gradient(points, axis=-1)) if points.shape[-1] > 1 else 0.0 * points[0]


def angular_velocity(pose: Pose, references: Mapping[str, str | None]) -> np.ndarray:
    """Radians a frame by which the animal turns, [frames], by central differences; at the ends
    that of the frame beside."""
    names = list(references.values())
    for key, name in references.items():
        if name not in pose.keypoints:
            raise ValueError(
                f"{key}: angular_velocity needs one of {', '.join(pose.keypoints)}, got {name!r}."
            )
    x, y = direction(pose.points, *(pose.keypoints.index(str(name)) for name in names))
    turn = np.arctan2(y, x)
    steps = (turn[2:] - turn[:-2] + np.pi) % (2 * np.pi) - np.pi
    return np.pad(steps / 2, 1, mode="edge") if len(steps) else np.zeros(len(turn))


def split_pair(text: str, keypoints: tuple[str, ...]) -> tuple[str, str] | None:
    """The keypoints of "A-B", whose names may hold a hyphen themselves."""
    for place, letter in enumerate(text):
        if letter == "-" and text[:place] in keypoints and text[place + 1 :] in keypoints:
            return text[:place], text[place + 1 :]
    return None
