"""Batches of a training: an order that depends on seed and step alone, made by processes beside.

Stands on torch.
"""

import multiprocessing
from collections.abc import Iterator
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ..recipe import TrainSettings
from .parallel import Processes

Index = tuple[int, int, int, int]  # epoch, position, source, face


class Crops(Protocol):
    """What batches are made of: TrainingCrops, or TrainingWindows, whose crops and landmarks have an axis of time."""

    def order(self, epoch: int, progress: float) -> NDArray[np.int64]: ...
    def make(
        self, epoch: int, position: int, source: int, face: int, /
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]: ...


class _Crops(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self, crops: Crops) -> None:
        self.crops = crops

    def __getitem__(self, index: Index) -> tuple[Tensor, Tensor]:
        crop, landmarks_crop = self.crops.make(*index)
        return torch.from_numpy(crop), torch.from_numpy(landmarks_crop)


class _Batches(Sampler[list[Index]]):
    """The batches of one process from step `start` on; the global batch is dealt out in turn."""

    def __init__(
        self, crops: Crops, train: TrainSettings, start: int, processes: Processes
    ) -> None:
        self.crops, self.train, self.start, self.processes = crops, train, start, processes

    def __iter__(self) -> Iterator[list[Index]]:
        step, epoch, rest = 0, 0, np.zeros((0, 4), np.int64)
        batch = self.train.batch
        while step < self.train.steps:
            order = self.crops.order(epoch, step / self.train.steps)
            numbered = np.column_stack([np.full(len(order), epoch), np.arange(len(order)), order])
            rest = np.concatenate([rest, numbered])
            epoch += 1
            while len(rest) >= batch and step < self.train.steps:
                chosen, rest = rest[:batch], rest[batch:]
                if step >= self.start:
                    mine = chosen[self.processes.rank :: self.processes.world]
                    for part in np.array_split(mine, self.train.accumulate):
                        yield [tuple(row) for row in part.tolist()]
                step += 1


def make_loader(
    crops: Crops, train: TrainSettings, start: int, processes: Processes, pinned: bool = False
) -> DataLoader[Any]:
    """The batches from step `start` on: crops (B, S, S, 3) uint8 and landmarks (B, N, 2), for one of the processes.

    pinned: in memory that a GPU may copy from by itself.
    """
    forks = "fork" in multiprocessing.get_all_start_methods()
    # here and not in the loader's processes: OpenCV's threads do not live on in a fork, where it would wait for them
    cv2.setNumThreads(1)
    return DataLoader(
        _Crops(crops),
        batch_sampler=_Batches(crops, train, start, processes),
        num_workers=train.num_workers,
        pin_memory=pinned,
        prefetch_factor=8 if train.num_workers else None,
        # a fork shares the mapped crops, which another start would copy
        multiprocessing_context="fork" if train.num_workers and forks else None,
    )
