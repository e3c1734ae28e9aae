"""Check the data that an export needs, without a model. Depends on torch."""

from collections.abc import Callable
from pathlib import Path

from ..data.mixture import read_mixture
from ..errors import DataError
from ..recipe import Recipe
from ..training.validate import export_error_message


def check_data(
    recipe: Recipe, data_root: Path, cache: Path, note: Callable[[str], None]
) -> dict[str, int]:
    """Read the data of a recipe, and return the number of its validation faces by data set.

    Args:
        note: Receives the lines that a training run reports about its data.

    Raises:
        DataError: If they do not suffice for an export.
    """
    crop = recipe.model.size, recipe.model.padding
    _, validation_faces = read_mixture(
        recipe.data, recipe.scheme, data_root, cache, note, crop
    )
    fault = export_error_message(validation_faces, recipe.scheme)
    if fault:
        raise DataError(f"the recipe {recipe.name!r}: {fault}")
    return {name: len(faces) for name, faces in validation_faces.items()}
