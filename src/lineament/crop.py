"""Image and boxes -> crops: each by one similarity transform, at any rotation, sub-pixel both ways."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .geometry import Array, affine_scale, compose, crop_affine, invert_affine, resize_affine


def warp(image: NDArray[np.uint8], image_to_crop: ArrayLike, size: int) -> NDArray[np.uint8]:
    """The crop (size, size, 3) that `image_to_crop` (2, 3) shows of `image` (H, W, 3); black beyond the image.

    Below half size the image is first shrunk by area, so that nothing aliases.
    """
    affine = np.asarray(image_to_crop, dtype=np.float64)
    scale = affine_scale(affine)
    if scale < 0.5:
        image, affine = _shrink_by_area(image, affine, 2 * scale)
    return cv2.warpAffine(image, affine, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def _shrink_by_area(image: NDArray[np.uint8], affine: Array, scale: float) -> tuple[NDArray[np.uint8], Array]:
    height, width = image.shape[:2]
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    resize = resize_affine(small[0] / width, small[1] / height)
    undo = invert_affine(resize)
    return cv2.resize(image, small, interpolation=cv2.INTER_AREA), compose(affine, undo)


def cut_crops(
    image: NDArray[np.uint8], boxes: Sequence[ArrayLike] | Array, size: int, padding: float, rolls_deg: ArrayLike = 0.0
) -> tuple[NDArray[np.uint8], Array]:
    """The crops (F, size, size, 3) around `boxes` (F, 4) of `image`, and their image_to_crop affines (F, 2, 3).

    padding: the side of the crop in longer sides of the box.    rolls_deg: (F,) or one angle for all.
    """
    rolls = np.broadcast_to(np.asarray(rolls_deg, dtype=np.float64), (len(boxes),))
    affines = [crop_affine(box, size, padding, roll) for box, roll in zip(boxes, rolls, strict=True)]
    if not affines:
        return np.zeros((0, size, size, 3), np.uint8), np.zeros((0, 2, 3))
    return np.stack([warp(image, affine, size) for affine in affines]), np.stack(affines)
