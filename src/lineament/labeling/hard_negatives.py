"""Mine false positives of a detector in photos without a face, to train presence.

Depends on the face detector; data/negatives.py reads the boxes.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..atomic import write_text
from ..data.detection.photos import NO_FACE, read_detector_photos
from ..errors import ModelError
from ..geometry import Image
from ..inference.detections import Detections
from ..inference.predictor import Predictor

MIN_SCORE = 0.15
"""Minimum detector score of a box."""
MIN_SIDE_PX = 12.0
"""Minimum side of a box; smaller ones contain too few pixels."""
MAX_BOXES = 10
"""Maximum number of boxes kept per photo, best first; the median pet photo has 45."""


MIN_PRESENCE = 0.02
"""Minimum presence predicted by the model for a box to be kept, if a model is used."""


def faces_by_presence(predict: Predictor) -> Callable[[Image], Detections]:
    """Return a detector whose boxes are scored by a model's presence, best first.

    Args:
        predict: Predictor with a model that predicts presence.

    Raises:
        ModelError: If the model does not predict presence.
    """
    if not predict.predicts_presence:
        raise ModelError(
            f"the model {predict.model.name!r} does not predict presence; choose one "
            "trained with model.presence, or give none"
        )

    def detect(image: Image) -> Detections:
        faces = predict(image)
        presence = np.array([face.presence for face in faces])
        found = Detections(faces.boxes, presence, np.full(len(faces), np.nan))
        return found.take(np.argsort(-presence, kind="stable"))

    return detect


def write_hard_negatives(
    detect: Callable[[Image], Detections],
    root: Path,
    path: Path,
    kinds: Sequence[str] = NO_FACE,
    step: Callable[[], None] = lambda: None,
) -> tuple[int, int]:
    """Write a detector's boxes in all photos without a face as JSON, atomically.

    Args:
        detect: Returns the boxes in an RGB image, best first: a face detector with a threshold
            of MIN_SCORE, or `faces_by_presence`.
        root: The data root.
        path: Output file with boxes (x0, y0, x1, y1, score) by photo path relative to `root`.
        kinds: Names of folders in detection/.
        step: Called after each photo.

    Returns:
        The number of boxes, and of photos with at least one box.

    Raises:
        DataError: If the photos are missing.
        ImageError: If a photo cannot be read.
    """
    found = {}
    for photo in read_detector_photos(root, kinds):
        detections = detect(photo.read())
        sides = (detections.boxes[:, 2:] - detections.boxes[:, :2]).max(1, initial=0)
        large = detections.take(sides >= MIN_SIDE_PX)
        rows = np.column_stack([large.boxes, large.scores])[:MAX_BOXES]
        if len(rows):
            name = photo.image.relative_to(root).as_posix()
            found[name] = rows.round(3).tolist()
        step()
    write_text(path, json.dumps(found))
    return sum(map(len, found.values())), len(found)
