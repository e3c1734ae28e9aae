"""Card of an exported model: data, figures and license, as JSON next to the file."""

import hashlib
import json
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..atomic import write_bytes
from ..errors import InputError, ModelError
from ..recipe import NAME, Recipe
from ..recipe.stored_weights import CHECKOUT
from ..training.checkpoint import load_checkpoint
from .calibrate import SigmaScale


def check_name(name: str) -> None:
    """Check that `name` is a valid file name.

    Raises:
        InputError: If it is not.
    """
    if not re.match(NAME, name):
        raise InputError(
            f"the name is {name!r}; expected letters, digits, dots, + and - as in fast-128"
        )


def make_card(
    path: Path,
    metadata: dict[str, Any],
    recipe: Recipe,
    checkpoint: Path,
    gate: dict[str, float],
    scale: SigmaScale,
    about: dict[str, Any],
) -> dict[str, Any]:
    """Return the card of the exported file at `path`.

    Args:
        metadata: Metadata of the file.
        gate: Differences between the file and the trained network.
        about: Additional entries: data, license, limits.
    """
    return {
        **metadata,
        **file_entries(path, load_checkpoint(checkpoint)["step"]),
        "recipe": recipe_entry(recipe),
        "sigma": scale.as_dict(),
        "gate": gate,
        **about,
    }


def file_entries(path: Path, steps_done: int) -> dict[str, Any]:
    """Return the entries of a card about the file and its training steps."""
    data = path.read_bytes()
    return {
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "made": datetime.now(UTC).date().isoformat(),
        "commit": _commit(),
        "steps_done": steps_done,
    }


def _commit() -> str:
    """Return the commit of this package; empty if it does not run from its repository."""
    # not of the current directory, which may be another repository
    if not (CHECKOUT / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", str(CHECKOUT), "rev-parse", "--short", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def recipe_entry(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe for a card, with paths shortened to their last two parts."""

    def short(path: str) -> str:
        return "/".join(Path(path).parts[-2:])

    entry = recipe.model_dump(mode="json", exclude_none=True)
    entry["init_from"], entry["model"]["pruned_from"] = (
        short(recipe.init_from),
        short(recipe.model.pruned_from),
    )
    for name, path in recipe.init_parts.items():
        entry["init_parts"][name] = short(path)
    for part in entry["data"]:
        for key in ("folder", "pictures"):
            part[key] = short(part[key])
    if recipe.detector:
        for key in ("teacher", "mine_from"):
            entry["detector"][key] = short(entry["detector"][key])
    if recipe.refine:
        entry["refine"]["videos"] = [short(path) for path in recipe.refine.videos]
        entry["refine"]["labels"] = short(recipe.refine.labels)
    if recipe.presence:
        entry["presence"]["hard_negatives"] = short(recipe.presence.hard_negatives)
    if recipe.distill:
        entry["distill"]["teacher"] = short(recipe.distill.teacher)
    return entry


def write_model(
    folder: Path, name: str, data: bytes, card: dict[str, Any], suffix: str = ".onnx"
) -> None:
    """Write the file `name` + `suffix` and its card `name`.json into `folder`, each atomically.

    Raises:
        ModelError: If a file cannot be written.
    """
    text = json.dumps(card, indent=2, allow_nan=False) + "\n"
    for path, content in (
        (folder / f"{name}{suffix}", data),
        (folder / f"{name}.json", text.encode()),
    ):
        try:
            write_bytes(path, content)
        except OSError as error:
            raise ModelError(
                f"{path}: cannot be written ({error}); choose another folder"
            ) from error
