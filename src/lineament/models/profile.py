"""The size of a network: parameters and multiply-adds. Stands on torch."""

from math import prod

import torch
from torch import Tensor, nn

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d)
COUNTED = (nn.Conv1d, nn.Conv2d, nn.Linear, *TRANSPOSED)


def parameters(model: nn.Module) -> int:
    """The trainable numbers of `model`."""
    return sum(p.numel() for p in model.parameters())


def multiply_adds(model: nn.Module, example: Tensor) -> int:
    """The multiply-adds of convolutions and dense layers for the first item of the batch `example`.

    FLOPs, where a multiplication and an addition count as two, are twice as many; much of the literature prints
    multiply-adds as FLOPs. Norms, activations, resizing and products of two inputs, as of an attention, do not count.
    """
    found = 0

    def count(layer: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        nonlocal found
        weight = layer.weight
        assert isinstance(weight, Tensor)
        # each output is made of, in a transposed convolution each input goes to, as many products as a filter has
        places = given[0][0].numel() if isinstance(layer, TRANSPOSED) else made[0].numel()
        found += places * prod(weight.shape[1:])

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
    return found
