"""Crops of crops inside a network: similarity transforms and differentiable sampling.

An affine is (..., 2, 3) and maps pixels to pixels; the center of the first pixel is (0, 0). Sums
of products are written out: a matrix product would be rounded to bfloat16 in training.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def apply_affines(affines: Tensor, landmarks: Tensor) -> Tensor:
    """Return landmarks (..., N, 2) transformed by affine matrices (..., 2, 3)."""
    x, y = landmarks[..., :1], landmarks[..., 1:]
    along_x, along_y, shift = affines.unsqueeze(-3).unbind(-1)  # (..., 1, 2)
    return along_x * x + along_y * y + shift


def invert_similarities(affines: Tensor) -> Tensor:
    """Return the inverses (..., 2, 3) of similarity transforms (..., 2, 3)."""
    # [a -b; b a]: the inverse is [a b; -b a] / (a^2 + b^2)
    first, _, shift = affines.unbind(-1)
    power = first.square().sum(-1, keepdim=True).clamp(min=1e-8)
    a, b = (first / power).unbind(-1)
    return _similarities(a, -b, shift, 0.0)


def fit_similarities(source: Tensor, target: Tensor) -> Tensor:
    """Return the least-squares similarities (..., 2, 3) from landmarks (..., N, 2) to `target`.

    The shape of `target` is (N, 2), or any that broadcasts to that of `source`.
    """
    source_mean, target_mean = source.mean(-2), target.mean(-2)
    s, t = source - source_mean.unsqueeze(-2), target - target_mean.unsqueeze(-2)
    power = s.square().sum((-2, -1)).clamp(min=1e-6)
    a = (s * t).sum((-2, -1)) / power
    b = (s[..., 0] * t[..., 1] - s[..., 1] * t[..., 0]).sum(-1) / power
    return _similarities(a, b, source_mean, target_mean)


def _similarities(
    a: Tensor, b: Tensor, center: Tensor, target: Tensor | float
) -> Tensor:
    """Return the similarities [a -b; b a] (..., 2, 3) that map `center` (..., 2) to `target`."""
    first, second = torch.stack([a, b], dim=-1), torch.stack([-b, a], dim=-1)
    shift = target - (first * center[..., :1] + second * center[..., 1:])
    return torch.stack([first, second, shift], dim=-1)


def box_affines(boxes: Tensor, size: int) -> Tensor:
    """Return image_to_crop matrices (B, 2, 3) of square crops of `size` around boxes (B, 4).

    The crop's side is the longer side of the box.
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    scale = size / (high - low).amax(1).clamp(min=1.0)
    # the center of the crop is at (size - 1) / 2
    center = (low + high) / 2
    return _similarities(scale, torch.zeros_like(scale), center, (size - 1) / 2)


def crop_affines(boxes: Tensor, size: int) -> Tensor:
    """Return the affines (B, 2, 3) from crops of `size` pixels around boxes (B, 4) to the image.

    No gradient flows through them.
    """
    return invert_similarities(box_affines(boxes, size).detach())


def sample(images: Tensor, crop_to_image: Tensor, size: int) -> Tensor:
    """Return crops (B, C, size, size) of images (B, C, H, W), bilinear, 0 outside.

    Args:
        crop_to_image: (B, 2, 3).
        size: Side of the crops.
    """
    return sample_several(images, crop_to_image[:, None], size)[0]


def sample_several(
    images: Tensor, crop_to_image: Tensor, size: int
) -> tuple[Tensor, ...]:
    """Return K crops (B, C, size, size) of each image (B, C, H, W); see `sample`.

    Args:
        crop_to_image: (B, K, 2, 3).
        size: Side of the crops.
    """
    # -1 and 1 are the outer edges of the border pixels
    sides = images.shape[3], images.shape[2]
    to_unit = torch.cat([images.new_full((1,), 2 / side) for side in sides])
    along_x, along_y, shift = (crop_to_image * to_unit[:, None]).unbind(-1)
    shift = shift + (to_unit / 2 - 1)
    line = torch.arange(size, device=images.device, dtype=images.dtype)
    # (B, K, row, column, 2)
    columns = along_x[:, :, None, None] * line[:, None]
    rows = along_y[:, :, None, None] * line[:, None, None] + shift[:, :, None, None]
    grid = (rows + columns).flatten(1, 2)
    crops = F.grid_sample(images, grid, align_corners=False)
    return torch.split(crops, size, dim=2)
