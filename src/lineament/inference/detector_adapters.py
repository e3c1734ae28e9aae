"""Adapters for third-party detectors: OpenCV's YuNet and MediaPipe."""

import threading
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelError, missing_extra
from ..geometry import Array, Image, inset_boxes
from ..opencv import cv2
from .callable_detector import as_detector
from .detections import Detections, Detector, empty_detections

YUNET_TO_TIGHT = (0.01, 0.26, 0.01, 0.0)
"""Insets left, top, right, bottom, as fractions of the box side.

WIDER FACE's boxes include the forehead."""
MEDIAPIPE_TO_TIGHT = (0.036, 0.113, 0.036, -0.017)
"""Insets as fractions of the box side: medians on every third 300W training face."""


def eyes_roll_deg(right_eye: Array, left_eye: Array) -> Array:
    """Return the rolls (F,) of faces from the subject's eyes, (F, 2) each, pixels."""
    x, y = (left_eye - right_eye).T
    return np.asarray(np.rad2deg(np.arctan2(y, x)), np.float64)


def yunet(path: str | PathLike[str], threshold: float = 0.6) -> Detector:
    """Open OpenCV's YuNet from its ONNX file, face_detection_yunet_2023mar.onnx.

    Its five points are kept as landmarks of the scheme "five".

    Args:
        path: The file of OpenCV's model zoo.
        threshold: Minimum score of a face.

    Raises:
        ModelError: If the file is missing or not YuNet.
    """
    return as_detector(YuNet(Path(path), threshold), "five")


def mediapipe(threshold: float = 0.5, far: bool = True) -> Detector:
    """Open the face detection of the installed `mediapipe` package.

    Its six points belong to no scheme of this package and only give the roll.

    Args:
        threshold: Minimum score of a face.
        far: Use the model for faces more than two meters away.

    Raises:
        ExtraError: If MediaPipe is not installed or has no face detection of its own.
    """
    return as_detector(MediaPipe(threshold, far))


class YuNet:
    """YuNet as a callable; see `yunet`. Pickled as its constructor arguments."""

    def __init__(self, path: Path, threshold: float) -> None:
        self._made_of = (path.absolute(), threshold)
        if not path.is_file():
            raise ModelError(
                f"no YuNet at {path}; "
                "expected face_detection_yunet_2023mar.onnx of OpenCV's model zoo"
            )
        try:
            self._net: Any = cv2.FaceDetectorYN.create(
                str(path), "", (320, 320), threshold
            )
        except cv2.error as error:
            raise ModelError(
                f"{path}: OpenCV cannot open it as YuNet ({error}); "
                "expected its ONNX file"
            ) from error
        # the input size is state of the network, so threads must not interleave
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._made_of

    def __call__(self, image: Image) -> Detections:
        """Detect the faces of an RGB image."""
        with self._lock:
            self._net.setInputSize((image.shape[1], image.shape[0]))
            rows = self._net.detect(np.ascontiguousarray(image[..., ::-1]))[1]
        # x, y, width, height, five points in the order of the scheme, score
        rows = np.zeros((0, 15)) if rows is None else np.asarray(rows, dtype=np.float64)
        boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], 1)
        five = rows[:, 4:14].reshape(-1, 5, 2)
        rolls = eyes_roll_deg(five[:, 0], five[:, 1])
        return Detections(
            inset_boxes(boxes, YUNET_TO_TIGHT), rows[:, 14], rolls, five, "five"
        )


class MediaPipe:
    """MediaPipe as a callable; see `mediapipe`. Pickled as its constructor arguments."""

    def __init__(self, threshold: float, far: bool) -> None:
        self._made_of = (threshold, far)
        try:
            from mediapipe import solutions

            self._net: Any = solutions.face_detection.FaceDetection(int(far), threshold)
        except (ImportError, AttributeError) as error:
            raise missing_extra(
                "mediapipe (0.10.21 or older, which carries its models)", "mediapipe"
            ) from error
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._made_of

    def __call__(self, image: Image) -> Detections:
        """Detect the faces of an RGB image."""
        with self._lock:
            detections = self._net.process(np.ascontiguousarray(image)).detections or []
        if not detections:
            return empty_detections()
        boxes, eyes, scores = [], [], []
        for face in detections:
            area, points = face.location_data.relative_bounding_box, face.location_data
            boxes.append(
                [area.xmin, area.ymin, area.xmin + area.width, area.ymin + area.height]
            )
            right, left = points.relative_keypoints[:2]
            eyes.append([right.x, right.y, left.x, left.y])
            scores.append(face.score[0])
        size = np.array([image.shape[1], image.shape[0]] * 2)
        eyes_px = np.array(eyes) * size
        return Detections(
            inset_boxes(np.array(boxes) * size - 0.5, MEDIAPIPE_TO_TIGHT),
            np.array(scores, dtype=np.float64),
            eyes_roll_deg(eyes_px[:, :2], eyes_px[:, 2:]),
        )
