"""Sample images at complex positions x + iy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..opencv import cv2
from .shapes import Shapes

MAX_ROWS = 32_000
"""Rows of positions per call of OpenCV, which takes at most 32,766."""


def sample_nearest(maps: NDArray[np.float32], positions: Shapes) -> NDArray[np.float32]:
    """Return the values (F, ..., BINS) of the nearest pixels of maps (F, S, S, BINS)."""
    last = maps.shape[1] - 1
    x = np.clip(np.rint(positions.real), 0, last).astype(np.intp)
    y = np.clip(np.rint(positions.imag), 0, last).astype(np.intp)
    face = np.arange(len(maps)).reshape(-1, *[1] * (positions.ndim - 1))
    return maps[face, y, x]


def sample_bilinear(images: NDArray[Any], positions: Shapes) -> NDArray[np.float32]:
    """Return the values of images (F, S, S) at `positions` (F, ...), bilinearly interpolated."""
    values = np.empty(positions.shape, np.float32)
    for number, image in enumerate(images):
        floats = image.astype(np.float32)
        for start in range(0, positions.shape[1], MAX_ROWS):
            part = positions[number, start : start + MAX_ROWS]
            flat = part.reshape(len(part), -1)  # OpenCV needs two axes
            read = cv2.remap(
                floats,
                flat.real.astype(np.float32),
                flat.imag.astype(np.float32),
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
            values[number, start : start + MAX_ROWS] = read.reshape(part.shape)
    return values
