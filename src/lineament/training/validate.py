"""Error of a network on the validation faces, without augmentation. Depends on torch."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..data.crop_cache import CropCache, plain_crops, plain_landmarks
from ..evaluation.metrics import nme, norm_length
from ..schemes import scheme

MIN_POINTS = 20
"""Minimum number of annotated validation points for a calibration."""
BATCH = 32
"""Faces per forward pass."""


@torch.no_grad()
def predict_plain(
    model: nn.Module, cache: CropCache, padding: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return landmarks (M, N, 2), pixels of the crop, and variances (M, N), pixels squared.

    Args:
        model: uint8 crops (B, S, S, 3) -> HeadOutput, with its `size` S.
        padding: Side of the crop as a multiple of the longer side of the landmark box.
    """
    landmarks, variances, size = [], [], crop_size(model)
    device = next(model.parameters()).device
    for crops, _ in plain_crops(cache, size, padding, BATCH):
        count = len(crops)
        # pad the last batch, since autotuning kernels for another batch size would be slow
        if device.type == "cuda":
            filler = np.zeros((BATCH - count, *crops.shape[1:]), np.uint8)
            crops = np.concatenate([crops, filler])
        raw = model(torch.from_numpy(crops).to(device))
        landmarks.append(raw.landmarks[:count].cpu().numpy())
        variances.append(raw.variance[:count].cpu().numpy())
    return np.concatenate(landmarks), np.concatenate(variances)


def validate(
    model: nn.Module,
    validation_faces: dict[str, CropCache],
    scheme_name: str,
    padding: float,
) -> dict[str, float]:
    """Return the interocular NME by data set, a fraction, of the faces with annotated eyes.

    In a joined scheme, "set" is the error of the first scheme's points, and "set:scheme" that of
    another scheme's. For a set without such faces, "set:box" is the error as a fraction of the
    longer side of the face's box.

    Args:
        model: As for `predict_plain`.
        padding: Side of the crop as a multiple of the longer side of the landmark box.
    """
    heads = scheme(scheme_name).heads or {
        scheme_name: tuple(range(len(scheme(scheme_name))))
    }
    first = next(iter(heads))
    training = model.training
    model.eval()
    results = {}
    for name, cache in validation_faces.items():
        predicted, _ = predict_plain(model, cache, padding)
        truth = plain_landmarks(cache, crop_size(model), padding)
        for head, points in heads.items():
            indices = list(points)
            if has_norm_points(truth[:, indices], head).any():
                label = name if head == first else f"{name}:{head}"
                if point_norm(head)[0] == "side":
                    label = f"{name}:box"
                results[label] = interocular_nme(
                    predicted[:, indices], truth[:, indices], head
                )
            elif head == first and np.isfinite(truth[:, indices]).any():
                side_px = crop_size(model) / padding
                error_px = mean_error_px(predicted[:, indices], truth[:, indices])
                results[f"{name}:box"] = error_px / side_px
    model.train(training)
    return results


def mean_error_px(
    predicted: NDArray[np.floating], truth: NDArray[np.floating]
) -> float:
    """Return the mean over faces of the mean error of their annotated points, pixels."""
    errors = np.linalg.norm(predicted - truth, axis=-1)
    annotated = np.isfinite(errors)
    counts = annotated.sum(1)
    sums = np.where(annotated, errors, 0).sum(1)
    return float((sums[counts > 0] / counts[counts > 0]).mean())


def has_norm_points(truth: NDArray[np.floating], scheme_name: str) -> NDArray[np.bool_]:
    """Return a mask (M,) of the faces of `truth` (M, N, 2) that have the points of the norm."""
    _, (right, left) = point_norm(scheme_name)
    finite = np.isfinite(truth[:, [*right, *left]]).all((1, 2))
    annotated = np.isfinite(truth).all(-1).sum(1) >= 2
    return np.asarray(finite & annotated, dtype=np.bool_)


def point_norm(scheme_name: str) -> tuple[str, tuple[Sequence[int], Sequence[int]]]:
    """Return the validation norm, interocular if the scheme has it, and the points of both eyes.

    For a scheme without eyes, it is the longer side of the face's box, and there are no points.
    """
    norms = scheme(scheme_name).norm_points
    for rule in ("interocular", "interpupil"):
        if rule in norms:
            return rule, norms[rule]
    return "side", ((), ())


def interocular_nmes(
    predicted: NDArray[np.floating], truth: NDArray[np.floating], scheme_name: str
) -> NDArray[np.float64]:
    """Return the NME, a fraction, of each face of `truth` (M, N, 2) with annotated eyes.

    In a scheme without the corners of the eyes, the norm is the distance between the pupils.
    """
    (rule, eyes), has_norm = (
        point_norm(scheme_name),
        has_norm_points(truth, scheme_name),
    )
    errors = []
    for pred, true in zip(predicted[has_norm], truth[has_norm], strict=True):
        errors.append(nme(pred, true, norm_length(rule, true, eyes)))
    return np.array(errors, np.float64)


def interocular_nme(
    predicted: NDArray[np.floating], truth: NDArray[np.floating], scheme_name: str
) -> float:
    """Return the mean of `interocular_nmes`."""
    return float(interocular_nmes(predicted, truth, scheme_name).mean())


def export_error_message(
    validation_faces: dict[str, CropCache], scheme_name: str
) -> str:
    """Return why the validation faces do not suffice for an export; empty if they do."""
    is_normed = False
    for cache in validation_faces.values():
        has_norm = has_norm_points(cache.landmarks, scheme_name)
        is_normed |= bool(has_norm.any())
        points = int(np.isfinite(cache.landmarks).all(-1).sum())
        if has_norm.any() and points >= MIN_POINTS:
            return ""
    if validation_faces and not is_normed:
        rule, eyes = point_norm(scheme_name)
        names = [scheme(scheme_name).points[i] for group in eyes for i in group]
        return (
            f"no validation face has all points of the {rule} norm "
            f"({', '.join(names[:6])}), which calibration and export need; annotate them, "
            "or set other norm_points in the scheme's file"
        )
    total = sum(map(len, validation_faces.values()))
    return (
        f"{total} validation faces are too few to calibrate and export a model: "
        f"expected a data set with {MIN_POINTS} annotated points, and with the eyes of "
        "a face; add faces, or set validation = true for a data set"
    )


def crop_size(model: nn.Module) -> int:
    """Return the side of the crops that `model` takes, pixels."""
    return int(model.size)  # type: ignore[arg-type]
