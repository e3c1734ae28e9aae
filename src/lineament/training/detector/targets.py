"""Targets of the face detector: assignment of faces to cells. Depends on torch.

A face is assigned to the strides that suit its size, and there to the cells near its center.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ...data.detection.scene import Scene

SIZES = {8: (0.0, 44.0), 16: (32.0, 88.0), 32: (64.0, 176.0), 64: (128.0, 1e9)}
"""Range of face sizes, sqrt(area) in pixels, by stride; neighboring ranges overlap."""
SIZE_SLACK = 1.5
"""Faces outside a stride's range by less than this factor are ignored at that stride."""
MIN_SIDE = 7.0
"""Side in pixels below which faces are ignored: neither positive nor negative."""


class CellTargets(NamedTuple):
    """Targets of P cells, all strides concatenated; with a leading axis B in batches."""

    face: Tensor
    """(P,) int64: index of the cell's face in its scene, -1 for none."""
    scored: Tensor
    """(P,) bool: True if the score is trained."""
    boxes: Tensor
    """(P, 4) the face's box, pixels; zeros without a face."""
    five: Tensor
    """(P, 5, 2) the face's five points, pixels; nan if unknown or without a face."""


def assign(
    boxes: Tensor,
    recognizable: Tensor,
    labeled: Tensor,
    centers: Tensor,
    strides: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return the face assigned to each cell (P,), -1 for none, and a mask of scored cells (P,).

    Args:
        boxes: (F, 4), pixels.
        recognizable: (F,) bool, False for faces to ignore: neither positive nor negative.
        labeled: (P,) bool, False for cells where faces are not annotated.
        centers: (P, 2) of the cells, as from `all_centers`.
        strides: (P,) of the cells.
    """
    if len(boxes) == 0:
        return torch.full((len(centers),), -1), labeled
    size = boxes[:, 2:] - boxes[:, :2]  # (F, 2)
    side = size.prod(1).sqrt()
    face_centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    offset = (centers[:, None] - face_centers).abs()  # (P, F, 2)
    step = strides[:, None]
    level = torch.log2(strides).long() - 3
    ranges = torch.tensor(list(SIZES.values()))[level]  # (P, 2)
    low, high = ranges[:, :1], ranges[:, 1:]
    # at most 1.25 cells from the center and in the middle of the face, but always the nearest cell
    max_offset = torch.maximum(torch.minimum(1.25 * step, 0.4 * side[None]), 0.5 * step)
    near = (offset <= max_offset[..., None]).all(-1)
    fits_stride = (side >= low) & (side < high)
    usable = recognizable & (side >= MIN_SIDE)
    distance = (
        (offset / size)
        .square()
        .sum(-1)
        .masked_fill(~(near & fits_stride & usable), torch.inf)
    )
    min_distance, face = distance.min(1)
    positive = torch.isfinite(min_distance)
    nearly_fits = near & (side * SIZE_SLACK >= low) & (side < SIZE_SLACK * high)
    inside = (offset < size / 2).all(-1)
    unclear = nearly_fits.any(1) | (inside & ~usable).any(1)
    return torch.where(positive, face, -1), (labeled & ~unclear) | positive


def scene_targets(scene: Scene, centers: Tensor, strides: Tensor) -> CellTargets:
    """Return the targets of one scene for the cells of `all_centers`."""
    boxes = torch.from_numpy(scene.boxes).float()
    column, row = centers.round().long().clamp(0, len(scene.image) - 1).T
    labeled = torch.from_numpy(scene.labeled)[row, column]
    face, scored = assign(
        boxes, torch.from_numpy(scene.recognizable), labeled, centers, strides
    )
    five = torch.from_numpy(scene.five).float().flatten(1)
    values = torch.cat([boxes, five], 1)  # (F, 14)
    # index -1 selects the last row, for cells without a face
    no_face = torch.cat([torch.zeros(1, 4), torch.full((1, 10), torch.nan)], 1)
    cells = torch.cat([values, no_face])[face]
    return CellTargets(face, scored, cells[:, :4], cells[:, 4:].reshape(-1, 5, 2))
