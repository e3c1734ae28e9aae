"""Classification accuracy of a network's tasks on MTFL's test faces."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..data.crop_cache import CropCache, plain_crops
from ..data.mixture import read_mixture
from ..errors import RecipeError
from ..recipe import Recipe
from ..recipe.data import DataPart
from ..training.attributes import task_errors

BATCH = 64
TEST = DataPart.model_validate({"reader": "mtfl", "part": "test"})


def read_test_faces(recipe: Recipe, data_root: Path, cache: Path) -> list[CropCache]:
    """Return the test faces of MTFL in the scheme of `recipe`, with their attributes."""
    crop = recipe.model.size, recipe.model.padding
    arguments = recipe.scheme, data_root, cache
    sources, validation = read_mixture([TEST], *arguments, crop=crop)
    return [source.cache for source in sources] + list(validation.values())


def trains_task(recipe: Recipe, task: str) -> bool:
    """Return whether `recipe` trains `task` with a weight above 0."""
    tasks = recipe.tasks
    return tasks is not None and task in tasks.groups and tasks.weight(task) > 0


@torch.no_grad()
def task_accuracy(
    net: nn.Module, recipe: Recipe, faces: list[CropCache], task: str
) -> float:
    """Return the accuracy of `task` on `faces`.

    Raises:
        RecipeError: If the network was not trained for that task.
    """
    tasks, m = recipe.tasks, recipe.model
    if tasks is None or task not in tasks.groups:
        raise RecipeError(
            f"the recipe {recipe.name!r} does not train {task!r}; give one with it in "
            "[tasks]"
        )
    right, count = 0.0, 0
    for part in faces:
        logits = []
        for crops, _ in plain_crops(part, m.size, m.padding, BATCH):
            output = net(torch.from_numpy(crops))
            assert output.class_logits is not None  # since the recipe has tasks
            logits.append(output.class_logits)
        attributes = {
            name: torch.from_numpy(np.asarray(values))
            for name, values in part.attributes.items()
        }
        wrong = task_errors(torch.cat(logits), attributes, tasks)[task]
        right, count = right + (1 - wrong) * len(part), count + len(part)
    return right / count
