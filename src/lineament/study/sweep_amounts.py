"""Amounts that a network was pruned by, in a file in the folder of its run."""

import json
from pathlib import Path
from typing import Any

from ..atomic import write_text
from ..recipe import SlimSettings

AMOUNTS = "pareto.json"


def write_amounts(folder: Path, slim: SlimSettings) -> None:
    """Write that `folder` contains all networks pruned by the amounts of `slim`."""
    write_text(folder / AMOUNTS, json.dumps(_amounts(slim), indent=1) + "\n")


def is_swept(folder: Path, slim: SlimSettings) -> bool:
    """Return whether the last complete sweep in `folder` was by the amounts of `slim`."""
    path = folder / AMOUNTS
    if not path.is_file():
        return False
    return bool(json.loads(path.read_text(encoding="utf-8")) == _amounts(slim))


def _amounts(slim: SlimSettings) -> dict[str, Any]:
    keys = {"thresholds", "relative", "pruning_ratios"}
    return slim.model_dump(mode="json", include=keys)
