"""Active appearance model: fits a shape so that the face matches the modeled appearance.

Source: Cootes, Edwards, Taylor 1998; Matthews, Baker 2004 (project-out inverse compositional
fitting).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..estimator import CropLandmarks
from .hog import orientation_maps
from .numpy_model import NumpyModel
from .pixels import sample_bilinear, sample_nearest
from .pyramid import from_level, gray_crops, level_scale, shrink, to_level
from .shape_model import ShapeModel
from .shapes import Arrays, Shapes, from_complex, from_rows, to_complex
from .uncertainty import Uncertainty

CHUNK = 8
"""Crops fitted at once, to limit memory."""
DONE = 0.02
"""Convergence threshold: mean step of the landmarks, pixels of the level."""
HOG_CELL_PX = 3.0
"""Smoothing of the oriented gradients, pixels of the level."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """Pixels of the mean shape in triangles of landmarks, for a piecewise affine warp."""

    triangles: NDArray[np.uint16]
    """(T, 3): landmark indices of each triangle."""
    triangle: NDArray[np.uint16]
    """(P,): triangle of each pixel."""
    weights: NDArray[np.float32]
    """(P, 3): barycentric coordinates of each pixel in its triangle."""

    def positions(self, shapes: Shapes) -> Shapes:
        """Return the positions (n, P) of the pixels in shapes (n, N)."""
        corners = shapes[:, self.triangles[self.triangle]]  # (n, P, 3)
        return np.asarray((corners * self.weights).sum(-1))


class Warps:
    """Affine maps from the mean shape to other shapes, at each landmark."""

    def __init__(self, mean: Shapes, triangles: NDArray[np.uint16]) -> None:
        """Prepare the maps for the mean shape (N,) and the triangles (T, 3)."""
        self.triangles = triangles.astype(np.intp)
        self.inverse = np.linalg.inv(self._edges(mean[None])[0])
        touches = np.zeros((len(mean), len(triangles)))
        for number, corners in enumerate(self.triangles):
            touches[corners, number] = 1
        self.touches = touches / np.maximum(touches.sum(1, keepdims=True), 1)

    def _edges(self, shapes: Shapes) -> NDArray[np.float64]:
        """Return the two edges of each triangle as the columns of (n, T, 2, 2)."""
        corners = shapes[:, self.triangles]
        edges = corners[..., 1:] - corners[..., :1]  # (n, T, 2)
        return np.stack([edges.real, edges.imag], axis=-2)

    def move(self, shapes: Shapes, steps: Shapes) -> Shapes:
        """Return shapes (n, N) after steps (n, N) in the frame of the mean shape.

        At a landmark, the maps of its triangles are averaged: Matthews, Baker 2004, section 4.1.2.
        """
        maps = self._edges(shapes) @ self.inverse  # (n, T, 2, 2)
        at_landmarks = np.einsum("it,ntab->niab", self.touches, maps)
        vectors = np.stack([steps.real, steps.imag], axis=-1)[..., None]
        result = (at_landmarks @ vectors)[..., 0]
        return np.asarray(shapes + result[..., 0] + 1j * result[..., 1])


@dataclass(frozen=True, eq=False)
class Texture:
    """Mean appearance of one level, and the regression from differences to steps."""

    mesh: Mesh
    mean: NDArray[np.float32]
    """(P C,): mean appearance."""
    main: NDArray[np.float32]
    """(L, P C): directions in which appearances of faces differ most; they are projected out."""
    gain: NDArray[np.float32]
    """(P C, Q): maps the difference from the mean to a step of the Q shape parameters."""

    def distance(self, difference: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the mean square (n,) of differences (n, P C) outside the main directions."""
        explained = (difference @ self.main.T) ** 2
        square = (difference**2).sum(1) - explained.sum(1)
        return np.asarray(square / difference.shape[1])


class ActiveAppearance(NumpyModel):
    """Fit level by level; the coarsest level starts from several shapes and keeps the best.

    Settings: features ("pixels" or "hog"), levels, rounds, limit, noise.

    Arrays:
        starts: (K, N, 2), initial shapes on the coarsest level, pixels of the crop.
        parameters: (Q, 2 N), unit steps in the frame of the mean shape: rotation, scale, shift,
            principal directions.
        triangles: (T, 3).
        shape.*: Arrays of the shape model.
        t.triangle, t.weights, t.mean, t.main, t.gain: Arrays of level t; 0 is the coarsest.
    """

    kind = "active-appearance"

    def __init__(self, settings: dict[str, Any], arrays: Arrays) -> None:
        """Unpack the arrays.

        Raises:
            ModelError: If one is missing.
        """
        super().__init__(settings, arrays)
        self.textures: list[Texture] = []
        try:
            self.starts = to_complex(arrays["starts"])
            self.shape_model = ShapeModel.read(arrays)
            self.parameters = arrays["parameters"].astype(np.float64)
            self.levels: int = settings["levels"]
            self.features: str = settings["features"]
            triangles = arrays["triangles"]
            self.warps = Warps(self.shape_model.mean, triangles)
            for level in range(settings["step"]):
                level_arrays = [
                    arrays[f"{level}.{name}"]
                    for name in ("triangle", "weights", "mean", "main", "gain")
                ]
                mesh = Mesh(
                    triangles, level_arrays[0], level_arrays[1].astype(np.float32)
                )
                mean, main, gain = (
                    each.astype(np.float32) for each in level_arrays[2:]
                )
                self.textures.append(Texture(mesh, mean, main, gain))
        except KeyError as error:
            raise ModelError(
                f"the active appearance model {self.name!r} lacks {error}; train it again"
            ) from error
        self.uncertainty = Uncertainty.read(self.settings)

    def predict_crops(self, crops: NDArray[np.uint8]) -> CropLandmarks:
        """Return the landmarks; sigma grows with the difference from the mean appearance.

        The difference outside the main directions can be small on hair or on an inverted face.
        """
        shapes, differences, _ = self.fit(gray_crops(crops))
        variance = np.repeat(differences[:, None], self.points, axis=1)
        return self.uncertainty(from_complex(shapes), variance)

    def count_rounds(self, crops: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Return the number of rounds (F,) over all levels until each crop's shape converges."""
        return self.fit(gray_crops(crops))[2]

    def fit(
        self, images: NDArray[np.uint8]
    ) -> tuple[Shapes, NDArray[np.float64], NDArray[np.intp]]:
        """Fit gray crops (F, S, S).

        Returns:
            Shapes (F, N), the mean squared difference (F,) from the mean appearance in units of
            its variance, and the number of rounds (F,).
        """
        parts = []
        for start in range(0, len(images), CHUNK):
            parts.append(self._fit(images[start : start + CHUNK]))
        shapes, differences, rounds = zip(*parts, strict=True)
        return (
            np.concatenate(shapes),
            np.concatenate(differences),
            np.concatenate(rounds),
        )

    def _fit(
        self, images: NDArray[np.uint8]
    ) -> tuple[Shapes, NDArray[np.float64], NDArray[np.intp]]:
        # candidates (K, F, N); the best one is kept after the coarsest level
        shapes = np.repeat(self.starts[:, None], len(images), axis=1)
        differences = np.zeros(len(images))
        rounds = np.zeros(len(images), np.intp)
        for level, texture in enumerate(self.textures):
            scale = level_scale(level, self.levels)
            maps = feature_maps(shrink(images, scale), self.features)
            fits = [
                self._fit_level(texture, maps, to_level(each, scale), scale)
                for each in shapes
            ]
            fitted, errors, counts = (
                np.stack(each) for each in zip(*fits, strict=True)
            )
            best = errors.argmin(0), np.arange(len(images))
            shapes = from_level(fitted[best], scale)[None]
            appearance = read_texture(maps, texture.mesh, fitted[best])
            differences = ((appearance - texture.mean) ** 2).mean(1)
            rounds += counts.sum(0)
        return shapes[0], differences, rounds

    def _fit_level(
        self,
        texture: Texture,
        maps: NDArray[np.float32],
        shapes: Shapes,
        scale: float,
    ) -> tuple[Shapes, NDArray[np.float64], NDArray[np.intp]]:
        """Fit shapes (F, N) on one level; steps that increase the difference are halved."""
        best = np.full(len(shapes), np.inf)
        steps = np.zeros_like(shapes)
        step_scale = np.ones(len(shapes))
        rounds = np.zeros(len(shapes), np.intp)
        moving = np.arange(len(shapes))
        candidates = shapes
        shapes = shapes.copy()
        for _ in range(self.settings["rounds"]):
            appearance = read_texture(maps[moving], texture.mesh, candidates)
            difference = appearance - texture.mean
            distance = texture.distance(difference)
            rounds[moving] += 1
            better = distance < best[moving]
            chosen = moving[better]
            shapes[chosen], best[chosen] = candidates[better], distance[better]
            values = difference[better] @ texture.gain @ self.parameters  # (n, 2 N)
            # from pixels of the level to those of the mean shape
            steps[chosen] = -from_rows(values) / scale
            step_scale[chosen] = np.minimum(2 * step_scale[chosen], 1)
            step_scale[moving[~better]] /= 2
            candidates = self._moved(
                shapes[moving], step_scale[moving, None] * steps[moving]
            )
            unconverged = np.abs(candidates - shapes[moving]).mean(1) > DONE
            moving, candidates = moving[unconverged], candidates[unconverged]
            if not len(moving):
                break
        return shapes, best, rounds

    def _moved(self, shapes: Shapes, steps: Shapes) -> Shapes:
        moved = self.warps.move(shapes, steps)
        limit, noise = self.settings["limit"], self.settings.get("noise", 0.0)
        return self.shape_model.plausible(moved, limit, noise)


def feature_maps(images: NDArray[np.uint8], features: str) -> NDArray[np.float32]:
    """Return the maps (F, S, S, C) of gray images (F, S, S).

    The maps are the pixels themselves, or oriented gradients normalized at each pixel.
    """
    if features == "pixels":
        return images[..., None].astype(np.float32)
    maps_of_images = []
    for image in images:
        maps = orientation_maps(image, HOG_CELL_PX)
        length = np.linalg.norm(maps, axis=-1, keepdims=True)
        maps_of_images.append(maps / (length + 1.0))
    return np.stack(maps_of_images)


def read_texture(
    maps: NDArray[np.float32], mesh: Mesh, shapes: Shapes
) -> NDArray[np.float32]:
    """Return the appearance (n, P C) of shapes (n, N) in maps (n, S, S, C).

    Each appearance has mean 0 and standard deviation 1.
    """
    positions = mesh.positions(shapes)
    is_gray = maps.shape[-1] == 1
    values = (
        sample_bilinear(maps[..., 0], positions)
        if is_gray
        else sample_nearest(maps, positions)
    )
    rows = values.reshape(len(shapes), -1)
    rows = rows - rows.mean(1, keepdims=True)
    return np.asarray(rows / (rows.std(1, keepdims=True) + 1e-3), dtype=np.float32)
