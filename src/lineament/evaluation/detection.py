"""How well a face detector finds faces: recall by set, false faces on pictures without a face, milliseconds."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.detection.photos import Photo
from ..geometry import Array, iou
from .matching import match_boxes

RECALL_IOU = 0.35
"""A face counts as found where a box overlaps its tight box by at least this much."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a detector said of one photo, at a low threshold."""

    boxes: Array
    """(F, 4) tight boxes."""
    scores: Array
    """(F,)"""
    roll_deg: Array
    """(F,) nan where not said."""


@dataclass(frozen=True)
class Recall:
    """Of one set at one threshold."""

    faces: int
    found: int
    false: int
    """Boxes on no labeled face, small or large; in photos with unlabeled faces this says little."""

    @property
    def share(self) -> float:
        """found / faces; nan without faces."""
        return self.found / self.faces if self.faces else float("nan")


def find_all(
    detect: Callable[[NDArray[np.uint8]], tuple[Array, Array, Array]],
    images: Sequence[NDArray[np.uint8]],
) -> tuple[list[Found], float]:
    """What the detector says of each image, and its median milliseconds an image."""
    found, times = [], []
    for image in images:
        began = time.perf_counter()
        boxes, scores, roll_deg = detect(image)
        times.append(1000 * (time.perf_counter() - began))
        found.append(Found(boxes, scores, roll_deg))
    return found, float(np.median(times)) if times else float("nan")


def counted_faces(photo: Photo, smallest: float) -> NDArray[np.bool_]:
    """(F,) which faces must be found: those whose box, as the set gives it, is at least `smallest` pixels high."""
    heights = photo.boxes[:, 3] - photo.boxes[:, 1] if photo.given_heights is None else photo.given_heights
    return np.asarray(heights >= smallest)


def recall(
    photos: Sequence[Photo], found: Sequence[Found], threshold: float, smallest: float = 0.0
) -> Recall:
    """Faces found at `threshold`: each box may find one face, boxes with higher scores choose first."""
    faces = hits = false = 0
    for photo, one in zip(photos, found, strict=True):
        keep = one.scores > threshold
        pairs = match_boxes(photo.boxes, one.boxes[keep], RECALL_IOU, one.scores[keep])
        wanted = counted_faces(photo, smallest)
        overlaps = iou(photo.boxes, one.boxes[keep])
        false += int((overlaps.max(0, initial=0.0) < RECALL_IOU).sum())
        faces += int(wanted.sum())
        hits += sum(bool(wanted[face]) for face, _ in pairs)
    return Recall(faces, hits, false)


def pictures_with_false_faces(found: Sequence[Found], threshold: float) -> int:
    """How many false faces pictures without a face got in all."""
    return int(sum((one.scores > threshold).sum() for one in found))


def roll_errors_deg(photos: Sequence[Photo], found: Sequence[Found], threshold: float) -> Array:
    """Absolute errors of the roll, degrees in [0, 180], on the faces found that have landmarks."""
    errors = []
    for photo, one in zip(photos, found, strict=True):
        keep = (one.scores > threshold) & np.isfinite(one.roll_deg)
        if photo.landmarks is None or not keep.any():
            continue
        for face, box in match_boxes(photo.boxes, one.boxes[keep], RECALL_IOU):
            miss = one.roll_deg[keep][box] - photo.roll_deg()[face]
            errors.append(abs((miss + 180) % 360 - 180))
    return np.array(errors)


def least_threshold(found: Sequence[Found], allowed: int) -> float:
    """The least threshold at which pictures without a face get at most `allowed` false faces in all."""
    scores = np.sort(np.concatenate([one.scores for one in found] + [np.zeros(allowed + 1)]))[::-1]
    return float(scores[allowed])
