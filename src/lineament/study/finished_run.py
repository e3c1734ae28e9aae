"""A finished training, and what the columns of a study need of it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..classic.numpy_model import NumpyModel
from ..data.crop_cache import CropCache, plain_landmarks
from ..data.mixture import read_mixture
from ..errors import RecipeError
from ..export.registry import export_trained, recipe_of
from ..inference.registry import load_numpy_model
from ..models.landmark_net import LandmarkNet
from ..recipe import Recipe
from ..training.build import load_trained
from ..training.classic.trainer import CHECKPOINT, predict_plain_faces
from ..training.validate import interocular_nmes, predict_plain


@dataclass(frozen=True)
class FinishedRun:
    """A finished training."""

    name: str
    checkpoint: Path
    data_root: Path
    cache: Path
    minutes: float | None = None
    """Measured duration of the training; None: unknown."""

    @property
    def has_network(self) -> bool:
        """Whether the model is a network."""
        return self.checkpoint.name != CHECKPOINT

    @cached_property
    def trained(self) -> tuple[LandmarkNet, Recipe]:
        """Averaged network and recipe.    Raises: RecipeError: If the model has no network."""
        if not self.has_network:
            raise RecipeError(
                f"{self.checkpoint} is a model without a network, which this column measures; "
                "leave the column out of the study"
            )
        return load_trained(self.checkpoint)

    @cached_property
    def classic(self) -> NumpyModel:
        """The model, if it has no network."""
        return load_numpy_model(self.checkpoint)

    @cached_property
    def recipe(self) -> Recipe:
        """Recipe of the run; that of a tracker, too."""
        return recipe_of(self.checkpoint)

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
        recipe = self.recipe
        if not self.has_network and decoder is None:
            found, truth, _ = predict_plain_faces(self.classic, self.validation_faces)
            return interocular_nmes(found, truth, recipe.scheme)
        net = self.trained[0]
        head = getattr(net, "head", None)
        own = getattr(head, "decoder", None)
        if decoder is not None:
            head.decoder = decoder  # type: ignore[union-attr]
        found, _ = predict_plain(net, self.validation_faces, recipe.model.padding)
        if decoder is not None:
            head.decoder = own  # type: ignore[union-attr]
        truth = plain_landmarks(self.validation_faces, net.size, recipe.model.padding)
        return interocular_nmes(found, truth, recipe.scheme)

    def validation_nme(self, decoder: str | None = None) -> float:
        """Return the mean of `validation_nmes`."""
        return float(self.validation_nmes(decoder).mean())

    def exported(self, int8: bool = False) -> Path:
        """Return the exported file, written if it is missing or older than the checkpoint."""
        name = "int8" if int8 else "final"
        suffix = ".onnx" if self.has_network else ".safetensors"
        path = self.checkpoint.with_name(name + suffix)
        changed = self.checkpoint.stat().st_mtime
        if not path.exists() or path.stat().st_mtime < changed:
            folder = self.checkpoint.parent
            export_trained(
                self.checkpoint, folder, name, int8, self.data_root, self.cache
            )
        return path
