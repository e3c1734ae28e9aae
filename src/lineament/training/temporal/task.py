"""Train the temporal refinement of a detector's 1D heatmaps.

Depends on torch. The detector is the recipe's `init_from` and is frozen.
Source: Yin et al. 2020, section 4.2.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ...crop import scale_and_shift
from ...data.clip_cache import Clips, clips_from_stills
from ...data.crop_cache import plain_crops, plain_landmarks
from ...data.readers.talking_face import FOLDER, is_talking_face
from ...data.synthetic_clips import ClipSettings
from ...data.training_windows import TrainingWindows
from ...errors import ModelError, RecipeError
from ...geometry import compose, crop_affine
from ...io.media_files import find_videos as find_video_files
from ...io.media_files import is_video
from ...labeling.video_clips import clips_from_videos
from ...models.heads.output import STRIDE
from ...models.landmark_net import LandmarkNet
from ...models.refinement import RefinedNet, moved_memory
from ...recipe import Recipe
from ..batch import Batch
from ..build import build_model, read_initial_weights
from ..landmark_task import LandmarkTask
from ..losses import STATE_LOSSES, check_losses, total_loss
from ..task import Context, Samples
from ..validate import interocular_nme

CLIP = ClipSettings(size=256)
"""Synthetic clips; the recipe sets their length and the number of occlusions."""
VALIDATION_CLIPS, VALIDATION_FRAMES = 16, 48
"""Number of synthetic clips of validation faces, and frames per clip."""
VALIDATION_SEED = 1_000_000
"""Seed of the first validation clip; training clips have seeds from 0."""
MODEL_KEYS = ("head", "length", "attention", "decoder", "size", "padding", "presence")
"""Model settings of the detector that its weights do not determine."""


class TemporalTask(LandmarkTask):
    """Train the refinement of the recipe's [refine] on windows of clips."""

    def __init__(self, recipe: Recipe) -> None:
        if recipe.refine is None:
            raise RecipeError(
                f"the recipe {recipe.name!r} has no [refine]; add it, or use lineament train"
            )
        if not recipe.init_from:
            raise RecipeError(
                f"the recipe {recipe.name!r} has no init_from; "
                "set it to the checkpoint of a landmark model with 1D heatmaps"
            )
        if recipe.init_parts:
            raise RecipeError(
                f"the recipe {recipe.name!r} has init_parts, but a refinement takes all weights "
                "of its detector from init_from; remove it"
            )
        self.settings = recipe.refine
        super().__init__(recipe.with_model(kind="refined-net"))

    def check_losses(self) -> None:
        """Check that no loss trains an output of the frozen detector.

        Raises:
            RecipeError: If one does.
        """
        check_losses(self.recipe.losses)
        trained = [name for name in STATE_LOSSES if name in self.recipe.losses]
        if trained or self.recipe.presence is not None:
            raise RecipeError(
                "a refinement uses the presence of its frozen detector; remove [presence] "
                f"and the losses {' and '.join(STATE_LOSSES)}"
            )

    def new_network(self, context: Context) -> nn.Module:
        """Return the detector with a new refinement."""
        recipe = self.recipe
        model = build_model(recipe, context.resume_from)
        assert isinstance(model, RefinedNet)
        if context.resume_from is None:
            self._load_detector(model.net, Path(recipe.init_from))
        return model

    def _load_detector(self, net: LandmarkNet, path: Path) -> None:
        recipe = self.recipe
        weights, detector_recipe = read_initial_weights(path)
        if detector_recipe is not None:
            pairs = {"sigma": (recipe.sigma, detector_recipe.sigma)}
            for key in MODEL_KEYS:
                pairs[f"model.{key}"] = (
                    getattr(recipe.model, key),
                    getattr(detector_recipe.model, key),
                )
            for key, (value, detector_value) in pairs.items():
                if value != detector_value:
                    raise RecipeError(
                        f"{key} is {value!r}, but {detector_value!r} in init_from {path}; set "
                        "it to the detector's value"
                    )
        try:
            net.load_state_dict(weights)
        except RuntimeError as error:
            raise ModelError(
                f"{path}: its weights do not fit the recipe's model; give the detector's checkpoint"
            ) from error

    def samples(self, context: Context) -> Samples:
        """Return windows of synthetic clips of the recipe's faces, and of its videos."""
        self.read_data(context)
        name, m, seed = self.recipe.scheme, self.recipe.model, self.recipe.train.seed
        stills = list(self.validation_faces.values())
        clip = replace(CLIP, frames=VALIDATION_FRAMES, occluders=1)
        self.validation_clips = clips_from_stills(
            stills,
            name,
            context.cache,
            VALIDATION_CLIPS,
            clip,
            VALIDATION_SEED,
            context.note,
        )
        sources = self._clips(context)
        return TrainingWindows(
            sources, name, self.settings.window, m.size, m.padding, seed
        )

    def _clips(self, context: Context) -> list[Clips]:
        settings, name, cache = self.settings, self.recipe.scheme, context.cache
        sources = []
        if settings.clips:
            clip = replace(CLIP, frames=settings.frames, occluders=settings.occluders)
            stills = [source.cache for source in self.sources]
            sources.append(
                clips_from_stills(
                    stills, name, cache, settings.clips, clip, 0, context.note
                )
            )
        if settings.videos:
            videos: list[Path] = []
            for entry in settings.videos:
                videos += find_videos(entry, context.data_root)
            frames, window = settings.video_frames, settings.window
            sources.append(
                clips_from_videos(
                    videos, settings.labels, name, cache, frames, window, context.note
                )
            )
        if not sources:
            raise RecipeError(
                "[refine] has neither clips nor videos; set refine.clips above 0, or list videos"
            )
        return sources

    def losses(
        self, model: nn.Module, batch: Batch, count: Tensor
    ) -> dict[str, Tensor]:
        """Return the losses, summed over frames.    Source: Yin et al. 2020, eq. 14."""
        assert isinstance(model, RefinedNet)
        assert batch.landmarks is not None
        assert batch.crop_motion is not None
        recipe, crops = self.recipe, batch.crops
        with self.autocast(batch):
            maps_x, maps_y = model.detected(model.net.normalize(crops.flatten(0, 1)))
        maps_x, maps_y = (
            maps.reshape(*crops.shape[:2], *maps.shape[1:]) for maps in (maps_x, maps_y)
        )
        memory: Tensor | None = None
        sums: dict[str, Tensor] = {}
        for t in range(crops.shape[1]):
            if memory is not None:
                motion = batch.crop_motion[:, t]
                memory = moved_memory(memory, motion[:, 0], motion[:, 1:], model.size)
            with self.autocast(batch):
                raw, memory = model.refined(maps_x[:, t], maps_y[:, t], memory)
            landmarks = batch.landmarks[:, t]
            parts = total_loss(
                raw, landmarks, recipe.losses, STRIDE, recipe.sigma, count
            )
            for name, value in parts.items():
                sums[name] = sums.get(name, torch.zeros(())) + value
        return sums

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return the NMEs with refinement, "clips", and without, "detector", on the same frames."""
        assert isinstance(model, RefinedNet)
        clips, name = self.validation_clips, self.recipe.scheme
        padding = self.recipe.model.padding
        truth = plain_landmarks(clips.cache, model.size, padding)
        refined = predict_clips(model, clips, padding)
        detected = predict_clips(model, clips, padding, refine=False)
        return {
            "clips": interocular_nme(refined, truth, name),
            "detector": interocular_nme(detected, truth, name),
        }


def find_videos(name: str, data_root: Path) -> list[Path]:
    """Return the videos of an entry of refine.videos: a file, or all files in a folder.

    Raises:
        RecipeError: If there is none, or one of them is reserved for testing.
    """
    paths = [path for path in (data_root / name, Path(name)) if path.exists()]
    if not paths:
        raise RecipeError(
            f"refine.videos names {name!r}, which is neither a path nor in {data_root}"
        )
    place = paths[0]
    videos = [place] if place.is_file() and is_video(place) else find_video_files(place)
    if any(map(is_talking_face, videos)):
        raise RecipeError(
            f"refine.videos names {name!r}, but {FOLDER} is test data; remove it"
        )
    if not videos:
        raise RecipeError(
            f"refine.videos names {name!r}, which contains no video; give a video or a "
            "folder of videos"
        )
    return videos


@torch.no_grad()
def predict_clips(
    model: RefinedNet, clips: Clips, padding: float, refine: bool = True
) -> np.ndarray:
    """Return the landmarks (M, N, 2), pixels of the crop, of all frames in order.

    Args:
        model: Recurrent network; its state is passed on within each clip.
        clips: Clips; each frame is cropped around the face in the previous frame.
        padding: Side of the crop as a multiple of the longer side of the landmark box.
        refine: False for the detector alone.
    """
    device = next(model.parameters()).device
    crops = np.concatenate(
        [part for part, _ in plain_crops(clips.cache, model.size, padding, 64)]
    )
    predictions = np.zeros(clips.cache.landmarks.shape, np.float32)
    affines = []
    for box, affine in zip(clips.cache.boxes, clips.affines, strict=True):
        affines.append(compose(crop_affine(box, model.size, padding), affine))
    rows = [np.flatnonzero(clips.clip == number) for number in np.unique(clips.clip)]
    states: dict[int, Tensor] = {}
    for t in range(max(map(len, rows))):  # frame t of all clips at once
        active = [k for k in range(len(rows)) if t < len(rows[k])]
        frames = [rows[k][t] for k in active]
        crop_batch = torch.from_numpy(crops[frames]).to(device)
        if not refine:
            predictions[frames] = model.net(crop_batch).landmarks.cpu().numpy()
            continue
        before = None
        if states:
            steps = [
                scale_and_shift(affines[k - 1], affines[k], model.size) for k in frames
            ]
            scale, shift = (
                torch.tensor(np.array(part), dtype=torch.float32, device=device)
                for part in zip(*steps, strict=True)
            )
            old = torch.stack([states[k] for k in active])
            before = moved_memory(old, scale, shift, model.size)
        raw, after = model.follow(crop_batch, before)
        states = dict(zip(active, after, strict=True))
        predictions[frames] = raw.landmarks.cpu().numpy()
    return predictions
