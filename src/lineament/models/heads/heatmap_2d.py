"""Heads of 2D heatmaps: logits of distributions, or Gaussians of height 1."""

from dataclasses import replace

from torch import Tensor, nn

from ...errors import RecipeError
from ..decoders import Smoothing, check_decoder, decode_2d, sharpened
from .output import STRIDE, HeadOutput, HeadSettings

LENGTHS = (0.25, 0.5, 1.0, 2.0)
"""Heatmap cells per crop pixel."""


class Heatmap2D(nn.Module):
    """Head that predicts the logits of one spatial distribution per landmark.

    Takes the finest feature map (B, C, h, w).

    Raises:
        RecipeError: If the length is not one of LENGTHS, or the decoder is unknown.
    """

    NARROWED = 1.0
    """Width of the decoded distribution relative to the target's."""

    def __init__(
        self, channels: int, points: int, size: int, settings: HeadSettings
    ) -> None:
        super().__init__()
        length = 1 / STRIDE if settings.length is None else settings.length
        if length not in LENGTHS:
            raise RecipeError(
                f"model.length is {length}; expected one of "
                f"{', '.join(map(str, LENGTHS))} for 2D heads"
            )
        self.stride = 1 / length
        self.decoder = check_decoder(settings.decoder)
        sigma = settings.sigma_px / self.stride
        self.smoothing = Smoothing(sigma, 3 * sigma * self.NARROWED)
        layers: list[nn.Module] = []
        for _ in range(round(length * STRIDE).bit_length() - 1):
            layers += [
                nn.ConvTranspose2d(channels, channels, 4, 2, 1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            ]
        self.stretch = nn.Sequential(*layers)
        self.out = nn.Conv2d(channels, points, 1)

    def forward(self, features: Tensor) -> HeadOutput:
        return self.read(self.out(self.stretch(features)).float())

    def read(self, logits: Tensor) -> HeadOutput:
        """Decode logits (B, N, h, w)."""
        decoder = "expectation" if self.training else self.decoder
        landmarks, variance = decode_2d(logits, self.stride, decoder, self.smoothing)
        return HeadOutput(landmarks, variance, logits, stride=self.stride)


class Gaussian2D(Heatmap2D):
    """Head that predicts a Gaussian of height 1 per landmark.

    A landmark's distribution is proportional to the fourth power of its map minus the fourth power
    of a threshold. It is half as wide as the Gaussian, and values below the threshold have almost
    no weight in total, even if the peak is weak.
    """

    NARROWED = 0.5

    def read(self, heatmaps: Tensor) -> HeadOutput:
        """Decode maps (B, N, h, w) of height 1."""
        return replace(super().read(sharpened(heatmaps)), heatmaps=heatmaps)
