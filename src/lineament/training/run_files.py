"""Read checkpoints of finished and unfinished runs of any kind of model."""

import json
from pathlib import Path
from typing import Any

from ..classic.numpy_model import is_numpy_model
from ..inference.registry import NUMPY_MODELS
from ..recipe import Recipe
from ..recipe.file import make_recipe
from .build import read_trained
from .classic.stored import stored_progress
from .resume import CHECKPOINT, CLASSIC_CHECKPOINT


def has_network(recipe: Recipe) -> bool:
    """Return whether `recipe` trains a network."""
    return recipe.kind not in NUMPY_MODELS


def checkpoint_path(recipe: Recipe, folder: Path) -> Path:
    """Return the path of the checkpoint that a training run by `recipe` writes into `folder`."""
    return folder / (CHECKPOINT if has_network(recipe) else CLASSIC_CHECKPOINT)


def read_progress(checkpoint: Path) -> tuple[int, dict[str, Any]]:
    """Return the steps done and the recipe of a checkpoint, as it was stored.

    Raises:
        ModelError: If the file is not a checkpoint.
    """
    if is_numpy_model(checkpoint):
        return stored_progress(checkpoint)
    state = read_trained(checkpoint)[0]
    return int(state["step"]), dict(json.loads(state["recipe"]))


def recipe_of(checkpoint: Path) -> Recipe:
    """Return the recipe of a checkpoint.

    Raises:
        ModelError: If the file is not a checkpoint.
        RecipeError: If its recipe is invalid.
    """
    return make_recipe(read_progress(checkpoint)[1], str(checkpoint))
