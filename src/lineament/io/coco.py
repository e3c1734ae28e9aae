"""Write faces as a COCO keypoints data set."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..face import Face, Faces
from ..schemes import scheme as scheme_called
from .formats import json_numbers
from .labels import Drawn, DrawnFace, Labels, annotated_points, require_scheme


def faces_to_coco(results: Iterable[tuple[str, Faces]], scheme: str) -> dict[str, Any]:
    """Return (image, faces) pairs as a COCO keypoints data set, ready for json.dumps.

    Ids and the points in "skeleton" count from 1; bbox is x, y, width, height. The center of
    the first pixel is (0, 0). A keypoint has v = 1 if it is probably not visible, otherwise
    v = 2; "keypoint_scores" holds the scores. "presence" is included if known. An image without
    a face is listed without annotations.

    Args:
        results: Name and faces of each image.
        scheme: Landmark scheme of all faces.

    Raises:
        SchemeError: If faces have another scheme.
    """
    return _coco_table(results, scheme, _predicted_entries)


def labels_to_coco(
    results: Iterable[tuple[str, Labels]], scheme: str
) -> dict[str, Any]:
    """Return annotated faces as a COCO keypoints data set, ready for json.dumps.

    Ids, boxes and flags are as in `faces_to_coco`; an unannotated point has v = 0.

    Raises:
        SchemeError: If faces have another scheme.
    """
    return _coco_table(results, scheme, _drawn_entries)


def _coco_table(
    results: Iterable[tuple[str, Drawn]],
    scheme: str,
    entries: Callable[[Any], dict[str, Any]],
) -> dict[str, Any]:
    points = scheme_called(scheme)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image, faces in require_scheme(results, scheme):
        images.append({"id": len(images) + 1, "file_name": image})
        if faces.image_size is not None:
            images[-1] |= {"width": faces.image_size[0], "height": faces.image_size[1]}
        for face in faces:
            ids = {"id": len(annotations) + 1, "image_id": len(images)}
            annotations.append(ids | entries(face))
    category = {
        "id": 1,
        "name": "face",
        "supercategory": "person",
        "keypoints": list(points.points),
        "skeleton": [[a + 1, b + 1] for a, b in points.edges],
    }
    return {"images": images, "annotations": annotations, "categories": [category]}


def _drawn_entries(face: DrawnFace) -> dict[str, Any]:
    x0, y0, x1, y1 = face.box.tolist()
    annotated = annotated_points(face)
    flags = np.where(face.occluded, 1, 2) * annotated
    landmarks = np.where(annotated[:, None], face.landmarks, 0.0)
    keypoints = []
    for (x, y), flag in zip(landmarks.tolist(), flags.tolist(), strict=True):
        keypoints += [x, y, flag]
    return {
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": (x1 - x0) * (y1 - y0),
        "num_keypoints": int(annotated.sum()),
        "keypoints": keypoints,
    }


def _predicted_entries(face: Face) -> dict[str, Any]:
    known = {} if np.isnan(face.presence) else {"presence": face.presence}
    scores = {"keypoint_scores": json_numbers(face.scores, None)}
    return {**_drawn_entries(face), "score": face.score, **known, **scores}
