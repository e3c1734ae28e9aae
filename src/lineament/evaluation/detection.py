"""Evaluation of face detectors: recall and roll error per set of photos, false positives."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.detection.photos import (
    NO_FACE,
    Photo,
    photo_from_sample,
    read_detector_photos,
)
from ..data.readers.w300 import read_300w
from ..face import Faces
from ..geometry import Array, as_boxes, box_side, iou
from ..inference.detections import Detections, Detector
from .matching import match_boxes

RECALL_IOU = 0.35
"""Minimum IoU of a detection with the tight box of a face to count as a true positive."""
MIN_HEIGHTS = {"wider": 16.0}
"""Minimum height in pixels of a ground-truth face, by kind of photo."""
VALIDATION_KINDS = (
    *("wider", "masks", "landmarks", "infants", "profiles", "unlabelled", "people"),
    *NO_FACE,
)


def _validation_photos(data_root: Path) -> list[Photo]:
    photos = []
    for photo in read_detector_photos(data_root, VALIDATION_KINDS):
        if photo.is_validation():
            photos.append(_annotate(photo) if photo.kind == "people" else photo)
    return photos


@cache
def _people() -> dict[str, dict[str, list[list[float]]]]:
    file = files("lineament").joinpath("tables/people_validation.json")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return dict(found["photos"])


def _annotate(photo: Photo) -> Photo:
    """Return a photo of people with the boxes annotated in this package."""
    known = _people().get(photo.name, {"faces": [], "unclear": []})
    faces, unclear = as_boxes(known["faces"]), as_boxes(known["unclear"])
    certain = np.arange(len(faces) + len(unclear)) < len(faces)
    return replace(photo, boxes=np.concatenate([faces, unclear]), certain=certain)


def _common_photos(data_root: Path) -> list[Photo]:
    return [
        photo_from_sample(sample) for sample in read_300w(data_root / "300w", "common")
    ]


DETECTION_PROTOCOLS: dict[str, Callable[[Path], list[Photo]]] = {
    "detection-val": _validation_photos,
    "detection-300w-common": _common_photos,
}
"""Reader of each protocol's photos; use 300W common only for final results."""


@dataclass(frozen=True)
class DetectionResult:
    """Results of a detector on one set of photos."""

    photos: int
    faces: int
    """Number of ground-truth faces."""
    found: int
    false_positives: int
    """Detections that match no labeled face; not meaningful in photos with unlabeled faces."""
    false_photos: int = 0
    """Number of photos with a false positive."""
    roll_error_deg: float = float("nan")
    """Median over true positives with landmarks, degrees in [0, 180]; nan if there are none."""
    point_error: float = float("nan")
    """Median point error of true positives with five points, in units of the box side."""

    @property
    def recall(self) -> float:
        """Return the fraction of faces found; nan if there are no faces."""
        return self.found / self.faces if self.faces else float("nan")

    def as_json(self) -> dict[str, float | None]:
        """Return the fields and the recall as JSON values, with null for nan."""
        values = asdict(self) | {"recall": self.recall}
        for name, value in values.items():
            if value != value:
                values[name] = None
        return values


def evaluate_detector(
    detect: Detector,
    photos: Iterable[Photo],
    change: Callable[[Photo, NDArray[np.uint8]], tuple[Photo, NDArray[np.uint8]]]
    | None = None,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, DetectionResult]:
    """Evaluate a detector on photos and return its results by kind of photo.

    Args:
        change: Modifies each photo and its image before detection, e.g. rotates both.
        progress: Called after each photo.
    """
    seen: dict[str, tuple[list[Photo], list[Detections]]] = {}
    for photo in photos:
        image = photo.read()
        if change is not None:
            photo, image = change(photo, image)
        group, detections = seen.setdefault(photo.kind, ([], []))
        group.append(photo)
        detections.append(detect(image))
        progress()
    return {
        kind: score_detections(group, detections, MIN_HEIGHTS.get(kind, 0.0))
        for kind, (group, detections) in seen.items()
    }


def score_detections(
    photos: Sequence[Photo], detections: Sequence[Detections], min_height: float = 0.0
) -> DetectionResult:
    """Match detections to faces one to one, in descending order of score.

    Args:
        min_height: Minimum height of a face's given box, pixels, to count as ground truth.
    """
    faces = found = false_positives = false_photos = 0
    for photo, detected in zip(photos, detections, strict=True):
        pairs = match_boxes(photo.boxes, detected.boxes, RECALL_IOU, detected.scores)
        required = is_ground_truth(photo, min_height)
        overlaps = iou(photo.boxes, detected.boxes)
        false = int((overlaps.max(0, initial=0.0) < RECALL_IOU).sum())
        false_positives += false
        false_photos += false > 0
        faces += int(required.sum())
        found += sum(bool(required[face]) for face, _ in pairs)
    errors = roll_errors_deg(photos, detections), point_errors(photos, detections)
    roll, point = (float(np.median(e)) if len(e) else float("nan") for e in errors)
    return DetectionResult(
        len(photos), faces, found, false_positives, false_photos, roll, point
    )


def is_ground_truth(photo: Photo, min_height: float) -> NDArray[np.bool_]:
    """Return a mask (F,) of certain faces whose box in the data set is at least this high."""
    heights = photo.given_heights
    if heights is None:
        heights = photo.boxes[:, 3] - photo.boxes[:, 1]
    return np.asarray((heights >= min_height) & photo.is_certain())


def roll_errors_deg(photos: Sequence[Photo], detections: Sequence[Detections]) -> Array:
    """Return the absolute roll errors of true positives with landmarks, degrees in [0, 180]."""
    errors = []
    for photo, detected in zip(photos, detections, strict=True):
        if photo.landmarks is None:
            continue
        known = np.isfinite(detected.roll_deg)
        for face, row in match_boxes(photo.boxes, detected.boxes[known], RECALL_IOU):
            difference = detected.roll_deg[known][row] - photo.roll_deg()[face]
            errors.append(abs((difference + 180) % 360 - 180))
    return np.array(errors)


def point_errors(photos: Sequence[Photo], detections: Sequence[Detections]) -> Array:
    """Return the mean five-point error per annotated true positive, relative to the box side."""
    errors = []
    for photo, detected in zip(photos, detections, strict=True):
        if detected.landmarks is None or detected.scheme != "five":
            continue
        truth = photo.five_points()
        for face, row in match_boxes(photo.boxes, detected.boxes, RECALL_IOU):
            known = np.isfinite(truth[face, :, 0])
            moves = detected.landmarks[row][known] - truth[face][known]
            if known.any():
                error = np.linalg.norm(moves, axis=1).mean()
                errors.append(error / box_side(photo.boxes[face]))
    return np.array(errors)


def faces_as_detections(
    predict: Callable[[NDArray[np.uint8]], Faces], image: NDArray[np.uint8]
) -> Detections:
    """Return the faces found by a predictor in `image` as detections."""
    faces = predict(image)
    scores = np.array([face.score for face in faces])
    return Detections(faces.boxes, scores, np.full(len(faces), np.nan))
