"""Optimizer of a training run and its learning rates. Depends on torch."""

import torch
from torch import Tensor, nn

from ..recipe import TrainSettings


def make_optimizer(model: nn.Module, train: TrainSettings) -> torch.optim.Optimizer:
    """Return AdamW or Adam, with a separate backbone rate and no decay of norms and biases."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        groups.setdefault(("backbone." in name, parameter.ndim > 1), []).append(
            parameter
        )
    parameter_groups = []
    for (backbone, decays), parameters in sorted(groups.items()):
        factor = train.backbone_lr if backbone else 1.0
        decay = train.weight_decay * decays
        parameter_groups.append(
            {"params": parameters, "factor": factor, "weight_decay": decay}
        )
    kind = torch.optim.AdamW if train.optimizer == "adamw" else torch.optim.Adam
    return kind(parameter_groups, lr=train.lr, fused=True)


def keep_rates_on(device: torch.device, optimizer: torch.optim.Optimizer) -> None:
    """Store the learning rates as tensors on a GPU, so that CUDA graphs read the current ones."""
    captured = device.type == "cuda"
    for group in optimizer.param_groups:
        rate = float(group["lr"])
        group["capturable"] = captured
        group["lr"] = torch.tensor(rate, device=device) if captured else rate


def set_rates(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of each group to `rate` times its factor."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(group["factor"] * rate)
        else:
            group["lr"] = group["factor"] * rate
