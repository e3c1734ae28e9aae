"""DPM-CNN as a face detector: predicts a box, points of parts, and a score.

Source: Sun et al. 2020, section 2.3. The paper defines no score; the face output and
the weight of the deformation cost are chosen here. Depends on torch.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .dpm_cnn import FACE_SIDE, DpmCnn
from .heads.output import HeadOutput
from .layers.gray import to_gray
from .parts import (
    BOX_AND_ENDS,
    END_POINTS,
    PartOutput,
    box_and_ends,
    enlarged,
    fit_contour,
    fit_parts,
)
from .star import StarModel

FIRST_WEIGHT = 0.1
"""Initial weight of the deformation cost."""


class DpmDetector(nn.Module):
    """Predict a HeadOutput of 68 points, with presence, from uint8 RGB windows (B, 112, 112, 3)."""

    mean: Tensor
    std: Tensor
    mean_shape: Tensor
    start: Tensor
    size = FACE_SIDE
    new_parts = ("score", "star", "log_weight", "start")

    def __init__(self, mean_shape: Tensor, width: float = 1.0) -> None:
        """Build the network with random weights.

        Args:
            mean_shape: (68, 2), pixels of the window.
            width: Channels, as a fraction of the paper's.
        """
        super().__init__()
        self.register_buffer("mean_shape", mean_shape.float())
        self.register_buffer("start", box_and_ends(self.mean_shape, "face"))
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 128.0))
        self.register_buffer("std", torch.full((1, 3, 1, 1), 64.0))
        self.face = DpmCnn(FACE_SIDE, 2 * BOX_AND_ENDS, width)
        self.score = nn.Linear(self.face.units, 1)
        nn.init.xavier_uniform_(self.score.weight)
        nn.init.zeros_(self.score.bias)
        self.star = StarModel(len(END_POINTS))
        self.log_weight = nn.Parameter(torch.tensor(FIRST_WEIGHT).log())

    def forward(self, crops: Tensor) -> HeadOutput:
        """Predict uint8 RGB windows (B, 112, 112, 3)."""
        return self.head(self.run(crops))

    def run(self, crops: Tensor) -> PartOutput:
        """Return box, points of parts, landmarks and presence of uint8 RGB windows."""
        return self.run_with_face_logits(crops)[0]

    def run_with_face_logits(self, crops: Tensor) -> tuple[PartOutput, Tensor]:
        """Return the result of `run`, and its presence logits (B,) without deformation cost."""
        pixels = (crops.permute(0, 3, 1, 2).float() - self.mean) / self.std
        features = self.face.features(to_gray(pixels))
        steps = self.face.out(features).float().view(crops.shape[0], -1, 2)
        points = self.start + steps * self.size / 10
        box, ends = points[:, :2], points[:, 2:]
        contour = fit_contour(self.mean_shape, "face", box)
        landmarks = torch.cat([contour, fit_parts(self.mean_shape, ends)], dim=1)
        # no gradient: training of the score must not change the shape
        cost = self.star(ends.detach(), enlarged(box.detach(), 1.0))
        face_logits = self.score(features).float()[:, 0]
        logits = face_logits - self.log_weight.exp() * cost
        output = PartOutput({"face": box}, ends, landmarks, logits, ("face", "ends"))
        return output, face_logits

    def head(self, output: PartOutput) -> HeadOutput:
        """Return landmarks and presence; the variance grows as the face score falls."""
        logits = output.presence_logits
        assert logits is not None
        face_nll = functional.softplus(-logits)[:, None]
        count = output.landmarks.shape[1]
        return HeadOutput(
            output.landmarks, face_nll.expand(-1, count), presence_logits=logits
        )
