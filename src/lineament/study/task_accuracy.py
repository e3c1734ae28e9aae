"""Share of right classes of a network's tasks on MTFL's test faces."""

import numpy as np
import torch

from ..data.crop_cache import CropCache, plain_crops
from ..data.mixture import read_mixture
from ..errors import RecipeError
from ..recipe.data import DataPart
from ..training.attributes import task_errors
from .finished_run import FinishedRun

BATCH = 64
TEST = DataPart(reader="mtfl", part="test")


def faces_of_test(run: FinishedRun) -> list[CropCache]:
    """Return the test faces of MTFL, with their attributes."""
    model = run.recipe.model
    places = run.recipe.scheme, run.data_root, run.cache
    crop = model.size, model.padding
    sources, validation = read_mixture([TEST], *places, crop=crop)
    return [source.cache for source in sources] + list(validation.values())


@torch.no_grad()
def task_accuracy(run: FinishedRun, task: str) -> float:
    """Return the share of test faces of which `task` is right.

    Raises:
        RecipeError: If the network has not learned that task.
    """
    tasks = run.recipe.tasks
    if tasks is None or task not in tasks.groups:
        raise RecipeError(
            f"{run.checkpoint}: a network that has not learned {task!r}; give a recipe whose "
            "[tasks] has it"
        )
    net, right, count = run.trained[0], 0.0, 0
    for faces in faces_of_test(run):
        found = []
        for crops, _ in plain_crops(faces, net.size, run.recipe.model.padding, BATCH):
            output = net(torch.from_numpy(crops))
            assert output.class_logits is not None  # as the recipe has tasks
            found.append(output.class_logits)
        stated = {
            name: torch.from_numpy(np.asarray(values))
            for name, values in faces.attributes.items()
        }
        wrong = task_errors(torch.cat(found), stated, tasks)[task]
        right, count = right + (1 - wrong) * len(faces), count + len(faces)
    return right / count
