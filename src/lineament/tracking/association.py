"""Association of tracks with observations: which face is which from frame to frame."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from ..geometry import Array, Image, box_center, box_side, fit_roll_deg, iou
from ..inference.nms import is_nested
from ..inference.recrop import is_truncated
from .rules import TrackRules
from .tracked_face import FaceObservation, TrackedFace

MIN_TURN_DEG = 10.0
"""Rotation between two frames that is always allowed, because landmarks are inexact."""
MAX_TURN_DEG = 90.0
"""Maximum rotation of a face that was lost for longer: heads do not turn upside down."""


def is_plausible(
    face: TrackedFace, seen: FaceObservation, size: tuple[int, int], rules: TrackRules
) -> bool:
    """Return True if an observation may be the same face one frame later.

    Args:
        face: The tracked face, predicted for the current frame.
        seen: The observation.
        size: Width and height of the image.
        rules: Limits of motion, scale and rotation.
    """
    center, side = box_center(seen.box), box_side(seen.box)
    if not side:
        return False
    scale_change = max(side / face.side, face.side / side)
    inside = bool((center > 0).all() and (center < np.array(size)).all())
    is_near = face.distance(seen) <= rules.max_step
    if rotated_too_far(face, seen, rules):
        return False
    return inside and is_near and scale_change <= rules.max_scale_change


def rotated_too_far(
    face: TrackedFace, seen: FaceObservation, rules: TrackRules
) -> bool:
    """Return True if the face would have rotated in the image faster than a head can."""
    turn_deg = abs(fit_roll_deg(face.landmarks, seen.landmarks))
    possible = rules.max_turn_deg_per_s * face.unseen_s
    return bool(turn_deg > np.clip(possible, MIN_TURN_DEG, MAX_TURN_DEG))


def find_duplicates(
    followed: dict[TrackedFace, FaceObservation], image: Image, rules: TrackRules
) -> list[TrackedFace]:
    """Return the tracks that are on a face which another track matches better.

    A track nested in a larger one with a higher landmark score is also a duplicate.
    """
    duplicates = []
    for pair in combinations(followed, 2):
        one, other = (followed[face].landmarks for face in pair)
        distance = float(np.linalg.norm(one - other, axis=1).mean())
        if distance < rules.duplicate_distance * min(face.side for face in pair):
            duplicates.append(
                max(pair, key=lambda face: face.mismatch(followed[face], image))
            )
            continue
        worse, better = sorted(pair, key=lambda face: followed[face].score)
        if _is_part(followed[worse].box, followed[better].box, rules):
            duplicates.append(worse)
    return duplicates


def _is_part(box: Array, better: Array, rules: TrackRules) -> bool:
    """Return True if a box (4,) is nested in a clearly larger box of a better track."""
    area, better_area = (box[2:] - box[:2]).prod(), (better[2:] - better[:2]).prod()
    return bool(area < rules.max_nested_area * better_area) and is_nested(box, better)


def match_lost(
    lost: Sequence[TrackedFace],
    found: Sequence[FaceObservation],
    image: Image,
    rules: TrackRules,
) -> dict[int, TrackedFace]:
    """Match new observations to lost faces, best matches first; keys are observation indices."""
    mismatches: list[tuple[float, int, int]] = []
    for i, face in enumerate(lost):
        for k, seen in enumerate(found):
            if _may_return(face, seen, image, rules):
                mismatches.append((face.mismatch(seen, image), i, k))
    matched: dict[int, TrackedFace] = {}
    for _, i, k in sorted(mismatches):
        if k not in matched and lost[i] not in matched.values():
            matched[k] = lost[i]
    return matched


def _may_return(
    face: TrackedFace, seen: FaceObservation, image: Image, rules: TrackRules
) -> bool:
    if not face.lost_at_cut and rotated_too_far(face, seen, rules):
        return False
    nearby = not face.lost_at_cut and face.distance(seen) < 0.5 + face.lost_s
    limit = rules.reid_similarity_nearby if nearby else rules.reid_similarity
    if nearby and is_truncated(seen.box, image.shape):
        limit = rules.reid_similarity_cut
    return face.similarity(seen, image) > limit


def is_same_box(box: Array, known: Array) -> bool:
    """Return True if two boxes (4,) belong to the same face."""
    center = box_center(box)
    inside = bool((center > known[:2]).all() and (center < known[2:]).all())
    return inside or float(iou(box, known)[0, 0]) > 0.3
