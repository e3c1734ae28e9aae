"""MobileNetV2, a backbone with feature maps at strides 4, 8, 16 and 32.

Source: Sandler et al. 2018, table 2. Parameter names follow the published ImageNet weights.
"""

from collections.abc import Iterator

from torch import Tensor, nn

from ..layers.depthwise import DepthwiseConv2d
from ..layers.space_to_depth import RowStem

# expansion, output channels, repeats, stride of the first: Sandler et al. 2018, table 2
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def conv_bn(conv: nn.Conv2d) -> nn.Sequential:
    """Return `conv` followed by batch normalization and ReLU6."""
    return nn.Sequential(
        conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU6(inplace=True)
    )


class InvertedResidual(nn.Module):
    """Inverted residual block: 1x1 expansion, 3x3 depthwise convolution, linear 1x1 projection.

    Shape:
        (B, C_in, H, W) -> (B, C, H / stride, W / stride).
    """

    def __init__(
        self, channels_in: int, channels: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        hidden = channels_in * expansion
        layers: list[nn.Module] = (
            [conv_bn(nn.Conv2d(channels_in, hidden, 1, bias=False))]
            if expansion != 1
            else []
        )
        layers += [
            conv_bn(DepthwiseConv2d(hidden, 3, stride)),
            nn.Conv2d(hidden, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        ]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and channels_in == channels

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return x + y if self.residual else y


class MobileNetV2(nn.Module):
    """MobileNetV2 without its classifier, up to `last_stage`.

    Shape:
        Normalized images (B, 3, H, W) -> one map (B, channels[i], H / strides[i], W / strides[i])
        per stride.
    """

    strides = (4, 8, 16, 32)
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)

    def __init__(self, last_stage: int = len(STAGES)) -> None:
        super().__init__()
        features: list[nn.Module] = [conv_bn(nn.Conv2d(3, 32, 3, 2, 1, bias=False))]
        channels_in, stride = 32, 2
        self.channels: tuple[int, ...] = ()
        taps: list[int] = []
        for expansion, channels, repeats, first in STAGES[:last_stage]:
            if first == 2 and stride > 2:
                taps.append(len(features) - 1)
                self.channels += (channels_in,)
            stride *= first
            for i in range(repeats):
                features.append(
                    InvertedResidual(
                        channels_in, channels, first if i == 0 else 1, expansion
                    )
                )
                channels_in = channels
        taps.append(len(features) - 1)
        self.channels += (channels_in,)
        self.features = nn.ModuleList(features)
        self.taps = frozenset(taps)

    def forward(self, x: Tensor) -> list[Tensor]:
        return list(self._levels(x))

    def _levels(self, x: Tensor) -> Iterator[Tensor]:
        for i, block in enumerate(self.features):
            x = block(x)
            if i in self.taps:
                yield x

    def use_row_stem(self) -> None:
        """Replace the first convolution by its row form, which is faster in int8."""
        self.features[0] = RowStem.of(self.features[0])
