"""Face detector network: predicts a score, a box and five points per cell at four strides.

Depthwise-separable, one pass, anchor-free (Tian et al. 2019, FCOS), a feature pyramid over strides
8 to 64. Depends on torch.
"""

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .layers.depthwise import DepthwiseConv2d
from .layers.space_to_depth import RowStem, Upsample2x, as_rows, upsample_by_rows

STRIDES = (8, 16, 32, 64)
OUTPUTS = 15
"""Outputs per cell: a logit, distances to the four sides of the box, five points."""
MULTIPLE = 32
"""Sides of the input are multiples of this."""


class Cells(NamedTuple):
    """Output for P cells, ordered by stride; pixels of the input."""

    logits: Tensor
    """(B, P): logits of the score, the probability of a face times the quality of its box."""
    boxes: Tensor
    """(B, P, 4): x0, y0, x1, y1."""
    five: Tensor
    """(B, P, 5, 2): eyes, nose tip, mouth corners."""


def conv_bn(
    channels_in: int, channels: int, kernel: int, stride: int = 1
) -> nn.Sequential:
    """Return a convolution without bias and a batch normalization."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(channels),
    )


class Separable(nn.Module):
    """Depthwise separable convolution and ReLU; added to its input if the shapes agree."""

    def __init__(
        self, channels_in: int, channels: int, kernel: int = 3, stride: int = 1
    ) -> None:
        super().__init__()
        self.depthwise = nn.Sequential(
            DepthwiseConv2d(channels_in, kernel, stride), nn.BatchNorm2d(channels_in)
        )
        self.pointwise = conv_bn(channels_in, channels, 1)
        self.residual = stride == 1 and channels_in == channels

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pointwise(self.depthwise(x))
        return torch.relu(x + y if self.residual else y)


class FaceDetectorNet(nn.Module):
    """Predict `Cells` from uint8 RGB images (B, H, W, 3); H and W are multiples of 32."""

    def __init__(
        self,
        widths: tuple[int, ...] = (16, 32, 64, 128, 192),
        depths: tuple[int, ...] = (0, 2, 4, 2),
        pyramid: int = 48,
    ) -> None:
        """Build the network with random weights.

        Args:
            widths: Channels at strides 2, 4, 8, 16, 32.
            depths: Blocks after the first at strides 4, 8, 16, 32.
        """
        super().__init__()
        self.takes_bytes = False
        self.trunk_channels = tuple(widths[2:])
        self.stem: nn.Module = conv_bn(3, widths[0], 3, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(
                Separable(widths[i], widths[i + 1], kernel, 2),
                *(
                    Separable(widths[i + 1], widths[i + 1], kernel)
                    for _ in range(depths[i])
                ),
            )
            # wider kernels where they are cheap: a large face must fit into the receptive field
            for i, kernel in enumerate((3, 3, 5, 5))
        )
        self.lateral = nn.ModuleList(
            conv_bn(channels, pyramid, 1) for channels in widths[2:]
        )
        self.refine = nn.ModuleList(Separable(pyramid, pyramid) for _ in range(2))
        self.up = Upsample2x()
        self.coarsen = Separable(pyramid, pyramid, 5, 2)
        self.heads = nn.ModuleList(
            nn.Sequential(Separable(pyramid, pyramid), nn.Conv2d(pyramid, OUTPUTS, 1))
            for _ in STRIDES
        )
        for head in self.heads:
            last = head[-1]  # type: ignore[index]
            nn.init.normal_(last.weight, std=0.01)
            nn.init.zeros_(last.bias)
            # about one cell in a hundred has a face: Lin et al. 2017, section 4.1
            last.bias.data[0] = -4.6

    def folded(self, rows: bool = False) -> "FaceDetectorNet":
        """Return a copy whose first convolution includes the division by 127.5, for speed.

        Args:
            rows: Replace layers by their row forms, which are faster in int8.
        """
        copied = copy.deepcopy(self)
        parts = list(copied.stem.children())
        parts[0].weight.data.div_(127.5)  # type: ignore[operator]
        copied.takes_bytes = True
        if rows:
            upsample_by_rows(copied)
            copied.stem = RowStem.of(nn.Sequential(*parts, nn.ReLU()))
        return copied

    def first(self, image: Tensor) -> Tensor:
        """Run the first convolution on uint8 images: (B, C, H / 2, W / 2)."""
        y: Tensor
        if isinstance(self.stem, RowStem):
            y = self.stem(as_rows(image).float())
        else:
            x = image.permute(0, 3, 1, 2).float()
            y = torch.relu(self.stem(x if self.takes_bytes else x / 127.5))
        return y

    def trunk(self, image: Tensor) -> list[Tensor]:
        """Return the maps (B, C, h, w) of strides 8, 16 and 32 before the pyramid."""
        x = self.first(image)
        taps = []
        for stage in self.stages:
            x = stage(x)
            taps.append(x)
        return taps[1:]

    def pyramid_maps(self, taps: list[Tensor]) -> list[Tensor]:
        """Return the pyramid: (B, C, h, w) per stride."""
        p8, p16, p32 = (
            lateral(tap) for lateral, tap in zip(self.lateral, taps, strict=True)
        )
        p32 = torch.relu(p32)
        p16 = self.refine[1](torch.relu(p16 + self.up(p32)))
        p8 = self.refine[0](torch.relu(p8 + self.up(p16)))
        return [p8, p16, p32, self.coarsen(p32)]

    def forward(self, image: Tensor) -> Cells:
        return self.cells(self.trunk(image))

    def cells(self, taps: list[Tensor]) -> Cells:
        """Return the outputs for the maps of `trunk`."""
        features = self.pyramid_maps(taps)
        maps = [
            head(feature) for head, feature in zip(self.heads, features, strict=True)
        ]
        # concatenated first: with fewer nodes, small images are faster
        cells = torch.cat([raw.flatten(2) for raw in maps], 2)  # (B, 15, P)
        centers, strides = [], []
        for stride, raw in zip(STRIDES, maps, strict=True):
            centers.append(cell_centers(raw, stride))
            strides.append(torch.full_like(raw[0, 0], stride).flatten())
        distances = cells[:, 1:5].clamp(-4.0, 4.0).exp()
        # cells remain the last axis, along which ONNX Runtime is fast
        offsets = torch.cat([-distances[:, :2], distances[:, 2:], cells[:, 5:]], 1)
        batch, _, count = cells.shape
        pairs = offsets.reshape(batch, 7, 2, count) * torch.cat(strides)
        coordinates = (pairs + torch.cat(centers, 1)).flatten(1, 2).transpose(1, 2)
        five = coordinates[..., 4:].reshape(batch, count, 5, 2)
        return Cells(cells[:, 0], coordinates[..., :4], five)


def cell_centers(grid: Tensor, stride: int) -> Tensor:
    """Return the centers (2, h * w) of the cells of `grid` (B, C, h, w), pixels of the input."""
    # cumulative sums of ones rather than arange, since they export to ONNX with dynamic shapes
    ones = torch.ones_like(grid[0, 0])
    indices = torch.stack([ones.cumsum(1), ones.cumsum(0)]) - 0.5
    return (indices * stride - 0.5).flatten(1)


def all_centers(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return the centers (P, 2) and strides (P,) of every cell, in the network's order."""
    centers, strides = [], []
    for stride in STRIDES:
        grid = torch.empty(1, 1, -(-height // stride), -(-width // stride))
        centers.append(cell_centers(grid, stride).T)
        strides.append(torch.full((len(centers[-1]),), float(stride)))
    return torch.cat(centers), torch.cat(strides)
