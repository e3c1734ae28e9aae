"""Size of networks: parameters and multiply-adds. Depends on torch."""

from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from .backbones.registry import BACKBONES
from .landmark_net import LandmarkNet

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d)
COUNTED = (nn.Conv1d, nn.Conv2d, nn.Linear, *TRANSPOSED)
CROP, POINTS, CHANNELS = 256, 68, 96
"""Crop side in the papers, number of points of 300W, and default width of the pyramid."""


def parameters(model: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def multiply_adds(model: nn.Module, example: Tensor) -> int:
    """Return the multiply-adds of convolutions and dense layers per item.

    FLOPs, which count multiplications and additions separately, are twice as many; much of the
    literature reports multiply-adds as FLOPs. Norms, activations, resizing and
    products of two inputs, as in attention, do not count.
    """
    total = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        weight = layer.weight
        assert isinstance(weight, Tensor)
        # a filter is applied once per output; in a transposed convolution, once per input
        positions = (
            inputs[0][0].numel() if isinstance(layer, TRANSPOSED) else output[0].numel()
        )
        total += positions * prod(weight.shape[1:])

    hooks = [
        layer.register_forward_hook(count)
        for layer in model.modules()
        if isinstance(layer, COUNTED)
    ]
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(example)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return total


def trainable_sizes() -> list[dict[str, Any]]:
    """Return name, parameters and multiply-adds of each backbone with a 2D head."""
    crop = torch.zeros(1, CROP, CROP, 3, dtype=torch.uint8)
    sizes = []
    for name in BACKBONES:
        net = LandmarkNet(name, POINTS, "heatmap2d", CROP, CHANNELS, imagenet=False)
        sizes.append(
            {
                "name": name,
                "parameters": parameters(net),
                "multiply_adds": multiply_adds(net, crop),
            }
        )
    return sizes
