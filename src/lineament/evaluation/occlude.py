"""Occlusion of half of a face by a plain color, determined by the image's name."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..data.sample import Sample, bare_name
from ..geometry import Array, box_center, box_side
from ..opencv import cv2

SEED = 300
MARGIN = 1.1
"""Reach of the occluder relative to the face box."""


def occlude_faces(
    image: NDArray[np.uint8],
    samples: Sequence[Sample],
    occluded: Literal["nothing", "half"],
) -> tuple[NDArray[np.uint8], list[Sample]]:
    """Return the image (H, W, 3) with faces occluded as the protocol requires, and the faces.

    Occluded landmarks are marked not visible.
    """
    if occluded == "nothing":
        return image, list(samples)
    faces = []
    for sample in samples:
        image, face = occlude_half(image, sample)
        faces.append(face)
    return image, faces


def occlude_half(
    image: NDArray[np.uint8], sample: Sample
) -> tuple[NDArray[np.uint8], Sample]:
    """Return a copy of `image` (H, W, 3) with half of the face box in a plain color, and the face.

    The boundary passes through the center of the box. Its angle and the color depend only on the
    sample's name without suffix, so copies of a data set give the same result.
    """
    digest = hashlib.sha1(
        bare_name(sample.name).encode(), usedforsecurity=False
    ).digest()
    rng = np.random.default_rng([SEED, *digest[:8]])
    angle, color = rng.uniform(0, 2 * np.pi), rng.integers(0, 256, 3)
    covered = half_of_box(image.shape, sample.face_box(), angle).astype(bool)
    occluded = image.copy()
    occluded[covered] = color
    visible = ~_at(covered, sample.landmarks)
    if sample.visible is not None:
        visible &= sample.visible != 0
    return occluded, replace(sample, visible=visible)


def half_of_box(shape: tuple[int, ...], box: Array, angle: float) -> NDArray[np.uint8]:
    """Return a mask (H, W), 1 in the half of a square around `box` that lies towards `angle`.

    Args:
        shape: Shape of the image, (H, W, ...).
        box: Face box, (4,), pixels of the image.
        angle: Direction from the center of the box, radians, clockwise from the right.
    """
    center, half = box_center(box), MARGIN * box_side(box) / 2
    half_plane = _half_plane(shape, center, angle, 4 * half)
    return np.asarray(half_plane & _square(shape, center, half))


def _at(mask: NDArray[np.bool_], points: Array) -> NDArray[np.bool_]:
    """Return the values (N,) of `mask` (H, W) at points (N, 2); False outside and for nan."""
    height, width = mask.shape
    x, y = np.nan_to_num(points, nan=-1.0).round().astype(np.intp).T
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    found = np.zeros(len(points), bool)
    found[inside] = mask[y[inside], x[inside]]
    return found


def _half_plane(
    shape: tuple[int, ...], center: NDArray[np.float64], angle: float, reach: float
) -> NDArray[np.uint8]:
    """Return a mask (H, W) of a large rectangle on one side of `center`."""
    along = reach * np.array([np.cos(angle), np.sin(angle)])
    across = reach * np.array([-np.sin(angle), np.cos(angle)])
    corners = np.stack([-across, across, across + along, along - across]) + center
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, np.round(corners).astype(np.int32), (1,))
    return mask


def _square(
    shape: tuple[int, ...], center: NDArray[np.float64], half: float
) -> NDArray[np.uint8]:
    """Return a mask (H, W) of the square around `center` with side 2 `half`."""
    x0, y0, x1, y1 = np.round([*(center - half), *(center + half)]).astype(int)
    mask = np.zeros(shape[:2], np.uint8)
    mask[max(y0, 0) : max(y1, 0) + 1, max(x0, 0) : max(x1, 0) + 1] = 1
    return mask
