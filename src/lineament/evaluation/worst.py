"""The faces with the greatest errors, each drawn once, as many as are asked for."""

import base64
import heapq

import cv2
import numpy as np
from numpy.typing import NDArray

from ..crop import warp
from ..geometry import Array, apply_affine, box_center, box_side, crop_affine, landmark_box
from .report import WorstFace

SIDE = 224
PADDING = 1.6
LEAST = 32.0
"""Pixels of the image that are shown at least."""
TRUTH, PREDICTION = (60, 220, 90), (240, 60, 50)


def draw_errors(image: NDArray[np.uint8], truth: Array, pred: Array | None) -> NDArray[np.uint8]:
    """The face (SIDE, SIDE, 3): true points green, predicted points red and joined to them.

    image: RGB.    truth, pred: (N, 2), pixels of the image; true points that are nan are not drawn.
    """
    box = landmark_box(truth)
    if box_side(box) < LEAST:  # a protocol of one point
        box = box_center(box)[[0, 1, 0, 1]] + np.array([-1, -1, 1, 1]) * LEAST / 2
    affine = crop_affine(box, SIDE, PADDING)
    picture = warp(image, affine, SIDE)
    wanted = apply_affine(affine, truth)
    found = wanted if pred is None else apply_affine(affine, pred)
    for a, b in zip(wanted, found, strict=True):
        if not np.isfinite(a).all():
            continue
        start, end = (
            tuple(int(v) for v in np.clip(np.round(p * 8), -(2**15), 2**15)) for p in (a, b)
        )
        if pred is not None:
            cv2.line(picture, start, end, PREDICTION, 1, cv2.LINE_AA, shift=3)
            cv2.circle(picture, end, 12, PREDICTION, -1, cv2.LINE_AA, shift=3)
        cv2.circle(picture, start, 12, TRUTH, -1, cv2.LINE_AA, shift=3)
    return picture


class WorstFaces:
    """Keeps the `count` faces of greatest error; a face is drawn when it enters, so no picture is kept whole."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._heap: list[tuple[float, int, str, str]] = []
        self._offered = 0

    def offer(
        self, error: float, name: str, image: NDArray[np.uint8], truth: Array, pred: Array | None
    ) -> None:
        """Keep this face if it is among the worst so far; of equal errors the earlier one stays."""
        self._offered += 1
        if self.count < 1 or (len(self._heap) == self.count and error <= self._heap[0][0]):
            return
        encoded = cv2.imencode(
            ".jpg", cv2.cvtColor(draw_errors(image, truth, pred), cv2.COLOR_RGB2BGR)
        )[1]
        entry = (error, -self._offered, name, base64.b64encode(encoded.tobytes()).decode("ascii"))
        (heapq.heappush if len(self._heap) < self.count else heapq.heapreplace)(self._heap, entry)

    def faces(self) -> tuple[WorstFace, ...]:
        """Those kept, greatest error first."""
        return tuple(
            WorstFace(image=name, nme=None if error == float("inf") else error, picture=picture)
            for error, _, name, picture in sorted(self._heap, reverse=True)
        )
