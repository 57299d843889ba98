"""Features besides positions: speeds, distances, angular velocity, and the user's rows."""

from collections.abc import Mapping

import numpy as np

from vrae.vame.keypoints import Pose, direction

_KINDS = "speed:KEYPOINT, distance:KEYPOINT-KEYPOINT, angular_velocity"


def extra_feature(name: str, pose: Pose, references: Mapping[str, str | None]) -> np.ndarray:
    """Compute the feature of a name.

    Args:
        name: "speed:nose": the distance that a keypoint moves per frame. "distance:nose-tail": the
            distance of two keypoints. "angular_velocity": radians per frame by which the direction
            from the centered to the orientation keypoint turns. Any other name: a row of
            `pose.extra`.
        pose: positions that are not aligned.
        references: the reference keypoints by the names of their keys.

    Returns:
        [frames] float64; NaN if a keypoint it needs is missing.

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
    """Compute the distance per frame by central differences.

    Args:
        points: [2, frames].

    Returns:
        [frames].
    """
    return np.hypot(*np.gradient(points, axis=-1)) if points.shape[-1] > 1 else 0.0 * points[0]


def angular_velocity(pose: Pose, references: Mapping[str, str | None]) -> np.ndarray:
    """Compute the radians per frame by which the animal turns, by central differences.

    The first and the last frame get the value of their neighbour.

    Args:
        pose: positions that are not aligned.
        references: the reference keypoints by the names of their keys.

    Returns:
        [frames].

    Raises:
        ValueError: a reference keypoint is missing.
    """
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
    """Split "A-B" into two keypoints, whose names may contain hyphens.

    Args:
        text: the names.
        keypoints: all keypoints.

    Returns:
        The two keypoints, or None.
    """
    for place, letter in enumerate(text):
        if letter == "-" and text[:place] in keypoints and text[place + 1 :] in keypoints:
            return text[:place], text[place + 1 :]
    return None
