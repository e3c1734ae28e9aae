"""Drop false positives and duplicate faces, based on the landmark model."""

import math

import numpy as np

from ..estimator import LandmarkModel, ValidationLimits
from ..geometry import Array, box_side, landmark_box
from .face_landmarks import FaceLandmarks
from .nms import is_nested

MIN_PRESENCE = 0.9
"""Minimum presence of a face; chosen by `python -m bench.detection_curve --landmarks accurate`."""
MIN_LANDMARK_SCORE = 0.4
"""Minimum mean landmark score of a face if the model predicts no presence; chosen by
`lineament evaluate --protocol detection-val`. Lowered for models with lower scores."""
SAME_FACE_DISTANCE = 0.1
"""Mean landmark distance below which two detections are one face, in units of the box side."""


def min_score_for(model: LandmarkModel | None, given: float | None) -> float:
    """Return the minimum mean landmark score of a face, by default the model's.

    Args:
        model: The landmark model, if there is one.
        given: The user's choice; None: MIN_LANDMARK_SCORE, or a lower limit of the model.
    """
    if given is not None:
        return given
    return min(MIN_LANDMARK_SCORE, ValidationLimits.of(model).low_score)


def is_face(
    presence: float, score: float, min_presence: float, min_landmark_score: float
) -> bool:
    """Return whether a crop shows a face, by its presence or else by its score.

    Args:
        presence: Predicted probability of a face; nan if the model predicts none.
        score: Mean landmark score, used if the presence is nan.
        min_presence: Minimum presence of a face.
        min_landmark_score: Minimum mean landmark score of a face.
    """
    if math.isnan(presence):
        return score >= min_landmark_score
    return presence >= min_presence


def keep_faces(
    found: FaceLandmarks, min_presence: float, min_landmark_score: float
) -> list[int]:
    """Return the rows that are faces, duplicates removed, order kept.

    Landmarks that coincide are no face: no crop can be made around them.

    Args:
        found: Landmarks in one image.
        min_presence, min_landmark_score: As in `is_face`.
    """
    faces = []
    for row, scores in enumerate(found.scores):
        limits = (min_presence, min_landmark_score)
        is_present = is_face(float(found.presence[row]), float(scores.mean()), *limits)
        if is_present and box_side(landmark_box(found.landmarks[row])):
            faces.append(row)
    kept: list[int] = []
    for row in sorted(faces, key=lambda row: -found.quality(row)):
        # two boxes of one rotated face may converge by re-cropping
        others = [found.landmarks[other] for other in kept]
        if not any(is_same_face(found.landmarks[row], other) for other in others):
            kept.append(row)
    return sorted(kept)


def is_same_face(landmarks: Array, better: Array) -> bool:
    """Return whether landmarks (N, 2) belong to the same face as `better` ones."""
    box = landmark_box(landmarks)
    distance = float(np.linalg.norm(landmarks - better, axis=1).mean())
    is_near = distance < SAME_FACE_DISTANCE * box_side(box)
    return is_near or is_nested(box, landmark_box(better))
