"""Write faces as CSV and Parquet: one row per face, the same columns in both."""

import csv
import os
from collections.abc import Iterable
from typing import Any

from ..atomic import atomic_path
from ..errors import missing_extra
from ..face import Face, Faces
from ..schemes import scheme as scheme_called
from .labels import require_scheme

ROWS_AT_ONCE = 4096  # faces kept in memory before they are written to a Parquet file
IMAGE = ("image",)
VIDEO = ("frame", "time")
"""First columns of a table of faces found in the frames of a video."""
Where = str | tuple[int, float]
"""Values of the first columns: an image name, or a frame's number and time in seconds."""


def csv_columns(scheme: str, key_columns: tuple[str, ...] = IMAGE) -> list[str]:
    """Return the header of a CSV file: the `key_columns`, then `Faces.columns`."""
    return [*key_columns, *Faces.columns(len(scheme_called(scheme)))]


def csv_rows(
    faces: Faces, where: Where = "", empty_rows: bool = False
) -> list[list[str | int | float]]:
    """Return one row per face, with the columns of `csv_columns`.

    track_id is empty if there is none; other unknown numbers are nan.

    Args:
        where: The image, or frame and time.
        empty_rows: Return a row with only `where` and the scheme if there is no face.
    """
    rows: list[list[str | int | float]] = []
    if empty_rows and not len(faces):
        keys = _key_values(where)
        empty_count = len(csv_columns(faces.scheme, key_columns=())) - 2
        return [[*keys, "", faces.scheme, *[""] * empty_count]]
    for row in faces.rows():
        rows.append(
            [*_key_values(where), *("" if cell is None else cell for cell in row)]
        )
    return rows


def _key_values(where: Where) -> tuple[str | int | float, ...]:
    return (where,) if isinstance(where, str) else where


def write_csv(
    path: str | os.PathLike[str],
    results: Iterable[tuple[str, Faces]] | Iterable[tuple[tuple[int, float], Faces]],
    scheme: str,
    key_columns: tuple[str, ...] = IMAGE,
    empty_rows: bool = False,
) -> None:
    """Write (image, faces) pairs as CSV, one row per face, atomically.

    The columns are `key_columns`, then `Faces.columns`.

    Args:
        path: File to write.
        results: Name and faces of each image.
        scheme: Landmark scheme of all faces.
        key_columns: Names of the columns that identify the image; with ("frame", "time"),
            results are ((frame, time), faces) pairs.
        empty_rows: Also write a row for an image or frame without a face, with only its
            name and the scheme.

    Raises:
        SchemeError: If faces have another scheme.
    """
    with (
        atomic_path(path) as temporary,
        temporary.open(
            "w", encoding="utf-8", errors="backslashreplace", newline=""
        ) as text,
    ):
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(csv_columns(scheme, key_columns))
        for where, faces in require_scheme(results, scheme):
            writer.writerows(csv_rows(faces, where, empty_rows))


def write_parquet(
    path: str | os.PathLike[str],
    results: Iterable[tuple[str, Faces]] | Iterable[tuple[tuple[int, float], Faces]],
    scheme: str,
    key_columns: tuple[str, ...] = IMAGE,
    empty_rows: bool = False,
) -> None:
    """Write (image, faces) pairs as Parquet, one row per face, atomically.

    Columns: image, face, scheme, track_id, score, presence, box [4], x [N], y [N],
        scores [N], sigma_px [N], visible [N].

    Args:
        path: As in `write_csv`.
        results: As in `write_csv`.
        scheme: As in `write_csv`.
        key_columns: As in `write_csv`.
        empty_rows: As in `write_csv`; all other columns are null.

    Raises:
        ExtraError: If pyarrow is not installed.
        SchemeError: If faces have another scheme.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise missing_extra("pyarrow", "report") from error
    text, number = pyarrow.string(), pyarrow.float64()
    types = (text,) if key_columns == IMAGE else (pyarrow.int64(), number)
    columns = dict(zip(key_columns, types, strict=True)) | face_columns(number)
    schema = pyarrow.schema(list(columns.items()))
    with (
        atomic_path(path) as temporary,
        pyarrow.parquet.ParquetWriter(temporary, schema) as writer,
    ):
        rows: list[dict[str, Any]] = []
        for where, faces in require_scheme(results, scheme):
            first: dict[str, Any] = dict(
                zip(key_columns, _key_values(where), strict=True)
            )
            if isinstance(where, str):  # a file name may contain undecodable bytes
                first[key_columns[0]] = where.encode(
                    "utf-8", "backslashreplace"
                ).decode()
            rows += [first | face_row(i, face) for i, face in enumerate(faces)]
            if empty_rows and not len(faces):
                rows.append(first | {"scheme": faces.scheme})
            if len(rows) >= ROWS_AT_ONCE:
                writer.write_table(pyarrow.Table.from_pylist(rows, schema))
                rows = []
        writer.write_table(pyarrow.Table.from_pylist(rows, schema))


def face_columns(of_points: Any) -> dict[str, Any]:
    """Return the Parquet column types of `face_row`.

    Args:
        of_points: pyarrow type for the box, landmarks and per-landmark values.
    """
    import pyarrow

    number, values = pyarrow.float64(), pyarrow.list_(of_points)
    columns = {"face": pyarrow.int32(), "scheme": pyarrow.string()}
    columns |= {"track_id": pyarrow.int64(), "score": number, "presence": number}
    lists = ("box", "x", "y", "scores", "sigma_px", "visible")
    return columns | dict.fromkeys(lists, values)


def face_row(number: int, face: Face) -> dict[str, Any]:
    """Return the Parquet values of one face: its number in the image and its properties."""
    return {
        "face": number,
        "scheme": face.scheme,
        "track_id": face.track_id,
        "score": face.score,
        "presence": face.presence,
        "box": face.box.tolist(),
        "x": face.landmarks[:, 0].tolist(),
        "y": face.landmarks[:, 1].tolist(),
        "scores": face.scores.tolist(),
        "sigma_px": face.sigma_px.tolist(),
        "visible": face.visible.tolist(),
    }
