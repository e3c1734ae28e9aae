"""Train the cascade with parts, level by level, and DPM-CNN as a detector.

Depends on torch.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import RecipeError
from ...models.dpm_detector import DpmDetector
from ...models.heads.output import STRIDE
from ...models.parts import PartOutput, corners, ends_of, enlarged
from ...recipe import Recipe
from ...recipe.model import DpmCnnSettings, PartCascadeSettings
from ..batch import Batch
from ..landmark_task import LandmarkTask
from ..losses import check_losses, total_loss
from .box_errors import box_errors
from .losses import is_complete, part_losses


class PartTask(LandmarkTask):
    """Train the last level of the network: boxes, part ends and landmarks.

    The recipe freezes earlier levels, so that each is trained on the errors of the previous one.
    If it freezes nothing, all levels are trained at once, each by its own outputs.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        settings = recipe.model
        assert isinstance(settings, PartCascadeSettings | DpmCnnSettings)
        self.part_weight = settings.part_weight

    def count(self, batch: Batch) -> Tensor:
        """Return the counts of `loss_counts`, then the number of complete faces."""
        assert batch.landmarks is not None
        complete = is_complete(batch.landmarks).sum()
        return torch.cat([super().count(batch), complete[None]])

    def losses(
        self, model: nn.Module, batch: Batch, count: Tensor
    ) -> dict[str, Tensor]:
        assert batch.landmarks is not None
        with self.autocast(batch):
            output = model.run(batch.crops)  # type: ignore[operator]
            raw = model.head(output)  # type: ignore[operator]
        recipe = self.recipe
        if not recipe.train.freeze:
            output = replace(output, trained=output.predicted())
        losses = total_loss(
            raw,
            batch.landmarks,
            recipe.losses,
            STRIDE,
            recipe.sigma,
            count,
            batch.presence,
            batch.visible,
        )
        box_losses = part_losses(output, batch.landmarks, self.part_weight, count[-1])
        box_losses |= self.more_losses(output, batch, count)
        total = torch.stack([*box_losses.values(), losses["total"]]).sum()
        return losses | box_losses | {"total": total}

    def more_losses(
        self, output: PartOutput, batch: Batch, count: Tensor
    ) -> dict[str, Tensor]:
        """Return further weighted losses by name; `count` is that of `count`."""
        return {}

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return the NMEs, and the mean box errors in crops with detector noise."""
        results = super().validate(model)
        padding = self.recipe.model.padding
        for name, faces in self.validation_faces.items():
            for box, errors in box_errors(model, faces, padding).items():
                if len(errors):
                    results[f"{name}:{box}_box"] = float(errors.mean())
        return results


class DpmTask(PartTask):
    """Also train the face score of a window, from its features and its parts' deformation cost."""

    def check_losses(self) -> None:
        """Check [presence]. Raises: RecipeError: If it or its loss is missing."""
        check_losses(self.recipe.losses)
        if self.recipe.presence is None or "presence" not in self.recipe.losses:
            raise RecipeError(
                f"the recipe {self.recipe.name!r} has no windows without a face; a "
                "dpm-cnn needs [presence], and presence in losses"
            )

    def before_run(self, model: nn.Module, note: Callable[[str], None]) -> None:
        """Fit the star to the training faces."""
        assert isinstance(model, DpmDetector)
        rows = []
        for source in self.sources:
            complete = np.isfinite(source.cache.landmarks).all((1, 2))
            rows.append(source.cache.landmarks[complete])
        landmarks = torch.from_numpy(np.concatenate(rows))
        boxes = enlarged(corners(landmarks, "face"), 1.0)
        model.star.fit(ends_of(landmarks), boxes)
        count = len(model.star.mean)
        note(f"star model of {count} points, fitted to {len(landmarks)} faces")
