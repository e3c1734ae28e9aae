"""Viola-Jones: the cascade of Haar features in OpenCV's wheel; also dlib's HOG detector.

Depends on OpenCV's haarcascade_frontalface_default.xml, and on dlib for `dlib_hog`.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lineament.errors import ModelError, missing_extra
from lineament.geometry import Array, Image, inset_boxes

FILE = "haarcascade_frontalface_default.xml"
SCALE_STEP, NEIGHBORS, MIN_FACE_PX = 1.1, 3, 24
"""OpenCV's defaults, and the side of the window."""
HAAR_TO_TIGHT = (0.076, 0.238, 0.076, -0.065)
"""Insets left, top, right, bottom, in box sides, from the cascade's box to the landmark box.

Medians on every 25th face of 300W train, 100 found of 111 (left .089, right .064), with equal
sides. """


class ViolaJones:
    """Maps an RGB image to tight boxes (F, 4) and scores (F,)."""

    def __init__(self) -> None:
        path = Path(cv2.data.haarcascades) / FILE
        self.cascade = cv2.CascadeClassifier(str(path))
        if self.cascade.empty():
            raise ModelError(
                f"{path}: no cascade; expected OpenCV's own file in its wheel"
            )

    def __call__(self, image: Image) -> tuple[Array, Array]:
        """Detect faces; scores are the weights of the last stage."""
        gray = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
        rows, _, weights = self.cascade.detectMultiScale3(
            gray,
            SCALE_STEP,
            NEIGHBORS,
            minSize=(MIN_FACE_PX, MIN_FACE_PX),
            outputRejectLevels=True,
        )
        squares = np.array(rows, np.float64).reshape(-1, 4)
        boxes = (
            np.concatenate([squares[:, :2], squares[:, :2] + squares[:, 2:]], 1) - 0.5
        )
        scores = np.array(weights, np.float64).ravel()
        return inset_boxes(boxes, HAAR_TO_TIGHT), scores


class DlibHog:
    """Maps an RGB image to dlib's boxes (F, 4), unchanged, and scores (F,)."""

    def __init__(self) -> None:
        try:
            import dlib
        except ImportError as error:
            raise missing_extra("dlib", "bench") from error
        self.detector: Any = dlib.get_frontal_face_detector()

    def __call__(self, image: Image) -> tuple[Array, Array]:
        """Detect faces in the image enlarged by 2, as in dlib's examples."""
        rectangles, scores, _ = self.detector.run(np.ascontiguousarray(image), 1, 0.0)
        boxes = []
        for box in rectangles:
            boxes.append([box.left(), box.top(), box.right() + 1, box.bottom() + 1])
        rows = np.array(boxes, np.float64).reshape(-1, 4) - 0.5
        return rows, np.array(scores, np.float64)
