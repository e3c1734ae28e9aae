"""Label Studio JSON: keypoints in percent of the image, one face per region or per task."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from ...errors import DataError
from ...io.media_files import has_image_suffix
from ...scheme_file.names import is_numbered
from ..sample import Sample, numbered_name
from .dlib_xml import sorted_names
from .image_finder import ImageFinder, unescaped
from .label_text import read_label_text
from .own_data import DEFAULT_OWN_DATA, OwnData, choose_category, choose_points

KIND = "keypointlabels"
NOT_VISIBLE = "occluded"
"""Text in a keypoint's "meta" that marks an invisible point."""


def read_label_studio(path: Path, own: OwnData = DEFAULT_OWN_DATA) -> list[Sample]:
    """Read the keypoints in a JSON export, scaled by the stated image size.

    The keypoints of one region, such as a box, form one face; without regions, those of one task
    do. If a task has several annotations, the last one is used; if it has none, its last
    prediction. The category is the label of a region.

    Args:
        path: The file.
        own: User-provided information about the data.

    Raises:
        DataError: If the file is missing or not an export, its points do not match the
            scheme, or it is unknown which label is that of the faces.
    """
    faces = _of_category(_read_tasks(path, own), own, path)
    used: dict[str, None] = {}
    for face in faces:
        used.update(dict.fromkeys(face.points))
    names = sorted_names(set(used)) if is_numbered(list(used)) else list(used)
    scheme, rows = choose_points(names, own, str(path))
    finder, counted = ImageFinder(path, own.pictures, own.needs_images), Counter[str]()
    samples = []
    for face in faces:
        read = _face(path, face.task, face.points, names, counted)
        sample = replace(read, box=face.box).with_points(scheme, rows)
        columns = {**face.task, **face.task["data"]}
        group = own.group_of(read.name, columns, "")
        image = finder.find(str(read.image))
        samples.append(replace(sample, image=image, group=group))
    finder.check()
    return samples


Points = dict[str, Mapping[str, Any]]
"""Keypoint regions by point name."""


class _Region(NamedTuple):
    """The points of one region of a task."""

    task: Mapping[str, Any]
    points: Points
    box: Any
    """(4,), pixels, or None."""
    label: str
    """Label of the region, empty if it has none."""


def _of_category(faces: list[_Region], own: OwnData, path: Path) -> list[_Region]:
    """Return the regions that are faces: of the stated label, or else of any label.

    Labels without a point name in common, such as those of faces and hands, are different things.

    Raises:
        DataError: If the label is missing, or labels differ in this way and none is stated.
    """
    names: dict[str, dict[str, None]] = defaultdict(dict)
    for face in faces:
        if face.label:
            names[face.label].update(dict.fromkeys(face.points))
    pairs = combinations(names.values(), 2)
    if not own.category and not any(one.keys().isdisjoint(two) for one, two in pairs):
        return faces
    listed = {label: list(points) for label, points in names.items()}
    label = choose_category(listed, own, str(path))
    return [face for face in faces if face.label == label]


def _read_tasks(path: Path, own: OwnData) -> list[_Region]:
    """Return the regions of all tasks that have keypoints."""
    faces: list[_Region] = []
    predicted = 0
    try:
        tasks = json.loads(read_label_text(path, "JSON"))
        for task in tasks:
            results, is_predicted = _results_of(task)
            regions = {result["id"]: result for result in results if "id" in result}
            grouped = _points_by_region(f"{path}: task {task.get('id')}", results)
            predicted += is_predicted and bool(grouped)
            for parent, points in grouped.items():
                region = regions.get(parent)
                box, label = _box_of(region), _label_of(region)
                faces.append(_Region(task, points, box, label))
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
    return faces


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


def _label_of(region: Mapping[str, Any] | None) -> str:
    """Return the first label of a region, empty if it has none."""
    value = region.get("value", {}) if region else {}
    for key, labels in value.items():
        if key.endswith("labels") and labels:
            return str(labels[0])
    return ""


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
