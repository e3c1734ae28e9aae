"""CSV files with a header."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from ...errors import DataError
from .label_text import read_label_text

Row = dict[str, str]


def read_table(
    path: Path, columns: Sequence[str] = (), separator: str = ","
) -> tuple[list[str], list[Row]]:
    """Read the header of a CSV file, which must contain `columns`, and its rows by column.

    Raises:
        DataError: If the file cannot be read or one of `columns` is missing.
    """
    text = read_label_text(path, "a CSV with a header")
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
        header = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = header
        rows = list(reader)
    except csv.Error as error:
        message = (
            f"{path}: cannot be read as a table ({error}); expected a CSV with a header"
        )
        raise DataError(message) from error
    absent = sorted(set(columns).difference(header))
    if absent:
        raise DataError(
            f"{path}: no column {', '.join(absent)}; expected {', '.join(columns)}"
        )
    return header, rows
