"""Random states and thread count of one of several runs that alternate in a process.

Depends on torch.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class _Values:
    of_python: tuple[Any, ...]
    of_numpy: dict[str, Any]
    of_torch: Tensor
    gpus: tuple[torch.Generator, ...]
    threads: int


class ProcessState:
    """State of the global generators and thread count that belongs to one run.

    It begins as a copy of the current state, as if the run were alone in the process.
    """

    def __init__(self) -> None:
        gpus = tuple(generator.clone_state() for generator in gpu_generators())
        self._values = _read(gpus)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Continue with this state in the block, and with that of the process after it."""
        outside = _read(_states(gpu_generators()))
        _write(self._values)
        try:
            yield
        finally:
            self._values = _read(_states(gpu_generators()))
            _write(outside)


def gpu_generators() -> Sequence[torch.Generator]:
    """Return the global generator of each GPU."""
    if not torch.cuda.is_available():
        return ()
    torch.cuda.init()  # type: ignore[no-untyped-call]
    return torch.cuda.default_generators


def _states(generators: Sequence[torch.Generator]) -> tuple[torch.Generator, ...]:
    """Return references to the states of `generators`.

    CUDA graphs read the state that they were captured with, so it is exchanged, not copied: graphs
    of two runs that overlap on the GPU would otherwise overwrite each other's numbers.
    """
    return tuple(generator.graphsafe_get_state() for generator in generators)


def _read(gpus: tuple[torch.Generator, ...]) -> _Values:
    return _Values(
        random.getstate(),
        np.random.get_state(legacy=False),  # noqa: NPY002 - a plug-in may draw from it
        torch.get_rng_state(),
        gpus,
        torch.get_num_threads(),
    )


def _write(values: _Values) -> None:
    random.setstate(values.of_python)
    np.random.set_state(values.of_numpy)  # noqa: NPY002
    torch.set_rng_state(values.of_torch)
    for generator, state in zip(gpu_generators(), values.gpus, strict=True):
        generator.graphsafe_set_state(state)
    if torch.get_num_threads() != values.threads:
        torch.set_num_threads(values.threads)
