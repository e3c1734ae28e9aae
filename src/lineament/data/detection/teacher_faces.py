"""Completion of photo labels by the detections of a teacher detector."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...geometry import Array, iou
from .photos import NO_FACE, SAME_FACE_IOU, Photo

CERTAIN_SCORE = 0.7
"""Minimum score of a positive teacher face; faces below it are ignored in training."""
POINTS_SCORE = 0.6
"""Minimum score for using the teacher's five points."""
CONTAINED = 0.6
"""Fraction of a box inside a labeled face above which it is not a separate face."""


def add_teacher_faces(photo: Photo, boxes: Array, scores: Array, five: Array) -> Photo:
    """Return `photo` with the teacher's detections added.

    Labeled faces without five points receive the teacher's. If not all faces were labeled, the
    teacher's other faces are added, and the photo then counts as fully labeled.

    Args:
        boxes: Tight boxes, (K, 4), pixels.
        scores: Detection scores, (K,), in [0, 1].
        five: Five points, (K, 5, 2), pixels.
    """
    if photo.kind in NO_FACE:
        return photo
    points = photo.five_points().copy()
    overlaps = iou(photo.boxes, boxes)  # (F, K)
    for face in range(len(points)):
        usable = overlaps[face] * (scores >= POINTS_SCORE)
        unknown = np.isnan(points[face]).all()
        if unknown and usable.max(initial=0.0) > SAME_FACE_IOU:
            points[face] = five[usable.argmax()]
    photo = replace(photo, five=points)
    if photo.all_labeled:
        return photo
    other = (overlaps.max(0, initial=0.0) < SAME_FACE_IOU) & (
        contained(boxes, photo.boxes) < CONTAINED
    )
    certain = scores[other] >= CERTAIN_SCORE
    return replace(
        photo,
        boxes=np.concatenate([photo.boxes, boxes[other]]),
        five=np.concatenate([points, five[other]]),
        certain=np.concatenate([photo.is_certain(), certain]),
        all_labeled=True,
    )


def contained(boxes: Array, others: Array) -> NDArray[np.float64]:
    """Return the largest fraction of each box (K, 4) contained in one of `others` (F, 4)."""
    if not len(others) or not len(boxes):
        return np.zeros(len(boxes))
    top_left = np.maximum(boxes[:, None, :2], others[None, :, :2])
    bottom_right = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    inner = (bottom_right - top_left).clip(0).prod(2)  # (K, F)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return np.asarray(inner.max(1) / np.maximum(area, 1e-9), np.float64)
