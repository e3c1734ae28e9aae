"""Kinds of training by name. Depends on torch."""

from collections.abc import Callable
from pathlib import Path

from ..data.mixture import Mixture, read_mixture
from ..errors import RecipeError
from ..models.registry import KINDS
from ..recipe import Recipe
from .attribute_task import AttributeTask
from .classic.registry import FITS
from .classic.trainer import ClassicTrainer
from .classifier_task import ClassifierTask
from .detector.task import DetectorTask
from .distill.task import DistillTask
from .landmark_task import LandmarkTask
from .mtcnn.task import MtcnnTask
from .parts.task import DpmTask, PartDistillTask, PartTask
from .prune.task import prune_task
from .task import Task
from .temporal.task import TemporalTask
from .trainer import Trainer

TRAINED: dict[str, type[Task]] = {
    "attributes": AttributeTask,
    "landmarks": LandmarkTask,
    "refine": TemporalTask,
    "detector": DetectorTask,
    "mtcnn": MtcnnTask,
    "classifier": ClassifierTask,
    "parts": PartTask,
    "dpm-cnn": DpmTask,
}
"""Tasks of `lineament train`, by the name in models/registry.py."""
DISTILLED: dict[str, type[Task]] = {"part-cascade": PartDistillTask}
"""Tasks of `lineament distill`, by kind of model; DistillTask for all others."""
TASKS: dict[str, Callable[[Recipe], Task]] = {
    "train": lambda recipe: TRAINED[KINDS[recipe.kind].task](recipe),
    "distill": lambda recipe: DISTILLED.get(recipe.kind, DistillTask)(recipe),
    "slim": lambda recipe: slim_task(recipe),
    "refine": TemporalTask,
}
"""Tasks by command; each except "train" has the name of the recipe part that it needs."""


def slim_task(recipe: Recipe) -> Task:
    """Return the task of `lineament slim`.

    Raises:
        RecipeError: As in `prune_task`.
    """
    if recipe.slim is not None and recipe.kind == "part-cascade":
        return PartTask(recipe)
    return prune_task(recipe)


def task_for(recipe: Recipe, kind: str = "") -> Task:
    """Return the task of `recipe`.

    Args:
        kind: A key of TASKS; empty: inferred from the parts of the recipe.

    Raises:
        RecipeError: If the recipe lacks a part of the task.
    """
    for part in ("distill", "slim", "refine"):
        if not kind and getattr(recipe, part) is not None:
            kind = part
    return TASKS[kind or "train"](recipe)


def make_trainer(
    recipe: Recipe,
    folder: Path,
    data_root: Path,
    cache: Path,
    resume: bool = False,
    note: Callable[[str], None] = lambda line: None,
    read: Callable[..., Mixture] = read_mixture,
    kind: str = "",
) -> Trainer | ClassicTrainer:
    """Return the trainer of `recipe`, for a network or a model without one.

    Args:
        folder, data_root, cache, resume, note, read: As for Trainer.
        kind: As for `task_for`.

    Raises:
        RecipeError: If the recipe does not fit the task.
    """
    arguments = (folder, data_root, cache, resume, note, read)
    if recipe.kind not in FITS:
        return Trainer(task_for(recipe, kind), *arguments)
    if kind not in ("", "train"):
        raise RecipeError(
            f"the recipe {recipe.name!r} has a {recipe.kind} model, which has no "
            f"network to {kind}; use lineament train"
        )
    return ClassicTrainer(FITS[recipe.kind], recipe, *arguments)
