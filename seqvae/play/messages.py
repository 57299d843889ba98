"""Messages between the page and its sessions: checks of received messages, and arrays as JSON."""

import base64
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def whole(message: Mapping[str, Any], name: str, below: int) -> int:
    """Read a whole number of a message.

    Args:
        message: the message.
        name: of the number.
        below: the number is at least 0 and below this.

    Returns:
        The number.

    Raises:
        ValueError: it is missing, of another type, or out of range.
    """
    value = message.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < below:
        raise ValueError(f"{name}: expected a whole number from 0 to {below - 1}, got {value!r}.")
    return value


def number(message: Mapping[str, Any], name: str, low: float, high: float) -> float:
    """Read a number of a message.

    Args:
        message: the message.
        name: of the number.
        low: the least value.
        high: the largest value.

    Returns:
        The number.

    Raises:
        ValueError: it is missing, of another type, or out of range.
    """
    value = message.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name}: expected a number from {low:g} to {high:g}, got {value!r}.")
    return float(value)


def picture(pixels: np.ndarray) -> dict[str, Any]:
    """Write pixels for the page.

    Args:
        pixels: uint8 of any shape.

    Returns:
        `shape`, and `data` in base64.
    """
    data = base64.b64encode(np.ascontiguousarray(pixels, np.uint8).tobytes()).decode()
    return {"shape": list(pixels.shape), "data": data}


def rounded(values: np.ndarray, digits: int = 4) -> Any:
    """Write numbers for the page, with few digits; NaN and infinity become None.

    Args:
        values: of any shape.
        digits: significant digits, relative to the largest number.

    Returns:
        Nested lists, or a number.
    """
    values = np.asarray(values, float)
    fine = np.isfinite(values)
    largest = np.abs(values[fine]).max(initial=0.0)
    places = digits - 1 - (math.floor(math.log10(largest)) if largest else 0)
    return np.where(fine, np.round(values, places), np.array(None)).tolist()
