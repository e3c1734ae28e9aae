"""Pseudo-labels of YuNet for incompletely labeled photos, cached on disk."""

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
"""Longer sides of the teacher's input images; it detects large faces best in the smaller one."""
NMS_IOU = 0.4
SKIPPED = (*NO_FACE, "mtfl")
"""Kinds of photos that need no teacher: without faces, or fully labeled."""


def label_photos(
    photos: Sequence[Photo],
    images: ImageCache,
    teacher: Path,
    cache: Path,
    note: Callable[[str], None],
) -> list[Photo]:
    """Return `photos` with the detections of the teacher added; see `add_teacher_faces`.

    Args:
        images: Images of `photos`.
        teacher: The ONNX file of YuNet.
        cache: Folder of the cached teacher faces.

    Raises:
        ModelError: If the teacher cannot be opened.
    """
    unlabeled = [i for i, photo in enumerate(photos) if photo.kind not in SKIPPED]
    if not unlabeled:
        return list(photos)
    detect = yunet(teacher, MIN_SCORE)
    key = digest(
        images_digest([photos[i] for i in unlabeled]), file_state(teacher), SIDES
    )

    def rows() -> Iterator[Array]:
        for i in unlabeled:
            detections = teacher_faces(detect, images[i])
            assert detections.landmarks is not None
            five = detections.landmarks.reshape(-1, 10)
            yield np.column_stack([detections.boxes, detections.scores, five])

    labeled = list(photos)
    groups = cached_groups(cache / f"teacher-{key}", 15, rows)
    for i, rows_of_photo in zip(unlabeled, groups, strict=True):
        boxes, scores, five = (
            rows_of_photo[:, :4],
            rows_of_photo[:, 4],
            rows_of_photo[:, 5:].reshape(-1, 5, 2),
        )
        labeled[i] = add_teacher_faces(photos[i], boxes, scores, five)
    added = sum(len(photo.boxes) for photo in labeled)
    added -= sum(len(photo.boxes) for photo in photos)
    note(f"the teacher adds {added} faces to {len(unlabeled)} photos")
    return labeled


def teacher_faces(detect: Detector, image: np.ndarray) -> Detections:
    """Return the detections of `detect` in an image at several sizes."""
    parts = []
    for side in SIDES:
        resized = resize_to_scale(image, image.shape, side / max(image.shape[:2]))
        detections = detect(resized)
        factors = np.array(image.shape[1::-1]) / resized.shape[1::-1]
        parts.append(detections.resized(*factors))
    return nms(concatenate(parts), NMS_IOU)
