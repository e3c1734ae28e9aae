"""HRNetV2-W18 as published for faces: four parallel resolutions that exchange features.

Source: Wang et al. 2019 (HRNet), section 3 and fig. 2; head for faces: 1x1 over all four, then 1x1.
68 points: 9.65 M parameters, 4.66 G multiply-adds at 256 x 256; published: 9.3 M and 4.3 G.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (18, 36, 72, 144)
"""Channels at strides 4, 8, 16 and 32."""
MODULES = (1, 4, 3)
"""Number of exchange modules in the stages with two, three and four resolutions."""
BLOCKS = 4
"""Number of residual blocks per branch of a module, and of bottlenecks in the first stage."""


def unit(
    channels_in: int, channels: int, kernel: int, stride: int = 1, relu: bool = True
) -> nn.Sequential:
    """Return a convolution, a batch normalization and, if `relu`, a ReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(channels),
    ]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))


class Residual(nn.Module):
    """Residual block of two 3x3 convolutions.

    With `middle`, it is a bottleneck of that width: 1x1, 3x3 and 1x1 convolutions.
    """

    def __init__(
        self, channels_in: int, channels: int, middle: int | None = None
    ) -> None:
        super().__init__()
        if middle is None:
            self.path = nn.Sequential(
                unit(channels_in, channels, 3), unit(channels, channels, 3, relu=False)
            )
        else:
            self.path = nn.Sequential(
                unit(channels_in, middle, 1),
                unit(middle, middle, 3),
                unit(middle, channels, 1, relu=False),
            )
        same = channels_in == channels
        self.short = (
            nn.Identity() if same else unit(channels_in, channels, 1, relu=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.path(x) + self.short(x))


def fusion_layers(source: int, target: int) -> nn.Module:
    """Return the layers that resample resolution `source` to `target`; 0 is the finest.

    Upsampling is a 1x1 convolution followed by bilinear interpolation, downsampling a chain of 3x3
    convolutions of stride 2.
    """
    if source == target:
        return nn.Identity()
    if source > target:
        up = nn.Upsample(
            scale_factor=2 ** (source - target), mode="bilinear", align_corners=False
        )
        return nn.Sequential(unit(WIDTHS[source], WIDTHS[target], 1, relu=False), up)
    last = unit(WIDTHS[source], WIDTHS[target], 3, 2, relu=False)
    return nn.Sequential(
        *(
            unit(WIDTHS[source], WIDTHS[source], 3, 2)
            for _ in range(target - source - 1)
        ),
        last,
    )


class HRModule(nn.Module):
    """Residual blocks at `count` resolutions; each output is the sum of all, resampled."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(Residual(width, width) for _ in range(BLOCKS)))
            for width in WIDTHS[:count]
        )
        self.fuse = nn.ModuleList(
            nn.ModuleList(fusion_layers(source, target) for source in range(count))
            for target in range(count)
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        refined = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        return [F.relu(torch.stack(_moved(row, refined)).sum(0)) for row in self.fuse]


def _moved(row: nn.Module, maps: Sequence[Tensor]) -> list[Tensor]:
    """Resample each map to the resolution of `row`."""
    assert isinstance(row, nn.ModuleList)
    return [move(x) for move, x in zip(row, maps, strict=True)]


class HRNet(nn.Module):
    """HRNetV2-W18 whose four resolutions are concatenated and mixed at stride 4.

    Shape:
        Normalized images (B, 3, H, W) -> a list with one map (B, 270, H / 4, W / 4).
    """

    strides = (4,)
    channels = (sum(WIDTHS),)
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    decoded = True

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(unit(3, 64, 3, 2), unit(64, 64, 3, 2))
        self.first = nn.Sequential(
            *(Residual(64 if k == 0 else 256, 256, 64) for k in range(BLOCKS))
        )
        # the first transition makes two resolutions, each later one adds one
        self.start = nn.ModuleList(
            [unit(256, WIDTHS[0], 3), unit(256, WIDTHS[1], 3, 2)]
        )
        self.coarser = nn.ModuleList(
            [unit(WIDTHS[k], WIDTHS[k + 1], 3, 2) for k in (1, 2)]
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*(HRModule(count) for _ in range(modules)))
            for count, modules in zip((2, 3, 4), MODULES, strict=True)
        )
        self.mix = unit(self.channels[0], self.channels[0], 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.first(self.stem(x))
        maps = [begin(x) for begin in self.start]
        for number, stage in enumerate(self.stages):
            if number:
                maps = [*maps, self.coarser[number - 1](maps[-1])]
            maps = stage(maps)
        size = maps[0].shape[-2:]
        grown = [
            maps[0],
            *(
                F.interpolate(m, size=size, mode="bilinear", align_corners=False)
                for m in maps[1:]
            ),
        ]
        return [self.mix(torch.cat(grown, 1))]
