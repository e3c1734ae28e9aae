"""Columns of a CSV header that contain the points; those of boxes and sizes are left out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError
from ...scheme_file.names import split_words
from .own_data import Note, ignore

POINT_COLUMN = re.compile(
    r"(?:original_|landmark_|point_)?(?:([xy])_?(\d+)|(\d+)_([xy]))", re.IGNORECASE
)
NAMED_COLUMN = re.compile(r"(.+)[_.\- ]([xy])|([xy])[_.\- ](.+)", re.IGNORECASE)
BOX_NAMES = ("min", "max")
"""Names of columns such as x_min, which are not points."""
BOX_WORDS = {"bbox", "box", "rect"}
"""Words of names such as face_bbox_x, which are not points either."""
CORNER_NAMES = ("center", "centre", "corner", "top_left", "topleft", "left_top")
"""Names that mean the place of a box if the table also has a width and a height."""
SIZES = (("width", "height"), ("w", "h"))
SEPARATORS = "_.- "
Pair = dict[str, str]
"""Column by axis, "x" or "y"."""


@dataclass(frozen=True)
class PointColumns:
    """Columns of the points in a table."""

    names: list[str]
    """Point names; empty strings for numbered points."""
    pairs: list[tuple[str, str]]
    """x and y column of each point."""
    visible: list[str]
    """Visibility column of each point, not always present; empty: the table has none."""

    def all(self) -> list[str]:
        """Return every column."""
        return [name for pair in self.pairs for name in pair] + self.visible


def find_columns(
    path: Path, header: Sequence[str], note: Note = ignore
) -> PointColumns:
    """Return the columns of the points, none if the table has no points.

    Args:
        path: The file, for messages.
        header: Its columns.
        note: Called with a line about columns that look like points and are not read.

    Raises:
        DataError: If a numbered point lacks a column, or two columns are the same coordinate.
    """
    lower = {name.lower() for name in header}
    numbered, named = _pairs_of(path, header, lower)
    full = {point: pair for point, pair in named.items() if len(pair) == 2}
    single = [
        column for pair in named.values() if len(pair) < 2 for column in pair.values()
    ]
    if single:
        note(
            f"{path}: columns {listed(single)} are not read; expected x and y of a "
            "point"
        )
    if _are_corners(numbered, full, lower):
        corners = [column for pair in numbered.values() for column in pair.values()]
        note(f"{path}: columns {listed(corners)} are taken for a box, not for points")
        numbered = {}
    if not numbered and not full and (pairs := _alternating(header)):
        note(
            f"{path}: columns {pairs[0][0]} to {pairs[-1][1]} are read as x and y of "
            f"{len(pairs)} points in turn"
        )
        return PointColumns([""] * len(pairs), pairs, [])
    if not numbered:
        visible = _visible_columns(header, 0, len(full))
        pairs = [(pair["x"], pair["y"]) for pair in full.values()]
        return PointColumns(list(full), pairs, visible)
    if full:
        others = [column for pair in full.values() for column in pair.values()]
        note(f"{path}: columns {listed(others)} are not read; the points are numbered")
    first = min(numbered) if min(numbered) <= 1 else 0
    pairs = []
    for point in range(first, max(numbered) + 1):
        pair = numbered.get(point, {})
        if len(pair) < 2:
            raise DataError(
                f"{path}: point {point} lacks its x or y column; expected both"
            )
        pairs.append((pair["x"], pair["y"]))
    visible = _visible_columns(header, first, len(pairs))
    return PointColumns([""] * len(pairs), pairs, visible)


def _pairs_of(
    path: Path, header: Sequence[str], lower: set[str]
) -> tuple[dict[int, Pair], dict[str, Pair]]:
    """Return the columns of numbered points by number, and of named ones by name."""
    numbered: dict[int, Pair] = {}
    named: dict[str, Pair] = {}
    for column in header:
        if match := POINT_COLUMN.fullmatch(column):
            axis, index = (match[1], match[2]) if match[1] else (match[4], match[3])
            _add(path, numbered.setdefault(int(index), {}), axis.lower(), column)
        elif match := NAMED_COLUMN.fullmatch(column):
            axis, point = (match[2], match[1]) if match[2] else (match[3], match[4])
            if not _is_of_box(point.lower(), lower):
                _add(path, named.setdefault(point, {}), axis.lower(), column)
    return numbered, named


def _alternating(header: Sequence[str]) -> list[tuple[str, str]]:
    """Return x and y columns that are called 0, 1, 2 and so on, or none."""
    numbers = [column for column in header if column.isdecimal()]
    if numbers != [str(number) for number in range(len(numbers))] or len(numbers) % 2:
        return []
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _add(path: Path, pair: Pair, axis: str, column: str) -> None:
    if axis in pair:
        raise DataError(
            f"{path}: columns {pair[axis]!r} and {column!r} are {axis} of the same point; "
            "remove or rename one"
        )
    pair[axis] = column


def _is_of_box(point: str, lower: set[str]) -> bool:
    """Return True if a lower-case name is that of a box, such as face next to face_width."""
    if point in BOX_NAMES or BOX_WORDS & set(split_words(point)):
        return True
    if point in CORNER_NAMES and _has_size(lower):
        return True
    return any(_has_size(lower, point + separator) for separator in SEPARATORS)


def _has_size(lower: set[str], prefix: str = "") -> bool:
    return any({prefix + width, prefix + height} <= lower for width, height in SIZES)


def _are_corners(
    numbered: dict[int, Pair], named: dict[str, Pair], lower: set[str]
) -> bool:
    """Return True if numbered columns are corners of a box, as in CelebA's list of boxes.

    These are one or two next to as many named points, or x_1, y_1 next to a width and a height.
    """
    if list(numbered) == [1] and _has_size(lower):
        return True
    return 0 < len(numbered) <= min(2, len(named))


def _visible_columns(header: Sequence[str], first: int, count: int) -> list[str]:
    """Return the visibility column of each point, counted like the points or from 0."""
    columns = {name.lower(): name for name in header}
    for start in (first, 0):
        names = [f"visible_{start + number}" for number in range(count)]
        if names and names[-1] in columns:
            return [columns.get(name, name) for name in names]
    return []


def listed(columns: Sequence[str]) -> str:
    """Return the names of the first columns, for messages."""
    return ", ".join(columns[:4]) + (", ..." if len(columns) > 4 else "")
