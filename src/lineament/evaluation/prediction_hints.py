"""Detection of common mistakes in prediction files: fractions, and shifts by a pixel."""

from collections.abc import Iterable

import numpy as np

from ..geometry import Array

Pairs = list[tuple[Array, Array]]
"""Predicted and true landmarks (N, 2) of each face, pixels of the image."""
FRACTION_END = 1.5
"""Maximum coordinate of predictions in fractions; points may lie slightly outside the image."""
MIN_FACE_PX = 10.0
"""Minimum longer side of the true faces for such predictions to be impossible as pixels."""
SHIFTS_PX = (1.0, 0.5)
"""Shifts between conventions: pixels counted from 1, or measured from corners, not centers."""
TOLERANCE = 0.2
"""Maximum relative deviation from such a shift, along both axes."""
MIN_FACES = 10
MAX_STANDARD_ERROR = 0.1
"""Maximum standard error of the mean shift, relative to it, for a constant shift."""


def scored_pairs(faces: Iterable[tuple[Array | None, Array | None]]) -> Pairs:
    """Return the predicted and true landmarks of the faces that have both."""
    pairs = []
    for pred, truth in faces:
        if pred is not None and truth is not None and len(_known(truth)):
            pairs.append((pred, truth))
    return pairs


def fraction_error_message(pairs: Pairs) -> str:
    """Return why predictions seem to be fractions of the image size; empty if they do not."""
    if not pairs:
        return ""
    largest = max(float(np.abs(pred).max()) for pred, _ in pairs)
    sides = [float(np.ptp(_known(truth), axis=0).max()) for _, truth in pairs]
    if largest > FRACTION_END or np.median(sides) < MIN_FACE_PX:
        return ""
    return (
        f"no coordinate is above {largest:.2f}, while the faces are {np.median(sides):.0f} pixels "
        "long: the predictions look like fractions of the image or of its crop; multiply them by "
        "its width and height"
    )


def shift_warning(pairs: Pairs) -> str:
    """Return a note if all predictions seem to be shifted by one or half a pixel."""
    if len(pairs) < MIN_FACES:
        return ""
    shifts = []
    for pred, truth in pairs:
        shifts.append(np.nanmedian(pred - truth, axis=0))
    moved = np.stack(shifts)
    center = np.median(moved, axis=0)
    error = moved.std(axis=0) / np.sqrt(len(moved))
    for size in SHIFTS_PX:
        for shift in (size, -size):
            is_near = (np.abs(center - shift) < TOLERANCE * size).all()
            if is_near and (error < MAX_STANDARD_ERROR * size).all():
                return (
                    f"predictions are ({center[0]:+.2f}, {center[1]:+.2f}) pixels from the truth "
                    f"in the median, close to {shift:+g} along both axes: they may count pixels "
                    "from another corner or from 1; here the center of the first pixel is (0, 0)"
                )
    return ""


def _known(points: Array) -> Array:
    return np.asarray(points[np.isfinite(points).all(1)])
