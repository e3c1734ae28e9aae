"""Presence and visibility rates on validation crops with and without faces. Depends on torch."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..data.crop_cache import plain_crops
from ..data.negatives import PresenceCrops
from ..evaluation.classification import auc
from ..geometry import Array, Image
from .validate import BATCH, crop_size

HALF = 0.5
"""Probability threshold for a face."""


class StateLogits(NamedTuple):
    """Outputs of a network for PresenceCrops."""

    presence: Array
    """(M,), all crops, faces first."""
    visible: Array
    """(F, N), faces only."""


def run_states(
    predict: Callable[[Image], tuple[Array, Array]],
    crops: PresenceCrops,
    size: int,
    padding: float,
) -> tuple[Array, Array]:
    """Return presence (M, ...) of all crops, faces first, and visibility (F, N) of the faces.

    Args:
        predict: Maps uint8 crops (B, S, S, 3) to presence (B, ...) and visibility (B, N).
        size: Side of the crops, pixels.
        padding: Side of a crop as a multiple of the longer side of its box.
    """
    presence, visible = [], []
    for number, cache in enumerate([*crops.faces, *crops.negatives]):
        for batch, _ in plain_crops(cache, size, padding, BATCH):
            of_crops, of_points = predict(batch)
            presence.append(of_crops)
            if number < len(crops.faces):
                visible.append(of_points)
    return np.concatenate(presence), np.concatenate(visible)


@torch.no_grad()
def predict_states(
    model: nn.Module, crops: PresenceCrops, padding: float
) -> StateLogits:
    """Return the logits of a network that maps uint8 crops (B, S, S, 3) to HeadOutput."""
    device = next(model.parameters()).device

    def predict(batch: Image) -> tuple[Array, Array]:
        raw = model(torch.from_numpy(batch).to(device))
        presence = raw.presence_logits.double().cpu().numpy()
        if raw.visible_logits is None:
            return presence, np.full(raw.landmarks.shape[:2], np.nan)
        return presence, raw.visible_logits.double().cpu().numpy()

    return StateLogits(*run_states(predict, crops, crop_size(model), padding))


def presence_rates(
    model: nn.Module, crops: PresenceCrops, padding: float
) -> dict[str, float]:
    """Return the rates of `model` on validation crops by name, as fractions.

    "presence_auc" and "visible_auc" are areas under ROC curves. "presence_missed" is the false
    negative rate at a presence of 0.5, "presence_false" the false positive rate.
    """
    training = model.training
    model.eval()
    logits = predict_states(model, crops, padding)
    model.train(training)
    return state_rates(logits.presence, logits.visible, crops, 0.0)


def state_rates(
    presence: Array, visible: Array, crops: PresenceCrops, threshold: float = HALF
) -> dict[str, float]:
    """Return the rates of predictions; see `presence_rates`.

    Args:
        presence: (M,), logits or probabilities.
        visible: (F, N), logits or probabilities.
        threshold: Value that corresponds to a probability of 0.5.
    """
    faces, visible_truth = crops.presence(), crops.visible()
    rates = face_rates(presence, faces, threshold)
    annotated = np.isfinite(visible_truth)
    visible_auc = roc_auc(visible[annotated], visible_truth[annotated] > HALF)
    # the AUC is nan if all points are visible
    return rates | ({} if np.isnan(visible_auc) else {"visible_auc": visible_auc})


def face_rates(
    presence: Array, faces: NDArray[np.bool_], threshold: float
) -> dict[str, float]:
    """Return the rates of presence by name; nan without faces, or without other crops.

    Args:
        presence: (M,), logits or probabilities.
        faces: (M,), True for faces.
        threshold: Value that corresponds to a probability of 0.5.
    """
    return {
        "presence_auc": roc_auc(presence, faces),
        "presence_missed": _fraction(presence[faces] < threshold),
        "presence_false": _fraction(presence[~faces] >= threshold),
    }


def _fraction(errors: NDArray[np.bool_]) -> float:
    return float(errors.mean()) if len(errors) else float("nan")


def roc_auc(scores: Array, positive: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve; ties count half.

    It is nan if a class is absent or a score is not finite.
    """
    # the logits of a diverged network are not an error here
    if positive.all() or not positive.any() or not np.isfinite(scores).all():
        return float("nan")
    return auc(positive, scores)
