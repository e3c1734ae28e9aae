"""MUCT (Milborrow et al. 2010): 3,755 portraits from five cameras, with 76 points."""

import re
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...geometry import Array
from ...io.media_files import images_by_stem
from ..sample import Sample
from .table import Row, read_table

PARTS: dict[str, int] = {"all": 3755, "mirrored": 3755}
LIST = "muct76-opencv.csv"
NAME = re.compile(r"i(r?)(\d{3})[a-z]([a-e])-([mf])([ng])")
"""Mirrored, person, lighting, camera, sex and glasses, as in i000qa-fn."""
TURNED = "bc"
"""Cameras that see the face from the side."""
X_COLUMNS = [f"x{point:02d}" for point in range(76)]
Y_COLUMNS = [f"y{point:02d}" for point in range(76)]


def read_muct(root: Path, part: str) -> list[Sample]:
    """Read the faces in one part, muct76, with sex, glasses and view; skip missing images.

    List and images may be anywhere below `root`. "mirrored" reads the list's rows of mirrored
    images, such as ir000qa-fn; these images are not part of the download. Points at (0, 0) are
    self-occluded: they become nan and not visible. Pixel coordinates start at 0. The faces of one
    person form one group. The order of the points was checked against the rows of one person.

    Raises:
        DataError: If the list is missing or broken.
    """
    table = next(iter(sorted(root.rglob(LIST))), None)
    if table is None:
        raise DataError(
            f"{root}: no {LIST} below it; expected muct-landmarks of the download"
        )
    images = images_by_stem(root)
    samples = []
    for number, row in enumerate(read_table(table, ("name", "x00", "y75"))[1], 2):
        location = f"{table}:{number}"
        name = NAME.fullmatch(row["name"])
        if name is None:
            raise DataError(
                f"{location}: {row['name']!r} is not a MUCT name; "
                "expected one like i000qa-fn"
            )
        mirrored, person, camera, sex, glasses = name.groups()
        image = images.get(row["name"].lower())
        if image is None or bool(mirrored) != (part == "mirrored"):
            continue
        landmarks = _points(row, location)
        hidden = (landmarks == 0).all(1)
        landmarks[hidden] = np.nan
        samples.append(
            Sample(
                image=image,
                landmarks=landmarks,
                scheme="muct76",
                name=image.relative_to(root).as_posix(),
                visible=~hidden,
                subset=part,
                attributes={
                    "male": sex == "m",
                    "glasses": glasses == "g",
                    "turned": camera in TURNED,
                },
                group=f"muct_{person}",
            )
        )
    return samples


def _points(row: Row, location: str) -> Array:
    """Return the points (76, 2) in a row."""
    points = []
    try:
        for x, y in zip(X_COLUMNS, Y_COLUMNS, strict=True):
            points.append((float(row[x]), float(row[y])))
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"{location}: {error}; expected x00, y00 to x75, y75"
        ) from error
    return np.array(points)
