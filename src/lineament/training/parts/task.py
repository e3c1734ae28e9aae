"""Train the cascade with parts, level by level or distilled, and DPM-CNN as a detector.

Depends on torch.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...data.negatives import PresenceCrops
from ...errors import RecipeError
from ...geometry import Array, Image
from ...models.dpm_detector import DpmDetector
from ...models.heads.output import STRIDE
from ...models.part_cascade import PartCascade
from ...models.parts import PartOutput, corners, ends_of, enlarged
from ...recipe import DistillSettings, Recipe
from ...recipe.model import DpmCnnSettings, PartCascadeSettings
from ..batch import Batch
from ..build import load_any
from ..landmark_task import LandmarkTask
from ..losses import check_losses, total_loss
from ..presence_rates import roc_auc, run_states, state_rates
from ..task import Context, Samples
from .box_errors import box_errors
from .losses import is_complete, part_losses

USED = ("teacher", "landmarks")
"""Keys of [distill] that apply to a cascade with parts."""


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

        Raises:
            RecipeError: If the teacher does not fit.
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
        self.teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
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
    """Return [distill].

    Raises:
        RecipeError: If it does not fit a cascade with parts.
    """
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


class DpmTask(PartTask):
    """Also train the face score of a window, from its features and its parts' deformation cost."""

    def check_losses(self) -> None:
        """Check that the recipe has [presence] and a loss for it.

        Raises:
            RecipeError: If either is missing.
        """
        check_losses(self.recipe.losses)
        if self.recipe.presence is None or "presence" not in self.recipe.losses:
            raise RecipeError(
                f"the recipe {self.recipe.name!r} has no windows without a face; a "
                "dpm-cnn needs [presence], and presence in losses"
            )

    def new_network(self, context: Context) -> nn.Module:
        self.network = super().new_network(context)
        return self.network

    def samples(self, context: Context) -> Samples:
        """Read the data; in a new run, fit the star to the training faces."""
        samples = super().samples(context)
        if context.resume_from is None:
            self._fit_star(context)
        return samples

    def _fit_star(self, context: Context) -> None:
        assert isinstance(self.network, DpmDetector)
        rows = []
        for source in self.sources:
            complete = np.isfinite(source.cache.landmarks).all((1, 2))
            rows.append(source.cache.landmarks[complete])
        landmarks = torch.from_numpy(np.concatenate(rows))
        boxes = enlarged(corners(landmarks, "face"), 1.0)
        self.network.star.fit(ends_of(landmarks), boxes)
        count = len(self.network.star.mean)
        context.note(f"star model of {count} points, fitted to {len(landmarks)} faces")

    @torch.no_grad()
    def presence_results(
        self, model: nn.Module, crops: PresenceCrops
    ) -> dict[str, float]:
        """Return the rates of presence, and its AUC without the deformation cost."""
        assert isinstance(model, DpmDetector)
        device, points = model.start.device, model.mean_shape.shape[0]

        def predict(batch: Image) -> tuple[Array, Array]:
            output, face = model.run_with_face_logits(
                torch.from_numpy(batch).to(device)
            )
            assert output.presence_logits is not None
            both = torch.stack([output.presence_logits, face], dim=1)
            return both.double().cpu().numpy(), np.full((len(batch), points), np.nan)

        logits, visible = run_states(
            predict, crops, model.size, self.recipe.model.padding
        )
        rates = state_rates(logits[:, 0], visible, crops, 0.0)
        auc = roc_auc(logits[:, 1], crops.presence())
        return rates | {"presence_auc_without_star": auc}
