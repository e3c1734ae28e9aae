"""Mean shape of a user's scheme, in the frame of the 68 points predicted by a model.

Depends on the predictor.
"""

from collections.abc import Sequence

import numpy as np

from ..data.sample import Sample
from ..errors import ImageError
from ..geometry import Array, apply_affine, fit_similarity, iou, landmark_box
from ..inference.predictor import Predictor
from ..schemes import scheme

FULL = "ibug68"
MAX_FACES = 40
MIN_OVERLAP = 0.2
"""Minimum IoU of the boxes of annotated and predicted points of the same face."""


def learn_mean_shape(
    samples: Sequence[Sample], predict: Predictor
) -> tuple[Array | None, int]:
    """Return the mean shape (N, 2) of annotated faces, and the number of faces used.

    As in all schemes, the origin is the center of the tight box of the face's 68 points and the
    unit its longer side, so that crops around a user's points match those around detections.

    Args:
        samples: Annotated faces with the same scheme; at most MAX_FACES are used.
        predict: Predicts 68 points.

    Returns:
        The mean shape is None if a point is not annotated in any face that the model finds.
    """
    mean = scheme(FULL).mean_shape
    assert mean is not None
    shapes = []
    for sample in samples[:MAX_FACES]:
        try:
            found = predict(sample.read())
        except ImageError:
            continue
        box = landmark_box(sample.landmarks)
        overlaps = [iou(box, landmark_box(face.landmarks))[0, 0] for face in found]
        if max(overlaps, default=0.0) >= MIN_OVERLAP:
            nearest = found[int(np.argmax(overlaps))]
            to_mean = fit_similarity(nearest.landmarks, mean)
            shapes.append(apply_affine(to_mean, sample.landmarks))
    if not shapes:
        return None, 0
    stacked = np.stack(shapes)
    if not np.isfinite(stacked).all(-1).any(0).all():
        return None, len(shapes)
    return np.nanmedian(stacked, axis=0), len(shapes)
