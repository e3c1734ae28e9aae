"""One training image of the face detector and its labels; boxes that turn with it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...geometry import Array, affine_scale, apply_affine


@dataclass(frozen=True)
class Scene:
    """One training image."""

    image: NDArray[np.uint8]
    """(S, S, 3) RGB."""
    boxes: Array
    """(F, 4) tight boxes, pixels; they may reach over the edge."""
    recognizable: NDArray[np.bool_]
    """(F,) False for faces that are neither face nor background: cropped, covered, blurred."""
    five: Array
    """(F, 5, 2) eyes, nose tip, mouth corners, pixels; nan if unknown."""
    labeled: NDArray[np.bool_]
    """(S, S) True where a face would have a box."""


def turn_boxes(boxes: Array, affine: Array) -> Array:
    """Return `boxes` (F, 4) after a similarity: each around the turned ellipse that filled it."""
    scale = affine_scale(affine)
    cos, sin = affine[0, :2] / scale
    centers = apply_affine(affine, (boxes[:, :2] + boxes[:, 2:]) / 2)
    a, b = ((boxes[:, 2:] - boxes[:, :2]) / 2 * scale).T
    half = np.stack([np.hypot(a * cos, b * sin), np.hypot(a * sin, b * cos)], 1)
    return np.concatenate([centers - half, centers + half], 1)
