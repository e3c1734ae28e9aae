"""Detect coordinates in a data set that are fractions or percent of the image, not pixels."""

from collections.abc import Sequence

import numpy as np

from ..errors import DataError
from .readers.image_finder import image_size
from .sample import Sample

MIN_FACES = 3
"""Minimum number of faces that must all look like percent; one small face may be in a corner."""
MIN_SIDE = 250
"""Minimum shorter image side, pixels, at which faces within the first 100 pixels are unusual."""
MAX_IMAGES = 50
"""Maximum number of images whose size is read."""


def unit_fault(samples: Sequence[Sample]) -> str:
    """Return why the points of a set cannot be pixels, and a remedy; empty if they may be."""
    largest = [float(np.nanmax(s.landmarks)) for s in samples if _is_known(s)]
    smallest = [float(np.nanmin(s.landmarks)) for s in samples if _is_known(s)]
    if not largest:
        return ""
    span = f"all points lie between {min(smallest):.3g} and {max(largest):.3g}"
    if max(largest) <= 1.5:
        return (
            f"{span}: fractions of the image, not pixels; multiply x by its width and y by its "
            "height, in pixels"
        )
    if max(largest) <= 100 and min(smallest) >= 0 and _images_are_large(samples):
        return (
            f"{span}, in images of more than {MIN_SIDE} pixels: percent of the image, not pixels; "
            "multiply x by a hundredth of its width and y by a hundredth of its height"
        )
    return ""


def _is_known(sample: Sample) -> bool:
    return bool(np.isfinite(sample.landmarks).any())


def _images_are_large(samples: Sequence[Sample]) -> bool:
    """Return True if there are several faces, all in images larger than MIN_SIDE."""
    if len(samples) < MIN_FACES:
        return False
    images = dict.fromkeys(s.image for s in samples if s.frame is None)
    sizes = []
    for image in list(images)[:MAX_IMAGES]:
        try:
            sizes.append(min(image_size(image)))
        except DataError:
            continue
    return bool(sizes) and min(sizes) > MIN_SIDE
