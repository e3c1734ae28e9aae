"""Entry points of installed packages: their models, readers, detectors and schemes by name.

An entry point is loaded when its name is used and is not one of this package's own.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ExtraError, short_reason

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

MODELS = "lineament.models"
"""Functions that return the path of a model file."""
READERS = "lineament.readers"
"""DataSet objects."""
DETECTORS = "lineament.detectors"
"""Functions that return a detector: a callable from an RGB image to boxes."""
SCHEMES = "lineament.schemes"
"""Functions that return the path of a scheme's .toml file."""


def plugin_names(group: str) -> list[str]:
    """Return the names that installed packages add to a group, sorted."""
    return sorted(_entry_points(group))


def load_plugin(group: str, name: str) -> Any:
    """Return the object that an entry point names; None if no package has this name.

    Raises:
        ExtraError: If it cannot be imported.
    """
    entry = _entry_points(group).get(name)
    if entry is None:
        return None
    try:
        return entry.load()
    except Exception as error:  # any module of any package may fail in any way
        raise _broken(entry, error) from error


def make_plugin(group: str, name: str) -> Any:
    """Return what the function of an entry point returns; None if no package has this name.

    Raises:
        ExtraError: If it cannot be imported, or the call fails.
    """
    function = load_plugin(group, name)
    if function is None:
        return None
    try:
        return function()
    except Exception as error:
        raise _broken(_entry_points(group)[name], error) from error


def plugin_file(group: str, name: str) -> Path | None:
    """Return the file that an entry point states; None if no package has this name.

    Raises:
        ExtraError: If the entry point fails, or returns no path of a file.
    """
    made = make_plugin(group, name)
    if made is None:
        return None
    if isinstance(made, str | os.PathLike) and Path(made).is_file():
        return Path(made)
    entry = _entry_points(group)[name]
    raise _broken(entry, f"it returned {made!r}, not the path of a file")


def _entry_points(group: str) -> "dict[str, EntryPoint]":
    from importlib.metadata import entry_points  # takes 20 ms, and few names need it

    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=group):
        found.setdefault(entry.name, entry)
    return found


def _broken(entry: "EntryPoint", reason: Exception | str) -> ExtraError:
    package = entry.dist.name if entry.dist else "an installed package"
    text = short_reason(reason) if isinstance(reason, Exception) else reason
    return ExtraError(
        f"the plug-in {entry.name!r} of {package} cannot be used ({text}); update or uninstall "
        f"{package}"
    )
