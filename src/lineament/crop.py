"""Image and boxes -> crops: each by one similarity transform, at any rotation, sub-pixel both ways."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .geometry import (
    Array,
    affine_scale,
    apply_affine,
    as_boxes,
    compose,
    crop_affine,
    invert_affine,
    resize_affine,
)

LONGEST_SIDE = 32_000  # OpenCV warps no picture of 32,767 pixels or more a side
WORTH_THREADS = 8  # crops a call from which starting threads pays


def warp(image: NDArray[np.uint8], image_to_crop: ArrayLike, size: int) -> NDArray[np.uint8]:
    """The crop (size, size, 3) that `image_to_crop` (2, 3) shows of `image` (H, W, 3); black beyond the image.

    At half size and below the part shown is first shrunk by area, so that nothing aliases.
    """
    affine = np.asarray(image_to_crop, dtype=np.float64)
    scale = affine_scale(affine)
    if scale <= 0.5 or max(image.shape[:2]) > LONGEST_SIDE:
        image, affine = _part_shown(image, affine, size)
    if scale <= 0.5:
        image, affine = _shrink_by_area(image, affine, int(1 / scale))
    if image.size == 0:
        return np.zeros((size, size, 3), np.uint8)
    crop = cv2.warpAffine(
        image, affine, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )
    return np.asarray(crop, dtype=np.uint8)


def _part_shown(
    image: NDArray[np.uint8], affine: Array, size: int
) -> tuple[NDArray[np.uint8], Array]:
    """The part of `image` that the crop shows, and the affine from it."""
    far = size - 1.0
    corners = apply_affine(
        invert_affine(affine), np.array([[0, 0], [far, 0], [0, far], [far, far]])
    )
    margin = 2 / affine_scale(affine) + 2  # two crop pixels: what bilinear and area weights reach
    height, width = image.shape[:2]
    x0, y0 = np.clip(np.floor(corners.min(0) - margin), 0, (width, height)).astype(int)
    x1, y1 = np.clip(np.ceil(corners.max(0) + margin) + 1, 0, (width, height)).astype(int)
    return image[y0:y1, x0:x1], compose(affine, [[1, 0, x0], [0, 1, y0]])


def _shrink_by_area(
    image: NDArray[np.uint8], affine: Array, factor: int
) -> tuple[NDArray[np.uint8], Array]:
    """`image` shrunk by a whole `factor`, which is several times faster than by any other, and the affine from it."""
    width, height = image.shape[1] // factor, image.shape[0] // factor
    if width == 0 or height == 0:
        return image[:0], affine
    whole = image[: height * factor, : width * factor]
    small = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8), compose(
        affine, invert_affine(resize_affine(1 / factor, 1 / factor))
    )


def warp_all(
    images: Sequence[NDArray[np.uint8]], affines: Sequence[ArrayLike], size: int, threads: int = 1
) -> NDArray[np.uint8]:
    """The crops (F, size, size, 3) that each of `affines` shows of the image at its place.

    threads: 0: one for each core.
    """
    crops = np.empty((len(affines), size, size, 3), np.uint8)

    def fill(place: int) -> None:
        crops[place] = warp(images[place], affines[place], size)

    workers = min(threads or os.cpu_count() or 1, len(affines))
    if workers > 1 and len(affines) >= WORTH_THREADS:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(fill, range(len(affines))))
    else:
        for place in range(len(affines)):
            fill(place)
    return crops


def cut_crops(
    image: NDArray[np.uint8],
    boxes: ArrayLike,
    size: int,
    padding: float,
    rolls_deg: ArrayLike = 0.0,
) -> tuple[NDArray[np.uint8], Array]:
    """The crops (F, size, size, 3) around `boxes` (F, 4) of `image`, and their image_to_crop affines (F, 2, 3).

    padding: the side of the crop in longer sides of the box.    rolls_deg: (F,) or one angle for all.
    Raises: ShapeError where a box is none.
    """
    checked = as_boxes(boxes)
    rolls = np.broadcast_to(np.asarray(rolls_deg, dtype=np.float64), (len(checked),))
    affines = [
        crop_affine(box, size, padding, roll) for box, roll in zip(checked, rolls, strict=True)
    ]
    return warp_all([image] * len(affines), affines, size), np.asarray(affines).reshape(-1, 2, 3)


def scale_and_shift(before: Array, now: Array, size: int) -> tuple[float, Array]:
    """By which a point of one crop is at x' = scale x + shift in the other, along both axes (2,), without the turn.

    before, now: their image_to_crop affines (2, 3).    size: their side in pixels; about their middle is turned.
    """
    between = compose(now, invert_affine(before))
    middle = np.full(2, (size - 1) / 2)
    scale = affine_scale(between)
    return scale, apply_affine(between, middle) - scale * middle


def old_cells(cells: Any, length: int, size: int, scale: Any, shift: Any) -> Any:
    """Where the `cells` of an axis of `length` cells were before the crop of `size` pixels moved; arrays or tensors."""
    pixels = size / length
    return (((cells + 0.5) * pixels - 0.5 - shift) / scale + 0.5) / pixels - 0.5
