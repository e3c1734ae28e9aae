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

Mixture = tuple[list[Source], dict[str, CropCache]]
"""Sources to train on, and the validation faces by data set."""


class Samples(Protocol):
    """The data that batches are made of, in an order that depends on seed and epoch alone."""

    def order(self, epoch: int, progress: float) -> NDArray[np.int64]:
        """Return the (source, item) pairs (M, 2) of an epoch, given the fraction trained before."""

    def make(
        self, epoch: int, position: int, source: int, item: int, /
    ) -> dict[str, Any]:
        """Return one sample: arrays of fixed shapes by the names of Batch's fields."""

    def key(self) -> object:
        """Return a value that is equal for samples that make the same arrays."""


@dataclass(frozen=True)
class Context:
    """The surroundings of a run."""

    data_root: Path
    """Folder of the data sets."""
    cache: Path
    """Folder for prepared crops, clips and teacher landmarks."""
    device: torch.device
    read: Callable[..., Mixture]
    """Reads the mixture as read_mixture does, or shares what it read between runs."""
    resume_from: Path | None = None
    """The run's own checkpoint, if it is resumed: its weights replace those that `build` gives."""
    note: Callable[[str], None] = lambda line: None
    """Takes plain lines, e.g. about missing data."""


class Task(ABC):
    """One kind of training by a recipe. Methods are called in the order in which they stand.

    Several processes each have a task and run it alike; files are cached by the first one.
    """

    metric = "nme"
    """Name of the validation results in the log."""

    def __init__(self, recipe: Recipe) -> None:
        """Check the recipe.    Raises: RecipeError."""
        self.recipe = recipe

    def input_files(self) -> tuple[str, ...]:
        """Return the files whose content the result depends on; a resumed run requires the same."""
        return ()

    @abstractmethod
    def build(self, context: Context) -> nn.Module:
        """Return the network with its initial weights; may complete `self.recipe` from them."""

    @abstractmethod
    def samples(self, context: Context) -> Samples:
        """Read the data; keep what `validate` needs."""

    def make_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer; each of its groups has a "factor" of the learning rate."""
        return make_optimizer(model, self.recipe.train)

    def before_run(self, model: nn.Module, note: Callable[[str], None]) -> None:  # noqa: B027
        """Note what is worth knowing before a new run begins."""

    def prepare(self, batch: Batch) -> Batch:
        """Return the batch as `losses` takes it; runs on the CPU before each step."""
        return batch

    @abstractmethod
    def count(self, batch: Batch) -> Tensor:
        """Return the number () of what the losses of the batch are means of, or several (K,)."""

    def graph_key(self, step: int) -> object:
        """Return a value that differs for steps that do not run the same operations."""
        return None

    @abstractmethod
    def losses(
        self, model: nn.Module, batch: Batch, count: Tensor
    ) -> dict[str, Tensor]:
        """Return the weighted losses by name and their sum as "total".

        They become a CUDA graph: shapes are fixed, and nothing may wait for the device or create a
        tensor from Python numbers.

        Args:
            batch: Part of the global batch, on the device.
            count: Sum of `count` over the global batch, which the losses are divided by, so that
                they add up over accumulated batches and processes.
        """

    def before_step(self, model: nn.Module, step: int) -> None:  # noqa: B027
        """Change the summed gradients before the optimizer uses them."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds of the task itself."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Continue from what `state` returned; a run of an earlier version has {}."""

    @abstractmethod
    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return the results by name for `model`, which is in evaluation mode."""

    def face_errors(self, model: nn.Module) -> dict[str, list[float]]:
        """Return the error of each validation face by set; nothing if the task has no landmarks."""
        return {}

    def starts_trained(self) -> bool:
        """Return whether the initial weights already do what the task trains."""
        return False
