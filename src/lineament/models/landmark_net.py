"""Crop -> raw heads: a backbone, a feature pyramid and a head over it. Stands on torch."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import RecipeError, did_you_mean
from .backbones.registry import make_backbone
from .heads.attentive_1d import Attentive1D, AttentiveGaussian1D, AxisSettings
from .heads.heatmap_2d import HEADS, STRIDE, Gaussian2D, HeadOutput, Heatmap2D
from .layers.depthwise import DepthwiseConv2d
from .layers.space_to_depth import Double

AXIS_HEADS = {"attentive1d": Attentive1D, "attentive1d-gaussian": AttentiveGaussian1D}
TWO_D = {"heatmap2d": Heatmap2D, "gaussian2d": Gaussian2D}
ALL_HEADS = (*HEADS, *AXIS_HEADS)


def make_head(name: str, channels: int, points: int, size: int, axes: AxisSettings) -> nn.Module:
    """The head called `name` over a map of `channels` at stride 4.    Raises: RecipeError, with the nearest name."""
    if name in AXIS_HEADS:
        return AXIS_HEADS[name](channels, points, STRIDE, size, axes)
    if name in TWO_D:
        finer = 1 if axes.length is None else axes.length * STRIDE
        if finer not in (1, 2, 4, 8):
            raise RecipeError(
                f"model.length is {axes.length}; wanted 0.25, 0.5, 1 or 2 of the head {name!r}"
            )
        return TWO_D[name](channels, points, STRIDE, size, round(finer))
    if name not in HEADS:
        raise RecipeError(f"no head is called {name!r}; {did_you_mean(name, ALL_HEADS)}")
    made: nn.Module = HEADS[name](channels, points, STRIDE, size)
    return made


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
    """uint8 RGB crops (B, S, S, 3) -> HeadOutput.

    channels: width of the pyramid, where the backbone needs one.    head: one of ALL_HEADS.    size: S, a multiple of
    32.    layout: the blocks of a slimmed hr-supernet.    axes: of heads with a heatmap along each axis.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: str,
        points: int,
        head: str,
        size: int,
        channels: int,
        imagenet: bool,
        layout: str = "",
        axes: AxisSettings = AxisSettings(),  # noqa: B008
    ) -> None:
        super().__init__()
        if size % 32:
            raise RecipeError(
                f"the crop's size is {size}; wanted a multiple of 32, the coarsest stride"
            )
        body = make_backbone(backbone, imagenet, layout)
        self.backbone = body
        self.size = size
        finest, *coarser = (int(c) for c in body.channels)  # type: ignore[union-attr]
        self.decoded = bool(getattr(body, "decoded", False))
        if self.decoded:
            channels = finest
        else:
            *finer, coarsest = finest, *coarser
            self.top = nn.Sequential(
                nn.Conv2d(coarsest, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
            )
            self.pyramid = nn.ModuleList([PyramidBlock(c, channels) for c in reversed(finer)])
        self.head = make_head(head, channels, points, size, axes)
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

    def forward(self, crops: Tensor) -> HeadOutput:
        """uint8 RGB crops (B, S, S, 3) -> HeadOutput."""
        return self.with_levels(crops)[0]

    def with_levels(self, crops: Tensor) -> tuple[HeadOutput, list[Tensor]]:
        """As `forward`, and the decoder's levels, for losses between networks."""
        levels = self.levels(self.normalize(crops))
        return self.head(levels[0]), levels
