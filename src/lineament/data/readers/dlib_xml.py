"""dlib's XML of boxes and parts, as written by imglab: 0-based pixels, parts by name."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ...errors import DataError
from ..sample import Sample, scheme_of_count


def read_dlib_xml(path: Path, scheme: str | None = None) -> list[Sample]:
    """Read the faces of an XML file that have parts; images are relative to the file.

    Args:
        path: The file.
        scheme: Scheme of the parts; None: by their number. Parts that a box lacks are nan.

    Raises:
        DataError: If the file is absent or not dlib XML, or a box is broken.
    """
    boxes = []
    names: set[str] = set()
    for image in _parse(path).iter("image"):
        for number, box in enumerate(image.iter("box"), 1):
            parts = {part.get("name", "") for part in box.iter("part")}
            if parts:
                names |= parts
                boxes.append((image.get("file", "").replace("\\", "/"), number, box))
    if not names:
        raise DataError(
            f"{path}: no box with parts; wanted <part name= x= y=> for each landmark"
        )
    if scheme is None:
        scheme = scheme_of_count(len(names), path)
    # numbers before words, numbers by value
    ordered = sorted(
        names, key=lambda n: (not n.isdigit(), int(n) if n.isdigit() else 0, n)
    )
    rows = {name: i for i, name in enumerate(ordered)}
    return [_face(path, name, number, box, rows, scheme) for name, number, box in boxes]


def _parse(path: Path) -> ElementTree.Element:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); wanted a dlib XML file"
        ) from error
    if "<!ENTITY" in text or "<!DOCTYPE" in text:
        raise DataError(
            f"{path}: declares entities, which are not expanded; wanted plain dlib XML"
        )
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DataError(f"{path}: broken XML ({error}); write it again") from error


def _face(
    path: Path,
    name: str,
    number: int,
    box: ElementTree.Element,
    rows: dict[str, int],
    scheme: str,
) -> Sample:
    landmarks = np.full((len(rows), 2), np.nan)
    try:
        for part in box.iter("part"):
            point = float(part.attrib["x"]), float(part.attrib["y"])
            landmarks[rows[part.get("name", "")]] = point
        left, top = float(box.attrib["left"]), float(box.attrib["top"])
        width, height = float(box.attrib["width"]), float(box.attrib["height"])
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{path}: box {number} of {name!r}: {error}; wanted left, top, width, height, x, y"
        ) from error
    return Sample(
        image=path.parent / name,
        landmarks=landmarks,
        scheme=scheme,
        name=name if number == 1 else f"{name}#{number}",
        box=np.array([left, top, left + width, top + height]),
        subset=path.stem,
    )
