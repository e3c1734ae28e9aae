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
"""Losses towards a teacher, in the order of summation."""


def teacher_losses(settings: DistillSettings) -> list[str]:
    """Return the names of the losses towards a teacher whose weight is not 0."""
    return [name for name in LOSSES if getattr(settings, name)]


class Comparison:
    """Outputs of one teacher, and the losses of students towards them."""

    def __init__(
        self, recipe: Recipe, settings: DistillSettings, teacher: Teacher
    ) -> None:
        self.recipe, self.settings, self.teacher = recipe, settings, teacher
        self.makes_peaks = (
            recipe.landmark_net.head == "gaussian2d" and teacher.head == "heatmap2d"
        )
        """True if the students predict maps of peak 1 and the teacher distributions."""

    def output(self, batch: Batch) -> TeacherOutput:
        """Return the teacher's outputs for `batch`, or its cached landmarks."""
        size = self.teacher.size
        if not self.settings.cached:
            return self.in_kind(self.teacher(resize_crops(batch.crops, size)))
        assert batch.teacher_landmarks is not None
        landmarks = scale_landmarks(
            batch.teacher_landmarks, size / batch.crops.shape[1]
        )
        return TeacherOutput(
            HeadOutput(landmarks, torch.ones_like(landmarks[..., 0])), {}
        )

    def in_kind(self, taught: TeacherOutput) -> TeacherOutput:
        """Return `taught` with distributions as maps of peak 1, if the students predict those."""
        logits = taught.raw.heatmap_logits
        if not self.makes_peaks or logits is None or taught.raw.heatmaps is not None:
            return taught
        size = self.teacher.size
        cell = size / logits.shape[-1]  # pixels of the teacher's crop
        wanted_px = STRIDE * self.recipe.sigma * size / self.recipe.model.size
        maps = to_peaks(logits, self.teacher.sigma_px / cell, wanted_px / cell)
        return TeacherOutput(replace(taught.raw, heatmaps=maps), taught.levels)

    def losses(
        self, own: TeacherOutput, taught: TeacherOutput, adapt: nn.Module
    ) -> dict[str, Tensor]:
        """Return the unweighted losses by name, each (B, N) or (B,).

        Args:
            adapt: Maps the student's features to the teacher's channels.
        """
        compute = {
            "pixel_wise": lambda: pixel_loss(own, taught),
            "heatmap_kl": lambda: kl_loss(own, taught, self.settings.temperature),
            "pair_wise": lambda: level_loss(own, taught),
            "mimicry": lambda: mimicry_loss(own, taught, adapt),
            "landmarks": lambda: self._landmark_loss(own, taught),
        }
        return {name: compute[name]() for name in teacher_losses(self.settings)}

    def _landmark_loss(self, own: TeacherOutput, taught: TeacherOutput) -> Tensor:
        # includes points that are not annotated
        scale = self.recipe.model.size / self.teacher.size
        target = scale_landmarks(taught.raw.landmarks, scale)
        return smooth_l1(own.raw, target, STRIDE, self.recipe.sigma)

    def check(self, student: LandmarkNet) -> None:
        """Check the outputs. Raises: RecipeError: If a loss does not fit `student` and teacher."""
        teacher, m = self.teacher, self.recipe.model
        names = teacher_losses(self.settings)
        where = f"the teacher {teacher.path}"
        if teacher.scheme != self.recipe.scheme:
            raise RecipeError(
                f"{where} predicts {teacher.scheme}, but the student predicts "
                f"{self.recipe.scheme}; choose one scheme"
            )
        if teacher.padding != m.padding:
            raise RecipeError(
                f"{where} takes crops with padding {teacher.padding}, but the student "
                f"takes {m.padding}; set model.padding = {teacher.padding}"
            )
        more = [name for name in names if name != "landmarks"]
        if teacher.net is None and more:
            raise RecipeError(
                f"{where} is an ONNX file, which provides only landmarks and not "
                f"{more[0]}; give its checkpoint"
            )
        if teacher.net is not None:
            self._check_outputs(
                output_shapes(student), output_shapes(teacher.net), names
            )

    def _check_outputs(
        self, own: TeacherOutput, taught: TeacherOutput, names: list[str]
    ) -> None:
        where = f"the teacher {self.teacher.path}"
        if any(name in NEEDS_MAPS for name in names):
            if taught.raw.heatmap_logits is None:
                raise RecipeError(
                    f"{where} has no heatmaps; remove {' and '.join(NEEDS_MAPS)}"
                )
            two_kinds = (own.raw.heatmaps is None) != (taught.raw.heatmaps is None)
            if two_kinds and not self.makes_peaks:
                raise RecipeError(
                    f"the heatmaps of {where} have peaks of 1, but the student's are "
                    "distributions; set model.head = 'gaussian2d'"
                )
        needs_levels = any(name in NEEDS_LEVELS for name in names)
        if needs_levels and not taught.levels.keys() & own.levels.keys():
            raise RecipeError(
                f"{where} and the student have no stride in common; remove pair_wise"
            )

    def channels(self, student: LandmarkNet) -> tuple[int, int] | None:
        """Return the student's and the teacher's channels for mimicry, if they differ."""
        if not self.settings.mimicry or self.teacher.net is None:
            return None
        student_levels = output_shapes(student).levels
        taught = output_shapes(self.teacher.net).levels
        stride = min(student_levels.keys() & taught.keys())
        channels = student_levels[stride].shape[1], taught[stride].shape[1]
        return None if channels[0] == channels[1] else channels


def check_settings(recipe: Recipe, settings: DistillSettings) -> None:
    """Check [distill]. Raises: RecipeError: If its settings contradict each other."""
    names, head = teacher_losses(settings), recipe.landmark_net.head
    if bool(names) != bool(settings.teacher):
        raise RecipeError(
            f"[distill] has the teacher losses {names} and the teacher "
            f"{settings.teacher!r}; give both or neither"
        )
    if settings.cached and names != ["landmarks"]:
        raise RecipeError(
            "[distill] sets cached, which keeps only landmarks, but has the losses "
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


def kl_loss(own: TeacherOutput, taught: TeacherOutput, temperature: float) -> Tensor:
    """Return the divergence (B, N) of the student's maps from the teacher's, resized to match."""
    resize = resize_maps if own.raw.heatmaps is None else resize_peaks
    return heatmap_kl(own.maps, resize(taught.maps, own.maps), temperature)


def pixel_loss(own: TeacherOutput, taught: TeacherOutput) -> Tensor:
    """Return the pixel-wise loss (B, N) of maps of peak 1 or of distributions."""
    if own.raw.heatmaps is not None:
        # in cells of stride STRIDE, as for mse, so that the loss does not depend on the resolution
        unit = (own.raw.stride / STRIDE) ** 2
        return pixel_wise(own.maps, resize_peaks(taught.maps, own.maps)) * unit
    target = resize_maps(
        taught.maps.flatten(2).softmax(-1).view_as(taught.maps), own.maps
    )
    # after resizing, a distribution must be normalized again
    target = target / target.sum((-2, -1), keepdim=True)
    return pixel_wise(own.maps.flatten(2).softmax(-1).view_as(own.maps), target)


def level_loss(own: TeacherOutput, taught: TeacherOutput) -> Tensor:
    """Return the sum (B,) of the pair-wise losses of all levels (Light-ResNet50, eq. 6)."""
    each = []
    for stride in sorted(own.levels.keys() & taught.levels.keys()):
        level = own.levels[stride]
        each.append(pair_wise(level, resize_maps(taught.levels[stride], level)))
    return torch.stack(each).sum(0)


def mimicry_loss(own: TeacherOutput, taught: TeacherOutput, adapt: nn.Module) -> Tensor:
    """Return the difference (B,) of the finest features, the student's mapped by `adapt`."""
    stride = min(own.levels.keys() & taught.levels.keys())
    features = adapt(own.levels[stride].float())
    return feature_mimicry(
        features, resize_maps(taught.levels[stride], features).float()
    )
