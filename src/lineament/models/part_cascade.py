"""Cascade of an outer and an inner branch that starts from DPM-CNN. Depends on torch.

Source: Sun et al. 2020, figure 2 and sections 2.4, 2.5. The paper's output is a softmax over 28
coordinates, which would have to add up to 1; here it is linear, offsets from the mean positions.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import RecipeError
from .cascade_form import cascade_form
from .dpm_cnn import (
    CONTOUR_CHANNELS,
    FACE_SIDE,
    PART_CHANNELS,
    DpmCnn,
    PlainNet,
    zero_init,
)
from .export_form import ExportForm
from .heads.output import HeadOutput
from .layers.gray import to_gray
from .layers.pooled_prelu import pool_before_prelu
from .layers.resample import (
    apply_affines,
    crop_affines,
    invert_similarities,
    sample,
    sample_several,
)
from .parts import (
    BOX_AND_ENDS,
    CONTOUR,
    PARTS,
    PartOutput,
    add_steps,
    box_and_ends,
    corners,
    enlarged,
    entire_crop,
    fit_contour,
    fit_parts,
    move_in_crop,
    move_points,
    part_affines,
    place_in_crop,
    place_parts,
)
from .vgg import VggNet

BRANCH_SIDE, PART_SIDE = 96, 48
"""Input sides of the networks of levels 2 and 3, pixels."""
MARGIN = 1.2
"""Crop side relative to the box side."""
VARIANCE_GAIN = 10.0
"""Factor of the learned log variances, which a learning rate of 1e-4 alone would hardly move."""
LEVELS: tuple[tuple[str, ...], ...] = (
    (),
    ("contour_box", "inner", "contour_start", "inner_start"),
    ("contour", "parts", "contour_points", "part_points"),
)
"""Parts that each level adds to the network of the previous level."""


class PartCascade(nn.Module):
    """Predict a HeadOutput of 68 points from uint8 RGB crops (B, S, S, 3), in up to three levels.

    Level 1 predicts the box of the face and the 12 part ends. Level 2 predicts the boxes of the
    contour and of the inner points, and the 12 part ends again. Level 3 predicts all points.
    Points that a level does not predict come from the mean shape, fitted to its boxes and ends.
    """

    mean: Tensor
    std: Tensor
    mean_shape: Tensor
    from_face_crop: Tensor
    face_start: Tensor
    contour_start: Tensor
    inner_start: Tensor
    contour_points: Tensor
    part_points: Tensor
    part_of_point: Tensor

    def __init__(
        self,
        mean_shape: Tensor,
        size: int,
        levels: int,
        width: float = 1.0,
        contour_width: float = 1.0,
        pool_first: bool = False,
    ) -> None:
        """Build the network with random weights.

        Args:
            mean_shape: (68, 2), pixels of the crop.
            size: Side S of the crop.
            levels: 1 to 3.
            width: Channels, as a fraction of the paper's.
            contour_width: Channels of Light-VGGNet, the most costly part, as a fraction.
            pool_first: Max pooling before PReLU instead of after it, which is faster.

        Raises:
            RecipeError: If there are not 1 to 3 levels.
        """
        super().__init__()
        if not 1 <= levels <= len(LEVELS):
            raise RecipeError(
                f"the cascade has {levels} levels; expected 1 to {len(LEVELS)}"
            )
        self.size, self.levels = size, levels
        self.new_parts = LEVELS[levels - 1]
        self.register_buffer("mean_shape", mean_shape.float())
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 128.0))
        self.register_buffer("std", torch.full((1, 3, 1, 1), 64.0))
        self.log_variance = nn.Parameter(torch.zeros(len(mean_shape)))
        self.face = DpmCnn(FACE_SIDE, 2 * BOX_AND_ENDS, width)
        start = box_and_ends(self.mean_shape, "face")
        entire = entire_crop(size)
        self.register_buffer("face_start", place_in_crop(start, entire, FACE_SIDE))
        back = crop_affines(entire[None], FACE_SIDE)
        self.register_buffer("from_face_crop", back, persistent=False)
        if levels > 1:
            self._set_branches(width)
        if levels > 2:
            self._set_refiners(width, contour_width)
        if pool_first:
            pool_before_prelu(self)

    def _set_branches(self, width: float) -> None:
        """Build the networks of level 2, which see the box of the face."""
        self.contour_box = PlainNet(BRANCH_SIDE, CONTOUR_CHANNELS, 2, 4, width)
        self.inner = DpmCnn(BRANCH_SIDE, 2 * BOX_AND_ENDS, width)
        mean = self.mean_shape[None]
        crop_box = enlarged(corners(mean, "face"), MARGIN)[0]
        contour = corners(mean, "contour")[0]
        inner = box_and_ends(self.mean_shape, "inner")
        for name, start in (("contour_start", contour), ("inner_start", inner)):
            self.register_buffer(name, place_in_crop(start, crop_box, BRANCH_SIDE))

    def _set_refiners(self, width: float, contour_width: float) -> None:
        """Build the networks of level 3, which see the box of the contour and the parts."""
        outputs = 2 * len(CONTOUR)
        self.contour = VggNet("light-vggnet", 1, BRANCH_SIDE, outputs, contour_width)
        zero_init(self.contour.out)
        nets = []
        for part in PARTS:
            nets.append(PlainNet(PART_SIDE, PART_CHANNELS, 1, 2 * len(part), width))
        self.parts = nn.ModuleList(nets)
        crop_box = enlarged(corners(self.mean_shape[None], "contour"), MARGIN)[0]
        start = place_in_crop(self.mean_shape[: len(CONTOUR)], crop_box, BRANCH_SIDE)
        self.register_buffer("contour_points", start)
        placed = torch.cat(place_parts(self.mean_shape, PART_SIDE))
        self.register_buffer("part_points", placed)
        part_of_point = torch.repeat_interleave(torch.tensor([*map(len, PARTS)]))
        self.register_buffer("part_of_point", part_of_point, persistent=False)

    def subnetworks(self) -> list[tuple[DpmCnn | PlainNet | VggNet, int]]:
        """Return the networks of all levels with the sides of their crops, pixels."""
        networks: list[tuple[DpmCnn | PlainNet | VggNet, int]] = [
            (self.face, FACE_SIDE)
        ]
        if self.levels > 1:
            networks += [(self.contour_box, BRANCH_SIDE), (self.inner, BRANCH_SIDE)]
        if self.levels > 2:
            networks.append((self.contour, BRANCH_SIDE))
            networks += [(net, PART_SIDE) for net in self.parts]  # type: ignore[misc]
        return networks

    def forward(self, crops: Tensor) -> HeadOutput:
        """Predict uint8 RGB crops (B, S, S, 3)."""
        return self.head(self.run(crops))

    def run(self, crops: Tensor) -> PartOutput:
        """Return boxes, points of parts and landmarks of uint8 RGB crops (B, S, S, 3)."""
        pixels = (crops.permute(0, 3, 1, 2).float() - self.mean) / self.std
        return self._find(to_gray(pixels))

    def align(self, pixels: Tensor) -> HeadOutput:
        """Predict normalized crops (B, 3, S, S)."""
        return self.head(self._find(to_gray(pixels)))

    def head(self, output: PartOutput) -> HeadOutput:
        """Return the landmarks with their variances, one constant per point."""
        variance = (VARIANCE_GAIN * self.log_variance).exp() * (self.size / 100) ** 2
        return HeadOutput(
            output.landmarks, variance.expand(output.landmarks.shape[0], -1)
        )

    def _find(self, gray: Tensor) -> PartOutput:
        # faster than sampling the entire crop
        resized = F.interpolate(gray, FACE_SIDE, mode="bilinear", align_corners=False)
        points = move_in_crop(self.face, resized, self.from_face_crop, self.face_start)
        boxes, ends = {"face": points[:, :2]}, points[:, 2:]
        trained: tuple[str, ...] = ("face", "ends")
        if self.levels > 1:
            crop_boxes = enlarged(boxes["face"], MARGIN)
            back = crop_affines(crop_boxes, BRANCH_SIDE)
            crops = sample(gray, back, BRANCH_SIDE)
            boxes["contour"] = move_in_crop(
                self.contour_box, crops, back, self.contour_start
            )
            points = move_in_crop(self.inner, crops, back, self.inner_start)
            boxes["inner"], ends = points[:, :2], points[:, 2:]
            trained = ("contour", "inner", "ends")
        if self.levels < len(LEVELS):
            box = "face" if self.levels == 1 else "contour"
            contour = fit_contour(self.mean_shape, box, boxes[box])
            inner = fit_parts(self.mean_shape, ends)
        else:
            crop_boxes = enlarged(boxes["contour"], MARGIN)
            contour = move_points(
                self.contour, gray, crop_boxes, BRANCH_SIDE, self.contour_points
            )
            inner = self._move_parts(gray, ends)
            trained = ("landmarks",)
        landmarks = torch.cat([contour, inner], dim=1)
        return PartOutput(boxes, ends, landmarks, trained=trained)

    def _move_parts(self, gray: Tensor, ends: Tensor) -> Tensor:
        """Return the inner points (B, 51, 2), refined by the network of each part."""
        back = invert_similarities(part_affines(ends, self.part_points).detach())
        crops = sample_several(gray, back, PART_SIDE)
        outputs = [net(crop) for net, crop in zip(self.parts, crops, strict=True)]
        placed = add_steps(self.part_points, torch.cat(outputs, dim=1), PART_SIDE)
        return apply_affines(back[:, self.part_of_point], placed[:, :, None])[:, :, 0]

    def for_export(self, int8: bool = False) -> ExportForm:
        """Return the export form.

        Raises:
            RecipeError: If `int8` is set.
        """
        return cascade_form(self, int8)
