"""Rectangles drawn over the students' inputs. Depends on torch.

Source: SD-HRNet, section 3.2, masked inputs.
"""

import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def draw_masks(
    crops: Tensor,
    prob: float,
    sides: tuple[float, float],
    size: int,
    seed: Sequence[int],
) -> Tensor:
    """Return a rectangle for each of `crops`: (B, 7) int32 x0, y0, x1, y1 (exclusive), r, g, b.

    It depends only on `seed` and the augmented crop, so it is the same in a resumed run and for any
    split of a batch.

    Args:
        crops: (B, S, S, 3) on the CPU.
        prob: Probability that a crop is masked; the others get an empty rectangle.
        sides: Shortest and longest side of a rectangle, as fractions of `size`.
        size: Side of the students' crops, pixels.
        seed: Differs for each student.
    """
    masks = np.zeros((len(crops), 7), np.int32)
    for k, crop in enumerate(crops.numpy()):
        content = zlib.crc32(np.ascontiguousarray(crop[::8, ::8]).tobytes())
        rng = np.random.default_rng([*seed, content])
        if rng.random() < prob:
            extent = (rng.uniform(*sides, 2) * size).astype(int)
            corner = (rng.random(2) * (size - extent)).astype(int)
            masks[k] = *corner, *(corner + extent), *rng.integers(0, 256, 3)
    return torch.from_numpy(masks)


def apply_masks(crops: Tensor, masks: Tensor) -> Tensor:
    """Return copies of uint8 `crops` (B, S, S, 3) with the rectangles `masks` (B, 7) filled."""
    pixels = torch.arange(crops.shape[1], device=crops.device)
    x0, y0, x1, y1 = (corner[:, None] for corner in masks[:, :4].unbind(1))
    rows = (pixels >= y0) & (pixels < y1)
    columns = (pixels >= x0) & (pixels < x1)
    inside = rows[:, :, None] & columns[:, None]  # (B, S, S)
    return torch.where(
        inside[..., None], masks[:, None, None, 4:].to(torch.uint8), crops
    )


def visible_with_masks(visible: Tensor, landmarks: Tensor, masks: Tensor) -> Tensor:
    """Return `visible` (B, N), set to 0 for `landmarks` (B, N, 2) inside `masks` (B, 7)."""
    x, y = (landmarks + 0.5).unbind(-1)
    x0, y0, x1, y1 = (corner[:, None] for corner in masks[:, :4].unbind(1))
    inside = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
    return torch.where(inside, 0.0, visible)
