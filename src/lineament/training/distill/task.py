"""Distillation: students that learn from the truth, from a frozen teacher and from one another.

Stands on train.py. What they learn by is in distill_losses.py; all networks see the same augmented face, each at its
own size, the students with parts of it hidden where the recipe says so.
"""

import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...data.crop_cache import plain_crops, plain_landmarks
from ...errors import RecipeError
from ...models.heads.output import STRIDE, HeadOutput
from ...models.heads.registry import TWO_D
from ...models.landmark_net import LandmarkNet
from ...recipe import DistillSettings
from ...schemes import scheme
from ..build import build_model, start_from
from ..losses import smooth_l1, total_loss
from ..trainer import Progress, Trainer
from .losses import feature_mimicry, heatmap_kl, pair_wise, peer_ensemble, pixel_wise, spots
from .teacher import Teacher, TeacherOutput, at_size, rescaled, resized, said, spots_at_size
from .teacher_cache import with_teacher

BATCH = 32
"""Faces at once where nothing is learnt."""
NEEDS_HEATMAPS = ("pixel_wise", "heatmap_kl")
NEEDS_LEVELS = ("pair_wise", "mimicry")


class Students(nn.Module):
    """One or more networks of the same kind that learn together; validated and exported is the first."""

    def __init__(self, students: list[LandmarkNet], adapt: tuple[int, int] | None) -> None:
        super().__init__()
        self.students = nn.ModuleList(students)
        # a 1x1 from the students' channels to the teacher's, where features are compared; no part of what is exported
        self.adapt = nn.ModuleList([nn.Conv2d(*adapt, 1) for _ in students] if adapt else [])
        self.size = students[0].size

    def forward(self, crops: Tensor) -> HeadOutput:
        """uint8 RGB crops (B, S, S, 3) -> HeadOutput of the first student."""
        return self.students[0](crops)  # type: ignore[no-any-return]


def draw_covers(
    crops: Tensor, share: float, sides: tuple[float, float], size: int, seed: tuple[int, ...]
) -> Tensor:
    """What is hidden of each crop: (B, 7) corners x0, y0, x1, y1 of a rectangle, ends exclusive, and its colour.

    crops: (B, S, S, 3) on the CPU. What is drawn depends on `seed` and on a face as augmented, so that neither a
    resumed run nor the split of a batch over parts and processes changes it.    share: of crops that lose a part; the
    others have an empty rectangle.    sides: its shortest and longest side, as fractions of `size`, the students'.
    Source: SD-HRNet, section 3.2, masked inputs.
    """
    covers = np.zeros((len(crops), 7), np.int32)
    for k, crop in enumerate(crops.numpy()):
        rng = np.random.default_rng(
            [*seed, zlib.crc32(np.ascontiguousarray(crop[::8, ::8]).tobytes())]
        )
        if rng.random() < share:
            across = (rng.uniform(*sides, 2) * size).astype(int)
            corner = (rng.random(2) * (size - across)).astype(int)
            covers[k] = *corner, *(corner + across), *rng.integers(0, 256, 3)
    return torch.from_numpy(covers)


def cover(crops: Tensor, covers: Tensor) -> Tensor:
    """Copies of uint8 crops (B, S, S, 3) with the rectangles (B, 7) of `draw_covers` in them."""
    cells = torch.arange(crops.shape[1], device=crops.device)
    x0, y0, x1, y1 = (corner[:, None] for corner in covers[:, :4].unbind(1))
    inside = ((cells >= y0) & (cells < y1))[:, :, None] & ((cells >= x0) & (cells < x1))[:, None]
    return torch.where(inside[..., None], covers[:, None, None, 4:].to(torch.uint8), crops)


class Distiller(Trainer):
    """One distillation: `Distiller(recipe, folder, data_root, cache).run()`; arguments and errors as for Trainer.

    Raises also: RecipeError where the recipe has no [distill], or teacher and student cannot be compared.
    """

    LEARNS_FROM_TEACHERS = True

    def build(self) -> nn.Module:
        """The students, the first drawn from the recipe's seed, the others from the seeds after it.

        Where all start from one checkpoint, the heads of the others are drawn anew, or they would stay the same; with
        `random_init_peers` all of the others is.
        """
        settings = self.settings
        self.teacher = Teacher(Path(settings.teacher), self.device) if settings.teacher else None
        students = []
        for k in range(settings.students):
            train = self.recipe.train.model_copy(update={"seed": self.recipe.train.seed + k})
            student = build_model(self.recipe.model_copy(update={"train": train}), self.begun)
            if (
                self.recipe.init_from
                and not self.resumed
                and not (k and settings.random_init_peers)
            ):
                drawn = {key: value.clone() for key, value in student.head.state_dict().items()}
                start_from(student, self.recipe)
                if k:
                    student.head.load_state_dict(drawn)
            students.append(student)
        self._comparable(students[0])
        return Students(students, self._adapted(students[0]))

    @property
    def settings(self) -> DistillSettings:
        """The [distill] part of the recipe."""
        if self.recipe.distill is None:
            raise RecipeError(
                f"the recipe {self.recipe.name!r} has no [distill]; add it, or use lineament train"
            )
        return self.recipe.distill

    def crop_size(self) -> int:
        """The larger of the students' and the teacher's crops."""
        size = self.recipe.model.size
        return max(size, self.teacher.size) if self.teacher and not self.settings.cached else size

    def annotated(self, landmarks_crop: Tensor) -> Tensor:
        """The points that people annotated, without those that the teacher told before."""
        return landmarks_crop[:, : len(scheme(self.recipe.scheme))]

    def prepare_sources(self) -> None:
        """Puts the landmarks of a teacher who is asked once behind the annotated ones of every source.

        The first process asks.
        """
        if not self.settings.cached:
            return
        teacher = self.teacher
        assert teacher is not None

        def tell(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
            said_landmarks: NDArray[np.float32] = (
                teacher(torch.from_numpy(crops).to(self.device)).raw.landmarks.cpu().numpy()
            )
            return said_landmarks

        if not self.processes.first:
            self.processes.wait()
        self.sources = [
            with_teacher(source, teacher.path, tell, teacher.size, teacher.padding, self.cache)
            for source in self.sources
        ]
        if self.processes.first:
            self.processes.wait()

    def run(self, report: Callable[[Progress], None] = lambda progress: None) -> Path:
        """As of any training; says first what the teacher's maps are worth beside the students' own."""
        if (
            not self.resumed
            and self.settings.heatmap_kl + self.settings.pixel_wise
            and self.processes.first
        ):
            with self.place.here():
                self._say_worth()
        return super().run(report)

    def _say_worth(self) -> None:
        """Tells the squared errors of maps of height 1 on validation: a teacher that is no better has little to say."""
        teacher, student = self.teacher, self._students()[0].eval()
        assert teacher is not None
        mine = _shapes(student).raw.heatmaps
        if mine is not None and self.validation_faces:
            own = self._map_error(lambda crops: student(crops).maps, student.size)
            theirs = self._map_error(
                lambda crops: _spots(self._in_kind(teacher(crops)), mine), teacher.size
            )
            self.note(
                f"squared error of a map on validation: the teacher's {theirs:.3f}, the student's now {own:.3f}"
            )
        student.train()

    @torch.no_grad()
    def _map_error(self, say: Callable[[Tensor], Tensor], size: int) -> float:
        """The mean `mse` loss of the maps that `say` makes of plain crops of `size`, at the students' cells."""
        m, total, count = self.recipe.model, 0.0, 0
        for cache in self.validation_faces.values():
            truth = torch.from_numpy(plain_landmarks(cache, m.size, m.padding)).float()
            for k, (crops, _) in enumerate(plain_crops(cache, size, m.padding, BATCH)):
                landmarks = truth[k * BATCH : k * BATCH + len(crops)]
                maps = say(torch.from_numpy(crops).to(self.device)).cpu()
                raw = HeadOutput(
                    landmarks, landmarks[..., 0], heatmaps=maps, stride=m.size / maps.shape[-1]
                )
                loss = total_loss(raw, landmarks, {"mse": 1.0}, STRIDE, self.recipe.sigma)["mse"]
                total, count = total + float(loss) * len(crops), count + len(crops)
        return total / max(count, 1)

    def _taught(self, crops: Tensor, landmarks_crop: Tensor) -> TeacherOutput | None:
        """What the teacher says of the crops (B, S, S, 3), now or when it was asked once; None without a teacher."""
        if self.teacher is None:
            return None
        if not self.settings.cached:
            return self._in_kind(self.teacher(resized(crops, self.teacher.size)))
        told = landmarks_crop[:, len(scheme(self.recipe.scheme)) :]
        return TeacherOutput(
            HeadOutput(
                rescaled(told, self.teacher.size / crops.shape[1]), torch.ones_like(told[..., 0])
            ),
            {},
        )

    def _in_kind(self, taught: TeacherOutput) -> TeacherOutput:
        """What the teacher says, its distributions as maps of height 1 where those are what the students make."""
        logits = taught.raw.heatmap_logits
        if not self._makes_spots() or logits is None or taught.raw.heatmaps is not None:
            return taught
        assert self.teacher is not None
        cell = self.teacher.size / logits.shape[-1]
        wanted_px = STRIDE * self.recipe.sigma * self.teacher.size / self.recipe.model.size
        return TeacherOutput(
            replace(
                taught.raw, heatmaps=spots(logits, self.teacher.sigma_px / cell, wanted_px / cell)
            ),
            taught.levels,
        )

    def _makes_spots(self) -> bool:
        """Whether the students' maps have height 1 and the teacher's are distributions."""
        mine = self.recipe.model.head == "gaussian2d"
        return (
            mine
            and self.teacher is not None
            and self.teacher.net is not None
            and self.teacher.head == "heatmap2d"
        )

    def beside(self, crops: Tensor) -> tuple[Tensor, ...]:
        """What is hidden from each student: (B, 7) each."""
        settings, students = self.settings, range(self.settings.students)
        if not settings.mask_prob:
            return ()
        seed, size = self.recipe.train.seed, self.recipe.model.size
        drawn = [
            (settings.mask_prob, settings.mask_size, size, (seed, student)) for student in students
        ]
        return tuple(draw_covers(crops, *how) for how in drawn)

    def losses(
        self, crops: Tensor, landmarks_crop: Tensor, count: int | Tensor, *covers: Tensor
    ) -> dict[str, Tensor]:
        """The weighted losses by name, averaged over the students, and their sum as "total".

        covers: what is hidden from each student, where something is.
        """
        settings, students = self.settings, self._students()
        scale = self.recipe.model.size / crops.shape[1]
        small, landmarks = (
            resized(crops, self.recipe.model.size),
            rescaled(self.annotated(landmarks_crop), scale),
        )
        seen = [cover(small, hidden) for hidden in covers] or [small] * len(students)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.train.bf16):
            taught = self._taught(crops, landmarks_crop)
            answers = [said(net, part) for net, part in zip(students, seen, strict=True)]
        sums: dict[str, Tensor] = {}
        for k, answer in enumerate(answers):
            parts = total_loss(
                answer.raw, landmarks, self.recipe.losses, STRIDE, self.recipe.sigma, count
            )
            del parts["total"]
            if taught is not None:
                parts |= self._from_teacher(k, answer, taught)
            if settings.peer_kl:
                ensemble = peer_ensemble(
                    [_compared(other) for other in answers], answer.raw.heatmaps is None
                )
                each = heatmap_kl(_compared(answer), ensemble, settings.temperature)
                parts["peer_kl"] = settings.peer_kl * self._mean(each)
            sums = {
                name: sums.get(name, torch.zeros(())) + value / len(answers)
                for name, value in parts.items()
            }
        return sums | {"total": torch.stack(list(sums.values())).sum()}

    def _students(self) -> list[LandmarkNet]:
        assert isinstance(self.model, Students)
        return list(self.model.students)  # type: ignore[arg-type]

    def _mean(self, each: Tensor) -> Tensor:
        """The mean of a value a face and point (B, N), or a face (B,), over the global batch."""
        return each.sum() / (self.recipe.train.batch * (each[0].numel()))

    def _from_teacher(self, k: int, own: TeacherOutput, taught: TeacherOutput) -> dict[str, Tensor]:
        settings = self.settings
        parts: dict[str, Callable[[], Tensor]] = {
            "pixel_wise": lambda: self._mean(self._pixels(own, taught)),
            "heatmap_kl": lambda: self._mean(
                heatmap_kl(*self._pair(own, taught), settings.temperature)
            ),
            "pair_wise": lambda: self._mean(self._levels(own, taught)),
            "mimicry": lambda: self._mean(self._mimicry(k, own, taught)),
            "landmarks": lambda: self._towards(own, taught),
        }
        return {
            name: weight * parts[name]() for name in parts if (weight := getattr(settings, name))
        }

    @staticmethod
    def _pair(own: TeacherOutput, taught: TeacherOutput) -> tuple[Tensor, Tensor]:
        mine, theirs = _compared(own), _compared(taught)
        return mine, at_size(theirs, mine) if own.raw.heatmaps is None else spots_at_size(
            theirs, mine
        )

    @staticmethod
    def _pixels(own: TeacherOutput, taught: TeacherOutput) -> Tensor:
        """The pixel-wise loss (B, N) of the maps of height 1; where the heads give none, of the distributions."""
        mine, theirs = _compared(own), _compared(taught)
        if own.raw.heatmaps is not None:
            # as for mse: in cells of the usual size, so that a finer map has the same loss for the same error
            return pixel_wise(mine, spots_at_size(theirs, mine)) * (own.raw.stride / STRIDE) ** 2
        theirs = at_size(theirs.flatten(2).softmax(-1).view_as(theirs), mine)
        # another number of cells: what is compared are distributions all the same
        return pixel_wise(
            mine.flatten(2).softmax(-1).view_as(mine), theirs / theirs.sum((-2, -1), keepdim=True)
        )

    @staticmethod
    def _levels(own: TeacherOutput, taught: TeacherOutput) -> Tensor:
        """The pair-wise losses (B,) of the decoders' levels, added up: Light-ResNet50, eq. 6."""
        strides = sorted(own.levels.keys() & taught.levels.keys())
        each = [pair_wise(own.levels[s], at_size(taught.levels[s], own.levels[s])) for s in strides]
        return torch.stack(each).sum(0)

    def _mimicry(self, k: int, own: TeacherOutput, taught: TeacherOutput) -> Tensor:
        assert isinstance(self.model, Students)
        stride = min(own.levels.keys() & taught.levels.keys())
        features = own.levels[stride].float()
        features = self.model.adapt[k](features) if len(self.model.adapt) else features
        return feature_mimicry(features, at_size(taught.levels[stride], features).float())

    def _towards(self, own: TeacherOutput, taught: TeacherOutput) -> Tensor:
        """Smooth L1 to the teacher's landmarks, of every point, annotated or not."""
        assert self.teacher is not None
        target = rescaled(taught.raw.landmarks, self.recipe.model.size / self.teacher.size)
        return self._mean(smooth_l1(own.raw, target, STRIDE, self.recipe.sigma))

    def _comparable(self, student: LandmarkNet) -> None:
        """Raises: RecipeError where a loss of the recipe cannot compare what there is."""
        settings, teacher, m = self.settings, self.teacher, self.recipe.model
        wanted = [
            name
            for name in (*NEEDS_HEATMAPS, *NEEDS_LEVELS, "landmarks")
            if getattr(settings, name)
        ]
        if bool(wanted) != bool(teacher):
            raise RecipeError(
                f"[distill] has the losses {wanted} towards a teacher and the teacher {settings.teacher!r}; "
                "give both or neither"
            )
        if settings.cached and wanted != ["landmarks"]:
            raise RecipeError(
                f"[distill] is cached, which keeps landmarks only, and has {wanted}; leave cached out"
            )
        if settings.peer_kl and settings.students < 2:
            raise RecipeError(
                "[distill] has peer_kl and one student; set students = 2 or more, or leave peer_kl out"
            )
        if (
            settings.peer_kl or any(name in wanted for name in NEEDS_HEATMAPS)
        ) and m.head not in TWO_D:
            raise RecipeError(
                f"the student's head is {m.head!r}, without heatmaps; set model.head = 'heatmap2d'"
            )
        if teacher is None:
            return
        where = f"the teacher {teacher.path}"
        if teacher.scheme != self.recipe.scheme:
            raise RecipeError(
                f"{where} knows {teacher.scheme}, the student {self.recipe.scheme}; choose one scheme"
            )
        if teacher.padding != m.padding:
            raise RecipeError(
                f"{where} sees crops of padding {teacher.padding}, the student of {m.padding}; "
                f"set model.padding = {teacher.padding}"
            )
        more = [name for name in wanted if name != "landmarks"]
        if teacher.net is None and more:
            raise RecipeError(
                f"{where} is an ONNX file and tells landmarks only, not {more[0]}; give its checkpoint"
            )
        if teacher.net is not None:
            self._same_places(student, teacher, wanted)

    def _same_places(self, student: LandmarkNet, teacher: Teacher, wanted: list[str]) -> None:
        assert teacher.net is not None
        theirs = _shapes(teacher.net)
        mine = _shapes(student)
        if theirs.raw.heatmap_logits is None and any(name in NEEDS_HEATMAPS for name in wanted):
            raise RecipeError(
                f"the teacher {teacher.path} has no heatmaps; leave {' and '.join(NEEDS_HEATMAPS)} out"
            )
        two_kinds = (mine.raw.heatmaps is None) != (
            theirs.raw.heatmaps is None
        ) and not self._makes_spots()
        if any(name in NEEDS_HEATMAPS for name in wanted) and two_kinds:
            raise RecipeError(
                f"the maps of the teacher {teacher.path} have height 1, the student's are distributions; "
                "set model.head = 'gaussian2d'"
            )
        if (
            any(name in NEEDS_LEVELS for name in wanted)
            and not theirs.levels.keys() & mine.levels.keys()
        ):
            raise RecipeError(
                f"the teacher {teacher.path} and the student have no stride in common; leave out pair_wise"
            )

    def _adapted(self, student: LandmarkNet) -> tuple[int, int] | None:
        """The channels of the students' and the teacher's features to be compared, where they differ."""
        if not self.settings.mimicry or self.teacher is None or self.teacher.net is None:
            return None
        own, theirs = _shapes(student).levels, _shapes(self.teacher.net).levels
        stride = min(own.keys() & theirs.keys())
        channels = own[stride].shape[1], theirs[stride].shape[1]
        return None if channels[0] == channels[1] else channels


def _compared(answer: TeacherOutput) -> Tensor:
    """The maps (B, N, h, w) that are compared: those of height 1 where the head gives them, or logits."""
    maps = answer.raw.heatmap_logits if answer.raw.heatmaps is None else answer.raw.heatmaps
    assert maps is not None
    return maps


def _spots(answer: TeacherOutput, like: Tensor) -> Tensor:
    """The maps of height 1 (B, N, h, w) of `answer` at the height and width of `like`."""
    assert answer.raw.heatmaps is not None
    return spots_at_size(answer.raw.heatmaps, like)


@torch.no_grad()
def _shapes(net: LandmarkNet) -> TeacherOutput:
    """What `net` says of an empty crop."""
    training = net.training
    device = next(net.parameters()).device
    answer = said(
        net.eval(), torch.zeros(1, net.size, net.size, 3, dtype=torch.uint8, device=device)
    )
    net.train(training)
    return answer
