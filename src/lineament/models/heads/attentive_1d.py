"""Attentive 1D heatmaps: one per axis, whose features attend to the other axis.

Source: Yin et al. 2020, sections 4.1 and 4.2 (DARK in one dimension: section 5.5). The
x branch reduces the rows of the feature map, the y branch its columns.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from ...errors import RecipeError
from ..decoders import Smoothing, check_decoder, decode_1d, sharpened
from .output import STRIDE, HeadOutput, HeadSettings

LENGTHS = (0.25, 0.5, 1.0, 2.0, 3.0)
"""Supported values of model.length, heatmap cells per crop pixel: L / F in the paper."""
ROWS = 8
"""Rows of a branch's map before attention."""


class CoAttention(nn.Module):
    """Co-attention between features along x (B, K, a, b) and along y (B, K, b, a).

    An axis has `a` positions with b = `rows` values each. The affinity relates every position
    along x to every position along y. Source: eq. 9 and 10: per channel W_xy = softmax(Dy'
    P Dx' / sqrt(b)) and W_yx = softmax(Dx Q Dy / sqrt(b)), over rows.
    """

    def __init__(self, rows: int, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.p = nn.Parameter(torch.randn(rows, rows) / rows)
        self.q = nn.Parameter(torch.randn(rows, rows) / rows)

    def forward(self, along_x: Tensor, along_y: Tensor) -> tuple[Tensor, Tensor]:
        x_transposed, y_transposed = along_x.transpose(2, 3), along_y.transpose(2, 3)
        scale = 1 / math.sqrt(self.p.shape[1])
        from_x = (y_transposed @ self.p @ x_transposed * scale).softmax(
            -1
        )  # W_xy (B, K, a, a)
        from_y = (along_x @ self.q @ along_y * scale).softmax(-1)  # W_yx (B, K, a, a)
        return (
            along_x + self.weight * (from_y @ y_transposed),
            along_y + self.weight * (from_x @ along_x).transpose(2, 3),
        )


class AxisEncoder(nn.Module):
    """CNN1 of one axis: strided convolutions that reduce a feature map to ROWS rows.

    Shape:
        (B, C, h, w) -> (B, K, ROWS, w).

    Activations are clipped at 6, as in MobileNetV2: affinities are quadratic in the features, so
    one strong position would take all the weight.
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
            layers = [
                nn.Conv2d(channels, width, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU6(),
            ]
        self.rows = height
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # type: ignore[no-any-return]


class AxisDecoder(nn.Module):
    """CNN2 of one axis: removes the rows, then upsamples the axis to 1D heatmaps.

    Shape:
        (B, K, ROWS, w) -> (B, N, w * times).
    """

    def __init__(
        self, channels: int, width: int, rows: int, points: int, times: int
    ) -> None:
        super().__init__()
        self.flatten = nn.Sequential(
            nn.Conv2d(channels, width, (rows, 3), 1, (0, 1), bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        layers: list[nn.Module] = []
        while times > 1:
            step = 2 if times % 2 == 0 else times
            # a kernel of 2 * step, or one less if step is odd, keeps cells centered
            layers += [
                nn.ConvTranspose1d(
                    width, width, 2 * step - step % 2, step, step // 2, bias=False
                ),
                nn.BatchNorm1d(width),
                nn.ReLU(),
            ]
            times //= step
        self.stretch = nn.Sequential(*layers)
        self.out = nn.Conv1d(width, points, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.stretch(self.flatten(x).squeeze(2)))  # type: ignore[no-any-return]


class Attentive1D(nn.Module):
    """Head that predicts one heatmap of length L per axis and landmark.

    Takes the finest feature map (B, C, h, w). The softmax of a heatmap is the distribution of the
    landmark along that axis.

    Raises:
        RecipeError: If the length is not one of LENGTHS, or the decoder is unknown.
    """

    WIDTH = 64
    """Channels of maps that are not yet reduced to one axis."""
    WIDE = 256
    """Channels of maps along a single axis, where they are cheap; fewer than N train slowly."""
    NARROWED = 1.0
    """Width of the decoded distribution relative to the target's."""

    def __init__(
        self, channels: int, points: int, size: int, settings: HeadSettings
    ) -> None:
        super().__init__()
        length = 1.0 if settings.length is None else settings.length
        if length not in LENGTHS:
            raise RecipeError(
                f"model.length is {length}; "
                f"expected one of {', '.join(map(str, LENGTHS))}"
            )
        cells = size // STRIDE
        self.stride = 1 / length
        """Crop pixels per cell of the heatmaps."""
        self.decoder = check_decoder(settings.decoder)
        sigma = settings.sigma_px / self.stride
        self.smoothing = Smoothing(sigma, 3 * sigma * self.NARROWED)
        times = round(length * STRIDE)
        self.squeeze_x = AxisEncoder(channels, self.WIDTH, cells)
        self.squeeze_y = AxisEncoder(channels, self.WIDTH, cells)
        rows = self.squeeze_x.rows
        self.stretch_x = AxisDecoder(self.WIDTH, self.WIDE, rows, points, times)
        self.stretch_y = AxisDecoder(self.WIDTH, self.WIDE, rows, points, times)
        # created last, so that all other layers get the same random weights with and without it
        self.attend = (
            CoAttention(rows, settings.attention) if settings.attention else None
        )

    def forward(self, features: Tensor) -> HeadOutput:
        return self.read(*self.maps(features))

    def maps(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maps along x and y, (B, N, L) each, that `read` decodes."""
        along_x = self.squeeze_x(features).transpose(2, 3)  # (B, K, a, b)
        along_y = self.squeeze_y(features.transpose(2, 3))  # (B, K, b, a)
        if self.attend is not None:
            along_x, along_y = self.attend(along_x, along_y)
        return self.stretch_x(along_x.transpose(2, 3)).float(), self.stretch_y(
            along_y
        ).float()

    def read(self, logits_x: Tensor, logits_y: Tensor) -> HeadOutput:
        """Decode logits (B, N, L) along x and y."""
        decoder = "expectation" if self.training else self.decoder
        landmarks, variance = decode_1d(
            logits_x, logits_y, self.stride, decoder, self.smoothing
        )
        return HeadOutput(
            landmarks,
            variance,
            heatmap_logits_x=logits_x,
            heatmap_logits_y=logits_y,
            stride=self.stride,
        )


class AttentiveGaussian1D(Attentive1D):
    """Attentive1D with Gaussians of height 1, for the paper's squared errors.

    The distribution of a landmark is derived as in Gaussian2D.
    """

    NARROWED = 0.5

    def read(self, heatmaps_x: Tensor, heatmaps_y: Tensor) -> HeadOutput:
        """Decode maps (B, N, L) of height 1 along x and y."""
        output = super().read(sharpened(heatmaps_x), sharpened(heatmaps_y))
        return replace(output, heatmaps_x=heatmaps_x, heatmaps_y=heatmaps_y)
