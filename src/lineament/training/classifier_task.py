"""Training of a classifier on CIFAR-10 by cross-entropy. Depends on torch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ..data.cifar10 import ClassImages, first_of_each_class, read_cifar10
from ..recipe import Recipe
from ..recipe.model import ClassifierSettings
from .batch import Batch
from .build import build_model, load_initial_weights
from .device import autocast
from .task import Context, Samples, Task

BATCH = 250
"""Images per forward pass without gradients."""


class ShuffledImages(Samples):
    """Images without augmentation, reshuffled every epoch."""

    def __init__(self, images: ClassImages, seed: int) -> None:
        self.images, self.seed = images, seed

    def order(self, epoch: int, progress: float) -> NDArray[np.int64]:
        """Return the rows (M, 2) of an epoch, shuffled."""
        rows = np.random.default_rng([self.seed, epoch]).permutation(len(self.images))
        return np.stack([np.zeros_like(rows), rows], axis=1)

    def make(
        self, epoch: int, position: int, source: int, item: int, /
    ) -> dict[str, Any]:
        """Return an image and its class."""
        return {"crops": self.images.images[item], "classes": self.images.classes[item]}

    def key(self) -> object:
        """Return a key that is equal for runs on the same images."""
        return (id(self.images), self.seed)


class ClassifierTask(Task):
    """Train an image classifier; validation also reports the training accuracy."""

    metric = "class"

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self.sums = torch.zeros(2)
        """Training images since the last validation: number classified correctly, and total."""

    def input_files(self) -> tuple[str, ...]:
        return (self.recipe.init_from,)

    def build(self, context: Context) -> nn.Module:
        model = build_model(self.recipe, context.resume_from)
        if context.resume_from is None:
            load_initial_weights(model, self.recipe)
        return model

    def samples(self, context: Context) -> Samples:
        settings = self.recipe.model
        assert isinstance(settings, ClassifierSettings)
        training = read_cifar10(context.data_root, "train")
        self.validation = read_cifar10(context.data_root, "validation")
        self.sums = self.sums.to(context.device)
        chosen = first_of_each_class(training, settings.images)
        return ShuffledImages(chosen, self.recipe.train.seed)

    def count(self, batch: Batch) -> Tensor:
        return torch.tensor(len(batch))

    def losses(
        self, model: nn.Module, batch: Batch, count: Tensor
    ) -> dict[str, Tensor]:
        assert batch.classes is not None
        with autocast(batch.crops.device.type, self.recipe.train.bf16):
            logits = model(batch.crops)
        correct = (logits.argmax(1) == batch.classes).sum()
        self.sums.add_(torch.stack([correct, torch.ones_like(batch.classes).sum()]))
        total = functional.cross_entropy(logits, batch.classes, reduction="sum") / count
        return {"total": total}

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return accuracy and loss on the validation images, and the training accuracy."""
        correct, total = self.sums.tolist()
        self.sums.zero_()
        accuracy, loss = measure_classifier(model, self.validation)
        training = correct / max(total, 1)
        return {"accuracy": accuracy, "training_accuracy": training, "loss": loss}

    def state(self) -> dict[str, Any]:
        """Return the task's part of a checkpoint."""
        return {"sums": self.sums.cpu()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self.sums = state["sums"].to(self.sums.device)


@torch.no_grad()
def measure_classifier(model: nn.Module, images: ClassImages) -> tuple[float, float]:
    """Return the accuracy of a classifier on images, and its mean cross-entropy."""
    device = next(model.parameters()).device
    correct, loss = 0.0, 0.0
    for start in range(0, len(images), BATCH):
        part = images.take(np.arange(start, min(start + BATCH, len(images))))
        logits = model(torch.from_numpy(part.images).to(device)).cpu()
        classes = torch.from_numpy(part.classes)
        correct += float((logits.argmax(1) == classes).sum())
        loss += float(functional.cross_entropy(logits, classes, reduction="sum"))
    return correct / len(images), loss / len(images)
