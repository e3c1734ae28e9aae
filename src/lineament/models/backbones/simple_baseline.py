"""Simple Baseline and its light form: ResNet-50, then three deconvolutions.

Source: Xiao et al. 2018, section 2; the light form: Light-ResNet50 of Xu et al. 2020,
section 2.1. Both output maps that need no pyramid (`decoded`).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from ..layers.depthwise import DepthwiseConv2d

PLANES = (64, 128, 256, 512)
REPEATS = (3, 4, 6, 3)
FILTERS = 256
"""Filters of each deconvolution."""
GROUPS = 128
"""Groups of the light deconvolutions, inferred from the paper's 2.81 M parameters at 68 points."""
MAX_OUTPUT = 16.0
"""Upper bound on the output of a light block.

In training, batch normalization bounds a value by the square root of the number of values that it
normalizes, 16 for 16 maps of 4 x 4. At inference there is no such bound: values amplified by each
block grew a hundredfold, and heatmaps of 1 to 8 of 226 validation faces peaked in a corner."""


class Bottleneck(nn.Module):
    """ResNet bottleneck: 1x1, 3x3 and 1x1 convolutions, and a skip connection.

    The last convolution has 4 x `planes` channels. If `light`, the 3x3 is depthwise and the last
    convolution has `planes` channels: Xu et al. 2020, section 2.1, fig. 2b.
    """

    def __init__(self, channels_in: int, planes: int, stride: int, light: bool) -> None:
        super().__init__()
        self.light = light
        channels = planes * (1 if light else 4)
        middle: nn.Module = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.conv1 = nn.Conv2d(channels_in, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = DepthwiseConv2d(planes, 3, stride) if light else middle
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.downsample = None
        if stride != 1 or channels_in != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False),
                nn.BatchNorm2d(channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self._rectified(self.bn1(self.conv1(x)))
        y = self._rectified(self.bn2(self.conv2(y)))
        short: Tensor = x if self.downsample is None else self.downsample(x)
        return self._rectified(self.bn3(self.conv3(y)) + short)

    def _rectified(self, y: Tensor) -> Tensor:
        return F.hardtanh(y, 0.0, MAX_OUTPUT) if self.light else F.relu(y)


def deconvolution(channels_in: int, light: bool) -> nn.Sequential:
    """Return a 2x2 transposed convolution of stride 2.

    The light form is grouped and followed by a 1x1 convolution that mixes the groups.
    """
    groups = GROUPS if light else 1
    up = nn.ConvTranspose2d(channels_in, FILTERS, 2, 2, groups=groups, bias=False)
    layers: list[nn.Module] = [up, nn.BatchNorm2d(FILTERS), nn.ReLU(inplace=True)]
    if light:
        layers += [
            nn.Conv2d(FILTERS, FILTERS, 1, bias=False),
            nn.BatchNorm2d(FILTERS),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class SimpleBaseline(nn.Module):
    """ResNet-50 with three transposed convolutions.

    The light form, Light-ResNet50, has 2.81 M parameters with a head of 68 points.

    Shape:
        Normalized images (B, 3, H, W) -> maps (B, 256, h, w) at strides 4, 8 and 16.
    """

    strides = (4, 8, 16)
    channels = (FILTERS, FILTERS, FILTERS)
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    decoded = True

    def __init__(self, light: bool = False) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        channels = 64
        stages: list[nn.Module] = []
        for stage, (planes, repeats) in enumerate(zip(PLANES, REPEATS, strict=True)):
            blocks: list[nn.Module] = []
            for i in range(repeats):
                blocks.append(
                    Bottleneck(channels, planes, 2 if stage and i == 0 else 1, light)
                )
                channels = planes * (1 if light else 4)
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.decoder = nn.ModuleList(
            [deconvolution(c, light) for c in (channels, FILTERS, FILTERS)]
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        y = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            y = stage(y)
        levels = []
        for step in self.decoder:
            y = step(y)
            levels.append(y)
        return levels[::-1]
