"""What the face detector is taught: score by quality focal loss, box by generalized IoU, direction by square error."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ...models.face_detector import Cells
from .targets import Targets


class DetectorLoss(NamedTuple):
    """Means over the cells that answer for a face."""

    score: Tensor
    box: Tensor
    direction: Tensor

    def weighted(self) -> Tensor:
        """The three, weighted; their sum is minimized."""
        return torch.stack([self.score, 2.0 * self.box, 0.5 * self.direction])


def paired_iou(boxes_a: Tensor, boxes_b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalized IoU of row with row: (K, 4) twice -> (K,) twice.    Source: Rezatofighi 2019, alg. 1."""
    inner = (
        torch.minimum(boxes_a[:, 2:], boxes_b[:, 2:])
        - torch.maximum(boxes_a[:, :2], boxes_b[:, :2])
    ).clamp(min=0)
    outer = torch.maximum(boxes_a[:, 2:], boxes_b[:, 2:]) - torch.minimum(
        boxes_a[:, :2], boxes_b[:, :2]
    )
    shared = inner.prod(1)
    union = (
        (boxes_a[:, 2:] - boxes_a[:, :2]).prod(1)
        + (boxes_b[:, 2:] - boxes_b[:, :2]).prod(1)
        - shared
    )
    iou = shared / union
    return iou, iou - (1 - union / outer.prod(1))


def quality_focal(logits: Tensor, quality: Tensor) -> Tensor:
    """Cross-entropy to a soft target, weighted by the square of the miss.    Source: Li et al. 2020 (GFL), eq. 2."""
    miss = (quality - torch.sigmoid(logits.detach())).square()
    return miss * functional.binary_cross_entropy_with_logits(logits, quality, reduction="none")


def detector_loss(
    cells: Cells,
    targets: Targets,
    boxes: list[Tensor],
    roll_deg: list[Tensor],
    roll_weight: list[Tensor],
) -> DetectorLoss:
    """The three means for a batch.

    boxes: (F, 4) pixels, roll_deg and roll_weight: (F,) for each picture; a weight of 0 leaves the direction free.
    """
    picture, cell = torch.nonzero(targets.face >= 0, as_tuple=True)
    starts = torch.tensor([0] + [len(b) for b in boxes[:-1]]).cumsum(0)
    face = starts[picture] + targets.face[picture, cell]
    truth = torch.cat(boxes)[face]  # (K, 4)
    iou, giou = paired_iou(cells.boxes[picture, cell].float(), truth)
    quality = torch.zeros_like(cells.logits, dtype=torch.float32)
    # half for being a face, half for the fit of the box, so that early, loose boxes are faces already
    quality[picture, cell] = 0.5 + 0.5 * iou.detach().clamp(0, 1)
    count = max(1, len(face))
    score = (quality_focal(cells.logits.float(), quality) * targets.counted).sum() / count
    roll = torch.deg2rad(torch.cat(roll_deg)[face])
    wanted = torch.stack([roll.cos(), roll.sin()], 1)
    weight = torch.cat(roll_weight)[face]
    direction = (weight * (cells.directions[picture, cell].float() - wanted).square().sum(1)).sum()
    return DetectorLoss(score, (1 - giou).sum() / count, direction / weight.sum().clamp(min=1))
