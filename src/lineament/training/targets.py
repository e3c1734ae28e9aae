"""Training targets of heads: Gaussians around landmarks, in 1D or 2D. Depends on torch.

Positions follow geometry.py: crop pixel x is heatmap position (x + 0.5) / stride - 0.5.
"""

import torch
from torch import Tensor


def gaussian_1d(positions: Tensor, length: int, stride: float, sigma: float) -> Tensor:
    """Return distributions (..., L) around `positions`; each sums to 1.

    Args:
        positions: (...), pixels of the crop; positions outside it are clamped to its edge.
        length: L, cells.
        stride: Crop pixels per cell.
        sigma: Width in cells.
    """
    cells = torch.arange(length, dtype=positions.dtype, device=positions.device)
    center = ((positions + 0.5) / stride - 0.5).clamp(-0.5, length - 0.5)
    weights = torch.exp(-(cells - center[..., None]).square() / (2 * sigma**2))
    return weights / weights.sum(-1, keepdim=True)


def gaussian_2d(
    landmarks: Tensor, height: int, width: int, stride: float, sigma: float
) -> Tensor:
    """Return distributions (B, N, h, w) around `landmarks` (B, N, 2), pixels of the crop."""
    along_x = gaussian_1d(landmarks[..., 0], width, stride, sigma)
    along_y = gaussian_1d(landmarks[..., 1], height, stride, sigma)
    return along_y[..., :, None] * along_x[..., None, :]
