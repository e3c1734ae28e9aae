"""Read recipes from TOML: `extends`, overrides, and errors that name the key."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ..errors import RecipeError, SchemeError, did_you_mean, short_reason
from ..schemes import add_scheme_table, check_scheme, embedded_table
from .data import DataPart
from .model import MODEL_KINDS
from .recipe import Recipe
from .stored_weights import find_named_weights

EXTENDS = "extends"
REPLACED = ("losses",)
"""Tables that a recipe replaces instead of merging: a recipe lists all of its losses."""

Values = dict[str, Any]


def read_recipe(
    path: Path, overrides: Sequence[str] = (), changes: Mapping[str, Any] | None = None
) -> Recipe:
    """Read a recipe.

    A file may extend others: `extends = "base/cpu.toml"`, or a list of paths, relative to it. Its
    keys override theirs, and those of a later file in the list override those of an earlier one.
    Tables are merged key by key; arrays, such as `data`, and `losses` are replaced. Names of stored
    weights, such as "lite2-128", are replaced by paths: see stored_weights.py.

    Args:
        path: A TOML file.
        overrides: Changes such as "train.steps=100" or "data.0.repeat=2", with values in TOML.
        changes: Additional changes by key, such as {"train.steps": 100}.

    Raises:
        RecipeError: If a file, a key or a value is invalid, files extend each other in a cycle, or
            there are no weights of a given name.
    """
    values = read_values(path)
    for override in overrides:
        _change(values, *parse_override(override))
    for key, value in (changes or {}).items():
        _change(values, key, value)
    find_named_weights(values, path)
    return make_recipe(values, str(path))


def read_values(path: Path, seen: tuple[Path, ...] = ()) -> Values:
    """Return the keys of the file at `path`, merged over those of the files that it extends.

    Args:
        path: A TOML file.
        seen: Chain of `extends` that led to this file.

    Raises:
        RecipeError: If a file cannot be read or extends itself.
    """
    resolved = path.resolve()
    if resolved in seen:
        cycle = " -> ".join(
            step.name for step in (*seen[seen.index(resolved) :], resolved)
        )
        raise RecipeError(f"{path}: extends itself ({cycle}); remove one `extends`")
    try:
        file_values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = short_reason(error)
        is_path = "Unescaped" in reason or "hex value" in reason
        hint = "; write paths with / or in single quotes" if is_path else ""
        raise RecipeError(
            f"{path}: cannot be read as a recipe ({reason}); expected a TOML file{hint}"
        ) from error
    _find_places(file_values, path.parent)
    values: Values = {}
    for base in _bases(file_values, path):
        _merge(values, read_values(base, (*seen, resolved)))
    _merge(values, file_values)
    return values


def make_recipe(values: Values, source: str = "recipe") -> Recipe:
    """Validate `values` and return them as a recipe.

    Raises:
        RecipeError: If a key or value is invalid. For an unknown key, the message suggests the
            nearest ones.
    """
    try:
        values = _with_schemes(values)
    except SchemeError as error:
        raise RecipeError(f"{source}: {error}") from error
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            nearest = _nearest_key(first["loc"], values)
            raise RecipeError(f"{source}: unknown key {key!r}; {nearest}") from error
        actual = (
            "" if first["type"] == "missing" else f" (given {str(first['input'])[:60]})"
        )
        raise RecipeError(
            f"{source}: {key}{actual}: {first['msg']}; correct that key"
        ) from error


def _with_schemes(values: Values) -> Values:
    """Replace scheme files by names, and store the user-defined schemes under own_schemes."""
    for table in dict(values.get("own_schemes", {})).values():
        add_scheme_table(table)
    tables: Values = {}
    parts = values.get("data")
    listed = list(parts) if isinstance(parts, list | tuple) else []
    changed = dict(values)
    places = [changed]
    for number, part in enumerate(listed):
        if isinstance(part, dict):
            listed[number] = dict(part)
            places.append(listed[number])
    if listed:
        changed["data"] = listed
    for place in places:
        if isinstance(place.get("scheme"), str) and place["scheme"]:
            place["scheme"] = check_scheme(place["scheme"])
            table = embedded_table(place["scheme"])
            if table is not None:
                tables[str(place["scheme"])] = table
    return changed | {"own_schemes": tables} if tables else changed


def _bases(values: Values, path: Path) -> list[Path]:
    """Remove `extends` from `values` and return the files that it lists."""
    named = values.pop(EXTENDS, [])
    names = [named] if isinstance(named, str) else named
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RecipeError(
            f"{path}: extends is {named!r}; expected a path or a list of paths"
        )
    return [path.parent / name for name in names]


def _merge(values: Values, overrides: Values) -> None:
    """Merge the keys of `overrides` into `values`, in place; `overrides` takes precedence."""
    for key, value in overrides.items():
        current = values.get(key)
        if (
            isinstance(current, dict)
            and isinstance(value, dict)
            and key not in REPLACED
        ):
            _merge(current, value)
        else:
            values[key] = value


def _find_places(values: Values, home: Path) -> None:
    """Make data and scheme paths relative to the recipe's folder `home` absolute, in place.

    Paths that exist in the current directory or the data root take precedence and are unchanged.
    """
    parts = values.get("data")
    tables = [part for part in parts or () if isinstance(part, dict)]
    for table in tables:
        for key in ("folder", "pictures", "scheme"):
            _find_place(table, key, home)
    _find_place(values, "scheme", home)


def _find_place(table: Values, key: str, home: Path) -> None:
    entry = table.get(key)
    if isinstance(entry, str) and not Path(entry).exists() and (home / entry).exists():
        table[key] = str(home / entry)


def parse_override(override: str) -> tuple[str, Any]:
    """Parse text such as "train.steps=100" into key and value."""
    key, equals, text = override.partition("=")
    if not equals:
        raise RecipeError(
            f"--set {override!r}; expected key=value, e.g. train.steps=100"
        )
    try:
        return key, tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return key, text


def _change(values: Values, key: str, value: Any) -> None:
    """Set the `key` of `values`, such as "data.0.repeat", in place."""
    *path, last = key.strip().split(".")
    place: Any = values
    try:
        for part in path:
            place = (
                place[int(part)]
                if isinstance(place, list)
                else place.setdefault(part, {})
            )
        place[int(last) if isinstance(place, list) else last] = value
    except (ValueError, IndexError, TypeError, AttributeError) as error:
        raise RecipeError(
            f"{key}={value!r}: no such key in the recipe; expected one such as "
            "train.steps=100 or data.0.repeat=2"
        ) from error


def _nearest_key(location: tuple[int | str, ...], values: Values) -> str:
    """Return a hint about known keys similar to the unknown one at `location`."""
    settings: Any = Recipe
    for part in location[:-1]:
        if part == "data":
            settings = DataPart
        elif part == "model":
            settings = MODEL_KINDS[values["model"].get("kind", "landmark-net")]
        elif isinstance(part, str):
            settings = _settings_of(settings.model_fields[part].annotation)
    return did_you_mean(str(location[-1]), settings.model_fields)


def _settings_of(annotation: Any) -> Any:
    """Return the settings class in an annotation such as `DistillSettings | None`."""
    for kind in get_args(annotation):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return annotation
