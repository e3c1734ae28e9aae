"""Freeze parts of a network during training. Depends on torch."""

from collections.abc import Iterable, Sequence

from torch import nn

from ..errors import RecipeError, did_you_mean


def in_part(name: str, part: str) -> bool:
    """Return whether the dotted `name` is `part` or below it.

    >>> in_part("head.out.weight", "head.out"), in_part("head.outer.weight", "head.out")
    (True, False)
    """
    return name == part or name.startswith(f"{part}.")


def check_parts(parts: Iterable[str], names: Iterable[str], key: str) -> None:
    """Check that each of `parts` matches at least one of `names`.

    Raises: RecipeError: Naming `key` of the recipe and the nearest part.
    """
    listed = list(names)
    for part in parts:
        if any(in_part(name, part) for name in listed):
            continue
        known: dict[str, None] = {}
        for name in listed:
            words = name.split(".")
            known |= dict.fromkeys(
                ".".join(words[:depth]) for depth in range(1, len(words) + 1)
            )
        raise RecipeError(
            f"{key} names {part!r}, which the network does not have; "
            f"{did_you_mean(part, known)}"
        )


def freeze(model: nn.Module, parts: Sequence[str]) -> list[nn.Module]:
    """Freeze the weights of `parts`, dotted prefixes of parameter names.

    Returns:
        The norms and dropouts in those parts, which must be kept in evaluation mode, so that a
        frozen part keeps its statistics and predictions.

    Raises: RecipeError: If a part matches no weight.
    """
    named = dict(model.named_parameters())
    check_parts(parts, named, "train.freeze")
    for name, parameter in named.items():
        if any(in_part(name, part) for part in parts):
            parameter.requires_grad_(False)
    kept = []
    for name, module in model.named_modules():
        changes = hasattr(module, "running_mean") or isinstance(module, nn.Dropout)
        if changes and any(in_part(name, part) for part in parts):
            kept.append(module)
    return kept
