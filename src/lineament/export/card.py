"""The card of an exported model: what is known of the file that lies beside it."""

import hashlib
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..recipe import Recipe
from ..training.checkpoint import load_checkpoint
from .calibrate import SigmaScale


def make_card(
    path: Path,
    metadata: dict[str, Any],
    recipe: Recipe,
    checkpoint: Path,
    gate: dict[str, float],
    scale: SigmaScale,
    about: dict[str, Any],
) -> dict[str, Any]:
    """What is known of the exported file, as JSON-able values.    gate: how far it is from the trained network."""
    return {
        **metadata,
        **file_entries(path, checkpoint),
        "recipe": _without_places(recipe),
        "sigma": scale.as_dict(),
        "gate": gate,
        **about,
    }


def file_entries(path: Path, checkpoint: Path) -> dict[str, Any]:
    """Return the entries of a card on the file at `path` and the checkpoint it was made from."""
    data = path.read_bytes()
    return {
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "made": datetime.now(UTC).date().isoformat(),
        "commit": _commit(),
        "steps_done": load_checkpoint(checkpoint)["step"],
    }


def _commit() -> str:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _without_places(recipe: Recipe) -> dict[str, Any]:
    """The recipe as a card holds it: of the files it names, the last two parts."""

    def short(path: str) -> str:
        return "/".join(Path(path).parts[-2:])

    told = recipe.model_dump(mode="json", exclude_none=True)
    told["init_from"], told["model"]["pruned_from"] = (
        short(recipe.init_from),
        short(recipe.model.pruned_from),
    )
    for part in told["data"]:
        part["folder"] = short(part["folder"])
    if recipe.refine:
        told["refine"]["videos"] = [short(path) for path in recipe.refine.videos]
        told["refine"]["labels"] = short(recipe.refine.labels)
    if recipe.distill:
        told["distill"]["teacher"] = short(recipe.distill.teacher)
    return told
