"""Batches made by worker processes, in an order that depends only on seed and step.

Depends on torch.
"""

import multiprocessing
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from ..opencv import cv2
from ..recipe import TrainSettings
from .batch import Batch, collate
from .parallel import ProcessGroup
from .task import Samples

Index = tuple[int, int, int, int]  # epoch, position, source, item


class _Samples(Dataset[dict[str, Any]]):
    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __getitem__(self, index: Index) -> dict[str, Any]:
        return self.samples.make(*index)


class _Batches(Sampler[list[Index]]):
    """Batches of one process from step `start` on; each global batch is split among processes."""

    def __init__(
        self,
        samples: Samples,
        train: TrainSettings,
        start: int,
        processes: ProcessGroup,
    ) -> None:
        self.samples, self.train = samples, train
        self.start, self.processes = start, processes

    def __iter__(self) -> Iterator[list[Index]]:
        step, epoch, pending = 0, 0, np.zeros((0, 4), np.int64)
        batch = self.train.batch
        while step < self.train.steps:
            order = self.samples.order(epoch, step / self.train.steps)
            numbered = np.column_stack(
                [np.full(len(order), epoch), np.arange(len(order)), order]
            )
            pending = np.concatenate([pending, numbered])
            epoch += 1
            while len(pending) >= batch and step < self.train.steps:
                batch_rows, pending = pending[:batch], pending[batch:]
                if step >= self.start:
                    process_rows = batch_rows[
                        self.processes.rank :: self.processes.world_size
                    ]
                    for part in np.array_split(process_rows, self.train.accumulate):
                        yield [tuple(row) for row in part.tolist()]
                step += 1


def make_loader(
    samples: Samples,
    train: TrainSettings,
    start: int,
    processes: ProcessGroup,
    pinned: bool = False,
) -> DataLoader[Batch]:
    """Return the batches of one process from step `start` on.

    Args:
        pinned: Put batches into pinned memory, from which a GPU copies asynchronously.
    """
    # on macOS, libraries that torch has loaded may crash in a fork
    forks = sys.platform != "darwin"
    forks = forks and "fork" in multiprocessing.get_all_start_methods()
    # before the fork: workers do not inherit OpenCV's threads and would wait for them forever
    cv2.setNumThreads(1)
    return DataLoader(
        _Samples(samples),  # type: ignore[arg-type]
        batch_sampler=_Batches(samples, train, start, processes),
        collate_fn=collate,
        num_workers=train.num_workers,
        pin_memory=pinned,
        prefetch_factor=8 if train.num_workers else None,
        # a separate generator, so that the loader does not change the dropout of a resumed run
        generator=torch.Generator(),
        # forked workers share the landmarks; others reopen the memory-mapped crops by path
        multiprocessing_context="fork" if train.num_workers and forks else None,
    )
