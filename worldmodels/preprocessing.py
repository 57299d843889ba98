"""From CarRacing's 96x96 pictures to the 64x64 frames of World Models, as the original makes them
and without its faults."""

import numpy as np
from PIL import Image

SIZE = 64
_ROWS = 84  # below them is the score bar


def plain(picture: np.ndarray) -> np.ndarray:
    """[96, 96, 3] uint8 -> [64, 64, 3] uint8: the score bar cut off, resized with antialiasing."""
    return _resized(picture[:_ROWS])


def original(picture: np.ndarray) -> np.ndarray:
    """As `plain`, with what the original's `_process_frame` does besides, byte for byte.

    Its resize stretches each picture's own least and greatest value to 0 and 255, so brightness
    flickers; its inversion of what is already 0 to 255 takes 1 off every byte, so black, 0, becomes
    255.
    """
    values = picture[:_ROWS] / 255.0
    low, high = values.min(), values.max()
    stretched = (values - low) * (255.0 / ((high - low) or 1.0)) + 0.5
    return _resized(stretched.astype(np.uint8)) - np.uint8(1)  # wraps around


def _resized(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((SIZE, SIZE), Image.Resampling.BILINEAR))
