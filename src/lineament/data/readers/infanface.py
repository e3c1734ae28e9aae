"""InfAnFace (Wan et al. 2022): infants' faces with 68 points, and whether they are turned, occluded and so on."""

import csv
from pathlib import Path

from ...errors import DataError, did_you_mean
from ..sample import Sample, check_count
from .pts import read_pts_folder

ATTRIBUTES = ("turned", "occluded", "expressive", "tilted")
PARTS: dict[str, int] = {"train": 210, "test": 200}


def read_infanface(root: Path, part: str) -> list[Sample]:
    """The faces of one `part` of InfAnFace below `root`, ibug68, with the attributes that <part>.csv states.

    Raises: DataError for an unknown part, a broken file or a table without the wanted columns.
    """
    if part not in PARTS:
        raise DataError(f"InfAnFace has no part {part!r}; {did_you_mean(part, PARTS)}")
    beside = (root / part / f"{part}.csv", root / f"{part}.csv")
    table = next((path for path in beside if path.is_file()), None)
    return read_pts_folder(root, "ibug68", part, attributes=_attributes(table) if table else None)


def _attributes(path: Path) -> dict[str, dict[str, bool]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        absent = {"name", *ATTRIBUTES} - set(rows.fieldnames or ())
        if absent:
            raise DataError(
                f"{path}: no column {', '.join(sorted(absent))}; wanted name, {', '.join(ATTRIBUTES)}"
            )
        return {row["name"]: {key: row[key] == "1" for key in ATTRIBUTES} for row in rows}


def missing_infanface(samples: list[Sample], part: str) -> str:
    """One plain line where `samples` are fewer than the official count of `part`, else an empty text."""
    return check_count(samples, PARTS[part], f"InfAnFace {part}")
