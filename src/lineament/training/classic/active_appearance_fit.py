"""Fit of an active appearance model, one level of the pyramid per step."""

import numpy as np
from numpy.typing import NDArray

from ...classic.active_appearance import (
    ActiveAppearance,
    Mesh,
    feature_maps,
    read_texture,
)
from ...classic.numpy_model import NumpyModel
from ...classic.pyramid import level_scale, shrink, to_level
from ...classic.shape_model import ShapeModel
from ...classic.shapes import Arrays, Shapes, as_rows, from_complex, from_rows
from ...opencv import cv2
from ...recipe import Recipe
from ...recipe.classic import ActiveAppearanceSettings
from .faces import GrayFaces, representative_shapes
from .fit import Fit

CHUNK = 64
"""Faces processed at once, to limit memory."""


class ActiveAppearanceFit(Fit):
    """Fit a shape model, then per level the mean appearance and its project-out steps."""

    def __init__(self, recipe: Recipe, faces: GrayFaces) -> None:
        super().__init__(recipe, faces)
        assert isinstance(recipe.model, ActiveAppearanceSettings)
        self.settings = recipe.model

    def first(self) -> ActiveAppearance:
        """Return the model with shape model and mesh, but no level."""
        recipe, model = self.recipe, self.settings
        plain = self.faces.plain_shapes(model.size, model.padding)
        shape_model = ShapeModel.fit(plain, model.shape_variance)
        names = {
            "size",
            "padding",
            "features",
            "levels",
            "rounds",
            "limit",
            "noise",
        }
        settings = {
            "name": recipe.name,
            "scheme": recipe.scheme,
            "points": plain.shape[1],
            "step": 0,
            **model.model_dump(include=names),
        }
        arrays: Arrays = {
            "starts": from_complex(
                representative_shapes(plain, self.settings.initial_shapes)
            ),
            "parameters": shape_parameters(shape_model).astype(np.float32),
            "triangles": delaunay_triangles(shape_model.mean),
        }
        return ActiveAppearance(settings, shape_model.arrays() | arrays)

    def resume_from_model(self, model: NumpyModel) -> None:
        """Do nothing: levels do not depend on each other."""

    def step(self, model: NumpyModel) -> ActiveAppearance:
        """Return the model extended by the next finer level."""
        assert isinstance(model, ActiveAppearance)
        level = int(model.settings["step"])
        scale = level_scale(level, model.levels)
        mean_shape = model.shape_model.mean * scale
        mesh, pixels = rasterize(mean_shape, model.arrays["triangles"])
        textures = self._textures(model, mesh, scale)
        mean = textures.mean(0)
        main = main_directions(textures - mean, self.settings.appearance_variance)
        steepest = steepest_descent(mean, mesh, pixels, model.parameters)
        steepest -= main.T @ (main @ steepest)  # projected out
        hessian = steepest.T @ steepest
        damping = 1e-3 * np.trace(hessian) / len(hessian) * np.eye(len(hessian))
        gain = np.linalg.solve(hessian + damping, steepest.T).T  # (P C, Q)
        level_arrays = {
            f"{level}.triangle": mesh.triangle,
            f"{level}.weights": mesh.weights.astype(np.float16),
            f"{level}.mean": mean.astype(np.float16),
            f"{level}.main": main.astype(np.float16),
            f"{level}.gain": gain.astype(np.float32),
        }
        return ActiveAppearance(
            model.settings | {"step": level + 1}, model.arrays | level_arrays
        )

    def training_error(self) -> float:
        """Return nan: the model is not run on the training faces."""
        return float("nan")

    def _textures(
        self, model: ActiveAppearance, mesh: Mesh, scale: float
    ) -> NDArray[np.float32]:
        """Return the appearance (M, P C) of at most `faces` training faces."""
        count = min(len(self.faces), self.settings.faces)
        chosen = np.linspace(0, len(self.faces) - 1, count).astype(np.intp)
        parts = []
        for start in range(0, count, CHUNK):
            rows = chosen[start : start + CHUNK]
            images = shrink(self.faces.images[rows], scale)
            maps = feature_maps(images, model.features)
            shapes = to_level(self.faces.shapes[rows], scale)
            parts.append(read_texture(maps, mesh, shapes))
        return np.concatenate(parts)


def shape_parameters(model: ShapeModel) -> NDArray[np.float64]:
    """Return unit steps (Q, 2 N) of a shape: scale, rotation, two shifts, principal directions.

    They are orthonormal, as in Matthews, Baker 2004, section 4.2.
    """
    mean, ones = model.mean, np.ones_like(model.mean)
    rigid = as_rows(np.stack([mean, 1j * mean, ones, 1j * ones])).astype(np.float64)
    joined = np.concatenate([rigid, model.directions])
    orthonormal, _ = np.linalg.qr(joined.T)
    return np.asarray(orthonormal.T)


def delaunay_triangles(mean: Shapes) -> NDArray[np.uint16]:
    """Return the Delaunay triangles (T, 3) of a shape (N,)."""
    corner = mean.real.min() + 1j * mean.imag.min()
    positions = [(float(p.real), float(p.imag)) for p in (mean - corner + (1 + 1j))]
    extent = int(np.ceil(np.abs(np.array(positions)).max())) + 2
    division = cv2.Subdiv2D((0, 0, extent, extent))
    division.insert(positions)
    triangles = []
    for triangle in np.asarray(division.getTriangleList()).reshape(-1, 3, 2):
        distances = np.linalg.norm(
            np.array(positions)[None] - triangle[:, None], axis=-1
        )
        if (
            distances.min(1) < 1e-3
        ).all():  # skip triangles with a corner of the surrounding triangle
            triangles.append(distances.argmin(1))
    return np.array(triangles, np.uint16)


def rasterize(
    mean: Shapes, triangles: NDArray[np.uint16]
) -> tuple[Mesh, NDArray[np.intp]]:
    """Return the mesh of all pixels inside a shape (N,), and the pixels (P, 2), row and column."""
    low = np.floor(mean.real.min()) + 1j * np.floor(mean.imag.min())
    width = int(np.ceil(mean.real.max()) - low.real) + 1
    height = int(np.ceil(mean.imag.max()) - low.imag) + 1
    rows, columns = np.mgrid[0:height, 0:width]
    positions = low + columns.ravel() + 1j * rows.ravel()
    triangle_of_pixel = np.full(len(positions), -1)
    weights = np.zeros((len(positions), 3))
    for number, corners in enumerate(triangles):
        a, b, c = mean[corners.astype(np.intp)]
        area = ((b - a).conj() * (c - a)).imag
        second = ((positions - a) * (c - a).conj()).imag / -area
        third = ((b - a).conj() * (positions - a)).imag / area
        inside = (second >= -1e-9) & (third >= -1e-9) & (second + third <= 1 + 1e-9)
        new = inside & (triangle_of_pixel < 0)
        triangle_of_pixel[new] = number
        weights[new] = np.stack([1 - second - third, second, third], axis=1)[new]
    covered = triangle_of_pixel >= 0
    pixels = np.stack([rows.ravel(), columns.ravel()], axis=1)[covered]
    mesh = Mesh(
        triangles,
        triangle_of_pixel[covered].astype(np.uint16),
        weights[covered].astype(np.float32),
    )
    return mesh, pixels


def main_directions(
    rows: NDArray[np.float32], variance_fraction: float
) -> NDArray[np.float32]:
    """Return orthonormal directions (K, L) explaining `variance_fraction` of rows (M, L), M < L."""
    values, vectors = np.linalg.eigh((rows @ rows.T).astype(np.float64))
    values, vectors = values[::-1], vectors[:, ::-1]
    count = (
        int(np.searchsorted(np.cumsum(values) / values.sum(), variance_fraction)) + 1
    )
    scaled = vectors[:, :count] / np.sqrt(values[:count])
    return np.asarray(scaled.T.astype(np.float32) @ rows)


def steepest_descent(
    mean: NDArray[np.float32],
    mesh: Mesh,
    pixels: NDArray[np.intp],
    parameters: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the derivative (P C, Q) of the mean appearance with respect to each shape parameter.

    Args:
        mean: (P C,).
        pixels: (P, 2), row and column.
        parameters: (Q, 2 N), pixels of the level.
    """
    image = np.full((*(pixels.max(0) + 1), mean.size // len(pixels)), np.nan)
    image[pixels[:, 0], pixels[:, 1]] = mean.reshape(len(pixels), -1)
    down, right = np.gradient(image, axis=(0, 1))
    along_x = np.nan_to_num(
        right[pixels[:, 0], pixels[:, 1]]
    )  # (P, C), 0 at the border
    along_y = np.nan_to_num(down[pixels[:, 0], pixels[:, 1]])
    moves = mesh.positions(from_rows(parameters))  # (Q, P)
    changes = (
        along_x[:, :, None] * moves.real.T[:, None, :]
        + along_y[:, :, None] * moves.imag.T[:, None, :]
    )
    return np.asarray(changes.reshape(mean.size, -1))
