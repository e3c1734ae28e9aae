"""Local appearance of landmarks, and matching of candidate positions.

Depends on hog.py.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ..schemes import scheme
from .hog import BINS, GRID, normalized_histograms, orientation_maps
from .pixels import sample_bilinear, sample_nearest
from .shapes import Shapes, fit_rotation_and_scale

Features = NDArray[np.float32]


class Profiles(Protocol):
    """Reads the local appearance at candidate positions of landmarks."""

    @property
    def search(self) -> int:
        """Search range to each side of the landmark, pixels of the level."""

    def axes(self, shapes: Shapes, mean: Shapes) -> Shapes:
        """Return the unit vector (F, N) along which the candidates of each landmark lie.

        Args:
            shapes: (F, N), pixels of the level.
            mean: Mean shape, (N,), upright.
        """

    def candidates(self) -> Shapes:
        """Return the candidate offsets (C,), along the axis and perpendicular to it."""

    def read(self, images: NDArray[np.uint8], shapes: Shapes, axes: Shapes) -> Features:
        """Return the features (F, N, C, L) at all candidates.

        Args:
            images: Gray images of the level, (F, S, S).
            shapes: (F, N), pixels of the level.
            axes: Result of `axes`.
        """


@dataclass(frozen=True)
class LineProfiles:
    """Derivative of the brightness along the normal of the landmark's contour."""

    scheme: str
    reach: int
    """Number of samples to each side."""
    search: int

    def axes(self, shapes: Shapes, mean: Shapes) -> Shapes:
        """Return the normals of the scheme's contours."""
        before, after = neighbors(self.scheme)
        along = shapes[:, after] - shapes[:, before]
        # for a landmark without a contour, the axis of the face
        upright = 1 / fit_rotation_and_scale(shapes, mean)[:, None]
        along = np.where(np.abs(along) > 1e-6, along, upright)
        return np.asarray(-1j * along / np.abs(along))

    def candidates(self) -> Shapes:
        """Return offsets along the normal, one pixel apart."""
        return np.asarray(_line(self.search), np.complex128)

    def read(self, images: NDArray[np.uint8], shapes: Shapes, axes: Shapes) -> Features:
        """Return derivatives divided by their L1 norm, invariant to brightness and contrast."""
        positions = shapes[..., None] + axes[..., None] * _line(
            self.reach + self.search
        )
        half = axes[..., None] / 2
        derivatives = sample_bilinear(images, positions + half) - sample_bilinear(
            images, positions - half
        )
        profiles = sliding_window_view(derivatives, 2 * self.reach + 1, axis=2)
        total = np.abs(profiles).sum(-1, keepdims=True)
        return np.asarray(profiles / (total + 0.1), dtype=np.float32)


@dataclass(frozen=True)
class PatchProfiles:
    """Histograms of oriented gradients in GRID x GRID cells around the landmark."""

    cell: int
    """Distance between cells, pixels of the level."""
    search: int

    def axes(self, shapes: Shapes, mean: Shapes) -> Shapes:
        """Return the x axis of the face, the same for all landmarks."""
        upright = 1 / fit_rotation_and_scale(shapes, mean)[:, None]
        return np.broadcast_to(upright / np.abs(upright), shapes.shape)

    def candidates(self) -> Shapes:
        """Return offsets in a square, one pixel apart."""
        return _square(self.search).ravel()

    def read(self, images: NDArray[np.uint8], shapes: Shapes, axes: Shapes) -> Features:
        """Return the histograms of each candidate."""
        half = self.search + self.cell * (GRID - 1) // 2
        positions = shapes[..., None, None] + axes[..., None, None] * _square(half)
        maps = np.stack([orientation_maps(image, self.cell) for image in images])
        region = sample_nearest(maps, positions)  # (F, N, A, A, BINS)
        width = self.cell * (GRID - 1) + 1
        windows = sliding_window_view(region, (width, width), axis=(2, 3))
        cells = windows[
            ..., :: self.cell, :: self.cell
        ]  # (F, N, C1, C2, BINS, GRID, GRID)
        count = len(self.candidates())
        features = cells.reshape(*shapes.shape, count, BINS * GRID**2)
        return normalized_histograms(features)


@dataclass(frozen=True, eq=False)
class Mahalanobis:
    """|(x - mean) W|^2 per landmark: squared distance from the mean in its main directions."""

    means: NDArray[np.float32]
    """(N, L)."""
    whitening: NDArray[np.float32]
    """(N, L, R)."""

    def distances(self, features: Features) -> NDArray[np.float32]:
        """Return the squared distance (F, N, C) of features (F, N, C, L)."""
        difference = features - self.means[:, None]
        return np.asarray((np.matmul(difference, self.whitening) ** 2).sum(-1))


@dataclass(frozen=True, eq=False)
class Discriminant:
    """Mahalanobis distance from the landmark's mean minus that from the mean of other positions.

    Both share one covariance, so the difference is linear: offset - x w.
    """

    weights: NDArray[np.float32]
    """(N, L)."""
    offsets: NDArray[np.float32]
    """(N,)."""

    def distances(self, features: Features) -> NDArray[np.float32]:
        """Return the difference (F, N, C) of features (F, N, C, L); lower is better."""
        products = np.matmul(features, self.weights[..., None])[..., 0]
        return np.asarray(self.offsets[:, None] - products)


def neighbors(scheme_name: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the neighbors before and after each landmark (N,) along the scheme's contours."""
    count = len(scheme(scheme_name))
    before, after = np.arange(count), np.arange(count)
    for first, second in scheme(scheme_name).edges:
        if after[first] == first:
            after[first] = second
        if before[second] == second:
            before[second] = first
    return before, after


def _line(half: int) -> NDArray[np.float64]:
    return np.arange(-half, half + 1.0)


def _square(half: int) -> Shapes:
    """Return x + iy (A, A) on a grid, y along the first axis."""
    line = _line(half)
    return np.asarray(line[None, :] + 1j * line[:, None])
