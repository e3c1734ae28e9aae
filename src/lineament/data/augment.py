"""Augmentation: one affine moves image and landmarks; the crop is then degraded.

All random draws come from the given generator, so the result depends only on its seed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..crop import warp
from ..geometry import (
    Array,
    apply_affine,
    box_center,
    box_side,
    compose,
    crop_affine,
    flip_affine,
)
from ..recipe.data import Augmentation
from .degrade import Rng, photometric

Crop = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class AugmentedCrop:
    """An augmented crop with its landmarks."""

    crop: Crop
    """RGB, (S, S, 3)."""
    landmarks: Array
    """(..., N, 2), pixels of the crop."""
    mirrored: bool
    affine: Array
    """image_to_crop affine, (2, 3)."""
    covered: NDArray[np.bool_]
    """Mask (..., N) of points under an occluder or beyond the image border."""


def draw_affine(
    rng: Rng, box: Array, size: int, padding: float, settings: Augmentation
) -> tuple[Array, bool]:
    """Return a random image_to_crop matrix (2, 3) around `box` (4,), and whether it mirrors."""
    side = box_side(box)
    angle = rng.normal(0, settings.rotation_deg)
    if rng.random() < settings.large_rotation:
        angle = rng.uniform(-settings.large_rotation_deg, settings.large_rotation_deg)
    scale = np.exp(np.clip(rng.normal(), -2.5, 2.5) * settings.scale)
    shift = np.clip(rng.normal(size=2), -2.5, 2.5) * settings.shift * side
    center = box_center(box) + shift
    noisy = np.concatenate([center - side * scale / 2, center + side * scale / 2])
    affine = crop_affine(noisy, size, padding, float(angle))
    mirrored = bool(rng.random() < settings.flip)
    return (compose(flip_affine(size), affine) if mirrored else affine), mirrored


def augment(
    rng: Rng,
    image: NDArray[np.uint8],
    landmarks: Array,
    box: Array,
    mirror: NDArray[np.intp],
    size: int,
    padding: float,
    settings: Augmentation,
    affine: Array | None = None,
) -> AugmentedCrop:
    """Return an augmented crop with its landmarks.

    Args:
        rng: Source of all random draws.
        image: RGB (H, W, 3).
        landmarks: (..., N, 2), pixels of the image.
        box: Face box (4,), pixels of the image.
        mirror: Permutation of landmarks under a flip, (N,).
        size: Side of the crop, pixels.
        padding: Side of the crop as a multiple of the longer box side.
        settings: Ranges and probabilities of the augmentations.
        affine: image_to_crop affine, (2, 3), without mirroring; None: drawn at random.
    """
    mirrored = False
    if affine is None:
        affine, mirrored = draw_affine(rng, box, size, padding, settings)
    landmarks_crop = apply_affine(affine, landmarks)
    if mirrored:
        landmarks_crop = landmarks_crop[..., mirror, :]
    mask = np.zeros((size, size), np.uint8)
    crop = photometric(rng, warp(image, affine, size), settings, mask)
    covered = covered_points(landmarks_crop, mask)
    return AugmentedCrop(crop, landmarks_crop, mirrored, affine, covered)


def covered_points(landmarks: Array, mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return a mask (..., N) of the `landmarks` (..., N, 2) on nonzero pixels of `mask` (S, S)."""
    size = len(mask)
    inside = np.asarray(((landmarks > -0.5) & (landmarks < size - 0.5)).all(-1))
    cells = np.where(inside[..., None], landmarks, 0).round().astype(int)
    return np.asarray(inside & (mask[cells[..., 1], cells[..., 0]] > 0))
