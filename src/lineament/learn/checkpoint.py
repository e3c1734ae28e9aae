"""Checkpoints: weights, averaged weights, optimizer, counters and recipe in one file, written whole or not at all.

Stands on torch; files load without unpickling code (`weights_only=True`).
"""

import os
from pathlib import Path
from typing import Any

import torch

from ..errors import ModelError


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes `state` (tensors, numbers, texts, lists and dicts of them) to `path`, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    torch.save(state, beside)
    beside.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The state that `save_checkpoint` wrote.    Raises: ModelError where the file is missing, foreign or broken."""
    if not path.is_file():
        raise ModelError(f"no checkpoint at {path}; wanted a file written by `lineament train`")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelError(f"{path}: not a checkpoint, or a broken one ({type(error).__name__}); train again") from error
    if not isinstance(state, dict) or "recipe" not in state:
        raise ModelError(f"{path}: a torch file, but no checkpoint of `lineament train`; give one that it wrote")
    return state
