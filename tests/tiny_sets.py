"""Points and images of the tiny data sets that the tests of readers write."""

from pathlib import Path

import cv2
import numpy as np


def shape(count: int, shift: float = 0.0) -> np.ndarray:
    """Return `count` different points: x = 10 + i + shift, y = 5 + 2 i."""
    i = np.arange(count)
    return np.column_stack([10.0 + i + shift, 5.0 + 2 * i])


def picture(path: Path, value: int = 100, size: tuple[int, int] = (12, 16)) -> Path:
    """Write a gray image of `size` (H, W)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape_of = size if path.suffix == ".pgm" else (*size, 3)
    assert cv2.imwrite(str(path), np.full(shape_of, value, np.uint8))
    return path


def text(path: Path, content: str) -> Path:
    """Write a text file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path
