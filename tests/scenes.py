"""Frames with moving faces, made of the free photographs in docs/pictures."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from lineament import read_image

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
# hand-drawn boxes around the heads: x0, y0, x1, y1
HEADS = {"astronaut": (150, 20, 300, 210), "grace_hopper": (135, 60, 375, 390)}
WIDTH, HEIGHT = 320, 240


@cache
def head(name, height):
    """Return the head of a photo, `height` pixels high, and its soft mask (h, w, 1)."""
    x0, y0, x1, y1 = HEADS[name]
    picture = read_image(PICTURES / f"{name}.jpg")[y0:y1, x0:x1]
    width = round(height * (x1 - x0) / (y1 - y0))
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA).astype(
        np.float32
    )
    y, x = np.mgrid[:height, :width]
    away = np.hypot((x - (width - 1) / 2) / width, (y - (height - 1) / 2) / height) * 2
    return small, np.clip((1.0 - away) * 12, 0, 1)[..., None].astype(np.float32)


def background(seed=0):
    """Return a smooth image without a face."""
    noise = np.random.default_rng(seed).uniform(60, 180, (7, 9, 3)).astype(np.float32)
    return cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).clip(
        0, 255
    )


def scene(*faces, seed=0):
    """Return a frame (240, 320, 3) with heads (name, height, center x, center y), last in front."""
    canvas = background(seed)
    for name, height, x, y in faces:
        small, mask = head(name, height)
        # warped rather than pasted, for sub-pixel positions
        shift = np.array(
            [
                [1, 0, x - (small.shape[1] - 1) / 2],
                [0, 1, y - (small.shape[0] - 1) / 2],
            ],
            np.float32,
        )
        size = (WIDTH, HEIGHT)
        cover = cv2.warpAffine(mask, shift, size, flags=cv2.INTER_LINEAR)[..., None]
        canvas = canvas * (1 - cover) + cover * cv2.warpAffine(
            small, shift, size, flags=cv2.INTER_LINEAR
        )
    return np.rint(canvas).clip(0, 255).astype(np.uint8)
