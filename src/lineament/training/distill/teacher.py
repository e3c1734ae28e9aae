"""Run a teacher, and resize maps, crops and landmarks. Depends on torch."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ...inference.registry import load_model
from ...models.heads.output import STRIDE, HeadOutput
from ...models.landmark_net import LandmarkNet
from ...recipe import Recipe
from ...schemes import scheme

FILES = (".onnx", ".toml")
"""Suffixes of teachers that predict only landmarks; all others are checkpoints."""


class TeacherOutput(NamedTuple):
    """Outputs of a teacher or a student, as compared by the losses."""

    raw: HeadOutput
    levels: dict[int, Tensor]
    """Feature maps (B, C, h, w) of the pyramid by stride; empty for an ONNX file."""

    @property
    def maps(self) -> Tensor:
        """Maps (B, N, h, w) to compare: those with peaks of 1 if the head has them, else logits."""
        maps = (
            self.raw.heatmap_logits if self.raw.heatmaps is None else self.raw.heatmaps
        )
        assert maps is not None
        return maps


class Teacher:
    """A frozen network: a checkpoint of a training or an exported ONNX file.

    An ONNX file, or the description of a third-party model, predicts only landmarks; `net` is
    None. If the teacher's scheme joins the student's with others, only the student's points are
    used.
    """

    def __init__(
        self,
        path: Path,
        device: torch.device,
        trained: tuple[LandmarkNet, Recipe] | None = None,
        scheme_name: str = "",
    ) -> None:
        """Load an ONNX file, or wrap the network in the checkpoint at `path`.

        Args:
            trained: Network and recipe of the checkpoint; None for an ONNX file.
            scheme_name: Scheme of the student.

        Raises:
            ModelError: If the ONNX file cannot be loaded.
        """
        self.path, self.device = path, device
        if trained is None:
            model = load_model(path, threads=1)
            self.net: LandmarkNet | None = None
            joined = scheme(model.scheme).heads
            self.scheme = scheme_name if scheme_name in joined else model.scheme
            self.points = joined.get(scheme_name, range(len(scheme(model.scheme))))
            self.size, self.padding, self.head = model.size, model.padding, ""
            self.predict_crops = model.predict
        else:
            self.net, recipe = trained
            self.net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.scheme, self.size = recipe.scheme, self.net.size
            self.padding = recipe.model.padding
            self.head, self.sigma_px = recipe.landmark_net.head, STRIDE * recipe.sigma

    @torch.no_grad()
    def __call__(self, crops: Tensor) -> TeacherOutput:
        """Return the outputs for uint8 `crops` (B, S, S, 3), S the teacher's crop size."""
        if self.net is not None:
            return run_network(self.net, crops)
        predicted = self.predict_crops(np.ascontiguousarray(crops.cpu().numpy()))
        points = list(self.points)
        landmarks = torch.from_numpy(predicted.landmarks_crop[:, points]).to(
            self.device
        )
        sigma = torch.from_numpy(predicted.sigma_px[:, points]).to(self.device)
        return TeacherOutput(HeadOutput(landmarks, sigma.square()), {})

    def landmarks(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the landmarks (B, N, 2), pixels of the crop, for arrays (B, S, S, 3)."""
        predicted = self(torch.from_numpy(crops).to(self.device)).raw.landmarks
        landmarks: NDArray[np.float32] = predicted.cpu().numpy()
        return landmarks


def run_network(net: LandmarkNet, crops: Tensor) -> TeacherOutput:
    """Return the outputs of `net` for uint8 `crops` (B, S, S, 3)."""
    raw, levels = net.with_levels(crops)
    return TeacherOutput(raw, {net.size // level.shape[-1]: level for level in levels})


@torch.no_grad()
def output_shapes(net: LandmarkNet) -> TeacherOutput:
    """Return the outputs of `net` for a black crop, to read their shapes."""
    training, device = net.training, next(net.parameters()).device
    crops = torch.zeros(1, net.size, net.size, 3, dtype=torch.uint8, device=device)
    output = run_network(net.eval(), crops)
    net.train(training)
    return output


def resize_crops(crops: Tensor, size: int) -> Tensor:
    """Return uint8 `crops` (B, S, S, 3) at `size`; halving averages pixels, as in `warp`."""
    if crops.shape[1] == size:
        return crops
    x = crops.permute(0, 3, 1, 2).float()
    antialias = 2 * size <= crops.shape[1]
    x = F.interpolate(
        x, (size, size), mode="bilinear", align_corners=False, antialias=antialias
    )
    return x.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def scale_landmarks(landmarks: Tensor, scale: float) -> Tensor:
    """Return `landmarks` (B, N, 2) in pixels of the crop resized by `scale`."""
    return landmarks if scale == 1 else (landmarks + 0.5) * scale - 0.5


def resize_peaks(maps: Tensor, like: Tensor) -> Tensor:
    """Resize `maps` (B, N, h, w) to the height and width of `like`, preserving peaks of 1."""
    if maps.shape[-2:] == like.shape[-2:]:
        return maps
    antialias = 2 * like.shape[-1] <= maps.shape[-1]
    size = like.shape[-2:]
    return F.interpolate(
        maps.float(), size, mode="bicubic", align_corners=False, antialias=antialias
    )


def resize_maps(maps: Tensor, like: Tensor) -> Tensor:
    """Resize `maps` (B, C, h, w) to the height and width of `like`."""
    if maps.shape[-2:] == like.shape[-2:]:
        return maps
    size = like.shape[-2:]
    return F.interpolate(
        maps.float(), size, mode="bilinear", align_corners=False, antialias=True
    )
