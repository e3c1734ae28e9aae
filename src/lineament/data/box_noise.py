"""Noise of face boxes: moving a box, and fitting the noise to a detector's errors."""

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from ..geometry import Array, as_boxes, box_center, box_side

CLIP = 2.5
"""Deviations at which augment.draw_affine clips its normal draws."""
CLIPPED_SD = 0.98865
"""Standard deviation of a unit normal clipped at 2.5."""


def move_box(box: Array, x: float, y: float, scale: float) -> Array:
    """Return `box` (4,) moved by `x` and `y`, in box sides, and scaled about its center."""
    center = box_center(box) + np.array([x, y]) * box_side(box)
    half = (box[2:] - box[:2]) / 2 * scale
    return np.concatenate([center - half, center + half])


def fit_box_noise(
    detected_boxes: ArrayLike, true_boxes: ArrayLike
) -> tuple[float, float]:
    """Return the `shift` and `scale` of an Augmentation that spreads crops like a detector's boxes.

    Both are root mean squares about zero error, so that a bias counts. An error beyond 2.5 of
    them, such as the box of another face, counts as 2.5.

    Args:
        detected_boxes: Boxes of the detector, (F, 4), pixels.
        true_boxes: Landmark boxes of the same faces, (F, 4), pixels.

    Raises:
        InputError: If the boxes are not pairs, or fewer than two.
    """
    detected, true = as_boxes(detected_boxes), as_boxes(true_boxes)
    if len(detected) != len(true) or len(true) < 2:
        raise InputError(
            f"{len(detected)} detected and {len(true)} true boxes; wanted pairs, at least 2"
        )
    sides = (true[:, 2:] - true[:, :2]).max(1)
    moved = detected[:, :2] + detected[:, 2:] - true[:, :2] - true[:, 2:]
    shifts = moved / 2 / sides[:, None]
    scales = np.log((detected[:, 2:] - detected[:, :2]).max(1) / sides)
    return _fit_clipped_sd(shifts.ravel()), _fit_clipped_sd(scales)


def _fit_clipped_sd(errors: Array) -> float:
    """Return the deviation of the normal whose clipped draws spread like clipped `errors`."""
    sd = float(np.sqrt(np.mean(errors**2)))
    for _ in range(50):
        clipped = np.clip(errors, -CLIP * sd, CLIP * sd)
        sd = float(np.sqrt(np.mean(clipped**2))) / CLIPPED_SD
    return sd
