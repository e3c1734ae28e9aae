"""DPM-CNN, and plain networks of three convolutions. Depends on torch.

Source: Sun et al. 2020, sections 2.3 to 2.5. The paper states only the layers of DPM-CNN; the
channels of the plain networks are chosen here.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .layers.weight_init import init_xavier
from .vgg import narrowed

FACE_SIDE = 112
"""Input side of networks that see the entire crop, pixels."""
CHANNELS = (64, 128, 256, 600)
"""Output channels of DPM-CNN's convolutions."""
CONTOUR_CHANNELS, PART_CHANNELS = (64, 128, 256), (32, 64, 128)
"""Output channels of the plain networks for the contour's box and for one part."""


def stage(channels_in: int, channels: int, stride: int = 1) -> nn.Sequential:
    """Return a 3 x 3 convolution, PReLU and max pooling by 2, which rounds an odd side up."""
    convolution = nn.Conv2d(channels_in, channels, 3, stride, padding=1)
    pool = nn.MaxPool2d(2, ceil_mode=True)
    return nn.Sequential(convolution, nn.PReLU(channels), pool)


def zero_init(outputs: nn.Linear) -> nn.Linear:
    """Zero an output layer, so that an untrained network moves no point; return the layer."""
    nn.init.zeros_(outputs.weight)
    nn.init.zeros_(outputs.bias)
    return outputs


class DpmCnn(nn.Module):
    """DPM-CNN: predicts offsets of points, which are 0 before training.

    Shape:
        Gray crops (B, 1, S, S) -> (B, outputs).

    The dense layer reads the maps of stages 2 and 3, pooled to the size of stage 4, and those of
    stage 4: the paper's multi-channel convolution.
    """

    def __init__(self, size: int, outputs: int, width: float = 1.0) -> None:
        """Build the layers.

        Args:
            size: Side S, a multiple of 16, such as 112 or 96.
            outputs: Number of outputs.
            width: Channels, as a fraction of the paper's.
        """
        super().__init__()
        first, second, third, fourth = (narrowed(each, width) for each in CHANNELS)
        self.first = stage(1, first, stride=2)
        self.second = stage(first, second)
        self.third = stage(second, third)
        self.fourth = stage(third, fourth)
        self.pool_second = nn.MaxPool2d(4, ceil_mode=True)
        self.pool_third = nn.MaxPool2d(2, ceil_mode=True)
        units = (second + third + fourth) * math.ceil(size / 32) ** 2
        self.out = nn.Linear(units, outputs)
        init_xavier(self)
        zero_init(self.out)

    @property
    def units(self) -> int:
        """Number of inputs of the dense layer."""
        return self.out.in_features

    def maps(self, x: Tensor) -> Tensor:
        """Return the maps (B, C, s, s) that the dense layer reads."""
        second = self.second(self.first(x))
        third = self.third(second)
        maps = [
            self.pool_second(second),
            self.pool_third(third),
            self.fourth(third),
        ]
        return torch.cat(maps, dim=1)

    def features(self, x: Tensor) -> Tensor:
        """Return the input of the dense layer, (B, units)."""
        return self.maps(x).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        out: Tensor = self.out(self.features(x))
        return out.float()


class PlainNet(nn.Module):
    """Network of three convolutions that predicts offsets of points, 0 before training.

    Shape:
        Gray crops (B, 1, S, S) -> (B, outputs).
    """

    def __init__(
        self,
        size: int,
        channels: Sequence[int],
        stride: int,
        outputs: int,
        width: float = 1.0,
    ) -> None:
        """Build the layers.

        Args:
            size: Side S.
            channels: Output channels of the three convolutions.
            stride: Stride of the first convolution.
            outputs: Number of outputs.
            width: Factor of `channels`.
        """
        super().__init__()
        first, second, third = (narrowed(each, width) for each in channels)
        self.stages = nn.Sequential(
            stage(1, first, stride), stage(first, second), stage(second, third)
        )
        side = size // stride // 8
        self.out = nn.Linear(third * side**2, outputs)
        init_xavier(self)
        zero_init(self.out)

    def maps(self, x: Tensor) -> Tensor:
        """Return the maps (B, C, s, s) that the dense layer reads."""
        maps: Tensor = self.stages(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        out: Tensor = self.out(self.maps(x).flatten(1))
        return out.float()
