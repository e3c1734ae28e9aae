"""CSV files with a header."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from ...errors import DataError
from .label_text import label_encoding

Row = dict[str, str]

TABLE = "a CSV with a header"


def read_table(
    path: Path, columns: Sequence[str] = (), separator: str = ","
) -> tuple[list[str], list[Row]]:
    """Read the header of a CSV file, which must contain `columns`, and its rows by column.

    Raises:
        DataError: If the file cannot be read, one of `columns` is missing, or a row has more cells
            than the header.
    """
    encoding = label_encoding(path, TABLE)
    try:
        with path.open(encoding=encoding, newline="") as file:
            skip_separator_line(file)
            reader = csv.DictReader(file, delimiter=separator)
            header = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            rows = []
            for row in reader:
                _check_length(row, f"{path}:{reader.line_num}")
                rows.append(row)
    except csv.Error as error:
        message = f"{path}: cannot be read as a table ({error}); expected {TABLE}"
        raise DataError(message) from error
    absent = sorted(set(columns).difference(header))
    if absent:
        raise DataError(
            f"{path}: no column {', '.join(absent)}; expected {', '.join(columns)}"
        )
    return header, rows


def skip_separator_line(file: TextIO) -> None:
    """Skip the line "sep=;" at the start of a file, which Excel writes and reads."""
    if not file.readline().lower().startswith("sep="):
        file.seek(0)


def _check_length(row: dict[Any, Any], location: str) -> None:
    """Raise DataError if a row has more cells than the header, other than empty ones."""
    surplus = row.pop(None, [])
    if any(cell.strip() for cell in surplus):
        raise DataError(
            f"{location}: {len(surplus)} more cells than columns; if numbers have decimal "
            "commas, separate the cells by semicolons"
        )
