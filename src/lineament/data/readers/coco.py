"""COCO keypoints in a JSON file; v = 0 is not annotated, v = 1 occluded."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ..sample import Sample, numbered_name
from .image_finder import ImageFinder
from .label_text import read_label_text
from .own_data import DEFAULT_OWN_DATA, OwnData, choose_category, choose_points
from .sentinels import without_useless_flags

NO_CATEGORY = "face"
"""Category name for annotations without a category."""
CVAT_INFO = dict.fromkeys(
    ("contributor", "date_created", "description", "url", "version", "year"), ""
)
"""The entry "info" of COCO files that CVAT writes."""


def read_coco(path: Path, own: OwnData = DEFAULT_OWN_DATA) -> list[Sample]:
    """Read the annotations with keypoints in a JSON file, coordinates unchanged.

    Images are found in the layouts of COCO, CVAT, FiftyOne, Label Studio and Roboflow. Crowd
    annotations are skipped.

    Args:
        path: The file.
        own: User-provided information about the data.

    Raises:
        DataError: If the file is missing or contains no COCO keypoints, or its points do not match
            the scheme.
    """
    images, by_category = _read_table(path, own)
    category = choose_category(
        {name: points for name, (points, _) in by_category.items()}, own, str(path)
    )
    points, annotations = by_category[category]
    counted = Counter[str]()
    faces = [
        _face(path, images, annotation, len(points), counted)
        for annotation in annotations
    ]
    faces = without_useless_flags(faces, own, str(path))
    location = f"{path}: category {category!r}"
    scheme, rows = choose_points(points, own, location)
    finder = ImageFinder(path, own.pictures, own.needs_images)
    samples = []
    for face, annotation in zip(faces, annotations, strict=True):
        columns = {**images[id_text(annotation["image_id"])], **annotation}
        attributes = annotation.get("attributes")
        columns |= attributes if isinstance(attributes, Mapping) else {}
        sample = face.with_points(scheme, rows)
        group = own.group_of(face.name, columns, "")
        image = finder.find(str(face.image))
        samples.append(replace(sample, image=image, group=group))
    finder.check()
    return samples


def _read_table(
    path: Path, own: OwnData
) -> tuple[dict[str, Mapping[str, Any]], dict[str, tuple[list[str], list[Any]]]]:
    """Return the images by id, and the point names and annotations of each category."""
    found: dict[str, list[Any]] = defaultdict(list)
    crowds = absent = 0
    try:
        table = json.loads(read_label_text(path, "JSON"))
        images = _by_id(table["images"], "file_name", path)
        for image in images.values():
            str(image["file_name"])
        listed = _by_id(table.get("categories", ()), "name", path)
        for annotation in table["annotations"]:
            keypoints = flat_keypoints(annotation.get("keypoints") or ())
            if not keypoints or not any(keypoints[2::3]):
                absent += bool(keypoints)
                continue
            annotation = {**annotation, "keypoints": keypoints}
            if annotation.get("iscrowd"):
                crowds += 1
                continue
            found[_category_of(annotation, listed, path)].append(annotation)
        names = _point_names(listed, path)
    except DataError:
        raise
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
            f"{path}: not COCO keypoints ({reason}); "
            "expected images, annotations, categories"
        ) from error
    _report_skipped(path, own, absent, crowds, not found)
    if table.get("info") == CVAT_INFO and own.first_pixel is None:
        own.note(
            f"{path}: seems to be exported by CVAT, whose coordinates count from the corner of "
            "the first pixel, half a pixel from its center; set first_pixel = 0.5, or export "
            '"CVAT for images 1.1"'
        )
    by_category = {}
    for name, annotations in found.items():
        count = len(annotations[0]["keypoints"]) // 3
        points = [str(point) for point in names.get(name) or ()]
        by_category[name] = (points or [""] * count, annotations)
    return images, by_category


def _report_skipped(
    path: Path, own: OwnData, absent: int, crowds: int, is_empty: bool
) -> None:
    """Report annotations that are not read; raise DataError if none is left."""
    if is_empty:
        problem = "no annotation has keypoints"
        if absent:
            problem = f"all keypoints of {absent} annotations have v = 0, not annotated"
        raise DataError(
            f"{path}: {problem}; expected x, y, v for each landmark, v = 2 if visible, "
            "1 if not"
        )
    if absent:
        own.note(
            f"{path}: {absent} faces are skipped, because all of their keypoints have "
            "v = 0, not annotated"
        )
    if crowds:
        own.note(f"{path}: {crowds} crowd annotations are skipped")


def flat_keypoints(keypoints: Sequence[Any]) -> list[Any]:
    """Return keypoints as one list, also if each is a list [x, y, v]."""
    if any(isinstance(point, list) for point in keypoints):
        return [value for point in keypoints for value in point]
    return list(keypoints)


def id_text(value: Any) -> str:
    """Return an id as text, because some tools write the same id as a number and as text."""
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if is_whole else value)


def _category_of(
    annotation: Mapping[str, Any],
    listed: Mapping[str, Mapping[str, Any]],
    path: Path,
) -> str:
    """Return the name of an annotation's category; without an id, that of the only category."""
    category_id = annotation.get("category_id")
    category: Mapping[str, Any] = {}
    if category_id is None:
        category = next(iter(listed.values())) if len(listed) == 1 else {}
    elif listed:
        if id_text(category_id) not in listed:
            raise DataError(
                f"{path}: annotation {annotation.get('id')}: no category has the id "
                f"{category_id!r}; add it to categories, or correct category_id"
            )
        category = listed[id_text(category_id)]
    return str(category.get("name", NO_CATEGORY))


def _by_id(
    entries: Sequence[Mapping[str, Any]], key: str, path: Path
) -> dict[str, Mapping[str, Any]]:
    """Return images or categories by id, which may be repeated only with the same entry `key`."""
    found: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        other = found.setdefault(id_text(entry["id"]), entry)
        if other.get(key) != entry.get(key):
            raise DataError(
                f"{path}: {other.get(key)!r} and {entry.get(key)!r} have the same id "
                f"{entry['id']!r}; give each its own"
            )
    return found


def _point_names(
    categories: Mapping[str, Mapping[str, Any]], path: Path
) -> dict[str, list[Any]]:
    """Return the point names of each category that lists them."""
    names: dict[str, list[Any]] = {}
    for category in categories.values():
        if not category.get("keypoints"):
            continue
        name = str(category.get("name"))
        if names.setdefault(name, category["keypoints"]) != category["keypoints"]:
            raise DataError(
                f"{path}: two categories {name!r} list different keypoints; rename one"
            )
    return names


def _face(
    path: Path,
    images: Mapping[str, Mapping[str, Any]],
    annotation: Mapping[str, Any],
    count: int,
    faces: Counter[str],
) -> Sample:
    """Return a face with its `count` points in file order; `image` is only the image name."""
    location = f"{path}: annotation {annotation.get('id')}"
    numbers = len(annotation["keypoints"])
    if numbers != 3 * count:
        raise DataError(
            f"{location}: {numbers} numbers in keypoints; expected {3 * count}, x, y, v "
            f"for each of {count} points"
        )
    image_id = annotation.get("image_id")
    if image_id is not None and id_text(image_id) not in images:
        raise DataError(
            f"{location}: no image has the id {image_id!r}; add it to images, or remove "
            "the annotation"
        )
    try:
        image = images[id_text(annotation["image_id"])]
        name = str(image["file_name"]).replace("\\", "/")
        keypoints = np.array(annotation["keypoints"], dtype=np.float64).reshape(-1, 3)
        box = size = None
        if annotation.get("bbox"):
            x, y, width, height = map(float, annotation["bbox"])
            box = np.array([x, y, x + width, y + height])
        if image.get("width") and image.get("height"):
            size = int(image["width"]), int(image["height"])
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"{location}: {error}; "
            "expected image_id, bbox x, y, w, h and keypoints x, y, v"
        ) from error
    return Sample(
        image=Path(name),
        landmarks=np.where(keypoints[:, 2:] > 0, keypoints[:, :2], np.nan),
        scheme="",
        name=numbered_name(name, faces),
        box=box,
        visible=keypoints[:, 2] == 2,
        subset=path.stem,
        stated_size=size,
    )
