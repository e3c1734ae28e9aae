"""Write faces as dlib XML with boxes and parts, like imglab."""

from collections.abc import Iterable
from xml.etree import ElementTree

from ..schemes import scheme as scheme_called
from .labels import Drawn, DrawnFace, annotated_points, require_scheme

DECIMALS = 4


def faces_to_dlib(
    results: Iterable[tuple[str, Drawn]], scheme: str, whole_pixels: bool = False
) -> str:
    """Return (image, faces) pairs as the text of a dlib XML file.

    Parts are named by point number, because dlib's training code sorts them by name. Unannotated
    points are omitted; occlusion is not stored.

    Args:
        whole_pixels: Round coordinates, because dlib's own loader rejects fractions.

    Raises:
        SchemeError: If faces have another scheme.
    """
    decimals = 0 if whole_pixels else DECIMALS
    digits = len(str(len(scheme_called(scheme)) - 1))
    root = ElementTree.Element("dataset")
    ElementTree.SubElement(root, "name").text = f"faces with {scheme} points"
    images = ElementTree.SubElement(root, "images")
    for name, faces in require_scheme(results, scheme):
        image = ElementTree.SubElement(images, "image", file=name)
        if faces.image_size is not None:
            image.set("width", str(faces.image_size[0]))
            image.set("height", str(faces.image_size[1]))
        for face in faces:
            _box(image, face, digits, decimals)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _box(
    image: ElementTree.Element, face: DrawnFace, digits: int, decimals: int
) -> None:
    # dlib also stores boxes as whole pixels
    x0, y0, x1, y1 = map(round, face.box.tolist())
    sides = {"left": x0, "top": y0, "width": x1 - x0, "height": y1 - y0}
    attributes = {name: str(value) for name, value in sides.items()}
    box = ElementTree.SubElement(image, "box", attributes)
    known = annotated_points(face).tolist()
    for number, (x, y) in enumerate(face.landmarks.tolist()):
        if known[number]:
            place = {"x": f"{x:.{decimals}f}", "y": f"{y:.{decimals}f}"}
            name = f"{number:0{digits}d}"
            ElementTree.SubElement(box, "part", {"name": name, **place})
