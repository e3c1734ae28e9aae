"""Candidate: a face to review, with the predictions that decide how much it is in doubt."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...geometry import Array


@dataclass(frozen=True, eq=False)
class Candidate:
    """A face that a person may review. Unknown arrays are nan."""

    image: Path
    image_size: tuple[int, int]
    """Width and height, pixels."""
    scheme: str
    box: Array
    """(4,), pixels of the image."""
    landmarks: Array
    """(N, 2): the annotation, or the prediction if there is none; nan if not annotated."""
    occluded: NDArray[np.bool_]
    """(N,): landmarks that cannot be seen."""
    sigma_px: Array
    """(N,): predicted uncertainty, pixels."""
    predicted: Array
    """(N, 2): landmarks by the model; equal to `landmarks` without annotation."""
    spread_px: Array = field(default_factory=lambda: np.array(np.nan))
    """(N,): standard deviation of predictions from moved boxes, pixels."""
    second: Array | None = None
    """(N, 2): a second opinion."""
    annotated: bool = False
    """True if `landmarks` are an annotation, False if they are the prediction."""

    def shown_opinion(self) -> Array | None:
        """Return the landmarks (N, 2) that are shown next to `landmarks`, or None."""
        if self.second is not None:
            return self.second
        known = self.annotated and np.isfinite(self.predicted).all()
        return self.predicted if known else None

    def start(self) -> Array:
        """Return `landmarks`, with the opinion or else the middle of the box for missing ones."""
        middle = (self.box[:2] + self.box[2:]) / 2
        opinion = self.shown_opinion()
        filler = np.broadcast_to(middle, self.landmarks.shape)
        if opinion is not None:
            filler = opinion
        missing = np.isnan(self.landmarks).any(1, keepdims=True)
        return np.where(missing, filler, self.landmarks)
