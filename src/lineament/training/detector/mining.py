"""Hard negatives: the places in photos without faces that a detector takes for faces.

Depends on torch.
"""

from collections.abc import Sequence

import numpy as np
import torch

from ...data.detection.image_cache import ImageCache
from ...data.detection.photos import Photo
from ...geometry import Array
from ...inference.detections import Detections
from ...inference.detector_file import pad_to_multiple
from ...inference.face_detector import shrink_or_enlarge
from ...inference.nms import nms
from ...models.face_detector import FaceDetectorNet

SIDES = (640, 320, 160)
"""Longer sides at which each photo is searched."""
MAX_SCALE = 2.0
"""Images are enlarged no further, as in use."""
MIN_SCORE = 0.2
MAX_PLACES = 12
"""Of one photo at one size."""


@torch.no_grad()
def find_false_positives(
    net: FaceDetectorNet, photos: Sequence[Photo], images: ImageCache
) -> dict[int, Array]:
    """Return the false positives (K, 3) by index of the photo: center x, y and side, pixels.

    Args:
        net: The detector, ready to predict.
        photos: Photos of any kind; those with faces are skipped.
        images: Those of `photos`.
    """
    found: dict[int, Array] = {}
    for i, photo in enumerate(photos):
        if not photo.has_no_face():
            continue
        places = [_places(net, images[i], side) for side in SIDES]
        joined = np.concatenate(places)
        if len(joined):
            found[i] = joined
    return found


def _places(net: FaceDetectorNet, image: np.ndarray, side: int) -> Array:
    scale = min(side / max(image.shape[:2]), MAX_SCALE)
    width, height = (max(1, round(edge * scale)) for edge in image.shape[1::-1])
    resized = pad_to_multiple(shrink_or_enlarge(image, (width, height)))
    cells = net(torch.from_numpy(resized[None]))
    scores = cells.logits[0].sigmoid().numpy().astype(np.float64)
    kept = scores > MIN_SCORE
    boxes = cells.boxes[0].numpy().astype(np.float64)[kept] / scale
    rows = Detections(boxes, scores[kept], np.zeros(int(kept.sum())))
    best = nms(rows, 0.4).boxes[:MAX_PLACES]
    centers = (best[:, :2] + best[:, 2:]) / 2
    sides = np.sqrt((best[:, 2:] - best[:, :2]).clip(1).prod(1))
    return np.column_stack([centers, sides])
