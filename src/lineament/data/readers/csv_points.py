"""CSV files with an image and x, y columns per point: Lineament's, HRNet's, Kaggle's, ..."""

import csv
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, SchemeError
from ...io.media_files import has_image_suffix
from ...scheme_file.names import plain_name
from ...schemes import check_scheme
from ..sample import Sample, numbered_name
from .csv_columns import PointColumns, find_columns, listed
from .image_finder import ImageFinder
from .label_text import label_encoding
from .own_data import DEFAULT_OWN_DATA, OwnData, choose_points
from .table import TABLE, Row, read_table, skip_separator_line

IMAGE_COLUMNS = (
    *("image", "image_name", "image_path", "image_file", "imagename", "imagepath"),
    *("img", "img_name", "img_path", "file", "file_name", "file_path", "filename"),
    *("filepath", "path", "name", "image_id", "img_id", "photo", "picture"),
)
"""Plain names of the column with the image, the most certain first."""
BOX_COLUMNS = ("box_x0", "box_y0", "box_x1", "box_y1")
NOT_ANNOTATED = ("", "nan", "na", "n/a", "null", "none")
"""Lower-case cell contents that mean a point is not annotated."""


def read_csv_points(path: Path, own: OwnData = DEFAULT_OWN_DATA) -> list[Sample]:
    """Read the faces in a table, one per row.

    Point columns are x_0, y_0 or x0, y0 or original_0_x, original_0_y, counted from 0 or 1, or
    <name>_x, <name>_y, in any case; an empty cell or NaN means not annotated. Columns visible_0,
    ..., counted like the points, hold the visibility of each point, 0 to 1; empty: unknown. Columns
    of boxes and sizes are not points, such as x_min, or CelebA's x_1, y_1, width and height. The
    image column contains a path, or gray pixels as in Kaggle's data; without a known name, it is
    the column of file names. Cells may be separated by commas, semicolons or tabs; with the latter
    two, numbers may use decimal commas.

    Args:
        path: The file.
        own: User-provided information about the data.

    Raises:
        DataError: If the file or a column is missing, or a cell is not a number.
    """
    separator = _separator(path)
    header, rows = read_table(path, separator=separator)
    columns, image_column = _choose_columns(path, header, rows, own)
    if separator != ",":
        rows = [_with_decimal_points(row, columns) for row in rows]
    finder, counted = ImageFinder(path, own.pictures, own.needs_images), Counter[str]()
    faces = []
    numbered = [(n, row) for n, row in enumerate(rows, 2) if _has_content(row)]
    rows = [row for _, row in numbered]
    for index, (number, row) in enumerate(numbered):
        location = f"{path}:{number}"
        _check_complete(row, columns, location)
        cell = (row.get(image_column) or "").strip()
        if not cell:
            raise DataError(
                f"{location}: no image; expected its path in column {image_column!r}"
            )
        face = _face(path, row, columns, location)
        if _is_pixels(cell):
            faces.append(_with_pixels(face, index))
            continue
        name = numbered_name(cell.replace("\\", "/"), counted)
        faces.append(replace(face, image=finder.find(cell), name=name))
    schemes: dict[str, tuple[str, list[int]]] = {}
    samples = []
    for face, row in zip(faces, rows, strict=True):
        scheme_name = (row.get("scheme") or "").strip()
        if scheme_name not in schemes:
            row_info = _with_scheme(own, scheme_name, path)
            schemes[scheme_name] = choose_points(columns.names, row_info, str(path))
        sample = face.with_points(*schemes[scheme_name])
        samples.append(
            replace(sample, group=own.group_of(sample.name, row, sample.group))
        )
    finder.check()
    return samples


def _choose_columns(
    path: Path, header: Sequence[str], rows: Sequence[Row], own: OwnData
) -> tuple[PointColumns, str]:
    """Return the columns of the points and of the image.

    Raises:
        DataError: If there are none, or no row.
    """
    if not header or not rows:
        problem = "no row below the header" if header else "empty"
        raise DataError(
            f"{path}: {problem}; expected image, x_0, y_0, x_1, y_1 and so on, and one "
            "row per face"
        )
    columns = find_columns(path, header, own.note)
    image_column = _image_column(path, header, rows)
    if not columns.pairs:
        raise DataError(
            f"{path}: no points in columns {listed(header)}; expected image, x_0, y_0, "
            "x_1, y_1 and so on, or NAME_x, NAME_y, in one row per face"
        )
    return columns, image_column


def _image_column(path: Path, header: Sequence[str], rows: Sequence[Row]) -> str:
    """Return the column with the image, by its name, otherwise by its contents.

    Raises:
        DataError: If there is none.
    """
    by_name = {plain_name(name): name for name in reversed(header)}
    for name in IMAGE_COLUMNS:
        if name in by_name:
            return by_name[name]
    first = next(filter(_has_content, rows), {})
    found = [
        c for c in header if has_image_suffix(PurePath((first.get(c) or "").strip()))
    ]
    if len(found) != 1:
        raise DataError(
            f"{path}: no column of images in {listed(header)}; expected image, x_0, "
            "y_0, x_1, y_1 and so on"
        )
    return found[0]


def _check_complete(row: Row, columns: PointColumns, location: str) -> None:
    """Raise DataError if a row is too short; its cells may be in other columns."""
    absent = [column for column in columns.all() if row.get(column, "") is None]
    if absent:
        raise DataError(
            f"{location}: {len(absent)} fewer cells than columns; leave the cells of "
            "points that are not annotated empty"
        )


def _with_scheme(own: OwnData, name: str, path: Path) -> OwnData:
    """Return `own` with the scheme stated in the table, unless the user specified another."""
    if own.scheme or not name:
        return own
    try:
        return replace(own, scheme=check_scheme(name))
    except SchemeError as error:
        raise DataError(
            f"{path}: its faces have the points of {name!r}, which is not a known scheme; give "
            'its file: scheme = "my.toml"'
        ) from error


def _has_content(row: Row) -> bool:
    """Return False for a row of empty cells, as spreadsheets append to a table."""
    return any(isinstance(cell, str) and cell.strip() for cell in row.values())


def _with_pixels(face: Sample, row: int) -> Sample:
    """Return a face whose image is stored in a row of its table."""
    return replace(
        face,
        frame=row,
        read_frame=read_pixels,
        name=f"{face.image.name}#{row:05d}",
        group=f"{face.image.stem}-{row}",
    )


def _separator(path: Path) -> str:
    with path.open(encoding=label_encoding(path, TABLE)) as file:
        skip_separator_line(file)
        return max(",;\t", key=file.readline().count)


def _with_decimal_points(row: Row, columns: PointColumns) -> Row:
    """Return a row with decimal commas of coordinates replaced by points."""
    changed = dict(row)
    for column in [*columns.all(), *BOX_COLUMNS]:
        if changed.get(column):
            changed[column] = changed[column].replace(",", ".")
    return changed


def _face(path: Path, row: Row, columns: PointColumns, location: str) -> Sample:
    """Return a face without its image, with points in the order of `columns`."""
    landmarks = np.array(
        [
            [_number(row, x, location), _number(row, y, location)]
            for x, y in columns.pairs
        ]
    )
    box = np.array([_number(row, column, location) for column in BOX_COLUMNS])
    return Sample(
        image=path,
        landmarks=landmarks,
        scheme="",
        name="",
        box=box if np.isfinite(box).all() else None,
        visible=_visible(row, columns, np.isfinite(landmarks).all(1), location),
        subset=path.stem,
    )


def _visible(
    row: Row, columns: PointColumns, annotated: NDArray[np.bool_], location: str
) -> NDArray[np.bool_] | NDArray[np.float32] | None:
    """Return the visibility (N,) of the points, nan if unknown; None if all are."""
    values = np.array([_number(row, column, location) for column in columns.visible])
    if np.isnan(values).all():
        return None
    visible = np.asarray(values >= 0.5)
    unknown = np.isnan(values) & annotated
    return np.where(unknown, np.float32(np.nan), visible) if unknown.any() else visible


def _number(row: Row, column: str, location: str) -> float:
    cell = row.get(column)
    if cell is None or cell.strip().lower() in NOT_ANNOTATED:
        return float("nan")
    try:
        value = float(cell)
        return value if math.isfinite(value) else float("nan")
    except ValueError as error:
        message = f"{location}: {cell[:40]!r} is not a number; expected a coordinate in pixels"
        raise DataError(message) from error


def _is_pixels(cell: str) -> bool:
    """Return True if a cell holds the gray pixels of a square image instead of its path."""
    return len(cell) > 200 and cell[:40].replace(" ", "").isdigit()


def read_pixels(path: Path, row: int) -> NDArray[np.uint8]:
    """Return the image (H, H, 3) whose gray pixels are in the given row of a CSV, from 0.

    Raises:
        DataError: If the number of pixels is not a square.
    """
    gray = _gray_rows(path, path.stat().st_mtime_ns)[row]
    side = round(len(gray) ** 0.5)
    if side * side != len(gray):
        raise DataError(
            f"{path}:{row + 2}: {len(gray)} pixels; expected a square image"
        )
    square = np.asarray(gray.reshape(side, side))
    return np.repeat(square[:, :, None], 3, axis=2)


@lru_cache(maxsize=1)
def _gray_rows(path: Path, changed_ns: int) -> list[NDArray[np.uint8]]:
    """Return the gray pixels of each row as an image."""
    rows = []
    with path.open(encoding=label_encoding(path, TABLE), newline="") as file:
        skip_separator_line(file)
        for row in csv.reader(file, delimiter=_separator(path)):
            cell = max(row, key=len, default="")
            if _is_pixels(cell):
                rows.append(np.array(cell.split(), dtype=np.uint8))
    return rows
