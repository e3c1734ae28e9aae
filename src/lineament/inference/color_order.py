"""A hint to those who give arrays of OpenCV, whose channels are BGR, as RGB."""

import warnings
from typing import Any

import numpy as np

from ..face import Faces
from ..geometry import Array, Image

MIN_BLUE_EXCESS = 15.0
"""Blue over red in the middle of a face, of 255, from which channels are doubted: no face of 150
of 300W's train set has it, and 88 % of them have it if their channels are swapped."""
SAMPLES = 32
"""Pixels per side of a face that are looked at."""


def warn_of_bgr(source: Any, faces: Faces) -> Faces:
    """Return `faces`; warn if those of an RGB array are blue, by the median of all.

    Args:
        source: The image as it was given; only arrays may have the wrong order.
        faces: The faces found in it.
    """
    is_color = isinstance(source, np.ndarray) and source.dtype == np.uint8
    if not len(faces) or not is_color or source.ndim != 3 or source.shape[2] != 3:
        return faces
    excess = [_blue_excess(source, box) for box in faces.boxes]
    if float(np.median(excess)) > MIN_BLUE_EXCESS:
        warnings.warn(
            "the faces in an array are blue: channels seem to be BGR, as OpenCV reads "
            "them; pass read_image(array, order='bgr'), or silence this warning if "
            "the light is blue",
            stacklevel=3,
        )
    return faces


def _blue_excess(image: Image, box: Array) -> float:
    """Return the mean of blue minus red in the middle half of a box; 0 outside the image."""
    (x0, y0), (x1, y1) = box[:2], box[2:]
    width, height = (x1 - x0) / 4, (y1 - y0) / 4
    rows = slice(max(0, int(y0 + height)), max(0, int(y1 - height)))
    columns = slice(max(0, int(x0 + width)), max(0, int(x1 - width)))
    middle = image[rows, columns]
    middle = middle[
        :: max(1, middle.shape[0] // SAMPLES), :: max(1, middle.shape[1] // SAMPLES)
    ]
    if not middle.size:
        return 0.0
    return float(middle[..., 2].mean() - middle[..., 0].mean())
