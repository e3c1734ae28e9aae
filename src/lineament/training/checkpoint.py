"""Checkpoints: weights, averaged weights, optimizer, counters and recipe in one file.

Weights files contain only the averaged weights, at half precision, with their recipe.
Depends on torch; files are written atomically and load without unpickling code.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..atomic import atomic_path
from ..errors import ModelError

WEIGHTS = ".safetensors"
"""Suffix of weights files."""
FIRST_STUDENT = "students.0."
"""Prefix of the names of the first student's weights."""


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, lists and dicts of them) to `path`, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial:
        torch.save(state, partial)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return the state that `save_checkpoint` wrote, or the part that `save_weights` wrote.

    Raises:
        ModelError: If the file is missing, broken or of another format.
    """
    if path.suffix == WEIGHTS:
        weights, metadata = read_weights(path)
        if "recipe" not in metadata:
            raise ModelError(
                f"{path}: weights without a recipe; "
                "expected a file of scripts/keep_weights.py"
            )
        return {
            "average": weights,
            "step": int(metadata["step"]),
            "recipe": metadata["recipe"],
        }
    if not path.is_file():
        raise ModelError(
            f"no checkpoint at {path}; expected a file written by `lineament train`"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelError(
            f"{path}: not a checkpoint, or a broken one ({type(error).__name__}); train again"
        ) from error
    if not isinstance(state, dict) or "recipe" not in state:
        raise ModelError(
            f"{path}: a torch file, but not a checkpoint of `lineament train`; give "
            "one that it wrote"
        )
    return state


def student_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a single network: the first student's after a distillation."""
    first = {}
    for key, value in state.items():
        if key.startswith(FIRST_STUDENT):
            first[key.removeprefix(FIRST_STUDENT)] = value
    return first or dict(state)


def save_weights(path: Path, state: dict[str, Any]) -> None:
    """Write the averaged weights of a checkpoint's `state`, with its recipe, atomically.

    Matrices and larger tensors are stored at half precision; vectors, counters, and matrices with
    numbers too large for it are unchanged.
    """
    from safetensors.torch import save_file

    tensors = {}
    for key, value in student_weights(state["average"]).items():
        tensors[key] = _shortened(value).contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial:
        metadata = {"recipe": state["recipe"], "step": str(state["step"])}
        save_file(tensors, str(partial), metadata)


def _shortened(value: Tensor) -> Tensor:
    """Return a matrix at half precision, if its numbers fit: 1 / variance of a feature may not."""
    if value.ndim < 2:
        return value
    half = value.half()
    return half if torch.equal(half.isfinite(), value.isfinite()) else value


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the weights in a .safetensors file, floats in full precision, and its metadata.

    Raises:
        ModelError: If the file is missing, broken or of another format.
    """
    with _opened(path) as file:
        weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = dict(file.metadata() or {})
    for key, value in weights.items():
        weights[key] = value.float() if value.is_floating_point() else value
    return weights, metadata


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a .safetensors file, without its weights.

    Raises:
        ModelError: If the file is missing, broken or of another format.
    """
    with _opened(path) as file:
        return dict(file.metadata() or {})


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a .safetensors file.

    Raises:
        ModelError: If it cannot be opened or read.
    """
    from safetensors import safe_open

    try:
        with safe_open(path, "pt") as file:
            yield file
    except Exception as error:
        raise ModelError(
            f"{path}: not a safetensors file ({type(error).__name__}); give one "
            "that contains weights"
        ) from error


def load_weights(path: Path) -> dict[str, Tensor]:
    """Return the weights in a .safetensors file, or the averaged ones in a checkpoint.

    Raises:
        ModelError: If the file is missing, broken or of another format.
    """
    if path.suffix == WEIGHTS:
        return read_weights(path)[0]
    return student_weights(load_checkpoint(path)["average"])
