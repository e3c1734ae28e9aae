"""Fit of the mean shape, in one step."""

import numpy as np

from ...classic.mean_shape import MeanShape
from ...classic.numpy_model import NumpyModel
from ...classic.shapes import from_complex
from .fit import Fit


class MeanShapeFit(Fit):
    """Fit the mean of the training faces."""

    def first(self) -> MeanShape:
        """Return the initial model: the mean shape of the scheme."""
        recipe = self.recipe
        model = recipe.model
        return MeanShape.of_scheme(
            recipe.name, recipe.scheme, model.size, model.padding
        )

    def catch_up(self, model: NumpyModel) -> None:
        """Do nothing: there is only one step."""

    def step(self, model: NumpyModel) -> MeanShape:
        """Return the mean of the training faces."""
        recipe, crop = self.recipe, (model.size, model.padding)
        plain = from_complex(self.faces.plain_shapes(*crop))
        return MeanShape.fit(recipe.name, recipe.scheme, plain, *crop)

    def training_error(self) -> float:
        """Return the mean distance of the training faces from their mean, in box sides."""
        model = self.recipe.model
        plain = self.faces.plain_shapes(model.size, model.padding)
        side = model.size / model.padding
        return float(np.abs(plain - plain.mean(0)).mean() / side)
