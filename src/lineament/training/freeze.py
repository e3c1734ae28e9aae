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

    Raises: RecipeError: If one matches none; the message names `key` and the nearest part.
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

    Returns:
        The norms and dropouts in those parts. They must stay in evaluation mode, so that the
        statistics and outputs of frozen parts do not change.

    Raises: RecipeError: If a part matches no weight.
    """
    parameters = dict(model.named_parameters())
    check_parts(parts, parameters, "train.freeze")
    for name, parameter in parameters.items():
        if any(in_part(name, part) for part in parts):
            parameter.requires_grad_(False)
    frozen = []
    for name, module in model.named_modules():
        has_state = hasattr(module, "running_mean") or isinstance(module, nn.Dropout)
        if has_state and any(in_part(name, part) for part in parts):
            frozen.append(module)
    return frozen
