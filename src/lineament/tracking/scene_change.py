"""Detection of sudden changes between frames, such as flashes and cuts."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..geometry import Array, Image
from ..opencv import cv2

THUMBNAIL = (24, 18)
"""Width and height of the thumbnails that are compared."""
MIN_DEVIATION = 0.02
"""Minimum standard deviation of a thumbnail; changes in a plain image are noise."""
MIN_SUDDEN_RATIO = 4
"""Ratio to the usual change above which a change is sudden."""


class SceneChange:
    """Measures sudden changes between consecutive frames of a video."""

    def __init__(self) -> None:
        self.thumbnail: Array | None = None
        self.usual = 0.0

    def __call__(self, image: Image) -> float:
        """Return the mean color change since the last frame, or 0 if it is not sudden.

        Args:
            image: RGB, (H, W, 3).

        Returns:
            The change, in standard deviations of the colors.
        """
        # averaging all pixels would take longer than running the model
        step = max(min(image.shape[:2]) // 96, 1)
        sampled = np.ascontiguousarray(image[::step, ::step])
        small = cv2.resize(sampled, THUMBNAIL, interpolation=cv2.INTER_AREA)
        thumbnail = np.asarray(small, np.float64) / 255
        # remove brightness and contrast, because a change of exposure is not a cut
        thumbnail -= thumbnail.mean((0, 1))
        thumbnail /= max(float(thumbnail.std()), MIN_DEVIATION)
        before = thumbnail if self.thumbnail is None else self.thumbnail
        change = float(np.abs(thumbnail - before).mean())
        sudden = change > MIN_SUDDEN_RATIO * self.usual
        self.thumbnail = thumbnail
        self.usual = 0.8 * self.usual + 0.2 * change
        return change if sudden else 0.0

    def state(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        thumbnail = None if self.thumbnail is None else self.thumbnail.tolist()
        return {"thumbnail": thumbnail, "usual": self.usual}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a stored `state`."""
        thumbnail = state["thumbnail"]
        self.thumbnail = None if thumbnail is None else np.array(thumbnail, np.float64)
        self.usual = state["usual"]
