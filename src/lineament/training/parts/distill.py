"""Distill a cascade with parts: annotations, and the landmarks of a larger cascade.

Depends on torch.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import RecipeError
from ...models.part_cascade import PartCascade
from ...models.parts import PartOutput
from ...recipe import DistillSettings, Recipe
from ..batch import Batch
from ..build import load_any
from ..task import Context
from .losses import part_losses
from .task import PartTask

USED = ("teacher", "landmarks")
"""Keys of [distill] that apply to a cascade with parts."""


class PartDistillTask(PartTask):
    """Also train towards the teacher's landmarks, with the losses of the annotated ones.

    Faces without annotation are trained with the teacher alone.
    """

    teacher: PartCascade

    def __init__(self, recipe: Recipe) -> None:
        self.settings = distill_settings(recipe)
        super().__init__(recipe)

    def check_annotated(self) -> None:
        """Accept faces without landmarks."""

    def input_files(self) -> tuple[str, ...]:
        return (*super().input_files(), self.settings.teacher)

    def new_network(self, context: Context) -> nn.Module:
        """Return the network; also load the teacher.

        Raises: RecipeError: If the teacher does not fit.
        """
        path, m = Path(self.settings.teacher), self.recipe.model
        teacher, recipe = load_any(path)
        if not isinstance(teacher, PartCascade):
            raise RecipeError(
                f"the teacher {path} is a {recipe.kind}; expected a part-cascade"
            )
        if (teacher.size, recipe.model.padding) != (m.size, m.padding):
            raise RecipeError(
                f"the teacher {path} takes crops of {teacher.size} pixels with padding "
                f"{recipe.model.padding}, but the student {m.size} and {m.padding}; "
                "set model.size and model.padding to those of the teacher"
            )
        self.teacher = teacher.to(context.device)
        return super().new_network(context)

    def more_losses(
        self, output: PartOutput, batch: Batch, count: Tensor
    ) -> dict[str, Tensor]:
        """Return the losses of the student's outputs against the teacher's landmarks."""
        with torch.no_grad(), self.autocast(batch):
            landmarks = self.teacher.run(batch.crops).landmarks.float()
        found = part_losses(output, landmarks, self.part_weight, count[3])
        weight = self.settings.landmarks
        return {f"teacher_{name}": weight * loss for name, loss in found.items()}


def distill_settings(recipe: Recipe) -> DistillSettings:
    """Return [distill].    Raises: RecipeError: If it does not fit a cascade with parts."""
    settings = recipe.distill
    if settings is None or not settings.teacher or not settings.landmarks:
        raise RecipeError(
            f"the recipe {recipe.name!r} has a part-cascade; to distill it, set "
            "distill.teacher and distill.landmarks"
        )
    default: dict[str, Any] = DistillSettings.model_validate({}).model_dump()
    for key, value in settings.model_dump().items():
        if key not in USED and value != default[key]:
            raise RecipeError(
                f"distill.{key} does not apply to a part-cascade, which is distilled by "
                "its teacher's landmarks; remove it"
            )
    return settings
