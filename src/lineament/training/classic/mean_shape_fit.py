"""Fit of the mean shape, in one step."""

import numpy as np

from ...classic.mean_shape import MeanShape
from ...classic.numpy_model import NumpyModel
from ...classic.shapes import from_complex
from .fit import Fit


class MeanShapeFit(Fit):
    """Fit the mean of the training faces."""

    def first(self) -> MeanShape:
        """Return the same model as the only step, since a scheme may state no mean shape."""
        return self._fitted()

    def resume_from_model(self, model: NumpyModel) -> None:
        """Do nothing: there is only one step."""

    def step(self, model: NumpyModel) -> MeanShape:
        """Return the mean of the training faces."""
        return self._fitted()

    def training_error(self) -> float:
        """Return the mean distance of training faces to their mean, relative to the box side."""
        model = self.recipe.model
        plain = self.faces.plain_shapes(model.size, model.padding)
        side = model.size / model.padding
        return float(np.abs(plain - plain.mean(0)).mean() / side)

    def _fitted(self) -> MeanShape:
        recipe = self.recipe
        crop = recipe.model.size, recipe.model.padding
        plain = from_complex(self.faces.plain_shapes(*crop))
        return MeanShape.fit(recipe.name, recipe.scheme, plain, *crop)
