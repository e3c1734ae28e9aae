"""Stacked hourglass network: feature maps are repeatedly downsampled and upsampled again.

Source: Newell, Yang, Deng 2016, figures 3 and 4, with that paper's stem and residual blocks. There
is no intermediate supervision: the head reads the output of the last hourglass only.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class Residual(nn.Module):
    """Pre-activation bottleneck: 1x1, 3x3 and 1x1 convolutions, and a skip connection."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.layers = nn.Sequential(
            nn.BatchNorm2d(channels_in), nn.ReLU(), nn.Conv2d(channels_in, half, 1, bias=False),
            nn.BatchNorm2d(half), nn.ReLU(), nn.Conv2d(half, half, 3, padding=1, bias=False),
            nn.BatchNorm2d(half), nn.ReLU(), nn.Conv2d(half, channels, 1, bias=False),
        )  # fmt: skip
        self.skip = (
            nn.Identity()
            if channels_in == channels
            else nn.Conv2d(channels_in, channels, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.layers(x)  # type: ignore[no-any-return]


class Hourglass(nn.Module):
    """One hourglass: `depth` times downsampled and upsampled by 2, with skip connections.

    Shape:
        (B, C, h, w) -> (B, C, h, w).
    """

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.side, self.down, self.up = (Residual(channels, channels) for _ in range(3))
        self.inner = (
            Hourglass(channels, depth - 1)
            if depth > 1
            else Residual(channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        small = self.up(self.inner(self.down(F.max_pool2d(x, 2))))
        large = F.interpolate(small, scale_factor=2.0, mode="nearest")
        return self.side(x) + large  # type: ignore[no-any-return]


class StackedHourglass(nn.Module):
    """Stem and `stacks` hourglasses in sequence.

    Shape:
        Normalized images (B, 3, H, W) -> a list with one map (B, channels, H / 4, W / 4).

    Args:
        depth: Number of times the map at stride 4 is halved; 2^depth must divide H / 4.
    """

    strides = (4,)
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    decoded = True

    def __init__(self, stacks: int = 2, channels: int = 256, depth: int = 3) -> None:
        super().__init__()
        self.channels = (channels,)
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels // 4, 7, 2, 3, bias=False),
            nn.BatchNorm2d(channels // 4), nn.ReLU(),
            Residual(channels // 4, channels // 2), nn.MaxPool2d(2),
            Residual(channels // 2, channels // 2), Residual(channels // 2, channels),
        )  # fmt: skip
        self.hourglasses = nn.ModuleList(
            [Hourglass(channels, depth) for _ in range(stacks)]
        )
        self.between = nn.ModuleList(
            [Residual(channels, channels) for _ in range(stacks)]
        )
        self.last = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        for hourglass, between in zip(self.hourglasses, self.between, strict=True):
            x = x + between(hourglass(x))
        return [self.last(x)]
