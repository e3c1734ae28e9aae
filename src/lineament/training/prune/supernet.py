"""Prune a supernet: remove blocks and transforms with small importance factors.

Depends on torch. Source: Lin et al. 2023 (SD-HRNet), section 3.1.
"""

import copy
import itertools
from collections.abc import Sequence

import torch

from ...errors import RecipeError
from ...models.backbones.hr_supernet import WIDTHS, FusionBlock, HRSuperNet

Layout = list[dict[int, list[int]]]
"""Sources of each block by its resolution, for each stage after the first."""


def surviving(net: HRSuperNet, threshold: float, relative: bool = False) -> Layout:
    """Return the blocks and transforms of `net` whose importance factor reaches `threshold`.

    A block without transforms is removed together with the transforms that read it. Then blocks
    that no later block reads are removed, except in the last stage.

    Args:
        net: The trained supernet.
        threshold: Smallest absolute factor to keep.
        relative: Compare each factor with the largest of its block, since norms compensate for a
            common scale. A block is then removed only if no other block reads it.

    Raises:
        RecipeError: If no path from the stem to the head is left.
    """
    layout: Layout = []
    alive = [0]
    for stage in net.stages:
        assert isinstance(stage, torch.nn.ModuleDict)
        blocks = {}
        for target, block in stage.items():
            sources = _surviving_sources(block, threshold, relative, alive)
            if sources:
                blocks[int(target)] = sources
        layout.append(blocks)
        alive = list(layout[-1])
        if not alive:
            raise RecipeError(
                f"with a threshold of {threshold} stage {len(layout) + 1} has no block left; "
                "lower the threshold"
            )
    for stage_blocks, following in zip(layout[-2::-1], layout[:0:-1], strict=True):
        read_sources = set(itertools.chain(*following.values()))
        for unused in set(stage_blocks) - read_sources:
            del stage_blocks[unused]
    return layout


def _surviving_sources(
    block: torch.nn.Module, threshold: float, relative: bool, alive: Sequence[int]
) -> list[int]:
    assert isinstance(block, FusionBlock)
    sizes = dict(zip(block.sources, block.factors.detach().abs().tolist(), strict=True))
    available = {source: size for source, size in sizes.items() if source in alive}
    min_size = (
        threshold * max(available.values(), default=0.0) if relative else threshold
    )
    return [source for source, size in available.items() if size >= min_size]


def slimmed(net: HRSuperNet, layout: Layout) -> HRSuperNet:
    """Return a network of the blocks and transforms in `layout`, with the weights of `net`.

    Its outputs equal those of `net` with all other factors set to 0.
    """
    small = HRSuperNet(layout)
    small.stem, small.first = copy.deepcopy(net.stem), copy.deepcopy(net.first)
    for stage, full in zip(small.stages, net.stages, strict=True):
        assert isinstance(stage, torch.nn.ModuleDict)
        assert isinstance(full, torch.nn.ModuleDict)
        for target, block in stage.items():
            _copy_block(block, full[target])
    _copy_mix(small, net)
    return small.train(net.training)


def _copy_block(block: torch.nn.Module, full: torch.nn.Module) -> None:
    assert isinstance(block, FusionBlock)
    assert isinstance(full, FusionBlock)
    indices = [full.sources.index(source) for source in block.sources]
    transforms = [copy.deepcopy(full.transforms[place]) for place in indices]
    block.transforms = torch.nn.ModuleList(transforms)
    block.encode = copy.deepcopy(full.encode)
    with torch.no_grad():
        block.factors.copy_(full.factors[indices])


def _copy_mix(small: HRSuperNet, net: HRSuperNet) -> None:
    """Copy the mixing 1x1 without the columns of the removed resolutions."""
    columns: list[int] = []
    start = 0
    for resolution in net.last:
        if resolution in small.last:
            columns += range(start, start + WIDTHS[resolution])
        start += WIDTHS[resolution]
    convolution = small.mix[0]
    small.mix = copy.deepcopy(net.mix)
    with torch.no_grad():
        convolution.weight.copy_(net.mix[0].weight[:, columns])  # type: ignore[operator, index]
    small.mix[0] = convolution
