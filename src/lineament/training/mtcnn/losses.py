"""Losses of MTCNN's networks: mined scores, boxes, five points. Depends on torch.

Source: Zhang et al. 2016, eq. 1 to 4 and section 3.3.
"""

import torch
from torch import Tensor
from torch.nn import functional

from ...models.mtcnn import WindowOutput

WEIGHTS = {
    "proposal": (1.0, 0.5, 0.5),
    "refine": (1.0, 0.5, 0.5),
    "output": (1.0, 0.5, 1.0),
}
"""Weights alpha of score, box and points in eq. 4."""


def window_counts(presence: Tensor, boxes: Tensor, landmarks: Tensor) -> Tensor:
    """Return the numbers (3,) of windows with targets for the score, the box and the points.

    Args:
        presence: (B,), 1 for a face, 0 for none, nan for windows without a score target. All nan
            targets together are beta of eq. 4.
        boxes: (B, 4), nan without a box target.
        landmarks: (B, 5, 2), nan without point targets.
    """
    annotated = [
        torch.isfinite(targets.flatten(1)).all(1) for targets in (boxes, landmarks)
    ]
    return torch.stack([torch.isfinite(presence), *annotated]).sum(1).float()


def window_losses(
    output: WindowOutput,
    presence: Tensor,
    boxes: Tensor,
    landmarks: Tensor,
    size: int,
    weights: tuple[float, float, float],
    hard_fraction: float,
    count: Tensor,
) -> dict[str, Tensor]:
    """Return the weighted losses by name and their sum as "total".

    Args:
        presence, boxes, landmarks: As for `window_counts`, pixels of the window.
        size: Side of the window, pixels, the unit of distances.
        weights: Weights of score, box and points.
        hard_fraction: Fraction of the windows, those with the largest losses, that train the score.
        count: (3,) of `window_counts` over the global batch.
    """
    values = score_losses(output.logits, presence)
    hard = is_hard(values, torch.isfinite(presence), hard_fraction)
    score = torch.where(hard, values, torch.zeros_like(values)).sum() / hard_fraction
    score_count, box_count, point_count = count.clamp(min=1).unbind()
    box = _sum_of_squares(output.boxes - boxes, size)
    points = _sum_of_squares((output.landmarks - landmarks).flatten(1), size)
    losses = {
        "score": weights[0] * score / score_count,
        "box": weights[1] * box / box_count,
        "points": weights[2] * points / point_count,
    }
    return losses | {"total": torch.stack(list(losses.values())).sum()}


def score_losses(logits: Tensor, presence: Tensor) -> Tensor:
    """Return the cross-entropy (B,) of each window, 0 if its presence is unknown."""
    losses = functional.binary_cross_entropy_with_logits(
        logits, torch.nan_to_num(presence), reduction="none"
    )
    return losses * torch.isfinite(presence)


def is_hard(losses: Tensor, is_labeled: Tensor, fraction: float) -> Tensor:
    """Return a mask (B,) of the `fraction` of labeled windows with the largest losses."""
    # unlabeled windows rank last
    order = torch.where(is_labeled, losses.detach(), -torch.ones_like(losses)).argsort(
        descending=True
    )
    # ranks rather than indices, whose number would differ between batches
    rank = order.argsort()
    return (rank < is_labeled.sum() * fraction) & is_labeled


def _sum_of_squares(difference_px: Tensor, size: int) -> Tensor:
    """Return the sum of squares of (B, K), in units of the window side, without rows with nan."""
    annotated = torch.isfinite(difference_px).all(1, keepdim=True)
    zero = torch.zeros_like(difference_px)
    return (torch.where(annotated, difference_px, zero) / size).square().sum()
