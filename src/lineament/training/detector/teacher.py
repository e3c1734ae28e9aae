"""Labels from a teacher: YuNet's faces in photos whose faces are not all labeled, kept on disk."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...data.array_cache import cached_table, digest, file_state
from ...data.detection.image_cache import ImageCache, images_digest
from ...data.detection.photos import NO_FACE, Photo
from ...data.detection.teacher_faces import add_teacher_faces
from ...geometry import Array
from ...inference.detections import Detections, Detector, concatenate
from ...inference.detector_adapters import yunet
from ...inference.face_detector import shrink_or_enlarge
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

    def rows() -> Iterator[tuple[Array, dict[str, int]]]:
        for i in asked:
            found = teacher_faces(detect, images[i])
            assert found.landmarks is not None
            five = found.landmarks.reshape(-1, 10)
            yield (
                np.column_stack([found.boxes, found.scores, five]),
                {"faces": len(found)},
            )

    # a first row of zeros: there may be no face at all
    values, columns = cached_table(cache / f"teacher-{key}", lambda: _first_row(rows()))
    ends = np.cumsum(columns["faces"])
    labeled = list(photos)
    for k, i in enumerate(asked):
        mine = values[ends[k] : ends[k + 1]]
        boxes, scores, five = mine[:, :4], mine[:, 4], mine[:, 5:].reshape(-1, 5, 2)
        labeled[i] = add_teacher_faces(photos[i], boxes, scores, five)
    added = sum(len(photo.boxes) for photo in labeled)
    added -= sum(len(photo.boxes) for photo in photos)
    note(f"the teacher adds {added} faces to {len(asked)} photos")
    return labeled


def _first_row(
    rows: Iterator[tuple[Array, dict[str, int]]],
) -> Iterator[tuple[Array, dict[str, int]]]:
    yield np.zeros((1, 15)), {"faces": 1}
    yield from rows


def teacher_faces(detect: Detector, image: np.ndarray) -> Detections:
    """Return the faces that `detect` finds in an image at several sizes."""
    found = []
    for side in SIDES:
        scale = side / max(image.shape[:2])
        size = tuple(max(1, round(edge * scale)) for edge in image.shape[1::-1])
        seen = detect(shrink_or_enlarge(image, (size[0], size[1])))
        assert seen.landmarks is not None
        factors = np.array(image.shape[1::-1]) / np.array(size)
        boxes = (seen.boxes + 0.5) * np.tile(factors, 2) - 0.5
        five = (seen.landmarks + 0.5) * factors - 0.5
        found.append(replace(seen, boxes=boxes, landmarks=five))
    return nms(concatenate(found), NMS_IOU)
