"""COCO keypoints in one JSON file; v = 0 is not annotated, v = 1 occluded."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ..sample import Sample, numbered_name, scheme_of_count
from .table import image_of_table


def read_coco(path: Path, scheme: str | None = None) -> list[Sample]:
    """Read the annotations of a JSON file that have keypoints, coordinates unchanged.

    Images are relative to the file, or below `images` next to it.

    Args:
        path: The file.
        scheme: Scheme of the keypoints; None: by their number.

    Raises:
        DataError: If the file is absent or has no COCO keypoints.
    """
    annotations = []
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        images = {image["id"]: str(image["file_name"]) for image in table["images"]}
        for annotation in table["annotations"]:
            keypoints = annotation.get("keypoints")
            if keypoints and any(keypoints[2::3]):
                annotations.append(annotation)
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(
            f"{path}: not COCO keypoints ({reason}); wanted images, annotations, categories"
        ) from error
    if not annotations:
        raise DataError(
            f"{path}: no annotation has keypoints; wanted x, y, v for each landmark"
        )
    faces: Counter[str] = Counter()
    return [
        _face(path, images, annotation, scheme, faces) for annotation in annotations
    ]


def _face(
    path: Path,
    images: dict[Any, str],
    annotation: dict[str, Any],
    scheme: str | None,
    faces: Counter[str],
) -> Sample:
    place = f"{path}: annotation {annotation.get('id')}"
    try:
        name = images[annotation["image_id"]]
        keypoints = np.array(annotation["keypoints"], dtype=np.float64).reshape(-1, 3)
        box = None
        if annotation.get("bbox"):
            x, y, width, height = map(float, annotation["bbox"])
            box = np.array([x, y, x + width, y + height])
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"{place}: {error}; wanted image_id, bbox x, y, w, h and keypoints x, y, v"
        ) from error
    return Sample(
        image=image_of_table(path, name),
        landmarks=np.where(keypoints[:, 2:] > 0, keypoints[:, :2], np.nan),
        scheme=scheme or scheme_of_count(len(keypoints), place),
        name=numbered_name(name, faces),
        box=box,
        visible=keypoints[:, 2] == 2,
        subset=path.stem,
    )
