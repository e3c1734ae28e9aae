"""The card of a model: a JSON file next to it, with its data, figures and terms."""

import json
from pathlib import Path
from typing import Any

from ..errors import ModelError


def read_card(path: Path) -> dict[str, Any]:
    """Return the card next to the model file at `path`; empty if there is none.

    Raises:
        ModelError: If it is not JSON.
    """
    card = path.with_suffix(".json")
    if not card.is_file():
        return {}
    try:
        return dict(json.loads(card.read_text(encoding="utf-8")))
    except (ValueError, OSError) as error:
        raise ModelError(
            f"{card}: not a card ({error}); wanted the JSON file written with the model"
        ) from error
