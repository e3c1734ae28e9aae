"""`train FOLDER`: create a recipe, train and export a model from annotated photos."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from .app import note, show

if TYPE_CHECKING:
    from ..data.readers.own_data import OwnData

RECIPE_SUFFIX = ".toml"


def is_recipe(given: Path) -> bool:
    """Return True if the argument of train is a recipe, not annotated images."""
    return given.suffix == RECIPE_SUFFIX and not given.is_dir()


def run_name(location: Path) -> str:
    """Return the run name for images at `location`."""
    plain = re.sub(r"[^\w.+-]+", "-", location.resolve().stem, flags=re.ASCII)
    return plain.strip("-._+") or "own"


def write_recipe(location: Path, folder: Path, resume: bool, own: "OwnData") -> Path:
    """Write and print a recipe for training on `location`; a resumed run keeps its recipe."""
    from ..training.own_recipe import RECIPE, write_own_recipe
    from ..training.resume import CHECKPOINT, check_folder

    check_folder(folder / CHECKPOINT, resume)
    if resume:
        return folder / RECIPE
    made = write_own_recipe(location, folder, run_name(folder), note, own)
    note(f"recipe -> {made.path}")
    if made.drawing is not None:
        note(
            f"drawing of the points and mirrored pairs, to be checked -> {made.drawing}"
        )
    note(made.text.rstrip())
    return made.path


def export_own(checkpoint: Path, data: Path, cache: Path | None) -> None:
    """Export the model of a finished run into its folder, and print how to use it."""
    from ..data.sample import cache_root
    from ..export.registry import export_trained
    from ..training.run_files import recipe_of

    folder, name = checkpoint.parent, recipe_of(checkpoint).name
    export_trained(checkpoint, folder, name, False, data, cache_root(cache))
    path = folder / f"{name}.onnx"
    show(f"{path}")
    note(f"next: lineament detect photo.jpg --model {path}")
