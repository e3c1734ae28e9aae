"""Read recipe and progress from the checkpoint of a model without a network."""

from pathlib import Path
from typing import Any

from ...errors import ModelError
from ...inference.registry import load_numpy_model
from ...recipe import Recipe
from ...recipe.file import make_recipe


def stored_progress(checkpoint: Path) -> tuple[int, dict[str, Any]]:
    """Return the steps done and the recipe of a checkpoint, as it was stored.

    Raises:
        ModelError: If the file is not a checkpoint.
    """
    settings = load_numpy_model(checkpoint).settings
    if "recipe" not in settings:
        raise ModelError(
            f"{checkpoint}: has no recipe; give the checkpoint of a run of `lineament "
            "train`"
        )
    return int(settings["step"]), dict(settings["recipe"])


def stored_recipe(checkpoint: Path) -> Recipe:
    """Return the recipe of a checkpoint.

    Raises:
        ModelError: If the file is not a checkpoint.
        RecipeError: If its recipe is invalid.
    """
    return make_recipe(stored_progress(checkpoint)[1], str(checkpoint))
