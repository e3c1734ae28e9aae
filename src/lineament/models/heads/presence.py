"""Head for the presence of a face and the visibility of its points. Depends on torch."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .output import HeadOutput

WIDTH = 64
"""Hidden units between the map and the logits."""
MAX_CELLS = 7
"""Longest side of the map that the hidden layer reads; larger maps are averaged first."""


class PresenceHead(nn.Module):
    """Predict logits of presence and visibility from the coarsest pyramid map (B, C, h, h).

    Spatial positions are preserved, so that a face far from the center of the crop is ignored.
    All layers are linear, so the quantizer leaves them in floating point.
    """

    def __init__(self, channels: int, cells: int, points: int) -> None:
        """Build the layers.

        Args:
            channels: Channels of the map, C.
            cells: Side of the map, h.
            points: Number of landmarks, N.
        """
        super().__init__()
        self.pool = 1
        while cells % self.pool or cells // self.pool > MAX_CELLS:
            self.pool += 1
        self.hidden = nn.Linear(channels * (cells // self.pool) ** 2, WIDTH)
        self.face = nn.Linear(WIDTH, 1)
        self.visible = nn.Linear(WIDTH, points)
        # a masked point has a wide distribution
        self.spread = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor, output: HeadOutput) -> HeadOutput:
        """Return `output` with logits of presence (B,) and visibility (B, N)."""
        hidden = self.read(features)
        spread = output.variance.detach().clamp(min=1e-2).log()
        return replace(
            output,
            presence_logits=self.face(hidden).float()[:, 0],
            visible_logits=self.visible(hidden).float() + self.spread * spread,
        )

    def read(self, features: Tensor) -> Tensor:
        """Return the hidden units (B, WIDTH) of the map."""
        if self.pool > 1:
            features = F.avg_pool2d(features, self.pool)
        return F.relu(self.hidden(features.flatten(1)))
