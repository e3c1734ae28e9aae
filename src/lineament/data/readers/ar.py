"""AR (Martinez and Benavente 1998): portraits with the 22 points of FGNET."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...errors import DataError, ImageError
from ...io.media_files import IMAGE_SUFFIXES
from ..sample import Image, Sample
from .pts import read_pts_of_images

PARTS: dict[str, None] = {"all": None}
NAME = re.compile(r"([mwf])-\d{2,3}-(\d{2})", re.IGNORECASE)
"""Sex, person and condition, as in m-001-01."""
CONDITIONS: dict[str, tuple[int, ...]] = {
    "smiling": (2,),
    "angry": (3,),
    "screaming": (4,),
    "spotlight": (5, 6, 7),
    "occluded": (8, 9, 10, 11, 12, 13),
}
"""Condition numbers; in the second session they are 13 higher."""
SESSION = 13
RAW_SIZE = (3, 576, 768)
"""Shape of a .raw file: red, green and blue planes."""


def read_ar(root: Path, part: str) -> list[Sample]:
    """Read the faces, fgnet22, with sex, expression, light and occlusion; skip missing images.

    Points are read from FGNET's files, such as m-001-01.pts, named by sex, person and condition.
    Images are .raw files or any image format. Both may be anywhere below `root`. The faces of one
    person form one group.

    The order of the points was checked against one published file. FGNET is assumed to number
    pixels from 0, as in its Talking Face video.

    Raises:
        DataError: If there is no .pts file, or one is broken or has an unexpected name.
    """
    faces = read_pts_of_images(
        root,
        sorted(root.rglob("*.pts")),
        "fgnet22",
        _person,
        first_pixel=0.0,
        suffixes=(*IMAGE_SUFFIXES, ".raw"),
    )
    return [_with_condition(face) for face in faces]


def _person(stem: str) -> str:
    return f"ar_{stem.rpartition('-')[0].lower()}"


def _with_condition(face: Sample) -> Sample:
    """Return `face` with the attributes from its file name, and a reader for .raw files."""
    name = NAME.fullmatch(face.image.stem)
    if name is None:
        raise DataError(
            f"{face.image}: not named like m-001-01, by sex, person and condition; rename it"
        )
    condition = (int(name[2]) - 1) % SESSION + 1
    attributes = {"male": name[1].lower() == "m"}
    for attribute, numbers in CONDITIONS.items():
        attributes[attribute] = condition in numbers
    if face.image.suffix.lower() != ".raw":
        return replace(face, attributes=attributes)
    return replace(face, attributes=attributes, frame=0, read_frame=read_ar_raw)


def read_ar_raw(path: Path, frame: int = 0) -> Image:
    """Read a .raw file of AR, 768 x 576, with red, green and blue planes in turn: RGB (H, W, 3).

    Raises:
        ImageError: If the file has a different size.
    """
    data = np.fromfile(path, np.uint8)
    if data.size != np.prod(RAW_SIZE):
        raise ImageError(
            f"{path}: {data.size} bytes; expected {np.prod(RAW_SIZE)}, "
            "three planes of 768 x 576: get the file again"
        )
    return np.ascontiguousarray(data.reshape(RAW_SIZE).transpose(1, 2, 0))
