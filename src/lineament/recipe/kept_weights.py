"""Lookup of kept weights by name: "lite2-128" is teachers/lite2-128.safetensors."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import RecipeError, did_you_mean

FOLDER = "teachers"
CHECKOUT = Path(__file__).resolve().parents[3]
"""Root of the repository, if the package is not installed from a wheel."""
SUFFIX = ".safetensors"


def find_named_weights(values: dict[str, Any], recipe: Path) -> None:
    """Replace names of kept weights in a recipe by their paths, in place.

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


def is_name(given: Any) -> bool:
    """Return True for text without folder and suffix, which is a name of kept weights."""
    if not isinstance(given, str) or not given:
        return False
    return Path(given).name == given and not Path(given).suffix


def find_weights(name: str, recipe: Path) -> str:
    """Return the path of the kept weights called `name`.

    The search order is `teachers/` next to the recipe, in the folders above, in the current
    directory, and in the checkout that this package runs from. A path below the current directory
    is returned relative to it.

    Raises:
        RecipeError: If no weights have that name; the message lists those that exist.
    """
    known: dict[str, Path] = {}
    for folder in _folders(recipe):
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            known.setdefault(path.stem, path)
    packaged = CHECKOUT / FOLDER / f"{name}{SUFFIX}"
    if name not in known and packaged.is_file():
        known[name] = packaged
    if name not in known:
        home, here = recipe.resolve().parent, Path.cwd()
        looked = (
            f"no {FOLDER}/{name}{SUFFIX} in {home}, in a folder above it or in {here}"
        )
        remedy = f"put weights in {FOLDER}/, or give the path of a file"
        if known:
            remedy = f"{did_you_mean(name, known)} {_listed(known)}"
        raise RecipeError(f"{recipe}: {looked}; {remedy}")
    path = known[name]
    return str(
        path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    )


def _folders(recipe: Path) -> Iterator[Path]:
    for parent in (*recipe.resolve().parents, Path.cwd()):
        yield parent / FOLDER


def _listed(known: dict[str, Path]) -> str:
    listed = ", ".join(str(path) for path in known.values())
    return f"(found: {listed})"
