"""A network with other numbers of channels: the shapes of its layers are those of given weights.

Stands on torch.
"""

import torch
from torch import Tensor, nn


def fit_shapes(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Gives the convolutions and norms of `model` the channels that the weights `state` have; new numbers are 0.

    For weights of a network of the same kind that was slimmed.
    """
    for name, module in model.named_modules():
        weight = state.get(f"{name}.weight")
        if weight is None or not isinstance(
            module, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d
        ):
            continue
        assert isinstance(module.weight, Tensor)
        if weight.shape == module.weight.shape:
            continue
        for key, own in [
            *module.named_parameters(recurse=False),
            *module.named_buffers(recurse=False),
        ]:
            shape = state[f"{name}.{key}"].shape
            fresh = torch.zeros(shape, dtype=own.dtype)
            setattr(module, key, nn.Parameter(fresh) if isinstance(own, nn.Parameter) else fresh)
        _count_channels(module, weight)


def _count_channels(module: nn.Module, weight: Tensor) -> None:
    if isinstance(module, nn.BatchNorm2d):
        module.num_features = len(weight)
    elif isinstance(module, nn.ConvTranspose2d):
        module.in_channels, module.out_channels = len(weight), weight.shape[1] * module.groups
    elif isinstance(module, nn.Conv2d):
        depthwise = module.groups == module.in_channels == module.out_channels
        module.groups = len(weight) if depthwise else module.groups
        module.in_channels, module.out_channels = weight.shape[1] * module.groups, len(weight)
