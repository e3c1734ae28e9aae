"""A CSV with a column for the picture and x, y columns for each point, 0-based: ours, HRNet's and their kin."""

import csv
import re
from pathlib import Path

import numpy as np

from ...errors import DataError
from ..sample import Sample, scheme_of_count

IMAGE_COLUMNS = (
    "image",
    "image_name",
    "image_path",
    "file",
    "file_name",
    "filename",
    "path",
    "name",
)
BOX_COLUMNS = ("box_x0", "box_y0", "box_x1", "box_y1")
POINT_COLUMN = re.compile(
    r"(?:original_|landmark_|point_)?(?:([xy])_?(\d+)|(\d+)_([xy]))", re.IGNORECASE
)


def read_csv_points(path: Path, scheme: str | None = None) -> list[Sample]:
    """The faces of the table, one a row; pictures are named relative to it, or to its folder images.

    Points are columns x_0, y_0 and so on, x0, y0, or original_0_x, original_0_y; an empty cell is not annotated; the
    first point is number 0 or 1. A box is box_x0, box_y0, box_x1, box_y1.
    scheme: what the points are; None takes it from a column "scheme", else from their number.
    Raises: DataError where the file is absent, a column is missing or a cell is no number.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            header = [name.strip() for name in rows.fieldnames or ()]
            rows.fieldnames = header
            return _faces(path, header, list(rows), scheme)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: cannot be read as a table ({error}); wanted a CSV with a header"
        ) from error


def _faces(
    path: Path, header: list[str], rows: list[dict[str, str]], scheme: str | None
) -> list[Sample]:
    image_column = next((name for name in IMAGE_COLUMNS if name in header), None)
    columns = _point_columns(header)
    if image_column is None or not columns:
        raise DataError(
            f"{path}: columns {', '.join(header[:6])}...; wanted image, x_0, y_0, x_1, y_1 and so on"
        )
    absent = [i for i, pair in enumerate(columns) if pair is None]
    if absent:
        raise DataError(
            f"{path}: point {absent[0]} lacks its x or y column; wanted both for each point"
        )
    pairs = [pair for pair in columns if pair is not None]
    faces: dict[str, int] = {}
    samples = []
    for number, row in enumerate(rows, 2):
        where = f"{path}:{number}"
        landmarks = np.array(
            [[_number(row.get(x), where), _number(row.get(y), where)] for x, y in pairs]
        )
        box = np.array([_number(row.get(name), where) for name in BOX_COLUMNS])
        name = (row.get(image_column) or "").replace("\\", "/")
        if not name:
            raise DataError(f"{where}: no picture; wanted its path in column {image_column!r}")
        faces[name] = faces.get(name, 0) + 1
        beside = path.parent / name
        samples.append(
            Sample(
                image=beside if beside.exists() else path.parent / "images" / name,
                landmarks=landmarks,
                scheme=scheme or row.get("scheme") or scheme_of_count(len(pairs), path),
                name=name if faces[name] == 1 else f"{name}#{faces[name]}",
                box=box if np.isfinite(box).all() else None,
                subset=path.stem,
            )
        )
    return samples


def _point_columns(header: list[str]) -> list[tuple[str, str] | None]:
    """The x and y columns of each point in order; None for a point that lacks one."""
    found: dict[int, dict[str, str]] = {}
    for name in header:
        if match := POINT_COLUMN.fullmatch(name):
            axis, index = (match[1], match[2]) if match[1] else (match[4], match[3])
            found.setdefault(int(index), {})[axis.lower()] = name
    if not found:
        return []
    numbers = range(min(found), max(found) + 1)
    if min(found) > 1 or len(numbers) > 10 * len(found):
        return [None]
    return [(found[i]["x"], found[i]["y"]) if len(found.get(i, ())) == 2 else None for i in numbers]


def _number(cell: str | None, where: str) -> float:
    if cell is None or not cell.strip():
        return float("nan")
    try:
        return float(cell)
    except ValueError as error:
        raise DataError(
            f"{where}: {cell[:40]!r} is no number; wanted a coordinate in pixels"
        ) from error
