"""Acceptance of faces: drops doubtful and duplicate ones by their landmarks."""

import numpy as np

from ..geometry import Array, box_side, landmark_box
from .nms import is_nested

MIN_LANDMARK_SCORE = 0.4
"""Minimum mean landmark score of a face; chosen by `lineament evaluate --protocol
detection-val`."""
SAME_FACE_DISTANCE = 0.1
"""Mean distance of the landmarks of one face found twice, in box sides."""


def keep_confident(
    landmarks: Array, scores: Array, min_landmark_score: float
) -> list[int]:
    """Return the rows above the score threshold, duplicates removed, order kept.

    Args:
        landmarks: (F, N, 2), pixels of one image.
        scores: (F, N) in [0, 1].
        min_landmark_score: Minimum mean score of a face.
    """
    means = [float(row.mean()) for row in scores]
    kept: list[int] = []
    for row in sorted(range(len(means)), key=lambda row: -means[row]):
        if means[row] < min_landmark_score:
            break
        # two boxes of a turned face meet when it is re-cropped
        if not any(is_same_face(landmarks[row], landmarks[other]) for other in kept):
            kept.append(row)
    return sorted(kept)


def is_same_face(landmarks: Array, better: Array) -> bool:
    """Return whether landmarks (N, 2) belong to a face that is known by better ones."""
    box = landmark_box(landmarks)
    distance = float(np.linalg.norm(landmarks - better, axis=1).mean())
    is_near = distance < SAME_FACE_DISTANCE * box_side(box)
    return is_near or is_nested(box, landmark_box(better))
