"""dlib's XML of boxes and parts, as imglab writes it: 0-based pixels, parts by name."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ...errors import DataError
from ..sample import Sample, scheme_of_count


def read_dlib_xml(path: Path, scheme: str | None = None) -> list[Sample]:
    """The faces of the file that have parts; pictures are named relative to it.

    scheme: what the parts are; None takes it from their number. Parts that a box lacks are nan.
    Raises: DataError where the file is absent, no dlib XML, or a box is broken.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); wanted a dlib XML file") from error
    if "<!ENTITY" in text or "<!DOCTYPE" in text:
        raise DataError(f"{path}: declares entities, which are not expanded; wanted plain dlib XML")
    try:
        tree = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DataError(f"{path}: broken XML ({error}); write it again") from error
    boxes = [
        (image, number, box)
        for image in tree.iter("image")
        for number, box in enumerate(image.iter("box"), 1)
    ]
    names = sorted({part.get("name", "") for _, _, box in boxes for part in box.iter("part")})
    if not names:
        raise DataError(f"{path}: no box with parts; wanted <part name= x= y=> for each landmark")
    if scheme is None:
        scheme = scheme_of_count(len(names), path)
    by_number = sorted(
        names, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else name)
    )
    order = {name: i for i, name in enumerate(by_number)}
    faces: list[Sample] = []
    for image, number, box in boxes:
        if box.find("part") is not None:
            faces.append(_face(path, image.get("file", ""), number, box, order, scheme))
    return faces


def _face(
    path: Path, name: str, number: int, box: ElementTree.Element, order: dict[str, int], scheme: str
) -> Sample:
    landmarks = np.full((len(order), 2), np.nan)
    try:
        for part in box.iter("part"):
            landmarks[order[part.get("name", "")]] = (
                float(part.attrib["x"]),
                float(part.attrib["y"]),
            )
        left, top, width, height = (
            float(box.attrib[key]) for key in ("left", "top", "width", "height")
        )
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{path}: box {number} of {name!r}: {error}; wanted left, top, width, height, x, y"
        ) from error
    name = name.replace("\\", "/")
    return Sample(
        image=path.parent / name,
        landmarks=landmarks,
        scheme=scheme,
        name=name if number == 1 else f"{name}#{number}",
        box=np.array([left, top, left + width, top + height]),
        subset=path.stem,
    )
