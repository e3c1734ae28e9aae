"""Checkpoints: weights, averaged weights, optimizer, counters and recipe in one file.

Depends on torch; files are written atomically and load without unpickling code.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..atomic import atomic_path
from ..errors import ModelError

FIRST_STUDENT = "students.0."
"""Prefix of the names of the first student's weights."""


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, lists and dicts of them) to `path`, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial:
        torch.save(state, partial)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return the state that `save_checkpoint` wrote.

    Raises: ModelError: If the file is missing, foreign or broken.
    """
    if not path.is_file():
        raise ModelError(
            f"no checkpoint at {path}; wanted a file written by `lineament train`"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelError(
            f"{path}: not a checkpoint, or a broken one ({type(error).__name__}); train again"
        ) from error
    if not isinstance(state, dict) or "recipe" not in state:
        raise ModelError(
            f"{path}: a torch file, but no checkpoint of `lineament train`; give one that it wrote"
        )
    return state


def student_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a single network: of distilled students, those of the first one."""
    first = {}
    for key, value in state.items():
        if key.startswith(FIRST_STUDENT):
            first[key.removeprefix(FIRST_STUDENT)] = value
    return first or dict(state)


def load_weights(path: Path) -> dict[str, Tensor]:
    """Return the weights in a .safetensors file, or the averaged ones in a checkpoint.

    Raises:
        ModelError: If the file is missing, foreign or broken.
    """
    if path.suffix != ".safetensors":
        return student_weights(load_checkpoint(path)["average"])
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except Exception as error:
        raise ModelError(
            f"{path}: no safetensors file ({type(error).__name__}); give one with weights"
        ) from error
