"""Head that regresses coordinates directly, without heatmaps."""

import torch.nn.functional as F
from torch import Tensor, nn

from .output import HeadOutput, HeadSettings

CELLS = 4
"""Side of the pooled map that the dense layer reads."""
WIDTH = 32
"""Channels of the pooled map."""


class Coordinates(nn.Module):
    """Regress coordinates and log variances from a feature map (B, C, h, w) by a dense layer."""

    def __init__(
        self, channels: int, points: int, size: int, settings: HeadSettings
    ) -> None:
        super().__init__()
        self.points, self.size = points, size
        self.reduce = nn.Conv2d(channels, WIDTH, 1)
        self.out = nn.Linear(WIDTH * CELLS * CELLS, 3 * points)

    def forward(self, features: Tensor) -> HeadOutput:
        pooled = F.avg_pool2d(self.reduce(features), features.shape[-1] // CELLS)
        out = self.out(pooled.flatten(1)).float().view(-1, self.points, 3)
        landmarks = (out[..., :2] + 0.5) * self.size - 0.5
        return HeadOutput(landmarks, (out[..., 2].clamp(-12, 4)).exp() * self.size**2)
