"""Crop -> raw heads: a backbone, a feature pyramid and one of four heads over it.

Stands on torch. The heads share one contract: `forward` gives what the losses need, `decode` gives the Heads.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import RecipeError, nearest
from .backbones import make_backbone
from .depthwise import DepthwiseConv2d
from .rows import Double


@dataclass(frozen=True)
class Raw:
    """What a network says of a batch of crops before decoding; a head fills what it predicts."""

    landmarks: Tensor
    """(B, N, 2), pixels of the crop."""
    variance: Tensor
    """(B, N): mean of the variances along x and y, crop pixels squared, not calibrated."""
    heatmaps: Tensor | None = None
    """(B, N, h, w) logits, or None."""
    maps: Tensor | None = None
    """(B, N, h, w): maps whose peaks have height 1, or None."""
    heatmaps_x: Tensor | None = None
    """(B, N, L) logits along x, or None."""
    heatmaps_y: Tensor | None = None
    """(B, N, L) logits along y, or None."""


class Heatmap2D(nn.Module):
    """Feature map (B, C, h, w) -> a heatmap for each landmark; its softmax is where the landmark may be."""

    def __init__(self, channels: int, points: int, stride: int, size: int) -> None:
        super().__init__()
        self.stride = stride
        self.out = nn.Conv2d(channels, points, 1)

    def forward(self, features: Tensor) -> Raw:
        return self.read(self.out(features).float())

    def read(self, heatmaps: Tensor) -> Raw:
        """Raw of the logits (B, N, h, w)."""
        height, width = heatmaps.shape[-2:]
        x, y = _positions(width, self.stride, heatmaps), _positions(height, self.stride, heatmaps)
        places = torch.stack([x.repeat(height), y.repeat_interleave(width)], -1)  # (h * w, 2)
        landmarks, variance = _moments(heatmaps.flatten(2).softmax(-1), places)
        middle = torch.tensor([width, height], device=heatmaps.device) * self.stride / 2 - 0.5
        return Raw(landmarks + middle, variance / 2, heatmaps)


class Gaussian2D(Heatmap2D):
    """Feature map (B, C, h, w) -> for each landmark a Gaussian of height 1, as squared errors want it.

    What its fourth power has above that of a floor is where the landmark may be: half as wide, and all below the floor
    together count next to nothing, even beside a weak peak.
    """

    FLOOR, TINY = 0.03, 1.2346e-4

    def forward(self, features: Tensor) -> Raw:
        maps = self.out(features).float()
        # in floors: ONNX's exporter takes numbers below 1e-8 for 0, and the logarithm would meet it
        raw = self.read(((maps / self.FLOOR).clamp(min=1) ** 4 - 1 + self.TINY).log())
        return Raw(raw.landmarks, raw.variance, raw.heatmaps, maps)


def _positions(length: int, stride: float, like: Tensor) -> Tensor:
    """The positions (L,) of the cells in crop pixels from the middle, so that variances keep their digits."""
    return (torch.arange(length, dtype=torch.float32, device=like.device) - (length - 1) / 2) * stride


def _moments(probability: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (B, N, D) and variance (B, N), added over the D axes, of `places` (L, D) under `probability` (B, N, L)."""
    powers = torch.cat([places, places.square().sum(-1, keepdim=True)], -1)
    with torch.autocast(probability.device.type, enabled=False):  # which would round the product to bfloat16
        moments = probability @ powers
    mean = moments[..., :-1]
    return mean, moments[..., -1] - mean.square().sum(-1)


class Heatmap1D(nn.Module):
    """Feature map (B, C, h, w) -> one distribution of length L = h * upscale along each axis for each landmark."""

    def __init__(self, channels: int, points: int, stride: int, size: int, upscale: int = 4) -> None:
        super().__init__()
        length = size // stride
        self.stride = stride / upscale
        self.squeeze = nn.Conv2d(channels, points, 1)
        self.along_x = nn.Linear(length * length, length * upscale)
        self.along_y = nn.Linear(length * length, length * upscale)

    def forward(self, features: Tensor) -> Raw:
        flat = self.squeeze(features).flatten(2)  # (B, N, h * w)
        logits_x, logits_y = self.along_x(flat).float(), self.along_y(flat).float()
        positions = _positions(logits_x.shape[-1], self.stride, logits_x)[:, None]
        (x, variance_x), (y, variance_y) = (_moments(logits.softmax(-1), positions) for logits in (logits_x, logits_y))
        landmarks = torch.cat([x, y], -1) + (logits_x.shape[-1] * self.stride / 2 - 0.5)
        return Raw(landmarks, (variance_x + variance_y) / 2, heatmaps_x=logits_x, heatmaps_y=logits_y)


class Coordinates(nn.Module):
    """Feature map (B, C, h, w) -> coordinates and their log variance, by one dense layer on a pooled map."""

    def __init__(self, channels: int, points: int, stride: int, size: int, cells: int = 4) -> None:
        super().__init__()
        self.points, self.size, self.cells = points, size, cells
        self.reduce = nn.Conv2d(channels, 32, 1)
        self.out = nn.Linear(32 * cells * cells, 3 * points)

    def forward(self, features: Tensor) -> Raw:
        kernel = features.shape[-1] // self.cells
        pooled = F.avg_pool2d(self.reduce(features), kernel)
        out = self.out(pooled.flatten(1)).float().view(-1, self.points, 3)
        landmarks = (out[..., :2] + 0.5) * self.size - 0.5
        return Raw(landmarks, (out[..., 2].clamp(-12, 4)).exp() * self.size**2)


HEADS = {"heatmap2d": Heatmap2D, "gaussian2d": Gaussian2D, "heatmap1d": Heatmap1D, "coordinates": Coordinates}


class PyramidBlock(nn.Module):
    """Adds the coarser map to a lateral one and refines: 3x3 depthwise, 1x1; (B, C, h, w) at the finer stride."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.lateral = nn.Conv2d(channels_in, channels, 1, bias=False)
        self.lateral_norm = nn.BatchNorm2d(channels)
        self.depthwise = DepthwiseConv2d(channels, 3)
        self.depthwise_norm = nn.BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.pointwise_norm = nn.BatchNorm2d(channels)
        self.up = Double()

    def forward(self, finer: Tensor, coarser: Tensor) -> Tensor:
        x = F.relu(self.lateral_norm(self.lateral(finer)) + self.up(coarser))
        x = F.relu(self.depthwise_norm(self.depthwise(x)))
        return F.relu(self.pointwise_norm(self.pointwise(x)))


class LandmarkNet(nn.Module):
    """uint8 RGB crops (B, S, S, 3) -> Raw.

    channels: width of the pyramid, where the backbone needs one.    head: a key of HEADS.    size: S, a multiple of 32.
    layout: the blocks of a slimmed hr-supernet.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: str, points: int, head: str, size: int, channels: int, imagenet: bool, layout: str = ""
    ) -> None:
        super().__init__()
        if head not in HEADS:
            raise RecipeError(f"no head is called {head!r}; {nearest(head, HEADS)}")
        if size % 32:
            raise RecipeError(f"the crop's size is {size}; wanted a multiple of 32, the coarsest stride")
        body = make_backbone(backbone, imagenet, layout)
        self.backbone = body
        self.size = size
        finest, *coarser = (int(c) for c in body.channels)  # type: ignore[union-attr]
        self.decoded = bool(getattr(body, "decoded", False))
        if self.decoded:
            channels = finest
        else:
            *finer, coarsest = finest, *coarser
            self.top = nn.Sequential(nn.Conv2d(coarsest, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())
            self.pyramid = nn.ModuleList([PyramidBlock(c, channels) for c in reversed(finer)])
        self.head = HEADS[head](channels, points, 4, size)
        self.register_buffer("mean", torch.tensor(body.mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(body.std).view(1, 3, 1, 1) * 255)

    def levels(self, x: Tensor) -> list[Tensor]:
        """What the decoder gives at strides 4, 8, 16 ..., finest first: (B, C, S / 4, S / 4) and coarser."""
        maps: list[Tensor] = self.backbone(x)
        if self.decoded:
            return maps
        decoded = [self.top(maps[-1])]
        for block, finer in zip(self.pyramid, maps[-2::-1], strict=True):
            decoded.append(block(finer, decoded[-1]))
        return decoded[::-1]

    def normalize(self, crops: Tensor) -> Tensor:
        """uint8 crops (B, S, S, 3) -> normalized float (B, 3, S, S) in channels-last memory."""
        return (crops.permute(0, 3, 1, 2).float() - self.mean) / self.std

    def forward(self, crops: Tensor) -> Raw:
        """uint8 RGB crops (B, S, S, 3) -> Raw."""
        return self.with_levels(crops)[0]

    def with_levels(self, crops: Tensor) -> tuple[Raw, list[Tensor]]:
        """As `forward`, and the decoder's levels, for losses between networks."""
        levels = self.levels(self.normalize(crops))
        return self.head(levels[0]), levels
