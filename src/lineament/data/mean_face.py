"""Mean faces of schemes, and faces that fit them only with left and right exchanged."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..errors import SchemeError, ShapeError
from ..geometry import Array, apply_affine, fit_similarity
from ..schemes import convert, scheme, scheme_names
from .sample import Sample

SWAPPED = 1.5
"""Ratio by which mirrored points must fit better; at most 0.4 on 300W, 0.8 on infants."""
SWAP_REMEDY = (
    "exchange the names or the points, or give them a scheme of their own (--scheme)"
)
"""Remedy for exchanged sides."""
MAX_FACES = 300
"""Maximum number of evenly spaced faces whose sides are judged."""
MIN_POINTS = 4
"""Minimum number of points to fit a mean face."""


def known_rows(*points: Array) -> NDArray[np.bool_]:
    """Return a mask (N,) of the rows that are finite in all `points` (N, 2)."""
    return np.asarray(np.isfinite(np.stack(points)).all((0, 2)))


@cache
def mean_face(name: str) -> Array | None:
    """Return the mean face (N, 2) of a scheme, nan where unknown; None if mostly unknown."""
    if name not in scheme_names():
        return None
    own, common = scheme(name).mean_shape, scheme("ibug68").mean_shape
    if own is not None or common is None:
        return own
    try:
        points = convert(common, "ibug68", name).points
    except SchemeError:
        return None
    return points if known_rows(points).sum() >= MIN_POINTS else None


def distances_to_mean(landmarks: Array, mean: Array) -> Array:
    """Return the distances (N,) to the fitted mean face in box sides; nan if unknown."""
    known = known_rows(landmarks, mean)
    out = np.full(len(mean), np.nan)
    if known.sum() >= MIN_POINTS:
        fitted = apply_affine(
            fit_similarity(landmarks[known], mean[known]), landmarks[known]
        )
        out[known] = np.linalg.norm(fitted - mean[known], axis=1)
    return out


def plain_and_mirrored(sample: Sample, mean: Array) -> tuple[Array, Array] | None:
    """Return `distances_to_mean` of a face and of its mirror image; None if they are unknown."""
    try:
        plain = distances_to_mean(sample.landmarks, mean)
        mirrored = distances_to_mean(
            sample.landmarks[scheme(sample.scheme).mirror], mean
        )
    except ShapeError:
        return None
    if not np.isfinite(plain).any() or not np.isfinite(mirrored).any():
        return None
    return plain, mirrored


def swapped_sides_message(samples: Sequence[Sample]) -> str:
    """Return a message if most faces fit their mean face only when mirrored.

    Empty if their sides are right, or no face has enough points with a mean.
    """
    judged = 0
    swapped: list[Sample] = []
    for sample in samples[:: 1 + len(samples) // MAX_FACES]:
        is_swapped = _is_swapped(sample)
        judged += is_swapped is not None
        if is_swapped:
            swapped.append(sample)
    if 2 * len(swapped) <= judged:
        return ""
    return (
        f"left and right are exchanged in {len(swapped)} of {judged} faces, e.g. "
        f"{swapped[0].name}: in {swapped[0].scheme}, they are those of the person, not "
        "of the viewer"
    )


def _is_swapped(sample: Sample) -> bool | None:
    """Return True if the face fits only when mirrored; None if unknown."""
    mean = mean_face(sample.scheme)
    if mean is None or len(mean) != len(sample.landmarks):
        return None
    distances = plain_and_mirrored(sample, mean)
    if distances is None:
        return None
    plain, mirrored = distances
    return bool(np.nanmean(plain) > SWAPPED * np.nanmean(mirrored))
