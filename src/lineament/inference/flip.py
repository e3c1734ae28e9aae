"""Flip test-time augmentation: averages a crop with its mirror image."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ModelError, ShapeError
from ..estimator import CropLandmarks, LandmarkModel
from ..face import MIRRORED_ATTRIBUTES
from ..schemes import scheme

PredictCallable = Callable[[NDArray[np.uint8]], CropLandmarks]


def flipped(model: LandmarkModel) -> PredictCallable:
    """Return the model's `predict`, averaged with mirror images.

    Raises:
        ModelError: If the model is recurrent.
    """
    if getattr(model, "memory", None):
        raise ModelError(
            f"model {model.name!r} is recurrent, and flip would drop its state; omit "
            "flip"
        )
    return predict_with_flip(model.predict, scheme(model.scheme).mirror)


def predict_with_flip(predict: PredictCallable, mirror: ArrayLike) -> PredictCallable:
    """Wrap `predict` to average the predictions for each crop and its mirror image.

    This doubles the cost. Scores and sigma are averaged, too, because the two errors of
    a landmark come from one model and are far from independent. So are presence,
    visibility and attributes.

    Args:
        predict: Maps crops (F, S, S, 3) to CropLandmarks.
        mirror: Mirror permutation of the scheme that `predict` returns, (N,).

    Raises:
        ShapeError: When called, if `predict` returns another number of landmarks.
    """
    swap = np.asarray(mirror, dtype=np.intp)

    # not a nested function, since it must be picklable
    return partial(_predict_both, predict, swap)


def _predict_both(
    predict: PredictCallable, swap: NDArray[np.intp], crops: NDArray[np.uint8]
) -> CropLandmarks:
    # one call, so that the model's workers can run both halves in parallel
    predicted, count = predict(np.concatenate([crops, crops[:, :, ::-1]])), len(crops)
    points = predicted.landmarks_crop.shape[1]
    if points != len(swap):
        raise ShapeError(
            f"the model predicts {points} points, but mirror has {len(swap)}; give the "
            "mirror of its own scheme"
        )
    # x' = width - 1 - x, and point i of a mirror image is point mirror[i]
    back = predicted.landmarks_crop[count:, swap].copy()
    back[..., 0] = crops.shape[2] - 1 - back[..., 0]
    presence, visible = predicted.presence, predicted.visible
    if presence is not None:
        presence = _mean(presence[:count], presence[count:])
    if visible is not None:
        visible = _mean(visible[:count], visible[count:, swap])
    attributes = {}
    for name, values in predicted.attributes.items():
        mirrored_name = MIRRORED_ATTRIBUTES.get(name, name)
        mirrored = predicted.attributes.get(mirrored_name, values)
        attributes[name] = _mean(values[:count], mirrored[count:])
    return CropLandmarks(
        _mean(predicted.landmarks_crop[:count], back),
        _mean(predicted.scores[:count], predicted.scores[count:, swap]),
        _mean(predicted.sigma_px[:count], predicted.sigma_px[count:, swap]),
        presence=presence,
        visible=visible,
        attributes=attributes,
    )


def _mean(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((a + b) / 2, dtype=np.float32)
