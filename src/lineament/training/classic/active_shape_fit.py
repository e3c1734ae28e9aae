"""Fit of an active shape model, one level of the pyramid per step."""

import numpy as np
from numpy.typing import NDArray

from ...classic.active_shape import ActiveShape
from ...classic.numpy_model import NumpyModel
from ...classic.pyramid import level_scale, shrink, to_level
from ...classic.shape_model import ShapeModel
from ...classic.shapes import Arrays, Shapes, from_complex
from ...recipe import Recipe
from ...recipe.classic import ActiveShapeSettings
from .faces import GrayFaces
from .fit import Fit

CHUNK = 64
"""Faces processed at once, to limit memory."""
OTHER_PLACES = 6
"""Negative examples per landmark and face for the discriminant of a patch."""


class ActiveShapeFit(Fit):
    """Fit a shape model, then per level the mean profile of each landmark and its covariance."""

    def __init__(self, recipe: Recipe, faces: GrayFaces) -> None:
        super().__init__(recipe, faces)
        assert isinstance(recipe.model, ActiveShapeSettings)
        self.settings = recipe.model
        self.error = float("nan")

    def first(self) -> ActiveShape:
        """Return the model with the shape model, but no level."""
        recipe, model = self.recipe, self.settings
        plain = self.faces.plain_shapes(model.size, model.padding)
        settings = {
            "name": recipe.name,
            "scheme": recipe.scheme,
            "points": plain.shape[1],
            "step": 0,
            **model.model_dump(
                include={
                    "size",
                    "padding",
                    "profile",
                    "levels",
                    "rounds",
                    "reach",
                    "cell",
                    "search",
                    "limit",
                    "noise",
                }
            ),
        }
        shape_model = ShapeModel.fit(plain, model.shape_variance)
        start = {"start": from_complex(plain.mean(0))}
        return ActiveShape(settings, shape_model.arrays() | start)

    def resume_from_model(self, model: NumpyModel) -> None:
        """Do nothing: levels do not depend on each other."""

    def step(self, model: NumpyModel) -> ActiveShape:
        """Return the model extended by the next finer level."""
        assert isinstance(model, ActiveShape)
        level = int(model.settings["step"])
        learn = self._line if self.settings.profile == "line" else self._patch
        level_arrays = learn(model, level)
        return ActiveShape(
            model.settings | {"step": level + 1}, model.arrays | level_arrays
        )

    def training_error(self) -> float:
        """Return nan: the model is not run on the training faces."""
        return float("nan")

    def _read(
        self, model: ActiveShape, level: int, moves: Shapes
    ) -> NDArray[np.float16]:
        """Return the features (M, N, L) of all faces at their landmarks moved by `moves` (M, N)."""
        scale = level_scale(level, model.levels)
        profiles = model.make_profiles(0)
        shapes = to_level(self.faces.shapes, scale)
        axes = profiles.axes(shapes, model.shape_model.mean)
        positions = shapes + moves * axes
        parts = []
        for start in range(0, len(shapes), CHUNK):
            part = slice(start, start + CHUNK)
            images = shrink(self.faces.images[part], scale)
            candidates = profiles.read(images, positions[part], axes[part])
            parts.append(candidates[:, :, 0].astype(np.float16))
        return np.concatenate(parts)

    def _line(self, model: ActiveShape, level: int) -> Arrays:
        features = self._read(model, level, np.zeros(self.faces.shapes.shape, complex))
        means, whitening = [], []
        for landmark in range(features.shape[1]):
            profiles = features[:, landmark].astype(np.float64)
            means.append(profiles.mean(0))
            whitening.append(fit_whitening(profiles, self.settings.profile_variance))
        # padded with zeros, so that all landmarks have the same number of directions
        count = max(w.shape[1] for w in whitening)
        padded = [np.pad(w, ((0, 0), (0, count - w.shape[1]))) for w in whitening]
        return {
            f"{level}.means": np.stack(means).astype(np.float32),
            f"{level}.whitening": np.stack(padded).astype(np.float32),
        }

    def _patch(self, model: ActiveShape, level: int) -> Arrays:
        shape, search = self.faces.shapes.shape, self.settings.search
        at_landmarks = self._read(model, level, np.zeros(shape, complex))
        rng = np.random.default_rng([self.recipe.train.seed, level])
        others = []
        for _ in range(OTHER_PLACES):
            # within the search range, but not at the nearest pixels
            distance = rng.uniform(1.5, 1.5 * search + 1, shape)
            turn = np.exp(2j * np.pi * rng.random(shape))
            others.append(self._read(model, level, distance * turn))
        weights, offsets = [], []
        for landmark in range(shape[1]):
            negatives = np.concatenate([features[:, landmark] for features in others])
            positives = at_landmarks[:, landmark].astype(np.float64)
            w, offset = fit_discriminant(positives, negatives.astype(np.float64))
            weights.append(w)
            offsets.append(offset)
        return {
            f"{level}.weights": np.stack(weights).astype(np.float32),
            f"{level}.offsets": np.array(offsets, np.float32),
        }


def fit_discriminant(
    positives: NDArray[np.float64], negatives: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Return w (L,) and an offset: offset - x w is lower for features like `positives` (M, L).

    It is Fisher's linear discriminant between `positives` and `negatives` (K, L) with equal priors.
    """
    covariance = (np.cov(positives.T) + np.cov(negatives.T)) / 2
    ridge = 0.01 * np.trace(covariance) / len(covariance)
    covariance[np.diag_indices_from(covariance)] += ridge
    difference = positives.mean(0) - negatives.mean(0)
    weights = np.linalg.solve(covariance, difference)
    return weights, float((positives.mean(0) + negatives.mean(0)) @ weights / 2)


def fit_whitening(
    profiles: NDArray[np.float64], variance_fraction: float
) -> NDArray[np.float64]:
    """Return W (L, R): (profile - mean) W has unit variance in the R main directions.

    The directions explain `variance_fraction` of the variance of profiles (M, L).
    """
    values, vectors = np.linalg.eigh(np.cov(profiles.T))
    values, vectors = values[::-1], vectors[:, ::-1]
    count = (
        int(np.searchsorted(np.cumsum(values) / values.sum(), variance_fraction)) + 1
    )
    return np.asarray(vectors[:, :count] / np.sqrt(values[:count] + 1e-9))
