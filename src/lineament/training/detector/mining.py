"""Hard negatives: false positives of a detector in photos without faces.

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
"""Longer sides to which each photo is resized, pixels."""
MAX_SCALE = 2.0
"""Largest upscaling factor of images, as at inference."""
MIN_SCORE = 0.2
MAX_PLACES = 12
"""Largest number of false positives per photo and scale."""


def cached_false_positives(
    checkpoint: Path, photos: Sequence[Photo], images: ImageCache, cache: Path
) -> dict[int, Array]:
    """Return the false positives of the detector in a checkpoint, cached on disk.

    Args:
        checkpoint: The checkpoint of a face detector.
        photos, images: As in `find_false_positives`.
        cache: Folder of the cached false positives.

    Raises:
        ModelError: If the file is not a face detector's checkpoint.
    """
    searched = [i for i, photo in enumerate(photos) if photo.has_no_face()]
    settings = (SIDES, MAX_SCALE, MIN_SCORE, MAX_PLACES)
    photos_digest = images_digest([photos[i] for i in searched])
    key = digest(photos_digest, file_state(checkpoint), settings)

    def rows() -> Iterator[Array]:
        false_positives = find_false_positives(
            load_detector(checkpoint)[0], photos, images
        )
        for i in searched:
            yield false_positives.get(i, np.zeros((0, 3)))

    groups = cached_groups(cache / f"mined-{key}", 3, rows)
    return {
        i: negatives
        for i, negatives in zip(searched, groups, strict=True)
        if len(negatives)
    }


@torch.no_grad()
def find_false_positives(
    net: FaceDetectorNet, photos: Sequence[Photo], images: ImageCache
) -> dict[int, Array]:
    """Return the false positives (K, 3) by index of the photo: center x, y and side, pixels.

    Args:
        net: The detector, in evaluation mode.
        photos: Photos of any kind; those with faces are skipped.
        images: Images of `photos`.
    """
    false_positives: dict[int, Array] = {}
    for i, photo in enumerate(photos):
        if not photo.has_no_face():
            continue
        negatives = [_false_positives(net, images[i], side) for side in SIDES]
        joined = np.concatenate(negatives)
        if len(joined):
            false_positives[i] = joined
    return false_positives


def _false_positives(net: FaceDetectorNet, image: np.ndarray, side: int) -> Array:
    scale = min(side / max(image.shape[:2]), MAX_SCALE)
    resized = pad_to_multiple(resize_to_scale(image, image.shape, scale))
    # a copy, because cached images are mapped read-only
    cells = net(torch.from_numpy(resized[None].copy()))
    scores = cells.logits[0].sigmoid().numpy().astype(np.float64)
    confident = scores > MIN_SCORE
    boxes = cells.boxes[0].numpy().astype(np.float64)[confident] / scale
    rows = Detections(boxes, scores[confident], np.zeros(int(confident.sum())))
    best = nms(rows, 0.4).boxes[:MAX_PLACES]
    centers = (best[:, :2] + best[:, 2:]) / 2
    sides = np.sqrt((best[:, 2:] - best[:, :2]).clip(1).prod(1))
    return np.column_stack([centers, sides])
