"""RGB to gray inside a network."""

from torch import Tensor

WEIGHTS = (0.299, 0.587, 0.114)
"""Weights of red, green and blue: ITU-R BT.601."""


def to_gray(pixels: Tensor) -> Tensor:
    """Convert RGB (B, 3, H, W) to gray (B, 1, H, W)."""
    red, green, blue = pixels[:, 0:1], pixels[:, 1:2], pixels[:, 2:3]
    return WEIGHTS[0] * red + WEIGHTS[1] * green + WEIGHTS[2] * blue
