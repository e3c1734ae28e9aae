"""The contract of heads: their settings and their output."""

from dataclasses import dataclass

from torch import Tensor

STRIDE = 4
"""Crop pixels per cell of the feature map that every head reads."""


@dataclass(frozen=True)
class HeadSettings:
    """Settings of heads; each head uses those that apply to it."""

    length: float | None = None
    """Heatmap cells per crop pixel; None: the head's default."""
    attention: float = 0.3
    """Weight gamma of the features that an axis takes from the other, in attentive heads."""
    decoder: str = "expectation"
    """One of decoders.DECODERS; training always uses the expectation, which has a gradient."""
    sigma_px: float = 4.8
    """Width of the target in pixels of the crop; the decoder dark smooths with it."""


@dataclass(frozen=True)
class HeadOutput:
    """Landmarks of a batch of crops and the maps they were decoded from.

    A head fills one pair of maps: `heatmap_logits` in two dimensions or along the axes,
    and `heatmaps` next to them if it is trained on maps whose peaks have height 1.
    """

    landmarks: Tensor
    """(B, N, 2), pixels of the crop."""
    variance: Tensor
    """(B, N): mean of the variances along x and y, crop pixels squared, not calibrated."""
    heatmap_logits: Tensor | None = None
    """(B, N, h, w): their softmax is the distribution of the landmark."""
    heatmaps: Tensor | None = None
    """(B, N, h, w): peaks of height 1."""
    heatmap_logits_x: Tensor | None = None
    """(B, N, L), along x."""
    heatmap_logits_y: Tensor | None = None
    """(B, N, L), along y."""
    heatmaps_x: Tensor | None = None
    """(B, N, L): peaks of height 1, along x."""
    heatmaps_y: Tensor | None = None
    """(B, N, L): peaks of height 1, along y."""
    stride: float = STRIDE
    """Crop pixels per cell of these maps."""
    presence_logits: Tensor | None = None
    """(B,): their sigmoid is the probability that the crop shows a face, not calibrated."""
    visible_logits: Tensor | None = None
    """(B, N): their sigmoid is the probability that a point is visible, not calibrated."""
    class_logits: Tensor | None = None
    """(B, K): logits of classes of the face, such as emotions, or of K attributes."""
