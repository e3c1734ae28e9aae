"""Augmentation: one affine moves image and landmarks, then colour, blur, JPEG, noise, low resolution and occluders.

Every draw comes from the generator given, so a sample's augmentation depends on its seed alone.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from ..crop import warp
from ..geometry import Array, apply_affine, box_center, box_side, compose, crop_affine, flip_affine
from ..recipe import Augmentation

Crop = NDArray[np.uint8]
Rng = np.random.Generator


def draw_affine(
    rng: Rng, box: Array, size: int, padding: float, settings: Augmentation
) -> tuple[Array, bool]:
    """A jittered image_to_crop affine (2, 3) around `box`, and whether it mirrors."""
    side = box_side(box)
    angle = rng.normal(0, settings.rotation_deg)
    if rng.random() < settings.wild_rotation:
        angle = rng.uniform(-settings.wild_rotation_deg, settings.wild_rotation_deg)
    scale = np.exp(np.clip(rng.normal(), -2.5, 2.5) * settings.scale)
    shift = np.clip(rng.normal(size=2), -2.5, 2.5) * settings.shift * side
    center = box_center(box) + shift
    jittered = np.concatenate([center - side * scale / 2, center + side * scale / 2])
    affine = crop_affine(jittered, size, padding, float(angle))
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
) -> tuple[Crop, Array, bool]:
    """An augmented crop (size, size, 3) of `image`, its landmarks (..., N, 2) in pixels of the crop, and whether it is
    mirrored."""
    affine, mirrored = draw_affine(rng, box, size, padding, settings)
    landmarks_crop = apply_affine(affine, landmarks)
    crop = photometric(rng, warp(image, affine, size), settings)
    if mirrored:
        landmarks_crop = landmarks_crop[..., mirror, :]
    return crop, landmarks_crop, mirrored


def photometric(rng: Rng, crop: Crop, settings: Augmentation) -> Crop:
    """`crop` with changes that move no point, each drawn by its own probability."""
    steps = (
        (settings.color, change_color),
        (settings.grey, make_grey),
        (settings.occlusion, occlude),
        (settings.dark, darken),
        (settings.blur, blur),
        (settings.low_resolution, lower_resolution),
        (settings.noise, add_noise),
        (settings.jpeg, compress),
    )
    for probability, change in steps:
        if rng.random() < probability:
            crop = change(rng, crop)
    return crop


def change_color(rng: Rng, crop: Crop) -> Crop:
    """Brightness, contrast, gamma and a tint of each channel, by a look-up table."""
    levels = np.linspace(0, 1, 256)[:, None] ** np.exp(rng.normal(0, 0.25))
    gains = np.exp(rng.normal(0, 0.2)) * np.exp(rng.normal(0, 0.08, 3))
    table = np.clip(((levels - 0.5) * gains + 0.5 + rng.normal(0, 0.1)) * 255, 0, 255).astype(
        np.uint8
    )
    return np.asarray(cv2.LUT(crop, table[:, None, :]), dtype=np.uint8)


def make_grey(rng: Rng, crop: Crop) -> Crop:
    """The picture without colour."""
    return np.repeat(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def darken(rng: Rng, crop: Crop) -> Crop:
    """A very dark picture, or a hard shadow over one side of it."""
    strength = rng.uniform(0.1, 0.45)
    if rng.random() < 0.5:
        return np.asarray(crop * strength, dtype=np.uint8)
    size = crop.shape[0]
    normal = rng.normal(size=2)
    normal /= np.linalg.norm(normal) + 1e-9
    rows, columns = np.mgrid[0:size, 0:size]
    side = (
        (columns - size / 2) * normal[0]
        + (rows - size / 2) * normal[1]
        + rng.uniform(-0.2, 0.2) * size
    )
    lit = np.clip(side / rng.uniform(1, 0.1 * size) + 0.5, 0, 1)[..., None]
    return np.asarray(crop * (lit + (1 - lit) * strength), dtype=np.uint8)


def blur(rng: Rng, crop: Crop) -> Crop:
    """Gaussian blur, or blur along a line."""
    size = crop.shape[0]
    if rng.random() < 0.5:
        return np.asarray(
            cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.005, 0.022) * size), dtype=np.uint8
        )
    length = (
        max(3, int(rng.uniform(0.02, 0.09) * size)) | 1
    )  # odd: an even kernel would shift the picture
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1 / length
    center = ((length - 1) / 2, (length - 1) / 2)
    turned = cv2.warpAffine(
        kernel, cv2.getRotationMatrix2D(center, rng.uniform(0, 180), 1), (length, length)
    )
    return np.asarray(cv2.filter2D(crop, -1, turned / max(turned.sum(), 1e-6)), dtype=np.uint8)


def lower_resolution(rng: Rng, crop: Crop) -> Crop:
    """The picture as a camera with fewer pixels sees it."""
    size = crop.shape[0]
    small = max(8, int(size * rng.uniform(0.15, 0.6)))
    shrunk = cv2.resize(crop, (small, small), interpolation=cv2.INTER_AREA)
    # INTER_NEAREST would shift the picture by half a pixel
    grow = cv2.INTER_LINEAR if rng.random() < 0.7 else cv2.INTER_NEAREST_EXACT
    return np.asarray(cv2.resize(shrunk, (size, size), interpolation=grow), dtype=np.uint8)


def add_noise(rng: Rng, crop: Crop) -> Crop:
    """Gaussian noise, in colour or grey."""
    channels = 3 if rng.random() < 0.5 else 1
    noise = rng.normal(0, rng.uniform(3, 25), (*crop.shape[:2], channels)).astype(np.float32)
    return np.asarray(np.clip(crop + noise, 0, 255), dtype=np.uint8)


def compress(rng: Rng, crop: Crop) -> Crop:
    """The picture after strong JPEG compression."""
    _, data = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(8, 50))])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)


def occlude(rng: Rng, crop: Crop) -> Crop:
    """One to three rectangles or ellipses of plain colour, noise or another part of the same picture."""
    crop = crop.copy()
    size = crop.shape[0]
    for _ in range(int(rng.integers(1, 4))):
        center = rng.uniform(0.05, 0.95, 2) * size
        axes = np.maximum(rng.uniform(0.04, 0.22, 2) * size, 1)
        mask = np.zeros((size, size), np.uint8)
        angle = float(rng.uniform(0, 180))
        if rng.random() < 0.5:
            cv2.ellipse(
                mask, (tuple(center.tolist()), tuple((2 * axes).tolist()), angle), (255,), -1
            )
        else:
            corners = cv2.boxPoints((tuple(center.tolist()), tuple((2 * axes).tolist()), angle))
            cv2.fillConvexPoly(mask, corners.astype(np.int32), (255,))
        crop[mask > 0] = _filling(rng, crop)[mask > 0]
    return crop


def _filling(rng: Rng, crop: Crop) -> Crop:
    kind = rng.random()
    if kind < 0.4:
        return np.broadcast_to(rng.integers(0, 256, 3).astype(np.uint8), crop.shape)
    if kind < 0.6:
        return rng.integers(0, 256, crop.shape, dtype=np.uint8)
    shift = rng.integers(crop.shape[0] // 4, crop.shape[0] * 3 // 4, 2)
    return np.roll(crop, tuple(int(s) for s in shift), (0, 1))
