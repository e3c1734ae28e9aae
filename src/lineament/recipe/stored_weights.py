"""Look up stored weights by name: "lite2-128" is teachers/lite2-128.safetensors."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import RecipeError, did_you_mean

FOLDER = "teachers"
CHECKOUT = Path(__file__).resolve().parents[3]
"""Root of the repository, if the package is not installed from a wheel."""
SUFFIX = ".safetensors"


def find_named_weights(values: dict[str, Any], recipe: Path) -> None:
    """Replace names of stored weights in a recipe by their paths, in place.

    Args:
        values: Keys of the recipe; `init_from`, `init_parts`, `distill.teacher` and
            `detector.mine_from` may name weights.
        recipe: The recipe's file.

    Raises:
        RecipeError: If no weights have that name.
    """
    places = [(values, "init_from")]
    parts = values.get("init_parts")
    if isinstance(parts, dict):
        places += [(parts, part) for part in parts]
    for table, key in (("distill", "teacher"), ("detector", "mine_from")):
        if isinstance(values.get(table), dict):
            places.append((values[table], key))
    for place, key in places:
        if is_name(place.get(key)):
            place[key] = find_weights(place[key], recipe)


def is_name(value: Any) -> bool:
    """Return whether `value` is text without folder and suffix, the form of a weights name."""
    if not isinstance(value, str) or not value:
        return False
    return Path(value).name == value and not Path(value).suffix


def find_weights(name: str, recipe: Path) -> str:
    """Return the path of the stored weights called `name`.

    The search order is `teachers/` next to the recipe, in the folders above, in the current
    directory, and in the checkout that this package runs from. A path below the current directory
    is returned relative to it.

    Raises:
        RecipeError: If no weights have that name; the message lists those that exist.
    """
    available: dict[str, Path] = {}
    for folder in _folders(recipe):
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            available.setdefault(path.stem, path)
    packaged = CHECKOUT / FOLDER / f"{name}{SUFFIX}"
    if name not in available and packaged.is_file():
        available[name] = packaged
    if name not in available:
        recipe_folder, current_folder = recipe.resolve().parent, Path.cwd()
        searched = (
            f"no {FOLDER}/{name}{SUFFIX} in {recipe_folder}, in a folder above it or in "
            f"{current_folder}"
        )
        remedy = f"put weights in {FOLDER}/, or give the path of a file"
        if available:
            remedy = f"{did_you_mean(name, available)} {_format_paths(available)}"
        raise RecipeError(f"{recipe}: {searched}; {remedy}")
    path = available[name]
    return str(
        path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    )


def _folders(recipe: Path) -> Iterator[Path]:
    for parent in (*recipe.resolve().parents, Path.cwd()):
        yield parent / FOLDER


def _format_paths(available: dict[str, Path]) -> str:
    paths = ", ".join(str(path) for path in available.values())
    return f"(found: {paths})"
