"""PUT (Kasinski et al. 2008): portraits of 100 subjects, 30 landmarks or 194 contour points."""

import re
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...geometry import Array
from ...io.media_files import image_next_to
from ..sample import Sample

PARTS: dict[str, None] = {"landmarks": None, "contours": None}
POINTS = {"landmarks": 30, "contours": 194}
COORDINATE = re.compile(r"\b([xy])\s*:\s*([-+.\deE]+)")


def read_put(root: Path, part: str) -> list[Sample]:
    """Read the faces in one part, put30 or put194; skip missing images.

    Points are the entries x and y of OpenCV YAML files, in order, in 0-based pixels:
    `contours/C001/NAME.yml` for the image `images/0001/NAME.JPG`. The faces of one person form one
    group.

    The layout of the contours is inferred from a public reader; it was not tested on the original
    data. The 30 landmarks are assumed to have the same layout in the folder `landmarks`. The order
    of the points is not documented, so they have no scheme and are never mirrored or converted.

    Raises:
        DataError: If there is no file with points, or one is broken.
    """
    files = sorted((root / part).rglob("*.yml"))
    if not files:
        raise DataError(
            f"{root / part}: no .yml file below it; "
            "expected a folder of them per person"
        )
    samples = []
    for path in files:
        # names of point folders have a letter in place of the first zero
        person = path.parent.name[1:]
        image = image_next_to(root / "images" / f"0{person}" / path.name)
        if image is None:
            continue
        samples.append(
            Sample(
                image=image,
                landmarks=read_yml_points(path, POINTS[part]),
                scheme=f"put{POINTS[part]}",
                name=image.relative_to(root).as_posix(),
                subset=part,
                group=f"put_{person}",
            )
        )
    return samples


def read_yml_points(path: Path, count: int) -> Array:
    """Read the `count` points (N, 2), x and y, in an OpenCV YAML file, unchanged.

    Raises:
        DataError: If the file has a different number of points.
    """
    values: dict[str, list[float]] = {"x": [], "y": []}
    try:
        for axis, number in COORDINATE.findall(path.read_text(encoding="utf-8")):
            values[axis].append(float(number))
    except ValueError as error:
        raise DataError(
            f"{path}: {error}; expected x and y of {count} points"
        ) from error
    counts = len(values["x"]), len(values["y"])
    if counts != (count, count):
        raise DataError(
            f"{path}: {counts[0]} x and {counts[1]} y; expected {count} of each"
        )
    return np.column_stack([values["x"], values["y"]])
