"""Training of the face detector on scenes made of photos. Depends on torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...data.cache_files import DETECTOR_FOLDER
from ...data.detection.image_cache import ImageCache
from ...data.detection.photos import Photo, read_detector_photos
from ...data.detection.scenes import SceneMaker
from ...errors import ModelError, RecipeError
from ...models.face_detector import Cells, FaceDetectorNet, all_centers
from ...models.registry import build_face_detector
from ...recipe import DetectorSettings, Recipe
from ..batch import Batch, collate
from ..checkpoint import load_weights
from ..device import autocast
from ..task import Context, Samples, Task
from ..unused_keys import refuse_unused
from .losses import detector_loss
from .mimicry import FeatureTeacher, ImitatingDetector, feature_distance
from .mining import cached_false_positives
from .targets import CellTargets, scene_targets
from .teacher import label_photos

EPOCH = 10_000
"""Scenes per epoch; arbitrary, since all scenes differ."""
VALIDATION_BATCH = 25
MIN_SCORE = 0.5
"""Minimum score of a detection in validation."""


class TrainingScenes(Samples):
    """Sequence of scenes with the targets of their cells; scene k is the same in every run."""

    def __init__(self, maker: SceneMaker) -> None:
        self.maker = maker
        self.centers, self.strides = all_centers(maker.size, maker.size)

    def order(self, epoch: int, progress: float) -> NDArray[np.int64]:
        """Return one row per scene; only epoch and position determine the scene."""
        return np.zeros((EPOCH, 2), np.int64)

    def make(
        self, epoch: int, position: int, source: int, item: int, /
    ) -> dict[str, Any]:
        """Return the arrays of scene `epoch` * EPOCH + `position`."""
        scene = self.maker(epoch * EPOCH + position)
        targets = scene_targets(scene, self.centers, self.strides)
        return {"crops": scene.image} | {
            f"cell_{name}": values.numpy() for name, values in targets._asdict().items()
        }

    def key(self) -> object:
        """Return a key that is equal for runs on the same scenes."""
        maker = self.maker
        # a teacher adds boxes, and each detector has false positives of its own
        photos = tuple((str(p.image), p.boxes.tobytes()) for p in maker.photos)
        hard = tuple((i, negatives.tobytes()) for i, negatives in maker.hard.items())
        kinds = tuple(zip(maker.kinds, maker.weights, strict=True))
        return (maker.seed, maker.size, photos, kinds, hard)


class DetectorTask(Task):
    """Train a face detector: a score, a box and five points per cell."""

    metric = "scenes"

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        if recipe.detector is None:
            raise RecipeError(f"recipe {recipe.name!r} has no [detector]; add it")
        settings = {
            "init_parts": recipe.init_parts,
            "[presence]": recipe.presence,
            "[tasks]": recipe.tasks,
        }
        refuse_unused(recipe, settings, "a face detector")
        self.settings: DetectorSettings = recipe.detector
        self.validation: list[Batch] = []
        self.features: FeatureTeacher | None = None

    def input_files(self) -> tuple[str, ...]:
        settings = self.settings
        return (self.recipe.init_from, settings.teacher, settings.mine_from)

    def build(self, context: Context) -> nn.Module:
        torch.manual_seed(self.recipe.train.seed)
        net = build_face_detector(self.recipe)
        if self.recipe.init_from and context.resume_from is None:
            _load_weights(net, Path(self.recipe.init_from))
        if not self.settings.mimic:
            return net
        self.features = FeatureTeacher(self.settings.mimic, context.device)
        return ImitatingDetector(net, self.features.channels)

    def samples(self, context: Context) -> Samples:
        photos = read_detector_photos(context.data_root, self.settings.sampling_weights)
        training = [photo for photo in photos if not photo.is_validation()]
        validation = [photo for photo in photos if photo.is_validation()]
        if validation:
            self.validation = self._validation_batches(
                self._scenes(validation, context)
            )
        return self._scenes(training, context, self.settings.mine_from)

    def _scenes(
        self, photos: Sequence[Photo], context: Context, mine_from: str = ""
    ) -> TrainingScenes:
        settings = self.settings
        cache = context.cache / DETECTOR_FOLDER
        images = ImageCache(cache, photos)
        if settings.teacher:
            teacher = Path(settings.teacher)
            photos = label_photos(photos, images, teacher, cache, context.note)
        hard = {}
        if mine_from:
            hard = cached_false_positives(Path(mine_from), photos, images, cache)
            count = sum(map(len, hard.values()))
            context.note(
                f"{count} false positives in {len(hard)} photos without a face"
            )
        seed = self.recipe.train.seed
        return TrainingScenes(
            SceneMaker(
                photos, images, settings.sampling_weights, settings.size, seed, hard
            )
        )

    def _validation_batches(self, scenes: TrainingScenes) -> list[Batch]:
        batches = []
        for start in range(0, self.settings.validation_scenes, VALIDATION_BATCH):
            stop = min(start + VALIDATION_BATCH, self.settings.validation_scenes)
            batches.append(
                collate([scenes.make(0, i, 0, 0) for i in range(start, stop)])
            )
        return batches

    def count(self, batch: Batch) -> Tensor:
        targets = cell_targets(batch)
        known_points = torch.isfinite(targets.five).all(-1).sum()
        scenes = torch.ones_like(known_points) * len(batch)
        return torch.stack([(targets.face >= 0).sum(), known_points, scenes]).float()

    def losses(
        self, model: nn.Module, batch: Batch, count: Tensor
    ) -> dict[str, Tensor]:
        with autocast(batch.crops.device.type, self.recipe.train.bf16):
            if self.features is None:
                cells: Cells = model(batch.crops)
                return detector_loss(cells, cell_targets(batch), count[:2])
            assert isinstance(model, ImitatingDetector)
            cells, features = model.with_features(batch.crops)
            teacher_features = self.features(batch.crops)
        losses = detector_loss(cells, cell_targets(batch), count[:2])
        distance = feature_distance(features, teacher_features) / count[2]
        losses["features"] = self.settings.mimic_weight * distance
        return losses | {"total": losses["total"] + losses["features"]}

    @torch.no_grad()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return losses, recall and false positive cells per scene of `model`."""
        device = next(model.parameters()).device
        sums: dict[str, float] = dict.fromkeys(("score", "box", "points"), 0.0)
        faces = detected_faces = false_positives = scenes = 0
        for validation_batch in self.validation:
            batch = validation_batch.to(device)
            cells, targets = model(batch.crops), cell_targets(batch)
            losses = detector_loss(cells, targets, self.count(batch)[:2])
            for name in sums:
                sums[name] += float(losses[name]) / len(self.validation)
            detected = cells.logits.sigmoid() > MIN_SCORE
            false_positives += int(
                (detected & targets.scored & (targets.face < 0)).sum()
            )
            scenes += len(batch)
            for face, is_detected in zip(targets.face, detected, strict=True):
                faces += len(face[face >= 0].unique())
                detected_faces += len(face[(face >= 0) & is_detected].unique())
        return sums | {
            "recall": detected_faces / max(1, faces),
            "false_positives": false_positives / max(1, scenes),
        }


def cell_targets(batch: Batch) -> CellTargets:
    """Return the targets of a batch of scenes."""
    values = [getattr(batch, f"cell_{name}") for name in CellTargets._fields]
    return CellTargets(*values)


def _load_weights(net: FaceDetectorNet, path: Path) -> None:
    """Load weights from a file; a detector with fewer blocks uses the first ones of each stage."""
    weights, state = load_weights(path), net.state_dict()
    for name in weights.keys() - state.keys():
        if name.startswith("stages."):
            del weights[name]
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(
            f"{path}: the weights do not fit the recipe's [detector] ({error}); "
            "give the widths, depths and pyramid that they were trained with"
        ) from error
