"""Deep convolutional network cascade: three networks predict five points, two levels refine them.

Source: Sun, Wang, Tang 2013. Chosen here: later levels are trained around the predictions
of the frozen earlier levels, not around randomly perturbed annotations.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import RecipeError
from .cascade_form import cascade_form
from .export_form import ExportForm
from .heads.output import HeadOutput
from .layers.gray import to_gray
from .layers.local import AbsTanh, LocallySharedConv2d
from .layers.resample import crop_affines, sample

Layer = tuple[int, int, tuple[int, int]]
"""Kernel size, output channels, and the grid of regions that share weights."""
FACE: tuple[Layer, ...] = (
    (4, 20, (2, 2)),
    (3, 40, (2, 2)),
    (3, 60, (3, 3)),
    (2, 80, (2, 2)),
)
"""Layers of F1, whose input is 39 x 39: Sun et al. 2013, table 2."""
HALF: tuple[Layer, ...] = (
    (4, 20, (1, 1)),
    (3, 40, (2, 2)),
    (3, 60, (2, 3)),
    (2, 80, (1, 2)),
)
"""Layers of EN1 and NM1, whose input is 31 x 39."""
PATCH: tuple[Layer, ...] = ((4, 20, (1, 1)), (3, 40, (1, 1)))
"""Layers of levels 2 and 3, whose input is 15 x 15."""
FACE_SIDE, HALF_HEIGHT, PATCH_SIDE = 39, 31, 15
PATCH_HALF_SIDES = ((0.16, 0.18), (0.11, 0.12))
"""Half sides of a point's two patches at levels 2 and 3, in units of the face box side."""
UPPER, LOWER = (0, 1, 2), (2, 3, 4)
"""Indices of the points of EN1 (eyes and nose) and of NM1 (nose and mouth)."""


class ConvNet(nn.Module):
    """Locally shared convolutions with pooling, followed by two dense layers.

    Shape:
        Gray images (B, 1, H, W) -> (B, outputs).
    """

    def __init__(
        self, side: tuple[int, int], layers: Sequence[Layer], dense: int, outputs: int
    ) -> None:
        super().__init__()
        modules: list[nn.Module] = []
        channels_in, (height, width) = 1, side
        for number, (kernel, channels, regions) in enumerate(layers):
            # the last of four layers is not pooled
            pool = 2 if number < 3 else 1
            modules += [
                LocallySharedConv2d(channels_in, channels, kernel, regions),
                AbsTanh(channels, pool),
            ]
            height = (height - kernel + 1) // pool
            width = (width - kernel + 1) // pool
            channels_in = channels
        self.features = nn.Sequential(*modules)
        self.dense = nn.Linear(channels_in * height * width, dense)
        self.out = nn.Linear(dense, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        hidden = torch.tanh(self.dense(self.features(x).flatten(1))).abs()
        out: Tensor = self.out(hidden)
        return out.float()


class FirstLevel(nn.Module):
    """Three networks whose results are averaged per point."""

    def __init__(self) -> None:
        super().__init__()
        half = (HALF_HEIGHT, FACE_SIDE)
        self.face = ConvNet((FACE_SIDE, FACE_SIDE), FACE, 120, 10)
        self.upper = ConvNet(half, HALF, 100, 6)
        self.lower = ConvNet(half, HALF, 100, 6)

    def forward(self, faces: Tensor) -> Tensor:
        """Return five points (B, 5, 2) of gray faces (B, 1, 39, 39).

        They are relative to the center of the face, in units of the face side.
        """
        face = self.face(faces).view(-1, 5, 2)
        upper = self.upper(faces[:, :, :HALF_HEIGHT]).view(-1, 3, 2)
        lower = self.lower(faces[:, :, -HALF_HEIGHT:]).view(-1, 3, 2)
        eyes = (face[:, :2] + upper[:, :2]) / 2
        nose = (face[:, 2:3] + upper[:, 2:] + lower[:, :1]) / 3
        mouth = (face[:, 3:] + lower[:, 1:]) / 2
        return torch.cat([eyes, nose, mouth], dim=1)


class Refinement(nn.Module):
    """Two networks per point, on patches of two sizes, whose results are averaged."""

    def __init__(self, half_sides: tuple[float, float]) -> None:
        super().__init__()
        self.half_sides = half_sides
        side = (PATCH_SIDE, PATCH_SIDE)
        nets = [ConvNet(side, PATCH, 60, 2) for _ in range(5 * len(half_sides))]
        for net in nets:
            # an untrained network does not move the points
            nn.init.zeros_(net.out.weight)
            nn.init.zeros_(net.out.bias)
        self.nets = nn.ModuleList(nets)

    def forward(self, gray: Tensor, landmarks: Tensor, side: float) -> Tensor:
        """Return the refined points (B, 5, 2).

        Args:
            gray: Crops, (B, 1, S, S).
            landmarks: (B, 5, 2), pixels of the crop.
            side: Side of the face's box, pixels of the crop.
        """
        refined = []
        for point in range(5):
            center = landmarks[:, point].detach()
            steps = []
            for number, half_side in enumerate(self.half_sides):
                half = half_side * side
                boxes = torch.cat([center - half, center + half], dim=1)
                to_crop = crop_affines(boxes, PATCH_SIDE)
                patch = sample(gray, to_crop, PATCH_SIDE)
                net = self.nets[len(self.half_sides) * point + number]
                steps.append(net(patch) * 2 * half)
            refined.append(landmarks[:, point] + torch.stack(steps).mean(0))
        return torch.stack(refined, dim=1)


class ConvCascade(nn.Module):
    """Cascade of convolutional networks that predicts a HeadOutput of five points.

    Takes uint8 RGB crops (B, S, S, 3).

    Args:
        size: Side S of the crop.
        padding: Side of the crop as a multiple of the longer side of the face's box.
        levels: 1 to 3.

    Raises:
        RecipeError: If there are not 1 to 3 levels.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, size: int, padding: float, levels: int) -> None:
        super().__init__()
        if not 1 <= levels <= 1 + len(PATCH_HALF_SIDES):
            raise RecipeError(
                f"the cascade has {levels} levels; expected 1 to {1 + len(PATCH_HALF_SIDES)}"
            )
        self.size, self.side = size, size / padding
        # parts that keep their random weights if the loaded weights lack them
        self.new_parts = ["log_variance"]
        if levels > 1:
            self.new_parts.append(f"refinements.{levels - 2}")
        self.first = FirstLevel()
        self.refinements = nn.ModuleList(
            [Refinement(sides) for sides in PATCH_HALF_SIDES[: levels - 1]]
        )
        # one variance per point, since the paper's networks predict none
        self.log_variance = nn.Parameter(torch.zeros(5))
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 128.0))
        self.register_buffer("std", torch.full((1, 3, 1, 1), 64.0))

    def forward(self, crops: Tensor) -> HeadOutput:
        """Predict uint8 RGB crops (B, S, S, 3)."""
        return self.align((crops.permute(0, 3, 1, 2).float() - self.mean) / self.std)

    def align(self, pixels: Tensor) -> HeadOutput:
        """Predict normalized crops (B, 3, S, S)."""
        gray = to_gray(pixels)
        middle = (self.size - 1) / 2
        half = self.side / 2
        box = gray.new_tensor([[middle - half] * 2 + [middle + half] * 2])
        to_crop = crop_affines(box, FACE_SIDE)
        faces = sample(gray, to_crop.expand(gray.shape[0], -1, -1), FACE_SIDE)
        landmarks = self.first(faces) * self.side + middle
        for refinement in self.refinements:
            landmarks = refinement(gray, landmarks, self.side)
        variance = self.log_variance.exp() * (self.size / 100) ** 2
        return HeadOutput(landmarks, variance.expand(gray.shape[0], -1))

    def for_export(self, int8: bool = False) -> ExportForm:
        """Return the export form.

        Raises:
            RecipeError: If `int8` is set.
        """
        return cascade_form(self, int8)
