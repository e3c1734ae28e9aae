"""What moves the weights of a training, and their average.

Stands on torch.
"""

import torch
from torch import Tensor, nn

from ..recipe import TrainSettings


class EMA:
    """Exponentially averaged weights, the norms' statistics included."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}
        self._watch(model)

    def _watch(self, model: nn.Module) -> None:
        """Lists what is averaged beside its average, once: a step must not spend its time on names.

        Each list moves at one call; some hundred counters of norms, one by one, took longer than the rest of a step.
        """
        own = model.state_dict()
        keys = {
            floats: [k for k, v in own.items() if v.dtype.is_floating_point is floats]
            for floats in (True, False)
        }
        self._moved, self._copied = (
            ([self.state[key] for key in keys[floats]], [own[key] for key in keys[floats]])
            for floats in (True, False)
        )

    def load(self, state: dict[str, Tensor], model: nn.Module) -> None:
        """Goes on from `state`."""
        self.state = state
        self._watch(model)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Moves the average towards the model; faster in the first steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(*self._moved, 1 - decay)
        if self._copied[0]:
            torch._foreach_copy_(*self._copied)


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
