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
"""Numbers of the conditions; the second session adds 13."""
SESSION = 13
RAW_SIZE = (3, 576, 768)
"""Red, green and blue planes of a .raw file."""


def read_ar(root: Path, part: str) -> list[Sample]:
    """Read the faces, fgnet22, with sex, expression, light and occlusion; only existing images.

    Points are the files m-001-01.pts of FGNET, by sex, person and condition. Images are .raw files
    or any image format. Both may be anywhere below `root`. The faces of one person are one group.

    The order of the points was compared with one published file. FGNET is assumed to count pixels
    from 0, as its Talking Face video does.

    Raises:
        DataError: If there is no .pts file, or one is broken or has another name.
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
    """Return `face` with the attributes that its name states, and the way to read a .raw file."""
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
    """Read a .raw file of AR, 768 x 576, its red, green and blue planes in turn: RGB (H, W, 3).

    Raises:
        ImageError: If the file has another size.
    """
    data = np.fromfile(path, np.uint8)
    if data.size != np.prod(RAW_SIZE):
        raise ImageError(
            f"{path}: {data.size} bytes; wanted {np.prod(RAW_SIZE)}, "
            "three planes of 768 x 576: get the file again"
        )
    return np.ascontiguousarray(data.reshape(RAW_SIZE).transpose(1, 2, 0))
