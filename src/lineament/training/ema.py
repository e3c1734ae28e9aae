"""Exponential moving average of a network's weights. Depends on torch."""

import torch
from torch import Tensor, nn


class EMA:
    """Averaged weights, including normalization statistics."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}
        self._collect_tensors(model)

    def load(self, state: dict[str, Tensor], model: nn.Module) -> None:
        """Continue from `state`."""
        self.state = state
        self._collect_tensors(model)

    def _collect_tensors(self, model: nn.Module) -> None:
        """Collect the tensors to average, since looking up names at every step would be slow.

        Each list is updated in one call; hundreds of separate updates take longer than a step.
        """
        self._averages: list[Tensor] = []
        self._weights: list[Tensor] = []
        self._kept: list[Tensor] = []
        self._counters: list[Tensor] = []
        for key, tensor in model.state_dict().items():
            if tensor.dtype.is_floating_point:
                self._averages.append(self.state[key])
                self._weights.append(tensor)
            else:
                self._kept.append(self.state[key])
                self._counters.append(tensor)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Update the average; the decay is smaller during the first steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averages, self._weights, 1 - decay)
        if self._kept:
            torch._foreach_copy_(self._kept, self._counters)
