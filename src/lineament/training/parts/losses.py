"""Losses of boxes, part ends and landmarks in face widths. Depends on torch.

Source: Sun et al. 2020, eq. 2.
"""

import torch
from torch import Tensor

from ...models.parts import PartOutput, corners, ends_of
from ..losses import mean_present, present

MIN_WIDTH_PX = 1.0
"""Minimum width of a face, crop pixels, as a divisor."""


def is_complete(landmarks: Tensor) -> Tensor:
    """Return a mask (B,) of the faces with all landmarks (B, 68, 2)."""
    return present(landmarks).all(1)


def part_losses(
    output: PartOutput, landmarks: Tensor, part_weight: float, count: Tensor
) -> dict[str, Tensor]:
    """Return the weighted losses by name of the outputs of the network's last level.

    Each is the mean over faces of a sum of distances, divided by the face's width.

    Args:
        output: Output of the network.
        landmarks: (B, 68, 2), pixels of the crop; faces with nan are excluded.
        part_weight: Weight lambda of the part ends; 0 disables their loss.
        count: (): number of complete faces, which sums are divided by.
    """
    complete = is_complete(landmarks)
    truth = torch.where(complete[:, None, None], landmarks, 0.0)
    face = corners(truth, "face")
    width = (face[:, 1, 0] - face[:, 0, 0]).clamp(min=MIN_WIDTH_PX)

    def mean_distance(predicted: Tensor, target: Tensor) -> Tensor:
        # the square root has no finite gradient at 0
        squared = (predicted - target).square().sum(-1) + 1e-6
        return mean_present(squared.sqrt().sum(1) / width, complete, count)

    losses: dict[str, Tensor] = {}
    for name in output.trained:
        if name in output.boxes:
            target = corners(truth, name)
            losses[f"{name}_box"] = mean_distance(output.boxes[name], target)
    if "ends" in output.trained and part_weight:
        distance = mean_distance(output.ends, ends_of(truth))
        losses["parts"] = part_weight * distance
    if "landmarks" in output.trained:
        losses["landmarks"] = mean_distance(output.landmarks, truth)
    return losses
