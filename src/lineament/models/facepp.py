"""Face++'s coarse-to-fine cascade: boxes, points, parts, rotated parts; a separate contour.

Source: Zhou, Fan, Cao, Jiang, Yin 2013. The survey does not state the sizes of the
networks (NETWORK) and the margins of crops; they are chosen here, and boxes are predicted by
translating and scaling a mean shape.
"""

import torch
from torch import Tensor, nn

from ..errors import RecipeError
from .cascade_form import cascade_form
from .dcnn import ConvNet, Layer
from .export_form import ExportForm
from .heads.output import HeadOutput
from .layers.gray import to_gray
from .layers.resample import (
    apply_affines,
    box_affines,
    crop_affines,
    fit_similarities,
    invert_similarities,
    sample,
)
from .parts import CONTOUR, INNER, PARTS

INPUT = 60
"""Input side of each network, pixels."""
NETWORK: tuple[Layer, ...] = (
    (5, 20, (1, 1)),
    (3, 40, (1, 1)),
    (3, 60, (1, 1)),
    (3, 80, (1, 1)),
)
"""Kernel size, channels and regions of the convolutions of each network."""
DENSE = 120
MARGIN = 1.2
"""Crop side relative to the box side, for the face and its contour."""
PART_MARGIN = 1.6
"""Crop side relative to the box side, for a part."""
LEVELS = {
    "boxes": ("inner_box", "contour_box"),
    "points": ("inner", "contour"),
    "parts": ("parts",),
    "turned parts": ("turned",),
}
"""Networks of each level, as attributes of CoarseToFine."""


def network(points: int) -> ConvNet:
    """Return a network with 2 x `points` outputs, which are 0 before training."""
    net = ConvNet((INPUT, INPUT), NETWORK, DENSE, 2 * points)
    nn.init.zeros_(net.out.weight)
    nn.init.zeros_(net.out.bias)
    return net


def enlarged_boxes(landmarks: Tensor, margin: float) -> Tensor:
    """Return the tight boxes (B, 4) of landmarks (B, N, 2), enlarged by `margin`."""
    low, high = landmarks.amin(1), landmarks.amax(1)
    center, half = (low + high) / 2, (high - low) / 2 * margin
    return torch.cat([center - half, center + half], dim=1)


class Step(nn.Module):
    """A network that refines some landmarks in a crop around them."""

    upright: Tensor

    def __init__(
        self, points: int, margin: float, upright: Tensor | None = None
    ) -> None:
        """Build the network.

        Args:
            points: Number of landmarks.
            margin: Crop side relative to the side of their box.
            upright: (N, 2): pose to which the crop is rotated; None: no rotation.
        """
        super().__init__()
        self.net, self.margin = network(points), margin
        self.turns = upright is not None
        if upright is not None:
            # scaled to a box of the input's size
            low, high = upright.amin(0), upright.amax(0)
            side = (high - low).max() * margin
            pose = (upright - (low + high) / 2) / side * INPUT + (INPUT - 1) / 2
            self.register_buffer("upright", pose.float())

    def forward(self, gray: Tensor, landmarks: Tensor) -> Tensor:
        """Return refined landmarks (B, N, 2) in gray crops (B, 1, S, S)."""
        before = landmarks.detach()
        if self.turns:
            to_input = fit_similarities(before, self.upright)
        else:
            to_input = box_affines(enlarged_boxes(before, self.margin), INPUT)
        back = invert_similarities(to_input)
        steps = self.net(sample(gray, back, INPUT)).view(gray.shape[0], -1, 2)
        refined = apply_affines(to_input, landmarks) + steps * INPUT / 4
        return apply_affines(back, refined)


class BoxStep(nn.Module):
    """A network that translates and scales a mean shape to fit the box of some landmarks."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network(2)

    def forward(self, gray: Tensor, landmarks: Tensor) -> Tensor:
        """Return landmarks (B, N, 2), translated and scaled along both axes."""
        full = gray.new_tensor([[0.0, 0, gray.shape[3] - 1, gray.shape[2] - 1]])
        to_crop = crop_affines(full, INPUT)
        crops = sample(gray, to_crop.expand(gray.shape[0], -1, -1), INPUT)
        out = self.net(crops).view(-1, 2, 2)
        box = enlarged_boxes(landmarks, 1.0)
        center = ((box[:, :2] + box[:, 2:]) / 2)[:, None]
        side = (box[:, 2:] - box[:, :2])[:, None]
        shift, scale = out[:, :1] * side / 4, (out[:, 1:] / 4).exp()
        refined: Tensor = center + shift + (landmarks - center) * scale
        return refined


class CoarseToFine(nn.Module):
    """Coarse-to-fine cascade that predicts a HeadOutput of 68 points.

    Takes uint8 RGB crops (B, S, S, 3).

    Args:
        mean_shape: (68, 2), pixels of the crop.
        size: Side S of the crop.
        levels: Number of levels of the inner points, at most 4; the contour has two.

    Raises:
        RecipeError: If there are not 1 to 4 levels.
    """

    mean: Tensor
    std: Tensor
    mean_shape: Tensor

    def __init__(self, mean_shape: Tensor, size: int, levels: int) -> None:
        super().__init__()
        if not 1 <= levels <= len(LEVELS):
            raise RecipeError(
                f"the cascade has {levels} levels; expected 1 to {len(LEVELS)}"
            )
        self.size, self.levels = size, levels
        # parts that keep their random weights if the loaded weights lack them
        self.new_parts = [*list(LEVELS.values())[levels - 1], "log_variance"]
        self.inner_box, self.contour_box = BoxStep(), BoxStep()
        if levels > 1:
            self.inner = Step(len(INNER), MARGIN)
            self.contour = Step(len(CONTOUR), MARGIN)
        if levels > 2:
            self.parts = nn.ModuleList([Step(len(part), PART_MARGIN) for part in PARTS])
        if levels > 3:
            self.turned = nn.ModuleList(
                [Step(len(p), PART_MARGIN, mean_shape[list(p)]) for p in PARTS]
            )
        self.log_variance = nn.Parameter(torch.zeros(len(mean_shape)))
        self.register_buffer("mean_shape", mean_shape.float())
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 128.0))
        self.register_buffer("std", torch.full((1, 3, 1, 1), 64.0))

    def forward(self, crops: Tensor) -> HeadOutput:
        """Predict uint8 RGB crops (B, S, S, 3)."""
        return self.align((crops.permute(0, 3, 1, 2).float() - self.mean) / self.std)

    def align(self, pixels: Tensor) -> HeadOutput:
        """Predict normalized crops (B, 3, S, S)."""
        gray = to_gray(pixels)
        first = self.mean_shape.expand(gray.shape[0], -1, 2)
        contour = self.contour_box(gray, first[:, : len(CONTOUR)])
        inner = self.inner_box(gray, first[:, len(CONTOUR) :])
        if self.levels > 1:
            contour = self.contour(gray, contour)
            inner = self.inner(gray, inner)
        if self.levels > 2:
            inner = _move_parts(self.parts, gray, inner)
        if self.levels > 3:
            inner = _move_parts(self.turned, gray, inner)
        landmarks = torch.cat([contour, inner], dim=1)
        variance = self.log_variance.exp() * (self.size / 100) ** 2
        return HeadOutput(landmarks, variance.expand(gray.shape[0], -1))

    def for_export(self, int8: bool = False) -> ExportForm:
        """Return the export form.

        Raises:
            RecipeError: If `int8` is set.
        """
        return cascade_form(self, int8)


def _move_parts(steps: nn.ModuleList, gray: Tensor, inner: Tensor) -> Tensor:
    """Return the inner points (B, 51, 2), refined by the network of each part."""
    refined = []
    for part, step in zip(PARTS, steps, strict=True):
        start = part[0] - len(CONTOUR)
        refined.append(step(gray, inner[:, start : start + len(part)]))
    return torch.cat(refined, dim=1)
