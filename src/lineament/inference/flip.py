"""Flip test-time augmentation: each crop is seen twice, as it is and mirrored, and the two answers are averaged."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ShapeError
from ..estimator import CropLandmarks

PredictCallable = Callable[[NDArray[np.uint8]], CropLandmarks]


def predict_with_flip(heads: PredictCallable, mirror: ArrayLike) -> PredictCallable:
    """A callable like `heads`, crops (F, S, S, 3) -> CropLandmarks: the average of what it says of a crop and its mirror image.

    mirror: (N,), the `mirror` of the scheme that `heads` predicts.    It is twice the work.
    Scores and sigma_px are averaged too: the two errors of a point are of one model and far from independent.
    Raises: ShapeError where `heads` predicts another number of points.
    """
    swap = np.asarray(mirror, dtype=np.intp)

    def both(crops: NDArray[np.uint8]) -> CropLandmarks:
        # in one call, of which workers may see the halves side by side
        seen, count = heads(np.concatenate([crops, crops[:, :, ::-1]])), len(crops)
        points = seen.landmarks_crop.shape[1]
        if points != len(swap):
            raise ShapeError(
                f"the model predicts {points} points, mirror has {len(swap)}; give its own scheme's mirror"
            )
        # x' = width - 1 - x, and point i of a mirror image is point mirror[i]
        back = seen.landmarks_crop[count:, swap].copy()
        back[..., 0] = crops.shape[2] - 1 - back[..., 0]
        return CropLandmarks(
            _mean(seen.landmarks_crop[:count], back),
            _mean(seen.scores[:count], seen.scores[count:, swap]),
            _mean(seen.sigma_px[:count], seen.sigma_px[count:, swap]),
        )

    return both


def _mean(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((a + b) / 2, dtype=np.float32)
