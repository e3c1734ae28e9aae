"""HRSuperNet: ten stages of four resolutions, whose blocks choose their inputs.

Source: Lin et al. 2023 (SD-HRNet), section 3.1, fig. 3, on the layout of HRNet-W18.
"""

import re
from collections.abc import Mapping, Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import RecipeError
from ..layers.depthwise import DepthwiseConv2d

# The paper states 3.27 M parameters and 1.25 G multiply-adds at 256 x 256 with 68 points. This
# network has 3.267 M and 1.22 G: widths, chained strided convolutions and the mixing 1x1 are those
# of HRNet, an MBConv of expansion 1 has no first 1x1, and maps are upsampled before their 1x1
# (after it: 1.01 G).
WIDTHS = (18, 36, 72, 144)
"""Channels at strides 4, 8, 16 and 32, as in HRNet-W18."""
STAGES = 10
BLOCK = re.compile(r"([0-3]):([0-3](?:,[0-3])*)")
ENCODERS = 4
"""Number of MBConvs per block."""


class MBConv(nn.Module):
    """MBConv with expansion 1: 3x3 depthwise convolution, linear 1x1, and a skip connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = DepthwiseConv2d(channels, 3)
        self.depthwise_norm = nn.BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.pointwise_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.depthwise_norm(self.depthwise(x)))
        return x + self.pointwise_norm(self.pointwise(y))  # type: ignore[no-any-return]


class UpsampleConv(nn.Sequential):
    """Bilinear upsampling, 1x1 convolution and norm.

    The first two commute, so training convolves first, which is cheaper.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)  # type: ignore[no-any-return, no-untyped-call]
        upsample, convolve, norm = self
        return norm(upsample(convolve(x)))  # type: ignore[no-any-return]


def transform(source: int, target: int) -> nn.Module:
    """Build the layers from resolution `source` to `target`; 0 is the finest.

    Upsampling is bilinear with a 1x1, downsampling a chain of 3x3 convolutions of stride 2.
    """
    if source == target:
        return nn.Identity()
    if source > target:
        scale = 2 ** (source - target)
        return UpsampleConv(
            nn.Upsample(scale_factor=scale, mode="bilinear", align_corners=False),
            nn.Conv2d(WIDTHS[source], WIDTHS[target], 1, bias=False),
            nn.BatchNorm2d(WIDTHS[target]),
        )
    layers: list[nn.Module] = []
    for step in range(source, target):
        last = step == target - 1
        channels = WIDTHS[target] if last else WIDTHS[source]
        layers += [
            nn.Conv2d(WIDTHS[source], channels, 3, 2, 1, bias=False),
            nn.BatchNorm2d(channels),
        ]
        layers += [] if last else [nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class FusionBlock(nn.Module):
    """The LSFF block: weighted transforms of earlier maps, followed by MBConvs.

    Source: eq. 1. `factors` (J,) are the alphas of its transforms, in the order of `sources`.
    """

    def __init__(self, sources: Sequence[int], target: int) -> None:
        super().__init__()
        self.sources, self.target = tuple(sources), target
        self.transforms = nn.ModuleList(
            [transform(source, target) for source in sources]
        )
        self.factors = nn.Parameter(torch.ones(len(self.sources)))
        self.encode = nn.Sequential(*(MBConv(WIDTHS[target]) for _ in range(ENCODERS)))

    def forward(self, maps: dict[int, Tensor]) -> Tensor:
        """Fuse earlier maps, keyed by resolution; return zeros if all factors are 0."""
        parts = zip(self.factors, self.sources, self.transforms, strict=True)
        # summed one by one: stacking would lose the channels-last format that convolutions need
        weighted = [factor * move(maps[source]) for factor, source, move in parts]
        y: Tensor = reduce(torch.add, weighted)
        return self.encode(y) * self.factors.ne(0).any()  # type: ignore[no-any-return]


class HRSuperNet(nn.Module):
    """HRNet-like supernet whose last stage is fused into one map.

    A slimmed network has fewer blocks and sources.

    Shape:
        Normalized images (B, 3, H, W) -> a list with one map (B, 270, H / 4, W / 4).
    """

    strides = (4,)
    channels = (sum(WIDTHS),)
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    decoded = True

    def __init__(
        self, stages: Sequence[Mapping[int, Sequence[int]]] | None = None
    ) -> None:
        """Build the network.

        Args:
            stages: For each stage after the first, the sources of its blocks by their
                resolution; None: the complete supernet.
        """
        super().__init__()
        self.layout = [
            dict(stage) for stage in (full_supernet() if stages is None else stages)
        ]
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 3, 2, 1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.Conv2d(64, WIDTHS[0], 3, 2, 1, bias=False),
            nn.BatchNorm2d(WIDTHS[0]),
            nn.ReLU(inplace=True),
        )
        self.first = nn.Sequential(*(MBConv(WIDTHS[0]) for _ in range(ENCODERS)))
        self.stages = nn.ModuleList(
            nn.ModuleDict(
                {
                    str(target): FusionBlock(sources, target)
                    for target, sources in stage.items()
                }
            )
            for stage in self.layout
        )
        self.last = sorted(self.layout[-1])
        width, mixed = sum(WIDTHS[k] for k in self.last), self.channels[0]
        self.mix = nn.Sequential(
            nn.Conv2d(width, mixed, 1, bias=False),
            nn.BatchNorm2d(mixed),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        maps: dict[int, Tensor] = {0: self.first(self.stem(x))}
        for stage in self.stages:
            assert isinstance(stage, nn.ModuleDict)
            maps = {int(target): block(maps) for target, block in stage.items()}
        finest = maps[self.last[0]]
        size = [
            finest.shape[2] * 2 ** self.last[0],
            finest.shape[3] * 2 ** self.last[0],
        ]
        grown = [
            maps[k]
            if k == 0
            else F.interpolate(maps[k], size=size, mode="bilinear", align_corners=False)
            for k in self.last
        ]
        return [self.mix(torch.cat(grown, 1))]


def format_layout(layout: Sequence[Mapping[int, Sequence[int]]]) -> str:
    """Format `layout` for a recipe: stages separated by |, blocks as resolution:sources.

    >>> format_layout([{0: [0], 1: [0]}, {0: [0, 1]}])
    '0:0 1:0 | 0:0,1'
    """
    return " | ".join(
        " ".join(
            f"{target}:{','.join(map(str, sources))}"
            for target, sources in sorted(stage.items())
        )
        for stage in layout
    )


def parse_layout(text: str) -> list[dict[int, list[int]]]:
    """Parse the text that `format_layout` wrote.

    Raises:
        RecipeError: If a block is malformed, or has a source that the previous stage lacks.
    """
    layout: list[dict[int, list[int]]] = []
    available = {0}
    for number, part in enumerate(text.split("|"), 2):
        stage: dict[int, list[int]] = {}
        for block in part.split():
            parsed = BLOCK.fullmatch(block)
            sources = [int(source) for source in parsed[2].split(",")] if parsed else []
            is_duplicate = len(set(sources)) < len(sources) or (
                parsed is not None and int(parsed[1]) in stage
            )
            if parsed is None or is_duplicate or not available.issuperset(sources):
                raise RecipeError(
                    f"model.architecture: {block!r} in stage {number}; expected "
                    f"resolution:sources from 0 to {len(WIDTHS) - 1}, without repeats, "
                    "and with sources that the previous stage has, as in 0:0 1:0 | 0:0,1"
                )
            stage[int(parsed[1])] = sources
        if not stage:
            raise RecipeError(
                f"model.architecture: stage {number} has no block; "
                "expected at least one, as in 0:0 1:0 | 0:0,1"
            )
        layout.append(stage)
        available = set(stage)
    return layout


def full_supernet() -> list[dict[int, Sequence[int]]]:
    """Return all blocks of stages 2 to 10, each with all sources of the previous stage."""
    every = range(len(WIDTHS))
    stages: list[dict[int, Sequence[int]]] = [{k: [0] for k in every}]
    return stages + [{k: list(every) for k in every} for _ in range(STAGES - 2)]
