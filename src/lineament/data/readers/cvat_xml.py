"""CVAT XML for images, version 1.1: faces as skeletons or points; coordinates unchanged."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from ...errors import DataError
from ...scheme_file.names import is_numbered
from ..sample import Sample, numbered_name
from .dlib_xml import parse_xml, sorted_names
from .image_finder import ImageFinder
from .own_data import DEFAULT_OWN_DATA, OwnData, choose_category, choose_points

SINGLE_POINTS = "single points"
"""Category name for faces whose points are separate shapes, each with its own label."""


@dataclass
class _Shape:
    """A face as drawn: x, y and visibility of its points by name."""

    image: Element
    points: dict[str, tuple[float, float, bool]]
    columns: dict[str, str]
    is_list: bool = False
    """True for a shape of several points, known only by their order."""


def read_cvat_xml(path: Path, own: OwnData = DEFAULT_OWN_DATA) -> list[Sample]:
    """Read the faces in a file: skeletons, shapes with several points, or single points.

    Points marked "outside" are not annotated, occluded points are not visible. Single points in
    the same image and group form one face.

    Args:
        path: The file.
        own: User-provided information about the data; the category is a CVAT label.

    Raises:
        DataError: If the file is missing or not CVAT XML, or its points do not match the
            scheme.
    """
    root = parse_xml(path, "CVAT XML")
    shapes: dict[str, list[_Shape]] = defaultdict(list)
    for image in root.iter("image"):
        try:
            for label, shape in _shapes(image):
                shapes[label].append(shape)
        except (KeyError, ValueError) as error:
            raise DataError(
                f"{path}: image {image.get('name')!r}: {error}; "
                "expected points as x,y;x,y"
            ) from error
    if not shapes:
        raise DataError(
            f"{path}: no skeleton and no points; "
            "expected CVAT for images 1.1 with one of them"
        )
    names = {label: _names(root, found) for label, found in shapes.items()}
    label = choose_category(names, own, str(path))
    location = f"{path}: label {label!r}"
    for shape in shapes[label]:
        if shape.is_list and len(shape.points) != len(names[label]):
            raise DataError(
                f"{location}: a shape in image {shape.image.get('name')!r} has "
                f"{len(shape.points)} points, others have {len(names[label])}, so "
                "their order is unknown; add the missing ones, or use a skeleton"
            )
    scheme, rows = choose_points(names[label], own, location)
    finder, counted = ImageFinder(path, own.pictures, own.needs_images), Counter[str]()
    samples = []
    for shape in shapes[label]:
        face = _face(path, shape, names[label], counted)
        sample = face.with_points(scheme, rows)
        group = own.group_of(face.name, shape.columns, "")
        found_at = finder.find(str(face.image))
        samples.append(replace(sample, image=found_at, group=group))
    finder.check()
    return samples


def _shapes(image: Element) -> Iterator[tuple[str, _Shape]]:
    """Yield the label and shape of each face in an image."""
    single: dict[str, _Shape] = {}
    for shape in image:
        columns = {**image.attrib, **shape.attrib, **_attributes(shape)}
        if shape.tag == "skeleton":
            points = {}
            for part in shape.iter("points"):
                if part.attrib["label"] in points:
                    raise ValueError(f"two points {part.get('label')!r} in a skeleton")
                if part.get("outside") != "1":
                    points[part.attrib["label"]] = _coordinates(part)[0]
            yield shape.attrib["label"], _Shape(image, points, columns)
        elif shape.tag == "points":
            listed = _coordinates(shape)
            if len(listed) > 1:
                numbered = {str(i): point for i, point in enumerate(listed)}
                yield shape.attrib["label"], _Shape(image, numbered, columns, True)
                continue
            face = single.setdefault(
                shape.get("group_id", ""), _Shape(image, {}, columns)
            )
            name = shape.attrib["label"]
            if name in face.points:
                raise ValueError(f"two points {name!r} in one face: group each face")
            face.points[name] = listed[0]
    for face in single.values():
        yield SINGLE_POINTS, face


def _attributes(shape: Element) -> dict[str, str]:
    return {each.get("name", ""): each.text or "" for each in shape.iter("attribute")}


def _coordinates(shape: Element) -> list[tuple[float, float, bool]]:
    visible = shape.get("occluded") != "1"
    points = []
    for pair in shape.attrib["points"].split(";"):
        x, y = map(float, pair.split(","))
        points.append((x, y, visible))
    return points


def _names(root: Element, shapes: list[_Shape]) -> list[str]:
    """Return the point names of a label, in the order of the label declarations."""
    used: dict[str, None] = {}
    for shape in shapes:
        used.update(dict.fromkeys(shape.points))
    if is_numbered(list(used)):
        return sorted_names(set(used))
    declared = [element.text or "" for element in root.findall("./meta//label/name")]
    ordered = [name for name in dict.fromkeys(declared) if name in used]
    return [*ordered, *(name for name in used if name not in ordered)]


def _face(path: Path, shape: _Shape, names: list[str], counted: Counter[str]) -> Sample:
    """Return a face with points in the order of `names`; `image` is only the image name."""
    landmarks = np.full((len(names), 2), np.nan)
    visible = np.zeros(len(names), np.bool_)
    for number, name in enumerate(names):
        if name in shape.points:
            x, y, visible[number] = shape.points[name]
            landmarks[number] = x, y
    name = shape.image.get("name", "").replace("\\", "/")
    size = None
    if shape.image.get("width") and shape.image.get("height"):
        size = int(shape.image.attrib["width"]), int(shape.image.attrib["height"])
    return Sample(
        image=Path(shape.image.get("subset", "")) / name,
        landmarks=landmarks,
        scheme="",
        name=numbered_name(name, counted),
        visible=visible,
        subset=shape.image.get("subset") or path.stem,
        stated_size=size,
    )
