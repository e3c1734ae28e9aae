"""Convolutions whose weights are shared only within regions of the map.

Source: Sun, Wang, Tang 2013, section 3.2.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LocallySharedConv2d(nn.Module):
    """A convolution without padding, with separate weights in each of rows x columns regions.

    Args:
        channels_in, channels: As for Conv2d.
        kernel: Side of the kernel.
        regions: Rows and columns of regions, which divide the output map evenly.
    """

    def __init__(
        self, channels_in: int, channels: int, kernel: int, regions: tuple[int, int]
    ) -> None:
        super().__init__()
        self.kernel, self.regions = kernel, regions
        count = regions[0] * regions[1]
        self.parts = nn.ModuleList(
            [nn.Conv2d(channels_in, channels, kernel) for _ in range(count)]
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C, H - kernel + 1, W - kernel + 1)."""
        if len(self.parts) == 1:
            output: Tensor = self.parts[0](x)
            return output
        rows, columns = self.regions
        height = (x.shape[2] - self.kernel + 1) // rows
        width = (x.shape[3] - self.kernel + 1) // columns
        overlap = self.kernel - 1
        lines = []
        for row in range(rows):
            top = row * height
            parts = []
            for column in range(columns):
                left = column * width
                region = x[
                    :, :, top : top + height + overlap, left : left + width + overlap
                ]
                parts.append(self.parts[row * columns + column](region))
            lines.append(torch.cat(parts, dim=3))
        return torch.cat(lines, dim=2)


class AbsTanh(nn.Module):
    """The absolute value of tanh, max-pooled, and scaled by a gain per channel.

    Source: Sun, Wang, Tang 2013 (absolute value rectification). Chosen here: one gain per channel
    for the entire map, without a further bias; the paper may use one gain per region.

    Args:
        channels: Number of channels.
        pool: Side of the pooled regions; 1: no pooling.
    """

    def __init__(self, channels: int, pool: int = 1) -> None:
        super().__init__()
        self.pool = pool
        self.gain = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Rectify and pool (B, C, H, W)."""
        rectified = x.abs()
        if self.pool > 1:
            # pooled before tanh: tanh preserves the order of values, and this is less work
            rectified = F.max_pool2d(rectified, self.pool)
        return self.gain * torch.tanh(rectified)
