"""Active appearance model: a shape moves until the face looks like the mean appearance.

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
from .pixels import between_pixels, nearest
from .pyramid import from_level, gray_crops, level_scale, shrink, to_level
from .shape_model import ShapeModel
from .shapes import Arrays, Shapes, from_complex, from_rows, to_complex
from .uncertainty import Uncertainty

CHUNK = 8
"""Crops that are fitted at once, which bounds the memory."""
DONE = 0.02
"""Mean move of the landmarks, pixels of the level, below which a level has converged."""
HOG_CELL_PX = 3.0
"""Smoothing of the oriented gradients, pixels of the level."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """Pixels of the mean shape, each in a triangle of landmarks: a piecewise affine warp."""

    triangles: NDArray[np.uint16]
    """(T, 3), landmarks."""
    triangle: NDArray[np.uint16]
    """(P,): the triangle of each pixel."""
    weights: NDArray[np.float32]
    """(P, 3): its barycentric coordinates."""

    def places(self, shapes: Shapes) -> Shapes:
        """Return where the pixels (n, P) are in shapes (n, N)."""
        corners = shapes[:, self.triangles[self.triangle]]  # (n, P, 3)
        return np.asarray((corners * self.weights).sum(-1))


class Warps:
    """The affine maps from the mean shape to other shapes at its landmarks."""

    def __init__(self, mean: Shapes, triangles: NDArray[np.uint16]) -> None:
        """Take the mean shape (N,) and the triangles (T, 3)."""
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
        """Return shapes (n, N) after steps (n, N) stated on the mean shape.

        At a landmark, the maps of its triangles are averaged: Matthews, Baker 2004, section 4.1.2.
        """
        maps = self._edges(shapes) @ self.inverse  # (n, T, 2, 2)
        at_landmarks = np.einsum("it,ntab->niab", self.touches, maps)
        vectors = np.stack([steps.real, steps.imag], axis=-1)[..., None]
        moved = (at_landmarks @ vectors)[..., 0]
        return np.asarray(shapes + moved[..., 0] + 1j * moved[..., 1])


@dataclass(frozen=True, eq=False)
class Texture:
    """The mean appearance on one level, and the step that its difference asks for."""

    mesh: Mesh
    mean: NDArray[np.float32]
    """(P C,)."""
    gain: NDArray[np.float32]
    """(P C, Q): difference from the mean -> step of the Q shape parameters."""


class ActiveAppearance(NumpyModel):
    """Fit level by level, from the best result of several first shapes on the coarsest one.

    Settings: features ("pixels" or "hog"), levels, rounds, limit.

    Arrays:
        starts: (K, N, 2), first shapes on the coarsest level, pixels of the crop.
        parameters: (Q, 2 N), steps of a shape on the mean shape: turn, scale, shift, directions.
        triangles: (T, 3).
        shape.*: of the shape model.
        t.triangle, t.weights, t.mean, t.gain: of level t, from 0, the coarsest.
    """

    kind = "active-appearance"

    def __init__(self, settings: dict[str, Any], arrays: Arrays) -> None:
        """Take the arrays.    Raises: ModelError: If one is missing."""
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
                own = [
                    arrays[f"{level}.{name}"]
                    for name in ("triangle", "weights", "mean", "gain")
                ]
                mesh = Mesh(triangles, own[0], own[1].astype(np.float32))
                mean, gain = (each.astype(np.float32) for each in own[2:])
                self.textures.append(Texture(mesh, mean, gain))
        except KeyError as error:
            raise ModelError(
                f"the active appearance model {self.name!r} lacks {error}; train it again"
            ) from error
        self.uncertainty = Uncertainty.read(self.settings)

    def predict_crops(self, crops: NDArray[np.uint8]) -> CropLandmarks:
        """Return the landmarks; sigma grows with the difference of the appearance."""
        shapes, differences, _ = self.fit(gray_crops(crops))
        variance = np.repeat(differences[:, None], self.points, axis=1)
        return self.uncertainty(from_complex(shapes), variance)

    def count_rounds(self, crops: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Return the rounds (F,) over all levels until the shape of each crop stands still."""
        return self.fit(gray_crops(crops))[2]

    def fit(
        self, images: NDArray[np.uint8]
    ) -> tuple[Shapes, NDArray[np.float64], NDArray[np.intp]]:
        """Fit gray crops (F, S, S).

        Returns:
            Shapes (F, N), the mean squared difference (F,) from the mean appearance in units of
            its variance, and the rounds (F,).
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
        # candidates (K, F, N), of which one is left after the coarsest level
        shapes = np.repeat(self.starts[:, None], len(images), axis=1)
        differences = np.zeros(len(images))
        rounds = np.zeros(len(images), np.intp)
        for level, texture in enumerate(self.textures):
            scale = level_scale(level, self.levels)
            maps = feature_maps(shrink(images, scale), self.features)
            found = [
                self._fit_level(texture, maps, to_level(each, scale), scale)
                for each in shapes
            ]
            fitted, errors, counts = (
                np.stack(each) for each in zip(*found, strict=True)
            )
            best = errors.argmin(0), np.arange(len(images))
            shapes = from_level(fitted[best], scale)[None]
            differences = errors[best]
            rounds += counts.sum(0)
        return shapes[0], differences, rounds

    def _fit_level(
        self,
        texture: Texture,
        maps: NDArray[np.float32],
        shapes: Shapes,
        scale: float,
    ) -> tuple[Shapes, NDArray[np.float64], NDArray[np.intp]]:
        """Fit shapes (F, N) on one level; a step that the appearance does not confirm is halved."""
        best = np.full(len(shapes), np.inf)
        steps = np.zeros_like(shapes)
        share = np.ones(len(shapes))
        rounds = np.zeros(len(shapes), np.intp)
        moving = np.arange(len(shapes))
        tried = shapes
        shapes = shapes.copy()
        for _ in range(self.settings["rounds"]):
            found = read_texture(maps[moving], texture.mesh, tried)
            difference = found - texture.mean
            squared = (difference**2).mean(1)
            rounds[moving] += 1
            better = squared < best[moving]
            chosen = moving[better]
            shapes[chosen], best[chosen] = tried[better], squared[better]
            values = difference[better] @ texture.gain @ self.parameters  # (n, 2 N)
            # from pixels of the level to those of the mean shape
            steps[chosen] = -from_rows(values) / scale
            share[chosen] = np.minimum(2 * share[chosen], 1)
            share[moving[~better]] /= 2
            tried = self._moved(shapes[moving], share[moving, None] * steps[moving])
            far = np.abs(tried - shapes[moving]).mean(1) > DONE
            moving, tried = moving[far], tried[far]
            if not len(moving):
                break
        return shapes, best, rounds

    def _moved(self, shapes: Shapes, steps: Shapes) -> Shapes:
        moved = self.warps.move(shapes, steps)
        return self.shape_model.plausible(moved, self.settings["limit"])


def feature_maps(images: NDArray[np.uint8], features: str) -> NDArray[np.float32]:
    """Return the maps (F, S, S, C) of gray images (F, S, S).

    The pixels themselves, or oriented gradients of one length at each pixel.
    """
    if features == "pixels":
        return images[..., None].astype(np.float32)
    found = []
    for image in images:
        maps = orientation_maps(image, HOG_CELL_PX)
        length = np.linalg.norm(maps, axis=-1, keepdims=True)
        found.append(maps / (length + 1.0))
    return np.stack(found)


def read_texture(
    maps: NDArray[np.float32], mesh: Mesh, shapes: Shapes
) -> NDArray[np.float32]:
    """Return the appearance (n, P C) of shapes (n, N) in maps (n, S, S, C).

    It has mean 0 and deviation 1.
    """
    places = mesh.places(shapes)
    is_gray = maps.shape[-1] == 1
    found = between_pixels(maps[..., 0], places) if is_gray else nearest(maps, places)
    rows = found.reshape(len(shapes), -1)
    rows = rows - rows.mean(1, keepdims=True)
    return np.asarray(rows / (rows.std(1, keepdims=True) + 1e-3), dtype=np.float32)
