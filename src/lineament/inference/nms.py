"""Non-maximum suppression of face boxes, and fusion of several scales."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..geometry import Array, iou
from .detections import Detections, concatenate

SMALLEST_PX = 32
"""Side of the smallest face for which a coarser scale counts, pixels of its resized image."""
PRE_NMS_TOP_K = 1000
"""Number of best candidates that enter non-maximum suppression."""
SAME_IOU = 0.5
"""Minimum overlap of a candidate that votes for a face."""
MIN_CANDIDATE_SCORE = 0.15
"""Minimum score of candidates; also the value of missing votes."""

NESTED_PART = 0.7
"""Fraction of the smaller box inside the other above which two boxes are nested."""
NESTED_AREA = 0.7
"""Maximum area ratio of nested boxes; boxes of more similar size are handled by `nms`."""
IN_FRONT_AREA = 0.25
"""Area ratio below which a better box inside another is a small face in front of it."""


def nms(found: Detections, max_iou: float) -> Detections:
    """Keep the best of overlapping detections.

    Args:
        found: Detections in any order; ties keep their order.
        max_iou: Overlap above which the lower-scored box is dropped.

    Returns:
        The kept detections, best first.
    """
    order = np.argsort(-found.scores, kind="stable")
    # row by row on plain columns: few boxes are kept, and computing a matrix of all
    # overlaps would dominate the time for a large face
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
        # inner / union > max_iou without division; empty boxes do not overlap
        alive &= inner * (1 + max_iou) <= max_iou * (area + area[i])
    return found.take(order[kept])


def vote(kept: Detections, candidates: Detections) -> Detections:
    """Average boxes and landmarks over the candidates of the same face, by squared score.

    Source: Gidaris and Komodakis 2015, section 5, box voting.

    Args:
        kept: Some of the candidates.
        candidates: All candidates of one image.
    """
    is_same = iou(kept.boxes, candidates.boxes) > SAME_IOU
    weights = is_same * candidates.scores**2
    weights /= weights.sum(1, keepdims=True)
    landmarks = kept.landmarks
    if landmarks is not None and candidates.landmarks is not None:
        landmarks = np.einsum("kf,fnc->knc", weights, candidates.landmarks)
    return replace(kept, boxes=weights @ candidates.boxes, landmarks=landmarks)


def is_nested(box: Array, better: Array) -> bool:
    """Return whether a box is a part of a better face, or contains it with a margin.

    In both cases, one person was detected twice, for example an eye or half a face. Faces of
    two people are rarely nested.

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
    largest_px: float,
    min_score: float = 0.0,
) -> Detections:
    """Fuse the candidates of one image at several scales, scored by their agreement.

    The score of a face is the mean score of its best candidates at the scales whose range
    includes its size. A missing candidate counts as `MIN_CANDIDATE_SCORE`. The box is the
    mean of the candidates in range.

    Args:
        scales: Scale and candidates of each pass, finest first.
        votes: Number of candidates per scale that enter the mean.
        max_iou: Overlap above which candidates are the same face.
        largest_px: Side of the largest face that a scale detects reliably, pixels of its
            image; the coarsest scale also covers larger ones.
        min_score: Faces without a candidate above this score are dropped early, as their
            mean score cannot exceed it.

    Returns:
        The faces, best first.
    """
    in_range = []
    ranges = scale_ranges([scale for scale, _ in scales], largest_px)
    for (_, detections), limits in zip(scales, ranges, strict=True):
        in_range.append(detections.take(is_in_range(detections.boxes, limits)))
    candidates = concatenate(in_range)
    if min_score > MIN_CANDIDATE_SCORE:
        # before suppression, whose time grows with the number of boxes kept
        strong = np.concatenate(
            [
                detections.boxes[detections.scores > min_score]
                for _, detections in scales
            ]
        )
        near = iou(candidates.boxes, strong) > SAME_IOU
        candidates = candidates.take(near.any(1))
    best = np.argsort(-candidates.scores, kind="stable")[:PRE_NMS_TOP_K]
    candidates = candidates.take(best)
    kept = vote(nms(candidates, max_iou), candidates)
    total, scale_count = np.zeros(len(kept)), np.zeros(len(kept))
    for (_, detections), limits in zip(scales, ranges, strict=True):
        in_scale = is_in_range(kept.boxes, limits)
        box_votes = np.where(
            iou(kept.boxes, detections.boxes) > SAME_IOU,
            detections.scores,
            MIN_CANDIDATE_SCORE,
        )
        absent = np.full((len(box_votes), votes), MIN_CANDIDATE_SCORE)
        box_votes = np.concatenate([box_votes, absent], axis=1)
        total += in_scale * -np.sort(-box_votes, axis=1)[:, :votes].mean(1)
        scale_count += in_scale
    scores = total / np.maximum(scale_count, 1)
    scored = replace(kept, scores=scores)
    return scored.take(np.argsort(-scores, kind="stable"))


def scale_ranges(scales: list[float], largest_px: float) -> list[tuple[float, float]]:
    """Return the range of face sides that each scale detects reliably, image pixels.

    The finest scale also covers smaller faces, the coarsest larger ones.

    Args:
        scales: Pixels of the resized image per image pixel, finest first.
        largest_px: As in `fuse_scales`.
    """
    ranges = [(SMALLEST_PX / scale, largest_px / scale) for scale in scales]
    ranges[0] = (0.0, ranges[0][1])
    ranges[-1] = (ranges[-1][0], np.inf)
    return ranges


def is_in_range(boxes: Array, limits: tuple[float, float]) -> NDArray[np.bool_]:
    """Return a mask (F,) of the boxes (F, 4) whose sqrt(area) is within `limits`."""
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    sides = np.sqrt(width * height)
    return np.asarray((sides >= limits[0]) & (sides <= limits[1]))
