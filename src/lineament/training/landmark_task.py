"""Training of a landmark network on annotated faces. Depends on torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.crop_cache import CropCache
from ..data.negatives import Negatives, PresenceCrops
from ..data.no_face_photos import read_presence_data
from ..data.training_crops import Source, TrainingCrops
from ..errors import RecipeError
from ..models.heads.output import STRIDE
from ..recipe import PresenceSettings, Recipe
from ..schemes import scheme
from .batch import Batch
from .before_after import face_errors
from .build import (
    adopt_architecture,
    build_model,
    load_initial_weights,
    read_initial_weights,
)
from .device import autocast
from .losses import check_losses, check_presence, loss_counts, total_loss
from .presence_rates import presence_rates
from .task import Context, Samples, Task
from .validate import export_error_message, validate


class LandmarkTask(Task):
    """Train a landmark network on augmented crops of faces."""

    learns_attributes = False
    """True if the task also trains the attributes of [tasks]."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self.check_attributes()
        self.check_losses()
        self.check_annotated()
        self.sources: list[Source] = []
        self.validation_faces: dict[str, CropCache] = {}
        self.negatives: Negatives | None = None
        self.validation_presence: PresenceCrops | None = None
        self.never_learned: tuple[int, ...] = ()
        """Indices of the points that no training face has."""

    def check_losses(self) -> None:
        """Check that losses, [presence] and model match.

        Raises:
            RecipeError: If they do not.
        """
        check_losses(self.recipe.losses)
        check_presence(self.recipe)

    def check_attributes(self) -> None:
        """Check that [tasks] is empty if this kind of training ignores it.

        Raises:
            RecipeError: If it is not.
        """
        if self.recipe.tasks is not None and not self.learns_attributes:
            raise RecipeError(
                f"the recipe {self.recipe.name!r} has [tasks], but training a "
                f"{self.recipe.kind} this way does not support them; remove [tasks], or train a "
                "shared-features or deep-alignment model with lineament train"
            )

    def check_annotated(self) -> None:
        """Check that faces without landmarks have a teacher.

        Raises:
            RecipeError: If they have none.
        """
        for number, part in enumerate(self.recipe.data):
            if not part.annotated:
                raise RecipeError(
                    f"data.{number} ({part.reader}) is not annotated, but there is no "
                    "teacher to learn from; name one in [distill] and use lineament "
                    "distill, or remove annotated = false"
                )

    def input_files(self) -> tuple[str, ...]:
        return (self.recipe.init_from, *self.recipe.init_parts.values())

    def build(self, context: Context) -> nn.Module:
        self.recipe = adopt_architecture(self.recipe, context.resume_from)
        return self.new_network(context)

    def new_network(self, context: Context) -> nn.Module:
        """Return the network of the recipe; a resumed run loads its checkpoint afterwards."""
        model = build_model(self.recipe, context.resume_from)
        if context.resume_from is None:
            load_initial_weights(model, self.recipe)
        return model

    def samples(self, context: Context) -> Samples:
        recipe = self.recipe
        self.read_data(context)
        if context.resume_from is None:
            self.never_learned = self.unlearned_points()
            self._note_unlearned(context)
        return TrainingCrops(
            self.sources,
            recipe.scheme,
            self.crop_size(),
            recipe.model.padding,
            recipe.augment,
            recipe.train.seed,
            self.negatives,
        )

    def read_data(self, context: Context) -> None:
        """Read the mixture of the recipe."""
        recipe = self.recipe
        crop = self.crop_size(), recipe.model.padding
        self.sources, self.validation_faces = context.read(
            recipe.data,
            recipe.scheme,
            context.data_root,
            context.cache,
            context.note,
            crop,
        )
        fault = export_error_message(self.validation_faces, recipe.scheme)
        if fault:
            context.note(fault)
        if recipe.presence is not None:
            self._read_presence(recipe.presence, context)

    def _read_presence(self, settings: PresenceSettings, context: Context) -> None:
        """Read the crops without a face, and the faces that have only a box."""
        data = read_presence_data(
            settings,
            self.recipe,
            self.validation_faces,
            context.data_root,
            context.cache,
        )
        self.negatives, self.validation_presence = data.negatives, data.validation
        if data.boxed is not None:
            others = 1 - settings.negative_fraction - settings.box_only_fraction
            total = sum(len(source.cache) * source.repeat for source in self.sources)
            count = max(1, round(settings.box_only_fraction / others * total))
            self.sources = [*self.sources, Source(data.boxed, per_epoch=count)]

    def unlearned_points(self) -> tuple[int, ...]:
        """Return the points without examples in the data or in the initial weights' training."""
        annotated = np.zeros(len(scheme(self.recipe.scheme)), np.bool_)
        for source in self.sources:
            annotated |= np.isfinite(source.cache.landmarks).all(-1).any(0)
        if annotated.all() or self.starts_trained():
            return ()
        return tuple(np.flatnonzero(~annotated).tolist())

    def starts_trained(self) -> bool:
        """Return whether the initial weights were trained for the recipe's scheme."""
        if not self.recipe.init_from:
            return False
        start = read_initial_weights(Path(self.recipe.init_from))[1]
        return start is not None and start.scheme == self.recipe.scheme

    def _note_unlearned(self, context: Context) -> None:
        points = scheme(self.recipe.scheme).points
        names = [f"{i} ({points[i]})" for i in self.never_learned]
        if names:
            context.note(
                f"no training face has point {', '.join(names)}: the model cannot "
                "learn it, and will predict a score of 0 and not visible"
            )

    def state(self) -> dict[str, Any]:
        unlearned = list(self.never_learned)
        return {"never_learned": unlearned} if unlearned else {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.never_learned = tuple(state.get("never_learned", ()))

    def crop_size(self) -> int:
        """Return the side of the crops in a batch, pixels."""
        return self.recipe.model.size

    def count(self, batch: Batch) -> Tensor:
        assert batch.landmarks is not None
        return loss_counts(batch.landmarks, batch.presence, batch.visible)

    def autocast(self, batch: Batch) -> torch.autocast:
        """Return the precision in which networks run."""
        return autocast(batch.crops.device.type, self.recipe.train.bf16)

    def losses(
        self, model: nn.Module, batch: Batch, count: Tensor
    ) -> dict[str, Tensor]:
        assert batch.landmarks is not None
        with self.autocast(batch):
            raw = model(batch.crops)
        recipe = self.recipe
        return total_loss(
            raw,
            batch.landmarks,
            recipe.losses,
            STRIDE,
            recipe.sigma,
            count,
            batch.presence,
            batch.visible,
        )

    def validate(self, model: nn.Module) -> dict[str, float]:
        recipe = self.recipe
        padding = recipe.model.padding
        results = validate(model, self.validation_faces, recipe.scheme, padding)
        if self.validation_presence is not None:
            results |= self.presence_results(model, self.validation_presence)
        return results

    def presence_results(
        self, model: nn.Module, crops: PresenceCrops
    ) -> dict[str, float]:
        """Return the rates of presence and visibility on validation crops, by name."""
        return presence_rates(model, crops, self.recipe.model.padding)

    def face_errors(self, model: nn.Module) -> dict[str, list[float]]:
        recipe = self.recipe
        padding = recipe.model.padding
        return face_errors(model, self.validation_faces, recipe.scheme, padding)
