"""Optimizer of a training and its learning rates. Depends on torch."""

import torch
from torch import Tensor, nn

from ..recipe import TrainSettings


def make_optimizer(model: nn.Module, train: TrainSettings) -> torch.optim.Optimizer:
    """AdamW or Adam; the backbone at its own rate, norms and biases without decay."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        groups.setdefault(("backbone." in name, parameter.ndim > 1), []).append(parameter)
    listed = [
        {
            "params": parameters,
            "factor": train.backbone_lr if backbone else 1.0,
            "weight_decay": train.weight_decay * decays,
        }
        for (backbone, decays), parameters in sorted(groups.items())
    ]
    kind = torch.optim.AdamW if train.optimizer == "adamw" else torch.optim.Adam
    return kind(listed, lr=train.lr, fused=True)


def keep_rates_on(device: torch.device, optimizer: torch.optim.Optimizer) -> None:
    """Makes the learning rates of `optimizer` what its steps may read: of a CUDA graph, numbers on the device."""
    captured = device.type == "cuda"
    for group in optimizer.param_groups:
        group["capturable"] = captured
        group["lr"] = (
            torch.tensor(float(group["lr"]), device=device) if captured else float(group["lr"])
        )


def set_rates(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Gives each group of `optimizer` its part of the learning rate `rate`."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(group["factor"] * rate)
        else:
            group["lr"] = group["factor"] * rate
