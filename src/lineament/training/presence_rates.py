"""Presence and visibility on validation crops, with a face and without. Depends on torch."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..data.crop_cache import plain_crops
from ..data.negatives import PresenceCrops
from ..evaluation.classification import auc
from ..geometry import Array
from .validate import BATCH, crop_size

HALF = 0.5
"""Probability from which a crop counts as showing a face."""


class StateLogits(NamedTuple):
    """Outputs of a network for PresenceCrops."""

    presence: Array
    """(M,) of all crops, faces first."""
    visible: Array
    """(F, N) of the faces."""


@torch.no_grad()
def predict_states(
    model: nn.Module, crops: PresenceCrops, padding: float
) -> StateLogits:
    """Return the logits of a network, uint8 crops (B, S, S, 3) -> HeadOutput."""
    presence, visible = [], []
    device, size = next(model.parameters()).device, crop_size(model)
    for number, cache in enumerate([*crops.faces, *crops.negatives]):
        for batch, _ in plain_crops(cache, size, padding, BATCH):
            raw = model(torch.from_numpy(batch).to(device))
            presence.append(raw.presence_logits.cpu().numpy())
            if number < len(crops.faces):
                visible.append(raw.visible_logits.cpu().numpy())
    return StateLogits(
        np.concatenate(presence).astype(np.float64),
        np.concatenate(visible).astype(np.float64),
    )


def presence_rates(
    model: nn.Module, crops: PresenceCrops, padding: float
) -> dict[str, float]:
    """Return the rates of `model` on validation crops by name, all fractions.

    "presence_auc" and "visible_auc" are areas under ROC curves; "presence_missed" is the share of
    faces below a presence of 0.5, "presence_false" that of other crops above it.
    """
    training = model.training
    model.eval()
    logits = predict_states(model, crops, padding)
    model.train(training)
    return state_rates(logits.presence, logits.visible, crops, 0.0)


def state_rates(
    presence: Array, visible: Array, crops: PresenceCrops, threshold: float = HALF
) -> dict[str, float]:
    """Return the rates of outputs, as `presence_rates` does.

    Args:
        presence: (M,), logits or probabilities.
        visible: (F, N), likewise.
        threshold: The value that stands for a probability of 0.5.
    """
    faces, seen = crops.presence(), crops.visible()
    missed = presence[faces] < threshold
    false = presence[~faces] >= threshold
    rates = {
        "presence_auc": roc_auc(presence, faces),
        "presence_missed": float(missed.mean()) if len(missed) else float("nan"),
        "presence_false": float(false.mean()) if len(false) else float("nan"),
    }
    known = np.isfinite(seen)
    visible_auc = roc_auc(visible[known], seen[known] > HALF)
    # without a point that is not visible there is no curve
    return rates | ({} if np.isnan(visible_auc) else {"visible_auc": visible_auc})


def roc_auc(scores: Array, positive: NDArray[np.bool_]) -> float:
    """Return the probability that a positive's score is above a negative's; ties count half.

    nan without a positive or without a negative, or if a score is not finite.
    """
    # a network that diverged must not end its training here
    if positive.all() or not positive.any() or not np.isfinite(scores).all():
        return float("nan")
    return auc(positive, scores)
