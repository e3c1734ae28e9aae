"""Collect and draw the faces with the largest errors for the report; depends on OpenCV."""

import base64
import heapq

import numpy as np
from numpy.typing import NDArray

from ..crop import warp
from ..geometry import (
    Array,
    apply_affine,
    box_center,
    box_side,
    crop_affine,
    landmark_box,
)
from ..opencv import cv2
from .report import WorstFace

SIDE = 224
PADDING = 1.6
MIN_BOX_SIDE_PX = 32.0
"""Minimum side of the box a crop is taken around, for protocols with a single point."""
TRUTH, PREDICTION = (60, 220, 90), (240, 60, 50)
SUBPIXEL_BITS = 3


def draw_errors(
    image: NDArray[np.uint8], truth: Array, pred: Array | None
) -> NDArray[np.uint8]:
    """Return a crop (SIDE, SIDE, 3) with true points in green, predictions in red, joined by lines.

    Args:
        image: RGB image, (H, W, 3).
        truth: True landmarks, (N, 2), pixels; points that are nan are not drawn.
        pred: Predicted landmarks, (N, 2), pixels; None for a missed face.
    """
    box = landmark_box(truth)
    if box_side(box) < MIN_BOX_SIDE_PX:
        half = MIN_BOX_SIDE_PX / 2
        box = np.concatenate([box_center(box) - half, box_center(box) + half])
    affine = crop_affine(box, SIDE, PADDING)
    crop = warp(image, affine, SIDE)
    starts = apply_affine(affine, truth)
    ends = starts if pred is None else apply_affine(affine, pred)
    for start, end in zip(starts, ends, strict=True):
        if not np.isfinite(start).all():
            continue
        if pred is not None:
            line = (_fixed(start), _fixed(end))
            cv2.line(crop, *line, PREDICTION, 1, cv2.LINE_AA, shift=SUBPIXEL_BITS)
            _dot(crop, end, PREDICTION)
        _dot(crop, start, TRUTH)
    return crop


def _fixed(point: Array) -> tuple[int, int]:
    """Return a point as OpenCV fixed-point coordinates, clipped to their range."""
    x, y = np.clip(np.round(point * 2**SUBPIXEL_BITS), -(2**15), 2**15)
    return int(x), int(y)


def _dot(image: NDArray[np.uint8], point: Array, color: tuple[int, int, int]) -> None:
    cv2.circle(image, _fixed(point), 12, color, -1, cv2.LINE_AA, shift=SUBPIXEL_BITS)


class WorstFaces:
    """Keeps the `count` faces with the largest errors, drawing each when it is added."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._heap: list[tuple[float, int, str, str]] = []
        self._added = 0

    def add(
        self,
        error: float,
        name: str,
        image: NDArray[np.uint8],
        truth: Array,
        pred: Array | None,
    ) -> None:
        """Keep this face if it is among the worst so far; on ties, keep the earlier one.

        Arguments are as in `draw_errors`; `error` is inf if the face was missed.
        """
        self._added += 1
        if self.count < 1 or (
            len(self._heap) == self.count and error <= self._heap[0][0]
        ):
            return
        crop = cv2.cvtColor(draw_errors(image, truth, pred), cv2.COLOR_RGB2BGR)
        data = cv2.imencode(".jpg", crop)[1].tobytes()
        jpeg = base64.b64encode(data).decode("ascii")
        heapq.heappush(self._heap, (error, -self._added, name, jpeg))
        if len(self._heap) > self.count:
            heapq.heappop(self._heap)

    def faces(self) -> tuple[WorstFace, ...]:
        """Return the kept faces, largest error first."""
        found = []
        for error, _, name, jpeg in sorted(self._heap, reverse=True):
            nme = None if error == float("inf") else error
            found.append(WorstFace(image=name, nme=nme, jpeg=jpeg))
        return tuple(found)
