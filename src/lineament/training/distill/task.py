"""Distillation: train students with annotations, a frozen teacher and each other.

Depends on torch. All networks get the same augmented face, each at its own size.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from ...data.crop_cache import plain_crops, plain_landmarks
from ...errors import RecipeError
from ...models.heads.output import STRIDE, HeadOutput
from ...models.landmark_net import LandmarkNet
from ...recipe import DistillSettings, Recipe
from ..batch import Batch
from ..build import build_model, load_initial_weights, load_trained
from ..landmark_task import LandmarkTask
from ..losses import total_loss
from ..task import Context
from .comparison import Comparison, check_settings
from .losses import heatmap_kl, peer_ensemble
from .masks import apply_masks, draw_masks, visible_with_masks
from .teacher import (
    FILES,
    Teacher,
    TeacherOutput,
    output_shapes,
    resize_crops,
    resize_peaks,
    run_network,
    scale_landmarks,
)
from .teacher_cache import with_teacher

BATCH = 32
"""Faces per forward pass without gradients."""


class Students(nn.Module):
    """Networks with one architecture, trained together; the first is validated and exported."""

    def __init__(
        self, students: list[LandmarkNet], adapt: tuple[int, int] | None
    ) -> None:
        super().__init__()
        self.students = nn.ModuleList(students)
        # maps the students' channels to the teacher's, for mimicry; not exported
        self.adapt = nn.ModuleList(
            [nn.Conv2d(*adapt, 1) for _ in students] if adapt else []
        )
        self.size = students[0].size

    def forward(self, crops: Tensor) -> HeadOutput:
        """Predict the HeadOutput of the first student from uint8 RGB crops (B, S, S, 3)."""
        return self.students[0](crops)  # type: ignore[no-any-return]


class DistillTask(LandmarkTask):
    """Train the students of the recipe's [distill]."""

    def __init__(self, recipe: Recipe) -> None:
        if recipe.distill is None:
            raise RecipeError(
                f"the recipe {recipe.name!r} has no [distill]; add it, or use lineament train"
            )
        self.settings: DistillSettings = recipe.distill
        self.comparison: Comparison | None = None
        super().__init__(recipe)
        check_settings(recipe, self.settings)

    def check_annotated(self) -> None:
        if not self.settings.teacher:
            super().check_annotated()

    def input_files(self) -> tuple[str, ...]:
        return (*super().input_files(), self.settings.teacher)

    def new_network(self, context: Context) -> nn.Module:
        """Return the students; the k-th is initialized from the recipe's seed + k.

        Students that start from the same checkpoint keep their random heads, except for the first;
        otherwise they would be identical. With `random_init_peers`, only the first starts from it.
        """
        recipe, settings = self.recipe, self.settings
        if settings.teacher:
            path = Path(settings.teacher)
            trained = None
            if path.suffix not in FILES:
                trained = load_trained(path, recipe.scheme)
            teacher = Teacher(path, context.device, trained, recipe.scheme)
            self.comparison = Comparison(recipe, settings, teacher)
        students = []
        for k in range(settings.students):
            train = recipe.train.model_copy(update={"seed": recipe.train.seed + k})
            student = build_model(
                recipe.model_copy(update={"train": train}), context.resume_from
            )
            # Comparison requires heatmaps
            assert isinstance(student, LandmarkNet)
            loads_weights = k == 0 or not settings.random_init_peers
            if context.resume_from is None and loads_weights:
                random_head = {
                    key: value.clone()
                    for key, value in student.head.state_dict().items()
                }
                load_initial_weights(student, recipe)
                if k > 0:
                    student.head.load_state_dict(random_head)
            students.append(student)
        if self.comparison is None:
            return Students(students, None)
        self.comparison.check(students[0])
        return Students(students, self.comparison.channels(students[0]))

    def crop_size(self) -> int:
        """Return the larger of the students' and the teacher's crop sizes."""
        size = self.recipe.model.size
        if self.comparison is None or self.settings.cached:
            return size
        return max(size, self.comparison.teacher.size)

    def read_data(self, context: Context) -> None:
        """Read the mixture, and cache the teacher's landmarks if it runs once per face."""
        super().read_data(context)
        if self.comparison is not None and self.settings.cached:
            teacher, cache = self.comparison.teacher, context.cache
            self.sources = [
                with_teacher(source, teacher, cache) for source in self.sources
            ]

    def unlearned_points(self) -> tuple[int, ...]:
        """Return the points without training examples: none if a teacher predicts them."""
        return () if self.comparison is not None else super().unlearned_points()

    def prepare(self, batch: Batch) -> Batch:
        """Draw the masks of each student."""
        settings, recipe = self.settings, self.recipe
        if not settings.mask_prob:
            return batch
        masks = []
        for k in range(settings.students):
            seed = recipe.train.seed, k
            sides, size = settings.mask_size, recipe.model.size
            masks.append(draw_masks(batch.crops, settings.mask_prob, sides, size, seed))
        return replace(batch, masks=torch.stack(masks, 1))

    def losses(
        self, model: nn.Module, batch: Batch, count: Tensor
    ) -> dict[str, Tensor]:
        """Return the losses, averaged over the students."""
        assert isinstance(model, Students)
        assert batch.landmarks is not None
        recipe, size = self.recipe, self.recipe.model.size
        crops = resize_crops(batch.crops, size)
        landmarks = scale_landmarks(batch.landmarks, size / batch.crops.shape[1])
        inputs = [crops] * len(model.students)
        visible = [batch.visible] * len(model.students)
        if batch.masks is not None:
            masks = batch.masks.unbind(1)
            inputs = [apply_masks(crops, mask) for mask in masks]
            if batch.visible is not None:
                args = batch.visible, landmarks
                visible = [visible_with_masks(*args, mask) for mask in masks]
        teacher_output = None
        outputs = []
        with self.autocast(batch):
            if self.comparison is not None:
                teacher_output = self.comparison.output(batch)
            for net, student_crops in zip(model.students, inputs, strict=True):
                outputs.append(run_network(net, student_crops))  # type: ignore[arg-type]
        sums: dict[str, Tensor] = {}
        for k, output in enumerate(outputs):
            targets = landmarks, recipe.losses, STRIDE, recipe.sigma, count
            parts = total_loss(output.raw, *targets, batch.presence, visible[k])
            del parts["total"]
            mean = partial(mean_of_faces, batch=batch, count=count[3])
            if teacher_output is not None:
                adapt = model.adapt[k] if len(model.adapt) else nn.Identity()
                parts |= self._from_teacher(output, teacher_output, adapt, mean)
            if self.settings.peer_kl:
                parts["peer_kl"] = self._from_peers(output, outputs, mean)
            for name, value in parts.items():
                sums[name] = sums.get(name, torch.zeros(())) + value / len(outputs)
        return sums | {"total": torch.stack(list(sums.values())).sum()}

    def _from_teacher(
        self,
        output: TeacherOutput,
        teacher_output: TeacherOutput,
        adapt: nn.Module,
        mean: Callable[[Tensor], Tensor],
    ) -> dict[str, Tensor]:
        assert self.comparison is not None
        parts = {}
        for name, values in self.comparison.losses(
            output, teacher_output, adapt
        ).items():
            parts[name] = getattr(self.settings, name) * mean(values)
        return parts

    def _from_peers(
        self,
        output: TeacherOutput,
        outputs: list[TeacherOutput],
        mean: Callable[[Tensor], Tensor],
    ) -> Tensor:
        settings = self.settings
        ensemble = peer_ensemble(
            [peer.maps for peer in outputs], output.raw.heatmaps is None
        )
        divergence = heatmap_kl(output.maps, ensemble, settings.temperature)
        return settings.peer_kl * mean(divergence)

    def before_run(self, model: nn.Module, note: Callable[[str], None]) -> None:
        """Report the squared errors of the teacher's and the student's maps on validation faces.

        Distillation helps little if the teacher's error is not smaller than the student's.
        """
        settings, comparison = self.settings, self.comparison
        if comparison is None or not settings.heatmap_kl + settings.pixel_wise:
            return
        assert isinstance(model, Students)
        student: LandmarkNet = model.students[0].eval()  # type: ignore[assignment]
        example_maps = output_shapes(student).raw.heatmaps
        if example_maps is not None and self.validation_faces:
            teacher = comparison.teacher

            def teacher_maps(crops: Tensor) -> Tensor:
                return resize_peaks(
                    comparison.to_student_form(teacher(crops)).maps, example_maps
                )

            def student_maps(crops: Tensor) -> Tensor:
                maps: Tensor = student(crops).heatmaps
                return maps

            student_error = self._map_error(student_maps, student.size, teacher.device)
            teacher_error = self._map_error(teacher_maps, teacher.size, teacher.device)
            note(
                f"squared error of a map on validation: the teacher's {teacher_error:.3f}, "
                f"the student's {student_error:.3f} before training"
            )
        student.train()

    @torch.no_grad()
    def _map_error(
        self, predict: Callable[[Tensor], Tensor], size: int, device: torch.device
    ) -> float:
        """Return the mean `mse` loss of maps that `predict` returns for plain crops of `size`."""
        m, total, count = self.recipe.model, 0.0, 0
        for cache in self.validation_faces.values():
            truth = torch.from_numpy(plain_landmarks(cache, m.size, m.padding)).float()
            for k, (crops, _) in enumerate(plain_crops(cache, size, m.padding, BATCH)):
                landmarks = truth[k * BATCH : k * BATCH + len(crops)]
                maps = predict(torch.from_numpy(crops).to(device)).cpu()
                stride = m.size / maps.shape[-1]
                raw = HeadOutput(
                    landmarks, landmarks[..., 0], heatmaps=maps, stride=stride
                )
                loss = total_loss(
                    raw, landmarks, {"mse": 1.0}, STRIDE, self.recipe.sigma
                )["mse"]
                total, count = total + float(loss) * len(crops), count + len(crops)
        return total / max(count, 1)


def mean_of_faces(losses: Tensor, batch: Batch, count: Tensor) -> Tensor:
    """Return the sum of losses (B,) or (B, N), divided by `count` crops and by N.

    Crops without a face are excluded; `count` is that of the global batch.
    """
    if batch.presence is not None:
        faces = (batch.presence != 0).view(-1, *[1] * (losses.ndim - 1))
        losses = torch.where(faces, losses, 0.0)
    return losses.sum() / (count.clamp(min=1) * losses[0].numel())
