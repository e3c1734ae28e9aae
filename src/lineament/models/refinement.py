"""Heatmaps of a frame, refined by those of the frames before it: the tracker of attentive 1D heatmaps.

Stands on torch. Source: Yin et al. 2020, section 4.2.
"""

import torch
from torch import Tensor, nn

from ..crop import old_cells
from ..errors import RecipeError
from .heads.attentive_1d import Attentive1D
from .heads.output import HeadOutput
from .landmark_net import LandmarkNet

WIDTH = 128
"""Channels of what is remembered of a frame: more than most schemes have points."""
REACH_PX = 2.5
"""About so far, in pixels of the crop, the taps of a convolution are apart, so that heatmaps of any length are seen as
widely: 8 taps to each side, some 20 px."""


class Refinement(nn.Module):
    """Heatmaps of the frames of a video, in order -> the same, refined by what was there before.

    What is remembered is V of eq. 13, V_t = U_t + fade V_(t-1) with U = CNN3(E): the sum over all frames before, each
    with fade^(t - tau), whose size does not grow. What CNN4 makes of V is added to the heatmaps; with a `fade` of 0
    nothing is, so that what the detector says stands.    cell: crop pixels a cell of the heatmaps.
    Raises: RecipeError for a fade out of range.
    """

    def __init__(self, points: int, fade: float, cell: float) -> None:
        super().__init__()
        if not 0 <= fade < 1:
            raise RecipeError(f"the fade of the past is {fade}; wanted 0 to below 1")
        self.decay = fade
        apart = max(1, round(REACH_PX / cell))
        self.encode_x, self.encode_y = (_axis_layers(points, WIDTH, apart) for _ in range(2))
        self.decode_x, self.decode_y = (
            _axis_layers(WIDTH, points, apart, last=True) for _ in range(2)
        )

    def forward(
        self, maps_x: Tensor, maps_y: Tensor, memory: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The refined heatmaps along x and y (B, N, L), and the memory (B, 2, WIDTH, L) for the next frame.

        memory: what the frame before gave; None, as zeros, before the first.
        """
        now = torch.stack([self.encode_x(maps_x), self.encode_y(maps_y)], 1)
        if memory is not None:
            now = now + self.decay * memory
        if self.decay == 0:
            return maps_x, maps_y, now
        return maps_x + self.decode_x(now[:, 0]), maps_y + self.decode_y(now[:, 1]), now


class RefinedNet(nn.Module):
    """A network with an attentive1d head, which learns no more, and the refinement of its heatmaps.

    Raises: RecipeError where the head is another one.
    """

    def __init__(self, net: LandmarkNet, points: int, fade: float) -> None:
        super().__init__()
        if not isinstance(net.head, Attentive1D):
            raise RecipeError(
                "only heatmaps along axes are refined; set model.head = 'attentive1d' or its gaussian"
            )
        self.net = net.requires_grad_(False)
        self.refine = Refinement(points, fade, net.head.stride)
        self.size = net.size
        self.cells = round(net.size / net.head.stride)
        """Of a heatmap."""

    def train(self, mode: bool = True) -> "RefinedNet":
        """As of any module, but that the network stays as it is when it predicts."""
        super().train(mode)
        self.net.eval()
        self.net.head.training = (
            mode  # what it reads of refined heatmaps is trained as of its own: the expectation
        )
        return self

    def forward(self, crops: Tensor) -> HeadOutput:
        """uint8 RGB crops (B, S, S, 3), each the first of its video -> HeadOutput."""
        return self.follow(crops, None)[0]

    def follow(self, crops: Tensor, memory: Tensor | None) -> tuple[HeadOutput, Tensor]:
        """Crops of the next frame of B videos, and what was remembered before -> HeadOutput and what to remember."""
        return self.read(self.net.normalize(crops), memory)

    def read(self, x: Tensor, memory: Tensor | None) -> tuple[HeadOutput, Tensor]:
        """As `follow`, of normalized pictures (B, 3, S, S)."""
        return self.refined(*self.detected(x), memory)

    @torch.no_grad()
    def detected(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The detector's heatmaps (B, N, L) of normalized pictures (B, 3, S, S)."""
        assert isinstance(self.net.head, Attentive1D)
        return self.net.head.maps(self.net.levels(x)[0])

    def refined(
        self, maps_x: Tensor, maps_y: Tensor, memory: Tensor | None
    ) -> tuple[HeadOutput, Tensor]:
        """As `follow`, of the detector's heatmaps (B, N, L)."""
        assert isinstance(self.net.head, Attentive1D)
        refined_x, refined_y, memory = self.refine(maps_x, maps_y, memory)
        return self.net.head.read(refined_x.float(), refined_y.float()), memory


def moved_memory(memory: Tensor, scale: Tensor, shift: Tensor, size: int) -> Tensor:
    """The memory (B, 2, W, L) at the cells of crops to which a point of the old ones comes at scale x + shift.

    scale: (B,).    shift: (B, 2).    size: side of the crops. The same as `Memory.seen_by`, with gradients.
    """
    length = memory.shape[-1]
    here = torch.arange(length, device=memory.device, dtype=torch.float32)
    cells = old_cells(here, length, size, scale[:, None, None], shift[:, :, None]).clamp(
        0, length - 1
    )  # (B, 2, L)
    low = cells.floor()
    rest = (cells - low)[:, :, None].to(memory.dtype)
    low = low.long()
    high = (low + 1).clamp(max=length - 1)
    a, b = (memory.gather(-1, index[:, :, None].expand_as(memory)) for index in (low, high))
    moved: Tensor = a * (1 - rest) + b * rest
    return moved


def between(before: Tensor, now: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The scale (B,) and shift (B, 2) for `moved_memory`, by two points (B, 2, 2) as each of two crops shows them."""
    old, new = (points[:, 1] - points[:, 0] for points in (before, now))
    # the similarity through both, as a complex number: turn and scale
    lengths = old.square().sum(-1)
    real = (old * new).sum(-1) / lengths
    imaginary = (old[:, 0] * new[:, 1] - old[:, 1] * new[:, 0]) / lengths
    scale = torch.hypot(real, imaginary)
    middle = (size - 1) / 2
    x, y = (middle - before[:, 0]).unbind(-1)
    there = now[:, 0] + torch.stack([real * x - imaginary * y, imaginary * x + real * y], -1)
    return scale, there - scale[:, None] * middle


def _axis_layers(
    channels_in: int, channels_out: int, apart: int, last: bool = False
) -> nn.Sequential:
    """Two convolutions along an axis, their taps so many cells apart.

    The last one of a decoder starts at 0, so that at first nothing is refined.
    """
    first = nn.Conv1d(channels_in, WIDTH, 5, padding=2 * apart, dilation=apart)
    second = nn.Conv1d(WIDTH, channels_out, 5, padding=2 * apart, dilation=apart)
    if last:
        nn.init.zeros_(second.weight)
        assert second.bias is not None
        nn.init.zeros_(second.bias)
        return nn.Sequential(first, nn.ReLU(), second)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU())
