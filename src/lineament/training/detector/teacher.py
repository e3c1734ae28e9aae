"""Labels from a teacher: YuNet's faces in photos whose faces are not all labeled, kept on disk."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ...data.array_cache import cached_groups, digest, file_state
from ...data.detection.image_cache import ImageCache, images_digest
from ...data.detection.photos import NO_FACE, Photo
from ...data.detection.teacher_faces import add_teacher_faces
from ...geometry import Array
from ...inference.detections import Detections, Detector, concatenate
from ...inference.detector_adapters import yunet
from ...inference.face_detector import resize_to_scale
from ...inference.nms import nms

MIN_SCORE = 0.2
SIDES = (640, 320)
"""Longer sides at which the teacher sees an image; large faces are clearest in the smaller one."""
NMS_IOU = 0.4
SKIPPED = (*NO_FACE, "mtfl")
"""Kinds that need no teacher: without a face, or all labels given."""


def label_photos(
    photos: Sequence[Photo],
    images: ImageCache,
    teacher: Path,
    cache: Path,
    note: Callable[[str], None],
) -> list[Photo]:
    """Return `photos` completed by the faces that the teacher finds; see `add_teacher_faces`.

    Args:
        images: Those of `photos`.
        teacher: The ONNX file of YuNet.
        cache: Folder of the teacher's faces.

    Raises:
        ModelError: If the teacher cannot be opened.
    """
    asked = [i for i, photo in enumerate(photos) if photo.kind not in SKIPPED]
    if not asked:
        return list(photos)
    detect = yunet(teacher, MIN_SCORE)
    key = digest(images_digest([photos[i] for i in asked]), file_state(teacher), SIDES)

    def rows() -> Iterator[Array]:
        for i in asked:
            found = teacher_faces(detect, images[i])
            assert found.landmarks is not None
            five = found.landmarks.reshape(-1, 10)
            yield np.column_stack([found.boxes, found.scores, five])

    labeled = list(photos)
    kept = cached_groups(cache / f"teacher-{key}", 15, rows)
    for i, mine in zip(asked, kept, strict=True):
        boxes, scores, five = mine[:, :4], mine[:, 4], mine[:, 5:].reshape(-1, 5, 2)
        labeled[i] = add_teacher_faces(photos[i], boxes, scores, five)
    added = sum(len(photo.boxes) for photo in labeled)
    added -= sum(len(photo.boxes) for photo in photos)
    note(f"the teacher adds {added} faces to {len(asked)} photos")
    return labeled


def teacher_faces(detect: Detector, image: np.ndarray) -> Detections:
    """Return the faces that `detect` finds in an image at several sizes."""
    found = []
    for side in SIDES:
        resized = resize_to_scale(image, image.shape, side / max(image.shape[:2]))
        seen = detect(resized)
        factors = np.array(image.shape[1::-1]) / resized.shape[1::-1]
        found.append(seen.resized(*factors))
    return nms(concatenate(found), NMS_IOU)
