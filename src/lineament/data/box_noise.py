"""Noise on face boxes: shifting boxes, and fitting the noise to a detector's errors."""

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from ..geometry import Array, as_boxes, box_center, box_side

CLIP = 2.5
"""Standard deviations at which augment.draw_affine clips its normal draws."""
CLIPPED_SD = 0.98865
"""Standard deviation of a unit normal after clipping at 2.5."""


def shift_box(box: Array, x: float, y: float, scale: float) -> Array:
    """Return `box` (4,) scaled about its center and shifted by `x` and `y` times its side."""
    center = box_center(box) + np.array([x, y]) * box_side(box)
    half = (box[2:] - box[:2]) / 2 * scale
    return np.concatenate([center - half, center + half])


def fit_box_noise(
    detected_boxes: ArrayLike, true_boxes: ArrayLike
) -> tuple[float, float]:
    """Return the Augmentation `shift` and `scale` that vary crops like a detector's boxes.

    Both are root mean squares around zero, so a bias is included. Errors beyond 2.5 times this
    value, such as the box of another face, are clipped to 2.5 times.

    Args:
        detected_boxes: Boxes from the detector, (F, 4), pixels.
        true_boxes: Landmark boxes of the same faces, (F, 4), pixels.

    Raises:
        InputError: If the boxes are not paired, or there are fewer than two.
    """
    detected, true = as_boxes(detected_boxes), as_boxes(true_boxes)
    if len(detected) != len(true) or len(true) < 2:
        raise InputError(
            f"{len(detected)} detected and {len(true)} true boxes; "
            "expected pairs, at least 2"
        )
    sides = (true[:, 2:] - true[:, :2]).max(1)
    center_shifts = detected[:, :2] + detected[:, 2:] - true[:, :2] - true[:, 2:]
    shifts = center_shifts / 2 / sides[:, None]
    scales = np.log((detected[:, 2:] - detected[:, :2]).max(1) / sides)
    return _fit_clipped_sd(shifts.ravel()), _fit_clipped_sd(scales)


def _fit_clipped_sd(errors: Array) -> float:
    """Return the standard deviation of the normal whose clipped draws match clipped `errors`."""
    sd = float(np.sqrt(np.mean(errors**2)))
    for _ in range(50):
        clipped = np.clip(errors, -CLIP * sd, CLIP * sd)
        sd = float(np.sqrt(np.mean(clipped**2))) / CLIPPED_SD
    return sd
