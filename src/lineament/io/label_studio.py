"""Write faces as Label Studio tasks: boxes with keypoints, as predictions to correct."""

import re
from collections.abc import Iterable
from typing import Any
from xml.etree import ElementTree

from ..errors import DataError
from ..schemes import scheme as scheme_called
from .labels import Drawn, DrawnFace, annotated_points, require_scheme
from .pixel_origin import FIRST_PIXEL

LOCAL_FILES = "/data/local-files/?d="
"""URL prefix under which Label Studio serves files from local storage."""
UNESCAPED = re.compile(r"[A-Za-z0-9_.~/-]")
"""Characters of a path that need no escape in a URL."""
BOX_LABEL = "face"


def faces_to_label_studio(
    results: Iterable[tuple[str, Drawn]], scheme: str
) -> list[dict[str, Any]]:
    """Return (image, faces) pairs as Label Studio tasks, ready for json.dumps.

    The labeling interface is that of `label_studio_config`. Keypoints are children of the face's
    box. Points that are probably not visible have the meta text "occluded"; unannotated points
    are omitted. Coordinates are percentages of the image's width and height, measured from the
    corner of the first pixel.

    Args:
        results: Name and faces of each image.
        scheme: Landmark scheme of all faces.

    Raises:
        SchemeError: If faces have another scheme.
        DataError: If the size of an image is unknown.
    """
    points = scheme_called(scheme).points
    tasks = []
    for number, (image, faces) in enumerate(require_scheme(results, scheme), 1):
        found: list[dict[str, Any]] = []
        if faces.image_size is None and len(faces):
            raise DataError(
                f"the size of {image!r} is unknown, but Label Studio needs percentages "
                "of it; give faces with their image_size"
            )
        for index, face in enumerate(faces):
            assert faces.image_size is not None
            found += _regions(face, f"face{index}", points, faces.image_size)
        tasks.append(
            {
                "id": number,
                "data": {"image": LOCAL_FILES + _escaped(image)},
                "predictions": [{"model_version": "lineament", "result": found}],
            }
        )
    return tasks


def _escaped(path: str) -> str:
    """Return a path as part of a URL, by its UTF-8 bytes; # and & would end it."""
    characters = []
    for byte in path.encode("utf-8", "surrogateescape"):
        character = chr(byte)
        is_plain = UNESCAPED.fullmatch(character)
        characters.append(character if is_plain else f"%{byte:02X}")
    return "".join(characters)


def _regions(
    face: DrawnFace, name: str, points: tuple[str, ...], size: tuple[int, int]
) -> list[dict[str, Any]]:
    width, height = size
    origin = FIRST_PIXEL["label-studio"]
    x0, y0, x1, y1 = (face.box + origin).tolist()
    common = {
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
    }
    box = {
        "x": 100 * x0 / width,
        "y": 100 * y0 / height,
        "width": 100 * (x1 - x0) / width,
        "height": 100 * (y1 - y0) / height,
        "rotation": 0,
        "rectanglelabels": [BOX_LABEL],
    }
    kind = {"id": name, "type": "rectanglelabels", "from_name": "boxes"}
    regions: list[dict[str, Any]] = [{**kind, **common, "value": box}]
    annotated = annotated_points(face)
    landmarks = face.landmarks + origin
    rows = zip(points, landmarks.tolist(), face.occluded.tolist(), strict=True)
    for index, (point, (x, y), occluded) in enumerate(rows):
        if not annotated[index]:
            continue
        value = {
            "x": 100 * x / width,
            "y": 100 * y / height,
            "width": 0.3,
            "keypointlabels": [point],
        }
        region = {
            "id": f"{name}-{index}",
            "parentID": name,
            "type": "keypointlabels",
            "from_name": "points",
            **common,
            "value": value,
        }
        regions.append(region | ({"meta": {"text": ["occluded"]}} if occluded else {}))
    return regions


def label_studio_config(scheme: str) -> str:
    """Return the labeling interface of a project for the points of `scheme`, as XML.

    Each label has a `model_index`, by which Label Studio's exports order keypoints.
    """
    view = ElementTree.Element("View")
    image = {"name": "image", "value": "$image", "zoom": "true"}
    ElementTree.SubElement(view, "Image", image)
    boxes = {"name": "boxes", "toName": "image"}
    rectangles = ElementTree.SubElement(view, "RectangleLabels", boxes)
    # required by the YOLO converter, which also numbers boxes
    box_label = {"value": BOX_LABEL, "model_index": "0"}
    ElementTree.SubElement(rectangles, "Label", box_label)
    named = {"name": "points", "toName": "image"}
    points = ElementTree.SubElement(view, "KeyPointLabels", named)
    for index, point in enumerate(scheme_called(scheme).points):
        label = {"value": point, "model_index": str(index)}
        ElementTree.SubElement(points, "Label", label)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"
