"""Landmark network: a backbone, a feature pyramid and a head."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import RecipeError
from .backbones.registry import make_backbone
from .export_form import ExportForm, even_normalization, exported_tensors
from .heads.output import HeadOutput, HeadSettings
from .heads.presence import PresenceHead
from .heads.registry import make_head, rounding_px
from .layers.depthwise import DepthwiseConv2d
from .layers.space_to_depth import Upsample2x, upsample_by_rows

DEFAULT_HEAD = HeadSettings()


class PyramidBlock(nn.Module):
    """Add the upsampled coarser map to a lateral one, followed by a separable convolution."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.lateral = nn.Conv2d(channels_in, channels, 1, bias=False)
        self.lateral_norm = nn.BatchNorm2d(channels)
        self.depthwise = DepthwiseConv2d(channels, 3)
        self.depthwise_norm = nn.BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.pointwise_norm = nn.BatchNorm2d(channels)
        self.up = Upsample2x()

    def forward(self, finer: Tensor, coarser: Tensor) -> Tensor:
        x = F.relu(self.lateral_norm(self.lateral(finer)) + self.up(coarser))
        x = F.relu(self.depthwise_norm(self.depthwise(x)))
        return F.relu(self.pointwise_norm(self.pointwise(x)))


class LandmarkNet(nn.Module):
    """Predict a HeadOutput from uint8 RGB crops (B, S, S, 3).

    Args:
        points: Landmarks to predict, N.
        size: Side S of the crop, a multiple of 32.
        channels: Width of the feature pyramid, for backbones that need one.
        imagenet: Start the backbone from ImageNet weights.
        layout: Blocks of a pruned hr-supernet; empty: all.
        presence: Also predict whether the crop shows a face, and which points are visible.

    Raises:
        RecipeError: If a name is unknown or the size is not supported.
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
        settings: HeadSettings = DEFAULT_HEAD,
        presence: bool = False,
    ) -> None:
        super().__init__()
        if size % 32:
            raise RecipeError(
                f"the crop's size is {size}; "
                "expected a multiple of 32, the coarsest stride"
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
                nn.Conv2d(coarsest, channels, 1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            )
            self.pyramid = nn.ModuleList(
                [PyramidBlock(c, channels) for c in reversed(finer)]
            )
        self.head = make_head(head, channels, points, size, settings)
        # created last, so that all other layers get the same random weights with and without it
        self.presence: PresenceHead | None = None
        if presence:
            cells = size // int(body.strides[-1])  # type: ignore[index]
            top_channels = coarser[-1] if self.decoded and coarser else channels
            self.presence = PresenceHead(top_channels, cells, points)
        self.register_buffer("mean", torch.tensor(body.mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(body.std).view(1, 3, 1, 1) * 255)

    def levels(self, x: Tensor) -> list[Tensor]:
        """Return the pyramid's maps, finest first: (B, C, S / 4, S / 4) and coarser."""
        maps: list[Tensor] = self.backbone(x)
        if self.decoded:
            return maps
        decoded = [self.top(maps[-1])]
        for block, finer in zip(self.pyramid, maps[-2::-1], strict=True):
            decoded.append(block(finer, decoded[-1]))
        return decoded[::-1]

    def normalize(self, crops: Tensor) -> Tensor:
        """Normalize uint8 crops (B, S, S, 3) to floats (B, 3, S, S)."""
        return (crops.permute(0, 3, 1, 2).float() - self.mean) / self.std

    def forward(self, crops: Tensor) -> HeadOutput:
        """Predict uint8 RGB crops (B, S, S, 3)."""
        return self.with_levels(crops)[0]

    def with_levels(self, crops: Tensor) -> tuple[HeadOutput, list[Tensor]]:
        """Predict `crops`; return the pyramid's maps too."""
        levels = self.levels(self.normalize(crops))
        return self.decode(levels), levels

    def decode(self, levels: list[Tensor]) -> HeadOutput:
        """Predict from the pyramid's maps, finest first."""
        return self.with_presence(self.head(levels[0]), levels)

    def with_presence(self, output: HeadOutput, levels: list[Tensor]) -> HeadOutput:
        """Return `output` with presence and visibility, if the network predicts them."""
        return output if self.presence is None else self.presence(levels[-1], output)

    def for_export(self, int8: bool = False) -> ExportForm:
        """Return the export form.

        Args:
            int8: Use equivalent layers that are fast in int8.
        """
        net = copy.deepcopy(self).eval()
        if not int8:
            return _LandmarkForm(net)
        even_normalization(net.mean, net.std, net.backbone)
        upsample_by_rows(net)
        use_row_stem = getattr(net.backbone, "use_row_stem", None)
        if use_row_stem is not None:
            use_row_stem()
        return _LandmarkForm(net, by_rows=use_row_stem is not None)


class _LandmarkForm(ExportForm):
    def __init__(self, net: LandmarkNet, by_rows: bool = False) -> None:
        super().__init__(net.size, net.mean, net.std, by_rows)
        self.net = net
        self.rounding_px = rounding_px(net.head)
        self.presence = net.presence is not None

    def forward(
        self, crops: Tensor, memory: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        output = self.net.decode(self.net.levels(self.normalize(crops)))
        return exported_tensors(output)
