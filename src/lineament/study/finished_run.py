"""A finished training, and what the columns of a study need of it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data.crop_cache import CropCache, plain_landmarks
from ..data.mixture import read_mixture
from ..models.landmark_net import LandmarkNet
from ..recipe import Recipe
from ..training.build import load_any, load_trained
from ..training.validate import interocular_nmes, predict_plain


@dataclass(frozen=True)
class FinishedRun:
    """A finished training."""

    name: str
    checkpoint: Path
    data_root: Path
    cache: Path

    @cached_property
    def trained(self) -> tuple[LandmarkNet, Recipe]:
        """Averaged network and recipe."""
        return load_trained(self.checkpoint)

    @cached_property
    def recipe(self) -> Recipe:
        """Recipe of the run; that of a tracker, too."""
        return load_any(self.checkpoint)[1]

    @cached_property
    def validation_faces(self) -> CropCache:
        """Validation faces of the first data set that has some."""
        recipe = self.recipe
        crop = recipe.model.size, recipe.model.padding
        found = read_mixture(
            recipe.data, recipe.scheme, self.data_root, self.cache, crop=crop
        )[1]
        return next(iter(found.values()))

    def validation_nmes(self, decoder: str | None = None) -> NDArray[np.float64]:
        """NME of each validation face, fractions, with another decoder of the head if given."""
        net, recipe = self.trained
        head = net.head
        own = getattr(head, "decoder", None)
        if decoder is not None:
            head.decoder = decoder  # type: ignore[assignment]
        found, _ = predict_plain(net, self.validation_faces, recipe.model.padding)
        if decoder is not None:
            head.decoder = own  # type: ignore[assignment]
        truth = plain_landmarks(self.validation_faces, net.size, recipe.model.padding)
        return interocular_nmes(found, truth, recipe.scheme)

    def validation_nme(self, decoder: str | None = None) -> float:
        """Return the mean of `validation_nmes`."""
        return float(self.validation_nmes(decoder).mean())
