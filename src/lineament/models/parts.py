"""The 12 points of the parts of a face, boxes, and the mean shape fitted to them.

All points are (B, N, 2), pixels. A box is two corners (B, 2, 2). Depends on torch.
"""

from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn

from .layers.resample import (
    apply_affines,
    box_affines,
    crop_affines,
    fit_similarities,
    invert_similarities,
    sample,
)

CONTOUR = tuple(range(17))
INNER = tuple(range(17, 68))
PARTS: tuple[tuple[int, ...], ...] = (
    tuple(range(17, 22)),
    tuple(range(22, 27)),
    tuple(range(27, 36)),
    tuple(range(36, 42)),
    tuple(range(42, 48)),
    tuple(range(48, 68)),
)
"""ibug68 points of each part: brows, nose, eyes, mouth."""
ENDS: tuple[tuple[int, int], ...] = (
    (17, 21),
    (22, 26),
    (27, 33),
    (36, 39),
    (42, 45),
    (48, 54),
)
"""Both ends of each of PARTS, points of ibug68: ends of brows and of the nose's bridge and base,
corners of the eyes and the mouth. Equation 2 of the paper sums over two points per part, 12 in all.
"""
END_POINTS: tuple[int, ...] = tuple(chain.from_iterable(ENDS))
BOX_POINTS = {
    "face": slice(0, len(CONTOUR) + len(INNER)),
    "contour": slice(0, len(CONTOUR)),
    "inner": slice(len(CONTOUR), len(CONTOUR) + len(INNER)),
}
"""Points of each tight box, as slices; a list of indices would be copied to the GPU every step."""
BOX_AND_ENDS = 2 + len(END_POINTS)
"""Number of points that DPM-CNN predicts: two corners of a box and the ends of the parts."""
PART_MARGIN = 1.5
"""Side of a part's crop relative to the distance between its ends."""


@dataclass(frozen=True)
class PartOutput:
    """Output of a part network for B crops, pixels of the crop."""

    boxes: dict[str, Tensor]
    """Predicted corners (B, 2, 2) by name, a key of BOX_POINTS."""
    ends: Tensor
    """(B, 12, 2): the points END_POINTS."""
    landmarks: Tensor
    """(B, 68, 2)."""
    presence_logits: Tensor | None = None
    """(B,), if the network predicts presence."""
    trained: tuple[str, ...] = ()
    """Outputs of the network's last level: names of boxes, "ends" or "landmarks"."""

    def predicted(self) -> tuple[str, ...]:
        """Return the outputs of all levels, without landmarks that are only fitted."""
        names = [*self.boxes, "ends"]
        return tuple(dict.fromkeys([*names, *self.trained]))


def corners(landmarks: Tensor, name: str) -> Tensor:
    """Return the corners (B, 2, 2) of a tight box of 68 landmarks; `name` is in BOX_POINTS."""
    points = landmarks[:, BOX_POINTS[name]]
    return torch.stack([points.amin(1), points.amax(1)], dim=1)


def ends_of(landmarks: Tensor) -> Tensor:
    """Return the points END_POINTS (B, 12, 2) of 68 landmarks."""
    return torch.stack([landmarks[:, point] for point in END_POINTS], dim=1)


def box_and_ends(mean_shape: Tensor, name: str) -> Tensor:
    """Return the corners of a box and the ends of the parts (14, 2) of a mean shape (68, 2)."""
    mean = mean_shape[None]
    return torch.cat([corners(mean, name), ends_of(mean)], dim=1)[0]


def enlarged(box_corners: Tensor, margin: float) -> Tensor:
    """Return the boxes (B, 4) around corners (B, 2, 2) in any order, enlarged by `margin`."""
    low, high = box_corners.amin(1), box_corners.amax(1)
    center, half = (low + high) / 2, (high - low) / 2 * margin
    return torch.cat([center - half, center + half], dim=1)


def place_parts(mean_shape: Tensor, size: int) -> list[Tensor]:
    """Return the points (N, 2) of each part of a mean shape (68, 2), pixels of the part's crop.

    In its crop of `size` pixels, the ends of a part are level and centered, and PART_MARGIN of
    their distance fits.
    """
    center, half = (size - 1) / 2, size / PART_MARGIN / 2
    sign = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    placed = []
    for part, ends in zip(PARTS, ENDS, strict=True):
        to_crop = fit_similarities(mean_shape[None, list(ends)], center + half * sign)
        placed.append(apply_affines(to_crop, mean_shape[None, list(part)])[0])
    return placed


def part_affines(ends: Tensor, placed: Tensor) -> Tensor:
    """Return the affine matrices (B, 6, 2, 3) to the crop of each part, rotated like the part.

    Args:
        ends: (B, 12, 2).
        placed: (51, 2), the points of `place_parts`.
    """
    targets = torch.stack([placed[end - INNER[0]] for end in END_POINTS])
    return fit_similarities(ends.view(-1, len(ENDS), 2, 2), targets.view(-1, 2, 2))


def fit_contour(mean_shape: Tensor, name: str, box_corners: Tensor) -> Tensor:
    """Return the mean contour (B, 17, 2), translated and scaled to fit a box.

    Args:
        mean_shape: (68, 2).
        name: The box, a key of BOX_POINTS.
        box_corners: Its corners (B, 2, 2).
    """
    low, high = corners(mean_shape[None], name)[0].unbind()
    relative = (mean_shape[: len(CONTOUR)] - low) / (high - low)
    return box_corners[:, :1] + relative * (box_corners[:, 1:] - box_corners[:, :1])


def fit_parts(mean_shape: Tensor, ends: Tensor) -> Tensor:
    """Return the inner points (B, 51, 2): each part of the mean shape, fitted to its ends."""
    fitted = []
    for number, part in enumerate(PARTS):
        pair = ends[:, 2 * number : 2 * number + 2]
        first, last = ENDS[number]
        mean_pair = torch.stack([mean_shape[first], mean_shape[last]])
        to_mean = fit_similarities(pair, mean_pair)
        points = mean_shape[part[0] : part[-1] + 1].expand(ends.shape[0], -1, 2)
        fitted.append(apply_affines(invert_similarities(to_mean), points))
    return torch.cat(fitted, dim=1)


def place_in_crop(points: Tensor, box: Tensor, size: int) -> Tensor:
    """Transform points (N, 2) to the crop of `size` pixels around a box (4,)."""
    return apply_affines(box_affines(box[None], size), points[None])[0]


def entire_crop(size: int) -> Tensor:
    """Return the box (4,) of a crop of `size` pixels."""
    return torch.tensor([-0.5, -0.5, size - 0.5, size - 0.5])


def move_points(
    net: nn.Module, gray: Tensor, boxes: Tensor, size: int, start: Tensor
) -> Tensor:
    """Return points (B, N, 2) refined by a network that sees crops of boxes.

    Args:
        net: (B, 1, size, size) -> (B, 2 N), in tenths of its crop's side.
        gray: (B, 1, S, S).
        boxes: (B, 4); no gradient flows through them.
        size: Side of the network's crops.
        start: Points before the step (N, 2), pixels of the crop.
    """
    back = crop_affines(boxes, size)
    return move_in_crop(net, sample(gray, back, size), back, start)


def move_in_crop(net: nn.Module, crops: Tensor, back: Tensor, start: Tensor) -> Tensor:
    """Return points (B, N, 2) refined by a network; as `move_points`, with the crops.

    Args:
        crops: (B, 1, size, size).
        back: Affines (B, 2, 3) from the crops to the image.
    """
    return apply_affines(back, add_steps(start, net(crops), crops.shape[-1]))


def add_steps(start: Tensor, outputs: Tensor, side: int) -> Tensor:
    """Return points (B, N, 2): `start` (N, 2) plus `outputs` (B, 2 N), in tenths of `side`."""
    return start + outputs.view(outputs.shape[0], -1, 2) * side / 10
