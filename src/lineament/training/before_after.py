"""Paired comparison of errors before and after fine-tuning. Depends on torch."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..data.crop_cache import CropCache, plain_landmarks
from .validate import (
    crop_size,
    has_norm_points,
    interocular_nmes,
    predict_plain,
)

MIN_FACES = 5
"""Number of faces below which a comparison is not significant."""
BETTER, WORSE = "better", "worse"


@dataclass(frozen=True)
class Change:
    """Error on one validation set before and after training."""

    name: str
    faces: int
    before: float
    """Mean error, as a fraction of the norm used in validation."""
    after: float
    margin: float
    """Two standard errors of the mean change per face."""

    @property
    def verdict(self) -> str:
        """Return "better" or "worse" if the change exceeds its margin, else the reason."""
        if self.faces < MIN_FACES:
            return "too few faces to tell"
        change = self.after - self.before
        if abs(change) <= self.margin:
            return "no clear difference"
        return BETTER if change < 0 else WORSE


def face_errors(
    model: nn.Module,
    validation_faces: Mapping[str, CropCache],
    scheme_name: str,
    padding: float,
) -> dict[str, list[float]]:
    """Return the error of each validation face by set, a fraction.

    The norm is that of `validate`: interocular for faces with annotated eyes. For a set without
    such faces it is the longer side of the box, and the set is called "set:box".

    Args:
        model: As for `predict_plain`, in evaluation mode.
        padding: Side of the crop as a multiple of the longer side of the landmark box.
    """
    errors = {}
    for name, cache in validation_faces.items():
        predicted, _ = predict_plain(model, cache, padding)
        truth = plain_landmarks(cache, crop_size(model), padding)
        if has_norm_points(truth, scheme_name).any():
            errors[name] = interocular_nmes(predicted, truth, scheme_name).tolist()
            continue
        distances = np.linalg.norm(predicted - truth, axis=-1)
        annotated = np.isfinite(distances).any(1)
        side = crop_size(model) / padding
        errors[f"{name}:box"] = (
            np.nanmean(distances[annotated], axis=1) / side
        ).tolist()
    return errors


def changes(
    before: Mapping[str, list[float]], after: Mapping[str, list[float]]
) -> list[Change]:
    """Return the change on each set; `before` and `after` must list the same faces."""
    results = []
    for name, first in before.items():
        old: NDArray[np.float64] = np.array(first)
        new: NDArray[np.float64] = np.array(after[name])
        if not len(old):
            continue
        deviation = float((new - old).std(ddof=1)) if len(old) > 1 else float("nan")
        margin = 2 * deviation / len(old) ** 0.5
        results.append(
            Change(name, len(old), float(old.mean()), float(new.mean()), margin)
        )
    return results
