"""Losses of the face detector: quality focal for scores, generalized IoU for boxes, L1 for points.

Depends on torch.
"""

import torch
from torch import Tensor
from torch.nn import functional

from ...models.face_detector import Cells
from .targets import CellTargets

BOX_WEIGHT, POINTS_WEIGHT = 2.0, 4.0
SMOOTH = 0.02
"""Error of a point, in units of the face side, below which the loss is quadratic."""


def paired_iou(boxes_a: Tensor, boxes_b: Tensor) -> tuple[Tensor, Tensor]:
    """Return row-wise IoU and generalized IoU, (...) each, of boxes (..., 4).

    Source: Rezatofighi 2019, alg. 1.
    """
    top_left_a, bottom_right_a = boxes_a[..., :2], boxes_a[..., 2:]
    top_left_b, bottom_right_b = boxes_b[..., :2], boxes_b[..., 2:]
    inner = torch.minimum(bottom_right_a, bottom_right_b) - torch.maximum(
        top_left_a, top_left_b
    )
    outer = torch.maximum(bottom_right_a, bottom_right_b) - torch.minimum(
        top_left_a, top_left_b
    )
    shared = inner.clamp(min=0).prod(-1)
    area_a = (bottom_right_a - top_left_a).prod(-1)
    area_b = (bottom_right_b - top_left_b).prod(-1)
    union = area_a + area_b - shared
    iou = shared / union
    return iou, iou - (1 - union / outer.prod(-1))


def quality_focal(logits: Tensor, quality: Tensor) -> Tensor:
    """Return the cross-entropy to a soft target, weighted by the squared error of the score.

    Source: Li et al. 2020 (GFL), eq. 2.
    """
    weight = (quality - torch.sigmoid(logits.detach())).square()
    return weight * functional.binary_cross_entropy_with_logits(
        logits, quality, reduction="none"
    )


def detector_loss(
    cells: Cells, targets: CellTargets, count: Tensor
) -> dict[str, Tensor]:
    """Return the weighted losses by name and their sum as "total".

    Args:
        count: (2,): number of positive cells, and of annotated points of their faces, in the global
            batch.
    """
    positive = targets.face >= 0  # (B, P)
    # a separate tensor, since a CUDA graph cannot copy numbers to the device
    zero = torch.zeros_like(cells.logits, dtype=torch.float32)
    iou, giou = paired_iou(cells.boxes.float(), targets.boxes)
    # half for the face and half for the IoU, since early boxes are loose but still contain a face
    quality = torch.where(positive, 0.5 + 0.5 * iou.detach().clamp(0, 1), zero)
    score = (quality_focal(cells.logits.float(), quality) * targets.scored).sum()
    box = torch.where(positive, 1 - giou, zero).sum()
    points = point_losses(cells, targets).sum()
    cell_count, point_count = count.clamp(min=1).unbind()
    losses = {
        "score": score / cell_count,
        "box": BOX_WEIGHT * box / cell_count,
        "points": POINTS_WEIGHT * points / point_count,
    }
    return losses | {"total": torch.stack(list(losses.values())).sum()}


def point_losses(cells: Cells, targets: CellTargets) -> Tensor:
    """Return the smooth L1 error (B, P, 5) of each point in face sides; 0 if not annotated."""
    annotated = torch.isfinite(targets.five).all(-1)  # (B, P, 5)
    size = targets.boxes[..., 2:] - targets.boxes[..., :2]
    side = size.prod(-1).clamp(min=1.0).sqrt()[..., None, None]
    truth = torch.nan_to_num(targets.five)
    error = functional.smooth_l1_loss(
        cells.five.float() / side, truth / side, beta=SMOOTH, reduction="none"
    )
    return error.sum(-1) * annotated
