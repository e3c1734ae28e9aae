"""Candidate: a face to review, with the predictions that determine its priority."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...geometry import Array


@dataclass(frozen=True, eq=False)
class Candidate:
    """A face that may be reviewed. Unknown arrays are nan."""

    image: Path
    image_size: tuple[int, int]
    """Width and height, pixels."""
    scheme: str
    box: Array
    """(4,), pixels of the image."""
    landmarks: Array
    """Annotated landmarks or, without annotation, predictions, (N, 2); nan if not annotated."""
    occluded: NDArray[np.bool_]
    """Mask (N,) of landmarks that are not visible."""
    sigma_px: Array
    """Predicted uncertainty, (N,), pixels."""
    predicted: Array
    """Landmarks predicted by the model, (N, 2); equal to `landmarks` without annotation."""
    spread_px: Array = field(default_factory=lambda: np.array(np.nan))
    """Standard deviation over predictions from shifted boxes, (N,), pixels."""
    second: Array | None = None
    """Landmarks predicted by a second model, (N, 2), or None."""
    annotated: bool = False
    """True if `landmarks` are annotations, False if they are predictions."""

    def compared_landmarks(self) -> Array | None:
        """Return the landmarks (N, 2) shown for comparison next to `landmarks`, or None."""
        if self.second is not None:
            return self.second
        known = self.annotated and np.isfinite(self.predicted).all()
        return self.predicted if known else None

    def start(self) -> Array:
        """Return `landmarks`, missing ones replaced by predictions or the center of the box."""
        middle = (self.box[:2] + self.box[2:]) / 2
        compared = self.compared_landmarks()
        filler = np.broadcast_to(middle, self.landmarks.shape)
        if compared is not None:
            filler = compared
        missing = np.isnan(self.landmarks).any(1, keepdims=True)
        return np.where(missing, filler, self.landmarks)
