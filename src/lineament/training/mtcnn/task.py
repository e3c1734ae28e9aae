"""Train one of MTCNN's networks on windows of photos. Depends on torch.

Each network is a separate run: its windows depend on the trained earlier networks, but a run's
data may depend only on seed and step. Each has its own schedule and averaged weights.
"""

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
from ...data.detection.windows import WindowMaker
from ...errors import DataError, RecipeError
from ...geometry import Array
from ...models.mtcnn import LAYERS, SIDES, Mtcnn
from ...recipe import Augmentation, Recipe
from ...recipe.model import MtcnnSettings
from ..batch import Batch, collate
from ..build import read_initial_weights
from ..checkpoint import load_weights
from ..freeze import in_part
from ..landmark_task import LandmarkTask
from ..presence_rates import face_rates
from ..task import Context, Samples
from .losses import WEIGHTS, window_counts, window_losses
from .mining import cached_false_positives

EPOCH = 100_000
"""Windows per epoch; arbitrary, since all windows differ."""
VALIDATION_WINDOWS, VALIDATION_BATCH = 2000, 250
NEEDED = {
    "negative": "photo in which all faces are labeled, as in wider and background",
    "landmarks": "face with five points, as in wider and mtfl",
}
"""Description of the photos that each kind of window requires, for error messages."""
PLAIN = Augmentation.model_validate(dict.fromkeys(Augmentation.model_fields, 0))
"""Augmentation of validation windows, which does nothing."""


class TrainingWindows(Samples):
    """Sequence of windows; window k is the same in every run."""

    def __init__(self, maker: WindowMaker) -> None:
        self.maker = maker

    def order(self, epoch: int, progress: float) -> NDArray[np.int64]:
        """Return one row per window; only epoch and position determine the window."""
        return np.zeros((EPOCH, 2), np.int64)

    def make(
        self, epoch: int, position: int, source: int, item: int, /
    ) -> dict[str, Any]:
        """Return the arrays of window `epoch` * EPOCH + `position`."""
        window = self.maker(epoch * EPOCH + position)
        return {
            "crops": window.crop,
            "presence": np.array(window.presence, np.float32),
            "boxes": window.box[None].astype(np.float32),
            "landmarks": window.landmarks.astype(np.float32),
        }

    def key(self) -> object:
        """Return a key that is equal for runs on the same windows."""
        maker = self.maker
        return (maker.seed, maker.size, maker.augment, id(maker.images), id(maker.hard))


class MtcnnTask(LandmarkTask):
    """Train the last network of a recipe: scores, boxes and five points."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        assert isinstance(recipe.model, MtcnnSettings)
        self.settings: MtcnnSettings = recipe.model
        self.name = list(LAYERS)[self.settings.stages - 1]
        self.validation: list[Batch] = []

    def check_losses(self) -> None:
        """Check that init_from is set if there are earlier networks.

        Raises:
            RecipeError: If it is not.
        """
        stages = getattr(self.recipe.model, "stages", 1)
        if stages > 1 and not self.recipe.init_from:
            raise RecipeError(
                f"model.stages is {stages} without init_from, but the last network "
                "is trained on the false positives of the earlier ones; train those with "
                f"stages = {stages - 1}, and start from their checkpoint"
            )

    def new_network(self, context: Context) -> nn.Module:
        if context.resume_from is None and self.recipe.init_from:
            self._check_start()
        return super().new_network(context)

    def _check_start(self) -> None:
        """Check that the file of init_from contains all earlier networks.

        Raises:
            RecipeError: If one is missing.
        """
        weights = read_initial_weights(Path(self.recipe.init_from))[0]
        for name in list(LAYERS)[: self.settings.stages - 1]:
            part = f"networks.{name}"
            if not any(in_part(key, part) for key in weights):
                raise RecipeError(
                    f"{self.recipe.init_from} has no network {name!r}, but "
                    f"model.stages is {self.settings.stages}; start from the "
                    f"checkpoint of a recipe with stages = {self.settings.stages - 1}"
                )

    def samples(self, context: Context) -> Samples:
        self.read_data(context)
        photos = read_detector_photos(context.data_root, self.settings.photos)
        training = [photo for photo in photos if not photo.is_validation()]
        validation = [photo for photo in photos if photo.is_validation()]
        if validation:
            windows = self._windows(validation, context, PLAIN)
            for start in range(0, VALIDATION_WINDOWS, VALIDATION_BATCH):
                numbers = range(start, start + VALIDATION_BATCH)
                self.validation.append(
                    collate([windows.make(0, number, 0, 0) for number in numbers])
                )
        windows = self._windows(training, context, self.recipe.augment)
        for kind, required in NEEDED.items():
            if kind not in windows.maker.kinds:
                raise DataError(
                    f"{len(training)} training photos of "
                    f"{', '.join(self.settings.photos)}, but no {required}; add such a "
                    "kind to model.photos"
                )
        return windows

    def _windows(
        self, photos: Sequence[Photo], context: Context, augment: Augmentation
    ) -> TrainingWindows:
        cache = context.cache / DETECTOR_FOLDER
        images = ImageCache(cache, photos)
        hard: dict[int, Array] = {}
        if self.settings.stages > 1:
            source = context.resume_from or Path(self.recipe.init_from)
            net, scores = self._networks_before(source), self.settings.min_scores
            hard = cached_false_positives(net, scores, photos, images, cache)
            count = sum(map(len, hard.values()))
            context.note(
                f"{count} false positives of the earlier networks in {len(hard)} photos"
            )
        size, seed = SIDES[self.name], self.recipe.train.seed
        return TrainingWindows(WindowMaker(photos, images, size, seed, augment, hard))

    def _networks_before(self, source: Path) -> Mtcnn:
        """Return the earlier networks, with weights from a file."""
        net = Mtcnn(self.settings.stages - 1)
        weights = load_weights(source)
        net.load_state_dict({name: weights[name] for name in net.state_dict()})
        return net.eval()

    def count(self, batch: Batch) -> Tensor:
        return window_counts(*_targets(batch))

    def losses(
        self, model: nn.Module, batch: Batch, count: Tensor
    ) -> dict[str, Tensor]:
        assert isinstance(model, Mtcnn)
        # in float32: the resolution of bfloat16, 1/256 of a window, is as large as a good error
        output = model.last(batch.crops)
        weights, hard_fraction = WEIGHTS[self.name], self.settings.hard_fraction
        return window_losses(
            output, *_targets(batch), model.size, weights, hard_fraction, count
        )

    @torch.no_grad()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return the NMEs of landmarks, and rates of windows with and without a face."""
        results = super().validate(model)
        assert isinstance(model, Mtcnn)
        device, logits, faces = next(model.parameters()).device, [], []
        for batch in self.validation:
            assert batch.presence is not None
            labeled = torch.isfinite(batch.presence)
            output_logits = model.last(batch.crops.to(device)).logits.cpu()
            logits.append(output_logits[labeled].double().numpy())
            faces.append(batch.presence[labeled].numpy() > 0)
        if not logits:
            return results
        rates = face_rates(np.concatenate(logits), np.concatenate(faces), 0.0)
        return results | rates


def _targets(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Return the presence (B,), boxes (B, 4) and landmarks (B, 5, 2) of a batch."""
    assert batch.presence is not None
    assert batch.boxes is not None
    assert batch.landmarks is not None
    return batch.presence, batch.boxes[:, 0], batch.landmarks
