"""Losses of MTCNN's networks: scores of hard windows, boxes, five points. Depends on torch.

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
    """Return the numbers (3,) of windows that train the score, the box and the points.

    Args:
        presence: (B,), 1 for a face, 0 for none, nan for windows that train no score; it is beta
            of eq. 4, as are the other nans.
        boxes: (B, 4), nan if no box is trained.
        landmarks: (B, 5, 2), nan if no points are trained.
    """
    known = [torch.isfinite(each.flatten(1)).all(1) for each in (boxes, landmarks)]
    return torch.stack([torch.isfinite(presence), *known]).sum(1).float()


def window_losses(
    output: WindowOutput,
    presence: Tensor,
    boxes: Tensor,
    landmarks: Tensor,
    size: int,
    weights: tuple[float, float, float],
    hard_share: float,
    count: Tensor,
) -> dict[str, Tensor]:
    """Return the weighted losses by name and their sum as "total".

    Args:
        presence, boxes, landmarks: As for `window_counts`, pixels of the window.
        size: Side of the window, pixels, in which distances count.
        weights: Of score, box and points.
        hard_share: Share of the windows with the largest losses that train the score.
        count: (3,) of `window_counts` over the global batch.
    """
    each = score_losses(output.logits, presence)
    hard = is_hard(each, torch.isfinite(presence), hard_share)
    score = torch.where(hard, each, torch.zeros_like(each)).sum() / hard_share
    scored, boxed, pointed = count.clamp(min=1).unbind()
    box = _sum_of_squares(output.boxes - boxes, size)
    points = _sum_of_squares((output.landmarks - landmarks).flatten(1), size)
    losses = {
        "score": weights[0] * score / scored,
        "box": weights[1] * box / boxed,
        "points": weights[2] * points / pointed,
    }
    return losses | {"total": torch.stack(list(losses.values())).sum()}


def score_losses(logits: Tensor, presence: Tensor) -> Tensor:
    """Return the cross-entropy (B,) of each window, 0 if its presence is unknown."""
    each = functional.binary_cross_entropy_with_logits(
        logits, torch.nan_to_num(presence), reduction="none"
    )
    return each * torch.isfinite(presence)


def is_hard(losses: Tensor, known: Tensor, share: float) -> Tensor:
    """Return which windows (B,) are among the `share` of the known ones with the largest losses."""
    # unknown ones rank last
    order = torch.where(known, losses.detach(), -torch.ones_like(losses)).argsort(
        descending=True
    )
    # the rank of each, since a choice of rows has another shape in every batch
    rank = order.argsort()
    return (rank < known.sum() * share) & known


def _sum_of_squares(difference_px: Tensor, size: int) -> Tensor:
    """Return the sum of the squares of (B, K) in sides of the window, rows with nan left out."""
    known = torch.isfinite(difference_px).all(1, keepdim=True)
    zero = torch.zeros_like(difference_px)
    return (torch.where(known, difference_px, zero) / size).square().sum()
