"""Refinement of the heatmaps of a frame by those of earlier frames.

Source: Yin et al. 2020, section 4.2. Depends on torch.
"""

import copy

import torch
from torch import Tensor, nn

from ..crop import source_cells
from ..errors import ExportError, RecipeError
from .export_form import ExportForm, exported_tensors
from .heads.attentive_1d import Attentive1D
from .heads.output import HeadOutput
from .heads.registry import rounding_px
from .landmark_net import LandmarkNet

WIDTH = 128
"""Channels of the memory; more than the number of points of most schemes."""
REACH_PX = 2.5
"""Crop pixels between the taps of a convolution, so that the receptive field is the
same for heatmaps of any length: 8 taps to each side, about 20 px."""


class Refinement(nn.Module):
    """Recurrent refinement of the heatmaps of a video, frame by frame.

    The memory is V of eq. 13: V_t = U_t + decay V_(t-1) with U = CNN3(E), so the weight of a frame
    is decay^(t - tau) and the size of the memory is constant. CNN4 of V is added to the heatmaps;
    with a `decay` of 0, nothing is added and the detector's heatmaps are unchanged.
    """

    def __init__(self, points: int, decay: float, stride: float) -> None:
        """Build the layers.

        Args:
            points: Number of landmarks, N.
            decay: Weight of a frame one frame later, from 0 to below 1.
            stride: Crop pixels per cell of the heatmaps.

        Raises:
            RecipeError: If `decay` is out of range.
        """
        super().__init__()
        if not 0 <= decay < 1:
            raise RecipeError(
                f"the decay of earlier frames is {decay}; "
                "expected at least 0 and below 1"
            )
        self.decay = decay
        dilation = max(1, round(REACH_PX / stride))
        self.encode_x = _axis_layers(points, WIDTH, dilation)
        self.encode_y = _axis_layers(points, WIDTH, dilation)
        self.decode_x = _axis_layers(WIDTH, points, dilation, last=True)
        self.decode_y = _axis_layers(WIDTH, points, dilation, last=True)

    def forward(
        self, maps_x: Tensor, maps_y: Tensor, memory: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Refine the heatmaps of one frame.

        Args:
            maps_x, maps_y: (B, N, L), along x and y.
            memory: (B, 2, WIDTH, L) of the previous frame; None, the same as zeros, for the
                first frame.

        Returns:
            The refined heatmaps along x and y, and the memory for the next frame.
        """
        now = torch.stack([self.encode_x(maps_x), self.encode_y(maps_y)], 1)
        if memory is not None:
            now = now + self.decay * memory
        if self.decay == 0:
            return maps_x, maps_y, now
        return maps_x + self.decode_x(now[:, 0]), maps_y + self.decode_y(now[:, 1]), now


class RefinedNet(nn.Module):
    """A frozen network with heatmaps along axes, and their trainable refinement."""

    def __init__(self, net: LandmarkNet, points: int, decay: float) -> None:
        """Freeze `net`.

        Raises:
            RecipeError: If its head has no maps along axes.
        """
        super().__init__()
        if not isinstance(net.head, Attentive1D):
            raise RecipeError(
                "only 1D heatmaps can be refined; set model.head = 'attentive1d' or "
                "'attentive1d-gaussian'"
            )
        self.net = net.requires_grad_(False)
        self.refine = Refinement(points, decay, net.head.stride)
        self.size = net.size
        self.cells = round(net.size / net.head.stride)
        """Cells of a heatmap, L."""

    def train(self, mode: bool = True) -> "RefinedNet":
        """Set the mode; the network's layers stay in evaluation mode."""
        super().train(mode)
        self.net.eval()
        # like the head's own heatmaps, refined ones are decoded by expectation in training
        self.net.head.training = mode
        return self

    def forward(self, crops: Tensor) -> HeadOutput:
        """Predict uint8 RGB crops (B, S, S, 3), each the first frame of its video."""
        return self.follow(crops, None)[0]

    def follow(self, crops: Tensor, memory: Tensor | None) -> tuple[HeadOutput, Tensor]:
        """Predict the next frame of B videos; return output and new memory."""
        return self.read(self.net.normalize(crops), memory)

    def read(self, x: Tensor, memory: Tensor | None) -> tuple[HeadOutput, Tensor]:
        """Predict normalized crops (B, 3, S, S); see `follow`."""
        with torch.no_grad():
            levels = self.net.levels(x)
        output, memory = self.refined(*self._maps(levels), memory)
        return self.net.with_presence(output, levels), memory

    @torch.no_grad()
    def detected(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the network's heatmaps (B, N, L) of normalized crops, without refinement."""
        return self._maps(self.net.levels(x))

    @torch.no_grad()
    def _maps(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        assert isinstance(self.net.head, Attentive1D)
        return self.net.head.maps(levels[0])

    def refined(
        self, maps_x: Tensor, maps_y: Tensor, memory: Tensor | None
    ) -> tuple[HeadOutput, Tensor]:
        """Refine and decode heatmaps (B, N, L); return output and new memory."""
        assert isinstance(self.net.head, Attentive1D)
        refined_x, refined_y, memory = self.refine(maps_x, maps_y, memory)
        return self.net.head.read(refined_x.float(), refined_y.float()), memory

    def for_export(self, int8: bool = False) -> ExportForm:
        """Return the export form.

        Raises:
            ExportError: If `int8` is set.
        """
        if int8:
            raise ExportError(
                "a recurrent model can only be exported in fp32; omit --int8"
            )
        return _RefinedForm(copy.deepcopy(self).eval())


class _RefinedForm(ExportForm):
    def __init__(self, model: RefinedNet) -> None:
        super().__init__(model.size, model.net.mean, model.net.std)
        self.model = model
        self.memory_shape = (2, WIDTH, model.cells)
        self.rounding_px = rounding_px(model.net.head)
        self.presence = model.net.presence is not None

    def forward(
        self, crops: Tensor, memory: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        output, memory = self.model.read(self.normalize(crops), memory)
        return *exported_tensors(output), memory


def moved_memory(memory: Tensor, scale: Tensor, shift: Tensor, size: int) -> Tensor:
    """Resample a memory at the cells of new crops; gradients flow through it.

    Args:
        memory: (B, 2, W, L), of the old crops.
        scale: (B,).
        shift: (B, 2): a point x of an old crop is at scale * x + shift in the new one.
        size: Side of the crops, pixels.
    """
    length = memory.shape[-1]
    positions = torch.arange(length, device=memory.device, dtype=torch.float32)
    low, high, weight = source_cells(
        positions, length, size, scale[:, None, None], shift[:, :, None]
    )  # each (B, 2, L)
    below, above = (
        memory.gather(-1, cells.long()[:, :, None].expand_as(memory))
        for cells in (low, high)
    )
    high_weight = weight[:, :, None].to(memory.dtype)
    resampled: Tensor = below * (1 - high_weight) + above * high_weight
    return resampled


def _axis_layers(
    channels_in: int, channels_out: int, spacing: int, last: bool = False
) -> nn.Sequential:
    """Build two convolutions along an axis, with taps `spacing` cells from each other.

    The last one of a decoder starts at 0, so that heatmaps are unchanged before training.
    """
    first = nn.Conv1d(channels_in, WIDTH, 5, padding=2 * spacing, dilation=spacing)
    second = nn.Conv1d(WIDTH, channels_out, 5, padding=2 * spacing, dilation=spacing)
    if last:
        nn.init.zeros_(second.weight)
        assert second.bias is not None
        nn.init.zeros_(second.bias)
        return nn.Sequential(first, nn.ReLU(), second)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU())
