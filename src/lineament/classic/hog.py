"""Histograms of oriented gradients around landmarks, and their ridge regression.

Source: Dalal, Triggs 2005 (histograms); Xiong, De la Torre 2013 (supervised descent).
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..opencv import cv2
from .shapes import Arrays, Shapes, fit_rotation_and_scale, from_rows

BINS = 8
"""Orientations of a histogram, over all 360 degrees."""
GRID = 3
"""Cells per side of the grid around a landmark."""
GRADIENT_EPSILON = 1.0
"""Gradient in gray levels per pixel that halves the length of a normalized histogram."""
CLIP = 0.2
"""Upper bound of the entries of a normalized histogram, which limits strong edges."""


def orientation_maps(image: NDArray[np.uint8], cell_px: float) -> NDArray[np.float32]:
    """Return the gradients of a gray image (S, S) by orientation, smoothed: (S, S, BINS).

    Args:
        image: Gray crop.
        cell_px: Side of a histogram's cell; the smoothing is half of it.
    """
    gray = image.astype(np.float32)
    x = cv2.Sobel(gray, cv2.CV_32F, 1, 0, ksize=1, borderType=cv2.BORDER_REPLICATE)
    y = cv2.Sobel(gray, cv2.CV_32F, 0, 1, ksize=1, borderType=cv2.BORDER_REPLICATE)
    strength, angle = cv2.cartToPolar(x, y)
    position = angle * (BINS / (2 * np.pi))
    lower = np.floor(position)
    weight = position - lower
    lower_bin = lower.astype(np.intp) % BINS
    maps = np.zeros((*image.shape, BINS), np.float32)
    rows = np.arange(len(image))[:, None]
    columns = np.arange(image.shape[1])
    maps[rows, columns, lower_bin] = strength * (1 - weight)
    maps[rows, columns, (lower_bin + 1) % BINS] += strength * weight
    smooth = cv2.GaussianBlur(
        maps, (0, 0), cell_px / 2, borderType=cv2.BORDER_REPLICATE
    )
    return np.asarray(smooth, dtype=np.float32)


def read_histograms(
    maps: NDArray[np.float32], shapes: Shapes, factors: Shapes, cell: float
) -> NDArray[np.float32]:
    """Return the histograms (n, N * GRID^2 * BINS) around shapes (n, N) in one image.

    Args:
        maps: Result of `orientation_maps`, (S, S, BINS).
        shapes: (n, N), pixels of the crop.
        factors: (n,), complex, result of `fit_rotation_and_scale` to the mean shape; they
            rotate and scale the grid.
        cell: Distance between cells in the frame of the mean shape, pixels.
    """
    steps = (np.arange(GRID) - (GRID - 1) / 2) * cell
    offsets = (steps[None, :] + 1j * steps[:, None]).ravel()
    positions = shapes[:, :, None] + (offsets / factors[:, None])[:, None, :]
    last = maps.shape[0] - 1
    x = np.clip(np.rint(positions.real), 0, last).astype(np.intp)
    y = np.clip(np.rint(positions.imag), 0, last).astype(np.intp)
    histograms = maps[y, x].reshape(*shapes.shape, -1)  # (n, N, GRID^2 * BINS)
    return normalized_histograms(histograms).reshape(len(shapes), -1)


def normalized_histograms(histograms: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalize histograms (..., L), with large entries clipped."""
    clipped = np.minimum(_normalized(histograms, GRADIENT_EPSILON), CLIP)
    return _normalized(clipped, 0.1)


def _normalized(histograms: NDArray[np.float32], added: float) -> NDArray[np.float32]:
    length = np.linalg.norm(histograms, axis=-1, keepdims=True)
    return np.asarray(histograms / (length + added))


class RidgeStage:
    """One stage of a cascade: histograms around all landmarks, and a linear map to the update."""

    names: ClassVar[tuple[str, ...]] = ("cell", "weights")

    def __init__(self, arrays: Arrays) -> None:
        """Unpack cell (1,), pixels of the mean shape, and weights (features + 1, 2 N)."""
        self.cell = float(arrays["cell"][0])
        self.weights = arrays["weights"].astype(np.float32)

    def features(
        self,
        images: NDArray[np.uint8],
        rows: NDArray[np.intp],
        shapes: Shapes,
        mean: Shapes,
    ) -> NDArray[np.float32]:
        """Return the features (n, features + 1) of shapes; `rows` (n,) must be ascending."""
        factors = fit_rotation_and_scale(shapes, mean)
        parts = []
        for row in np.unique(rows):
            of_row = rows == row
            maps = orientation_maps(images[row], self.cell)
            parts.append(
                read_histograms(maps, shapes[of_row], factors[of_row], self.cell)
            )
        histograms = np.concatenate(parts)
        return np.concatenate(
            [histograms, np.ones((len(histograms), 1), np.float32)], axis=1
        )

    def update(
        self,
        images: NDArray[np.uint8],
        rows: NDArray[np.intp],
        shapes: Shapes,
        mean: Shapes,
    ) -> Shapes:
        """Return the update (n, N) of shapes (n, N) in the frame of the mean shape."""
        return from_rows(self.features(images, rows, shapes, mean) @ self.weights)
