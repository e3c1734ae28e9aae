"""Detectors that users already have, as ours: OpenCV's YuNet file and MediaPipe, with boxes in our convention."""

import threading
from os import PathLike
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, missing_extra
from ..geometry import Array
from .face_detector import Detections, Detector, FaceDetector, as_detector, empty_detections

YUNET_TO_TIGHT = (0.01, 0.26, 0.01, 0.0)
"""Insets left, top, right, bottom: YuNet learnt WIDER FACE's boxes, which take in the forehead."""
MEDIAPIPE_TO_TIGHT = (0.036, 0.113, 0.036, -0.017)
"""Insets: medians between BlazeFace's boxes and the landmark boxes of every third face of 300W train."""


def to_tight(boxes: Array, insets: tuple[float, float, float, float]) -> Array:
    """`boxes` (F, 4) with each end moved inwards by a share of its side: left, top, right, bottom."""
    size = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    moved: Array = boxes + size * np.array([insets[0], insets[1], -insets[2], -insets[3]])
    return moved


def eyes_roll_deg(right_eye: Array, left_eye: Array) -> Array:
    """(F,) the roll of faces from the subject's right and left eye, (F, 2) each, pixels."""
    x, y = (left_eye - right_eye).T
    return np.asarray(np.rad2deg(np.arctan2(y, x)), np.float64)


def detector_of_file(path: str | PathLike[str]) -> Detector:
    """Open an .onnx file of a Lineament detector, or else OpenCV's YuNet.    Raises: ModelError."""
    try:
        return FaceDetector(path)
    except ModelError:
        return yunet(path)


def yunet(path: str | PathLike[str], threshold: float = 0.6) -> Detector:
    """OpenCV's YuNet from its own ONNX file, e.g. face_detection_yunet_2023mar.onnx.    Raises: ModelError."""
    if not Path(path).is_file():
        raise ModelError(
            f"no YuNet at {path}; wanted face_detection_yunet_2023mar.onnx of OpenCV's model zoo"
        )
    try:
        net: Any = cv2.FaceDetectorYN.create(str(path), "", (320, 320), threshold)
    except cv2.error as error:
        raise ModelError(
            f"{path}: OpenCV cannot open it as YuNet ({error}); wanted its ONNX file"
        ) from error
    # the input size is a state of the net, so two threads must not interleave
    lock = threading.Lock()

    def detect(image: NDArray[np.uint8]) -> Detections:
        with lock:
            net.setInputSize((image.shape[1], image.shape[0]))
            rows = net.detect(np.ascontiguousarray(image[..., ::-1]))[1]
        if rows is None or len(rows) == 0:
            return empty_detections()
        rows = np.asarray(
            rows, dtype=np.float64
        )  # x, y, w, h, five points (subject's right eye first), score
        boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], 1)
        return Detections(
            to_tight(boxes, YUNET_TO_TIGHT), rows[:, 14], eyes_roll_deg(rows[:, 4:6], rows[:, 6:8])
        )

    return as_detector(detect)


def mediapipe(threshold: float = 0.5, far: bool = True) -> Detector:
    """MediaPipe's face detection of the installed `mediapipe` package; far: its model for faces beyond two metres.

    Raises: ExtraError where MediaPipe is not installed or has no face detection of its own.
    """
    try:
        from mediapipe import solutions

        net: Any = solutions.face_detection.FaceDetection(int(far), threshold)
    except (ImportError, AttributeError) as error:
        raise missing_extra(
            "mediapipe (0.10.21 or older, which carries its models)", "mediapipe"
        ) from error
    lock = threading.Lock()

    def detect(image: NDArray[np.uint8]) -> Detections:
        with lock:
            found = net.process(np.ascontiguousarray(image)).detections or []
        if not found:
            return empty_detections()
        size = np.array([image.shape[1], image.shape[0]])
        areas = [face.location_data.relative_bounding_box for face in found]
        boxes = (
            np.array([[a.xmin, a.ymin, a.xmin + a.width, a.ymin + a.height] for a in areas])
            * np.tile(size, 2)
            - 0.5
        )
        points = [face.location_data.relative_keypoints for face in found]
        right, left = (np.array([[p[k].x, p[k].y] for p in points]) * size for k in (0, 1))
        scores = np.array([face.score[0] for face in found], dtype=np.float64)
        return Detections(to_tight(boxes, MEDIAPIPE_TO_TIGHT), scores, eyes_roll_deg(right, left))

    return as_detector(detect)
