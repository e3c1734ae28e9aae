"""COCO keypoints: images, annotations and categories in one JSON; coordinates as they stand, v = 0 is not annotated."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ..sample import Sample, scheme_of_count


def read_coco(path: Path, scheme: str | None = None) -> list[Sample]:
    """The annotations of the file that have keypoints; pictures lie beside it, or in its folder images.

    scheme: what the keypoints are; None takes it from their number. v = 1 is annotated but hidden.
    Raises: DataError where the file is absent or no COCO keypoints.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        images = {image["id"]: str(image["file_name"]) for image in table["images"]}
        annotations = [
            a for a in table["annotations"] if a.get("keypoints") and any(a["keypoints"][2::3])
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"{type(error).__name__}: {error}"
        raise DataError(
            f"{path}: not COCO keypoints ({what}); wanted images, annotations, categories"
        ) from error
    if not annotations:
        raise DataError(f"{path}: no annotation has keypoints; wanted x, y, v for each landmark")
    faces: dict[str, int] = {}
    return [_face(path, images, annotation, scheme, faces) for annotation in annotations]


def _face(
    path: Path,
    images: dict[Any, str],
    annotation: dict[str, Any],
    scheme: str | None,
    faces: dict[str, int],
) -> Sample:
    where = f"{path}: annotation {annotation.get('id')}"
    try:
        name = images[annotation["image_id"]]
        table = np.array(annotation["keypoints"], dtype=np.float64).reshape(-1, 3)
        box = np.array(annotation["bbox"], dtype=np.float64) if annotation.get("bbox") else None
        if box is not None:
            box = np.append(box[:2], box[:2] + box[2:4]).reshape(4)
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"{where}: {error}; wanted image_id, bbox x, y, w, h and keypoints x, y, v"
        ) from error
    faces[name] = faces.get(name, 0) + 1
    landmarks = np.where(table[:, 2:] > 0, table[:, :2], np.nan)
    beside = path.parent / name
    return Sample(
        image=beside if beside.exists() else path.parent / "images" / name,
        landmarks=landmarks,
        scheme=scheme or scheme_of_count(len(table), where),
        name=name if faces[name] == 1 else f"{name}#{faces[name]}",
        box=box,
        visible=table[:, 2] == 2,
        subset=path.stem,
    )
