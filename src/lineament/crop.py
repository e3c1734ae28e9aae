"""Cropping of images: a similarity transform per crop, with any rotation and sub-pixel accuracy."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .geometry import (
    Array,
    Image,
    affine_scale,
    apply_affine,
    as_boxes,
    compose,
    crop_affine,
    invert_affine,
    resize_affine,
)
from .opencv import cv2

LONGEST_SIDE = 32_000  # OpenCV cannot warp images with a side of 32,767 pixels or more
MIN_THREADED_CROPS = 8  # for fewer crops, starting threads costs more than it saves


def warp(image: Image, image_to_crop: ArrayLike, size: int) -> Image:
    """Return the crop (size, size, 3) of `image` (H, W, 3), black outside the image.

    If it is reduced to half size or less, the image is first shrunk by area to avoid aliasing.

    Args:
        image: RGB, (H, W, 3).
        image_to_crop: Affine, (2, 3).
        size: Side of the crop, pixels.
    """
    affine = np.asarray(image_to_crop, dtype=np.float64)
    scale = affine_scale(affine)
    if scale <= 0.5 or max(image.shape[:2]) > LONGEST_SIDE:
        image, affine = _visible_part(image, affine, size)
    if scale <= 0.5:
        image, affine = _shrink_by_area(image, affine, int(1 / scale))
    if image.size == 0:
        return np.zeros((size, size, 3), np.uint8)
    size_px, border = (size, size), cv2.BORDER_CONSTANT
    crop = cv2.warpAffine(
        image, affine, size_px, flags=cv2.INTER_LINEAR, borderMode=border
    )
    return np.asarray(crop, dtype=np.uint8)


def _visible_part(image: Image, affine: Array, size: int) -> tuple[Image, Array]:
    """Return the part of `image` visible in the crop, and the affine from that part to the crop."""
    far = size - 1.0
    far_corners = np.array([[0, 0], [far, 0], [0, far], [far, far]])
    corners = apply_affine(invert_affine(affine), far_corners)
    margin = 2 / affine_scale(affine) + 2  # two crop pixels: the reach of the filters
    height, width = image.shape[:2]
    x0, y0 = np.clip(np.floor(corners.min(0) - margin), 0, (width, height)).astype(int)
    x1, y1 = np.clip(np.ceil(corners.max(0) + margin) + 1, 0, (width, height)).astype(
        int
    )
    return image[y0:y1, x0:x1], compose(affine, [[1, 0, x0], [0, 1, y0]])


def _shrink_by_area(image: Image, affine: Array, factor: int) -> tuple[Image, Array]:
    """Return `image` shrunk by an integer factor, which is fast, and the matching affine."""
    width, height = image.shape[1] // factor, image.shape[0] // factor
    if width == 0 or height == 0:
        return image[:0], affine
    divisible = image[: height * factor, : width * factor]
    small = cv2.resize(divisible, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8), compose(
        affine, invert_affine(resize_affine(1 / factor, 1 / factor))
    )


def warp_all(
    images: Sequence[Image], affines: Sequence[ArrayLike], size: int, threads: int = 1
) -> NDArray[np.uint8]:
    """Return one crop per affine, from the image at the same index: (F, size, size, 3).

    Args:
        images: F images, RGB, (H, W, 3) each.
        affines: F image_to_crop affines, (2, 3) each.
        size: Side of the crops, pixels.
        threads: Number of threads, at least 1.
    """
    crops = np.empty((len(affines), size, size, 3), np.uint8)

    def fill(index: int) -> None:
        crops[index] = warp(images[index], affines[index], size)

    workers = min(threads, len(affines))
    if workers > 1 and len(affines) >= MIN_THREADED_CROPS:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(fill, range(len(affines))))
    else:
        for index in range(len(affines)):
            fill(index)
    return crops


def crop_boxes(
    image: Image,
    boxes: ArrayLike,
    size: int,
    padding: float,
    rolls_deg: ArrayLike = 0.0,
) -> tuple[NDArray[np.uint8], Array]:
    """Return crops around boxes, (F, size, size, 3), and their image_to_crop matrices, (F, 2, 3).

    Args:
        image: RGB, (H, W, 3).
        boxes: (F, 4), image pixels.
        size: Side of the crops, pixels.
        padding: Side of the crop in the image as a multiple of the longer box side.
        rolls_deg: Rolls that the crops compensate, degrees, (F,), or a single one for all.

    Raises:
        ShapeError: If a box has no area or is not finite.
    """
    checked = as_boxes(boxes)
    rolls = np.broadcast_to(np.asarray(rolls_deg, dtype=np.float64), (len(checked),))
    affines = []
    for box, roll in zip(checked, rolls, strict=True):
        affines.append(crop_affine(box, size, padding, roll))
    return warp_all([image] * len(affines), affines, size), np.asarray(affines).reshape(
        -1, 2, 3
    )


def scale_and_shift(before: Array, now: Array, size: int) -> tuple[float, Array]:
    """Return the scale and shift (2,) from one crop to another: x' = scale x + shift.

    Rotation between the crops is ignored, taken about the center of the crop.

    Args:
        before: image_to_crop affine of the first crop, (2, 3).
        now: image_to_crop affine of the second crop, (2, 3).
        size: Side of both crops, pixels.
    """
    between = compose(now, invert_affine(before))
    middle = np.full(2, (size - 1) / 2)
    scale = affine_scale(between)
    return scale, apply_affine(between, middle) - scale * middle


def source_cells(
    cells: Any, length: int, size: int, scale: Any, shift: Any
) -> tuple[Any, Any, Any]:
    """Return the positions of `cells` before the crop moved, for interpolation between two cells.

    Args:
        cells: Indices along one axis; array or tensor, like `scale` and `shift`.
        length: Number of cells along the axis.
        size: Side of the crop, pixels.
        scale: Scale from the earlier to the current crop.
        shift: Shift from the earlier to the current crop, pixels.

    Returns:
        The cell below, the cell above, and the weight of the latter, all floats; positions
        outside the earlier crop are clamped to its outermost cells.
    """
    pixels = size / length
    old = (((cells + 0.5) * pixels - 0.5 - shift) / scale + 0.5) / pixels - 0.5
    inside = old.clip(0, length - 1)
    low = inside // 1
    return low, (low + 1).clip(0, length - 1), inside - low
