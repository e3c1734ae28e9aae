"""The error of a network on the faces held back, seen without augmentation.

Stands on torch.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..data.crop_cache import CropCache, plain_crops, plain_landmarks
from ..errors import RecipeError
from ..evaluation.metrics import nme, norm_length
from ..schemes import scheme

BATCH = 32
"""Faces at once."""


@torch.no_grad()
def predict_plain(
    model: nn.Module, cache: CropCache, padding: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Landmarks (M, N, 2) and variances (M, N) in pixels of the crop, and of the crop squared, without augmentation.

    model: uint8 crops (B, S, S, 3) -> HeadOutput, with its `size` S.
    """
    landmarks, variances, size = [], [], crop_size(model)
    device = next(model.parameters()).device
    for crops, _ in plain_crops(cache, size, padding, BATCH):
        seen = crops
        if (
            device.type == "cuda"
        ):  # which chooses kernels anew for a last batch of another size, for seconds
            seen = np.concatenate(
                [crops, np.zeros((BATCH - len(crops), *crops.shape[1:]), np.uint8)]
            )
        raw = model(torch.from_numpy(seen).to(device))
        landmarks.append(raw.landmarks[: len(crops)].cpu().numpy())
        variances.append(raw.variance[: len(crops)].cpu().numpy())
    return np.concatenate(landmarks), np.concatenate(variances)


def validate(
    model: nn.Module, validation_faces: dict[str, CropCache], scheme_name: str, padding: float
) -> dict[str, float]:
    """Interocular NME by data set, a fraction, of the faces held back whose eyes are annotated.

    In a scheme that joins several, the points of the first count for "set", those of another for "set:scheme".
    padding: side of the crop in longer sides of the landmark box.
    """
    joined = scheme(scheme_name).heads or {scheme_name: tuple(range(len(scheme(scheme_name))))}
    first = next(iter(joined))
    training = model.training
    model.eval()
    results = {}
    for name, cache in validation_faces.items():
        predicted, _ = predict_plain(model, cache, padding)
        truth = plain_landmarks(cache, crop_size(model), padding)
        for head, points in joined.items():
            chosen = list(points)
            if known_eyes(truth[:, chosen], head).any():
                label = name if head == first else f"{name}:{head}"
                results[label] = interocular_nme(predicted[:, chosen], truth[:, chosen], head)
    model.train(training)
    return results


def known_eyes(truth: NDArray[np.floating], scheme_name: str) -> NDArray[np.bool_]:
    """(M,): the faces of `truth` (M, N, 2) that have the points between which their norm is measured."""
    _, eyes = point_norm(scheme_name)
    return np.asarray(
        np.isfinite(truth[:, [i for group in eyes for i in group]]).all((1, 2)), dtype=np.bool_
    )


def point_norm(scheme_name: str) -> tuple[str, tuple[Sequence[int], Sequence[int]]]:
    """The norm of validation, interocular where the scheme has it, and the points between which it is measured.

    Raises: RecipeError for a scheme without eyes.
    """
    norms = scheme(scheme_name).norm_points
    for rule in ("interocular", "interpupil"):
        if rule in norms:
            return rule, norms[rule]
    raise RecipeError(
        f"the scheme {scheme_name} has no eyes to measure errors by; train in one that has"
    )


def interocular_nmes(
    predicted: NDArray[np.floating], truth: NDArray[np.floating], scheme_name: str
) -> NDArray[np.float64]:
    """The NME, a fraction, of `predicted` (M, N, 2) for each of the faces of `truth` whose eyes are annotated.

    Of a scheme without the corners of the eyes, by the distance between the pupils.
    """
    (rule, eyes), known = point_norm(scheme_name), known_eyes(truth, scheme_name)
    pairs = zip(predicted[known], truth[known], strict=True)
    return np.array([nme(p, t, norm_length(rule, t, eyes)) for p, t in pairs], np.float64)


def interocular_nme(
    predicted: NDArray[np.floating], truth: NDArray[np.floating], scheme_name: str
) -> float:
    """The mean of `interocular_nmes`."""
    return float(interocular_nmes(predicted, truth, scheme_name).mean())


def crop_size(model: nn.Module) -> int:
    """The side of the crops that `model` takes, in pixels."""
    return int(model.size)  # type: ignore[arg-type]
