"""Data-parallel training, equivalent to a single process with the global batch.

Depends on torch.distributed with gloo; torch's launcher starts and ranks the processes.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..errors import RecipeError
from ..recipe import TrainSettings

Value = TypeVar("Value")


@dataclass(frozen=True)
class Processes:
    """Rank of this process, and operations across all processes."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """True for the process of rank 0, which writes files."""
        return self.rank == 0

    def check_batch(self, train: TrainSettings) -> None:
        """Check the batch. Raises: RecipeError: If it is too small for the processes and passes."""
        if train.batch < self.world * train.accumulate:
            raise RecipeError(
                f"train.batch is {train.batch}, less than {self.world} processes x "
                f"{train.accumulate} accumulated batches; "
                "expected at least one face in each; raise train.batch"
            )

    def total(self, value: Tensor) -> Tensor:
        """Return `value`, summed over the processes in place."""
        if self.world > 1:
            dist.all_reduce(value)
        return value

    def from_first(self, value: Value) -> Value:
        """Return the `value` of the first process, which can be pickled."""
        if self.world == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def sum_gradients(self, model: nn.Module) -> None:
        """Sum every gradient of `model` over the processes, in place."""
        if self.world == 1:
            return
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        joined = self.total(torch.cat([g.reshape(-1) for g in gradients]))
        sizes = [g.numel() for g in gradients]
        for gradient, part in zip(gradients, torch.split(joined, sizes), strict=True):
            gradient.copy_(part.view_as(gradient))

    def wait(self) -> None:
        """Wait until every process has called this."""
        if self.world > 1:
            dist.barrier()

    @contextmanager
    def first_ahead(self) -> Iterator[None]:
        """Run the block in the first process, then in the others, which reuse its files."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()


def join() -> Processes:
    """Initialize the process group of torch's launcher; without a launcher, one process."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Processes()
    if not dist.is_initialized():
        # long timeout: the others wait while the first prepares crops, clips and teacher landmarks
        dist.init_process_group("gloo", timeout=timedelta(hours=12))
    return Processes(dist.get_rank(), dist.get_world_size())


def leave() -> None:
    """Undo `join`."""
    if dist.is_initialized():
        dist.destroy_process_group()


class _Total(torch.autograd.Function):
    """Sum over the processes. Each loss depends on it, so the backward pass sums gradients, too."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        value = value.clone()
        dist.all_reduce(value)
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].contiguous().clone()
        dist.all_reduce(gradient)
        return gradient


def _total(value: Tensor) -> Tensor:
    return _Total.apply(value)  # type: ignore[no-any-return, no-untyped-call]


class _GlobalNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalization with statistics over the batches of all processes.

    torch's SyncBatchNorm supports only CUDA.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        values = x.float()
        rest = list(range(2, x.ndim))
        channels = (-1, *(1 for _ in rest))
        count = _total(values.new_tensor([values.numel() / values.shape[1]]))
        mean = _total(values.sum([0, *rest])) / count
        centered = values - mean.view(channels)
        variance = _total(centered.square().sum([0, *rest])) / count
        with torch.no_grad():
            self._track(mean, variance * count / (count - 1))
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centered * scale.view(channels) + self.bias.view(channels)).to(x.dtype)

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        self.running_mean.lerp_(mean, self.momentum)  # type: ignore[union-attr, arg-type]
        self.running_var.lerp_(variance, self.momentum)  # type: ignore[union-attr, arg-type]
        self.num_batches_tracked.add_(1)  # type: ignore[union-attr]


class GlobalBatchNorm1d(_GlobalNorm, nn.BatchNorm1d):
    """Global normalization of vectors (B, C) and sequences (B, C, L)."""


class GlobalBatchNorm2d(_GlobalNorm, nn.BatchNorm2d):
    """Global normalization of maps (B, C, H, W)."""


GLOBAL_NORMS: dict[type[nn.Module], type[_GlobalNorm]] = {
    nn.BatchNorm1d: GlobalBatchNorm1d,
    nn.BatchNorm2d: GlobalBatchNorm2d,
}


def use_global_norms(model: nn.Module) -> None:
    """Replace the batch norms of `model` by global ones, in place, keeping weights."""
    for module in model.modules():
        if type(module) in GLOBAL_NORMS:
            module.__class__ = GLOBAL_NORMS[type(module)]
