"""DPM-CNN as a face detector: two passes over windows, or over another detector's boxes.

Source: Sun et al. 2020, section 2.3; the search is chosen here. Depends on ONNX Runtime.
"""

import math
from os import PathLike
from pathlib import Path

import numpy as np

from ..crop import crop_boxes
from ..geometry import Array, Image, apply_affine, invert_affine
from .detections import (
    Detections,
    Detector,
    check_image,
    concatenate,
    empty_detections,
)
from .detector_adapters import eyes_roll_deg
from .min_face import parse_min_face
from .model_files import read_card
from .nms import drop_nested, nms
from .onnx_model import open_session, read_metadata

KIND = "dpm-cnn"
"""Kind in the metadata of the file."""
MIN_FACE = 0.1
"""Default smallest face, as a multiple of the longer side of the image."""
SCALE_STEP, STRIDE = 1.4, 0.3
"""Factor between the face sides of scales, and distance between windows in face sides."""
FIRST_SCORE, FIRST_IOU, MAX_CANDIDATES = 0.2, 0.5, 100
"""Minimum score, overlap of suppression and number of windows for the second pass."""
NMS_IOU = 0.4
"""Overlap above which the lower-scored of two faces is dropped."""
CHUNK = 64
"""Windows per call of ONNX Runtime."""
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)


class DpmCnnDetector:
    """Detect faces with DPM-CNN; landmarks are coarse. Thread-safe and deterministic."""

    scheme = "ibug68"

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        proposals: Detector | None = None,
        threshold: float | None = None,
        min_face: float | str | None = None,
        threads: int = 1,
    ) -> None:
        """Open a file of `lineament export`.

        Args:
            path: The .onnx file.
            proposals: Another detector, at a low threshold, whose boxes are refined and scored;
                None: windows at all positions and sizes.
            threshold: Minimum score of a face; None: the file's.
            min_face: Smallest face to find, see `FaceDetector`; None: a tenth of the longer side
                of the image. Not used with `proposals`.
            threads: Threads of ONNX Runtime.

        Raises:
            InputError: If `min_face` is not a size.
            ModelError: If the file is missing, broken or of another kind.
        """
        self.min_face = MIN_FACE if min_face is None else parse_min_face(min_face)
        self.path, self.proposals = Path(path), proposals
        self.session = open_session(self.path, threads)
        self.metadata = read_metadata(self.session, self.path, KIND)
        self.card = read_card(self.path)
        stated = float(self.metadata["threshold"])
        self.threshold = stated if threshold is None else threshold

    def __call__(self, image: Image) -> Detections:
        """Detect the faces of an RGB uint8 image (H, W, 3).

        Raises:
            ShapeError: If the image has another type or shape.
        """
        check_image(image)
        if min(image.shape[:2]) == 0:
            return empty_detections(self.scheme)
        first = self.score_windows(image, self.candidates(image))
        first = nms(first.take(first.scores > FIRST_SCORE), FIRST_IOU)
        second = self.score_windows(image, first.boxes[:MAX_CANDIDATES])
        detections = nms(second.take(second.scores > self.threshold), NMS_IOU)
        return drop_nested(detections)

    def candidates(self, image: Image) -> Array:
        """Return the boxes (K, 4) of the first pass."""
        if self.proposals is not None:
            return self.proposals(image).boxes
        side = self.min_face
        if side <= 1:
            # in a long image, a face cannot be larger than the shorter side
            side = min(side * max(image.shape[:2]), min(image.shape[:2]))
        return window_boxes(image.shape, side)

    def score_windows(self, image: Image, boxes: Array) -> Detections:
        """Run the network on windows around `boxes` (K, 4); return detections in their order."""
        size, padding = int(self.metadata["size"]), float(self.metadata["padding"])
        detections = [empty_detections(self.scheme)]
        for start in range(0, len(boxes), CHUNK):
            part = boxes[start : start + CHUNK]
            windows, affines = crop_boxes(image, part, size, padding)
            corners, landmarks, scores = self.session.run(None, {"windows": windows})
            detections.append(_in_image(corners, landmarks, scores, affines))
        return concatenate(detections)


def window_boxes(shape: tuple[int, ...], smallest: float) -> Array:
    """Return face squares (K, 4) at all positions of an image (H, W).

    Their sides grow from `smallest` pixels by SCALE_STEP; the last is the image's shorter side.
    """
    height, width = shape[:2]
    largest, side = float(min(height, width)), float(smallest)
    sides = [largest] if side <= largest else []
    while side < largest:
        sides.append(side)
        side *= SCALE_STEP
    squares = [np.zeros((0, 4))]
    for side in sides:
        columns = _starts(width, side)
        rows = _starts(height, side)
        x, y = np.meshgrid(columns, rows)
        corners = np.stack([x.ravel(), y.ravel()], axis=1)
        squares.append(np.concatenate([corners, corners + side], axis=1))
    return np.concatenate(squares)


def _starts(length: int, side: float) -> Array:
    """Return the starts of windows of `side`, evenly spread over an axis."""
    count = math.ceil((length - side) / (STRIDE * side)) + 1
    return np.linspace(-0.5, length - side - 0.5, count)


def _in_image(
    boxes: Array, landmarks: Array, scores: Array, affines: Array
) -> Detections:
    """Convert the output for windows to detections in the image.

    Args:
        boxes, landmarks, scores: (K, 4), (K, 68, 2), (K,), pixels of the windows.
        affines: image_to_crop, (K, 2, 3).
    """
    image_boxes = np.empty_like(boxes, np.float64)
    points = np.empty_like(landmarks, np.float64)
    for row, affine in enumerate(affines):
        to_image = invert_affine(affine)
        corners = apply_affine(to_image, boxes[row].reshape(2, 2))
        image_boxes[row] = corners.ravel()
        points[row] = apply_affine(to_image, landmarks[row])
    right, left = points[:, RIGHT_EYE].mean(1), points[:, LEFT_EYE].mean(1)
    rolls = eyes_roll_deg(right, left)
    detections = Detections(
        image_boxes, scores.astype(np.float64), rolls, points, "ibug68"
    )
    # an untrained network may predict empty boxes
    return detections.take((image_boxes[:, 2:] > image_boxes[:, :2] + 1e-3).all(1))
