"""Attentive one-dimensional heatmaps: a heatmap along each axis, whose features attend to those of the other axis.

Stands on torch. Source: Yin et al. 2020, sections 4.1 and 4.2 (DARK in one dimension: section 5.5). The axes are told
apart by what they compress: the branch of x squeezes the rows of the feature map away, that of y its columns.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...errors import RecipeError
from ..decoders import STEP
from .heatmap_2d import HeadOutput, moments, positions, sharpened

LENGTHS = (0.25, 0.5, 1.0, 2.0, 3.0)
"""Cells of a heatmap for each pixel of the crop: L / F of the paper."""
ROWS = 8
"""To so many rows a branch squeezes the map before it attends."""


class AxisSettings(NamedTuple):
    """Of heads with a heatmap along each axis."""

    length: float | None = None
    """Cells for each pixel of the crop, one of LENGTHS; None: 1."""
    attention: float = 0.3
    """The weight gamma of what an axis takes from the other; 0: nothing."""
    decoder: str = "expectation"
    """expectation, argmax or dark; trained is always the expectation."""
    sigma_px: float = 4.0
    """Width of the target in pixels of the crop, by which dark smooths."""


class CoAttention(nn.Module):
    """Features along x (B, K, a, b) and along y (B, K, b, a) -> the same, each with what the other knows.

    There are `a` places along an axis, b = `rows` numbers at each: an affinity says how much each place along x has to
    do with each along y. Source: eq. 9 and 10: per channel W_xy = softmax(Dy' P Dx' / sqrt(b)), W_yx =
    softmax(Dx Q Dy / sqrt(b)), over rows.
    """

    def __init__(self, rows: int, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.p = nn.Parameter(torch.randn(rows, rows) / rows)
        self.q = nn.Parameter(torch.randn(rows, rows) / rows)

    def forward(self, along_x: Tensor, along_y: Tensor) -> tuple[Tensor, Tensor]:
        x_turned, y_turned = along_x.transpose(2, 3), along_y.transpose(2, 3)
        scale = 1 / math.sqrt(self.p.shape[1])
        from_x = (y_turned @ self.p @ x_turned * scale).softmax(-1)  # W_xy (B, K, a, a)
        from_y = (along_x @ self.q @ along_y * scale).softmax(-1)  # W_yx (B, K, a, a)
        return (
            along_x + self.weight * (from_y @ y_turned),
            along_y + self.weight * (from_x @ along_x).transpose(2, 3),
        )


class Squeeze(nn.Module):
    """CNN1 of an axis: a map (B, C, h, w) -> (B, K, ROWS, w), its rows squeezed by strides of 2.

    What it gives ends at 6, as in MobileNetV2: affinities are of the second order, and one loud place would take all.
    """

    def __init__(self, channels: int, width: int, height: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        while height > ROWS:
            layers += [
                nn.Conv2d(channels, width, (2, 3), (2, 1), (0, 1), bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU6(),
            ]
            channels, height = width, height // 2
        if not layers:
            layers = [nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU6()]
        self.rows = height
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # type: ignore[no-any-return]


class Stretch(nn.Module):
    """CNN2 of an axis: (B, K, ROWS, w) -> heatmaps (B, N, w * times), rows squeezed away, then deconvolutions."""

    def __init__(self, channels: int, width: int, rows: int, points: int, times: int) -> None:
        super().__init__()
        self.flatten = nn.Sequential(
            nn.Conv2d(channels, width, (rows, 3), 1, (0, 1), bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        layers: list[nn.Module] = []
        while times > 1:
            step = 2 if times % 2 == 0 else times
            # a kernel of 2 step, or one less for odd ones, keeps cells centered
            layers += [
                nn.ConvTranspose1d(width, width, 2 * step - step % 2, step, step // 2, bias=False),
                nn.BatchNorm1d(width),
                nn.ReLU(),
            ]
            times //= step
        self.stretch = nn.Sequential(*layers)
        self.out = nn.Conv1d(width, points, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.stretch(self.flatten(x).squeeze(2)))  # type: ignore[no-any-return]


class Attentive1D(nn.Module):
    """Feature map (B, C, h, w) -> a heatmap of length L along each axis for each landmark; its softmax is the place.

    Raises: RecipeError for a length that is none of LENGTHS, or an unknown decoder.
    """

    WIDTH = 64
    """Channels while there are rows."""
    WIDE = 256
    """Channels along an axis alone, where they cost little: with fewer than there are points it learns slowly."""
    NARROWED = 1.0
    """The width of what is read, in widths of the target."""

    def __init__(
        self, channels: int, points: int, stride: int, size: int, settings: AxisSettings
    ) -> None:
        super().__init__()
        ratio = 1.0 if settings.length is None else settings.length
        if ratio not in LENGTHS:
            raise RecipeError(
                f"model.length is {ratio}; wanted one of {', '.join(map(str, LENGTHS))}"
            )
        if settings.decoder not in ("expectation", "argmax", "dark"):
            raise RecipeError(
                f"model.decoder is {settings.decoder!r}; wanted expectation, argmax or dark"
            )
        cells = size // stride
        self.cell = 1 / ratio
        """Crop pixels a cell of the heatmaps."""
        self.decoder, self.smooth = settings.decoder, settings.sigma_px / self.cell
        times = round(ratio * stride)
        self.squeeze_x, self.squeeze_y = (Squeeze(channels, self.WIDTH, cells) for _ in range(2))
        rows = self.squeeze_x.rows
        self.stretch_x, self.stretch_y = (
            Stretch(self.WIDTH, self.WIDE, rows, points, times) for _ in range(2)
        )
        # made last, so that all else starts from the same numbers with it and without
        self.attend = CoAttention(rows, settings.attention) if settings.attention else None

    def forward(self, features: Tensor) -> HeadOutput:
        return self.read(*self.heatmaps(features))

    def heatmaps(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """What `read` reads, along x and y: (B, N, L) each."""
        along_x = self.squeeze_x(features).transpose(2, 3)  # (B, K, a, b)
        along_y = self.squeeze_y(features.transpose(2, 3))  # (B, K, b, a)
        if self.attend is not None:
            along_x, along_y = self.attend(along_x, along_y)
        return self.stretch_x(along_x.transpose(2, 3)).float(), self.stretch_y(along_y).float()

    def read(self, heatmaps_x: Tensor, heatmaps_y: Tensor) -> HeadOutput:
        """HeadOutput of the heatmaps (B, N, L), whatever they hold."""
        return self.place(heatmaps_x, heatmaps_y)

    def place(self, logits_x: Tensor, logits_y: Tensor) -> HeadOutput:
        """HeadOutput of logits (B, N, L): where the landmarks are, by the decoder, and how far the places are spread."""
        places = positions(logits_x.shape[-1], self.cell, logits_x)[:, None]
        found, variances = [], []
        for logits in (logits_x, logits_y):
            probability = logits.softmax(-1)
            mean, variance = moments(probability, places)
            if self.decoder != "expectation" and not self.training:
                smooth = self.smooth if self.decoder == "dark" else None
                cells = peak_cells(probability, smooth, 3 * self.smooth * self.NARROWED)
                at = ((cells + 0.5) * self.cell - logits.shape[-1] * self.cell / 2)[..., None]
                variance = variance + (mean - at).square().squeeze(-1)
                mean = at
            found.append(mean)
            variances.append(variance)
        landmarks = torch.cat(found, -1) + (logits_x.shape[-1] * self.cell / 2 - 0.5)
        spread = (variances[0] + variances[1]) / 2
        return HeadOutput(
            landmarks, spread, heatmaps_x=logits_x, heatmaps_y=logits_y, cell=self.cell
        )


class AttentiveGaussian1D(Attentive1D):
    """As Attentive1D, but with heatmaps that are Gaussians of height 1, as the paper's squared errors want them.

    Where a landmark may be is what the fourth power of its maps has above that of a floor, as for gaussian2d.
    """

    NARROWED = 0.5

    def read(self, heatmaps_x: Tensor, heatmaps_y: Tensor) -> HeadOutput:
        """HeadOutput of the maps (B, N, L)."""
        raw = self.place(sharpened(heatmaps_x), sharpened(heatmaps_y))
        return replace(raw, maps_x=heatmaps_x, maps_y=heatmaps_y)


def peak_cells(probability: Tensor, smooth: float | None, border: float) -> Tensor:
    """The highest cell (B, N) of distributions (B, N, L), or the peak of the Gaussian through the log around it.

    smooth: None for the cell; else deviation in cells of the Gaussian that smooths first: decode_dark_1d of decode.py.
    border: cells from an end within which nothing is smoothed. An even distribution has its peak in the middle.
    """
    length = probability.shape[-1]
    even = probability.amax(-1) <= probability.amin(-1) * (1 + 1e-5)  # else rounding would choose
    peak = (
        probability.argmax(-1).to(probability.dtype)
        if smooth is None
        else _dark(probability, smooth, border)
    )
    return torch.where(even, (length - 1) / 2, peak)


def _dark(probability: Tensor, smooth: float, border: float) -> Tensor:
    length = probability.shape[-1]
    cells = torch.arange(length, dtype=probability.dtype, device=probability.device)
    if smooth > 0:
        blurred = probability @ torch.exp(-((cells[:, None] - cells) ** 2) / (2 * smooth**2))
        near_border = (blurred.argmax(-1) < border) | (blurred.argmax(-1) > length - 1 - border)
        probability = torch.where(near_border[..., None], probability, blurred)
    highest = probability.argmax(-1)
    middle = highest.clamp(1, length - 2)
    floor = probability.amax(-1, keepdim=True) * 1e-12 + 1e-30
    log = torch.maximum(probability, floor).log()
    low, mid, high = (log.gather(-1, (middle + d)[..., None]).squeeze(-1) for d in (-1, 0, 1))
    curve = high - 2 * mid + low
    concave = curve < -1e-6
    step = ((low - high) / 2 / torch.where(concave, curve, -1.0)).clamp(-STEP, STEP)
    return torch.where(concave, middle + step, highest.to(step.dtype))
