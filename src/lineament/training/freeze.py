"""Freeze parts of a network during training. Depends on torch."""

import re
from collections.abc import Iterable, Sequence

from torch import nn

from ..errors import RecipeError, did_you_mean

STUDENT = re.compile(r"^students\.[0-9]+\.")
"""Prefix of the names in a student, which is trained together with other networks or layers."""


def in_part(name: str, part: str) -> bool:
    """Return whether the dotted `name` is `part` or below it.

    >>> in_part("head.out.weight", "head.out"), in_part("head.outer.weight", "head.out")
    (True, False)
    """
    return name == part or name.startswith(f"{part}.")


def check_parts(parts: Iterable[str], names: Iterable[str], key: str) -> None:
    """Check that each of `parts` matches at least one of `names`.

    Raises:
        RecipeError: If one matches none; the message names `key` and the nearest part.
    """
    listed = list(names)
    for part in parts:
        if any(in_part(name, part) for name in listed):
            continue
        prefixes: dict[str, None] = {}
        for name in listed:
            words = name.split(".")
            prefixes |= dict.fromkeys(
                ".".join(words[:depth]) for depth in range(1, len(words) + 1)
            )
        raise RecipeError(
            f"{key} names {part!r}, which the network does not have; "
            f"{did_you_mean(part, prefixes)}"
        )


def freeze(model: nn.Module, parts: Sequence[str]) -> list[nn.Module]:
    """Freeze the weights of `parts`, dotted prefixes of parameter names.

    Students are named like a network that is trained alone: "backbone" freezes the backbones of all
    students, "students.0.backbone" only that of the first.

    Returns:
        The norms and dropouts in those parts. They must stay in evaluation mode, so that the
        statistics and outputs of frozen parts do not change.

    Raises:
        RecipeError: If a part matches no weight.
    """
    parameters = dict(model.named_parameters())
    names: dict[str, None] = {}
    for name in parameters:
        names |= dict.fromkeys((STUDENT.sub("", name), name))
    check_parts(parts, names, "train.freeze")
    for name, parameter in parameters.items():
        if _in_any(name, parts):
            parameter.requires_grad_(False)
    frozen = []
    for name, module in model.named_modules():
        has_state = hasattr(module, "running_mean") or isinstance(module, nn.Dropout)
        if has_state and _in_any(name, parts):
            frozen.append(module)
    return frozen


def _in_any(name: str, parts: Sequence[str]) -> bool:
    """Return whether a name, or the name without the prefix of its student, is in a part."""
    names = (name, STUDENT.sub("", name))
    return any(in_part(either, part) for either in names for part in parts)
