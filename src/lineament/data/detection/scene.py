"""One training image for the face detector with its labels, and rotation of boxes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...geometry import Array, affine_scale, apply_affine


@dataclass(frozen=True)
class Scene:
    """One training image."""

    image: NDArray[np.uint8]
    """RGB, (S, S, 3)."""
    boxes: Array
    """Tight face boxes, (F, 4), pixels; may extend beyond the image."""
    recognizable: NDArray[np.bool_]
    """Mask (F,): False for ignored faces that are cropped, covered or blurred."""
    five: Array
    """Eyes, nose tip and mouth corners, (F, 5, 2), pixels; nan if unknown."""
    labeled: NDArray[np.bool_]
    """Mask (S, S): True where every face is labeled, so background can be trained on."""


def rotate_boxes(boxes: Array, affine: Array) -> Array:
    """Return `boxes` (F, 4) after a similarity transform.

    The results are tight boxes around the transformed ellipses that are inscribed in `boxes`.
    """
    scale = affine_scale(affine)
    cos, sin = affine[0, :2] / scale
    centers = apply_affine(affine, (boxes[:, :2] + boxes[:, 2:]) / 2)
    a, b = ((boxes[:, 2:] - boxes[:, :2]) / 2 * scale).T
    half = np.stack([np.hypot(a * cos, b * sin), np.hypot(a * sin, b * cos)], 1)
    return np.concatenate([centers - half, centers + half], 1)
