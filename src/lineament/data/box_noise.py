"""The jitter of training crops, fitted to how a detector's boxes lie beside the boxes of the landmarks."""

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from ..geometry import as_boxes

CUT = 2.5  # augment.draw_affine clips its normal draws here
CLIPPED_SD = 0.98865  # the standard deviation of a unit normal clipped at 2.5


def fit_jitter(detected_boxes: ArrayLike, truth_boxes: ArrayLike) -> tuple[float, float]:
    """The `shift` and `scale` of an Augmentation that spreads its crops as the detector spreads its boxes.

    detected_boxes, truth_boxes: (F, 4), pixels; row i of both is one face.
    Both are root mean squares around no error, so that a detector's bias counts; an error beyond 2.5 of them, as of
    another face's box, counts as 2.5.    Raises: InputError, ShapeError.
    """
    detected, truth = as_boxes(detected_boxes), as_boxes(truth_boxes)
    if len(detected) != len(truth) or len(truth) < 2:
        raise InputError(
            f"{len(detected)} detected and {len(truth)} true boxes; wanted pairs, at least 2"
        )
    sides = (truth[:, 2:] - truth[:, :2]).max(1)
    shifts = (detected[:, :2] + detected[:, 2:] - truth[:, :2] - truth[:, 2:]) / 2 / sides[:, None]
    scales = np.log((detected[:, 2:] - detected[:, :2]).max(1) / sides)
    return _clipped_sd(shifts.ravel()), _clipped_sd(scales)


def _clipped_sd(errors: np.ndarray) -> float:
    """The sd of the normal whose draws, clipped at CUT of it, have the mean square of `errors` clipped likewise."""
    sd = float(np.sqrt(np.mean(errors**2)))
    for _ in range(50):
        sd = float(np.sqrt(np.mean(np.clip(errors, -CUT * sd, CUT * sd) ** 2))) / CLIPPED_SD
    return sd
