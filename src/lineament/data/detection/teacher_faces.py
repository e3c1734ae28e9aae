"""Faces that another detector found complete the labels of photos."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...geometry import Array, iou
from .photos import NO_FACE, SAME_FACE_IOU, Photo

CERTAIN_SCORE = 0.7
"""Score from which a face of the teacher is a face; below, neither face nor background."""
POINTS_SCORE = 0.6
"""Score from which the teacher's five points are used."""
CONTAINED = 0.6
"""Fraction of a box inside a labeled face from which it is not another face."""


def add_teacher_faces(photo: Photo, boxes: Array, scores: Array, five: Array) -> Photo:
    """Return `photo` with what a teacher found in it.

    Labeled faces without five points get the teacher's. If not all faces are labeled, the
    teacher's others are added, and then all are.

    Args:
        boxes: (K, 4), tight boxes, pixels.
        scores: (K,) in [0, 1].
        five: (K, 5, 2), pixels.
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
    """Return the largest fraction of each box (K, 4) that lies in one of `others` (F, 4)."""
    if not len(others) or not len(boxes):
        return np.zeros(len(boxes))
    top_left = np.maximum(boxes[:, None, :2], others[None, :, :2])
    bottom_right = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    inner = (bottom_right - top_left).clip(0).prod(2)  # (K, F)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return np.asarray(inner.max(1) / np.maximum(area, 1e-9), np.float64)
