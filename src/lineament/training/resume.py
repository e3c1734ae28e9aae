"""Check that a resumed run matches the one in its folder."""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..errors import TrainError
from ..recipe import Recipe

CHECKPOINT = "checkpoint.pt"
"""File name of a network's checkpoint in the run folder."""
CLASSIC_CHECKPOINT = "checkpoint.safetensors"
"""File name for a model without a network, which is the model itself."""
FREE_ON_RESUME = (
    "device",
    "threads",
    "num_workers",
    "checkpoint_minutes",
    "validate_every",
)
"""Settings of [train] that do not change the result.

If tasks stop early, `validate_every` does change it.
"""


def check_folder(checkpoint: Path, resume: bool) -> None:
    """Raise TrainError if `checkpoint` exists in a new run, or is absent in a resumed one."""
    if checkpoint.exists() and not resume:
        raise TrainError(
            f"{checkpoint.parent} already contains a run; "
            "give --resume to continue it, or another --out"
        )
    if resume and not checkpoint.exists():
        raise TrainError(
            f"{checkpoint.parent} contains no checkpoint to resume from; start without --resume"
        )


def digests(files: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of each of `files` that exists, by path."""
    result = {}
    for name in sorted(set(files)):
        if name and Path(name).is_file():
            result[name] = sha256(Path(name).read_bytes()).hexdigest()
    return result


def check_digests(before: dict[str, str], now: dict[str, str], folder: Path) -> None:
    """Check that no file has changed since the run in `folder` began.

    Raises:
        TrainError: If one has.
    """
    for path in before.keys() & now.keys():
        if before[path] != now[path]:
            raise TrainError(
                f"{path} is not the file that {folder} was started with; "
                "restore that file, or start over with another --out"
            )


def changed_keys(stored: dict[str, Any], recipe: Recipe) -> list[str]:
    """Return the keys in which the `stored` recipe differs from `recipe`.

    Missing keys count as defaults; settings that do not change the result are ignored.
    """
    try:
        before = Recipe.model_validate(stored)
    except ValueError:
        return ["unknown keys"]
    if before.kind != recipe.kind:
        return ["model.kind"]
    old, new = _compared(before), _compared(recipe)
    names = []
    for key in old:
        if key not in ("model", "augment", "train") and old[key] != new[key]:
            names.append(key)
    for key in ("augment", "model", "train"):
        names += [
            f"{key}.{name}"
            for name in old[key]
            if name in new[key] and old[key][name] != new[key][name]
        ]
    return names


def _compared(recipe: Recipe) -> dict[str, Any]:
    values = recipe.model_dump()
    tasks = values["tasks"]
    for key in FREE_ON_RESUME:
        # a task is stopped at a validation
        if key != "validate_every" or not (tasks and tasks["stop_threshold"]):
            del values["train"][key]
    # implied by the task; older checkpoints lack it
    del values["model"]["kind"]
    if values["slim"]:  # only used after training
        for key in ("thresholds", "pruning_ratios", "relative"):
            del values["slim"][key]
    distill = values["distill"]
    if distill and not distill["mask_prob"]:
        del distill["mask_size"]
    if distill and distill["students"] == 1:
        del distill["random_init_peers"]
    return values
