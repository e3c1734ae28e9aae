"""A backbone of four convolutions, for tests of training."""

from torch import nn

from lineament.models.backbones import BACKBONES


class Tiny(nn.Module):
    """(B, 3, H, W) -> feature maps at strides 4, 8, 16 and 32."""

    strides = (4, 8, 16, 32)
    channels = (16, 16, 16, 16)
    mean = (0.5, 0.5, 0.5)
    std = (0.25, 0.25, 0.25)

    def __init__(self):
        super().__init__()
        sides = ((3, 5, 4), (16, 3, 2), (16, 3, 2), (16, 3, 2))  # channels in, kernel, stride
        self.levels = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, 16, k, s, k // 2, bias=False), nn.BatchNorm2d(16), nn.ReLU())
            for c, k, s in sides
        )

    def forward(self, x):
        maps = []
        for level in self.levels:
            x = level(x)
            maps.append(x)
        return maps


def register():
    """Makes the backbone known as "tiny"."""
    BACKBONES["tiny"] = Tiny
