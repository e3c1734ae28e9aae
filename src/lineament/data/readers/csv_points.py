"""A CSV with an image column and x, y columns per point: ours, HRNet's and similar."""

import re
from collections import Counter
from pathlib import Path

import numpy as np

from ...errors import DataError
from ..sample import Sample, numbered_name, scheme_of_count
from .table import Row, image_of_table, read_table

IMAGE_COLUMNS = (
    *("image", "image_name", "image_path"),
    *("file", "file_name", "filename", "path", "name"),
)
BOX_COLUMNS = ("box_x0", "box_y0", "box_x1", "box_y1")
POINT_COLUMN = re.compile(
    r"(?:original_|landmark_|point_)?(?:([xy])_?(\d+)|(\d+)_([xy]))", re.IGNORECASE
)


def read_csv_points(path: Path, scheme: str | None = None) -> list[Sample]:
    """Read the faces of a table, one per row.

    Images are relative to the table, or below `images` next to it. Points are columns x_0, y_0 or
    x0, y0 or original_0_x, original_0_y, counted from 0 or 1; an empty cell is not annotated.

    Args:
        path: The file.
        scheme: Scheme of the points; None: from a column "scheme", else by their number.

    Raises:
        DataError: If the file or a column is absent, or a cell is not a number.
    """
    header, rows = read_table(path)
    image_column = next((name for name in IMAGE_COLUMNS if name in header), None)
    points = _point_columns(path, header)
    if image_column is None or not points:
        found = ", ".join(header[:6])
        raise DataError(
            f"{path}: columns {found}...; wanted image, x_0, y_0, x_1, y_1 and so on"
        )
    faces: Counter[str] = Counter()
    samples = []
    for number, row in enumerate(rows, 2):
        place = f"{path}:{number}"
        name = (row.get(image_column) or "").replace("\\", "/")
        if not name:
            raise DataError(
                f"{place}: no image; wanted its path in column {image_column!r}"
            )
        landmarks = np.array(
            [[_number(row, x, place), _number(row, y, place)] for x, y in points]
        )
        box = np.array([_number(row, column, place) for column in BOX_COLUMNS])
        samples.append(
            Sample(
                image=image_of_table(path, name),
                landmarks=landmarks,
                scheme=scheme
                or row.get("scheme")
                or scheme_of_count(len(points), path),
                name=numbered_name(name, faces),
                box=box if np.isfinite(box).all() else None,
                subset=path.stem,
            )
        )
    return samples


def _point_columns(path: Path, header: list[str]) -> list[tuple[str, str]]:
    """Return the x and y columns of each point, in order."""
    found: dict[int, dict[str, str]] = {}
    for name in header:
        if match := POINT_COLUMN.fullmatch(name):
            axis, index = (match[1], match[2]) if match[1] else (match[4], match[3])
            found.setdefault(int(index), {})[axis.lower()] = name
    if not found:
        return []
    columns = []
    first = min(found) if min(found) <= 1 else 0
    for index in range(first, max(found) + 1):
        pair = found.get(index, {})
        if len(pair) < 2:
            raise DataError(
                f"{path}: point {index - first} lacks its x or y column; wanted both"
            )
        columns.append((pair["x"], pair["y"]))
    return columns


def _number(row: Row, column: str, place: str) -> float:
    cell = row.get(column)
    if cell is None or not cell.strip():
        return float("nan")
    try:
        return float(cell)
    except ValueError as error:
        message = (
            f"{place}: {cell[:40]!r} is not a number; wanted a coordinate in pixels"
        )
        raise DataError(message) from error
