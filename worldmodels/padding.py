"""Episodes of different lengths as one batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from seqvae.checks import Array


def padded(episodes: Sequence[dict[str, Array]]) -> dict[str, np.ndarray]:
    """Join episodes of different lengths to a batch, with zeros after the last step.

    Args:
        episodes: each a dict of arrays [T, ...] such as `z`, `actions`, `rewards`, `done`, as in
            `MDNRNN.fit`. T may differ between episodes, the names may not.

    Returns:
        The arrays [N, longest T, ...], and `mask` [N, longest T], 1 for a step and 0 for padding.

    Raises:
        ValueError: there are no episodes, or the arrays of an episode do not fit; the message names
            it.
    """
    if not episodes:
        raise ValueError("episodes: expected at least one, got none.")
    parts = [{name: np.asarray(value) for name, value in each.items()} for each in episodes]
    names = parts[0].keys()
    lengths = []
    for i, arrays in enumerate(parts):
        if arrays.keys() != names:
            raise ValueError(
                f"episodes: expected {', '.join(names)} in each as in the first, got "
                f"{', '.join(arrays)} in episode {i}."
            )
        steps = {name: value.shape[0] if value.ndim else 0 for name, value in arrays.items()}
        if len(set(steps.values())) != 1:
            raise ValueError(f"episodes: arrays of different lengths in episode {i}, {steps}.")
        for name, value in arrays.items():
            if value.shape[1:] != parts[0][name].shape[1:]:
                raise ValueError(
                    f"episodes: expected steps of the shape {parts[0][name].shape[1:]} in {name} "
                    f"as in the first, got {value.shape[1:]} in episode {i}."
                )
        lengths.append(next(iter(steps.values())))
    longest = max(lengths)
    batch = {name: np.stack([_longer(arrays[name], longest) for arrays in parts]) for name in names}
    return batch | {"mask": (np.arange(longest) < np.array(lengths)[:, None]).astype(np.float32)}


def are_episodes(data: Any) -> bool:
    """Check whether data are single episodes rather than a batch.

    Args:
        data: the data.

    Returns:
        True for a list of dicts, and for a dict of lists of arrays [T, ...] whose lengths differ.
    """
    if isinstance(data, list):
        return bool(data) and all(isinstance(each, dict) for each in data)
    if not isinstance(data, dict) or not all(isinstance(v, list) and v for v in data.values()):
        return False
    lengths = {len(part) if np.ndim(part) else 0 for value in data.values() for part in value}
    return len({len(value) for value in data.values()}) == 1 and len(lengths) > 1


def episodes_as_batch(data: list[dict] | dict[str, list]) -> dict[str, np.ndarray]:
    """Join episodes in a form that `are_episodes` accepts, see `padded`.

    Args:
        data: a list of dicts, or a dict of lists.

    Returns:
        The arrays and the mask of `padded`.
    """
    if isinstance(data, list):
        return padded(data)
    count = len(next(iter(data.values())))
    return padded([{name: value[i] for name, value in data.items()} for i in range(count)])


def _longer(value: np.ndarray, length: int) -> np.ndarray:
    return np.pad(value, [(0, length - len(value))] + [(0, 0)] * (value.ndim - 1))
