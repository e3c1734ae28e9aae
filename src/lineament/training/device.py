"""Where a training computes, and a step of it as a CUDA graph.

Stands on torch.
"""

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from ..errors import RecipeError

EAGER_STEPS = 2
"""So often a kind of step runs as it is written before it becomes a graph: kernels are chosen and states made then."""


def find_device(wanted: str) -> torch.device:
    """The device that train.device means here.    Raises: RecipeError for a GPU that is not there."""
    has_gpu = torch.cuda.is_available()
    if wanted == "cuda" and not has_gpu:
        raise RecipeError(
            "train.device is 'cuda', and torch finds no GPU; set it to 'auto' or 'cpu'"
        )
    return torch.device("cuda" if has_gpu and wanted != "cpu" else "cpu")


class Place:
    """The device of one training and, on a GPU, a stream of its own there, so that several trainings run beside.

    wanted: as train.device.    Raises: RecipeError for a GPU that is not there.
    """

    def __init__(self, wanted: str) -> None:
        self.device = find_device(wanted)
        self.on_gpu = self.device.type == "cuda"
        self.stream = torch.cuda.Stream(self.device) if self.on_gpu else None  # type: ignore[no-untyped-call]
        if self.stream is not None:
            self.stream.wait_stream(torch.cuda.current_stream(self.device))

    def here(self) -> AbstractContextManager[object]:
        """Within it, what is asked of the device is done in order, on its stream."""
        return nullcontext() if self.stream is None else torch.cuda.stream(self.stream)


class Captured:
    """Steps as CUDA graphs, one for each kind: all kernels of a step start at one call.

    Small networks have a thousand kernels of a few microseconds, which take longer to start than to run.
    step: tensors on the device -> one tensor. It may use no number that changes from step to step but through them, and
    may not wait for the device.
    """

    def __init__(self, step: Callable[..., Tensor], device: torch.device) -> None:
        self.step, self.device = step, device
        self.seen: dict[object, int] = {}
        self.graphs: dict[object, tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor] | None] = {}

    def __call__(self, kind: object, inputs: Sequence[Tensor]) -> Tensor:
        """What the step gives for `inputs`, of the same shapes at every step of a `kind`; overwritten by the next."""
        self.seen[kind] = self.seen.get(kind, 0) + 1
        if self.seen[kind] <= EAGER_STEPS:
            return self.step(*(given.to(self.device, non_blocking=True) for given in inputs))
        if kind not in self.graphs:
            self.graphs[kind] = self._capture(inputs)
        captured = self.graphs[kind]
        if captured is None:
            return self.step(*(given.to(self.device, non_blocking=True) for given in inputs))
        graph, own, output = captured
        for mine, given in zip(own, inputs, strict=True):
            mine.copy_(given, non_blocking=True)
        graph.replay()
        return output

    def _capture(
        self, inputs: Sequence[Tensor]
    ) -> tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor] | None:
        own = [torch.empty_like(given, device=self.device) for given in inputs]
        graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.current_stream(self.device)
        # other threads, those that pin memory for batches, may go on
        try:
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                output = self.step(*own)
        except RuntimeError as error:  # of something that a graph cannot hold
            warnings.warn(
                f"the steps of this training run as written, which is slower: {error}", stacklevel=2
            )
            return None
        return graph, own, output
