"""EfficientNet-Lite 0 to 2, a backbone with feature maps at strides 4, 8, 16 and 32.

Source: Tan and Le 2019, table 1, without squeeze-and-excitation and with ReLU6. Parameter names
follow the published ImageNet weights, which were trained with TensorFlow's "same" padding.
"""

import math
from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor, nn

from ..layers.depthwise import DepthwiseConv2d

# repeats, kernel, stride, expansion, output channels: Tan and Le 2019, table 1
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
SCALES = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}  # width, depth


def round_channels(channels: float) -> int:
    """Return the multiple of 8 nearest to `channels`, at most a tenth below it."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


def pad_same(x: Tensor, kernel: int) -> Tensor:
    """Pad like TensorFlow's "same" at stride 2; an odd pixel is added at the right and bottom."""
    total = kernel - 2
    return F.pad(x, (total // 2, total - total // 2) * 2)


class SameConv2d(nn.Conv2d):
    """A convolution of stride 2 without bias that halves the size."""

    def __init__(self, channels_in: int, channels: int, kernel: int) -> None:
        super().__init__(channels_in, channels, kernel, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(pad_same(x, self.kernel_size[0]))


class SameDepthwise(DepthwiseConv2d):
    """A depthwise convolution of stride 2 that halves the size."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__(channels, kernel, 2, padding=0)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(pad_same(x, self.kernel_size[0]))


class MBConv(nn.Module):
    """Inverted residual block: 1x1 expansion, depthwise convolution, linear 1x1 projection.

    Shape:
        (B, C_in, H, W) -> (B, C, H / stride, W / stride).
    """

    def __init__(
        self, channels_in: int, channels: int, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        hidden = channels_in * expansion
        if expansion != 1:
            self._expand_conv = nn.Conv2d(channels_in, hidden, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(hidden, eps=1e-3)
        self._depthwise_conv = (
            SameDepthwise(hidden, kernel)
            if stride == 2
            else DepthwiseConv2d(hidden, kernel)
        )
        self._bn1 = nn.BatchNorm2d(hidden, eps=1e-3)
        self._project_conv = nn.Conv2d(hidden, channels, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(channels, eps=1e-3)
        self.expands = expansion != 1
        self.residual = stride == 1 and channels_in == channels

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.residual else y


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite without its classifier; `variant` is 0, 1 or 2.

    Shape:
        Normalized images (B, 3, H, W) -> one map (B, channels[i], H / strides[i], W / strides[i])
        per stride.
    """

    strides = (4, 8, 16, 32)
    mean = (127 / 255, 127 / 255, 127 / 255)
    std = (128 / 255, 128 / 255, 128 / 255)

    def __init__(self, variant: int) -> None:
        super().__init__()
        width, depth = SCALES[variant]
        self._conv_stem = SameConv2d(3, 32, 3)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3)
        blocks: list[nn.Module] = []
        channels_in, stride = 32, 2
        self.channels: tuple[int, ...] = ()
        taps: list[int] = []
        for i, (repeats, kernel, first, expansion, channels) in enumerate(STAGES):
            if first == 2 and stride > 2:
                taps.append(len(blocks) - 1)
                self.channels += (channels_in,)
            stride *= first
            channels = round_channels(channels * width)
            repeats = (
                repeats if i in (0, len(STAGES) - 1) else math.ceil(repeats * depth)
            )
            for j in range(repeats):
                blocks.append(
                    MBConv(
                        channels_in, channels, kernel, first if j == 0 else 1, expansion
                    )
                )
                channels_in = channels
        taps.append(len(blocks) - 1)
        self.channels += (channels_in,)
        self._blocks = nn.ModuleList(blocks)
        self.taps = frozenset(taps)

    def forward(self, x: Tensor) -> list[Tensor]:
        return list(self._levels(x))

    def _levels(self, x: Tensor) -> Iterator[Tensor]:
        x = F.relu6(self._bn0(self._conv_stem(x)))
        for i, block in enumerate(self._blocks):
            x = block(x)
            if i in self.taps:
                yield x
