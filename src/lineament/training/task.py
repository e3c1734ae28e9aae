"""Task: one kind of training, which `Trainer` runs and registry.py lists by name.

To add one, derive from Task or LandmarkTask and implement `build`, `samples`, `count`, `losses`
and `validate`; `make` of the samples returns arrays by the names of Batch's fields.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..data.crop_cache import CropCache
from ..data.training_crops import Source
from ..recipe import Recipe
from .batch import Batch
from .optimizer import make_optimizer
from .parallel import ProcessGroup

Mixture = tuple[list[Source], dict[str, CropCache]]
"""Training sources, and validation faces by data set."""


class Samples(Protocol):
    """Training data in an order that depends only on seed and epoch."""

    def order(self, epoch: int, progress: float) -> NDArray[np.int64]:
        """Return the (source, item) pairs (M, 2) of an epoch.

        Args:
            epoch: Number of the epoch, from 0.
            progress: Fraction of the training done before it.
        """

    def make(
        self, epoch: int, position: int, source: int, item: int, /
    ) -> dict[str, Any]:
        """Return one sample: arrays of fixed shapes by the names of Batch's fields."""

    def key(self) -> object:
        """Return a key that is equal for samples that make the same arrays."""


@dataclass(frozen=True)
class Context:
    """Folders and callables that a run uses."""

    data_root: Path
    """Folder of the data sets."""
    cache: Path
    """Folder for prepared crops, clips and teacher landmarks."""
    device: torch.device
    read: Callable[..., Mixture]
    """Reads the mixture like read_mixture; may share data between runs."""
    resume_from: Path | None = None
    """Checkpoint of a resumed run, whose weights replace those of `build`; None for a new run."""
    note: Callable[[str], None] = lambda line: None
    """Receives lines of text, e.g. about missing data."""


class Task(ABC):
    """One kind of training, defined by a recipe. Methods are called in the order listed here.

    In data-parallel training, every process runs the same task; the first one caches files.
    """

    metric = "nme"
    """Name of the validation results in the log."""

    def __init__(self, recipe: Recipe) -> None:
        """Check the recipe.

        Raises:
            RecipeError: If it does not fit this kind of training.
        """
        self.recipe = recipe

    def input_files(self) -> tuple[str, ...]:
        """Return the files that affect the result; they must be unchanged in a resumed run."""
        return ()

    @abstractmethod
    def build(self, context: Context) -> nn.Module:
        """Return the network with initial weights; may set the architecture of `self.recipe`."""

    @abstractmethod
    def samples(self, context: Context) -> Samples:
        """Read the data; store the part that `validate` needs."""

    def make_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer; each of its groups has a "factor" of the learning rate."""
        return make_optimizer(model, self.recipe.train)

    def before_run(self, model: nn.Module, note: Callable[[str], None]) -> None:  # noqa: B027
        """Report facts about the initial state of a new run."""

    def prepare(self, batch: Batch) -> Batch:
        """Return the batch in the form that `losses` takes; runs on the CPU before each step."""
        return batch

    @abstractmethod
    def count(self, batch: Batch) -> Tensor:
        """Return the count () that the losses of the batch are averaged over, or several (K,)."""

    def graph_key(self, step: int) -> object:
        """Return a key that differs between steps with different operations."""
        return None

    @abstractmethod
    def losses(
        self, model: nn.Module, batch: Batch, count: Tensor
    ) -> dict[str, Tensor]:
        """Return the weighted losses by name and their sum as "total".

        They are captured as a CUDA graph: shapes are fixed, and the code must not synchronize with
        the device or create tensors from Python numbers.

        Args:
            batch: Part of the global batch, on the device.
            count: Sum of `count` over the global batch, which the losses are divided by, so that
                they add up over accumulated batches and processes.
        """

    def before_step(self, model: nn.Module, step: int) -> None:  # noqa: B027
        """Modify the summed gradients before the optimizer step."""

    def state(self) -> dict[str, Any]:
        """Return the task's own part of a checkpoint."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Restore the result of `state`; {} for a run of an earlier version."""

    def before_validation(self, processes: ProcessGroup) -> None:  # noqa: B027
        """Collect what `validate` needs from other processes; every process calls this."""

    @abstractmethod
    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return the results by name for `model`, which is in evaluation mode.

        Only the first process calls this.
        """

    def after_validation(self, processes: ProcessGroup) -> None:  # noqa: B027
        """Adopt what `validate` has changed in the first process; every process calls this."""

    def face_errors(self, model: nn.Module) -> dict[str, list[float]]:
        """Return the error of each validation face by set; empty if the task has no landmarks."""
        return {}

    def starts_trained(self) -> bool:
        """Return whether the initial weights were already trained for this task."""
        return False
