"""Changes of an image that make a face harder: darker, blurred, with sunglasses, half covered."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..data.sample import Sample
from ..geometry import Array, box_side
from ..opencv import cv2
from ..schemes import scheme
from .occlude import occlude_half

Image = NDArray[np.uint8]
Change = tuple[str, float]
"""(kind, amount), as in Perturbed."""
BRIGHTNESS = (0.25, 0.1)
BLURS = (0.02, 0.04)
"""Standard deviations of the blur as a multiple of the longer side of the face box."""
GLASSES = ("glasses", 1.0)
OCCLUSION = ("occlusion", 0.5)
LENS, BRIDGE = (0.36, 0.28), 0.06
"""Semi-axes of a lens, and thickness of the bridge, in distances between the eye centers."""
LENS_COLOR = (25, 25, 30)


def cover_half(image: Image, face: Sample) -> Image:
    """Return a copy of an image (H, W, 3) with half of the face box in a plain color."""
    return occlude_half(image, face)[0]


def darken(image: Image, face: Sample, brightness: float) -> Image:
    """Return an image (H, W, 3) times `brightness`, rounded to whole gray levels."""
    return np.round(image * brightness).astype(np.uint8)


def blur(image: Image, face: Sample, amount: float) -> Image:
    """Return an image (H, W, 3), blurred by `amount` longer sides of the face box."""
    sigma = amount * box_side(face.face_box())
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def draw_sunglasses(image: Image, face: Sample) -> Image:
    """Return a copy of an image (H, W, 3) with dark lenses over the eyes and a bridge between.

    A face without annotated eyes is unchanged.
    """
    changed = image.copy()
    centers = eye_centers(face)
    if centers is None:
        return changed
    between = centers[1] - centers[0]
    distance = float(np.hypot(*between))
    angle = float(np.degrees(np.arctan2(between[1], between[0])))
    axes = (distance * LENS[0], distance * LENS[1])
    for center in centers:
        ellipse = (tuple(center.tolist()), (2 * axes[0], 2 * axes[1]), angle)
        cv2.ellipse(changed, ellipse, LENS_COLOR, -1)
    first, second = np.round(centers).astype(int).tolist()
    cv2.line(changed, first, second, LENS_COLOR, max(1, round(BRIDGE * distance)))
    return changed


def eye_centers(face: Sample) -> Array | None:
    """Return the means (2, 2) of the points of both eyes; None if one has no annotated point."""
    parts = scheme(face.scheme).parts
    centers = []
    for name in ("right_eye", "left_eye"):
        points = face.landmarks[list(parts.get(name, ()))]
        points = points[np.isfinite(points).all(1)]
        if not len(points):
            return None
        centers.append(points.mean(0))
    return np.stack(centers)


IMAGE_CHANGES: dict[Change, Callable[[Image, Sample], Image]] = {
    **{
        ("brightness", amount): partial(darken, brightness=amount)
        for amount in BRIGHTNESS
    },
    **{("blur", amount): partial(blur, amount=amount) for amount in BLURS},
    GLASSES: draw_sunglasses,
    OCCLUSION: cover_half,
}
"""Functions by change; each returns a changed copy of an image (H, W, 3)."""
