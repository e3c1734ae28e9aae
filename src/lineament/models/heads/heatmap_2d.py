"""Feature map -> raw heads: heatmaps in two dimensions or one, coordinates. Stands on torch."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 4
"""Crop pixels a cell of the map that every head stands on."""


FLOOR, TINY = 0.03, 1.2346e-4
"""Below what height a map of Gaussians says nothing, and what all of that counts, in fourth powers of it."""


@dataclass(frozen=True)
class HeadOutput:
    """What a network says of a batch of crops before decoding; a head fills what it predicts."""

    landmarks: Tensor
    """(B, N, 2), pixels of the crop."""
    variance: Tensor
    """(B, N): mean of the variances along x and y, crop pixels squared, not calibrated."""
    heatmaps: Tensor | None = None
    """(B, N, h, w) logits, or None."""
    maps: Tensor | None = None
    """(B, N, h, w): maps whose peaks have height 1, or None."""
    heatmaps_x: Tensor | None = None
    """(B, N, L) logits along x, or None."""
    heatmaps_y: Tensor | None = None
    """(B, N, L) logits along y, or None."""
    maps_x: Tensor | None = None
    """(B, N, L): maps along x whose peaks have height 1, or None."""
    maps_y: Tensor | None = None
    """(B, N, L): the same along y, or None."""
    cell: float = 1.0
    """Crop pixels a cell of what lies along x and y."""
    stride: float = STRIDE
    """Crop pixels a cell of the heatmaps and maps."""


class Heatmap2D(nn.Module):
    """Feature map (B, C, h, w) -> a heatmap for each landmark; its softmax is where the landmark may be.

    finer: so many times the heatmaps are finer than the map, a power of 2, by deconvolutions.
    """

    def __init__(self, channels: int, points: int, stride: int, size: int, finer: int = 1) -> None:
        super().__init__()
        self.stride = stride / finer
        layers: list[nn.Module] = []
        for _ in range(finer.bit_length() - 1):
            layers += [
                nn.ConvTranspose2d(channels, channels, 4, 2, 1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            ]
        self.stretch = nn.Sequential(*layers)
        self.out = nn.Conv2d(channels, points, 1)

    def forward(self, features: Tensor) -> HeadOutput:
        return self.read(self.out(self.stretch(features)).float())

    def read(self, heatmaps: Tensor) -> HeadOutput:
        """HeadOutput of the logits (B, N, h, w)."""
        height, width = heatmaps.shape[-2:]
        x, y = positions(width, self.stride, heatmaps), positions(height, self.stride, heatmaps)
        places = torch.stack([x.repeat(height), y.repeat_interleave(width)], -1)  # (h * w, 2)
        landmarks, variance = moments(heatmaps.flatten(2).softmax(-1), places)
        # no tensor of two numbers: it would have to be brought to the device at every step
        middle = torch.cat(
            [x.new_full((1,), side * self.stride / 2 - 0.5) for side in (width, height)]
        )
        return HeadOutput(landmarks + middle, variance / 2, heatmaps, stride=self.stride)


class Gaussian2D(Heatmap2D):
    """Feature map (B, C, h, w) -> for each landmark a Gaussian of height 1, as squared errors want it.

    What its fourth power has above that of a floor is where the landmark may be: half as wide, and all below the floor
    together count next to nothing, even beside a weak peak.
    """

    def forward(self, features: Tensor) -> HeadOutput:
        maps = self.out(self.stretch(features)).float()
        raw = self.read(sharpened(maps))
        return HeadOutput(raw.landmarks, raw.variance, raw.heatmaps, maps, stride=self.stride)


def sharpened(maps: Tensor) -> Tensor:
    """The logits of what the fourth power of `maps`, whose peaks have height 1, has above that of a floor."""
    # in floors: ONNX's exporter takes numbers below 1e-8 for 0, and the logarithm would meet it
    return ((maps / FLOOR).clamp(min=1) ** 4 - 1 + TINY).log()


def positions(length: int, stride: float, like: Tensor) -> Tensor:
    """The positions (L,) of the cells in crop pixels from the middle, so that variances keep their digits."""
    return (
        torch.arange(length, dtype=torch.float32, device=like.device) - (length - 1) / 2
    ) * stride


def moments(probability: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (B, N, D) and variance (B, N), added over the D axes, of `places` (L, D) under `probability` (B, N, L)."""
    powers = torch.cat([places, places.square().sum(-1, keepdim=True)], -1)
    with torch.autocast(
        probability.device.type, enabled=False
    ):  # which would round the product to bfloat16
        moments = probability @ powers
    mean = moments[..., :-1]
    return mean, moments[..., -1] - mean.square().sum(-1)


class Heatmap1D(nn.Module):
    """Feature map (B, C, h, w) -> one distribution of length L = h * upscale along each axis for each landmark."""

    def __init__(
        self, channels: int, points: int, stride: int, size: int, upscale: int = 4
    ) -> None:
        super().__init__()
        length = size // stride
        self.stride = stride / upscale
        self.squeeze = nn.Conv2d(channels, points, 1)
        self.along_x = nn.Linear(length * length, length * upscale)
        self.along_y = nn.Linear(length * length, length * upscale)

    def forward(self, features: Tensor) -> HeadOutput:
        flat = self.squeeze(features).flatten(2)  # (B, N, h * w)
        logits_x, logits_y = self.along_x(flat).float(), self.along_y(flat).float()
        places = positions(logits_x.shape[-1], self.stride, logits_x)[:, None]
        (x, variance_x), (y, variance_y) = (
            moments(logits.softmax(-1), places) for logits in (logits_x, logits_y)
        )
        landmarks = torch.cat([x, y], -1) + (logits_x.shape[-1] * self.stride / 2 - 0.5)
        return HeadOutput(
            landmarks,
            (variance_x + variance_y) / 2,
            heatmaps_x=logits_x,
            heatmaps_y=logits_y,
            cell=self.stride,
        )


class Coordinates(nn.Module):
    """Feature map (B, C, h, w) -> coordinates and their log variance, by one dense layer on a pooled map."""

    def __init__(self, channels: int, points: int, stride: int, size: int, cells: int = 4) -> None:
        super().__init__()
        self.points, self.size, self.cells = points, size, cells
        self.reduce = nn.Conv2d(channels, 32, 1)
        self.out = nn.Linear(32 * cells * cells, 3 * points)

    def forward(self, features: Tensor) -> HeadOutput:
        kernel = features.shape[-1] // self.cells
        pooled = F.avg_pool2d(self.reduce(features), kernel)
        out = self.out(pooled.flatten(1)).float().view(-1, self.points, 3)
        landmarks = (out[..., :2] + 0.5) * self.size - 0.5
        return HeadOutput(landmarks, (out[..., 2].clamp(-12, 4)).exp() * self.size**2)


HEADS = {
    "heatmap2d": Heatmap2D,
    "gaussian2d": Gaussian2D,
    "heatmap1d": Heatmap1D,
    "coordinates": Coordinates,
}
