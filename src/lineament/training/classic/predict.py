"""Predictions of models without a network on plain crops of cached faces."""

import numpy as np
from numpy.typing import NDArray

from ...classic.numpy_model import NumpyModel
from ...data.crop_cache import CropCache, plain_crops, plain_landmarks
from ...geometry import Array


def plain_faces(
    cache: CropCache, size: int, padding: float
) -> tuple[NDArray[np.uint8], Array]:
    """Return plain RGB crops (M, S, S, 3) of faces and their landmarks (M, N, 2) in them."""
    batches = list(plain_crops(cache, size, padding, 64))
    crops = np.concatenate([part for part, _ in batches])
    return crops, plain_landmarks(cache, size, padding)


def predict_plain_faces(
    model: NumpyModel, cache: CropCache
) -> tuple[Array, Array, Array]:
    """Return landmarks (M, N, 2), the annotated ones and variances (M, N), in crop pixels."""
    crops, truth = plain_faces(cache, model.size, model.padding)
    predicted = model.predict(crops)
    return (
        predicted.landmarks_crop.astype(np.float64),
        truth,
        predicted.sigma_px.astype(np.float64) ** 2,
    )
