"""Re-crop policy: the first crop of each face, and when other crops are tried."""

from dataclasses import dataclass

import numpy as np

from ..estimator import CropRequest
from ..geometry import Array, box_side, fit_roll_deg, landmark_box, upright_box
from .detections import Detections

SEARCH_ROLLS_DEG = (90.0, 180.0, -90.0)


@dataclass(frozen=True)
class RecropPolicy:
    """Rules for re-cropping a face, chosen by `python -m bench.choose_recrop`."""

    min_score: float = 0.7
    """Mean landmark score below which other angles are tried."""
    max_roll_deg: float = 25.0
    """Roll in the crop, in degrees, above which a face is re-cropped upright."""
    max_box_error: float = 0.15
    """Box error, see `box_error`, above which a face is re-cropped."""

    def second_crops(
        self,
        first: CropRequest,
        landmarks: Array,
        scores: Array,
        mean_shape: Array | None,
    ) -> list[CropRequest]:
        """Return other crops to try for a face, mostly none.

        Args:
            first: The first crop.
            landmarks: (N, 2), found in it, image pixels.
            scores: (N,).
            mean_shape: Upright mean face of the scheme, (N, 2), or None.
        """
        if scores.mean() < self.min_score:
            rolls = [first.roll_deg + roll for roll in SEARCH_ROLLS_DEG]
            turned = [CropRequest(first.image, first.box, roll) for roll in rolls]
            return [*turned, crop_around(first.image, landmarks, mean_shape)]
        roll_in_crop = fit_roll_deg(mean_shape, landmarks) - first.roll_deg
        is_turned = abs((roll_in_crop + 180) % 360 - 180) > self.max_roll_deg
        if (
            is_turned
            or box_error(first.box, landmark_box(landmarks)) > self.max_box_error
        ):
            return [crop_around(first.image, landmarks, mean_shape)]
        return []


DEFAULT_RECROP = RecropPolicy()


def first_crops(
    detections: Detections, policy: RecropPolicy | None, image: int = 0
) -> list[CropRequest]:
    """Return the first crop of each detected face.

    Args:
        detections: Faces of one image.
        policy: Faces with a greater roll than its `max_roll_deg` are cropped at their
            roll, others upright; None: by the default policy.
        image: Index of the image.
    """
    max_roll_deg = (policy or DEFAULT_RECROP).max_roll_deg
    requests = []
    for box, roll in zip(detections.boxes, detections.roll_deg.tolist(), strict=True):
        requests.append(
            CropRequest(image, box, roll if abs(roll) > max_roll_deg else 0.0)
        )
    return requests


def crop_around(image: int, landmarks: Array, mean_shape: Array | None) -> CropRequest:
    """Return the upright crop around `landmarks` (N, 2)."""
    return CropRequest(image, *upright_box(landmarks, mean_shape))


def box_error(box: Array, tight: Array) -> float:
    """Return the error of `box`, in sides of the tight box or the log of its side."""
    side = box_side(tight)
    shift = np.hypot(*((box[:2] + box[2:] - tight[:2] - tight[2:]) / 2)) / side
    return float(max(shift, abs(np.log(box_side(box) / side))))
