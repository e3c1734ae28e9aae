"""Refuse settings of a recipe that its kind of training ignores."""

from collections.abc import Mapping

from ..errors import RecipeError
from ..recipe import Recipe


def refuse_unused(
    recipe: Recipe, settings: Mapping[str, object], user: str, reason: str = ""
) -> None:
    """Check settings of `recipe` that have no effect.

    Args:
        settings: Values by key; an empty one is not set.
        user: What ignores them, such as "a face detector".
        reason: Why it does, for the message; empty: it is obvious.

    Raises:
        RecipeError: If one is set.
    """
    for key, value in settings.items():
        if value:
            because = f", since {reason}" if reason else ""
            raise RecipeError(
                f"the recipe {recipe.name!r} has {key}, which {user} does not use{because}; "
                "remove it"
            )
