"""Compare students with their teacher by the losses of a recipe. Depends on torch."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from ...errors import RecipeError
from ...models.heads.output import STRIDE, HeadOutput
from ...models.heads.registry import TWO_D
from ...models.landmark_net import LandmarkNet
from ...recipe import DistillSettings, Recipe
from ..batch import Batch
from ..losses import smooth_l1
from .losses import feature_mimicry, heatmap_kl, pair_wise, pixel_wise, to_peaks
from .teacher import (
    Teacher,
    TeacherOutput,
    output_shapes,
    resize_crops,
    resize_maps,
    resize_peaks,
    scale_landmarks,
)

NEEDS_MAPS = ("pixel_wise", "heatmap_kl")
NEEDS_LEVELS = ("pair_wise", "mimicry")
LOSSES = ("pixel_wise", "heatmap_kl", "pair_wise", "mimicry", "landmarks")
"""Losses against a teacher, in the order of summation."""


def teacher_losses(settings: DistillSettings) -> list[str]:
    """Return the names of the teacher losses with a nonzero weight."""
    return [name for name in LOSSES if getattr(settings, name)]


class Comparison:
    """Outputs of one teacher, and the losses of students against them."""

    def __init__(
        self, recipe: Recipe, settings: DistillSettings, teacher: Teacher
    ) -> None:
        self.recipe, self.settings, self.teacher = recipe, settings, teacher
        self.makes_peaks = (
            recipe.landmark_net.head == "gaussian2d" and teacher.head == "heatmap2d"
        )
        """True if the students predict maps with peaks of 1 and the teacher distributions."""

    def output(self, batch: Batch) -> TeacherOutput:
        """Return the teacher's outputs for `batch`, or its cached landmarks."""
        size = self.teacher.size
        if not self.settings.cached:
            return self.to_student_form(self.teacher(resize_crops(batch.crops, size)))
        assert batch.teacher_landmarks is not None
        landmarks = scale_landmarks(
            batch.teacher_landmarks, size / batch.crops.shape[1]
        )
        return TeacherOutput(
            HeadOutput(landmarks, torch.ones_like(landmarks[..., 0])), {}
        )

    def to_student_form(self, output: TeacherOutput) -> TeacherOutput:
        """Convert distributions in `output` to maps with peaks of 1, if students predict these."""
        logits = output.raw.heatmap_logits
        if not self.makes_peaks or logits is None or output.raw.heatmaps is not None:
            return output
        size = self.teacher.size
        cell = size / logits.shape[-1]  # pixels of the teacher's crop
        sigma_px = STRIDE * self.recipe.sigma * size / self.recipe.model.size
        maps = to_peaks(logits, self.teacher.sigma_px / cell, sigma_px / cell)
        return TeacherOutput(replace(output.raw, heatmaps=maps), output.levels)

    def losses(
        self, student: TeacherOutput, teacher: TeacherOutput, adapt: nn.Module
    ) -> dict[str, Tensor]:
        """Return the unweighted losses by name, each (B, N) or (B,).

        Args:
            adapt: Maps the student's features to the teacher's channels.
        """
        compute = {
            "pixel_wise": lambda: pixel_loss(student, teacher),
            "heatmap_kl": lambda: kl_loss(student, teacher, self.settings.temperature),
            "pair_wise": lambda: level_loss(student, teacher),
            "mimicry": lambda: mimicry_loss(student, teacher, adapt),
            "landmarks": lambda: self._landmark_loss(student, teacher),
        }
        return {name: compute[name]() for name in teacher_losses(self.settings)}

    def _landmark_loss(self, student: TeacherOutput, teacher: TeacherOutput) -> Tensor:
        # includes points that are not annotated
        scale = self.recipe.model.size / self.teacher.size
        target = scale_landmarks(teacher.raw.landmarks, scale)
        return smooth_l1(student.raw, target, STRIDE, self.recipe.sigma)

    def check(self, student: LandmarkNet) -> None:
        """Check that the outputs of `student` and teacher can be compared.

        Raises:
            RecipeError: If a loss does not apply to them.
        """
        teacher, m = self.teacher, self.recipe.model
        names = teacher_losses(self.settings)
        teacher_name = f"the teacher {teacher.path}"
        if teacher.scheme != self.recipe.scheme:
            raise RecipeError(
                f"{teacher_name} predicts {teacher.scheme}, but the student predicts "
                f"{self.recipe.scheme}; choose one scheme"
            )
        if teacher.padding != m.padding:
            raise RecipeError(
                f"{teacher_name} takes crops with padding {teacher.padding}, but the student "
                f"takes {m.padding}; set model.padding = {teacher.padding}"
            )
        other_losses = [name for name in names if name != "landmarks"]
        if teacher.net is None and other_losses:
            raise RecipeError(
                f"{teacher_name} is an ONNX file, which provides only landmarks, not "
                f"{other_losses[0]}; give its checkpoint"
            )
        if teacher.net is not None:
            self._check_outputs(
                output_shapes(student), output_shapes(teacher.net), names
            )

    def _check_outputs(
        self, student: TeacherOutput, teacher: TeacherOutput, names: list[str]
    ) -> None:
        teacher_name = f"the teacher {self.teacher.path}"
        if any(name in NEEDS_MAPS for name in names):
            if teacher.raw.heatmap_logits is None:
                raise RecipeError(
                    f"{teacher_name} has no heatmaps; remove {' and '.join(NEEDS_MAPS)}"
                )
            kinds_differ = (student.raw.heatmaps is None) != (
                teacher.raw.heatmaps is None
            )
            if kinds_differ and not self.makes_peaks:
                raise RecipeError(
                    f"the heatmaps of {teacher_name} have peaks of 1, but the student's are "
                    "distributions; set model.head = 'gaussian2d'"
                )
        needs_levels = any(name in NEEDS_LEVELS for name in names)
        if needs_levels and not teacher.levels.keys() & student.levels.keys():
            raise RecipeError(
                f"{teacher_name} and the student have no stride in common; "
                f"remove {' and '.join(NEEDS_LEVELS)}"
            )

    def channels(self, student: LandmarkNet) -> tuple[int, int] | None:
        """Return the channels of student and teacher at the mimicry level; None if they agree."""
        if not self.settings.mimicry or self.teacher.net is None:
            return None
        student_levels = output_shapes(student).levels
        teacher_levels = output_shapes(self.teacher.net).levels
        stride = min(student_levels.keys() & teacher_levels.keys())
        channels = student_levels[stride].shape[1], teacher_levels[stride].shape[1]
        return None if channels[0] == channels[1] else channels


def check_settings(recipe: Recipe, settings: DistillSettings) -> None:
    """Check that the settings of [distill] are consistent.

    Raises:
        RecipeError: If two of them contradict each other.
    """
    names, head = teacher_losses(settings), recipe.landmark_net.head
    if bool(names) != bool(settings.teacher):
        raise RecipeError(
            f"[distill] has the teacher losses {names} and the teacher "
            f"{settings.teacher!r}; give both or neither"
        )
    if settings.cached and names != ["landmarks"]:
        raise RecipeError(
            "[distill] sets cached, which stores only landmarks, but has the losses "
            f"{names}; remove cached"
        )
    if settings.peer_kl and settings.students < 2:
        raise RecipeError(
            "[distill] has peer_kl, but only one student; set students = 2 or more, "
            "or remove peer_kl"
        )
    needs_maps = settings.peer_kl or any(name in NEEDS_MAPS for name in names)
    if needs_maps and head not in TWO_D:
        raise RecipeError(
            f"the student's head is {head!r}, without heatmaps; set model.head = 'heatmap2d'"
        )


def kl_loss(
    student: TeacherOutput, teacher: TeacherOutput, temperature: float
) -> Tensor:
    """Return the divergence (B, N) of the student's maps from the teacher's, resized to match."""
    resize = resize_maps if student.raw.heatmaps is None else resize_peaks
    return heatmap_kl(student.maps, resize(teacher.maps, student.maps), temperature)


def pixel_loss(student: TeacherOutput, teacher: TeacherOutput) -> Tensor:
    """Return the pixel-wise loss (B, N) of maps with peaks of 1, or of distributions."""
    if student.raw.heatmaps is not None:
        # in cells of stride STRIDE, as for mse, so that the loss does not depend on the resolution
        unit = (student.raw.stride / STRIDE) ** 2
        return pixel_wise(student.maps, resize_peaks(teacher.maps, student.maps)) * unit
    target = resize_maps(
        teacher.maps.flatten(2).softmax(-1).view_as(teacher.maps), student.maps
    )
    # resizing does not preserve the sum of a distribution
    target = target / target.sum((-2, -1), keepdim=True)
    return pixel_wise(student.maps.flatten(2).softmax(-1).view_as(student.maps), target)


def level_loss(student: TeacherOutput, teacher: TeacherOutput) -> Tensor:
    """Return the sum (B,) of the pair-wise losses of all levels (Light-ResNet50, eq. 6)."""
    losses = []
    for stride in sorted(student.levels.keys() & teacher.levels.keys()):
        level = student.levels[stride]
        losses.append(pair_wise(level, resize_maps(teacher.levels[stride], level)))
    return torch.stack(losses).sum(0)


def mimicry_loss(
    student: TeacherOutput, teacher: TeacherOutput, adapt: nn.Module
) -> Tensor:
    """Return the mimicry loss (B,) of the finest features; `adapt` maps the student's."""
    stride = min(student.levels.keys() & teacher.levels.keys())
    features = adapt(student.levels[stride].float())
    return feature_mimicry(
        features, resize_maps(teacher.levels[stride], features).float()
    )
