"""The error of a network on the faces held back, seen without augmentation.

Stands on torch.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..data.batch import CropCache, plain_crops, plain_landmarks
from ..schemes import scheme
from ..score.metrics import nme, norm_length


@torch.no_grad()
def predict_plain(
    model: nn.Module, cache: CropCache, padding: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Landmarks (M, N, 2) and variances (M, N) in pixels of the crop, and of the crop squared, without augmentation.

    model: uint8 crops (B, S, S, 3) -> Raw, with its `size` S.
    """
    landmarks, variances, size = [], [], crop_size(model)
    device = next(model.parameters()).device
    for crops, _ in plain_crops(cache, size, padding, 32):
        raw = model(torch.from_numpy(crops).to(device))
        landmarks.append(raw.landmarks.cpu().numpy())
        variances.append(raw.variance.cpu().numpy())
    return np.concatenate(landmarks), np.concatenate(variances)


def validate(model: nn.Module, held_back: dict[str, CropCache], scheme_name: str, padding: float) -> dict[str, float]:
    """Interocular NME by data set, a fraction, of the faces held back whose eyes are annotated.

    padding: side of the crop in longer sides of the landmark box.
    """
    eyes = scheme(scheme_name).norm_points["interocular"]
    model.eval()
    results = {}
    for name, cache in held_back.items():
        predicted, _ = predict_plain(model, cache, padding)
        truth = plain_landmarks(cache, crop_size(model), padding)
        known = np.isfinite(truth[:, [i for group in eyes for i in group]]).all((1, 2))
        errors = [
            nme(p, t, norm_length("interocular", t, eyes)) for p, t in zip(predicted[known], truth[known], strict=True)
        ]
        if errors:
            results[name] = float(np.mean(errors))
    model.train()
    return results


def crop_size(model: nn.Module) -> int:
    """The side of the crops that `model` takes, in pixels."""
    return int(model.size)  # type: ignore[arg-type]
