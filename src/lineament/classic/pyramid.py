"""Gray crops at several scales, and shapes in pixels of each scale."""

import numpy as np
from numpy.typing import NDArray

from ..opencv import cv2
from .shapes import Shapes


def gray_crops(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert RGB crops (F, S, S, 3) to gray, (F, S, S)."""
    gray = np.empty(crops.shape[:3], np.uint8)
    for number, crop in enumerate(crops):
        gray[number] = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    return gray


def level_scale(level: int, levels: int) -> float:
    """Return the scale of a level; level 0 is the coarsest, the last one has scale 1."""
    return float(0.5 ** (levels - 1 - level))


def shrink(images: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Resize gray images (F, S, S) by `scale`, at most 1."""
    if scale == 1:
        return images
    side = round(images.shape[1] * scale)
    small = np.empty((len(images), side, side), np.uint8)
    for number, image in enumerate(images):
        small[number] = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return small


def to_level(shapes: Shapes, scale: float) -> Shapes:
    """Convert shapes to pixels of a level; the center of the first pixel is 0 on each level."""
    return np.asarray((shapes + (0.5 + 0.5j)) * scale - (0.5 + 0.5j))


def from_level(shapes: Shapes, scale: float) -> Shapes:
    """Convert shapes of a level to pixels of the crop; the inverse of `to_level`."""
    return np.asarray((shapes + (0.5 + 0.5j)) / scale - (0.5 + 0.5j))
