"""Unique names for items that would otherwise have the same name."""

from collections.abc import Callable, Iterable


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
