"""A finished training run, with the data that the columns of a study need."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..classic.numpy_model import NumpyModel
from ..data.crop_cache import CropCache, plain_landmarks
from ..data.mixture import Mixture, read_mixture
from ..errors import RecipeError
from ..inference.registry import load_numpy_model
from ..models.landmark_net import LandmarkNet
from ..recipe import Recipe
from ..training.build import load_any, load_trained
from ..training.classic.predict import predict_plain_faces
from ..training.classic.stored import stored_recipe
from ..training.resume import CLASSIC_CHECKPOINT
from ..training.run_files import recipe_of
from ..training.validate import interocular_nmes, predict_plain
from .train_minutes import logged_minutes


@dataclass(frozen=True)
class FinishedRun:
    """A finished training run."""

    name: str
    checkpoint: Path
    data_root: Path
    cache: Path
    needs: tuple[Path, ...] = ()
    """Checkpoints of the training runs that this one depends on."""

    @property
    def has_network(self) -> bool:
        """True if the model is a network."""
        return self.checkpoint.name != CLASSIC_CHECKPOINT

    @cached_property
    def trained(self) -> tuple[LandmarkNet, Recipe]:
        """Averaged network and recipe.

        Raises:
            RecipeError: If the model has no network.
        """
        if not self.has_network:
            raise RecipeError(
                f"{self.checkpoint} is a model without a network, but this column "
                "measures one; remove the column from the study"
            )
        return load_trained(self.checkpoint)

    @cached_property
    def classic(self) -> NumpyModel:
        """Model without a network."""
        return load_numpy_model(self.checkpoint)

    @cached_property
    def recipe(self) -> Recipe:
        """Recipe of the run, which may be of a tracker."""
        if self.has_network:
            return load_any(self.checkpoint)[1]
        return stored_recipe(self.checkpoint)

    @property
    def faces_per_step(self) -> int:
        """Faces per training step: a batch, or all faces for a model without a network."""
        if self.has_network:
            # does not build the network
            return recipe_of(self.checkpoint).train.batch
        complete = 0
        for source in self._mixture[0]:
            if source.use_until == 1:
                is_annotated = np.isfinite(source.cache.landmarks).all(axis=(1, 2))
                complete += int(is_annotated.sum())
        # GrayFaces include the mirror image of each face
        return 2 * complete

    @property
    def minutes(self) -> float:
        """Minutes of the logged steps of this run and of those it depends on; nan without a log."""
        minutes = logged_minutes(self.checkpoint.parent, self.faces_per_step)
        for checkpoint in self.needs:
            minutes += replace(self, checkpoint=checkpoint, needs=()).minutes
        return minutes

    @cached_property
    def _mixture(self) -> Mixture:
        recipe = self.recipe
        arguments = recipe.scheme, self.data_root, self.cache
        crop = recipe.model.size, recipe.model.padding
        return read_mixture(recipe.data, *arguments, crop=crop)

    @cached_property
    def validation_faces(self) -> CropCache:
        """Validation faces of the first data set that has any."""
        return next(iter(self._mixture[1].values()))

    def validation_nmes(self, decoder: str | None = None) -> NDArray[np.float64]:
        """Return the NME (M,) of each validation face, a fraction; None: the head's decoder."""
        recipe = self.recipe
        if not self.has_network and decoder is None:
            landmarks, truth, _ = predict_plain_faces(
                self.classic, self.validation_faces
            )
            return interocular_nmes(landmarks, truth, recipe.scheme)
        net = self.trained[0]
        head = getattr(net, "head", None)
        head_decoder = getattr(head, "decoder", None)
        if decoder is not None:
            head.decoder = decoder  # type: ignore[union-attr]
        predicted, _ = predict_plain(net, self.validation_faces, recipe.model.padding)
        if decoder is not None:
            head.decoder = head_decoder  # type: ignore[union-attr]
        truth = plain_landmarks(self.validation_faces, net.size, recipe.model.padding)
        return interocular_nmes(predicted, truth, recipe.scheme)

    def validation_nme(self, decoder: str | None = None) -> float:
        """Return the mean of `validation_nmes`."""
        return float(self.validation_nmes(decoder).mean())
