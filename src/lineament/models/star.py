"""Star model (deformable part model): points around a box center and their deformation cost.

Source: Felzenszwalb et al. 2010, section 3.1, with full covariances; Sun et al. 2020, section 2.2.
Depends on torch.
"""

import torch
from torch import Tensor, nn

RIDGE = 1e-4
"""Regularization added to the variances, in squared units of the box side."""


class StarModel(nn.Module):
    """Deformation cost (B,) of points (B, N, 2) in boxes (B, 4); 1 for faces on average.

    Each point has a mean and a covariance, relative to the center of the box and in units of the
    box side.
    """

    mean: Tensor
    precision: Tensor

    def __init__(self, points: int) -> None:
        """Set the initial star: all means at the center, unit covariances."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(points, 2))
        self.register_buffer("precision", torch.eye(2).repeat(points, 1, 1))

    @torch.no_grad()
    def fit(self, points: Tensor, boxes: Tensor) -> None:
        """Fit mean and covariance to the points (M, N, 2) and boxes (M, 4) of faces, M > 1."""
        relative = relative_to_boxes(points.double(), boxes.double())
        mean = relative.mean(0)
        centered = relative - mean
        covariance = torch.einsum("mni,mnj->nij", centered, centered) / len(points)
        covariance += RIDGE * torch.eye(2, dtype=covariance.dtype)
        self.mean.copy_(mean)
        self.precision.copy_(torch.linalg.inv(covariance))

    def forward(self, points: Tensor, boxes: Tensor) -> Tensor:
        """Return the mean over the points of half their squared Mahalanobis distances."""
        x, y = (relative_to_boxes(points, boxes) - self.mean).unbind(-1)
        (a, b), (_, d) = self.precision.permute(1, 2, 0)
        squared: Tensor = a * x * x + 2 * b * x * y + d * y * y
        return squared.mean(1) / 2


def relative_to_boxes(points: Tensor, boxes: Tensor) -> Tensor:
    """Return points (B, N, 2) relative to the centers of boxes (B, 4), in units of the box side."""
    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1.0)
    return (points - center[:, None]) / sides[:, None]
