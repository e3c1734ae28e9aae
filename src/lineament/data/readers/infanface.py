"""InfAnFace (Wan et al. 2022): infants with 68 points and four attributes."""

from pathlib import Path

from ..sample import Sample
from .pts import read_pts_folder
from .table import read_table

ATTRIBUTES = ("turned", "occluded", "expressive", "tilted")
PARTS: dict[str, int] = {"train": 210, "test": 200}


def read_infanface(root: Path, part: str) -> list[Sample]:
    """Read the faces in one part, ibug68, with the attributes in <part>.csv if it exists."""
    attributes: dict[str, dict[str, bool]] = {}
    for table in (root / f"{part}.csv", root / part / f"{part}.csv"):
        if table.is_file():
            for row in read_table(table, ("name", *ATTRIBUTES))[1]:
                attributes[row["name"]] = {key: row[key] == "1" for key in ATTRIBUTES}
    return read_pts_folder(root, "ibug68", part, attributes=attributes)
