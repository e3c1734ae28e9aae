"""VGG16 and Light-VGGNet, which is derived from it. Depends on torch.

Source: Simonyan, Zisserman 2015, table 1, D; Sun et al. 2020, section 1.
"""

import torch
from torch import Tensor, nn

from .layers.weight_init import init_xavier

BLOCKS: dict[str, tuple[tuple[int, ...], ...]] = {
    "vgg16": ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3),
    "light-vggnet": ((64,) * 2, (128,) * 2, (256,) * 3, (600,) * 3, (600,) * 3),
}
"""Channels of the 3 x 3 convolutions, by network and block; a block ends with pooling by 2."""
DENSE: dict[str, tuple[int, ...]] = {"vgg16": (4096, 4096), "light-vggnet": ()}
"""Units of the dense layers before the output."""
PRELU_SLOPE = 0.25
"""Initial slope of PReLU for negative values, as in torch."""


class VggNet(nn.Module):
    """VGG16 or Light-VGGNet, with Xavier initialization times the gain of the activation.

    Shape:
        (B, C, S, S) -> (B, outputs).

    Light-VGGNet has PReLU instead of ReLU, average pooling instead of the last max pooling, 600
    channels instead of 512, and no dense layer before the output. Neither has normalization or
    dropout.
    """

    def __init__(
        self, name: str, channels_in: int, size: int, outputs: int, width: float = 1.0
    ) -> None:
        """Build the layers.

        Args:
            name: A key of BLOCKS.
            channels_in: C.
            size: Side S, pixels, at least 32.
            outputs: Number of outputs.
            width: Channels and units, as a fraction of the paper's.
        """
        super().__init__()
        self.is_light = name == "light-vggnet"
        layers: list[nn.Module] = []
        for block in BLOCKS[name]:
            for full_width in block:
                channels = narrowed(full_width, width)
                layers.append(nn.Conv2d(channels_in, channels, 3, padding=1))
                layers.append(self._activation(channels))
                channels_in = channels
            layers.append(nn.MaxPool2d(2))
            size //= 2
        if self.is_light:
            layers[-1] = nn.AvgPool2d(2)
        units_in = channels_in * size**2
        dense: list[nn.Module] = []
        for full_width in DENSE[name]:
            units = narrowed(full_width, width)
            dense += [nn.Linear(units_in, units), self._activation(units)]
            units_in = units
        self.features = nn.Sequential(*layers)
        self.dense = nn.Sequential(*dense)
        self.out = nn.Linear(units_in, outputs)
        # without it, the signal would fade over 13 layers
        slope = PRELU_SLOPE if self.is_light else 0.0
        init_xavier(self, nn.init.calculate_gain("leaky_relu", slope))

    def _activation(self, channels: int) -> nn.Module:
        return nn.PReLU(channels) if self.is_light else nn.ReLU()

    def maps(self, x: Tensor) -> Tensor:
        """Return the maps (B, C, s, s) that the first dense layer reads."""
        maps: Tensor = self.features(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        out: Tensor = self.out(self.dense(self.maps(x).flatten(1)))
        return out.float()


class Classifier(nn.Module):
    """Predict logits (B, classes) from uint8 RGB images (B, S, S, 3)."""

    def __init__(self, name: str, size: int, classes: int, width: float = 1.0) -> None:
        """Build the network with random weights; arguments as for VggNet."""
        super().__init__()
        self.size = size
        self.net = VggNet(name, 3, size, classes, width)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits; images are scaled to [0, 1], without normalization."""
        pixels = images.permute(0, 3, 1, 2).to(torch.float32) / 255
        logits: Tensor = self.net(pixels)
        return logits


def narrowed(channels: int, width: float) -> int:
    """Return `channels` times `width` as a multiple of 8, at least 8; unchanged if `width` is 1."""
    return channels if width == 1 else max(8, round(channels * width / 8) * 8)
