"""What a teacher says of crops, and maps, crops and points at another network's size.

Stands on torch.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...inference.onnx_model import Model
from ...models.heads.output import STRIDE, HeadOutput
from ...models.landmark_net import LandmarkNet
from ..build import load_trained


class TeacherOutput(NamedTuple):
    """What a network says of a batch of crops."""

    raw: HeadOutput
    levels: dict[int, Tensor]
    """Its decoder's maps (B, C, h, w) by stride; empty for an ONNX file."""


class Teacher:
    """A frozen network: a checkpoint of `lineament train` or `distill`, or an ONNX file of `lineament export`.

    An ONNX file tells landmarks only.    Raises: ModelError where the file is neither.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        self.path, self.device = path, device
        if path.suffix == ".onnx":
            model = Model(path, threads=1)
            self.net: LandmarkNet | None = None
            self.scheme, self.size, self.padding = model.scheme, model.size, model.padding
            self.predict_crops = model.predict
        else:
            self.net, recipe = load_trained(path)
            self.net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.scheme, self.size, self.padding = (
                recipe.scheme,
                self.net.size,
                recipe.model.padding,
            )
            self.head, self.sigma_px = recipe.model.head, STRIDE * recipe.sigma

    @torch.no_grad()
    def __call__(self, crops: Tensor) -> TeacherOutput:
        """uint8 crops (B, S, S, 3) of its own size -> TeacherOutput."""
        if self.net is None:
            heads = self.predict_crops(np.ascontiguousarray(crops.cpu().numpy()))
            landmarks, sigma = (
                torch.from_numpy(a).to(self.device) for a in (heads.landmarks_crop, heads.sigma_px)
            )
            return TeacherOutput(HeadOutput(landmarks, sigma.square()), {})
        return said(self.net, crops)


def said(net: LandmarkNet, crops: Tensor) -> TeacherOutput:
    """What `net` says of uint8 `crops` (B, S, S, 3)."""
    raw, levels = net.with_levels(crops)
    return TeacherOutput(raw, {net.size // level.shape[-1]: level for level in levels})


def resized(crops: Tensor, size: int) -> Tensor:
    """uint8 crops (B, S, S, 3) -> (B, size, size, 3), averaged at half the size and below, as crops of pictures are."""
    if crops.shape[1] == size:
        return crops
    x = crops.permute(0, 3, 1, 2).float()
    x = F.interpolate(
        x, (size, size), mode="bilinear", align_corners=False, antialias=2 * size <= crops.shape[1]
    )
    return x.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def rescaled(landmarks: Tensor, scale: float) -> Tensor:
    """Points (B, N, 2) of a crop, in pixels of the same crop at `scale` times its size."""
    return landmarks if scale == 1 else (landmarks + 0.5) * scale - 0.5


def spots_at_size(maps: Tensor, like: Tensor) -> Tensor:
    """Maps (B, N, h, w) of height 1 at the height and width of `like`, their peaks as high as before."""
    if maps.shape[-2:] == like.shape[-2:]:
        return maps
    far = 2 * like.shape[-1] <= maps.shape[-1]
    return F.interpolate(
        maps.float(), like.shape[-2:], mode="bicubic", align_corners=False, antialias=far
    )


def at_size(maps: Tensor, like: Tensor) -> Tensor:
    """Maps (B, C, h, w) at the height and width of `like`."""
    if maps.shape[-2:] == like.shape[-2:]:
        return maps
    return F.interpolate(
        maps.float(), size=like.shape[-2:], mode="bilinear", align_corners=False, antialias=True
    )
