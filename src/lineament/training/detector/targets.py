"""Which cells of the face detector answer for which face: boxes -> a target for each cell.

A face belongs to the strides that suit its size and there to the cells near its centre.
"""

from typing import NamedTuple

import torch
from torch import Tensor

SIZES = {8: (0.0, 44.0), 16: (32.0, 88.0), 32: (64.0, 176.0), 64: (128.0, 1e9)}
"""Side of the face, the root of its area in pixels, that each stride answers for; neighbors share a band."""
SLACK = 1.5
"""Cells of a stride whose band is missed by less than this factor are left in peace: neither face nor background."""
SMALLEST = 7.0
"""Smaller faces are neither face nor background."""


class Targets(NamedTuple):
    """For a batch, P cells, all strides in a row."""

    face: Tensor
    """(B, P) int64: index of the cell's face among the faces of its picture, -1 for none."""
    counted: Tensor
    """(B, P) bool: whether the cell's score is learnt."""


def assign(
    boxes: Tensor, whole: Tensor, counted: Tensor, centers: Tensor, strides: Tensor
) -> tuple[Tensor, Tensor]:
    """The face of every cell (P,), -1 for none, and whether the cell's score is learnt (P,).

    boxes: (F, 4) pixels.    whole: (F,) bool, False for faces to be ignored.    counted: (P,) bool, False where nobody
    knows whether there is a face.    centers, strides: of the cells, as from `all_centers`.
    """
    counted = counted.clone()
    if len(boxes) == 0:
        return torch.full((len(centers),), -1), counted
    size = boxes[:, 2:] - boxes[:, :2]  # (F, 2)
    side = size.prod(1).sqrt()
    offset = (centers[:, None] - (boxes[:, :2] + boxes[:, 2:])[None] / 2).abs()  # (P, F, 2)
    step = strides[:, None]
    low = torch.tensor([SIZES[int(s)][0] for s in SIZES])[torch.log2(strides).long() - 3][:, None]
    high = torch.tensor([SIZES[int(s)][1] for s in SIZES])[torch.log2(strides).long() - 3][:, None]
    # at most 1.25 cells from the centre and inside the middle of the face, but always the nearest cell
    reach = torch.maximum(torch.minimum(1.25 * step, 0.4 * side[None]), 0.5 * step)
    near = (offset <= reach[..., None]).all(-1)
    suits = (side >= low) & (side < high)
    usable = whole & (side >= SMALLEST)
    distance = (offset / size).square().sum(-1).masked_fill(~(near & suits & usable), torch.inf)
    best, face = distance.min(1)
    positive = torch.isfinite(best)
    almost = near & (side * SLACK >= low) & (side < SLACK * high)
    inside = (offset < size / 2).all(-1)
    unclear = almost.any(1) | (inside & ~usable).any(1)
    counted = (counted & ~unclear) | positive
    return torch.where(positive, face, -1), counted


def targets(
    boxes: list[Tensor], whole: list[Tensor], counted: Tensor, centers: Tensor, strides: Tensor
) -> Targets:
    """`assign` for every picture of a batch; counted: (B, P) bool."""
    pairs = [
        assign(b, w, c, centers, strides) for b, w, c in zip(boxes, whole, counted, strict=True)
    ]
    return Targets(torch.stack([p[0] for p in pairs]), torch.stack([p[1] for p in pairs]))
