"""What stands between a face and the detector: masks, hands and bars before it, darkness, blur, JPEG, few pixels."""

import cv2
import numpy as np
from numpy.typing import NDArray

from ...geometry import Array

Picture = NDArray[np.uint8]
Random = np.random.Generator


def occlude(image: Picture, boxes: Array, roll_deg: Array, random: Random) -> Picture:
    """`image` with some faces covered in part: a mask over the lower half, a bar over the eyes, a blot anywhere.

    boxes: (F, 4), roll_deg: (F,).
    """
    image = np.ascontiguousarray(image)
    for box, roll in zip(boxes, roll_deg, strict=True):
        what = random.random()
        if what > 0.28:
            continue
        size = box[2:] - box[:2]
        center = (box[:2] + box[2:]) / 2
        down = np.array([-np.sin(np.deg2rad(roll)), np.cos(np.deg2rad(roll))])
        side = float(np.sqrt(size.prod()))
        if what < 0.10:
            middle, extent = (
                center + down * side * random.uniform(0.22, 0.3),
                (0.75, random.uniform(0.5, 0.6)),
            )
        elif what < 0.16:
            middle, extent = (
                center - down * side * random.uniform(0.1, 0.3),
                (random.uniform(0.8, 1.2), 0.25),
            )
        else:
            middle = center + size * random.uniform(-0.5, 0.5, 2)
            extent = tuple(random.uniform(0.2, 0.6, 2).tolist())
        cover(image, middle, (extent[0] * side, extent[1] * side), float(roll), random)
    return image


def cover(
    image: Picture, center: Array, size: tuple[float, float], roll_deg: float, random: Random
) -> None:
    """Draw a shaded ellipse or a turned rectangle of one color, in place."""
    mask = np.zeros(image.shape[:2], np.uint8)
    turned = (tuple(center.tolist()), size, roll_deg + float(random.normal(0, 8)))
    if random.random() < 0.5:
        cv2.ellipse(mask, turned, (255,), -1)
    else:
        cv2.fillPoly(mask, [cv2.boxPoints(turned).round().astype(np.int32)], (255,))
    rows, columns = np.nonzero(mask)
    if len(rows) == 0:
        return
    color = random.integers(0, 256, 3)
    if random.random() < 0.4:
        # skin and cloth are near the colors that are there
        color = image[rows[0], columns[0]].astype(np.int64)
    shade = (
        1
        + random.uniform(-0.25, 0.25) * np.linspace(-1, 1, len(rows))[:, None]
        + random.normal(0, 0.03)
    )
    image[rows, columns] = np.clip(color * shade, 0, 255).astype(np.uint8)


def degrade(image: Picture, random: Random) -> tuple[Picture, float]:
    """`image` (H, W, 3) in another light and through a worse camera, each defect by chance; and the side in pixels
    below which a face in it is past recognition.
    """
    height, width = image.shape[:2]
    least = 0.0
    if random.random() < 0.2:
        factor = float(np.exp(random.uniform(np.log(0.12), np.log(0.8))))
        least = 6 / factor
        small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        image = np.asarray(
            cv2.resize(small, (width, height), interpolation=int(random.integers(0, 3))), np.uint8
        )
    chance = random.random()
    if chance < 0.12:
        sigma = float(np.exp(random.uniform(np.log(0.5), np.log(4.5))))
        least = max(least, 6 * sigma)
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)
    elif chance < 0.2:
        kernel = motion_kernel(random)
        least = max(least, 2.0 * len(kernel))
        image = np.asarray(cv2.filter2D(image, -1, kernel), np.uint8)
    image = recolor(image, random)
    if random.random() < 0.15:
        image = grain(image, float(random.uniform(2, 14)), random)
    if random.random() < 0.25:
        quality = int(random.integers(15, 80))
        coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(image, dtype=np.uint8), least


def recolor(image: Picture, random: Random) -> Picture:
    """Brightness, contrast, gamma, color cast and grey, by one table for each channel."""
    levels = np.arange(256) / 255
    gamma = float(np.exp(random.normal(0, 0.3)))
    gain = random.uniform(0.7, 1.3)
    if random.random() < 0.15:
        gain, gamma = (
            float(np.exp(random.uniform(np.log(0.07), np.log(0.5)))),
            random.uniform(1.0, 1.8),
        )
    shift = random.uniform(-0.12, 0.12) * min(gain, 1.0)
    cast = random.uniform(0.85, 1.15, 3)
    table = np.stack(
        [((levels**gamma - 0.5) * gain * c + 0.5 * min(gain, 1.0) + shift) * 255 for c in cast], 1
    )
    image = np.asarray(cv2.LUT(image, np.clip(table, 0, 255).astype(np.uint8)[None]), np.uint8)
    if random.random() < 0.25:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        image = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
    if random.random() < 0.1:
        image = image[..., ::-1]
    return np.ascontiguousarray(image)


def motion_kernel(random: Random) -> NDArray[np.float32]:
    """A line of 3 to 9 pixels in any direction, summing to 1."""
    length = int(random.integers(1, 5)) * 2 + 1
    kernel = np.zeros((length, length), np.float32)
    angle = random.uniform(0, np.pi)
    tip = np.array([np.cos(angle), np.sin(angle)]) * (length // 2)
    middle = length // 2
    ends = [tuple(np.round(middle + sign * tip).astype(int).tolist()) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], (1.0,))
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)


def grain(image: Picture, strength: float, random: Random) -> Picture:
    """`image` with noise of standard deviation `strength`."""
    noise = random.standard_normal((image.shape[0], image.shape[1], 1), dtype=np.float32) * strength
    return np.asarray(np.clip(image + noise, 0, 255), dtype=np.uint8)
