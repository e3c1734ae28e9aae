"""Fit of a cascade of shape regressors, one stage per step."""

import numpy as np
from numpy.typing import NDArray

from ...classic.cascade import Cascade, advance
from ...classic.forest import ShapePixels, principal_basis
from ...classic.hog import RidgeStage
from ...classic.numpy_model import NumpyModel
from ...classic.shapes import (
    Arrays,
    Shapes,
    as_rows,
    fit_rotation_and_scale,
    from_complex,
)
from ...recipe import Recipe
from ...recipe.classic import CascadeSettings
from .boosting import LEARNERS, Pixels
from .faces import GrayFaces, draw_starts, representative_shapes
from .fit import Fit

FEATURE_CHUNK = 2048
"""Samples processed at once, to limit memory."""


class CascadeFit(Fit):
    """Fit each stage to the training shapes predicted by the previous stages."""

    def __init__(self, recipe: Recipe, faces: GrayFaces) -> None:
        super().__init__(recipe, faces)
        assert isinstance(recipe.model, CascadeSettings)
        self.settings = recipe.model
        rng = np.random.default_rng([recipe.train.seed, 0])
        starts = draw_starts(rng, faces, recipe, self.settings.initial_shapes_per_face)
        self.rows, self.shapes = starts

    def first(self) -> Cascade:
        """Return the cascade without stages."""
        recipe, model = self.recipe, self.settings
        plain = self.faces.plain_shapes(model.size, model.padding)
        starts = representative_shapes(plain, model.initial_shapes)
        settings = {
            "name": recipe.name,
            "scheme": recipe.scheme,
            "points": plain.shape[1],
            "size": model.size,
            "padding": model.padding,
            "regressor": model.regressor,
            "stages": 0,
        }
        arrays: Arrays = {
            "mean": from_complex(starts[0]),
            "starts": from_complex(starts),
        }
        return Cascade(settings, arrays)

    def resume_from_model(self, model: NumpyModel) -> None:
        """Apply the stages of the model to the training shapes."""
        assert isinstance(model, Cascade)
        for stage in model.stages:
            self.shapes = advance(
                stage, self.faces.images, self.rows, self.shapes, model.mean
            )

    def step(self, model: NumpyModel) -> Cascade:
        """Return the cascade with one more stage."""
        assert isinstance(model, Cascade)
        number = len(model.stages)
        rng = np.random.default_rng([self.recipe.train.seed, number + 1])
        factors = fit_rotation_and_scale(self.shapes, model.mean)
        targets = (self.faces.shapes[self.rows] - self.shapes) * factors[:, None]
        if self.settings.regressor == "ridge":
            arrays = self._ridge(targets, model.mean, number)
        else:
            arrays = self._forest(targets, model.mean, rng)
        longer = model.with_stage(arrays)
        self.shapes = advance(
            longer.stages[-1], self.faces.images, self.rows, self.shapes, model.mean
        )
        return longer

    def training_error(self) -> float:
        """Return the mean error of the training shapes, in units of the box side."""
        sides = (self.faces.boxes[:, 2:] - self.faces.boxes[:, :2]).max(1)[self.rows]
        errors = np.abs(self.faces.shapes[self.rows] - self.shapes).mean(1)
        return float((errors / sides).mean())

    def _forest(
        self, targets: Shapes, mean: Shapes, rng: np.random.Generator
    ) -> Arrays:
        settings = self.settings
        side = settings.size / settings.padding
        landmarks = rng.integers(0, len(mean), settings.pixels)
        # uniform in a disk
        radius = settings.reach * side * np.sqrt(rng.random(settings.pixels))
        offsets = radius * np.exp(2j * np.pi * rng.random(settings.pixels))
        pixels = ShapePixels(landmarks.astype(np.uint16), offsets)
        values = np.empty((settings.pixels, len(self.shapes)), np.int16)
        for start in range(0, len(self.shapes), FEATURE_CHUNK):
            part = slice(start, start + FEATURE_CHUNK)
            values[:, part] = pixels.read(
                self.faces.images, self.rows[part], self.shapes[part], mean
            ).T
        basis = principal_basis(targets, settings.basis_variance).astype(np.float16)
        residuals = as_rows(targets) @ basis.T.astype(np.float32)
        positions = (mean[landmarks] + offsets) / side
        learn = LEARNERS[settings.regressor]
        forest = learn(Pixels(values, positions), residuals, settings, rng)
        return {
            "landmarks": pixels.landmarks,
            "offsets": np.stack([offsets.real, offsets.imag], axis=1),
            "pairs": forest.pairs,
            "thresholds": forest.thresholds,
            "outputs": np.asarray(forest.outputs, np.float16),
            "basis": basis,
        }

    def _ridge(self, targets: Shapes, mean: Shapes, number: int) -> Arrays:
        settings = self.settings
        cells = settings.cells
        cell = cells[min(number, len(cells) - 1)] * settings.size / settings.padding
        stage = RidgeStage({"cell": np.array([cell]), "weights": np.zeros((1, 1))})
        rows = as_rows(targets)
        gram: NDArray[np.float64] | None = None
        products: NDArray[np.float64] | None = None
        for start in range(0, len(rows), FEATURE_CHUNK):
            part = slice(start, start + FEATURE_CHUNK)
            features = stage.features(
                self.faces.images, self.rows[part], self.shapes[part], mean
            )
            if gram is None or products is None:
                width = features.shape[1]
                gram = np.zeros((width, width))
                products = np.zeros((width, rows.shape[1]))
            gram += features.T @ features
            products += features.T @ rows[part]
        assert gram is not None
        assert products is not None
        # the last feature is the constant, which is not regularized
        damping = np.full(len(gram), settings.ridge * np.trace(gram) / len(gram))
        damping[-1] = 1e-6
        gram[np.diag_indices_from(gram)] += damping
        weights = np.linalg.solve(gram, products)
        return {"cell": np.array([cell]), "weights": weights.astype(np.float16)}
