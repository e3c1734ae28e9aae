"""The heads by name."""

from torch import nn

from ...errors import RecipeError, did_you_mean
from ..decoders import MAX_JUMP
from .attentive_1d import Attentive1D, AttentiveGaussian1D
from .coordinates import Coordinates
from .heatmap_2d import Gaussian2D, Heatmap2D
from .output import HeadSettings

HEADS: dict[str, type[nn.Module]] = {
    "heatmap2d": Heatmap2D,
    "gaussian2d": Gaussian2D,
    "coordinates": Coordinates,
    "attentive1d": Attentive1D,
    "attentive1d-gaussian": AttentiveGaussian1D,
}
TWO_D = ("heatmap2d", "gaussian2d")
"""Heads with heatmaps in two dimensions."""


def make_head(
    name: str, channels: int, points: int, size: int, settings: HeadSettings
) -> nn.Module:
    """Build the head called `name` over a feature map of `channels` at stride 4.

    Args:
        size: Side of the crop in pixels.

    Raises:
        RecipeError: If there is no such head, or it does not support these settings.
    """
    if name not in HEADS:
        raise RecipeError(f"unknown head {name!r}; {did_you_mean(name, HEADS)}")
    return HEADS[name](channels, points, size, settings)


def rounding_px(head: nn.Module) -> float:
    """Return the crop pixels by which rounding alone may move a landmark."""
    return MAX_JUMP.get(str(getattr(head, "decoder", "")), 0.0) * float(
        getattr(head, "stride", 0.0)
    )
