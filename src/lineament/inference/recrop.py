"""Re-crop policy: the first crop of each face, and when to try other crops."""

from dataclasses import dataclass, replace

import numpy as np

from ..estimator import CropRequest, LandmarkModel, ValidationLimits
from ..geometry import (
    Array,
    box_error,
    box_side,
    fit_roll_deg,
    landmark_box,
    upright_box,
)
from .detections import Detections

SEARCH_ROLLS_DEG = (180.0, 90.0, -90.0)
"""Rolls relative to the first crop that are tried on a face with a low score."""
CUT_MARGIN = 0.05
"""A face closer to the image border than this fraction of its box side counts as truncated."""
UPSIDE_DOWN_DEG = 90.0
"""Roll in degrees above which a face counts as upside down."""
TURNED_DEG = 45.0
"""Roll in degrees in the first crop above which a face counts as rotated."""


@dataclass(frozen=True)
class RecropPolicy:
    """Rules for re-cropping a face, chosen by `python -m bench.choose_recrop`."""

    min_score: float = 0.7
    """Mean landmark score below which other angles are tried; lowered for models that give
    many upright faces such a score, see `for_model`."""
    max_roll_deg: float = 25.0
    """Roll in the crop, in degrees, above which a face is re-cropped upright."""
    max_box_error: float = 0.15
    """Box error (`box_error`) above which a face is re-cropped; raised for models that
    have such an error on many faces, see `for_model`."""
    min_upside_down_gain: float = 0.1
    """Minimum gain in mean landmark score for an upside-down crop of a face truncated by the
    image border, where hair above half a face resembles a beard."""
    min_turned_gain: float = 0.05
    """Minimum gain in mean landmark score for a rotated crop: most faces are upright, and
    a model with low scores would otherwise choose rotations for faces it fails on."""
    min_presence: float = 0.02
    """Presence below which no other crop is tried, if the model predicts presence and the
    detector roll: the best of five crops of a non-face would look more like a face."""
    low_presence: float = 0.2
    """Presence below which a face is first tried upside down, because the detector's roll may be
    off by 180 degrees. `python -m bench.choose_presence_limits` compares values of this limit
    and of `min_presence`."""
    min_presence_upside_down: float = 0.1
    """Presence in the upside-down crop below which no other angle is tried."""

    def for_model(self, model: LandmarkModel) -> "RecropPolicy":
        """Return this policy, so that a model re-crops few faces in crops as in its training.

        A model with lower scores on all faces would otherwise try other angles for most of
        them, and choose among five uncertain results. A model trained on crops around
        another box than the tight box of its landmarks would lose accuracy in the second crop.

        Args:
            model: The model; without `validation_limits` it does not change the policy.
        """
        limits = ValidationLimits.of(model)
        return replace(
            self,
            min_score=min(self.min_score, limits.low_score),
            max_box_error=max(self.max_box_error, limits.box_error),
        )

    def roll_penalty(
        self,
        first: CropRequest,
        landmarks: Array,
        mean_shape: Array | None,
        shape: tuple[int, ...],
    ) -> float:
        """Return the penalty on the score of landmarks of a rotated face.

        Args:
            first: The first crop of the face.
            landmarks: (N, 2), predicted in any of its crops, image pixels.
            mean_shape: Upright mean face of the scheme, (N, 2), or None.
            shape: Height and width of the image.
        """
        roll_deg = fit_roll_deg(mean_shape, landmarks)
        roll_in_crop = abs((roll_deg - first.roll_deg + 180) % 360 - 180)
        penalty = self.min_turned_gain * (roll_in_crop > TURNED_DEG)
        if is_truncated(first.box, shape):
            is_upside_down = abs(roll_deg) > UPSIDE_DOWN_DEG
            penalty = max(penalty, self.min_upside_down_gain * is_upside_down)
        return penalty

    def second_crops(
        self,
        first: CropRequest,
        landmarks: Array,
        scores: Array,
        mean_shape: Array | None,
    ) -> list[CropRequest]:
        """Return additional crops to try for a face, usually none.

        There are none around landmarks that coincide, and without a mean face, whose roll is
        not known, none for a roll.

        Args:
            first: The first crop.
            landmarks: (N, 2), predicted in it, image pixels.
            scores: (N,).
            mean_shape: Upright mean face of the scheme, (N, 2), or None.
        """
        tight = landmark_box(landmarks)
        if not box_side(tight):
            return []
        if scores.mean() < self.min_score:
            rolls = [first.roll_deg + roll for roll in SEARCH_ROLLS_DEG]
            rotated = [CropRequest(first.image, first.box, roll) for roll in rolls]
            return [*rotated, crop_around(first.image, landmarks, mean_shape)]
        roll_in_crop = 0.0
        if mean_shape is not None:
            roll_in_crop = fit_roll_deg(mean_shape, landmarks) - first.roll_deg
        is_turned = abs((roll_in_crop + 180) % 360 - 180) > self.max_roll_deg
        if is_turned or box_error(first.box, tight) > self.max_box_error:
            return [crop_around(first.image, landmarks, mean_shape)]
        return []


DEFAULT_RECROP = RecropPolicy()


def first_crops(
    detections: Detections,
    policy: RecropPolicy | None,
    shape: tuple[int, ...],
    image: int = 0,
) -> list[CropRequest]:
    """Return the first crop of each detected face.

    Args:
        detections: Faces of one image.
        policy: Faces with a roll above its `max_roll_deg` are cropped at their roll, all
            others upright. Faces truncated by the image border are also cropped upright
            if they seem upside down. None: the default policy.
        shape: Height and width of the image.
        image: Index of the image.
    """
    max_roll_deg = (policy or DEFAULT_RECROP).max_roll_deg
    requests = []
    for box, roll in zip(detections.boxes, detections.roll_deg.tolist(), strict=True):
        is_turned = abs(roll) > max_roll_deg
        is_doubtful = abs(roll) > UPSIDE_DOWN_DEG and is_truncated(box, shape)
        roll_deg = roll if is_turned and not is_doubtful else 0.0
        is_known = bool(np.isfinite(roll)) and not is_doubtful
        requests.append(CropRequest(image, box, roll_deg, is_known))
    return requests


def is_truncated(box: Array, shape: tuple[int, ...]) -> bool:
    """Return whether a box (4,) is truncated by the border of an image of this `shape`."""
    margin = CUT_MARGIN * box_side(box)
    end = np.array([shape[1], shape[0]]) - 1 - margin
    return bool((box[:2] < margin).any() or (box[2:] > end).any())


def crop_around(image: int, landmarks: Array, mean_shape: Array | None) -> CropRequest:
    """Return the upright crop around `landmarks` (N, 2)."""
    return CropRequest(image, *upright_box(landmarks, mean_shape))
