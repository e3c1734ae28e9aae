"""Unique names for items that would otherwise have the same name."""

from collections.abc import Callable, Iterable


class UsedNames:
    """Names that are taken, ignoring case: some file systems do not distinguish it."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = {name.casefold() for name in names}

    def __contains__(self, name: str) -> bool:
        return name.casefold() in self._names

    def add(self, name: str) -> None:
        """Mark a name as taken."""
        self._names.add(name.casefold())

    def is_free(self, name: str) -> bool:
        """Return whether a name is not taken yet."""
        return name not in self


def unique_name(candidates: Iterable[str], is_free: Callable[[str], bool]) -> str:
    """Return the first free name in `candidates`, or the last one with a number from 2 appended.

    >>> unique_name(["a", "a.jpg"], lambda name: name not in {"a", "a.jpg"})
    'a.jpg-2'
    """
    name = ""
    for name in candidates:
        if is_free(name):
            return name
    number = 2
    while not is_free(f"{name}-{number}"):
        number += 1
    return f"{name}-{number}"
