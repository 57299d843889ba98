"""Conversion of CarRacing's 96x96 pictures to the 64x64 frames of World Models, with and without
the original's faults.
"""

import numpy as np
from PIL import Image

SIZE = 64
_ROWS = 84  # rows above the score bar


def plain(picture: np.ndarray) -> np.ndarray:
    """Cut off the score bar and resize with antialiasing.

    Args:
        picture: [96, 96, 3] uint8.

    Returns:
        [64, 64, 3] uint8.
    """
    return _resized(picture[:_ROWS])


def original(picture: np.ndarray) -> np.ndarray:
    """Convert a picture as the original's `_process_frame` does, byte for byte.

    It differs from `plain` in two faults. Its resize stretches each picture's minimum and maximum
    to 0 and 255, so that the brightness flickers. Its inversion subtracts 1 from every byte, so
    that black, 0, becomes 255.

    Args:
        picture: [96, 96, 3] uint8.

    Returns:
        [64, 64, 3] uint8.
    """
    values = picture[:_ROWS] / 255.0
    low, high = values.min(), values.max()
    stretched = (values - low) * (255.0 / ((high - low) or 1.0)) + 0.5
    return _resized(stretched.astype(np.uint8)) - np.uint8(1)  # wraps around


def _resized(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((SIZE, SIZE), Image.Resampling.BILINEAR))
