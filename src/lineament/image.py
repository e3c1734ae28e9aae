"""Bytes, path, array -> RGB frames (EXIF applied)."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps


def read_image(source: Path) -> NDArray[np.uint8]:
    """The picture at `source`: RGB (H, W, 3)."""
    with Image.open(source) as picture:
        return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
