"""Non-maximum suppression of face boxes, and fusion of several scales."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..geometry import Array, iou
from .detections import Detections, concatenate

SMALLEST_PX, LARGEST_PX = 32, 224
"""Sides of the faces that one scale finds reliably, in pixels of the resized image."""
PRE_NMS_TOP_K = 1000
"""Candidates that enter the suppression, best first."""
SAME_IOU = 0.5
"""Overlap from which a candidate votes for a face."""
MIN_CANDIDATE_SCORE = 0.15
"""Candidates with lower scores are ignored; it stands in for absent votes."""

NESTED_PART = 0.7
"""Part of the smaller of two boxes within the other, above which they are nested."""
NESTED_AREA = 0.7
"""Area of the smaller of two nested boxes, as a part of the other's, at most; boxes of
more similar size are left to `nms`."""
IN_FRONT_AREA = 0.25
"""The same, below which a better box within another is a small face in front of it."""


def nms(found: Detections, max_iou: float) -> Detections:
    """Keep the best of overlapping detections.

    Args:
        found: Detections in any order; ties keep their order.
        max_iou: Overlap above which the lower-scored box is dropped.

    Returns:
        The kept detections, best first.
    """
    order = np.argsort(-found.scores, kind="stable")
    # row by row on bare columns: few boxes are kept, and a matrix of all overlaps would
    # take most of the time of a large face
    x0, y0, x1, y1 = np.ascontiguousarray(found.boxes[order].T)
    area = (x1 - x0) * (y1 - y0)
    alive, kept = np.ones(len(order), bool), []
    for i in range(len(order)):
        if not alive[i]:
            continue
        kept.append(i)
        width = np.minimum(x1, x1[i]) - np.maximum(x0, x0[i])
        height = np.minimum(y1, y1[i]) - np.maximum(y0, y0[i])
        inner = np.maximum(width, 0) * np.maximum(height, 0)
        # inner / union > max_iou without dividing; empty boxes overlap nothing
        alive &= inner * (1 + max_iou) <= max_iou * (area + area[i])
    return found.take(order[kept])


def is_nested(box: Array, better: Array) -> bool:
    """Return whether a box shows part of a better face, or that face with more around it.

    Both mean that one person was found twice: an eye, an ear, the same half face. Of the
    5,214 annotated faces of `masks` and `wider`, one is nested in another by chance.

    Args:
        box: (4,), pixels.
        better: (4,), with a higher score.
    """
    inner = np.minimum(box[2:], better[2:]) - np.maximum(box[:2], better[:2])
    area, better_area = (box[2:] - box[:2]).prod(), (better[2:] - better[:2]).prod()
    small, large = sorted((area, better_area))
    if small > NESTED_AREA * large or better_area < IN_FRONT_AREA * area:
        return False
    return bool(np.maximum(inner, 0).prod() > NESTED_PART * small)


def drop_nested(found: Detections) -> Detections:
    """Drop the detections that are nested with a better one.

    Args:
        found: Detections, best first.
    """
    kept: list[int] = []
    for row, box in enumerate(found.boxes):
        if not any(is_nested(box, found.boxes[better]) for better in kept):
            kept.append(row)
    return found.take(kept)


def fuse_scales(
    scales: list[tuple[float, Detections]],
    votes: int,
    max_iou: float,
    min_score: float = 0.0,
) -> Detections:
    """Fuse the candidates of one image at several scales, scored by their agreement.

    The score of a face is the mean, over the scales in range of its size, of its best
    candidates there; an absent one counts as `MIN_CANDIDATE_SCORE`.

    Args:
        scales: Scale and candidates of each pass, finest first.
        votes: Number of candidates per scale that enter the mean.
        max_iou: Overlap above which candidates are one face.
        min_score: Faces without a candidate above this score are left out early; their
            own score could not be above it either.

    Returns:
        The faces, best first.
    """
    in_range = []
    for index, (scale, found) in enumerate(scales):
        in_range.append(
            found.take(in_scale_range(found.boxes, scale, index, len(scales)))
        )
    candidates = concatenate(in_range)
    if min_score > MIN_CANDIDATE_SCORE:
        # before the suppression, which takes a step per box that it keeps
        strong = np.concatenate(
            [found.boxes[found.scores > min_score] for _, found in scales]
        )
        near = iou(candidates.boxes, strong) > SAME_IOU
        candidates = candidates.take(near.any(1))
    best = np.argsort(-candidates.scores, kind="stable")[:PRE_NMS_TOP_K]
    kept = nms(candidates.take(best), max_iou)
    total, asked = np.zeros(len(kept)), np.zeros(len(kept))
    for index, (scale, found) in enumerate(scales):
        mine = in_scale_range(kept.boxes, scale, index, len(scales))
        cast = np.where(
            iou(kept.boxes, found.boxes) > SAME_IOU, found.scores, MIN_CANDIDATE_SCORE
        )
        absent = np.full((len(cast), votes), MIN_CANDIDATE_SCORE)
        cast = np.concatenate([cast, absent], axis=1)
        total += mine * -np.sort(-cast, axis=1)[:, :votes].mean(1)
        asked += mine
    scores = total / np.maximum(asked, 1)
    scored = replace(kept, scores=scores)
    return scored.take(np.argsort(-scores, kind="stable"))


def in_scale_range(
    boxes: Array, scale: float, index: int, count: int
) -> NDArray[np.bool_]:
    """Return which boxes (F,) have a size that a scale finds reliably.

    Args:
        boxes: (F, 4), pixels of the image.
        scale: Pixels of the resized image per image pixel.
        index: Place of the scale among all, finest first; the finest also takes smaller
            faces, the coarsest larger ones.
        count: Number of scales.
    """
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    sides = np.sqrt(width * height) * scale
    large_enough = (sides >= SMALLEST_PX) | (index == 0)
    return np.asarray(large_enough & ((sides <= LARGEST_PX) | (index == count - 1)))
