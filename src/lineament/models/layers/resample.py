"""Crops of crops inside a network: similarity transforms and differentiable sampling.

An affine is (B, 2, 3) and maps pixels to pixels; the center of the first pixel is (0, 0). Sums of
products are written out: a matrix product would be rounded to bfloat16 in training.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def apply_affines(affines: Tensor, landmarks: Tensor) -> Tensor:
    """Return landmarks (B, N, 2) transformed by affines (B, 2, 3)."""
    x, y = landmarks[..., 0], landmarks[..., 1]
    (a, b, c), (d, e, f) = (row.unbind(1) for row in affines[:, :, :, None].unbind(1))
    return torch.stack([a * x + b * y + c, d * x + e * y + f], dim=-1)


def invert_similarities(affines: Tensor) -> Tensor:
    """Return the inverses (B, 2, 3) of similarities (B, 2, 3)."""
    # [a -b; b a]: the inverse is [a b; -b a] / (a^2 + b^2)
    a, b = affines[:, 0, 0], affines[:, 1, 0]
    power = (a * a + b * b).clamp(min=1e-8)
    return _similarities(a / power, -b / power, affines[:, :, 2], 0.0)


def fit_similarities(source: Tensor, target: Tensor) -> Tensor:
    """Return the least-squares similarities (B, 2, 3) from landmarks (B, N, 2) to (N, 2)."""
    source_mean, target_mean = source.mean(1, keepdim=True), target.mean(0)
    s, t = source - source_mean, target - target_mean
    power = s.square().sum((1, 2)).clamp(min=1e-6)
    a = (s * t).sum((1, 2)) / power
    b = (s[..., 0] * t[:, 1] - s[..., 1] * t[:, 0]).sum(1) / power
    return _similarities(a, b, source_mean[:, 0], target_mean)


def _similarities(
    a: Tensor, b: Tensor, center: Tensor, target: Tensor | float
) -> Tensor:
    """Return the similarities [a -b; b a] (B, 2, 3) that move `center` (B, 2) to `target` (2,)."""
    x, y = center[:, 0], center[:, 1]
    shift = target - torch.stack([a * x - b * y, b * x + a * y], dim=1)
    first = torch.stack([a, -b, shift[:, 0]], dim=1)
    second = torch.stack([b, a, shift[:, 1]], dim=1)
    return torch.stack([first, second], dim=1)


def box_affines(boxes: Tensor, size: int) -> Tensor:
    """Return the affines (B, 2, 3) from an image to square crops of `size` around boxes (B, 4).

    The crop's side is the longer side of the box.
    """
    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    side = (boxes[:, 2:] - boxes[:, :2]).amax(1).clamp(min=1.0)
    scale = size / side
    # the center of the crop is at (size - 1) / 2
    return _similarities(scale, torch.zeros_like(scale), center, (size - 1) / 2)


def sample(images: Tensor, crop_to_image: Tensor, size: int) -> Tensor:
    """Return crops (B, C, size, size) of images (B, C, H, W), bilinear, 0 outside.

    Args:
        crop_to_image: (B, 2, 3).
        size: Side of the crops.
    """
    line = torch.arange(size, device=images.device, dtype=images.dtype)
    x = line[None, :].expand(size, size)
    y = line[:, None].expand(size, size)
    grid = torch.stack([x, y], dim=-1).view(1, size * size, 2)
    places = apply_affines(crop_to_image, grid.expand(images.shape[0], -1, -1))
    # -1 and 1 are the outer edges of the border pixels
    unit_x = (2 * places[..., 0] + 1) / images.shape[3] - 1
    unit_y = (2 * places[..., 1] + 1) / images.shape[2] - 1
    unit = torch.stack([unit_x, unit_y], dim=-1)
    unit = unit.view(images.shape[0], size, size, 2)
    return F.grid_sample(images, unit, align_corners=False)
