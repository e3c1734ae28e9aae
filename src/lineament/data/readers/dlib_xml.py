"""dlib XML files with boxes and parts, as written by imglab; 0-based pixels, parts by name."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ...errors import DataError
from ...io.media_files import by_numbers
from ..sample import Sample
from .image_finder import ImageFinder
from .label_text import read_label_text
from .own_data import DEFAULT_OWN_DATA, OwnData, choose_points


def read_dlib_xml(path: Path, own: OwnData = DEFAULT_OWN_DATA) -> list[Sample]:
    """Read the faces with parts in an XML file; image paths are relative to the file.

    Boxes marked "ignore" are skipped. Parts missing from a box are nan.

    Args:
        path: The file.
        own: User-provided information about the data.

    Raises:
        DataError: If the file is missing or not dlib XML, or a box is broken.
    """
    boxes = []
    counted = Counter[str]()
    names: set[str] = set()
    sizes: dict[str, tuple[int, int] | None] = {}
    ignored = 0
    for image in parse_xml(path, "dlib XML").iter("image"):
        file = image.get("file", "").replace("\\", "/")
        sizes[file] = _stated_size(image)
        for box in image.iter("box"):
            counted[file] += 1
            parts = {part.get("name", "") for part in box.iter("part")}
            if box.get("ignore", "0") not in ("0", "false"):
                ignored += 1
            elif parts:
                names |= parts
                boxes.append((file, counted[file], box))
    if ignored:
        own.note(f"{path}: {ignored} boxes marked as ignored are skipped")
    if not names:
        others = f" besides {ignored} boxes marked as ignored" if ignored else ""
        raise DataError(
            f"{path}: no box with parts{others}; expected <part name= x= y=> for each "
            "landmark"
        )
    ordered = sorted_names(names)
    parts_at = {name: i for i, name in enumerate(ordered)}
    faces = [_face(path, name, number, box, parts_at) for name, number, box in boxes]
    scheme, rows = choose_points(ordered, own, str(path))
    finder = ImageFinder(path, own.pictures, own.needs_images)
    samples = []
    for face, (name, _, box) in zip(faces, boxes, strict=True):
        sample = face.with_points(scheme, rows)
        group = own.group_of(face.name, box.attrib, "")
        image_path = finder.find(name)
        samples.append(
            replace(sample, image=image_path, group=group, stated_size=sizes[name])
        )
    finder.check()
    return samples


def _stated_size(image: ElementTree.Element) -> tuple[int, int] | None:
    """Return the width and height of an image, which newer versions of imglab write, or None."""
    width, height = image.get("width", ""), image.get("height", "")
    return (
        (int(width), int(height)) if width.isdecimal() and height.isdecimal() else None
    )


def sorted_names(names: set[str]) -> list[str]:
    """Return names sorted with numbers first, and by the numbers in them: p2 before p10."""
    return sorted(
        names, key=lambda name: (not name.isdecimal(), by_numbers(name), name)
    )


def parse_xml(path: Path, kind: str) -> ElementTree.Element:
    """Return the root of an XML file, rejecting entity declarations.

    Args:
        kind: Name of the format, for error messages.

    Raises:
        DataError: If the file cannot be read, is broken or declares entities.
    """
    text = read_label_text(path, f"a {kind} file")
    if "<!ENTITY" in text or "<!DOCTYPE" in text:
        raise DataError(
            f"{path}: declares entities, which are not expanded; expected plain {kind}"
        )
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DataError(f"{path}: broken XML ({error}); export it again") from error


def _face(
    path: Path,
    name: str,
    number: int,
    box: ElementTree.Element,
    rows: dict[str, int],
) -> Sample:
    """Return a face with points in the order of `rows`; `image` is only the image name."""
    landmarks = np.full((len(rows), 2), np.nan)
    try:
        for part in box.iter("part"):
            row = rows[part.get("name", "")]
            if np.isfinite(landmarks[row]).any():
                raise ValueError(f"two parts {part.get('name', '')!r}")
            landmarks[row] = float(part.attrib["x"]), float(part.attrib["y"])
        left, top = float(box.attrib["left"]), float(box.attrib["top"])
        width, height = float(box.attrib["width"]), float(box.attrib["height"])
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{path}: box {number} of {name!r}: {error}; "
            "expected left, top, width, height, x, y"
        ) from error
    return Sample(
        image=Path(name),
        landmarks=landmarks,
        scheme="",
        name=name if number == 1 else f"{name}#{number}",
        box=np.array([left, top, left + width, top + height]),
        subset=path.stem,
    )
