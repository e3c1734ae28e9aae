"""A CSV with an image and x, y columns per point: ours, HRNet's, Kaggle's and similar."""

import csv
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..sample import Sample, numbered_name
from .image_finder import ImageFinder
from .own_data import UNSTATED, OwnData, choose_points
from .table import Row, read_table

IMAGE_COLUMNS = (
    *("image", "image_name", "image_path", "img", "img_path"),
    *("file", "file_name", "filename", "path", "name"),
)
BOX_COLUMNS = ("box_x0", "box_y0", "box_x1", "box_y1")
POINT_COLUMN = re.compile(
    r"(?:original_|landmark_|point_)?(?:([xy])_?(\d+)|(\d+)_([xy]))", re.IGNORECASE
)
NAMED_COLUMN = re.compile(r"(.+)[_.\- ]([xy])|([xy])[_.\- ](.+)", re.IGNORECASE)

NOT_ANNOTATED = ("", "nan", "na", "n/a", "null", "none")
"""Cells of points that nobody annotated, in lower case."""
PointColumns = list[tuple[str, str]]


def read_csv_points(path: Path, own: OwnData = UNSTATED) -> list[Sample]:
    """Read the faces of a table, one per row.

    Points are columns x_0, y_0 or x0, y0 or original_0_x, original_0_y, counted from 0 or 1, or
    <name>_x, <name>_y, in any case; an empty cell or NaN is not annotated. Columns visible_0, ...
    state which points can be seen, as 0 to 1. The column of the image holds its path, or its gray
    pixels as Kaggle's does. Cells may be separated by commas, semicolons or tabs; with the latter
    numbers may have decimal commas.

    Args:
        path: The file.
        own: Statements about the data.

    Raises:
        DataError: If the file or a column is absent, or a cell is not a number.
    """
    separator = _separator(path)
    header, rows = read_table(path, separator=separator)
    lower = {name.lower(): name for name in reversed(header)}
    image_column = next((lower[n] for n in IMAGE_COLUMNS if n in lower), None)
    names, columns = _point_columns(path, header)
    if image_column is None or not columns:
        found = ", ".join(header[:6])
        raise DataError(
            f"{path}: columns {found}...; wanted image, x_0, y_0, x_1, y_1 and so on"
        )
    if separator != ",":
        rows = [_with_decimal_points(row, columns) for row in rows]
    finder, counted = ImageFinder(path, own.pictures, own.needs_images), Counter[str]()
    faces = []
    for number, row in enumerate(rows, 2):
        place = f"{path}:{number}"
        cell = row.get(image_column) or ""
        if not cell:
            raise DataError(
                f"{place}: no image; wanted its path in column {image_column!r}"
            )
        face = _face(path, row, columns, place)
        if _is_pixels(cell):
            faces.append(_with_pixels(face, number - 2))
            continue
        name = numbered_name(cell.replace("\\", "/"), counted)
        faces.append(replace(face, image=finder.find(cell), name=name))
    schemes: dict[str, tuple[str, list[int]]] = {}
    samples = []
    for face, row in zip(faces, rows, strict=True):
        stated = row.get("scheme") or ""
        if stated not in schemes:
            given = own if own.scheme or not stated else replace(own, scheme=stated)
            schemes[stated] = choose_points(names, given, str(path))
        placed = face.with_points(*schemes[stated])
        samples.append(
            replace(placed, group=own.group_of(placed.name, row, placed.group))
        )
    finder.check()
    return samples


def _with_pixels(face: Sample, row: int) -> Sample:
    """Return a face whose image is in a row of its table."""
    return replace(
        face,
        frame=row,
        read_frame=read_pixels,
        name=f"{face.image.name}#{row:05d}",
        group=f"{face.image.stem}-{row}",
    )


def _separator(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            first = file.readline()
    except OSError:
        # read_table states the reason
        return ","
    return max(",;\t", key=first.count)


def _with_decimal_points(row: Row, columns: PointColumns) -> Row:
    """Return a row whose coordinates have decimal points."""
    changed = dict(row)
    for column in [name for pair in columns for name in pair] + list(BOX_COLUMNS):
        if changed.get(column):
            changed[column] = changed[column].replace(",", ".")
    return changed


def _face(path: Path, row: Row, columns: PointColumns, place: str) -> Sample:
    """Return a face without its image, with its points in the order of `columns`."""
    landmarks = np.array(
        [[_number(row, x, place), _number(row, y, place)] for x, y in columns]
    )
    box = np.array([_number(row, column, place) for column in BOX_COLUMNS])
    return Sample(
        image=path,
        landmarks=landmarks,
        scheme="",
        name="",
        box=box if np.isfinite(box).all() else None,
        visible=_visible(row, len(columns), place),
        subset=path.stem,
    )


def _visible(row: Row, count: int, place: str) -> NDArray[np.bool_] | None:
    """Return which points (N,) are visible; None if the table does not state it."""
    if f"visible_{count - 1}" not in row:
        return None
    stated = np.array([_number(row, f"visible_{i}", place) for i in range(count)])
    return None if np.isnan(stated).all() else np.asarray(stated >= 0.5)


def _point_columns(path: Path, header: list[str]) -> tuple[list[str], PointColumns]:
    """Return the names of the points, empty for numbered ones, and their x and y columns."""
    numbered: dict[int, dict[str, str]] = {}
    named: dict[str, dict[str, str]] = {}
    for name in header:
        if match := POINT_COLUMN.fullmatch(name):
            axis, index = (match[1], match[2]) if match[1] else (match[4], match[3])
            numbered.setdefault(int(index), {})[axis.lower()] = name
        elif match := NAMED_COLUMN.fullmatch(name):
            axis, point = (match[2], match[1]) if match[2] else (match[3], match[4])
            named.setdefault(point, {})[axis.lower()] = name
    if numbered:
        first = min(numbered) if min(numbered) <= 1 else 0
        pairs = [numbered.get(i, {}) for i in range(first, max(numbered) + 1)]
        return [""] * len(pairs), _pairs(path, range(len(pairs)), pairs)
    full = {point: pair for point, pair in named.items() if len(pair) == 2}
    return list(full), _pairs(path, full, list(full.values()))


def _pairs(
    path: Path, points: Iterable[object], found: list[dict[str, str]]
) -> PointColumns:
    columns = []
    for point, pair in zip(points, found, strict=True):
        if len(pair) < 2:
            raise DataError(
                f"{path}: point {point} lacks its x or y column; wanted both"
            )
        columns.append((pair["x"], pair["y"]))
    return columns


def _number(row: Row, column: str, place: str) -> float:
    cell = row.get(column)
    if cell is None or cell.strip().lower() in NOT_ANNOTATED:
        return float("nan")
    try:
        return float(cell)
    except ValueError as error:
        message = (
            f"{place}: {cell[:40]!r} is not a number; wanted a coordinate in pixels"
        )
        raise DataError(message) from error


def _is_pixels(cell: str) -> bool:
    """Return whether a cell holds the gray pixels of a square image, not its path."""
    return len(cell) > 200 and cell[:40].replace(" ", "").isdigit()


def read_pixels(path: Path, row: int) -> NDArray[np.uint8]:
    """Return the image (H, H, 3) whose gray pixels are in a row of a CSV, from 0.

    Raises:
        DataError: If the pixels are not those of a square.
    """
    gray = _gray_rows(path, path.stat().st_mtime_ns)[row]
    side = round(len(gray) ** 0.5)
    if side * side != len(gray):
        raise DataError(f"{path}:{row + 2}: {len(gray)} pixels; wanted a square image")
    square = np.asarray(gray.reshape(side, side))
    return np.repeat(square[:, :, None], 3, axis=2)


@lru_cache(maxsize=1)
def _gray_rows(path: Path, changed_ns: int) -> list[NDArray[np.uint8]]:
    """Return the pixels of each row."""
    rows = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.reader(file):
            cell = max(row, key=len, default="")
            if _is_pixels(cell):
                rows.append(np.array(cell.split(), dtype=np.uint8))
    return rows
