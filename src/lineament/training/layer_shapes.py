"""Resize the layers of a network to the channels of loaded weights. Depends on torch."""

from torch import Tensor, nn

RESIZED = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.Linear, nn.PReLU)


def fit_shapes(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Resize convolutions, linear layers, norms and PReLUs of `model` to the channels of `state`.

    The weights are those of a slimmed network of the same kind; resized layers are filled with 0.
    """
    for name, module in model.named_modules():
        weight = state.get(f"{name}.weight")
        if weight is None or not isinstance(module, RESIZED):
            continue
        if weight.shape == module.weight.shape:
            continue
        parameters = dict(module.named_parameters(recurse=False))
        for key, parameter in parameters.items():
            zeros = parameter.new_zeros(state[f"{name}.{key}"].shape)
            setattr(module, key, nn.Parameter(zeros))
        for key, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, key, buffer.new_zeros(state[f"{name}.{key}"].shape))
        _count_channels(module, weight)


def _count_channels(module: nn.Module, weight: Tensor) -> None:
    if isinstance(module, nn.BatchNorm2d):
        module.num_features = len(weight)
    elif isinstance(module, nn.PReLU):
        module.num_parameters = len(weight)
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = weight.shape
    elif isinstance(module, nn.ConvTranspose2d):
        module.in_channels = len(weight)
        module.out_channels = weight.shape[1] * module.groups
    elif isinstance(module, nn.Conv2d):
        depthwise = module.groups == module.in_channels == module.out_channels
        module.groups = len(weight) if depthwise else module.groups
        module.in_channels = weight.shape[1] * module.groups
        module.out_channels = len(weight)
