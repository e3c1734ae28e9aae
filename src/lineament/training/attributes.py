"""Attributes of faces as additional tasks of a network, with early stopping per task.

Source: Zhang, Luo, Loy, Tang 2014, eq. 3 (weights) and eq. 5 (task-wise early stopping).
"""

import math
from collections.abc import Mapping, Sequence
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import RecipeError
from ..models.heads.output import HeadOutput
from ..recipe.data import TaskSettings


def task_losses(
    raw: HeadOutput, attributes: Mapping[str, Tensor], tasks: TaskSettings
) -> dict[str, Tensor]:
    """Return the mean cross-entropy of each task over the faces annotated with it.

    A task with one attribute is binary; one with several has a class per attribute.

    Args:
        raw: With class_logits (B, K), in the order of the tasks.
        attributes: (B,) by name, 1 or 0, nan where unknown.

    Raises:
        RecipeError: If no data set has an attribute.
    """
    logits = raw.class_logits
    assert logits is not None  # checked when the network was built
    losses, first = {}, 0
    for name, names in tasks.groups.items():
        task_logits = logits[:, first : first + len(names)]
        first += len(names)
        labels = _labels(name, names, attributes)
        annotated = torch.isfinite(labels).all(1)
        target = torch.where(annotated[:, None], labels, 0.0)
        if len(names) == 1:
            values = F.binary_cross_entropy_with_logits(
                task_logits, target, reduction="none"
            )[:, 0]
        else:
            values = F.cross_entropy(task_logits, target.argmax(1), reduction="none")
        losses[name] = torch.where(
            annotated, values, 0.0
        ).sum() / annotated.sum().clamp(min=1)
    return losses


def task_counts(attributes: Mapping[str, Tensor], tasks: TaskSettings) -> Tensor:
    """Return the number of faces annotated with each task, (K,).

    Raises:
        RecipeError: If no data set has an attribute.
    """
    counts = []
    for name, names in tasks.groups.items():
        labels = _labels(name, names, attributes)
        counts.append(torch.isfinite(labels).all(1).sum())
    return torch.stack(counts)


def _labels(
    task: str, names: Sequence[str], attributes: Mapping[str, Tensor]
) -> Tensor:
    """Return the attributes of a task, (B, len(names)).

    Raises:
        RecipeError: If no data set has one of them.
    """
    missing = [name for name in names if name not in attributes]
    if missing:
        raise RecipeError(
            f"the task {task!r} needs the attribute {missing[0]!r}, which no data set of "
            "the recipe has; add the data set mtfl, or remove the task"
        )
    return torch.stack([attributes[name] for name in names], dim=1)


def stop_criterion(
    training: list[float], validation: list[float], weight: float, window: int
) -> float:
    """Return the early-stopping criterion of eq. 5; a task stops if it exceeds a threshold.

    It is the product of two factors. The trend of the training error over the last `window` values
    is large if the error hardly decreases. The gap is the last validation error minus the lowest
    training error, relative to the latter. If the decrease accelerates, the trend is negative and
    so is the criterion, even if the validation error is below the training error. Eq. 5 has a pole
    if the error is constant or decreases linearly; only a constant error stops a task.

    Args:
        training: Training errors of the task, one per validation.
        validation: Validation errors.
        weight: Weight lambda of the task, above 0: a task with a larger weight stops later.
        window: Number of values k.

    Returns:
        The criterion; -inf with fewer than `window` values.
    """
    if len(training) < window:
        return -math.inf
    last = training[-window:]
    middle = window * median(last)
    decrease = sum(last) - middle
    lowest = max(min(training), 1e-9)
    gap = (validation[-1] - lowest) / (weight * lowest)
    if abs(decrease) <= 1e-9 * middle:
        is_constant = last[-1] >= last[0]
        return math.inf if is_constant and gap > 0 else -math.inf
    return middle / decrease * (gap if decrease > 0 else abs(gap))


def task_errors(
    logits: Tensor, attributes: Mapping[str, Tensor], tasks: TaskSettings
) -> dict[str, float]:
    """Return the classification error rate of each task; nan if no face has its attributes.

    Args:
        logits: (M, K), in the order of the tasks.
        attributes: (M,) by name, 1 or 0, nan where unknown.
    """
    errors, first = {}, 0
    for name, names in tasks.groups.items():
        task_logits = logits[:, first : first + len(names)]
        first += len(names)
        labels = torch.stack([attributes[key] for key in names], dim=1)
        annotated = torch.isfinite(labels).all(1)
        if len(names) == 1:
            is_wrong = (task_logits[:, 0] > 0) != (labels[:, 0] > 0.5)
        else:
            is_wrong = task_logits.argmax(1) != labels.nan_to_num().argmax(1)
        errors[name] = float(is_wrong[annotated].float().mean())
    return errors
