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
class ProcessGroup:
    """Rank of this process, and operations across all processes."""

    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """True in the main process, rank 0, which writes files."""
        return self.rank == 0

    def check_batch(self, train: TrainSettings) -> None:
        """Check that the batch has at least one face per process and pass.

        Raises:
            RecipeError: If it is smaller.
        """
        if train.batch < self.world_size * train.accumulate:
            raise RecipeError(
                f"train.batch is {train.batch}, less than {self.world_size} processes x "
                f"{train.accumulate} accumulated batches; "
                "expected at least one face in each; raise train.batch"
            )

    def all_reduce(self, value: Tensor) -> Tensor:
        """Return `value`, summed over the processes in place."""
        if self.world_size > 1:
            dist.all_reduce(value)
        return value

    def broadcast(self, value: Value) -> Value:
        """Return the `value` of the main process; it must be picklable."""
        if self.world_size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def all_reduce_gradients(self, model: nn.Module) -> None:
        """Sum every gradient of `model` over the processes, in place."""
        if self.world_size == 1:
            return
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        joined = self.all_reduce(torch.cat([g.reshape(-1) for g in gradients]))
        sizes = [g.numel() for g in gradients]
        for gradient, part in zip(gradients, torch.split(joined, sizes), strict=True):
            gradient.copy_(part.view_as(gradient))

    def barrier(self) -> None:
        """Wait until every process has called this."""
        if self.world_size > 1:
            dist.barrier()

    @contextmanager
    def main_process_first(self) -> Iterator[None]:
        """Run the block in the main process, then in the others, which reuse its files."""
        if not self.is_main:
            self.barrier()
        yield
        if self.is_main:
            self.barrier()


def init_process_group() -> ProcessGroup:
    """Initialize the process group of torch's launcher; without a launcher, one process."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return ProcessGroup()
    if not dist.is_initialized():
        # long timeout: the others wait while the main process prepares crops and teacher landmarks
        dist.init_process_group("gloo", timeout=timedelta(hours=12))
    return ProcessGroup(dist.get_rank(), dist.get_world_size())


def destroy_process_group() -> None:
    """Undo `init_process_group`."""
    if dist.is_initialized():
        dist.destroy_process_group()


class _AllReduce(torch.autograd.Function):
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


def _all_reduce(value: Tensor) -> Tensor:
    return _AllReduce.apply(value)  # type: ignore[no-any-return, no-untyped-call]


class _SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalization with statistics over the batches of all processes.

    Unlike torch's SyncBatchNorm, it also runs on the CPU.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        values = x.float()
        rest = list(range(2, x.ndim))
        channels = (-1, *(1 for _ in rest))
        count = _all_reduce(values.new_tensor([values.numel() / values.shape[1]]))
        mean = _all_reduce(values.sum([0, *rest])) / count
        centered = values - mean.view(channels)
        variance = _all_reduce(centered.square().sum([0, *rest])) / count
        with torch.no_grad():
            self._track(mean, variance * count / (count - 1))
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centered * scale.view(channels) + self.bias.view(channels)).to(x.dtype)

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        self.running_mean.lerp_(mean, self.momentum)  # type: ignore[union-attr, arg-type]
        self.running_var.lerp_(variance, self.momentum)  # type: ignore[union-attr, arg-type]
        self.num_batches_tracked.add_(1)  # type: ignore[union-attr]


class SyncBatchNorm1d(_SyncBatchNorm, nn.BatchNorm1d):
    """Batch normalization of vectors (B, C) and sequences (B, C, L)."""


class SyncBatchNorm2d(_SyncBatchNorm, nn.BatchNorm2d):
    """Batch normalization of maps (B, C, H, W)."""


SYNC_BATCH_NORMS: dict[type[nn.Module], type[_SyncBatchNorm]] = {
    nn.BatchNorm1d: SyncBatchNorm1d,
    nn.BatchNorm2d: SyncBatchNorm2d,
}


def convert_sync_batchnorm(model: nn.Module) -> None:
    """Replace the batch norms of `model` by synchronized ones, in place, keeping weights."""
    for module in model.modules():
        if type(module) in SYNC_BATCH_NORMS:
            module.__class__ = SYNC_BATCH_NORMS[type(module)]
