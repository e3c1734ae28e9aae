"""The face detector: picture -> for each cell of four strides a score, a box and the direction of the face.

Depthwise-separable, single pass, anchor-free (Tian et al. 2019, FCOS), with a feature pyramid over strides 8-64.
"""

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .layers.space_to_depth import Double, RowStem, as_rows, double_by_rows

STRIDES = (8, 16, 32, 64)
MULTIPLE = 32
"""Sides of the input are multiples of this."""


class Cells(NamedTuple):
    """What the network says of every cell, all strides in a row, P cells; pixels of the input."""

    logits: Tensor
    """(B, P): of the score, the chance of a face here times how well the box fits."""
    boxes: Tensor
    """(B, P, 4): x0, y0, x1, y1."""
    directions: Tensor
    """(B, P, 2): cosine and sine of the roll, not normalized."""


def conv_bn(
    channels_in: int, channels: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution without bias, batch normalization."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels),
    )


class Separable(nn.Module):
    """Depthwise, then 1x1, then ReLU, added to its input where the shapes agree."""

    def __init__(self, channels_in: int, channels: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = conv_bn(channels_in, channels_in, kernel, stride, groups=channels_in)
        self.pointwise = conv_bn(channels_in, channels, 1)
        self.residual = stride == 1 and channels_in == channels

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pointwise(self.depthwise(x))
        return torch.relu(x + y if self.residual else y)


class FaceDetectorNet(nn.Module):
    """uint8 RGB (B, H, W, 3), H and W multiples of 32 -> `Cells`."""

    def __init__(
        self,
        widths: tuple[int, ...] = (16, 32, 64, 96, 160),
        depths: tuple[int, ...] = (1, 3, 4, 3),
        pyramid: int = 48,
    ) -> None:
        """widths: channels at strides 2-32.    depths: blocks after the first, strides 4-32.    pyramid: channels."""
        super().__init__()
        self.settings = {"widths": list(widths), "depths": list(depths), "pyramid": pyramid}
        self.takes_bytes = False
        self.stem: nn.Module = conv_bn(3, widths[0], 3, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(
                Separable(widths[i], widths[i + 1], kernel, 2),
                *(Separable(widths[i + 1], widths[i + 1], kernel) for _ in range(depths[i])),
            )
            # wider windows where they are cheap: a large face must be seen whole
            for i, kernel in enumerate((3, 3, 5, 5))
        )
        self.lateral = nn.ModuleList(conv_bn(channels, pyramid, 1) for channels in widths[2:])
        self.refine = nn.ModuleList(Separable(pyramid, pyramid) for _ in range(2))
        self.up = Double()
        self.coarsen = Separable(pyramid, pyramid, 5, 2)
        self.heads = nn.ModuleList(
            nn.Sequential(Separable(pyramid, pyramid), nn.Conv2d(pyramid, 7, 1)) for _ in STRIDES
        )
        for head in self.heads:
            last = head[-1]  # type: ignore[index]
            nn.init.normal_(last.weight, std=0.01)
            nn.init.zeros_(last.bias)
            # a cell holds a face about once in a hundred: Lin et al. 2017, section 4.1
            last.bias.data[0] = -4.6

    def folded(self, rows: bool = False) -> "FaceDetectorNet":
        """A copy whose first convolution also divides by 127.5: the same function, one pass over the picture less.

        rows: its parts are in their forms by rows, which are faster in int8.
        """
        copied = copy.deepcopy(self)
        parts = list(copied.stem.children())
        parts[0].weight.data.div_(127.5)  # type: ignore[operator]
        copied.takes_bytes = True
        if rows:
            double_by_rows(copied)
            copied.stem = RowStem.of(nn.Sequential(*parts, nn.ReLU()))
        return copied

    def first(self, image: Tensor) -> Tensor:
        """What the first convolution makes of the uint8 picture: (B, C, H / 2, W / 2)."""
        y: Tensor
        if isinstance(self.stem, RowStem):
            y = self.stem(as_rows(image).float())
        else:
            x = image.permute(0, 3, 1, 2).float()
            y = torch.relu(self.stem(x if self.takes_bytes else x / 127.5))
        return y

    def features(self, image: Tensor) -> list[Tensor]:
        """The pyramid: (B, C, h, w) for each stride."""
        x = self.first(image)
        taps = []
        for stage in self.stages:
            x = stage(x)
            taps.append(x)
        p8, p16, p32 = (lateral(tap) for lateral, tap in zip(self.lateral, taps[1:], strict=True))
        p32 = torch.relu(p32)
        p16 = self.refine[1](torch.relu(p16 + self.up(p32)))
        p8 = self.refine[0](torch.relu(p8 + self.up(p16)))
        return [p8, p16, p32, self.coarsen(p32)]

    def forward(self, image: Tensor) -> Cells:
        maps = [
            head(feature) for head, feature in zip(self.heads, self.features(image), strict=True)
        ]
        # all strides in a row before anything is computed: the fewer nodes, the faster a small picture
        rows = torch.cat([raw.flatten(2) for raw in maps], 2).transpose(1, 2)  # (B, P, 7)
        centers = torch.cat(
            [cell_centers(raw, stride) for stride, raw in zip(STRIDES, maps, strict=True)]
        )
        strides = torch.cat(
            [
                torch.full_like(raw[0, 0], stride).flatten()
                for stride, raw in zip(STRIDES, maps, strict=True)
            ]
        )
        reach = strides[:, None] * rows[..., 1:5].clamp(-4.0, 4.0).exp()
        boxes = torch.cat([centers - reach[..., :2], centers + reach[..., 2:]], -1)
        return Cells(rows[..., 0], boxes, rows[..., 5:7])


def cell_centers(grid: Tensor, stride: int) -> Tensor:
    """The centres (h * w, 2) of the cells of `grid` (B, C, h, w), in pixels of the input, row by row."""
    # running sums of ones rather than ranges: they export to ONNX for every shape
    ones = torch.ones_like(grid[0, 0])
    indices = torch.stack([ones.cumsum(1), ones.cumsum(0)], -1) - 0.5
    return (indices * stride - 0.5).flatten(0, 1)


def all_centers(height: int, width: int) -> tuple[Tensor, Tensor]:
    """The centres (P, 2) and strides (P,) of every cell of a picture, in the network's order."""
    centers, strides = [], []
    for stride in STRIDES:
        grid = torch.empty(1, 1, -(-height // stride), -(-width // stride))
        centers.append(cell_centers(grid, stride))
        strides.append(torch.full((len(centers[-1]),), float(stride)))
    return torch.cat(centers), torch.cat(strides)
