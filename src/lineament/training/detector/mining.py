"""Hard negatives: the places in photos without faces that a detector takes for faces.

Depends on torch.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from ...data.array_cache import cached_groups, digest, file_state
from ...data.detection.image_cache import ImageCache, images_digest
from ...data.detection.photos import Photo
from ...geometry import Array
from ...inference.detections import Detections
from ...inference.detector_file import pad_to_multiple
from ...inference.face_detector import resize_to_scale
from ...inference.nms import nms
from ...models.face_detector import FaceDetectorNet
from ..build import load_detector

SIDES = (640, 320, 160)
"""Longer sides at which each photo is searched."""
MAX_SCALE = 2.0
"""Images are enlarged no further, as in use."""
MIN_SCORE = 0.2
MAX_PLACES = 12
"""Of one photo at one size."""


def mined_places(
    checkpoint: Path, photos: Sequence[Photo], images: ImageCache, cache: Path
) -> dict[int, Array]:
    """Return the false positives of the detector in a checkpoint, kept on disk.

    Args:
        checkpoint: The checkpoint of a face detector.
        photos: As in `find_false_positives`, as is `images`.
        cache: Folder of the places.

    Raises:
        ModelError: If the file is no checkpoint of a face detector.
    """
    asked = [i for i, photo in enumerate(photos) if photo.has_no_face()]
    settings = (SIDES, MAX_SCALE, MIN_SCORE, MAX_PLACES)
    shown = images_digest([photos[i] for i in asked])
    key = digest(shown, file_state(checkpoint), settings)

    def rows() -> Iterator[Array]:
        found = find_false_positives(load_detector(checkpoint)[0], photos, images)
        for i in asked:
            yield found.get(i, np.zeros((0, 3)))

    kept = cached_groups(cache / f"mined-{key}", 3, rows)
    return {i: places for i, places in zip(asked, kept, strict=True) if len(places)}


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
    resized = pad_to_multiple(resize_to_scale(image, image.shape, scale))
    # a copy: cached images are mapped for reading alone
    cells = net(torch.from_numpy(resized[None].copy()))
    scores = cells.logits[0].sigmoid().numpy().astype(np.float64)
    kept = scores > MIN_SCORE
    boxes = cells.boxes[0].numpy().astype(np.float64)[kept] / scale
    rows = Detections(boxes, scores[kept], np.zeros(int(kept.sum())))
    best = nms(rows, 0.4).boxes[:MAX_PLACES]
    centers = (best[:, :2] + best[:, 2:]) / 2
    sides = np.sqrt((best[:, 2:] - best[:, :2]).clip(1).prod(1))
    return np.column_stack([centers, sides])
