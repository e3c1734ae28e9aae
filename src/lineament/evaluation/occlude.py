"""Half of a face hidden, drawn from the name of its picture alone: what protocols that hide a half show a model."""

import hashlib
from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ..data.sample import Sample, bare_name
from ..geometry import box_center, box_side

SEED = 300
MARGIN = 1.1
"""How far the hidden half reaches beyond the box, as a factor."""


def shown(
    image: NDArray[np.uint8], samples: Sequence[Sample], hidden: Literal["nothing", "half"]
) -> NDArray[np.uint8]:
    """The picture (H, W, 3) as a protocol with that `hidden` shows it, with the faces `samples` in it."""
    if hidden == "half":
        for sample in samples:
            image = hide_half(image, sample)
    return image


def hide_half(image: NDArray[np.uint8], sample: Sample) -> NDArray[np.uint8]:
    """A copy of `image` (H, W, 3) in which one half of the tight box of the sample's landmarks has a plain color.

    The line between the halves goes through the box's centre at any angle; angle and color depend on the sample's name,
    but for its suffix.
    """
    digest = hashlib.sha1(bare_name(sample.name).encode(), usedforsecurity=False).digest()
    rng = np.random.default_rng([SEED, *digest[:8]])
    angle, color = rng.uniform(0, 2 * np.pi), rng.integers(0, 256, 3)
    center, half = box_center(sample.face_box()), MARGIN * box_side(sample.face_box()) / 2
    along, across = (
        np.array([np.cos(angle), np.sin(angle)]),
        np.array([-np.sin(angle), np.cos(angle)]),
    )
    # the half-plane, as a rectangle far larger than the box, and the box: hidden is where both are
    corners = np.stack(
        [
            center + a * 4 * half * across + b * 4 * half * along
            for a, b in ((-1, 0), (1, 0), (1, 1), (-1, 1))
        ]
    )
    plane, box = np.zeros(image.shape[:2], np.uint8), np.zeros(image.shape[:2], np.uint8)
    cv2.fillConvexPoly(plane, np.round(corners).astype(np.int32), (1,))
    x0, y0, x1, y1 = np.round([*(center - half), *(center + half)]).astype(int)
    box[max(y0, 0) : max(y1, 0) + 1, max(x0, 0) : max(x1, 0) + 1] = 1
    hidden = image.copy()
    hidden[(plane & box).astype(bool)] = color
    return hidden
