"""Write faces as CVAT XML for images 1.1: one skeleton or one points shape per face."""

from collections.abc import Iterable
from xml.etree import ElementTree

from ..schemes import scheme as scheme_called
from .labels import Drawn, DrawnFace, annotated_points, require_scheme
from .pixel_origin import FIRST_PIXEL

LABEL = "face"
DECIMALS = 4


def faces_to_cvat(
    results: Iterable[tuple[str, Drawn]], scheme: str, skeletons: bool = True
) -> str:
    """Return (image, faces) pairs as the text of an XML file that CVAT imports.

    The task in CVAT needs a skeleton label `face` with the names of the scheme's points. Points
    that are probably not visible are marked occluded, unannotated points are marked outside.
    Coordinates are measured from the corner of the first pixel, whose center is (0.5, 0.5).
    Images without a face are listed.

    Args:
        results: Name and faces of each image.
        scheme: Landmark scheme of all faces.
        skeletons: Write skeletons, as CVAT imports them. False: write one `points` shape per face,
            for other readers of this XML; it has no names and no occlusion, and (0, 0) for
            unannotated points.

    Raises:
        SchemeError: If faces have another scheme.
    """
    points = scheme_called(scheme).points
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    labels = ElementTree.SubElement(task, "labels")
    _label(labels, LABEL, "skeleton" if skeletons else "points")
    for point in points if skeletons else ():
        label = _label(labels, point, "points")
        ElementTree.SubElement(label, "parent").text = LABEL
    for number, (name, faces) in enumerate(require_scheme(results, scheme)):
        image = ElementTree.SubElement(root, "image", id=str(number), name=name)
        if faces.image_size is not None:
            image.set("width", str(faces.image_size[0]))
            image.set("height", str(faces.image_size[1]))
        for face in faces:
            if skeletons:
                _skeleton(image, face, points)
            else:
                _points(image, face)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _label(parent: ElementTree.Element, name: str, kind: str) -> ElementTree.Element:
    label = ElementTree.SubElement(parent, "label")
    ElementTree.SubElement(label, "name").text = name
    ElementTree.SubElement(label, "type").text = kind
    return label


def _skeleton(
    image: ElementTree.Element, face: DrawnFace, points: tuple[str, ...]
) -> None:
    attributes = {"label": LABEL, "source": "auto", "z_order": "0"}
    skeleton = ElementTree.SubElement(image, "skeleton", attributes)
    annotated = annotated_points(face).tolist()
    rows = zip(points, _places(face), face.occluded.tolist(), annotated, strict=True)
    for name, place, occluded, known in rows:
        entries = {
            "label": name,
            "source": "auto",
            "outside": str(int(not known)),
            "occluded": str(int(occluded)),
            "points": place,
        }
        ElementTree.SubElement(skeleton, "points", entries)


def _points(image: ElementTree.Element, face: DrawnFace) -> None:
    entries = {"label": LABEL, "source": "auto", "occluded": "0", "z_order": "0"}
    entries["points"] = ";".join(_places(face))
    ElementTree.SubElement(image, "points", entries)


def _places(face: DrawnFace) -> list[str]:
    """Return the points as "x,y" in CVAT's coordinates; unannotated points are 0,0."""
    landmarks = face.landmarks + FIRST_PIXEL["cvat"]
    landmarks[~annotated_points(face)] = 0.0
    return [f"{x:.{DECIMALS}f},{y:.{DECIMALS}f}" for x, y in landmarks.tolist()]
