"""Image degradations: camera defects, lighting and occluders; depends on OpenCV.

All random draws come from the given generator. `photometric` degrades crops of one face;
`degrade_scene` and `occlude_faces` degrade images with several. Both use the functions below.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from cv2.typing import MatLike
from numpy.typing import ArrayLike, NDArray

from ..geometry import Array
from ..opencv import cv2
from ..recipe.data import Augmentation

Image = NDArray[np.uint8]
Rng = np.random.Generator


def photometric(
    rng: Rng, crop: Image, settings: Augmentation, covered: Image | None = None
) -> Image:
    """Apply photometric changes to `crop` (S, S, 3), each with its own probability.

    Args:
        covered: (S, S), set to 1 where an occluder or the image border covers the crop.
    """
    mask = np.zeros(crop.shape[:2], np.uint8) if covered is None else covered
    steps: tuple[tuple[float, Callable[[Rng, Image], Image]], ...] = (
        (settings.color, change_color),
        (settings.gray, make_gray),
        (settings.occlusion, partial(occlude, covered=mask)),
        (settings.dark, darken),
        (settings.blur, blur),
        (settings.low_resolution, lower_resolution),
        (settings.noise, add_noise),
        (settings.jpeg, compress),
        (settings.border, partial(blacken_side, covered=mask)),
    )
    for probability, change in steps:
        if rng.random() < probability:
            crop = change(rng, crop)
    return crop


def degrade_scene(rng: Rng, image: Image) -> tuple[Image, float]:
    """Randomly change the lighting of `image` (H, W, 3) and add camera defects.

    Returns:
        The image, and the face side in pixels below which a face is no longer recognizable.
    """
    min_side = 0.0
    if rng.random() < 0.2:
        factor = log_uniform(rng, 0.12, 0.8)
        min_side = 6 / factor
        small = cv2.resize(
            image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA
        )
        image = enlarge(small, image.shape, int(rng.integers(0, 3)))
    chance = rng.random()
    if chance < 0.12:
        sigma = log_uniform(rng, 0.5, 4.5)
        min_side = max(min_side, 6 * sigma)
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)
    elif chance < 0.2:
        length = int(rng.integers(1, 5)) * 2 + 1
        min_side = max(min_side, 2.0 * length)
        image = np.asarray(
            cv2.filter2D(image, -1, drawn_line(length, rng.uniform(0, np.pi)))
        )
    image = recolor_scene(rng, image)
    if rng.random() < 0.15:
        deviation = float(rng.uniform(2, 14))
        noise = rng.standard_normal((*image.shape[:2], 1), dtype=np.float32)
        image = to_bytes(image + noise * deviation)
    if rng.random() < 0.25:
        image = jpeg(image, int(rng.integers(15, 80)))
    return np.ascontiguousarray(image, dtype=np.uint8), min_side


def occlude_faces(rng: Rng, image: Image, boxes: Array, roll_deg: Array) -> Image:
    """Partly cover about a quarter of the faces with a mask, a bar over the eyes, or a blob.

    Args:
        boxes: Tight boxes, (F, 4), pixels.
        roll_deg: Roll of each face, (F,).
    """
    image = np.ascontiguousarray(image)
    for box, roll in zip(boxes, roll_deg, strict=True):
        kind = rng.random()
        if kind > 0.28:
            continue
        size = box[2:] - box[:2]
        center = (box[:2] + box[2:]) / 2
        down = np.array([-np.sin(np.deg2rad(roll)), np.cos(np.deg2rad(roll))])
        side = float(np.sqrt(size.prod()))
        if kind < 0.10:
            center = center + down * side * rng.uniform(0.22, 0.3)
            extent = [0.75, rng.uniform(0.5, 0.6)]
        elif kind < 0.16:
            center = center - down * side * rng.uniform(0.1, 0.3)
            extent = [rng.uniform(0.8, 1.2), 0.25]
        else:
            center = center + size * rng.uniform(-0.5, 0.5, 2)
            extent = rng.uniform(0.2, 0.6, 2).tolist()
        _cover(rng, image, center, np.array(extent) * side, float(roll))
    return image


def _cover(rng: Rng, image: Image, center: Array, size: Array, roll_deg: float) -> None:
    """Draw a shaded ellipse or rotated rectangle of one color into `image`."""
    angle_deg = roll_deg + float(rng.normal(0, 8))
    mask = rotated_shape(image.shape, center, size, angle_deg, bool(rng.random() < 0.5))
    rows, columns = np.nonzero(mask)
    if len(rows) == 0:
        return
    color = rng.integers(0, 256, 3)
    if rng.random() < 0.4:
        # skin and cloth have colors similar to their surroundings
        color = image[rows[0], columns[0]].astype(np.int64)
    slope = rng.uniform(-0.25, 0.25) * np.linspace(-1, 1, len(rows))[:, None]
    image[rows, columns] = to_bytes(color * (1 + slope + rng.normal(0, 0.03)))


def recolor_scene(rng: Rng, image: Image) -> Image:
    """Change brightness, contrast, gamma and tint, convert to gray, or swap red and blue."""
    levels = np.arange(256)[:, None] / 255
    gamma = float(np.exp(rng.normal(0, 0.3)))
    gain = rng.uniform(0.7, 1.3)
    if rng.random() < 0.15:
        gain = log_uniform(rng, 0.07, 0.5)
        gamma = rng.uniform(1.0, 1.8)
    shift = rng.uniform(-0.12, 0.12) * min(gain, 1.0)
    tint = rng.uniform(0.85, 1.15, 3)
    image = map_levels(
        image, (levels**gamma - 0.5) * gain * tint + 0.5 * min(gain, 1.0) + shift
    )
    if rng.random() < 0.25:
        image = make_gray(rng, image)
    if rng.random() < 0.1:
        image = image[..., ::-1]
    return np.ascontiguousarray(image)


def change_color(rng: Rng, crop: Image) -> Image:
    """Change brightness, contrast, gamma and the tint of each channel."""
    levels = np.linspace(0, 1, 256)[:, None] ** np.exp(rng.normal(0, 0.25))
    gains = np.exp(rng.normal(0, 0.2)) * np.exp(rng.normal(0, 0.08, 3))
    return map_levels(crop, (levels - 0.5) * gains + 0.5 + rng.normal(0, 0.1))


def make_gray(rng: Rng, image: Image) -> Image:
    """Convert to gray, keeping three channels."""
    return np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def darken(rng: Rng, crop: Image) -> Image:
    """Darken `crop`, or cast a hard shadow over one side of it."""
    strength = rng.uniform(0.1, 0.45)
    if rng.random() < 0.5:
        return np.asarray(crop * strength, dtype=np.uint8)
    size = crop.shape[0]
    normal = rng.normal(size=2)
    normal /= np.linalg.norm(normal) + 1e-9
    rows, columns = np.mgrid[0:size, 0:size]
    along = (columns - size / 2) * normal[0] + (rows - size / 2) * normal[1]
    distance = along + rng.uniform(-0.2, 0.2) * size
    brightness = np.clip(distance / rng.uniform(1, 0.1 * size) + 0.5, 0, 1)[..., None]
    return np.asarray(crop * (brightness + (1 - brightness) * strength), dtype=np.uint8)


def blur(rng: Rng, crop: Image) -> Image:
    """Apply a Gaussian or motion blur."""
    size = crop.shape[0]
    if rng.random() < 0.5:
        sigma = rng.uniform(0.005, 0.022) * size
        return np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma), dtype=np.uint8)
    length = max(3, int(rng.uniform(0.02, 0.09) * size)) | 1
    kernel = smooth_line(length, rng.uniform(0, 180))
    return np.asarray(cv2.filter2D(crop, -1, kernel), dtype=np.uint8)


def lower_resolution(rng: Rng, crop: Image) -> Image:
    """Downscale `crop` and scale it back up, like a low-resolution camera."""
    small = max(8, int(crop.shape[0] * rng.uniform(0.15, 0.6)))
    shrunk = cv2.resize(crop, (small, small), interpolation=cv2.INTER_AREA)
    # plain INTER_NEAREST would shift the image by half a pixel
    kind = cv2.INTER_LINEAR if rng.random() < 0.7 else cv2.INTER_NEAREST_EXACT
    return enlarge(shrunk, crop.shape, kind)


def add_noise(rng: Rng, crop: Image) -> Image:
    """Add Gaussian noise, in color or gray."""
    channels = 3 if rng.random() < 0.5 else 1
    noise = rng.normal(0, rng.uniform(3, 25), (*crop.shape[:2], channels))
    return to_bytes(crop + noise.astype(np.float32))


def compress(rng: Rng, crop: Image) -> Image:
    """Apply strong JPEG compression."""
    return jpeg(crop, int(rng.integers(8, 50)))


def occlude(rng: Rng, crop: Image, covered: Image) -> Image:
    """Draw one to three rectangles or ellipses of one color, noise or another part of `crop`.

    Args:
        covered: (S, S), set to 1 under the shapes.
    """
    crop = crop.copy()
    size = crop.shape[0]
    for _ in range(int(rng.integers(1, 4))):
        center = rng.uniform(0.05, 0.95, 2) * size
        axes = np.maximum(rng.uniform(0.04, 0.22, 2) * size, 1)
        angle_deg = float(rng.uniform(0, 180))
        ellipse = bool(rng.random() < 0.5)
        mask = rotated_shape(
            crop.shape, center, 2 * axes, angle_deg, ellipse, rounded=False
        )
        crop[mask > 0] = _filling(rng, crop)[mask > 0]
        covered[mask > 0] = 1
    return crop


def blacken_side(rng: Rng, crop: Image, covered: Image) -> Image:
    """Blacken one side of `crop`, as if it extended beyond the image border.

    Args:
        covered: (S, S), set to 1 in the black area.
    """
    size = crop.shape[0]
    angle = np.deg2rad(90 * rng.integers(0, 4) + rng.normal(0, 10))
    rows, columns = np.mgrid[0:size, 0:size] - (size - 1) / 2
    along = columns * np.cos(angle) + rows * np.sin(angle)
    outside = along > (0.5 - rng.uniform(0.02, 0.35)) * size
    covered[outside] = 1
    return np.where(outside[..., None], np.uint8(0), crop)


def _filling(rng: Rng, crop: Image) -> Image:
    kind = rng.random()
    if kind < 0.4:
        return np.broadcast_to(rng.integers(0, 256, 3).astype(np.uint8), crop.shape)
    if kind < 0.6:
        return rng.integers(0, 256, crop.shape, dtype=np.uint8)
    shift = rng.integers(crop.shape[0] // 4, crop.shape[0] * 3 // 4, 2)
    return np.roll(crop, tuple(int(s) for s in shift), (0, 1))


def log_uniform(rng: Rng, low: float, high: float) -> float:
    """Return a log-uniform random number in [low, high)."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def to_bytes(image: ArrayLike) -> Image:
    """Clip to [0, 255] and truncate to integers."""
    return np.asarray(np.clip(image, 0, 255), dtype=np.uint8)


def map_levels(image: Image, table: Array) -> Image:
    """Map the levels of each channel by the lookup table `table` (256, 3) in [0, 1], clipped."""
    return np.asarray(cv2.LUT(image, to_bytes(table * 255)[None]), dtype=np.uint8)


def enlarge(small: MatLike, shape: tuple[int, ...], interpolation: int) -> Image:
    """Resize `small` to the height and width of `shape`."""
    size = (shape[1], shape[0])
    return np.asarray(
        cv2.resize(small, size, interpolation=interpolation), dtype=np.uint8
    )


def jpeg(image: Image, quality: int) -> Image:
    """Encode (H, W, 3) as JPEG and decode it, treating the channels as BGR."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)


def smooth_line(length: int, angle_deg: float) -> NDArray[np.float32]:
    """Return a motion blur kernel: an antialiased line of odd `length`; even ones shift images."""
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1 / length
    center = ((length - 1) / 2, (length - 1) / 2)
    turn = cv2.getRotationMatrix2D(center, angle_deg, 1)
    rotated = cv2.warpAffine(kernel, turn, (length, length))
    return np.asarray(rotated / max(rotated.sum(), 1e-6), dtype=np.float32)


def drawn_line(length: int, angle: float) -> NDArray[np.float32]:
    """Return a motion blur kernel: a line of odd `length` in whole pixels; `angle` in radians."""
    kernel = np.zeros((length, length), np.float32)
    middle = length // 2
    tip = np.array([np.cos(angle), np.sin(angle)]) * middle
    start, end = np.round(middle - tip), np.round(middle + tip)
    cv2.line(kernel, start.astype(int).tolist(), end.astype(int).tolist(), (1.0,))
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)


def rotated_shape(
    shape: tuple[int, ...],
    center: Array,
    size: Array,
    angle_deg: float,
    ellipse: bool,
    rounded: bool = True,
) -> Image:
    """Return a mask (H, W) that is 1 inside a rotated rectangle or its inscribed ellipse.

    Args:
        shape: Shape of the image, (H, W, ...).
        center: Center (x, y), pixels.
        size: Width and height before rotation, pixels.
        rounded: Round corners to whole pixels; False truncates them, as landmark training has
            always done.
    """
    mask = np.zeros(shape[:2], np.uint8)
    rotated = (center.tolist(), size.tolist(), angle_deg)
    if ellipse:
        cv2.ellipse(mask, rotated, (1,), -1)
    else:
        corners = cv2.boxPoints(rotated)
        if rounded:
            cv2.fillPoly(mask, [corners.round().astype(np.int32)], (1,))
        else:
            cv2.fillConvexPoly(mask, corners.astype(np.int32), (1,))
    return mask
