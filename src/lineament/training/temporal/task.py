"""Training of the refinement that makes a tracker of a detector of 1D heatmaps, on clips made or found.

Stands on train.py. The detector is the recipe's `start` and learns no more. Source: Yin et al. 2020, section 4.2.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ...crop import scale_and_shift
from ...data.crop_cache import plain_crops, plain_landmarks
from ...data.readers.talking_face import FOLDER, is_talking_face
from ...data.synthetic_clips import ClipSettings
from ...errors import ModelError, RecipeError
from ...geometry import compose, crop_affine
from ...io.video import VIDEO_SUFFIXES
from ...labeling.clip_cache import ANCHORS, Clips, TrainingWindows, made_clips, video_clips
from ...models.heads.output import STRIDE
from ...models.landmark_net import LandmarkNet
from ...models.refinement import RefinedNet, between, moved_memory
from ...recipe import Recipe, RefineSettings
from ...schemes import scheme
from ..build import build_model, read_trained
from ..checkpoint import load_weights
from ..loader import Crops
from ..losses import total_loss
from ..trainer import Trainer
from ..validate import interocular_nme

MADE = ClipSettings(size=256)
"""The clips that are made; the recipe says how long they are and how often something passes."""
HELD_BACK, HELD_BACK_FRAMES = 16, 48
"""Clips made of validation faces, and their frames."""
SAME = ("head", "length", "attention", "decoder", "size", "padding")
"""Of the detector's model, what its weights do not tell."""


def refine_settings(recipe: Recipe) -> RefineSettings:
    """The [refine] part of `recipe`.    Raises: RecipeError where it has none."""
    if recipe.refine is None:
        raise RecipeError(
            f"the recipe {recipe.name!r} has no [refine]; add it, or use lineament train"
        )
    return recipe.refine


class Refiner(Trainer):
    """One training: `Refiner(recipe, folder, data_root, cache).run()`; arguments and errors as for Trainer.

    Raises also: RecipeError where the recipe has no [refine] or no start, or its head has no heatmaps along axes.
    """

    def build(self) -> nn.Module:
        """The detector of the recipe's start and a new refinement."""
        if not self.recipe.init_from:
            raise RecipeError(
                f"the recipe {self.recipe.name!r} has no init_from; give it the checkpoint of the detector"
            )
        net = build_model(self.recipe, self.begun)
        model = RefinedNet(net, len(scheme(self.recipe.scheme)), self.settings.decay)
        if not self.resumed:
            self._fill(net, Path(self.recipe.init_from))
        return model

    def _fill(self, net: LandmarkNet, start: Path) -> None:
        """Gives `net`, which learns no more, all the weights of the detector at `start`."""
        if start.suffix == ".pt":
            given = read_trained(start)[1]
            pairs = {
                f"model.{key}": (getattr(self.recipe.model, key), getattr(given.model, key))
                for key in SAME
            }
            for key, (own, theirs) in (pairs | {"sigma": (self.recipe.sigma, given.sigma)}).items():
                if own != theirs:
                    raise RecipeError(
                        f"{key} is {own!r}, of init_from {start} {theirs!r}; give the recipe the detector's model"
                    )
        try:
            net.load_state_dict(load_weights(start))
        except RuntimeError as error:
            raise ModelError(
                f"{start}: no weights of the recipe's model; give the detector's checkpoint"
            ) from error

    @property
    def settings(self) -> RefineSettings:
        """The [refine] part of the recipe."""
        return refine_settings(self.recipe)

    def training_crops(self) -> Crops:
        """Windows of the clips."""
        settings, m = self.settings, self.recipe.model
        if not self.processes.first:
            self.processes.wait()  # the first process makes the clips
        sources: list[Clips] = []
        if settings.clips:
            made = replace(MADE, frames=settings.frames, occluders=settings.occluders)
            stills = [source.cache for source in self.sources]
            sources.append(
                made_clips(stills, self.recipe.scheme, self.cache, settings.clips, made, 0)
            )
        if settings.videos:
            videos = [path for name in settings.videos for path in self._videos(name)]
            sources.append(
                video_clips(
                    videos,
                    settings.labels,
                    self.recipe.scheme,
                    self.cache,
                    settings.video_frames,
                    settings.window,
                )
            )
        if not sources:
            raise RecipeError(
                "[refine] has neither clips nor videos to learn from; set refine.clips above 0"
            )
        held = replace(MADE, frames=HELD_BACK_FRAMES, occluders=1)
        # other seeds than those of the clips to train on
        stills = list(self.validation_faces.values())
        self.held_clips = made_clips(
            stills, self.recipe.scheme, self.cache, HELD_BACK, held, 1_000_000
        )
        if self.processes.first:
            self.processes.wait()
        return TrainingWindows(
            sources, self.recipe.scheme, settings.window, m.size, m.padding, self.recipe.train.seed
        )

    def _videos(self, name: str) -> list[Path]:
        """The videos that `name` of refine.videos means."""
        place = next((path for path in (self.data_root / name, Path(name)) if path.exists()), None)
        if place is None:
            raise RecipeError(
                f"refine.videos names {name!r}, which is neither below {self.data_root} nor a path"
            )
        below = [place] if place.is_file() else sorted(place.rglob("*"))
        found = [path for path in below if path.suffix.lower() in VIDEO_SUFFIXES]
        if any(map(is_talking_face, found)):
            raise RecipeError(
                f"refine.videos names {name!r}, and {FOLDER} is to test on; leave it out"
            )
        if not found:
            raise RecipeError(
                f"refine.videos names {name!r}, where no video is; give a video or a folder of them"
            )
        return found

    def losses(
        self, crops: Tensor, landmarks_crop: Tensor, count: int | Tensor
    ) -> dict[str, Tensor]:
        """The weighted losses by name, averaged over the frames (Yin et al., eq. 14), and their sum as "total".

        crops: (B, T, S, S, 3).    landmarks_crop: (B, T, N + ANCHORS, 2).
        """
        assert isinstance(self.model, RefinedNet)
        memory: Tensor | None = None
        sums: dict[str, Tensor] = {}
        bf16 = torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.train.bf16)
        with bf16:
            maps = self.model.detected(self.model.net.normalize(crops.flatten(0, 1)))
        maps_x, maps_y = (part.reshape(*crops.shape[:2], *part.shape[1:]) for part in maps)
        landmarks_crop, anchors = self.annotated(landmarks_crop), landmarks_crop[:, :, -ANCHORS:]
        for t in range(crops.shape[1]):
            if memory is not None:
                memory = moved_memory(
                    memory,
                    *between(anchors[:, t - 1], anchors[:, t], self.model.size),
                    self.model.size,
                )
            with bf16:
                raw, memory = self.model.refined(maps_x[:, t], maps_y[:, t], memory)
            parts = total_loss(
                raw, landmarks_crop[:, t], self.recipe.losses, STRIDE, self.recipe.sigma, count
            )
            sums = {name: sums.get(name, torch.zeros(())) + value for name, value in parts.items()}
        return sums

    def annotated(self, landmarks_crop: Tensor) -> Tensor:
        """The landmarks, without the anchors that come with them."""
        return landmarks_crop[:, :, :-ANCHORS]

    def validate(self) -> dict[str, float]:
        """The NME on clips made of faces held back, of the frames as refined and as the detector alone finds them."""
        assert isinstance(self.model, RefinedNet)
        self.model.eval()
        found = {
            "clips": follow_plain(self.model, self.held_clips, self.recipe.model.padding),
            "detector": follow_plain(
                self.model, self.held_clips, self.recipe.model.padding, remember=False
            ),
        }
        truth = plain_landmarks(self.held_clips.cache, self.model.size, self.recipe.model.padding)
        self.model.train()
        return {
            name: interocular_nme(landmarks, truth, self.recipe.scheme)
            for name, landmarks in found.items()
        }


@torch.no_grad()
def follow_plain(
    model: RefinedNet, clips: Clips, padding: float, remember: bool = True
) -> np.ndarray:
    """Landmarks (M, N, 2), pixels of the crop, of the frames of `clips` in order, each cut where the face was before.

    remember: False for what the detector says of each frame.
    """
    device = next(model.parameters()).device
    crops = np.concatenate([part for part, _ in plain_crops(clips.cache, model.size, padding, 64)])
    affines = [
        compose(crop_affine(box, model.size, padding), affine)
        for box, affine in zip(clips.cache.boxes, clips.affines, strict=True)
    ]
    found = np.zeros(clips.cache.landmarks.shape, np.float32)
    numbers = np.unique(clips.clip)
    rows = [np.flatnonzero(clips.clip == number) for number in numbers]
    memory: dict[int, Tensor] = {}
    for t in range(max(map(len, rows))):  # frame after frame, all clips at once
        going = [k for k in range(len(rows)) if t < len(rows[k])]
        at = [rows[k][t] for k in going]
        seen = torch.from_numpy(crops[at]).to(device)
        if not remember:
            raw = model.net(seen)
        else:
            before = None
            if memory:
                steps = [scale_and_shift(affines[row - 1], affines[row], model.size) for row in at]
                scale, shift = (
                    torch.tensor(np.array(part), dtype=torch.float32, device=device)
                    for part in zip(*steps, strict=True)
                )
                before = moved_memory(
                    torch.stack([memory[k] for k in going]), scale, shift, model.size
                )
            raw, after = model.follow(seen, before)
            memory = dict(zip(going, after, strict=True))
        found[at] = raw.landmarks.cpu().numpy()
    return found
