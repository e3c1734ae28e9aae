"""Faces -> CVAT's XML for images 1.1: each face a skeleton of named points."""

from collections.abc import Iterable
from xml.etree import ElementTree

from ..face import Face, Faces
from ..schemes import scheme as scheme_called
from .tables import of_scheme

LABEL = "face"
DECIMALS = 4


def faces_to_cvat(results: Iterable[tuple[str, Faces]], scheme: str) -> str:
    """Return (image, faces) pairs as the text of an XML file that CVAT imports.

    The task in CVAT needs a skeleton label `face` with the names of the scheme's points. Points
    that are likely not visible are marked occluded. Images without a face are listed.

    Raises:
        SchemeError: If faces are of another scheme.
    """
    points = scheme_called(scheme).points
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    labels = ElementTree.SubElement(task, "labels")
    _label(labels, LABEL, "skeleton")
    for point in points:
        label = _label(labels, point, "points")
        ElementTree.SubElement(label, "parent").text = LABEL
    for number, (name, faces) in enumerate(of_scheme(results, scheme)):
        image = ElementTree.SubElement(root, "image", id=str(number), name=name)
        if faces.image_size is not None:
            image.set("width", str(faces.image_size[0]))
            image.set("height", str(faces.image_size[1]))
        for face in faces:
            _skeleton(image, face, points)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _label(parent: ElementTree.Element, name: str, kind: str) -> ElementTree.Element:
    label = ElementTree.SubElement(parent, "label")
    ElementTree.SubElement(label, "name").text = name
    ElementTree.SubElement(label, "type").text = kind
    return label


def _skeleton(image: ElementTree.Element, face: Face, points: tuple[str, ...]) -> None:
    stated = {"label": LABEL, "source": "auto", "z_order": "0"}
    skeleton = ElementTree.SubElement(image, "skeleton", stated)
    rows = zip(points, face.landmarks.tolist(), face.occluded.tolist(), strict=True)
    for name, (x, y), occluded in rows:
        entries = {
            "label": name,
            "source": "auto",
            "outside": "0",
            "occluded": str(int(occluded)),
            "points": f"{x:.{DECIMALS}f},{y:.{DECIMALS}f}",
        }
        ElementTree.SubElement(skeleton, "points", entries)
