"""Device and precision of a training run, and its steps as CUDA graphs. Depends on torch."""

import os
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ..errors import RecipeError
from .batch import Batch

BFLOAT16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")
"""torch's names of bfloat16 instructions: on x86, then on ARM."""

EAGER_STEPS = 2
"""Eager steps per key before its graph is captured, for autotuning and optimizer states."""


def find_device(name: str) -> torch.device:
    """Return the device that train.device selects on this machine.

    Raises:
        RecipeError: If a GPU is requested but absent.
    """
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise RecipeError(
            "train.device is 'cuda', but torch finds no GPU; set it to 'auto' or 'cpu'"
        )
    if not has_gpu or name == "cpu":
        return torch.device("cpu")
    # torch's launcher numbers the processes of a machine: each gets a GPU of its own
    index = int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count()
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


@cache
def has_bfloat16(device: str) -> bool:
    """Return whether a device of this type has instructions for bfloat16.

    Without them torch emulates bfloat16, which takes many times as long as float32.
    """
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is None:  # an older torch, which cannot report them
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return any(capabilities().get(name, False) for name in BFLOAT16_INSTRUCTIONS)


def autocast(device: str, bf16: bool) -> torch.autocast:
    """Return the precision in which networks run.

    Args:
        device: Type of the device, such as "cpu".
        bf16: The setting train.bf16. Where the device has no bfloat16, networks run in float32.
    """
    enabled = bf16 and has_bfloat16(device)
    return torch.autocast(device, torch.bfloat16, enabled=enabled)


class TrainingDevice:
    """The device of a training run, with a stream of its own on a GPU, so that runs can overlap."""

    def __init__(self, name: str) -> None:
        self.device = find_device(name)
        self.on_gpu = self.device.type == "cuda"
        self.stream: torch.cuda.Stream | None = None
        if self.on_gpu:
            self.stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
            self.stream.wait_stream(torch.cuda.current_stream(self.device))

    def on_stream(self) -> AbstractContextManager[object]:
        """Return a context that queues GPU work on this stream."""
        return nullcontext() if self.stream is None else torch.cuda.stream(self.stream)

    def random_state(self) -> dict[str, Tensor]:
        """Return the states of torch's generators by their names in a checkpoint.

        On a GPU, dropout draws from the generator of the GPU.
        """
        states = {"rng": torch.get_rng_state()}
        if self.on_gpu:
            states["gpu_rng"] = torch.cuda.get_rng_state(self.device)
        return states

    def set_random_state(self, states: Mapping[str, Any]) -> None:
        """Restore what `random_state` returned; other entries are ignored."""
        torch.set_rng_state(states["rng"])
        # absent in checkpoints of earlier versions and of runs on a CPU
        if self.on_gpu and "gpu_rng" in states:
            torch.cuda.set_rng_state(states["gpu_rng"], self.device)


Graph = tuple[torch.cuda.CUDAGraph, Tensor, Batch, Tensor]


class CapturedStep:
    """Steps captured as CUDA graphs, one per key: one call launches all kernels of a step.

    Small networks have a thousand kernels of a few microseconds, which take longer to launch than
    to run.
    """

    def __init__(
        self, step: Callable[[Tensor, Batch], Tensor], device: torch.device
    ) -> None:
        """Prepare to capture.

        Args:
            step: Takes a count and a batch on the device. It must not synchronize with the device
                or use any other number that changes between the steps of a key.
        """
        self.step, self.device = step, device
        self.runs: dict[object, int] = {}
        self.graphs: dict[object, Graph | None] = {}

    def __call__(self, key: object, count: Tensor, batch: Batch) -> Tensor:
        """Return the output of the step; the next call overwrites it.

        Args:
            key: Differs for steps with different operations; shapes are fixed per key.
        """
        self.runs[key] = self.runs.get(key, 0) + 1
        if self.runs[key] <= EAGER_STEPS:
            return self._eager(count, batch)
        if key not in self.graphs:
            self.graphs[key] = self._capture(count, batch)
        captured = self.graphs[key]
        if captured is None:
            return self._eager(count, batch)
        graph, own_count, own_batch, output = captured
        own_count.copy_(count, non_blocking=True)
        inputs = batch.tensors()
        for name, static in own_batch.tensors().items():
            static.copy_(inputs[name], non_blocking=True)
        graph.replay()
        return output

    def _eager(self, count: Tensor, batch: Batch) -> Tensor:
        return self.step(
            count.to(self.device, non_blocking=True), batch.to(self.device)
        )

    def _capture(self, count: Tensor, batch: Batch) -> Graph | None:
        own_count = torch.empty_like(count, device=self.device)
        own_batch = batch.map(
            lambda tensor: torch.empty_like(tensor, device=self.device)
        )
        graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.current_stream(self.device)
        # thread_local, so that threads that pin memory are not affected
        try:
            with torch.cuda.graph(
                graph, stream=stream, capture_error_mode="thread_local"
            ):
                output = self.step(own_count, own_batch)
        except RuntimeError as error:  # an operation that cannot be captured
            warnings.warn(
                "training steps cannot run as a CUDA graph, so training is slower: "
                f"{error}",
                stacklevel=2,
            )
            return None
        return graph, own_count, own_batch, output
