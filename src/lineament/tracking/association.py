"""Association of tracks with what is seen: which face is which from frame to frame."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from ..geometry import Array, Image, box_center, box_side, iou
from .rules import TrackRules
from .tracked_face import FaceObservation, TrackedFace


def is_plausible(
    face: TrackedFace, seen: FaceObservation, size: tuple[int, int], rules: TrackRules
) -> bool:
    """Return whether an observation may be the face one frame later.

    Args:
        face: The face, moved on to the present frame.
        seen: The observation.
        size: Width and height of the image.
        rules: Limits of motion and scale.
    """
    center, side = box_center(seen.box), box_side(seen.box)
    scale_change = max(side / face.side, face.side / side)
    inside = bool((center > 0).all() and (center < np.array(size)).all())
    is_near = face.distance(seen) <= rules.max_step
    return inside and is_near and scale_change <= rules.max_scale_change


def find_duplicates(
    followed: dict[TrackedFace, FaceObservation], image: Image, rules: TrackRules
) -> list[TrackedFace]:
    """Return the tracks that landed on a face which another track matches better."""
    duplicates = []
    for pair in combinations(followed, 2):
        one, other = (followed[face].landmarks for face in pair)
        distance = float(np.linalg.norm(one - other, axis=1).mean())
        if distance < rules.duplicate_distance * min(face.side for face in pair):
            duplicates.append(
                max(pair, key=lambda face: face.mismatch(followed[face], image))
            )
    return duplicates


def match_lost(
    lost: Sequence[TrackedFace],
    found: Sequence[FaceObservation],
    image: Image,
    rules: TrackRules,
) -> dict[int, TrackedFace]:
    """Return which lost face is which new observation, by index; best matches first."""
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
    nearby = not face.lost_at_cut and face.distance(seen) < 0.5 + face.lost_s
    limit = rules.reid_similarity_nearby if nearby else rules.reid_similarity
    return face.similarity(seen, image) > limit


def is_same_box(box: Array, known: Array) -> bool:
    """Return whether two boxes (4,) belong to one face."""
    center = box_center(box)
    inside = bool((center > known[:2]).all() and (center < known[2:]).all())
    return inside or float(iou(box, known)[0, 0]) > 0.3
