"""IMM (Nordstrom et al. 2004): six images each of 40 subjects, with 58 points in .asf files."""

import re
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...geometry import Array
from ...io.image import read_image
from ..sample import Sample

PARTS: dict[str, int] = {"all": 240}
NAME = re.compile(r"(\d{2})-([1-6])([mf])")
"""Person, kind of image and sex, as in 01-1m."""
KINDS: dict[str, tuple[str, ...]] = {
    "smiling": ("2",),
    "turned": ("3", "4"),
    "spotlight": ("5",),
    "expressive": ("6",),
}
"""Kinds of images; 1 is frontal and neutral."""
POINTS = 58


def read_imm(root: Path, part: str) -> list[Sample]:
    """Read the faces, imm58, with sex and kind of image; skip missing images.

    Each file names an image in the same folder. Coordinates are fractions of the image size and
    are converted to 0-based pixels. The faces of one person form one group. The order of the points
    was checked against one published face.

    Raises:
        DataError: If there is no .asf file, or one is broken.
        ImageError: If an image cannot be read.
    """
    files = sorted(root.rglob("*.asf"))
    if not files:
        raise DataError(f"{root}: no .asf file below it; expected 01-1m.asf and so on")
    samples = []
    for path in files:
        name = NAME.fullmatch(path.stem)
        if name is None:
            raise DataError(
                f"{path}: not named like 01-1m.asf, by person, kind and sex; rename it"
            )
        landmarks, image_name = parse_asf(path)
        image = path.parent / image_name
        if not image.is_file():
            continue
        person, kind, sex = name.groups()
        height, width = read_image(image).shape[:2]
        samples.append(
            Sample(
                image=image,
                landmarks=landmarks * [width, height],
                scheme="imm58",
                name=image.relative_to(root).as_posix(),
                attributes={
                    "male": sex == "m",
                    **{each: kind in kinds for each, kinds in KINDS.items()},
                },
                group=f"imm_{person}",
            )
        )
    return samples


def parse_asf(path: Path) -> tuple[Array, str]:
    """Return the points (58, 2) of an .asf file, as fractions of the image size, and image name.

    Lines starting with # are comments. The others are the number of points, one line per point
    (path, type, x, y, number, from, to), and the image name.

    Raises:
        DataError: If the file is broken.
    """
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            lines.append(line.strip())
    points = []
    try:
        if len(lines) < POINTS + 2 or int(lines[0]) != POINTS:
            raise ValueError(f"{lines[:1]} and {len(lines[1:])} more lines")
        for line in lines[1 : POINTS + 1]:
            _, _, x, y, _, _, _, *_ = line.split()
            points.append((float(x), float(y)))
    except ValueError as error:
        raise DataError(
            f"{path}: {error}; "
            f"expected {POINTS}, a line of 7 columns per point, and the image"
        ) from error
    # image names in the official files have no folder
    return np.array(points), Path(lines[POINTS + 1]).name
