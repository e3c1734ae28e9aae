"""Label Studio JSON: keypoints in percent of the image, one face per region or per task."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ...errors import DataError
from ...io.media_files import has_image_suffix
from ...scheme_file.names import is_numbered
from ..sample import Sample, numbered_name
from .dlib_xml import sorted_names
from .image_finder import ImageFinder, unescaped
from .label_text import read_label_text
from .own_data import DEFAULT_OWN_DATA, OwnData, choose_points

KIND = "keypointlabels"
NOT_VISIBLE = "occluded"
"""Text in a keypoint's "meta" that marks an invisible point."""


def read_label_studio(path: Path, own: OwnData = DEFAULT_OWN_DATA) -> list[Sample]:
    """Read the keypoints in a JSON export, scaled by the stated image size.

    The keypoints of one region, such as a box, form one face; without regions, those of one task
    do. If a task has several annotations, the last one is used; if it has none, its last
    prediction.

    Args:
        path: The file.
        own: User-provided information about the data.

    Raises:
        DataError: If the file is missing or not an export, or its points do not match the
            scheme.
    """
    faces, boxes = _read_tasks(path, own)
    used: dict[str, None] = {}
    for _, points in faces:
        used.update(dict.fromkeys(points))
    names = sorted_names(set(used)) if is_numbered(list(used)) else list(used)
    scheme, rows = choose_points(names, own, str(path))
    finder, counted = ImageFinder(path, own.pictures, own.needs_images), Counter[str]()
    samples = []
    for (task, points), box in zip(faces, boxes, strict=True):
        face = replace(_face(path, task, points, names, counted), box=box)
        sample = face.with_points(scheme, rows)
        columns = {**task, **task["data"]}
        group = own.group_of(face.name, columns, "")
        image = finder.find(str(face.image))
        samples.append(replace(sample, image=image, group=group))
    finder.check()
    return samples


Points = dict[str, Mapping[str, Any]]
"""Keypoint regions by point name."""


def _read_tasks(
    path: Path, own: OwnData
) -> tuple[list[tuple[Mapping[str, Any], Points]], list[Any]]:
    """Return the task and points of each face, and its box or None."""
    faces: list[tuple[Mapping[str, Any], Points]] = []
    boxes: list[Any] = []
    predicted = 0
    try:
        tasks = json.loads(read_label_text(path, "JSON"))
        for task in tasks:
            results, is_predicted = _results_of(task)
            regions = {result["id"]: result for result in results if "id" in result}
            grouped = _points_by_region(f"{path}: task {task.get('id')}", results)
            predicted += is_predicted and bool(grouped)
            for parent, points in grouped.items():
                faces.append((task, points))
                boxes.append(_box_of(regions.get(parent)))
    except DataError:
        raise
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
    ) as error:
        raise DataError(
            f"{path}: not an export of Label Studio ({type(error).__name__}: {error}); "
            "expected its JSON with tasks, data, annotations and results: export JSON, not JSON-MIN"
        ) from error
    if not faces:
        raise DataError(f"{path}: no keypoints; expected results of type {KIND}")
    if predicted:
        own.note(
            f"{path}: for {predicted} tasks without annotations, the predictions are "
            "read"
        )
    return faces, boxes


def _points_by_region(place: str, results: list[Any]) -> dict[Any, Points]:
    """Return the keypoints of a task by the id of their region, None without one.

    Args:
        place: Description of the task for messages.
        results: Its results.

    Raises:
        DataError: If they are on a rotated image or several images, or a name is repeated.
    """
    grouped: dict[Any, Points] = defaultdict(dict)
    drawn_on: set[tuple[Any, Any]] = set()
    for result in results:
        if result.get("type") != KIND:
            continue
        if result.get("image_rotation"):
            raise DataError(
                f"{place}: the image was rotated in Label Studio by "
                f"{result['image_rotation']} degrees, and its points with it; rotate it back "
                "there, and export again"
            )
        drawn_on.add((result.get("to_name"), result.get("item_index") or 0))
        name = str(result["value"][KIND][0])
        parent = result.get("parentID") or result.get("parent_id")
        if name in grouped[parent]:
            raise DataError(
                f"{place}: two points {name!r}; draw a box around each face and "
                "make its points children of it"
            )
        grouped[parent][name] = result
    if len(drawn_on) > 1:
        raise DataError(
            f"{place}: points on several images; give each image a task of its own"
        )
    return grouped


def _results_of(task: Mapping[str, Any]) -> tuple[list[Any], bool]:
    """Return the results of the last annotation, or prediction, and True for a prediction."""
    annotations = [a for a in task.get("annotations", ()) if not a.get("was_cancelled")]
    predictions = task.get("predictions") or []
    if "data" not in task:
        raise KeyError("data")
    if annotations:
        return list(annotations[-1]["result"]), False
    return (list(predictions[-1]["result"]), True) if predictions else ([], False)


def _box_of(region: Mapping[str, Any] | None) -> Any:
    """Return the box (4,) of a region, pixels; None if it has none."""
    if region is None or "width" not in region.get("value", {}):
        return None
    value = region["value"]
    size = np.array([region["original_width"], region["original_height"]])
    start = np.array([value["x"], value["y"]]) / 100 * size
    side = np.array([value["width"], value["height"]]) / 100 * size
    return np.concatenate([start, start + side])


def _image_of(task: Mapping[str, Any]) -> str:
    """Return the path or URL of a task's image: a text with an image suffix, or with a dot."""
    texts = [text for text in task["data"].values() if isinstance(text, str)]
    for text in texts:
        plain = text if "?d=" in text else text.partition("?")[0]
        if has_image_suffix(PurePosixPath(plain.replace("\\", "/"))):
            return text
    dotted = [text for text in texts if "." in text]
    return dotted[0] if dotted else str(task.get("file_upload", ""))


def _face(
    path: Path,
    task: Mapping[str, Any],
    points: Points,
    names: list[str],
    counted: Counter[str],
) -> Sample:
    """Return a face with points in the order of `names`; `image` is only the image name."""
    landmarks = np.full((len(names), 2), np.nan)
    visible = np.zeros(len(names), np.bool_)
    size = None
    try:
        for number, name in enumerate(names):
            if name not in points:
                continue
            region = points[name]
            size = int(region["original_width"]), int(region["original_height"])
            at = np.array([region["value"]["x"], region["value"]["y"]], np.float64)
            landmarks[number] = at / 100 * size
            visible[number] = NOT_VISIBLE not in str(region.get("meta", ""))
        image = _image_of(task)
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"{path}: task {task.get('id')}: {error}; expected original_width, "
            "original_height, x and y of each keypoint"
        ) from error
    name = str(image).replace("\\", "/")
    _, query, local = name.rpartition("?d=")
    stem = unescaped(local) if query else local
    return Sample(
        image=Path(name),
        landmarks=landmarks,
        scheme="",
        name=numbered_name(stem.lstrip("/"), counted),
        visible=visible,
        subset=path.stem,
        stated_size=size,
    )
