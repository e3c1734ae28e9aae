"""Slimming: importance factors under a threshold go, and the network becomes physically smaller.

Stands on torch. Source: Lin et al. 2023 (SD-HRNet), section 3.1.
"""

import copy
from collections.abc import Sequence

import torch

from ...errors import RecipeError
from ...models.backbones.hr_supernet import WIDTHS, FusionBlock, HRSuperNet

Layout = list[dict[int, list[int]]]
"""Of each stage after the first, the sources of each block by its resolution."""


def surviving(net: HRSuperNet, threshold: float, relative: bool = False) -> Layout:
    """The blocks and transforms of `net` that stay where an importance factor is at least `threshold` in size.

    relative: in parts of the largest of its block, whose norms make up for what all its factors have in common; then a
    block goes only where nothing takes from it.
    A block with no transform left goes whole, and so does what stood on it alone; then every block that nothing behind
    it takes from, but for the last stage's.    Raises: RecipeError where no path from the stem to the head is left.
    """
    layout: Layout = []
    alive = [0]
    for stage in net.stages:
        assert isinstance(stage, torch.nn.ModuleDict)
        kept = {
            int(target): _kept(block, threshold, relative, alive) for target, block in stage.items()
        }
        layout.append({target: sources for target, sources in kept.items() if sources})
        alive = list(layout[-1])
        if not alive:
            raise RecipeError(
                f"with a threshold of {threshold} stage {len(layout) + 1} has no block left; lower it"
            )
    for here, behind in zip(layout[-2::-1], layout[:0:-1], strict=True):
        taken = {source for sources in behind.values() for source in sources}
        for target in set(here) - taken:
            del here[target]
    return layout


def _kept(
    block: torch.nn.Module, threshold: float, relative: bool, alive: Sequence[int]
) -> list[int]:
    assert isinstance(block, FusionBlock)
    sizes = dict(zip(block.sources, block.factors.detach().abs().tolist(), strict=True))
    there = {source: size for source, size in sizes.items() if source in alive}
    least = threshold * max(there.values(), default=0.0) if relative else threshold
    return [source for source, size in there.items() if size >= least]


def slimmed(net: HRSuperNet, layout: Layout) -> HRSuperNet:
    """A new network of the blocks and transforms in `layout` alone, with the weights of `net`, which stays as it is.

    It gives what `net` gives with every other factor at 0.
    """
    small = HRSuperNet(layout)
    small.stem, small.first = copy.deepcopy(net.stem), copy.deepcopy(net.first)
    for stage, whole in zip(small.stages, net.stages, strict=True):
        assert isinstance(stage, torch.nn.ModuleDict)
        assert isinstance(whole, torch.nn.ModuleDict)
        for target, block in stage.items():
            _copy_block(block, whole[target])
    _copy_mix(small, net)
    return small.train(net.training)


def _copy_block(block: torch.nn.Module, whole: torch.nn.Module) -> None:
    assert isinstance(block, FusionBlock)
    assert isinstance(whole, FusionBlock)
    places = [whole.sources.index(source) for source in block.sources]
    block.transforms = torch.nn.ModuleList(
        [copy.deepcopy(whole.transforms[place]) for place in places]
    )
    block.encode = copy.deepcopy(whole.encode)
    with torch.no_grad():
        block.factors.copy_(whole.factors[places])


def _copy_mix(small: HRSuperNet, net: HRSuperNet) -> None:
    """The mixing 1x1, less the columns of the resolutions that are gone."""
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


def close(net: HRSuperNet, layout: Layout) -> HRSuperNet:
    """A copy of `net` of the same size in which every factor outside `layout` is 0."""
    closed = copy.deepcopy(net)
    for stage, kept in zip(closed.stages, layout, strict=True):
        assert isinstance(stage, torch.nn.ModuleDict)
        for target, block in stage.items():
            assert isinstance(block, FusionBlock)
            gone = [
                i
                for i, source in enumerate(block.sources)
                if source not in kept.get(int(target), [])
            ]
            with torch.no_grad():
                block.factors[gone] = 0
    return closed
