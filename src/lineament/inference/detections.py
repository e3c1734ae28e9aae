"""Detections of faces in one image."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import SchemeError, ShapeError
from ..geometry import Array, Image
from ..schemes import scheme as load_scheme


@dataclass(frozen=True, eq=False)
class Detections:
    """The faces that a detector found in one image, best first."""

    boxes: Array
    """(F, 4): tight landmark boxes, pixels of the image."""
    scores: Array
    """(F,) in [0, 1]."""
    roll_deg: Array
    """(F,): clockwise roll of each face, in (-180, 180]; nan if unknown."""
    landmarks: Array | None = None
    """(F, K, 2), pixels of the image; None if the detector has none."""
    scheme: str | None = None
    """Scheme of `landmarks`."""

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, rows: Any) -> "Detections":
        """Return the faces selected by an index array or a mask."""
        landmarks = None if self.landmarks is None else self.landmarks[rows]
        kept = self.boxes[rows], self.scores[rows], self.roll_deg[rows]
        return Detections(*kept, landmarks, self.scheme)

    def resized(self, factor_x: float, factor_y: float) -> "Detections":
        """Return the faces in the image resized by these factors; pixels are areas."""
        factors = np.array([factor_x, factor_y])
        landmarks = self.landmarks
        if landmarks is not None:
            landmarks = (landmarks + 0.5) * factors - 0.5
        boxes = (self.boxes + 0.5) * np.tile(factors, 2) - 0.5
        return replace(self, boxes=boxes, landmarks=landmarks)

    def shifted(self, x: float, y: float) -> "Detections":
        """Return the faces moved by (x, y) pixels."""
        step = np.array([x, y])
        landmarks = None if self.landmarks is None else self.landmarks + step
        return replace(self, boxes=self.boxes + np.tile(step, 2), landmarks=landmarks)


Detector = Callable[[Image], Detections]
"""Maps an RGB uint8 image (H, W, 3) to its Detections."""


def empty_detections(scheme: str | None = None) -> Detections:
    """Return the Detections of an image without a face.

    Args:
        scheme: Scheme of the detector's landmarks, if any.
    """
    landmarks = None if scheme is None else np.zeros((0, len(load_scheme(scheme)), 2))
    return Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0), landmarks, scheme)


def concatenate(parts: list[Detections]) -> Detections:
    """Return the faces of all parts, in order.

    Raises:
        SchemeError: If the parts have landmarks of different schemes.
    """
    schemes = {part.scheme for part in parts}
    if len(schemes) > 1:
        raise SchemeError(
            f"detections of the schemes {', '.join(sorted(map(str, schemes)))} cannot be joined; "
            "convert their landmarks to one scheme"
        )
    landmarks = [part.landmarks for part in parts if part.landmarks is not None]
    return Detections(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.roll_deg for part in parts]),
        np.concatenate(landmarks) if landmarks else None,
        parts[0].scheme,
    )


def check_image(image: Image) -> None:
    """Raise ShapeError unless `image` is RGB uint8 (H, W, 3)."""
    is_array = isinstance(image, np.ndarray)
    if is_array and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        return
    actual = f"{image.dtype} {image.shape}" if is_array else type(image).__name__
    raise ShapeError(
        f"image is {actual}; "
        "expected uint8 (H, W, 3) in RGB: read it with lineament.read_image"
    )
